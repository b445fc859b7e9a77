import { Choice, Integer, Nested, Text } from '../core/fields.js';

export class LinksView {
  @Text({ help: 'The interactive reference.', max: 255, example: '/docs' })
  docs!: string;

  @Text({ help: 'The OpenAPI document.', max: 255, example: '/openapi.json' })
  openapi!: string;

  @Text({ help: 'Where the API begins.', max: 255, example: '/api/v1' })
  api!: string;

  @Text({ help: 'Whether the server is ready.', max: 255, example: '/health/ready' })
  health!: string;
}

export class RootView {
  @Text({ help: 'What this is.', max: 255, example: 'Latchkey' })
  name!: string;

  @Text({ help: 'Its version.', max: 255, example: '0.1.0' })
  version!: string;

  @Nested(() => LinksView, { help: 'Where to go from here.' })
  links!: LinksView;
}

export class HealthView {
  @Choice(['ok'], { help: 'It is.', example: 'ok' })
  status!: 'ok';
}

export class ReadinessView extends HealthView {
  @Integer({
    help: 'Whole seconds that the oldest event has waited which is committed and not yet passed on; 0 when none waits. When it grows, no worker runs or they do not keep up; the server is ready all the same.',
    example: 0,
  })
  workerLagSeconds!: number;
}
