import type { Db } from '../core/database.js';

/** A license of an earlier version, with the key that its digest is made of. */
export interface Undigested {
  id: string;
  accountId: string;
  keySealed: Uint8Array;
}

/**
 * The first of the living licenses behind `after` that have no offline digest, in the order of their ids; at most `count`. All
 * that are not held just now are held until the end of the work, so that no key changes under its digest.
 */
export function holdUndigested(db: Db, after: string, count: number): Promise<Undigested[]> {
  return db.$queryRaw<Undigested[]>`
    SELECT license.id, environment.account_id AS "accountId", license.key_sealed AS "keySealed"
      FROM license JOIN environment ON environment.id = license.environment_id
     WHERE license.offline_digest IS NULL AND license.deleted_at IS NULL AND license.id > ${after}::uuid
     ORDER BY license.id
     LIMIT ${count}::int
       FOR NO KEY UPDATE OF license SKIP LOCKED`;
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
