import { Choice, EventPatterns, Flag, Id, Integer, Nested, Text, Timestamp } from '../core/fields.js';
import { PageQuery } from '../core/page.js';
import { type EventType, eventTypes } from '../domain/events.js';
import { type DeliveryStatus, deliveryStatuses, MAX_REPLAYED } from '../domain/webhook-endpoint.js';
import type { WebhookAttempt, WebhookDelivery } from '../generated/prisma/client.js';

/** Of each delivery, the newest ones. */
export const MAX_ATTEMPTS_SHOWN = 20;
const MAX_STATUS_CODE = 999;
/** Of what is kept of an answer, and of why there was none. */
const MAX_TEXT_LENGTH = 2048;

export class DeliveriesQuery extends PageQuery {
  @Choice(deliveryStatuses, { help: 'Only deliveries with this status.', optional: true, example: 'failed' })
  status?: DeliveryStatus;

  @Choice(eventTypes, { help: 'Only deliveries of events of this type.', optional: true, example: 'license.suspended' })
  eventType?: EventType;
}

export class ReplayWebhookBody {
  @Timestamp({ help: 'Only events of this time or later.' })
  from!: Date;

  @Timestamp({ help: 'Only events before this.', example: '2026-01-16T10:30:00.000Z' })
  to!: Date;

  @EventPatterns({
    help: "Only events of these types, prefixes like `license.*`, or `*`; they take the place of the endpoint's `events`. Absent = what the endpoint is told of.",
    optional: true,
  })
  types?: string[];
}

export class QueuedView {
  @Integer({ help: 'How many deliveries were queued.', max: MAX_REPLAYED, example: 42 })
  queued!: number;
}

export class DeliveredEventView {
  @Id({ help: 'UUID v7; the header `webhook-id` of each try.' })
  id!: string;

  @Choice(eventTypes, { help: 'What happened.', example: 'license.suspended' })
  type!: EventType;

  @Timestamp({ help: 'When it was written; null = it is kept no longer.', nullable: true })
  createdAt!: Date | null;
}

export class AttemptView {
  @Timestamp({ help: 'When it began.' })
  startedAt!: Date;

  @Integer({ help: 'How long it took, in milliseconds.', example: 187 })
  durationMs!: number;

  @Integer({ help: 'HTTP status of the answer; null = there was none.', max: MAX_STATUS_CODE, nullable: true, example: 200 })
  responseCode!: number | null;

  @Text({ help: 'Why there was no answer, or none that could be used.', max: MAX_TEXT_LENGTH, nullable: true, example: null })
  error!: string | null;

  @Text({ help: 'First 2 KiB of the answer.', min: 0, max: MAX_TEXT_LENGTH, nullable: true, example: 'ok' })
  responseBody!: string | null;
}

export class DeliveryView {
  @Id({ help: 'UUID v7.' })
  id!: string;

  @Nested(() => DeliveredEventView, { help: 'What is delivered.' })
  event!: DeliveredEventView;

  @Choice(deliveryStatuses, { help: '`pending`: it is tried for the first time, or again. `failed`: no more.' })
  status!: DeliveryStatus;

  @Integer({ help: 'Tries that have ended.', example: 1 })
  attemptCount!: number;

  @Nested(() => AttemptView, { help: `The newest ${String(MAX_ATTEMPTS_SHOWN)} tries that have ended, in their order.`, list: true })
  attempts!: AttemptView[];

  @Timestamp({
    help: 'When it is tried next, at the earliest: while its endpoint is disabled or rests after failures, later. While a try is under way, when it is made again if nothing comes of it. null = it is tried no more.',
    nullable: true,
    example: null,
  })
  nextAttemptAt!: Date | null;

  @Timestamp({ help: 'When it succeeded or failed for good; null = it is pending.', nullable: true })
  finishedAt!: Date | null;

  @Flag({ help: 'Whether a replay asked for it.', example: false })
  isReplay!: boolean;

  @Timestamp({ help: 'When it was queued.' })
  createdAt!: Date;
}

/** A delivery with what is shown beside it. */
export interface DeliveryRow extends WebhookDelivery {
  eventCreatedAt: Date | null;
  attempts: Pick<WebhookAttempt, 'startedAt' | 'durationMs' | 'responseCode' | 'error' | 'responseBody'>[];
}

export function toDeliveryView(row: DeliveryRow): DeliveryView {
  return {
    id: row.id,
    event: { id: row.eventId, type: row.eventType as EventType, createdAt: row.eventCreatedAt },
    status: row.status,
    attemptCount: row.attemptCount,
    attempts: row.attempts.map(({ startedAt, durationMs, responseCode, error, responseBody }) => ({
      startedAt,
      durationMs,
      responseCode,
      error,
      responseBody,
    })),
    nextAttemptAt: row.status === 'pending' ? row.nextAttemptAt : null,
    finishedAt: row.finishedAt,
    isReplay: row.isReplay,
    createdAt: row.createdAt,
  };
}
