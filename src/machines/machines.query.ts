import { recordChanges } from '../core/audit.js';
import type { Db, Tenant } from '../core/database.js';
import { LatchkeyError } from '../domain/errors.js';
import type { MachineStatus } from '../domain/heartbeat.js';
import { type LimitVerdict, machineLimitVerdicts, type MachineTotals } from '../domain/seats.js';
import type { License, Policy, Prisma, TestClock } from '../generated/prisma/client.js';
import { toMachineView } from './machines.dto.js';

/** How many machines are deactivated, and told of, by one statement. */
const DEACTIVATION_BATCH = 1000;
/** How many of the machines in the way an app is offered to free. */
const OFFERED_MACHINES = 100;
const MINUTE_MS = 60_000;

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
 * Whether the license may have these totals. Only what grows can be too much: a license that is over after its limits
 * were lowered may still shrink.
 * @throws 422 with the code of the first limit that is passed; for seats with the machines that hold them
 */
export async function requireRoom(db: Db, license: License, policy: Policy, next: MachineTotals): Promise<void> {
  const current = totalsOf(license);
  const passed = machineLimitVerdicts(next, license, policy).find(
    ({ usage, limit }) => usage === 'exceeded' && next[limit.total] > current[limit.total],
  );
  if (passed !== undefined) throw await limitExceeded(db, license.id, passed, current);
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
    select: { id: true, name: true, platform: true, lastHeartbeatAt: true },
  });
  return new LatchkeyError(limit.code, message, { ...details, machines });
}

/**
 * The condition under which `machineStatus` computes this status at `now`. When a machine dies depends on its policy's
 * interval and basis; an environment has few pairs of those, however many machines.
 */
export async function statusIs(db: Db, status: MachineStatus, now: Date): Promise<Prisma.MachineWhereInput> {
  const pairs = await db.policy.groupBy({ by: ['heartbeatIntervalMinutes', 'heartbeatBasis'], where: { requireHeartbeat: true } });
  const required = (where: Prisma.PolicyWhereInput): Prisma.MachineWhereInput => ({
    license: { policy: { requireHeartbeat: true, ...where } },
  });
  const notStarted = { ...required({ heartbeatBasis: 'FROM_FIRST_BEAT' }), lastHeartbeatAt: null };
  const dead = pairs.map(({ heartbeatIntervalMinutes, heartbeatBasis }): Prisma.MachineWhereInput => {
    const lastBeforeDeath = { lte: new Date(now.getTime() - heartbeatIntervalMinutes * MINUTE_MS) };
    const neverBeat = heartbeatBasis === 'FROM_ACTIVATION' ? [{ lastHeartbeatAt: null, createdAt: lastBeforeDeath }] : [];
    return {
      ...required({ heartbeatIntervalMinutes, heartbeatBasis }),
      OR: [{ lastHeartbeatAt: { not: null, ...lastBeforeDeath } }, ...neverBeat],
    };
  });
  switch (status) {
    case 'not_started':
      return notStarted;
    case 'dead':
      return { OR: dead };
    case 'active':
      // Spelt out rather than negated: to SQL, "not (null is before now)" is not true.
      return {
        OR: [
          { license: { policy: { requireHeartbeat: false } } },
          ...pairs.map(({ heartbeatIntervalMinutes, heartbeatBasis }): Prisma.MachineWhereInput => {
            const alive = { gt: new Date(now.getTime() - heartbeatIntervalMinutes * MINUTE_MS) };
            const fresh = heartbeatBasis === 'FROM_ACTIVATION' ? [{ lastHeartbeatAt: null, createdAt: alive }] : [];
            return { ...required({ heartbeatIntervalMinutes, heartbeatBasis }), OR: [{ lastHeartbeatAt: alive }, ...fresh] };
          }),
        ],
      };
  }
}
