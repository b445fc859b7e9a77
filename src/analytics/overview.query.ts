import type { Db, Tenant } from '../core/database.js';
import { prepared } from '../core/prepared.js';
import type { LicensesAlike } from '../domain/license-counts.js';
import { WHOLE } from '../domain/roll-ups.js';
import { Prisma } from '../generated/prisma/client.js';

/** What the overview is made of. */
export interface OverviewFacts {
  licenses: LicensesAlike[];
  /** Machines that hold seats, and those of them that are dead. */
  machines: number;
  deadMachines: number;
  /** Activations by day (`2026-01-15`), of days that had any. */
  activations: { date: string; count: number }[];
  /** Validations since ever: by `outcome` (successful, failed) and by `code`. */
  validations: { dimension: 'outcome' | 'code'; name: string; value: number }[];
}

const EVER = Prisma.raw(`'1970-01-01T00:00:00Z'::timestamptz`);
const whole = Prisma.raw(`'${WHOLE}'::uuid`);

/** Buckets of a group of `edge` from the start of the wider unit to that of the finer one, both around `edge.at`. */
const finerBuckets = (unit: string, within: string): Prisma.Sql =>
  Prisma.raw(`
  SELECT bucket.licenses
    FROM license_tally AS bucket
   WHERE bucket.environment_id = edge.environment_id AND bucket.segment_id = edge.segment_id AND bucket.unit = '${unit}'
     AND bucket.policy_id = edge.policy_id AND bucket.test_clock_id = edge.test_clock_id AND bucket.held = edge.held
     AND bucket.expires_in >= date_trunc('${within}', edge.at) AND bucket.expires_in < date_trunc('${unit}', edge.at)`);

interface Asked {
  environmentId: Prisma.Sql;
  /** The nil UUID = the whole environment. */
  segmentId: Prisma.Sql;
  now: Prisma.Sql;
}

/**
 * Licenses that are alike (`LicensesAlike`). How many have reached their expiry by a time is a sum of whole months, the days
 * of its month before its day, the hours of its day, and the minutes of its hour: ranges of an index, as many for ten licenses
 * as for ten million. The minute of the time itself is not over: in real time a count is late by so much at most. Where a test
 * clock stands it would be late for ever, so the licenses of that minute are looked at themselves.
 */
const licenseGroups = ({ environmentId, segmentId, now }: Asked): Prisma.Sql => Prisma.sql`
         life AS (
      SELECT tally.*, policy.is_trial, policy.expiration_strategy = 'REVOKE' AS revokes, COALESCE(clock.frozen_at, ${now}) AS now,
             make_interval(hours => 24 * policy.grace_period_days) AS grace
        FROM license_tally AS tally
        JOIN policy ON policy.id = tally.policy_id
        LEFT JOIN test_clock AS clock ON clock.id = tally.test_clock_id
       WHERE tally.environment_id = ${environmentId} AND tally.segment_id = ${segmentId} AND tally.unit = 'month' AND tally.licenses <> 0
    ), edge AS (
      SELECT life.environment_id, life.segment_id, life.policy_id, life.test_clock_id, life.held, life.is_trial, life.revokes, edge.name, edge.at,
             sum(life.licenses) AS licenses,
             COALESCE(sum(life.licenses) FILTER (WHERE life.expires_in < date_trunc('month', edge.at)), 0) AS reached,
             COALESCE(sum(life.licenses) FILTER (WHERE life.expires_in = date_trunc('month', edge.at)), 0) AS in_month
        FROM life
       CROSS JOIN LATERAL (VALUES ('over', life.now - life.grace), ('now', life.now), ('in7Days', life.now + make_interval(hours => 24 * 7)),
                                  ('in30Days', life.now + make_interval(hours => 24 * 30))) AS edge (name, at)
       WHERE edge.name = 'over' OR life.held = 'none'
       GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
    ), license_group AS (
      SELECT edge.held, edge.is_trial AS "isTrial", edge.revokes,
             sum(edge.licenses) FILTER (WHERE name = 'over') AS licenses,
             COALESCE(sum(edge.reached + COALESCE(finer.licenses, 0)) FILTER (WHERE name = 'over'), 0) AS over,
             COALESCE(sum(edge.reached + COALESCE(finer.licenses, 0)) FILTER (WHERE name = 'now'), 0) AS "reachedNow",
             COALESCE(sum(edge.reached + COALESCE(finer.licenses, 0)) FILTER (WHERE name = 'in7Days'), 0) AS "reachedIn7Days",
             COALESCE(sum(edge.reached + COALESCE(finer.licenses, 0)) FILTER (WHERE name = 'in30Days'), 0) AS "reachedIn30Days"
        FROM edge
        LEFT JOIN LATERAL (
             SELECT sum(bucket.licenses) AS licenses FROM (
               ${finerBuckets('day', 'month')} UNION ALL ${finerBuckets('hour', 'day')} UNION ALL ${finerBuckets('minute', 'hour')}
                UNION ALL
               SELECT 1
                 FROM license_tally AS bucket
                 JOIN license ON license.environment_id = bucket.environment_id AND license.test_clock_id = bucket.test_clock_id
                WHERE edge.test_clock_id <> ${whole}
                  AND bucket.environment_id = edge.environment_id AND bucket.segment_id = edge.segment_id AND bucket.unit = 'minute'
                  AND bucket.policy_id = edge.policy_id AND bucket.test_clock_id = edge.test_clock_id AND bucket.held = edge.held
                  AND bucket.expires_in = date_trunc('minute', edge.at) AND bucket.licenses <> 0
                  AND license.policy_id = edge.policy_id AND license.deleted_at IS NULL
                  AND license.expires_at >= date_trunc('minute', edge.at) AND license.expires_at <= edge.at
                  AND tallied(license) ->> 'held' = edge.held
             ) AS bucket
        ) AS finer ON edge.in_month <> 0 AND edge.held IN ('none', 'suspended')
       GROUP BY 1, 2, 3
    )`;

/** Everything in one statement. */
export async function findOverview(db: Db, tenant: Tenant, at: Date): Promise<OverviewFacts> {
  const environmentId = Prisma.sql`${tenant.environmentId}::uuid`;
  const segmentId = Prisma.sql`${tenant.segmentId ?? WHOLE}::uuid`;
  const now = Prisma.sql`${at}::timestamptz`;
  const [facts] = await db.$queryRaw<[OverviewFacts]>`${prepared}
    WITH
    ${licenseGroups({ environmentId, segmentId, now })}
    SELECT (SELECT COALESCE(json_agg(license_group), '[]') FROM license_group) AS licenses,
           (SELECT COALESCE(sum(machine_count * licenses), 0)::float8 FROM seat_tally
             WHERE environment_id = ${environmentId} AND segment_id = ${segmentId}) AS machines,
           (SELECT COALESCE(sum(dead.machines), 0)::float8
              FROM dead_machine_tally AS dead JOIN policy ON policy.id = dead.policy_id
             WHERE dead.environment_id = ${environmentId} AND dead.segment_id = ${segmentId} AND policy.require_heartbeat) AS "deadMachines",
           (SELECT COALESCE(json_agg(json_build_object('date', to_char(bucket, 'YYYY-MM-DD'), 'count', value)), '[]') FROM activity_count
             WHERE environment_id = ${environmentId} AND segment_id = ${segmentId} AND metric = 'activations' AND dimension = 'all'
               AND unit = 'day' AND bucket > ${now} - make_interval(days => 7) AND bucket <= ${now}) AS activations,
           (SELECT COALESCE(json_agg(json_build_object('dimension', dimension, 'name', name, 'value', value) ORDER BY value DESC, name), '[]')
              FROM activity_count
             WHERE environment_id = ${environmentId} AND segment_id = ${segmentId} AND metric = 'validations'
               AND dimension IN ('outcome', 'code') AND unit = 'all' AND bucket = ${EVER}) AS validations`;
  return facts;
}
