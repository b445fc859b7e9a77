import type { Db, Tenant } from '../core/database.js';
import { LEASE_INTERVALS } from '../domain/processes.js';
import type { MachinePulse } from '../generated/prisma/client.js';
import { byLicense, type Due, type MachineHolder, type WatchedMachine } from '../licenses/due.query.js';

/** Before every id. */
export const FIRST = '00000000-0000-0000-0000-000000000000';

/** How far the machines of a policy have been walked through. */
export interface Cursor {
  policyId: string;
  /** The last machine that was looked at. */
  after: string;
}

/** A machine for which something may have fallen due in real time, and whose it is. */
export interface Candidate extends Omit<Tenant, 'segmentId'> {
  machineId: string;
  licenseId: string;
}

/** What a step found of a policy, in order of the machines: those with a license are candidates, another is just the last it came to. */
interface Found extends Omit<Tenant, 'segmentId'> {
  policyId: string;
  machineIds: string[];
  licenseIds: (string | null)[];
  /** Whether it came to the end of the policy's share. */
  isShareOver: boolean;
}

/** What a step along some policies found, and where they go on. */
export interface Walked {
  candidates: Candidate[];
  unfinished: Cursor[];
}

/** Policies of all tenants under which machines die, from the start of each. */
export function findPolicies(db: Db): Promise<Cursor[]> {
  return db.$queryRaw<Cursor[]>`
    SELECT id AS "policyId", ${FIRST} AS after FROM policy WHERE require_heartbeat AND deleted_at IS NULL ORDER BY id`;
}

/**
 * Looks at up to `entries` machines of all these policies together, in order of their index, and finds up to `limit` for
 * which something is due: a death that was not announced, or removal when no beat could bring it back any more (as `due()`
 * says it). What is due is as rare as it is cheap to see; only for that are machine and license looked up, which may be on
 * a test clock. Each policy gets its share, and the more the fewer they are.
 */
export async function walkPulses(db: Db, cursors: readonly Cursor[], now: Date, entries: number, limit: number): Promise<Walked> {
  const policies = cursors.map(({ policyId }) => policyId);
  const afters = cursors.map(({ after }) => after);
  const share = Math.max(1, Math.floor(entries / cursors.length));
  const shareFound = Math.max(1, Math.floor(limit / cursors.length));
  const rows = await db.$queryRaw<Found[]>`
    SELECT policy.id AS "policyId", environment.id AS "environmentId", environment.account_id AS "accountId", environment.name AS environment,
           array_agg(found.machine_id ORDER BY found.machine_id) AS "machineIds",
           array_agg(found.license_id ORDER BY found.machine_id) AS "licenseIds", bool_or(found.is_last) AS "isShareOver"
      FROM unnest(${policies}::uuid[], ${afters}::uuid[]) AS cursor (policy_id, after)
      JOIN policy ON policy.id = cursor.policy_id AND policy.require_heartbeat AND policy.deleted_at IS NULL
      JOIN environment ON environment.id = policy.environment_id
     CROSS JOIN LATERAL (
       SELECT walked.machine_id, owner.license_id, walked.position = ${share} AS is_last
         FROM (SELECT machine_id, environment_id, death_announced, row_number() OVER (ORDER BY machine_id) AS position,
                      COALESCE(last_heartbeat_at, CASE policy.heartbeat_basis WHEN 'FROM_ACTIVATION' THEN activated_at END)
                        + make_interval(mins => policy.heartbeat_interval_minutes) AS dies_at
                 FROM machine_pulse
                WHERE policy_id = cursor.policy_id AND machine_id > cursor.after
                ORDER BY machine_id
                LIMIT ${share}) AS walked
         LEFT JOIN LATERAL (
           SELECT license.id AS license_id
             FROM machine JOIN license ON license.id = machine.license_id
            WHERE machine.environment_id = walked.environment_id AND machine.id = walked.machine_id
              AND license.test_clock_id IS NULL AND license.deleted_at IS NULL
              -- In here, not beside it: so that nothing at all is looked up for the living.
              AND walked.dies_at <= ${now}::timestamptz
              AND (NOT walked.death_announced
                   OR policy.heartbeat_cull_strategy = 'DEACTIVATE_DEAD'
                      AND walked.dies_at + make_interval(mins => policy.heartbeat_resurrection_minutes) <= ${now}::timestamptz)
            LIMIT 1) AS owner ON true
        WHERE owner.license_id IS NOT NULL OR walked.position = ${share}
        ORDER BY walked.machine_id
        LIMIT ${shareFound}) AS found
     GROUP BY policy.id, environment.id
     ORDER BY policy.id`;
  const unfinished = rows.flatMap(({ policyId, machineIds, isShareOver }) => {
    const after = machineIds.at(-1);
    return after !== undefined && (isShareOver || machineIds.length === shareFound) ? [{ policyId, after }] : [];
  });
  return { candidates: rows.flatMap(candidatesOf), unfinished };
}

function candidatesOf({ machineIds, licenseIds, environmentId, accountId, environment }: Found): Candidate[] {
  return machineIds.flatMap((machineId, index) => {
    const licenseId = licenseIds[index] ?? null;
    return licenseId === null ? [] : [{ machineId, licenseId, environmentId, accountId, environment }];
  });
}

/** A license that is held, and those of its machines that are. */
export interface HeldLicense {
  license: MachineHolder;
  machines: WatchedMachine[];
}

/**
 * Hold the licenses of these machines, then the machines' pulses, in the order in which everyone holds them, and read them
 * again: whoever beat or was deactivated meanwhile is seen as it is now, and can not beat before this ends. Whoever is held
 * by others is left out: nothing is waited for.
 */
export async function holdCandidates(db: Db, candidates: readonly Candidate[]): Promise<HeldLicense[]> {
  const held = await holdLicenses(db, [...new Set(candidates.map(({ licenseId }) => licenseId))]);
  const isHeld = new Set(held.map(({ id }) => id));
  const pulses = await holdPulses(
    db,
    candidates.filter(({ licenseId }) => isHeld.has(licenseId)).map(({ machineId }) => machineId),
  );
  const pulseOf = new Map(pulses.map((pulse) => [pulse.machineId, pulse]));
  const machines = await db.machine.findMany({ where: { id: { in: [...pulseOf.keys()] }, deletedAt: null } });
  const ofLicense = byLicense(machines.map((machine) => ({ ...machine, pulse: pulseOf.get(machine.id) ?? null })));
  const policies = await db.policy.findMany({ where: { id: { in: [...new Set(held.map(({ policyId }) => policyId))] } } });
  const policyOf = new Map(policies.map((policy) => [policy.id, policy]));
  return held.flatMap(({ id, policyId }) => {
    const [policy, machines] = [policyOf.get(policyId), ofLicense.get(id)];
    return policy === undefined || machines === undefined ? [] : [{ license: { id, policy, testClock: null }, machines }];
  });
}

async function holdLicenses(db: Db, ids: string[]): Promise<{ id: string; policyId: string }[]> {
  return db.$queryRaw`
    SELECT id, policy_id AS "policyId" FROM license
     WHERE id = ANY(${ids}::uuid[]) AND deleted_at IS NULL AND test_clock_id IS NULL
     ORDER BY id
       FOR NO KEY UPDATE SKIP LOCKED`;
}

async function holdPulses(db: Db, machineIds: string[]): Promise<MachinePulse[]> {
  return db.$queryRaw`
    SELECT environment_id AS "environmentId", machine_id AS "machineId", policy_id AS "policyId", activated_at AS "activatedAt",
           last_heartbeat_at AS "lastHeartbeatAt", death_announced AS "deathAnnounced"
      FROM machine_pulse
     WHERE environment_id = current_setting('app.environment_id')::uuid AND machine_id = ANY(${machineIds}::uuid[])
     ORDER BY machine_id
       FOR UPDATE SKIP LOCKED`;
}

/** Deactivate the machines that are due to be, and free what they used. The caller holds their licenses and pulses. */
export async function removeMachines(db: Db, all: readonly Due[]): Promise<void> {
  const removals = all.flatMap(({ happening }) => (happening.type === 'machine.deactivated' ? [happening] : []));
  if (removals.length === 0) return;
  const ids = removals.map(({ machineId }) => machineId);
  const instants = removals.map(({ at }) => at);
  await db.$executeRaw`SELECT remove_machines(${ids}::uuid[], ${instants}::timestamptz[])`;
}

/** A lease that may have lapsed in real time, and whose it is. */
export interface LapsedProcess extends Omit<Tenant, 'segmentId'> {
  id: string;
}

/**
 * Looks at up to `entries` leases of all tenants after that one, in order of their ids, and finds up to `limit` that have
 * lapsed. `after` is where it goes on; null = all were looked at.
 */
export async function walkProcesses(
  db: Db,
  from: string,
  now: Date,
  entries: number,
  limit: number,
): Promise<{ lapsed: LapsedProcess[]; after: string | null }> {
  const rows = await db.$queryRaw<(LapsedProcess & { isLapsed: boolean; isLast: boolean })[]>`
    SELECT found.*, environment.id AS "environmentId", environment.account_id AS "accountId", environment.name AS environment
      FROM (
        SELECT walked.id, walked.environment_id, rule.lapsed IS NOT NULL AS "isLapsed", walked.position = ${entries} AS "isLast"
          FROM (SELECT id, environment_id, license_id, last_heartbeat_at, row_number() OVER (ORDER BY id) AS position
                  FROM machine_process
                 WHERE id > ${from}::uuid
                 ORDER BY id
                 LIMIT ${entries}) AS walked
          LEFT JOIN LATERAL (
            SELECT true AS lapsed
              FROM license JOIN policy ON policy.id = license.policy_id
             WHERE license.id = walked.license_id AND license.test_clock_id IS NULL
               AND walked.last_heartbeat_at
                   <= ${now}::timestamptz - make_interval(mins => ${LEASE_INTERVALS}::int * policy.heartbeat_interval_minutes)
               -- No interval is shorter than a minute: of what beat in the last ones nothing is looked up.
               AND walked.last_heartbeat_at <= ${now}::timestamptz - make_interval(mins => ${LEASE_INTERVALS}::int)
             LIMIT 1) AS rule ON true
         WHERE rule.lapsed OR walked.position = ${entries}
         ORDER BY walked.id
         LIMIT ${limit}) AS found
      JOIN environment ON environment.id = found.environment_id
     ORDER BY found.id`;
  const last = rows.at(-1);
  const isUnfinished = last !== undefined && (last.isLast || rows.length === limit);
  return { lapsed: rows.filter(({ isLapsed }) => isLapsed), after: isUnfinished ? last.id : null };
}

/** Those that have lapsed; one that beats at this moment is left. */
export async function endLapsed(db: Db, ids: readonly string[], now: Date): Promise<void> {
  await db.$executeRaw`
    DELETE FROM machine_process
     WHERE id IN (
       SELECT process.id
         FROM machine_process AS process
         JOIN license ON license.id = process.license_id AND license.test_clock_id IS NULL
         JOIN policy ON policy.id = license.policy_id
        WHERE process.id = ANY(${ids}::uuid[])
          AND process.last_heartbeat_at
              <= ${now}::timestamptz - make_interval(mins => ${LEASE_INTERVALS}::int * policy.heartbeat_interval_minutes)
        ORDER BY process.id
          FOR UPDATE OF process SKIP LOCKED)`;
}
