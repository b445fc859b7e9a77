import { type Change, recordEvents, recordingOf } from '../core/audit.js';
import type { Db, Tenant } from '../core/database.js';
import { columnOf, insertionOf } from '../core/insert.js';
import { PREPARED, prepared } from '../core/prepared.js';
import { markEvents } from '../core/written-events.js';
import type { SeatedPulse } from '../domain/activation.js';
import type { TermColumns } from '../domain/expiry.js';
import { MINUTE_MS } from '../domain/heartbeat.js';
import type { MachineSize, MachineTotals } from '../domain/seats.js';
import { type License, type Machine, type Policy, Prisma } from '../generated/prisma/client.js';
import { includeForView, toLicenseEntry } from '../licenses/licenses.dto.js';
import type { MachineRow } from './machines.dto.js';

/** Of so many dead machines, the longest dead, seats are taken over. */
const MAX_DEAD = 1000;

const licenseFields = [
  'id', 'segmentId', 'testClockId', 'machineCount', 'coresTotal', 'memoryMbTotal', 'diskMbTotal',
  'maxMachinesOverride', 'maxCoresOverride', 'maxMemoryMbOverride', 'maxDiskMbOverride',
  'expiresAt', 'termAnchorAt', 'clockPending', 'suspendedAt', 'bannedAt', 'revokedAt', 'firstActivatedAt',
] as const satisfies (keyof License)[]; // prettier-ignore
const policyFields = [
  'authentication', 'floating', 'allowMachineTransfer', 'overageStrategy', 'maxMachines', 'maxCores', 'maxMemoryMb', 'maxDiskMb',
  'expirationStrategy', 'gracePeriodDays', 'requireHeartbeat', 'heartbeatIntervalMinutes', 'heartbeatBasis',
  'heartbeatResurrectionMinutes', 'durationDays', 'durationCalendarMonths', 'isTrial', 'trialDurationDays', 'expirationBasis',
] as const satisfies (keyof Policy)[]; // prettier-ignore
const replacedFields = ['id', 'cores', 'memoryMb', 'diskMb', 'deletedAt'] as const satisfies (keyof Machine)[];

/** What an activation is judged by, as one statement sees it. */
export interface Seats {
  license: Pick<License, (typeof licenseFields)[number]>;
  policy: Pick<Policy, (typeof policyFields)[number]>;
  testClock: { frozenAt: Date } | null;
  /** The machine that has the fingerprint and a seat. */
  existing: MachineRow | null;
  replaced: Pick<Machine, (typeof replacedFields)[number]> | null;
  isTakenElsewhere: boolean;
  /** Of the license's and the policy's row: others when they have changed since. */
  licenseVersion: string;
  policyVersion: string;
}

export interface Wanted {
  licenseId: string;
  fingerprint: string;
  replaces: string | undefined;
}

const facts = [
  ...columnsOf('license', licenseFields),
  ...columnsOf('policy', policyFields),
  ...columnsOf('clock', ['id', 'frozenAt']),
  ...columnsOf('existing', Object.keys(Prisma.MachineScalarFieldEnum)),
  ...columnsOf('pulse', ['activatedAt', 'lastHeartbeatAt']),
  ...columnsOf('replaced', replacedFields),
].join(', ');

/**
 * One round trip, nothing held: the license $1 of the environment $2, and where the caller sees only that, of the segment
 * $3; what has the fingerprint $4, and the machine $5 that is to be replaced. No row when there is no such license for them.
 */
export const FIND_SEATS = {
  name: 'find_seats',
  text: `${PREPARED}
    SELECT ${facts}, license.xmin::text AS "licenseVersion", policy.xmin::text AS "policyVersion",
           CASE WHEN policy.fingerprint_uniqueness = 'PER_LICENSE' OR existing.id IS NOT NULL THEN false
                ELSE fingerprint_is_taken(license.environment_id, license.id, $4) END AS "isTakenElsewhere"
      FROM license
      JOIN policy ON policy.id = license.policy_id
      LEFT JOIN test_clock AS clock ON clock.id = license.test_clock_id
      LEFT JOIN machine AS existing
        ON existing.license_id = license.id AND existing.fingerprint = $4 AND existing.deleted_at IS NULL
      LEFT JOIN machine_pulse AS pulse ON pulse.environment_id = existing.environment_id AND pulse.machine_id = existing.id
      LEFT JOIN machine AS replaced ON replaced.id = $5::uuid AND replaced.license_id = license.id
     WHERE license.id = $1::uuid AND license.environment_id = $2::uuid AND license.deleted_at IS NULL
       AND ($3::uuid IS NULL OR license.segment_id = $3::uuid)`,
};

/** The values of `FIND_SEATS`. */
export function seatsAsked({ environmentId, segmentId }: Tenant, { licenseId, fingerprint, replaces }: Wanted): unknown[] {
  return [licenseId, environmentId, segmentId, fingerprint, replaces ?? null];
}

export type SeatsRow = Record<string, unknown>;

/** The same within a unit of work. */
export async function findSeats(db: Db, tenant: Tenant, wanted: Wanted): Promise<Seats | null> {
  const [row] = await db.$queryRawUnsafe<SeatsRow[]>(FIND_SEATS.text, ...seatsAsked(tenant, wanted));
  return row === undefined ? null : toSeats(row);
}

export function toSeats(row: SeatsRow): Seats {
  const existing = partOf(row, 'existing');
  return {
    license: partOf(row, 'license'),
    policy: partOf(row, 'policy'),
    testClock: partOf(row, 'clock'),
    existing: existing === null ? null : { ...existing, pulse: partOf(row, 'pulse') },
    replaced: partOf(row, 'replaced'),
    isTakenElsewhere: row.isTakenElsewhere,
    licenseVersion: row.licenseVersion,
    policyVersion: row.policyVersion,
  } as Seats;
}

function columnsOf(table: string, fields: readonly string[]): string[] {
  return fields.map((field) => `${table}.${columnOf(field)} AS "${table}.${field}"`);
}

/** The columns of one table; null when it had no row. */
function partOf(row: Record<string, unknown>, table: string): Record<string, unknown> | null {
  const prefix = `${table}.`;
  const entries = Object.entries(row).filter(([name]) => name.startsWith(prefix));
  const part = Object.fromEntries(entries.map(([name, value]) => [name.slice(prefix.length), value]));
  return entries.every(([, value]) => value === null) ? null : part;
}

/** The machines of the license that may be dead, the longest dead first; all that takes time is between them and the verdict. */
export function findDead(db: Db, licenseId: string, policy: Seats['policy'], now: Date): Promise<SeatedPulse[]> {
  const silentSince = new Date(now.getTime() - policy.heartbeatIntervalMinutes * MINUTE_MS);
  const mustHaveBeaten = policy.heartbeatBasis === 'FROM_FIRST_BEAT' ? Prisma.sql`AND pulse.last_heartbeat_at IS NOT NULL` : Prisma.empty;
  return db.$queryRaw<SeatedPulse[]>`
    SELECT machine.id, machine.cores, machine.memory_mb AS "memoryMb", machine.disk_mb AS "diskMb",
           pulse.activated_at AS "activatedAt", pulse.last_heartbeat_at AS "lastHeartbeatAt"
      FROM machine
      JOIN machine_pulse AS pulse ON pulse.environment_id = machine.environment_id AND pulse.machine_id = machine.id
     WHERE machine.license_id = ${licenseId}::uuid AND machine.deleted_at IS NULL
       AND COALESCE(pulse.last_heartbeat_at, pulse.activated_at) <= ${silentSince}::timestamptz ${mustHaveBeaten}
     ORDER BY COALESCE(pulse.last_heartbeat_at, pulse.activated_at), machine.id
     LIMIT ${MAX_DEAD}`;
}

/**
 * Let no beat come in any more for those whose seats are taken over. False when one came in since they were read: it was
 * acknowledged, and its machine lives.
 */
export async function holdDead(db: Db, { environmentId }: Tenant, dead: readonly SeatedPulse[]): Promise<boolean> {
  const held = await db.$queryRaw<{ id: string; lastHeartbeatAt: Date | null }[]>`
    SELECT machine_id AS id, last_heartbeat_at AS "lastHeartbeatAt" FROM machine_pulse
     WHERE environment_id = ${environmentId}::uuid AND machine_id = ANY(${dead.map(({ id }) => id)}::uuid[])
     ORDER BY machine_id FOR UPDATE`;
  const beats = new Map(held.map(({ id, lastHeartbeatAt }) => [id, lastHeartbeatAt?.getTime()]));
  return dead.every(({ id, lastHeartbeatAt }) => beats.has(id) && beats.get(id) === lastHeartbeatAt?.getTime());
}

/** What a license that is held has after an activation; `machine` gets a seat of it. One round trip. */
export async function writeSeats(
  db: Db,
  license: Seats['license'],
  totals: MachineTotals,
  seat: { machine: Machine & MachineSize; term: TermColumns | null } | null,
): Promise<void> {
  const counted = countingOf(license, totals, seat);
  if (seat === null) await db.$executeRaw(counted);
  else await db.$executeRaw`${prepared} WITH counted AS (${counted}) ${insertionOf('machine', seat.machine)}`;
}

/**
 * The whole of an activation in one statement, on a license that is not held yet: nothing and false when the license or its
 * policy has changed since it was judged, or another holds the license. Whatever a verdict is made of is in those two rows, or
 * is counted in the license's as it changes, like a machine that comes or goes. Nobody is waited for: what was seen before
 * waiting would say nothing of what is there after it.
 */
export async function takeSeatUnlessChanged(
  db: Db,
  { license, licenseVersion, policyVersion }: Seats,
  totals: MachineTotals,
  machine: Machine & MachineSize,
  change: Change,
): Promise<boolean> {
  const recording = recordingOf(change, 'counted').map((part, at) => Prisma.sql`${Prisma.raw(`recorded_${String(at)}`)} AS (${part})`);
  const taken = await db.$executeRaw`${prepared}
    WITH held AS MATERIALIZED (
      SELECT license.id FROM license
       WHERE license.id = ${license.id}::uuid AND license.deleted_at IS NULL AND license.xmin = ${licenseVersion}::text::xid
         AND EXISTS (SELECT FROM policy WHERE policy.id = license.policy_id AND policy.xmin = ${policyVersion}::text::xid)
         FOR NO KEY UPDATE SKIP LOCKED
    ), counted AS (
      ${countingOf(license, totals, { machine, term: null })} AND EXISTS (SELECT FROM held) RETURNING id
    ), ${Prisma.join(recording)}
    ${insertionOf('machine', machine, 'counted')}`;
  if (taken === 1) markEvents(db);
  return taken === 1;
}

function countingOf(license: Seats['license'], totals: MachineTotals, seat: Parameters<typeof writeSeats>[3]): Prisma.Sql {
  const { expiresAt, termAnchorAt, clockPending } = seat?.term ?? license;
  const firstActivatedAt = license.firstActivatedAt ?? seat?.machine.createdAt ?? null;
  return Prisma.sql`
    UPDATE license
       SET machine_count = ${totals.machineCount}, cores_total = ${totals.coresTotal}, memory_mb_total = ${totals.memoryMbTotal},
           disk_mb_total = ${totals.diskMbTotal}, first_activated_at = ${firstActivatedAt}::timestamptz,
           expires_at = ${expiresAt}::timestamptz, term_anchor_at = ${termAnchorAt}::timestamptz, clock_pending = ${clockPending}
     WHERE id = ${license.id}::uuid`;
}

/**
 * Tell that an activation was refused, at most once a minute of the license's own time (contract: webhooks.md,
 * `license.limit_reached`). The license is not held: of many who would tell, one does and the others leave it to it.
 * Answers when it was told last; null when another is just telling it.
 */
export async function tellLimitReached(
  db: Db,
  { environment }: Tenant,
  { id: licenseId, testClockId }: Pick<License, 'id' | 'testClockId'>,
  now: Date,
): Promise<Date | null> {
  const lock = `license.limit_reached ${licenseId}`;
  const [mine] = await db.$queryRaw<{ isOurs: boolean }[]>`
    SELECT pg_try_advisory_xact_lock(hashtextextended(${lock}, 0)) AS "isOurs"`;
  if (mine?.isOurs !== true) return null;
  const time = Prisma.raw(testClockId === null ? 'created_at' : 'occurred_at');
  const [told] = await db.$queryRaw<{ at: Date }[]>`
    SELECT ${time} AS at FROM event
     WHERE license_id = ${licenseId}::uuid AND type = 'license.limit_reached' AND ${time} > ${now}::timestamptz - interval '1 minute'
     LIMIT 1`;
  if (told !== undefined) return told.at;
  const license = await db.license.findUniqueOrThrow({ where: { id: licenseId }, include: includeForView });
  const resource = { type: 'license', id: licenseId, segmentId: license.segmentId };
  const after = toLicenseEntry(license, environment, now);
  await recordEvents(db, [{ action: 'license.limit_reached', resource, occurredAt: license.testClock?.frozenAt, after }]);
  return now;
}
