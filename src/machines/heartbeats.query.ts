import type { TenantPrincipal } from '../auth/principal.js';
import { type Change, recordChanges, recordOccurrence } from '../core/audit.js';
import type { Db } from '../core/database.js';
import { EVENT_COLUMNS, type Teller } from '../core/outbox.js';
import type { EnvironmentName } from '../domain/api-key.js';
import { notFound } from '../domain/errors.js';
import type { ExpiryPolicy } from '../domain/expiry.js';
import { beaten, type HeartbeatPolicy, type Pulse } from '../domain/heartbeat.js';
import type { LicenseStateFacts } from '../domain/license-state.js';
import { includePolicy, type MachineView, pulseOf, type ShownMachine, toMachineView } from './machines.dto.js';

/**
 * A machine that beats, on whose behalf (by default its license's), and how it is known that they may say so: by its
 * license's key, or by who the caller is.
 */
export type Beat = { machineId: string; by: Partial<Teller> | null } & (
  { keyDigest: Uint8Array } | { keyDigest: null; environmentId: string; licenseId: string | null; segmentId: string | null }
);

/** All that the verdict on a beat and its answer depend on. */
export interface BeatingRow extends Omit<ShownMachine, 'pulse'>, LicenseStateFacts, ExpiryPolicy, HeartbeatPolicy {
  /** Of the beat that found it, from 1 on. */
  position: number;
  accountId: string;
  environmentId: string;
  environment: EnvironmentName;
  activatedAt: Date;
  lastHeartbeatAt: Date | null;
  deathAnnounced: boolean;
  isOnTestClock: boolean;
}

/**
 * The machines of many beats, each only for whoever may beat for it: $1 the machines, and for each $2 the digest of its
 * license's own key, or $3 its environment with, where the caller sees only those, $4 its license and $5 its segment. What
 * is not found is not there, or not theirs.
 */
export const FIND_BEATING = {
  name: 'find_beating',
  text: `
    SELECT asked.position::int, machine.id, machine.license_id AS "licenseId", machine.fingerprint, machine.name, machine.platform,
           machine.hostname, machine.cores, machine.memory_mb AS "memoryMb", machine.disk_mb AS "diskMb", machine.user_email AS "userEmail",
           machine.components, machine.ip, machine.metadata, machine.created_at AS "createdAt", machine.updated_at AS "updatedAt",
           pulse.activated_at AS "activatedAt", pulse.last_heartbeat_at AS "lastHeartbeatAt", pulse.death_announced AS "deathAnnounced",
           license.expires_at AS "expiresAt", license.suspended_at AS "suspendedAt", license.banned_at AS "bannedAt",
           license.revoked_at AS "revokedAt", license.test_clock_id IS NOT NULL AS "isOnTestClock",
           policy.expiration_strategy AS "expirationStrategy", policy.grace_period_days AS "gracePeriodDays",
           policy.require_heartbeat AS "requireHeartbeat", policy.heartbeat_interval_minutes AS "heartbeatIntervalMinutes",
           policy.heartbeat_basis AS "heartbeatBasis", policy.heartbeat_resurrection_minutes AS "heartbeatResurrectionMinutes",
           environment.account_id AS "accountId", environment.id AS "environmentId", environment.name AS environment
      FROM unnest($1::uuid[], $2::bytea[], $3::uuid[], $4::uuid[], $5::uuid[])
           WITH ORDINALITY AS asked (machine_id, key_digest, environment_id, license_id, segment_id, position)
      JOIN machine ON machine.id = asked.machine_id AND machine.deleted_at IS NULL
      JOIN machine_pulse AS pulse ON pulse.environment_id = machine.environment_id AND pulse.machine_id = machine.id
      JOIN license ON license.id = machine.license_id AND license.deleted_at IS NULL
      JOIN policy ON policy.id = license.policy_id
      JOIN environment ON environment.id = machine.environment_id
     WHERE (asked.key_digest = license.key_digest OR asked.environment_id = machine.environment_id)
       AND (asked.license_id IS NULL OR asked.license_id = machine.license_id)
       AND (asked.segment_id IS NULL OR asked.segment_id = machine.segment_id)`,
};

/** The values of `FIND_BEATING`. */
export function asked(beats: readonly Beat[]): unknown[] {
  const callers = beats.map((beat) => (beat.keyDigest === null ? beat : null));
  return [
    beats.map(({ machineId }) => machineId),
    beats.map(({ keyDigest }) => keyDigest),
    callers.map((caller) => caller?.environmentId ?? null),
    callers.map((caller) => caller?.licenseId ?? null),
    callers.map((caller) => caller?.segmentId ?? null),
  ];
}

const HELD_PULSES = `
    held AS (
      SELECT pulse.environment_id, pulse.machine_id
        FROM unnest($1::uuid[], $2::uuid[]) AS beating (environment_id, machine_id)
        JOIN machine_pulse AS pulse ON pulse.environment_id = beating.environment_id AND pulse.machine_id = beating.machine_id
       WHERE NOT pulse.death_announced
         FOR NO KEY UPDATE OF pulse SKIP LOCKED)`;

const SET_PULSES = `
    UPDATE machine_pulse AS pulse SET last_heartbeat_at = GREATEST(pulse.last_heartbeat_at, $3::timestamptz)
      FROM held
     WHERE pulse.environment_id = held.environment_id AND pulse.machine_id = held.machine_id`;

/**
 * Keep the beats of machines, $2 of the environments $1, at the instant $3; answers those that it kept. Left out are those
 * whose death was announced meanwhile, that are gone, and that somebody holds: nobody's long work holds up the others. No
 * indexed column changes, so that the row's new version stays on its page (HOT).
 */
export const KEEP_BEATS = {
  name: 'keep_beats',
  text: `
    WITH ${HELD_PULSES}
    ${SET_PULSES}
    RETURNING pulse.machine_id AS "machineId"`,
};

/** The same, with the events $4 (`recordsOf`) of those that are kept: where somebody listens, beat and event are one. */
export const KEEP_AND_TELL_BEATS = {
  name: 'keep_and_tell_beats',
  text: `
    WITH ${HELD_PULSES},
    kept AS (
      ${SET_PULSES}
      RETURNING pulse.machine_id),
    told AS (
      INSERT INTO event (${EVENT_COLUMNS}, segment_id)
      SELECT ${EVENT_COLUMNS}, (SELECT machine.segment_id FROM machine WHERE machine.id = beat.resource_id)
        FROM jsonb_populate_recordset(NULL::event, $4::jsonb) AS beat
       WHERE beat.resource_id IN (SELECT machine_id FROM kept))
    SELECT machine_id AS "machineId" FROM kept`,
};

/** How long a beat waits for whoever holds its machine or its clock. */
const LOCK_TIMEOUT = '2s';

/** The machine of a beat in a unit of work, with its pulse held: what others do to it is done, or waits for us. */
export async function holdBeating(db: Db, { tenant, ...caller }: TenantPrincipal, id: string) {
  const mine = caller.kind === 'license' ? { licenseId: caller.licenseId } : {};
  const find = () => db.machine.findFirst({ where: { id, deletedAt: null, ...mine }, include: includePolicy });
  // Who waits has one of the few connections of everybody: it is told to come again.
  await db.$executeRaw`SELECT set_config('lock_timeout', ${LOCK_TIMEOUT}, true)`;
  const found = await find();
  if (found === null) throw notFound('machine');
  const clockId = found.license.testClockId;
  // First, as whoever turns it does: a beat is before the turn or after it.
  if (clockId !== null) await db.$queryRaw`SELECT 1 FROM test_clock WHERE id = ${clockId}::uuid FOR SHARE`;
  await db.$queryRaw`
    SELECT 1 FROM machine_pulse WHERE environment_id = ${tenant.environmentId}::uuid AND machine_id = ${id}::uuid FOR UPDATE`;
  // Again behind the locks: it may have died, or be gone.
  const machine = await find();
  if (machine?.pulse == null) throw notFound('machine');
  return { ...machine, pulse: machine.pulse };
}

type Held = Awaited<ReturnType<typeof holdBeating>>;

/** Keep the beat of a machine that is held: it is alive, whatever was announced. Answers its pulse. */
export async function keepBeat(db: Db, { environmentId, id, ...machine }: Held, now: Date): Promise<Pulse> {
  const pulse = beaten(pulseOf({ id, ...machine }), now);
  await db.$executeRaw`
    UPDATE machine_pulse SET last_heartbeat_at = ${pulse.lastHeartbeatAt}::timestamptz, death_announced = false
     WHERE environment_id = ${environmentId}::uuid AND machine_id = ${id}::uuid`;
  return pulse;
}

/**
 * A beat as it is told to whoever listens (contract: webhooks.md, `machine.heartbeat`): the view after it, with what was so
 * before. In a group its segment is for the statement to say.
 */
export function heartbeatOf(row: BeatingRow, after: MachineView, now: Date): Change {
  const { id, licenseId, environmentId, activatedAt, lastHeartbeatAt } = row;
  const before = toMachineView({ ...row, pulse: { activatedAt, lastHeartbeatAt } }, row, row.environment, now);
  return { action: 'machine.heartbeat', resource: { type: 'machine', id }, licenseId, environmentId, before, after };
}

/** The same of a machine that is held, in its transaction. */
export function tellHeartbeat(db: Db, machine: Held, after: MachineView, now: Date): Promise<void> {
  const { id, segmentId, license } = machine;
  return recordOccurrence(db, {
    action: 'machine.heartbeat',
    resource: { type: 'machine', id, segmentId },
    licenseId: license.id,
    occurredAt: license.testClock?.frozenAt,
    before: toMachineView(machine, license.policy, after.environment, now),
    after,
  });
}

/**
 * Tell that a machine came back (contract: webhooks.md, `machine.resurrected`); and before, where nobody did yet, that it
 * had died: each death is told once, also one that was over before anyone looked.
 */
export function tellResurrection(db: Db, machine: Held, pulse: Pulse, environment: EnvironmentName, now: Date): Promise<void> {
  const { license } = machine;
  const viewOf = (row: ShownMachine) => toMachineView(row, license.policy, environment, now);
  // Also where it would not count as dead any more: that it is, was told.
  const dead = { ...viewOf(machine), status: 'dead' };
  const about = {
    resource: { type: 'machine', id: machine.id, segmentId: machine.segmentId },
    licenseId: license.id,
    occurredAt: license.testClock?.frozenAt,
  };
  const death: Change = { action: 'machine.dead', ...about, before: { ...dead, status: 'active' }, after: dead };
  const resurrection: Change = { action: 'machine.resurrected', ...about, before: dead, after: viewOf({ ...machine, pulse }) };
  return recordChanges(db, machine.pulse.deathAnnounced ? [resurrection] : [death, resurrection]);
}
