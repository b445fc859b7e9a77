import { Body, Controller, Delete, Get, Patch, Post, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { Requires } from '../auth/access.js';
import { type VendorPrincipal, Caller } from '../auth/principal.js';
import { PathId } from '../core/identifier.js';
import { AnswersAccepted, AnswersCreated, AnswersNothing, AnswersOne, AnswersPage, Fails } from '../core/openapi.js';
import { PageQuery } from '../core/page.js';
import { EventView } from '../events/events.dto.js';
import { DeliveriesQuery, DeliveryView, QueuedView, ReplayWebhookBody } from './deliveries.dto.js';
import { DeliveriesService } from './deliveries.service.js';
import { CreateWebhookBody, RotateWebhookSecretBody, UpdateWebhookBody, WebhookView, WebhookWithSecretView } from './webhooks.dto.js';
import { WebhooksService } from './webhooks.service.js';

@ApiTags('Webhooks')
@Controller('api/v1/webhooks')
export class WebhooksController {
  constructor(
    private readonly webhooks: WebhooksService,
    private readonly deliveries: DeliveriesService,
  ) {}

  @Post()
  @Requires('webhooks:write')
  @AnswersCreated(WebhookWithSecretView, 'The endpoint with its secret, which is shown this once.')
  @Fails('WEBHOOK_LIMIT_EXCEEDED')
  @ApiOperation({
    summary: 'Create a webhook endpoint',
    description:
      'It is told of what happens from now on, signed after Standard Webhooks. Addresses that are not public are refused, here and at every connection.',
  })
  create(@Caller() { tenant }: VendorPrincipal, @Body() body: CreateWebhookBody) {
    return this.webhooks.create(tenant, body);
  }

  @Get()
  @Requires('webhooks:read')
  @AnswersPage(WebhookView)
  @ApiOperation({ summary: 'List webhook endpoints', description: 'Newest first.' })
  list(@Caller() { tenant }: VendorPrincipal, @Query() query: PageQuery) {
    return this.webhooks.list(tenant, query);
  }

  @Get(':id')
  @Requires('webhooks:read')
  @AnswersOne(WebhookView)
  @ApiOperation({ summary: 'Get a webhook endpoint' })
  get(@Caller() { tenant }: VendorPrincipal, @PathId() id: string) {
    return this.webhooks.get(tenant, id);
  }

  @Patch(':id')
  @Requires('webhooks:write')
  @AnswersOne(WebhookView)
  @ApiOperation({
    summary: 'Change a webhook endpoint',
    description: '`enabled: true` and another `url` forget its failures. What is pending goes to the `url` that it has then.',
  })
  update(@Caller() { tenant }: VendorPrincipal, @PathId() id: string, @Body() body: UpdateWebhookBody) {
    return this.webhooks.update(tenant, id, body);
  }

  @Delete(':id')
  @Requires('webhooks:write')
  @AnswersNothing()
  @ApiOperation({ summary: 'Delete a webhook endpoint', description: 'What is pending is never sent.' })
  remove(@Caller() { tenant }: VendorPrincipal, @PathId() id: string) {
    return this.webhooks.remove(tenant, id);
  }

  @Post(':id/rotate-secret')
  @Requires('webhooks:write')
  @AnswersOne(WebhookWithSecretView, 'The endpoint with its new secret, which is shown this once.')
  @Fails('CONFLICT')
  @ApiOperation({
    summary: 'Rotate the secret of a webhook endpoint',
    description:
      'All secrets that are in force sign each delivery: the new one, and those before it until the overlap ends. At most five (409).',
  })
  rotateSecret(@Caller() { tenant }: VendorPrincipal, @PathId() id: string, @Body() body: RotateWebhookSecretBody) {
    return this.webhooks.rotateSecret(tenant, id, body);
  }

  @Post(':id/test')
  @Requires('webhooks:write')
  @AnswersAccepted(EventView, 'The event that is delivered.')
  @Fails('CONFLICT')
  @ApiOperation({
    summary: 'Test a webhook endpoint',
    description: 'An event `webhook.test`, which this endpoint alone is told of, whatever its `events`. Not a disabled one (409).',
  })
  test(@Caller() { tenant }: VendorPrincipal, @PathId() id: string) {
    return this.webhooks.test(tenant, id);
  }

  @Get(':id/deliveries')
  @Requires('webhooks:read')
  @AnswersPage(DeliveryView)
  @ApiOperation({
    summary: 'List deliveries to a webhook endpoint',
    description: 'Newest first: one for each event that it was told of, with every try. Filters must all hold.',
  })
  listDeliveries(@Caller() { tenant }: VendorPrincipal, @PathId() id: string, @Query() query: DeliveriesQuery) {
    return this.deliveries.list(tenant, id, query);
  }

  @Post('deliveries/:id/retry')
  @Requires('webhooks:write')
  @AnswersAccepted(DeliveryView, 'The delivery, which is pending.')
  @Fails('CONFLICT')
  @ApiOperation({
    summary: 'Retry a delivery',
    description:
      'It is tried at once, whatever its status, and when that fails as often as its schedule has tries left. One that is being tried, or will be within half a minute, is left as it is. Not when the endpoint is disabled, or the event is kept no longer (409).',
  })
  retry(@Caller() { tenant }: VendorPrincipal, @PathId() id: string) {
    return this.deliveries.retry(tenant, id);
  }

  @Post(':id/replay')
  @Requires('webhooks:write')
  @AnswersAccepted(QueuedView, 'How many deliveries were queued.')
  @Fails('CONFLICT')
  @ApiOperation({
    summary: 'Replay events to a webhook endpoint',
    description:
      'Queues what happened in a time and is still kept, delivered before or not, but for what is pending there already. Of a time with at most 50,000 events (400), a few times a minute (429), not to a disabled endpoint (409).',
  })
  replay(@Caller() { tenant }: VendorPrincipal, @PathId() id: string, @Body() body: ReplayWebhookBody) {
    return this.deliveries.replay(tenant, id, body);
  }
}
