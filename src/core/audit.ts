import type { Prisma } from '../generated/prisma/client.js';
import type { Db } from './database.js';
import { currentRequest } from './request-context.js';

/** One thing that somebody did to one resource. */
export interface Change {
  /** `<resource>.<what happened>`, like `license.suspended`. */
  action: string;
  /** `segmentId` is the resource's: what others do to it is of its segment too. By default that of the work. */
  resource: { type: string; id: string; segmentId?: string | null };
  /** The view before; absent for what was not there. Never with a secret: views for the log are made without. */
  before?: object;
  /** The view after; absent for what is gone. */
  after?: object;
  /** Where the work crosses tenants, whose log it belongs to; otherwise that of the work. */
  environmentId?: string;
}

/** Fields of views that say nothing about a change, or must not be kept. */
const LEFT_OUT = new Set(['updatedAt', 'key', 'secret']);

/**
 * Write the change into the audit log, in the transaction that makes it (contract: auth.md, "Failures are evidence").
 * Of a change only the fields that differ are kept; nothing is written when none does.
 */
export async function recordChange(db: Db, { action, resource, before, after, environmentId }: Change): Promise<void> {
  const changed = differences(before, after);
  if (before !== undefined && after !== undefined && Object.keys(changed.after).length === 0) return;
  const request = currentRequest();
  await db.auditEntry.createMany({
    data: {
      action,
      resourceType: resource.type,
      resourceId: resource.id,
      actorType: request?.actor.type ?? 'system',
      actorId: request?.actor.id,
      ip: request?.ip,
      requestId: request?.requestId,
      before: before === undefined ? undefined : changed.before,
      after: after === undefined ? undefined : changed.after,
      ...(environmentId === undefined ? {} : { environmentId }),
      ...(resource.segmentId === undefined ? {} : { segmentId: resource.segmentId }),
    },
  });
}

/** The fields that differ; all of them when there is only one side. As JSON, because that is how they are compared and kept. */
export function differences(before: object = {}, after: object = {}): { before: Prisma.JsonObject; after: Prisma.JsonObject } {
  const [old, now] = [asJson(before), asJson(after)];
  const names = [...new Set([...Object.keys(old), ...Object.keys(now)])].filter((name) => !LEFT_OUT.has(name));
  const differing = names.filter((name) => JSON.stringify(old[name]) !== JSON.stringify(now[name]));
  const pick = (from: Prisma.JsonObject): Prisma.JsonObject =>
    Object.fromEntries(differing.filter((name) => from[name] !== undefined).map((name) => [name, from[name]]));
  return { before: pick(old), after: pick(now) };
}

function asJson(view: object): Prisma.JsonObject {
  return JSON.parse(JSON.stringify(view)) as Prisma.JsonObject;
}
