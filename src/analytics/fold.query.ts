import type { Db } from '../core/database.js';
import { prepared } from '../core/prepared.js';
import { Prisma } from '../generated/prisma/client.js';
import { OTHER_NAMES, SIGHTINGS_PER_LICENSE, VERSIONS_PER_DAY, WHOLE } from '../domain/roll-ups.js';

/**
 * Folding: what waits in `tally_change` and `validation_batch` is taken and added to the roll-ups, in one statement each, so
 * that it is there once or not at all. Only for whoever has the turn: two that folded at once would wait for each other.
 */

const whole = Prisma.raw(`'${WHOLE}'::uuid`);
const EVER = Prisma.raw(`'1970-01-01T00:00:00Z'::timestamptz`);

/** For the whole environment, and for the segment if there is one. */
const forEachSegment = (segmentId: string): Prisma.Sql => Prisma.sql`
  LATERAL (SELECT ${whole} UNION ALL SELECT ${Prisma.raw(segmentId)} WHERE ${Prisma.raw(segmentId)} IS NOT NULL) AS seen_by (segment_id)`;

/** A count in the buckets of `at`. */
const inEachUnit = (at: string): Prisma.Sql => Prisma.sql`
  LATERAL (VALUES ('all', ${EVER}), ('day', date_trunc('day', ${Prisma.raw(at)})), ('hour', date_trunc('hour', ${Prisma.raw(at)})))
       AS unit (name, bucket)`;

const addActivity = Prisma.sql`
  ON CONFLICT (environment_id, segment_id, metric, dimension, unit, bucket, name)
  DO UPDATE SET value = activity_count.value + EXCLUDED.value`;

/** Whether anything waits to be folded: asked every second, so by the role that may only look, in one round trip. */
export const FIND_WHAT_WAITS = {
  name: 'find_what_waits_for_roll_ups',
  text: `
    SELECT EXISTS (SELECT place FROM tally_change) AS changes, EXISTS (SELECT counted_at FROM validation_batch) AS validations`,
};

export interface WhatWaits {
  changes: boolean;
  validations: boolean;
}

/** What the taken changes come to, in every roll-up: a change takes away what a row was, and adds what it is. */
const CHANGES_ADD_UP = Prisma.sql`
         signed AS (
      SELECT environment_id, kind, -1 AS sign, before AS state FROM taken WHERE before IS NOT NULL
       UNION ALL
      SELECT environment_id, kind, 1, after FROM taken WHERE after IS NOT NULL
    ), license AS (
      SELECT signed.environment_id, seen_by.segment_id, signed.sign, license.*
        FROM signed
       CROSS JOIN LATERAL jsonb_to_record(signed.state) AS license (
             segment uuid, product uuid, policy uuid, clock uuid, held text, "expiresAt" timestamptz, "expiredFor" timestamptz,
             seats int, machines int, "createdAt" timestamptz, lives boolean, trial boolean, converted boolean, renewed boolean)
       CROSS JOIN ${forEachSegment('license.segment')}
       WHERE signed.kind IN ('license', 'rebuilt_license')
    ), machine AS (
      SELECT signed.environment_id, seen_by.segment_id, signed.sign * COALESCE(machine.count, 1) AS sign, machine.*
        FROM signed
       CROSS JOIN LATERAL jsonb_to_record(signed.state) AS machine (
             segment uuid, product uuid, policy uuid, platform text, "createdAt" timestamptz, "deletedAt" timestamptz, count int)
       CROSS JOIN ${forEachSegment('machine.segment')}
       WHERE signed.kind = 'machine'
    ), expiry AS (
      -- Once each, whatever becomes of the license afterwards; in the bucket of its expiry, however late it is announced.
      SELECT taken.environment_id, seen_by.segment_id, license.product, license.policy, license."expiredFor" AS at
        FROM taken
       CROSS JOIN LATERAL jsonb_to_record(taken.after) AS license (segment uuid, product uuid, policy uuid, "expiredFor" timestamptz)
       CROSS JOIN ${forEachSegment('license.segment')}
       WHERE taken.kind = 'license' AND license."expiredFor" IS NOT NULL
         AND taken.before ->> 'expiredFor' IS DISTINCT FROM taken.after ->> 'expiredFor'
    ), by_expiry AS (
      INSERT INTO license_tally (environment_id, segment_id, unit, policy_id, test_clock_id, held, expires_in, licenses)
      SELECT environment_id, segment_id, unit, policy, COALESCE(clock, ${whole}), held,
             date_trunc(unit, COALESCE("expiresAt", 'infinity')), sum(sign)
        FROM license CROSS JOIN unnest(ARRAY['month', 'day', 'hour', 'minute']) AS unit
       WHERE lives GROUP BY 1, 2, 3, 4, 5, 6, 7 HAVING sum(sign) <> 0
      ON CONFLICT (environment_id, segment_id, unit, policy_id, test_clock_id, held, expires_in)
      DO UPDATE SET licenses = license_tally.licenses + EXCLUDED.licenses
    ), by_seats AS (
      INSERT INTO seat_tally (environment_id, segment_id, policy_id, max_machines_override, machine_count, licenses)
      SELECT environment_id, segment_id, policy, COALESCE(seats, -1), machines, sum(sign)
        FROM license WHERE lives GROUP BY 1, 2, 3, 4, 5 HAVING sum(sign) <> 0
      ON CONFLICT (environment_id, segment_id, policy_id, max_machines_override, machine_count)
      DO UPDATE SET licenses = seat_tally.licenses + EXCLUDED.licenses
    ), by_cohort AS (
      INSERT INTO cohort_tally (environment_id, segment_id, created_in, licenses, trials, converted, due, renewed)
      SELECT environment_id, segment_id, date_trunc('month', "createdAt"), sum(sign), COALESCE(sum(sign) FILTER (WHERE trial), 0),
             COALESCE(sum(sign) FILTER (WHERE converted), 0), COALESCE(sum(sign) FILTER (WHERE renewed OR "expiredFor" IS NOT NULL), 0),
             COALESCE(sum(sign) FILTER (WHERE renewed), 0)
        FROM license WHERE lives GROUP BY 1, 2, 3
      ON CONFLICT (environment_id, segment_id, created_in)
      DO UPDATE SET licenses = cohort_tally.licenses + EXCLUDED.licenses, trials = cohort_tally.trials + EXCLUDED.trials,
                    converted = cohort_tally.converted + EXCLUDED.converted, due = cohort_tally.due + EXCLUDED.due,
                    renewed = cohort_tally.renewed + EXCLUDED.renewed
    ), by_death AS (
      INSERT INTO dead_machine_tally (environment_id, segment_id, policy_id, machines)
      SELECT signed.environment_id, seen_by.segment_id, death.policy, sum(signed.sign)
        FROM signed
       CROSS JOIN LATERAL jsonb_to_record(signed.state) AS death (segment uuid, policy uuid)
       CROSS JOIN ${forEachSegment('death.segment')}
       WHERE signed.kind = 'death' GROUP BY 1, 2, 3 HAVING sum(signed.sign) <> 0
      ON CONFLICT (environment_id, segment_id, policy_id) DO UPDATE SET machines = dead_machine_tally.machines + EXCLUDED.machines
    ), activity AS (
      SELECT environment_id, segment_id, 'licenses_created' AS metric, sign, "createdAt" AS at, product, policy, NULL AS platform FROM license
       UNION ALL SELECT environment_id, segment_id, 'licenses_expired', 1, at, product, policy, NULL FROM expiry
       UNION ALL SELECT environment_id, segment_id, 'activations', sign, "createdAt", product, policy, platform FROM machine
       UNION ALL SELECT environment_id, segment_id, 'active_machines', sign, "createdAt", product, policy, platform FROM machine
       UNION ALL SELECT environment_id, segment_id, 'deactivations', sign, "deletedAt", product, policy, platform FROM machine
                  WHERE "deletedAt" IS NOT NULL
       UNION ALL SELECT environment_id, segment_id, 'active_machines', -sign, "deletedAt", product, policy, platform FROM machine
                  WHERE "deletedAt" IS NOT NULL
    ), counted AS (
      INSERT INTO activity_count (environment_id, segment_id, metric, dimension, unit, bucket, name, value)
      SELECT activity.environment_id, activity.segment_id, activity.metric, dimension.dimension, unit.name, unit.bucket, dimension.name,
             sum(activity.sign)
        FROM activity
       CROSS JOIN LATERAL (VALUES ('all', ''), ('productId', activity.product::text), ('policyId', activity.policy::text),
                                  ('platform', activity.platform)) AS dimension (dimension, name)
       CROSS JOIN ${inEachUnit('activity.at')}
       WHERE dimension.name IS NOT NULL GROUP BY 1, 2, 3, 4, 5, 6, 7 HAVING sum(activity.sign) <> 0
      ${addActivity}
    )
`;

/** Fold the first `count` changes, of everyone or of one environment; answers how many there were. */
export async function foldChanges(db: Db, count: number, environmentId?: string): Promise<number> {
  const those = environmentId === undefined ? Prisma.empty : Prisma.sql`WHERE environment_id = ${environmentId}::uuid`;
  const [folded] = await db.$queryRaw<{ changes: number }[]>`${prepared}
    WITH taken AS (
      DELETE FROM tally_change WHERE place = ANY(ARRAY(SELECT place FROM tally_change ${those} ORDER BY place LIMIT ${count}::int))
      RETURNING environment_id, kind, before, after
    ),
    ${CHANGES_ADD_UP}
    SELECT count(*)::int AS changes FROM taken`;
  return folded?.changes ?? 0;
}

/** What a row that is tallied is to the roll-ups; an expiry that was announced is counted of `license` alone. */
export type TalliedKind = 'rebuilt_license' | 'machine' | 'death';

/** Add what rows of an environment come to, as if each came now; `states` is a JSON array of what `tallied` made of them. */
export async function foldStates(db: Db, environmentId: string, kind: TalliedKind, states: string): Promise<void> {
  await db.$queryRaw`
    WITH taken AS MATERIALIZED (
      SELECT ${environmentId}::uuid AS environment_id, ${kind}::text AS kind, NULL::jsonb AS before, state AS after
        FROM jsonb_array_elements(${states}::jsonb) AS state
    ),
    ${CHANGES_ADD_UP}
    SELECT count(*)::int AS rows FROM taken`;
}

/** What the validations of the taken batches come to. What a caller can make up is told apart up to a limit. */
const VALIDATIONS_ADD_UP = Prisma.sql`
         source AS (
      INSERT INTO validation_source (process_id, last_sequence, seen_at)
      SELECT process_id, max(sequence), now() FROM taken GROUP BY process_id
      ON CONFLICT (process_id)
      DO UPDATE SET last_sequence = GREATEST(validation_source.last_sequence, EXCLUDED.last_sequence), seen_at = EXCLUDED.seen_at
    ), seen AS (
      SELECT sort."environmentId" AS environment_id, sort."licenseId" AS license_id, license.segment_id, sort.hour,
             date_trunc('day', sort.hour) AS day, date_trunc('month', sort.hour) AS month, sort.code, sort.valid,
             sort."productId" AS product_id, sort."policyId" AS policy_id, machine.platform, sort.version, sort.fingerprint, sort.ip,
             sort.count,
             -- domain/anomalies.ts, explainingSeats
             CASE WHEN COALESCE(license.max_machines_override, policy.max_machines) IS NOT NULL
                  THEN GREATEST(COALESCE(license.max_machines_override, policy.max_machines), license.machine_count, 1) END AS seats
        FROM taken
        LEFT JOIN validation_source AS folded ON folded.process_id = taken.process_id
       CROSS JOIN LATERAL jsonb_to_recordset(taken.counts) AS sort (
             "environmentId" uuid, "licenseId" uuid, "productId" uuid, "policyId" uuid, hour timestamptz, code text, valid boolean,
             "machineId" uuid, fingerprint text, ip text, version text, count bigint)
        LEFT JOIN license ON license.id = sort."licenseId"
        LEFT JOIN policy ON policy.id = license.policy_id
        LEFT JOIN machine ON machine.id = sort."machineId"
       WHERE taken.sequence > COALESCE(folded.last_sequence, 0)
    ), sent AS (
      SELECT environment_id, day, version, sum(count) AS validations,
             EXISTS (SELECT FROM activity_count AS known
                      WHERE known.environment_id = seen.environment_id AND known.segment_id = ${whole} AND known.metric = 'validations'
                        AND known.dimension = 'version' AND known.unit = 'day' AND known.bucket = seen.day AND known.name = seen.version) AS is_known
        FROM seen WHERE version IS NOT NULL GROUP BY environment_id, day, version
    ), day AS (
      SELECT sent.environment_id, sent.day,
             (SELECT count(*) FROM activity_count AS known
               WHERE known.environment_id = sent.environment_id AND known.segment_id = ${whole} AND known.metric = 'validations'
                 AND known.dimension = 'version' AND known.unit = 'day' AND known.bucket = sent.day AND known.name <> ${OTHER_NAMES}) AS versions
        FROM sent GROUP BY sent.environment_id, sent.day
    ), version AS (
      -- Those of the day that are known first, then the most frequent.
      SELECT environment_id, day, sent.version,
             sent.is_known OR day.versions + row_number() OVER (PARTITION BY environment_id, day, sent.is_known
                                                                ORDER BY sent.validations DESC, sent.version) <= ${VERSIONS_PER_DAY}::int AS is_told
        FROM sent JOIN day USING (environment_id, day)
    ), counted AS (
      INSERT INTO activity_count (environment_id, segment_id, metric, dimension, unit, bucket, name, value)
      SELECT seen.environment_id, seen_by.segment_id, 'validations', dimension.dimension, unit.name, unit.bucket, dimension.name, sum(seen.count)
        FROM seen
        LEFT JOIN version ON version.environment_id = seen.environment_id AND version.day = seen.day AND version.version = seen.version
       CROSS JOIN LATERAL (VALUES ('all', ''), ('outcome', CASE WHEN seen.valid THEN 'successful' ELSE 'failed' END), ('code', seen.code),
                                  ('productId', seen.product_id::text), ('policyId', seen.policy_id::text),
                                  ('platform', seen.platform::text),
                                  ('version', CASE WHEN version.is_told THEN seen.version WHEN seen.version IS NOT NULL THEN ${OTHER_NAMES} END))
               AS dimension (dimension, name)
       CROSS JOIN ${inEachUnit('seen.hour')}
       CROSS JOIN ${forEachSegment('seen.segment_id')}
       WHERE dimension.name IS NOT NULL GROUP BY 1, 2, 3, 4, 5, 6, 7
      ${addActivity}
    ), named AS (
      SELECT seen.environment_id, seen.month, seen.license_id, seen.segment_id, name.kind, name.name, sum(seen.count) AS validations
        FROM seen CROSS JOIN LATERAL (VALUES ('fingerprint', seen.fingerprint), ('ip', seen.ip)) AS name (kind, name)
       WHERE name.name IS NOT NULL GROUP BY 1, 2, 3, 4, 5, 6
    ), told AS (
      -- A license that has been seen as all too many is no longer told apart, but for what it was seen as before.
      SELECT ranked.*
        FROM (SELECT named.*, was.is_known,
                     CASE named.kind WHEN 'ip' THEN COALESCE(known.ips, 0) ELSE COALESCE(known.fingerprints, 0) END
                     + row_number() OVER (PARTITION BY named.environment_id, named.month, named.license_id, named.kind, was.is_known
                                          ORDER BY named.validations DESC, named.name) AS place
                FROM named
                LEFT JOIN license_month AS known
                       ON known.environment_id = named.environment_id AND known.month = named.month AND known.license_id = named.license_id
               CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM sighting
                                                   WHERE sighting.environment_id = named.environment_id AND sighting.month = named.month
                                                     AND sighting.license_id = named.license_id AND sighting.kind = named.kind
                                                     AND sighting.name = named.name) AS is_known) AS was) AS ranked
       WHERE is_known OR place <= ${SIGHTINGS_PER_LICENSE}::int
    ), first_seen AS (
      INSERT INTO sighting (environment_id, month, license_id, kind, name)
      SELECT environment_id, month, license_id, kind, name FROM told
      ON CONFLICT DO NOTHING RETURNING environment_id, month, license_id, kind
    ), by_name AS (
      INSERT INTO name_month (environment_id, segment_id, month, kind, name, validations)
      SELECT told.environment_id, seen_by.segment_id, told.month, told.kind, told.name, sum(told.validations)
        FROM told CROSS JOIN ${forEachSegment('told.segment_id')} GROUP BY 1, 2, 3, 4, 5
      ON CONFLICT (environment_id, segment_id, month, kind, name)
      DO UPDATE SET validations = name_month.validations + EXCLUDED.validations
    ), spread AS (
      SELECT environment_id, month, license_id, count(*) FILTER (WHERE kind = 'fingerprint')::int AS fingerprints,
             count(*) FILTER (WHERE kind = 'ip')::int AS ips
        FROM first_seen GROUP BY 1, 2, 3
    ), by_license AS (
      INSERT INTO license_month (environment_id, month, license_id, segment_id, validations, fingerprints, ips, seats, suspicion)
      SELECT seen.environment_id, seen.month, seen.license_id, seen.segment_id, sum(seen.count), COALESCE(min(spread.fingerprints), 0),
             COALESCE(min(spread.ips), 0), min(seen.seats),
             suspicion_of(COALESCE(min(spread.fingerprints), 0), COALESCE(min(spread.ips), 0), min(seen.seats))
        FROM seen LEFT JOIN spread USING (environment_id, month, license_id) GROUP BY 1, 2, 3, 4
      ON CONFLICT (environment_id, month, license_id)
      DO UPDATE SET segment_id = EXCLUDED.segment_id, validations = license_month.validations + EXCLUDED.validations,
                    fingerprints = license_month.fingerprints + EXCLUDED.fingerprints, ips = license_month.ips + EXCLUDED.ips,
                    seats = EXCLUDED.seats,
                    suspicion = suspicion_of(license_month.fingerprints + EXCLUDED.fingerprints, license_month.ips + EXCLUDED.ips, EXCLUDED.seats)
    )
`;

/**
 * Fold `count` batches of validations, those of each process in their order; answers how many there were. A batch whose number
 * was folded before is only taken away.
 */
export async function foldValidations(db: Db, count: number): Promise<number> {
  const [folded] = await db.$queryRaw<{ batches: number }[]>`${prepared}
    WITH taken AS (
      DELETE FROM validation_batch WHERE (process_id, sequence) IN (
        SELECT process_id, sequence FROM validation_batch ORDER BY sequence, process_id LIMIT ${count}::int)
      RETURNING process_id, sequence, counts
    ),
    ${VALIDATIONS_ADD_UP}
    SELECT count(*)::int AS batches FROM taken`;
  return folded?.batches ?? 0;
}
