import { recordChanges, recordEvents } from '../core/audit.js';
import type { Db, Tenant } from '../core/database.js';
import { containsPattern } from '../core/like.js';
import { all, perhaps } from '../core/slice.js';
import { LatchkeyError } from '../domain/errors.js';
import type { MachineStatus } from '../domain/heartbeat.js';
import { type LimitVerdict, machineLimitVerdicts, type MachineTotals } from '../domain/seats.js';
import { type License, type Policy, Prisma, type TestClock } from '../generated/prisma/client.js';
import { includeForView, toLicenseEntry } from '../licenses/licenses.dto.js';
import { type MachinesQuery, toMachineView } from './machines.dto.js';

/** How many machines are deactivated, and told of, by one statement. */
const DEACTIVATION_BATCH = 1000;
/** How many of the machines in the way an app is offered to free. */
const OFFERED_MACHINES = 100;

/** What the license's machines sum to; far below 2⁵³, since each is bounded. */
export function totalsOf(license: License): MachineTotals {
  return {
    machineCount: license.machineCount,
    coresTotal: Number(license.coresTotal),
    memoryMbTotal: Number(license.memoryMbTotal),
    diskMbTotal: Number(license.diskMbTotal),
  };
}

/**
 * Why the license may not have these totals: 422 with the code of the first limit that is passed, for seats with the
 * machines that hold them; null = it may. Only what grows can be too much: a license that is over after its limits were
 * lowered may still shrink.
 */
export async function refusalFor(db: Db, license: License, policy: Policy, next: MachineTotals): Promise<LatchkeyError | null> {
  const current = totalsOf(license);
  const passed = machineLimitVerdicts(next, license, policy).find(
    ({ usage, limit }) => usage === 'exceeded' && next[limit.total] > current[limit.total],
  );
  return passed === undefined ? null : limitExceeded(db, license.id, passed, current);
}

/**
 * Tell that an activation was refused, at most once a minute for a license (contract: webhooks.md, `license.limit_reached`).
 * The caller holds the license, so that of many refusals at once one is told.
 */
export async function tellLimitReached(
  db: Db,
  { environment }: Tenant,
  { id: licenseId, testClockId }: Pick<License, 'id' | 'testClockId'>,
  now: Date,
): Promise<void> {
  // A minute of the license's own time.
  const time = Prisma.raw(testClockId === null ? 'created_at' : 'occurred_at');
  const told = await db.$queryRaw<unknown[]>`
    SELECT 1 FROM event
     WHERE license_id = ${licenseId}::uuid AND type = 'license.limit_reached' AND ${time} > ${now}::timestamptz - interval '1 minute'
     LIMIT 1`;
  if (told.length > 0) return;
  const license = await db.license.findUniqueOrThrow({ where: { id: licenseId }, include: includeForView });
  const resource = { type: 'license', id: licenseId, segmentId: license.segmentId };
  const after = toLicenseEntry(license, environment, now);
  await recordEvents(db, [{ action: 'license.limit_reached', resource, occurredAt: license.testClock?.frozenAt, after }]);
}

/** Deactivate all machines of a license that is held, each with its record; its totals are the caller's to set. */
export async function deactivateAll(
  db: Db,
  { environment }: Tenant,
  license: Pick<License, 'id'> & { policy: Policy; testClock: TestClock | null },
  now: Date,
): Promise<void> {
  for (;;) {
    const machines = await db.machine.findMany({
      where: { licenseId: license.id, deletedAt: null },
      orderBy: { id: 'asc' },
      take: DEACTIVATION_BATCH,
      include: { pulse: true },
    });
    if (machines.length === 0) return;
    await db.machine.updateMany({ where: { id: { in: machines.map(({ id }) => id) } }, data: { deletedAt: now } });
    await recordChanges(
      db,
      machines.map((machine) => ({
        action: 'machine.deactivated',
        resource: { type: 'machine', id: machine.id, segmentId: machine.segmentId },
        licenseId: license.id,
        occurredAt: license.testClock?.frozenAt,
        before: toMachineView(machine, license.policy, environment, now),
      })),
    );
  }
}

async function limitExceeded(db: Db, licenseId: string, { limit, allowed }: LimitVerdict, current: MachineTotals): Promise<LatchkeyError> {
  const details = { limit: allowed.effective, max: allowed.max, used: current[limit.total] };
  const message = `The license allows ${String(allowed.effective)} ${limit.what}, and ${String(details.used)} are in use.`;
  if (limit.code !== 'MACHINE_LIMIT_EXCEEDED') return new LatchkeyError(limit.code, message, details);
  const machines = await db.machine.findMany({
    where: { licenseId, deletedAt: null },
    orderBy: [{ createdAt: 'desc' }, { id: 'desc' }],
    take: OFFERED_MACHINES,
    select: { id: true, name: true, platform: true, pulse: { select: { lastHeartbeatAt: true } } },
  });
  const offered = machines.map(({ pulse, ...machine }) => ({ ...machine, lastHeartbeatAt: pulse?.lastHeartbeatAt ?? null }));
  return new LatchkeyError(limit.code, message, { ...details, machines: offered });
}

/** Conditions of a list of machines, for `findSlice`; `licenseId` is that of a caller which is a license. */
export function conditionsOf(tenant: Tenant, query: MachinesQuery, licenseId: string | null, now: Date): Prisma.Sql {
  const conditions = [Prisma.sql`deleted_at IS NULL`];
  if (tenant.segmentId !== null) conditions.push(Prisma.sql`segment_id = ${tenant.segmentId}::uuid`);
  if (licenseId !== null) conditions.push(Prisma.sql`license_id = ${licenseId}::uuid`);
  if (query.licenseId !== undefined) conditions.push(Prisma.sql`license_id = ${query.licenseId}::uuid`);
  if (query.fingerprint !== undefined) conditions.push(Prisma.sql`fingerprint = ${query.fingerprint}`);
  if (query.platform !== undefined) conditions.push(Prisma.sql`platform = ${query.platform}::machine_platform`);
  if (query.q !== undefined) {
    const pattern = containsPattern(query.q);
    conditions.push(perhaps(Prisma.sql`name ILIKE ${pattern} OR hostname ILIKE ${pattern} OR fingerprint ILIKE ${pattern}`));
  }
  if (query.status !== undefined) conditions.push(perhaps(statusIs(query.status, now)));
  return all(conditions);
}

/**
 * The condition under which `machineStatus` computes this status at `now`, or at the time of the license's test clock.
 * A clock that the caller does not see is none, here as where the machine is shown.
 */
function statusIs(status: MachineStatus, now: Date): Prisma.Sql {
  return Prisma.sql`${status} = (
    SELECT CASE
             WHEN NOT policy.require_heartbeat THEN 'active'
             WHEN pulse.last_heartbeat_at IS NULL AND policy.heartbeat_basis = 'FROM_FIRST_BEAT' THEN 'not_started'
             WHEN COALESCE(test_clock.frozen_at, ${now}::timestamptz)
                  < COALESCE(pulse.last_heartbeat_at, pulse.activated_at) + make_interval(mins => policy.heartbeat_interval_minutes) THEN 'active'
             ELSE 'dead'
           END
      FROM machine_pulse AS pulse
      JOIN license ON license.id = machine.license_id
      JOIN policy ON policy.id = license.policy_id
      LEFT JOIN test_clock ON test_clock.id = license.test_clock_id
     WHERE pulse.environment_id = machine.environment_id AND pulse.machine_id = machine.id)`;
}
