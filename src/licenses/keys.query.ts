import type { Database } from '../core/database.js';
import { taken } from '../domain/errors.js';

/**
 * Former keys that still work, by the clock of the license that had them: $1 a digest, $2 real time, $3 a license whose own
 * do not count. A vendor's own key is unique in its account, and the account's other environment is another tenant.
 */
const FIND_FORMER_KEY_IN_FORCE = {
  name: 'find_former_key_in_force',
  text: `
    SELECT former.license_id AS "licenseId"
      FROM former_license_key AS former
      JOIN license ON license.id = former.license_id
      LEFT JOIN test_clock ON test_clock.id = license.test_clock_id
     WHERE former.key_digest = $1 AND former.license_id <> $3 AND license.deleted_at IS NULL
       AND former.valid_until > COALESCE(test_clock.frozen_at, $2)
     LIMIT 1`,
};

/**
 * A key that was rotated out is its license's until its overlap ends. To be asked after the key is written: whoever rotates
 * it out at the same time has then committed, or was waited for.
 * @throws 409 CONFLICT naming the field `key`
 */
export async function requireKeyIsFree(
  database: Database,
  { id, keyDigest }: { id: string; keyDigest: Uint8Array<ArrayBuffer> },
  now: Date,
): Promise<void> {
  const found = await database.lookup(FIND_FORMER_KEY_IN_FORCE, [keyDigest, now, id]);
  if (found.length > 0) throw taken('key');
}
