import { type Change, recordChanges } from '../core/audit.js';
import type { Db, Tenant } from '../core/database.js';
import { containsPattern } from '../core/like.js';
import { all, perhaps } from '../core/slice.js';
import type { EnvironmentName } from '../domain/api-key.js';
import { LatchkeyError } from '../domain/errors.js';
import type { HeartbeatPolicy, MachineStatus } from '../domain/heartbeat.js';
import { type LimitVerdict, type MachineTotals, passedLimit } from '../domain/seats.js';
import { type License, type Policy, Prisma, type TestClock } from '../generated/prisma/client.js';
import { type MachinesQuery, toMachineView } from './machines.dto.js';

/** How many machines are deactivated, and told of, by one statement. */
const DEACTIVATION_BATCH = 1000;
/** How many of the machines in the way an app is offered to free. */
const OFFERED_MACHINES = 100;

/** What the license's machines sum to; far below 2⁵³, since each is bounded. */
export function totalsOf(license: Pick<License, keyof MachineTotals>): MachineTotals {
  return {
    machineCount: license.machineCount,
    coresTotal: Number(license.coresTotal),
    memoryMbTotal: Number(license.memoryMbTotal),
    diskMbTotal: Number(license.diskMbTotal),
  };
}

/** Why the license may not have these totals: 422 with the code of the first limit that is passed; null = it may. */
export async function refusalFor(db: Db, license: License, policy: Policy, next: MachineTotals): Promise<LatchkeyError | null> {
  const current = totalsOf(license);
  const passed = passedLimit(current, next, license, policy);
  if (passed === null) return null;
  return limitExceeded(passed, current, await db.$queryRawUnsafe<OfferedMachine[]>(FIND_OFFERED.text, license.id, license.environmentId));
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
      select: { id: true },
    });
    if (machines.length === 0) return;
    const ids = machines.map(({ id }) => id);
    await recordChanges(db, await deactivate(db, environment, { license, ...license }, ids, now));
  }
}

/** What machines of a license are shown with. */
interface Holder {
  license: { id: string };
  policy: HeartbeatPolicy;
  testClock: { frozenAt: Date } | null;
}

/**
 * Deactivate machines of a license that is held; answers how it is told, in the order of `ids`: before that the death of
 * one that has died, where nobody has told it yet. No beat comes between. The totals are the caller's to set.
 */
export async function deactivate(
  db: Db,
  environment: EnvironmentName,
  { license, policy, testClock }: Holder,
  ids: readonly string[],
  now: Date,
): Promise<Change[]> {
  if (ids.length === 0) return [];
  await db.$queryRaw`
    SELECT 1 FROM machine_pulse
     WHERE environment_id = current_setting('app.environment_id')::uuid AND machine_id = ANY(${ids}::uuid[])
     ORDER BY machine_id FOR UPDATE`;
  const machines = await db.machine.findMany({ where: { id: { in: [...ids] } }, include: { pulse: true } });
  await db.$executeRaw`
    UPDATE machine SET deleted_at = ${now}::timestamptz, updated_at = ${now}::timestamptz WHERE id = ANY(${ids}::uuid[])`;
  const byId = new Map(machines.map((machine) => [machine.id, machine]));
  return ids.flatMap((id) => {
    const machine = byId.get(id);
    if (machine === undefined) return [];
    const view = toMachineView(machine, policy, environment, now);
    const resource = { type: 'machine', id, segmentId: machine.segmentId };
    const about = { resource, licenseId: license.id, occurredAt: testClock?.frozenAt };
    const gone = { ...about, action: 'machine.deactivated', before: view };
    const isNews = view.status === 'dead' && machine.pulse?.deathAnnounced === false;
    return isNews ? [{ ...about, action: 'machine.dead', before: { ...view, status: 'active' }, after: view }, gone] : [gone];
  });
}

/** A machine that could be freed. */
export interface OfferedMachine {
  id: string;
  name: string | null;
  platform: string | null;
  lastHeartbeatAt: Date | null;
}

/** Of the license $1 in the environment $2. */
export const FIND_OFFERED = {
  name: 'find_offered',
  text: `
    SELECT machine.id, machine.name, machine.platform::text, pulse.last_heartbeat_at AS "lastHeartbeatAt"
      FROM machine
      JOIN machine_pulse AS pulse ON pulse.environment_id = machine.environment_id AND pulse.machine_id = machine.id
     WHERE machine.license_id = $1::uuid AND machine.environment_id = $2::uuid AND machine.deleted_at IS NULL
     ORDER BY COALESCE(pulse.last_heartbeat_at, pulse.activated_at), machine.id
     LIMIT ${String(OFFERED_MACHINES)}`,
};

/**
 * 422 with the code of the limit, and with the machines that are in its way: those that are the least missed first, which
 * gave no sign of life for the longest; their activation is one.
 */
export function limitExceeded({ limit, allowed }: LimitVerdict, current: MachineTotals, machines: OfferedMachine[]): LatchkeyError {
  const used = current[limit.total];
  const message = `The license allows ${String(allowed.effective)} ${limit.what}, and ${String(used)} are in use.`;
  return new LatchkeyError(limit.code, message, { limit: allowed.effective, max: allowed.max, used, machines });
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
