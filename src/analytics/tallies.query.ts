import type { Db, Tenant } from '../core/database.js';
import { nameSeenBy } from './names.query.js';
import type { CohortCounts } from '../domain/cohorts.js';
import { WHOLE } from '../domain/roll-ups.js';
import type { SeatHolders, SeatRules } from '../domain/seat-use.js';
import { Prisma } from '../generated/prisma/client.js';

function ofTenant(tenant: Tenant): Prisma.Sql {
  return Prisma.sql`tally.environment_id = ${tenant.environmentId}::uuid AND tally.segment_id = ${tenant.segmentId ?? WHOLE}::uuid`;
}

/** Living licenses that no state outranks expiry for, by the day on which they expire; of days that have any. */
export function findExpirations(db: Db, tenant: Tenant, from: Date, to: Date): Promise<{ day: Date; licenses: number }[]> {
  return db.$queryRaw<{ day: Date; licenses: number }[]>`
    SELECT expires_in AS day, sum(licenses)::float8 AS licenses
      FROM license_tally AS tally
     WHERE ${ofTenant(tenant)} AND unit = 'day' AND held = 'none'
       AND expires_in >= ${from}::timestamptz AND expires_in < ${to}::timestamptz
     GROUP BY expires_in`;
}

export interface PolicySeats extends SeatRules {
  policyId: string;
  policyName: string;
  holders: SeatHolders[];
}

/** Of policies that have licenses, by name; of a policy that the caller may use and not see the name is its id. */
export function findSeats(db: Db, tenant: Tenant): Promise<PolicySeats[]> {
  return db.$queryRaw<PolicySeats[]>`
    SELECT policy.id AS "policyId", ${nameSeenBy(tenant, 'policy')} AS "policyName", policy.max_machines AS "maxMachines",
           policy.overage_strategy AS "overageStrategy",
           json_agg(json_build_object('maxMachinesOverride', nullif(tally.max_machines_override, -1),
                                      'machineCount', tally.machine_count, 'licenses', tally.licenses)) AS holders
      FROM seat_tally AS tally JOIN policy ON policy.id = tally.policy_id
     WHERE ${ofTenant(tenant)} AND tally.licenses <> 0
     GROUP BY policy.id, policy.name, policy.segment_id, policy.max_machines, policy.overage_strategy
     ORDER BY "policyName", policy.id`;
}

/** By the month in which they were made; of months that have any. */
export function findCohorts(db: Db, tenant: Tenant, from: Date, to: Date): Promise<(CohortCounts & { month: Date })[]> {
  return db.$queryRaw<(CohortCounts & { month: Date })[]>`
    SELECT created_in AS month, licenses::float8, trials::float8, converted::float8, due::float8, renewed::float8
      FROM cohort_tally AS tally
     WHERE ${ofTenant(tenant)} AND created_in >= ${from}::timestamptz AND created_in < ${to}::timestamptz`;
}
