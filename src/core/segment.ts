import { notFound } from '../domain/errors.js';
import { Prisma } from '../generated/prisma/client.js';
import type { Db, Tenant } from './database.js';
import { prepared } from './prepared.js';

/**
 * The flair `segment` (contract: auth.md, "API keys"; docs/decisions/0002-tenancy.md): such a key sees and changes only
 * what is of its segment, and may name products, policies and entitlements of others when it creates. Row-level security
 * hides others' licenses, machines and test clocks from it; products, policies and entitlements are kept apart here.
 */

/**
 * Condition for the rows that the caller sees: all of the environment's, or those of its segment. Also where row-level
 * security says the same, because only a plain equality can use the segment's index.
 */
export function ofSegment(tenant: Tenant): { segmentId?: string } {
  return tenant.segmentId === null ? {} : { segmentId: tenant.segmentId };
}

/** A resource whose row is held, as the audit log names it. */
export interface Held {
  type: 'product' | 'policy' | 'entitlement' | 'license' | 'test_clock';
  id: string;
  segmentId: string | null;
}

/**
 * Hold a living row that the caller may change until the end of the work: changes to it, its deletion among them, come
 * one after the other. Whoever refers to it meanwhile does not wait. `field` names the reference in the body that led here.
 * @throws 404
 */
export function hold(db: Db, tenant: Tenant, type: Held['type'], id: string, field?: string): Promise<Held> {
  return holdRow(db, tenant, type, id, 'FOR NO KEY UPDATE', field);
}

/** Held to be deleted: only when nobody refers to it any more in a work that has not ended (`FOR KEY SHARE`). */
export function holdToDelete(db: Db, tenant: Tenant, type: Held['type'], id: string): Promise<Held> {
  return holdRow(db, tenant, type, id, 'FOR UPDATE');
}

async function holdRow(db: Db, tenant: Tenant, type: Held['type'], id: string, lock: string, field?: string): Promise<Held> {
  const mine = tenant.segmentId === null ? Prisma.empty : Prisma.sql`AND segment_id = ${tenant.segmentId}::uuid`;
  const [row] = await db.$queryRaw<{ segmentId: string | null }[]>`${prepared}
    SELECT segment_id AS "segmentId" FROM ${Prisma.raw(type)} WHERE id = ${id}::uuid AND deleted_at IS NULL ${mine} ${Prisma.raw(lock)}`;
  if (row === undefined) throw notFound(type.replace('_', ' '), field);
  return { type, id, segmentId: row.segmentId };
}

/**
 * For a rule that is about everyone's rows: row-level security would hide those of others from a segment key, and the
 * rule would be broken. `work` reads, or does what follows for everyone; the caller is told no more than the verdict. `reason` says why; a test
 * lists the callers. When `work` throws, the whole unit of work must fail with it.
 */
export async function acrossSegments<T>(db: Db, tenant: Tenant, reason: string, work: () => Promise<T>): Promise<T> {
  if (tenant.segmentId === null) return work();
  await db.$executeRaw`SELECT set_config('app.segment_id', '', true), set_config('app.reason', ${reason}, true)`;
  const found = await work();
  await db.$executeRaw`SELECT set_config('app.segment_id', ${tenant.segmentId}, true), set_config('app.reason', '', true)`;
  return found;
}
