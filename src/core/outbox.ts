import { v7 as uuidv7 } from 'uuid';
import { isEventType } from '../domain/events.js';
import type { Prisma } from '../generated/prisma/client.js';
import { type RecordedChange, withoutSecrets } from './audit.js';
import { currentRequest } from './request-context.js';

/**
 * The outbox (contract: webhooks.md, "Events"): rows for the changes that others are told of, to be written by the
 * transaction that makes the changes. Ids are given here, in order, so that events of one license sort by them.
 */
export function toEventRows(changes: readonly RecordedChange[]): (Prisma.EventCreateManyInput & { id: string })[] {
  const request = currentRequest();
  return changes
    .filter(({ action }) => isEventType(action))
    .map(({ action, resource, licenseId, occurredAt, environmentId, ...change }) => ({
      id: uuidv7(),
      type: action,
      resourceType: resource.type,
      resourceId: resource.id,
      licenseId: licenseId ?? (resource.type === 'license' ? resource.id : undefined),
      data: dataOf(change),
      actorType: request?.actor.type ?? 'system',
      actorId: request?.actor.id,
      requestId: request?.requestId,
      occurredAt,
      ...(environmentId === undefined ? {} : { environmentId }),
      ...(resource.segmentId === undefined ? {} : { segmentId: resource.segmentId }),
    }));
}

/** `object` is what it is now, or was when it went; `previous` the fields that changed, as they were. */
function dataOf({ before, after, object, changed }: Omit<RecordedChange, 'action' | 'resource'>): Prisma.JsonObject {
  if (object !== undefined) return { object: withoutSecrets(object), entitlement: withoutSecrets(after ?? before ?? {}) };
  const whole = { object: withoutSecrets(after ?? before ?? {}) };
  return before !== undefined && after !== undefined ? { ...whole, previous: changed.before } : whole;
}
