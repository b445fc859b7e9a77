import { v7 as uuidv7 } from 'uuid';
import { canonicalJson } from '../domain/canonical-json.js';
import type { Prisma } from '../generated/prisma/client.js';
import type { Db } from './database.js';
import { insertMany } from './insert.js';
import { type EventRow, toEventRow, toEventRows } from './outbox.js';
import { currentRequest } from './request-context.js';
import { markEvents } from './written-events.js';

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
  /** The license that it is about, where that is not the resource: its history tells it too. */
  licenseId?: string;
  /** The test clock's time, for what is attached to one. */
  occurredAt?: Date;
  /** The resource as others are told of it, where before and after are something else about it: an attachment, a report. */
  object?: object;
  /** What else its event's `data` says, beside the object: no secrets. */
  beside?: Prisma.JsonObject;
}

/** Says nothing about a change. */
const NO_CHANGE = 'updatedAt';

/** Names of fields that hold secrets, without their case and underscores. */
const SECRETS = new Set([
  'accesstoken',
  'apikey',
  'authorization',
  'clientsecret',
  'digest',
  'jwt',
  'key',
  'keysealed',
  'licensekey',
  'password',
  'privatekey',
  'refreshtoken',
  'secret',
  'token',
]);
const REDACTED = '[redacted]';

/** A change with its differences. */
export interface RecordedChange extends Change {
  changed: ReturnType<typeof differences>;
}

/**
 * Write the change into the audit log, and into the outbox when others are told of its like, in the transaction that
 * makes it (contract: auth.md, "Failures are evidence"; webhooks.md, "Events"). Nothing is written when nothing differs.
 */
export function recordChange(db: Db, change: Change): Promise<void> {
  return recordChanges(db, [change]);
}

/** The same for many at once, in their order. */
export async function recordChanges(db: Db, changes: readonly Change[]): Promise<void> {
  const recorded = withDifferences(changes);
  if (recorded.length === 0) return;
  const request = currentRequest();
  await insertMany(
    db,
    'audit_entry',
    recorded.map(({ action, resource, before, after, environmentId, changed }) => ({
      id: uuidv7(),
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
    })),
  );
  await writeEvents(db, recorded);
}

/**
 * Only the outbox's part: for what happens to a resource while it is used, which nobody answers for like for managing
 * it – a license that is validated for the first time, a use that is counted. Answers the ids of the events.
 */
export function recordEvents(db: Db, changes: readonly Change[]): Promise<string[]> {
  return writeEvents(db, withDifferences(changes));
}

/** An event of what is told also when nothing differs: a beat at the instant of the last. */
export async function recordOccurrence(db: Db, change: Change): Promise<void> {
  await writeRows(db, [toEventRow(change)]);
}

function writeEvents(db: Db, changes: readonly RecordedChange[]): Promise<string[]> {
  return writeRows(db, toEventRows(changes));
}

async function writeRows(db: Db, rows: readonly EventRow[]): Promise<string[]> {
  if (rows.length === 0) return [];
  await insertMany(db, 'event', rows);
  markEvents(db);
  return rows.map(({ id }) => id);
}

/** Those in which anything differs. */
function withDifferences(changes: readonly Change[]): RecordedChange[] {
  return changes.map((change) => ({ ...change, changed: differences(change.before, change.after) })).filter(isChange);
}

function isChange({ before, after, changed }: RecordedChange): boolean {
  return before === undefined || after === undefined || Object.keys(changed.before).length + Object.keys(changed.after).length > 0;
}

/** A view as it is kept and told: JSON, without its secrets. */
export function withoutSecrets(view: object): Prisma.JsonObject {
  return withoutSecretFields(asJson(view));
}

/**
 * The fields that differ, each whole; all of them when there is only one side. As JSON, because that is how they are kept
 * and answered. Secrets are left out, and are redacted where they stand inside of a field: also when a caller forgot.
 */
export function differences(before: object = {}, after: object = {}): { before: Prisma.JsonObject; after: Prisma.JsonObject } {
  const [old, now] = [asJson(before), asJson(after)];
  const names = [...new Set([...Object.keys(old), ...Object.keys(now)])].filter((name) => name !== NO_CHANGE && !isSecret(name));
  const differing = names.filter((name) => !(name in old && name in now) || canonicalJson(old[name]) !== canonicalJson(now[name]));
  const pick = (from: Prisma.JsonObject): Prisma.JsonObject =>
    Object.fromEntries(differing.filter((name) => name in from).map((name) => [name, redacted(from[name])]));
  return { before: pick(old), after: pick(now) };
}

function asJson(view: object): Prisma.JsonObject {
  return JSON.parse(JSON.stringify(view, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value))) as Prisma.JsonObject;
}

function withoutSecretFields(view: Prisma.JsonObject): Prisma.JsonObject {
  const told = Object.entries(view).filter(([name]) => !isSecret(name));
  return Object.fromEntries(told.map(([name, value]) => [name, redacted(value)]));
}

function isSecret(name: string): boolean {
  return SECRETS.has(name.replace(/[_-]/g, '').toLowerCase());
}

function redacted(value: Prisma.JsonValue | undefined): Prisma.JsonValue | undefined {
  if (Array.isArray(value)) return value.map((item) => redacted(item) ?? null);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, isSecret(name) ? REDACTED : redacted(item)]));
}
