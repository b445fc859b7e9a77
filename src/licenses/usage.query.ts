import type { Db, Tenant } from '../core/database.js';
import { type Counter, MAX_USES } from '../domain/usage.js';
import { Prisma } from '../generated/prisma/client.js';

/**
 * Count uses, up or down, in one guarded statement with no read before it: never above the limit that holds then, never
 * below zero, and only in a state that `requireCountable` lets count; so many at once need no retry. False when nothing
 * was counted. `now` is real time: of a license with a test clock, the clock's time decides.
 */
export async function countUses(
  db: Db,
  { environment }: Tenant,
  id: string,
  increment: number,
  counter: Counter,
  now: Date,
): Promise<boolean> {
  const time = Prisma.sql`COALESCE((SELECT frozen_at FROM test_clock WHERE test_clock.id = license.test_clock_id), ${now}::timestamptz)`;
  // A clock is turned while its licenses are held: the time is read after whoever turns it has ended, by another statement.
  if (environment === 'test') {
    await db.$queryRaw`SELECT 1 FROM license WHERE id = ${id}::uuid AND test_clock_id IS NOT NULL FOR NO KEY UPDATE`;
  }
  // As `expiryState` counts it: a day is 86,400 s, whatever the session's zone.
  const isOver = Prisma.sql`COALESCE(${time} >= license.expires_at + policy.grace_period_days * interval '86400 seconds', false)`;
  const mayRun = Prisma.sql`AND license.suspended_at IS NULL AND license.banned_at IS NULL
         AND NOT (policy.expiration_strategy <> 'ALLOW_ACCESS' AND ${isOver})`;
  const counted = await db.$executeRaw`
    UPDATE license
       SET uses_count = license.uses_count + ${increment}::int, updated_at = ${time}
      FROM policy
     WHERE license.id = ${id}::uuid AND license.deleted_at IS NULL
       AND policy.environment_id = license.environment_id AND policy.id = license.policy_id
       AND license.revoked_at IS NULL AND NOT (policy.expiration_strategy = 'REVOKE' AND ${isOver})
       ${counter === 'license' ? mayRun : Prisma.empty}
       AND license.uses_count::bigint + ${increment}::int >= 0
       AND (${increment}::int < 0
            OR license.uses_count::bigint + ${increment}::int <= COALESCE(license.max_uses_override, policy.max_uses, ${MAX_USES}::int))`;
  return counted > 0;
}
