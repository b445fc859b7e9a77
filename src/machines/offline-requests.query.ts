import type { Db } from '../core/database.js';
import { prepared } from '../core/prepared.js';

/** Whose key it is that has an offline digest, and how long it still leads there. */
interface LicenseOfOfflineDigest {
  id: string;
  /** By the license's clock; null = it is the license's own. */
  keyValidUntil: Date | null;
  frozenAt: Date | null;
}

/**
 * The license of the tenant that a key with this digest leads to: whose it is, else whose it was. Row-level security hides
 * licenses of other segments; null when there is none.
 */
export async function findByOfflineDigest(
  db: Db,
  environmentId: string,
  digest: Uint8Array<ArrayBuffer>,
): Promise<LicenseOfOfflineDigest | null> {
  const [found] = await db.$queryRaw<LicenseOfOfflineDigest[]>`${prepared}
    SELECT license.id, key.valid_until AS "keyValidUntil", test_clock.frozen_at AS "frozenAt"
      FROM (SELECT id, NULL::timestamptz AS valid_until, NULL::timestamptz AS given_up_at
              FROM license WHERE environment_id = ${environmentId}::uuid AND offline_digest = ${digest} AND deleted_at IS NULL
            UNION ALL
            SELECT license_id, valid_until, created_at
              FROM former_license_key WHERE environment_id = ${environmentId}::uuid AND offline_digest = ${digest}) AS key
      JOIN license ON license.id = key.id
      LEFT JOIN test_clock ON test_clock.id = license.test_clock_id
     WHERE license.deleted_at IS NULL
     ORDER BY key.given_up_at DESC NULLS FIRST
     LIMIT 1`;
  return found ?? null;
}
