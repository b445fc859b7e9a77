import { Choice, EventPatterns, Flag, Integer, MetadataField, Nested, Text, Timestamp } from '../core/fields.js';
import { ResourceView, resourceFields } from '../core/resource.js';
import type { EnvironmentName } from '../domain/api-key.js';
import type { Metadata } from '../domain/metadata.js';
import { type DeliveryStatus, deliveryStatuses, type WebhookStatus, webhookStatus, webhookStatuses } from '../domain/webhook-endpoint.js';
import type { WebhookEndpoint } from '../generated/prisma/client.js';

const MAX_URL_LENGTH = 2048;
const MAX_OVERLAP_SECONDS = 2_592_000;
const DEFAULT_OVERLAP_SECONDS = 86_400;
const MAX_STATUS_CODE = 999;

const url = {
  help: 'Where events are sent: https, to a public address; without user name, password and fragment. Redirects are not followed.',
  max: MAX_URL_LENGTH,
  pattern: /^https?:\/\//i,
  patternHelp: 'must be a URL like https://example.com/webhooks',
  example: 'https://example.com/webhooks',
};
const eventsHelp =
  'What it is told of: types, prefixes like `license.*`, or `*` for all. `validation.success`, `validation.failed` and `machine.heartbeat` only when named: `*` and `machine.*` do not.';

export class CreateWebhookBody {
  @Text(url)
  url!: string;

  @EventPatterns({ help: eventsHelp, optional: true, default: ['*'] })
  events?: string[];

  @Text({ help: 'What it is for.', max: 1000, optional: true, nullable: true, default: null, example: 'Billing' })
  description?: string | null;

  @Flag({
    help: 'false = it is told of nothing. What happens meanwhile is kept, and can be replayed.',
    optional: true,
    default: true,
    example: true,
  })
  enabled?: boolean;

  @MetadataField({ optional: true, default: {} })
  metadata?: Metadata;
}

export class UpdateWebhookBody {
  @Text({ ...url, help: `${url.help} Its failures so far are forgotten. Absent = unchanged.`, optional: true })
  url?: string;

  @EventPatterns({ help: `${eventsHelp} Absent = unchanged.`, optional: true })
  events?: string[];

  @Text({ help: 'What it is for.', max: 1000, optional: true, nullable: true, example: 'Billing' })
  description?: string | null;

  @Flag({
    help: 'true = its failures so far are forgotten, and what is pending goes on at once; also when it is enabled already. false = it is told of nothing, and what is pending waits. Absent = unchanged.',
    optional: true,
    example: true,
  })
  enabled?: boolean;

  @MetadataField({ optional: true })
  metadata?: Metadata;
}

export class RotateWebhookSecretBody {
  @Integer({
    help: 'For how long the secrets so far sign too, in seconds; 0 = the new one signs alone at once. None signs longer than until its own end.',
    max: MAX_OVERLAP_SECONDS,
    optional: true,
    default: DEFAULT_OVERLAP_SECONDS,
    example: 3600,
  })
  overlapSeconds: number = DEFAULT_OVERLAP_SECONDS;
}

export class LastDeliveryView {
  @Timestamp({ help: 'When the newest try began.' })
  at!: Date;

  @Choice(deliveryStatuses, { help: 'Of what was delivered; `pending` = it is tried again.', example: 'succeeded' })
  status!: DeliveryStatus;

  @Integer({ help: 'HTTP status of the answer; null = there was none.', max: MAX_STATUS_CODE, nullable: true, example: 200 })
  responseCode!: number | null;
}

export class WebhookView extends ResourceView {
  @Text(url)
  url!: string;

  @EventPatterns({ help: eventsHelp })
  events!: string[];

  @Text({ help: 'What it is for.', max: 1000, nullable: true, example: 'Billing' })
  description!: string | null;

  @Flag({ help: 'Whether it is told of events.', example: true })
  enabled!: boolean;

  @Choice(webhookStatuses, { help: 'Computed now. `failing`: enabled, and its last try failed.' })
  status!: WebhookStatus;

  @Timestamp({ help: 'Since when every try has failed; null = the last one succeeded, or there was none.', nullable: true, example: null })
  failingSince!: Date | null;

  @Timestamp({ help: 'Since when it is disabled; null = it is enabled.', nullable: true, example: null })
  disabledAt!: Date | null;

  @Text({ help: 'Why Latchkey disabled it; null = it did not.', max: 1000, nullable: true, example: null })
  disabledReason!: string | null;

  @Nested(() => LastDeliveryView, { help: 'The newest try to deliver something; null = there was none.', nullable: true })
  lastDelivery!: LastDeliveryView | null;
}

export class WebhookWithSecretView extends WebhookView {
  @Text({
    help: 'What deliveries are signed with (Standard Webhooks, HMAC-SHA256). Shown this once.',
    max: 60,
    example: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw…',
  })
  secret!: string;
}

/** The columns that a PATCH changes, but for what follows of them; what it does not say stays. */
export function toEndpointChanges({ url: target, events, description, metadata }: UpdateWebhookBody) {
  return {
    ...(target === undefined ? {} : { url: target }),
    ...(events === undefined ? {} : { events }),
    ...(description === undefined ? {} : { description }),
    ...(metadata === undefined ? {} : { metadata }),
  };
}

export function toWebhookView(row: WebhookEndpoint, lastDelivery: LastDeliveryView | null, environment: EnvironmentName): WebhookView {
  return {
    ...resourceFields(row, environment),
    url: row.url,
    events: row.events,
    description: row.description,
    enabled: row.isEnabled,
    status: webhookStatus(row),
    failingSince: row.failingSince,
    disabledAt: row.disabledAt,
    disabledReason: row.disabledReason,
    lastDelivery,
  };
}
