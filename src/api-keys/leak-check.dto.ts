import { Flag, Text } from '../core/fields.js';

export class VerifyLeakBody {
  @Text({
    help: 'What was found: an API key or a user key, or what may be one; space around it is ignored.',
    min: 0,
    max: 1000,
    example: 'lk_live_8fJ2…',
  })
  key!: string;
}

export class LeakView {
  @Flag({ help: 'Whether it is a key of this installation, also one that is over.', example: true })
  match!: boolean;

  @Flag({ help: 'Whether the key is revoked.', example: false })
  revoked!: boolean;
}
