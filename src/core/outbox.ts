import { v7 as uuidv7 } from 'uuid';
import { isEventType } from '../domain/events.js';
import type { Prisma } from '../generated/prisma/client.js';
import { type Change, differences, type RecordedChange, withoutSecrets } from './audit.js';
import { currentRequest, type RequestContext } from './request-context.js';
import { currentTraceparent } from './spans.js';

/** What a statement of its own writes of an event besides its segment; when it was written is the database's to say. */
export const EVENT_COLUMNS =
  'id, environment_id, type, resource_type, resource_id, license_id, data, actor_type, actor_id, request_id, trace_context, occurred_at';

/** Keep the events $1 (`recordsOf`), of whichever environments; each says its segment. */
export const KEEP_EVENTS = {
  name: 'keep_events',
  text: `
    INSERT INTO event (${EVENT_COLUMNS}, segment_id)
    SELECT ${EVENT_COLUMNS}, segment_id FROM jsonb_populate_recordset(NULL::event, $1::jsonb)`,
};

/** On whose behalf something is told. */
export interface Teller extends Pick<RequestContext, 'actor' | 'requestId'> {
  /** Where in which trace; undefined = where it is written. */
  traceContext?: string;
}

/** The request in hand, for what is written later, with that of others. */
export function currentTeller(): Teller | null {
  const request = currentRequest();
  return request === null ? null : { actor: request.actor, requestId: request.requestId, traceContext: currentTraceparent() };
}

/** A row of `event`, with the id that it was given. */
export type EventRow = Prisma.EventCreateManyInput & { id: string };

/**
 * The outbox (contract: webhooks.md, "Events"): rows for the changes that others are told of, to be written by the
 * transaction that makes the changes. Ids are given here, in order, so that events of one license sort by them.
 */
export function toEventRows(changes: readonly RecordedChange[]): EventRow[] {
  const request = currentRequest();
  return changes.filter(({ action }) => isEventType(action)).map((change) => toRow(change, request));
}

/**
 * One row, also of what may change nothing: a validation, a beat at the instant of the last. `by` is said for what is
 * written for many requests at once.
 */
export function toEventRow(change: Change, by: Teller | null = currentRequest()): EventRow {
  return toRow({ ...change, changed: differences(change.before, change.after) }, by);
}

function toRow({ action, resource, licenseId, occurredAt, environmentId, ...change }: RecordedChange, by: Teller | null): EventRow {
  return {
    id: uuidv7(),
    type: action,
    resourceType: resource.type,
    resourceId: resource.id,
    licenseId: licenseId ?? (resource.type === 'license' ? resource.id : undefined),
    data: dataOf(change),
    actorType: by?.actor.type ?? 'system',
    actorId: by?.actor.id,
    requestId: by?.requestId,
    traceContext: by?.traceContext ?? currentTraceparent(),
    occurredAt,
    ...(environmentId === undefined ? {} : { environmentId }),
    ...(resource.segmentId === undefined ? {} : { segmentId: resource.segmentId }),
  };
}

/** `object` is what it is now, or was when it went; `previous` the fields that changed, as they were. */
function dataOf({ before, after, object, changed, beside }: Omit<RecordedChange, 'action' | 'resource'>): Prisma.JsonObject {
  const whole = { object: withoutSecrets(object ?? after ?? before ?? {}), ...beside };
  return before !== undefined && after !== undefined ? { ...whole, previous: changed.before } : whole;
}
