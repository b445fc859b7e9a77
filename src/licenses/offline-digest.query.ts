import type { Db, Tenant } from '../core/database.js';

/** A license of an earlier version, and whose it is. */
export interface Undigested extends Omit<Tenant, 'segmentId'> {
  id: string;
}

/** The first of the living licenses behind `after` that have no offline digest, in the order of their ids; at most `count`. */
export function findUndigested(db: Db, after: string, count: number): Promise<Undigested[]> {
  return db.$queryRaw<Undigested[]>`
    SELECT license.id, environment.id AS "environmentId", environment.name AS environment, environment.account_id AS "accountId"
      FROM license JOIN environment ON environment.id = license.environment_id
     WHERE license.offline_digest IS NULL AND license.deleted_at IS NULL AND license.id > ${after}::uuid
     ORDER BY license.id
     LIMIT ${count}::int`;
}

/** The sealed keys of those among them that nobody holds just now; held until the end of the work, so that no key changes under its digest. */
export function holdSealedKeys(db: Db, ids: readonly string[]): Promise<{ id: string; keySealed: Uint8Array }[]> {
  return db.$queryRaw<{ id: string; keySealed: Uint8Array }[]>`
    SELECT id, key_sealed AS "keySealed" FROM license
     WHERE id = ANY(${ids}::uuid[]) AND offline_digest IS NULL
     ORDER BY id
       FOR NO KEY UPDATE SKIP LOCKED`;
}

/** Nothing else of the licenses changes, and no history is made of it. */
export async function keepDigests(db: Db, digests: ReadonlyMap<string, Uint8Array<ArrayBuffer>>): Promise<void> {
  if (digests.size === 0) return;
  const [ids, values] = [[...digests.keys()], [...digests.values()]];
  await db.$executeRaw`
    UPDATE license SET offline_digest = digest.value
      FROM unnest(${ids}::uuid[], ${values}::bytea[]) AS digest (id, value)
     WHERE license.id = digest.id`;
}
