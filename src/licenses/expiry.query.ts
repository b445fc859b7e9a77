import type { Db, Tenant } from '../core/database.js';
import { DAY_MS } from '../domain/expiry.js';
import { Prisma } from '../generated/prisma/client.js';

/** A license for which something may have fallen due in real time, and whose it is. */
export interface Candidate extends Omit<Tenant, 'segmentId'> {
  id: string;
}

/** Exactly as license_expiring_idx and license_expired_idx say it: each holds what is not announced yet, and nothing else. */
const notAnnounced = (column: string): Prisma.Sql =>
  Prisma.raw(`license.deleted_at IS NULL AND license.test_clock_id IS NULL AND license.banned_at IS NULL AND license.revoked_at IS NULL
              AND license.${column} IS DISTINCT FROM license.expires_at`);

/**
 * Up to `limit` licenses of all tenants that expire within the notice, and as many whose grace has passed. What has been
 * announced, what is still in its grace and what no time can end (banned, or suspended unless its policy revokes) is not
 * even read, however much there is of it: one range of an index for the former, one for each policy for the latter.
 */
export function findCandidates(db: Db, now: Date, noticeDays: number, limit: number): Promise<Candidate[]> {
  const noticeEnd = new Date(now.getTime() + noticeDays * DAY_MS);
  return db.$queryRaw<Candidate[]>`
    WITH due AS (
      (SELECT license.id, license.environment_id
         FROM license
        WHERE license.expires_at > ${now} AND license.expires_at <= ${noticeEnd} AND license.suspended_at IS NULL
          AND ${notAnnounced('expiring_announced_for')}
        ORDER BY license.expires_at
        LIMIT ${limit})
      UNION ALL
      (SELECT over.id, over.environment_id
         FROM policy
        CROSS JOIN LATERAL (
          SELECT license.id, license.environment_id
            FROM license
           WHERE license.policy_id = policy.id AND license.suspended_at IS NULL
             AND license.expires_at <= ${now}::timestamptz - make_interval(hours => 24 * policy.grace_period_days)
             AND ${notAnnounced('expired_announced_for')}
          UNION ALL
          SELECT license.id, license.environment_id
            FROM license
           WHERE policy.expiration_strategy = 'REVOKE' AND license.policy_id = policy.id AND license.suspended_at IS NOT NULL
             AND license.expires_at <= ${now}::timestamptz - make_interval(hours => 24 * policy.grace_period_days)
             AND ${notAnnounced('expired_announced_for')}
        ) AS over
        LIMIT ${limit})
    )
    SELECT due.id, environment.id AS "environmentId", environment.account_id AS "accountId", environment.name AS environment
      FROM due JOIN environment ON environment.id = due.environment_id
     ORDER BY environment.id, due.id`;
}
