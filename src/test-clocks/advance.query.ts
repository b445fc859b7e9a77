import type { Db, Tenant } from '../core/database.js';
import type { Span } from '../domain/due.js';
import type { TestClock } from '../generated/prisma/client.js';
import { byLicense, type Due, dueFor, type WatchedMachine } from '../licenses/due.query.js';
import { includeForView } from '../licenses/licenses.dto.js';

/** How many licenses are read at once. */
const BATCH = 500;
/** Before every id. */
const FIRST = '00000000-0000-0000-0000-000000000000';

/**
 * Hold the licenses of a clock and their machines, in the order in which everyone holds them, and say what falls due for
 * them: by its instant, at the same instant by the license.
 */
export async function holdDue(db: Db, { environment }: Tenant, clockId: string, span: Span, noticeDays: number): Promise<Due[]> {
  const all: Due[] = [];
  for (let after: string | undefined = FIRST; after !== undefined;) {
    const ids = await holdLicenses(db, clockId, after);
    const machines = await holdMachines(db, ids);
    const licenses = await db.license.findMany({ where: { id: { in: ids } }, include: includeForView });
    for (const license of licenses) {
      all.push(...dueFor({ license, machines: machines.get(license.id) ?? [], environment }, span, noticeDays));
    }
    after = ids.length < BATCH ? undefined : ids.at(-1);
  }
  // What falls due for one license is in its order already, and sorting keeps it.
  return all.sort(
    (one, other) => instantOf(one) - instantOf(other) || (one.licenseId < other.licenseId ? -1 : Number(one.licenseId > other.licenseId)),
  );
}

async function holdLicenses(db: Db, clockId: string, after: string): Promise<string[]> {
  const rows = await db.$queryRaw<{ id: string }[]>`
    SELECT id FROM license
     WHERE test_clock_id = ${clockId}::uuid AND deleted_at IS NULL AND id > ${after}::uuid
     ORDER BY id
     LIMIT ${BATCH}
       FOR UPDATE`;
  return rows.map(({ id }) => id);
}

/** By their license. A beat does not hold the license: so the machines are held themselves. */
async function holdMachines(db: Db, licenseIds: string[]): Promise<Map<string, WatchedMachine[]>> {
  await db.$queryRaw`
    SELECT 1
      FROM machine JOIN machine_pulse ON machine_pulse.environment_id = machine.environment_id AND machine_pulse.machine_id = machine.id
     WHERE machine.license_id = ANY(${licenseIds}::uuid[]) AND machine.deleted_at IS NULL
     ORDER BY machine.id
       FOR UPDATE`;
  const machines = await db.machine.findMany({ where: { licenseId: { in: licenseIds }, deletedAt: null }, include: { pulse: true } });
  return byLicense(machines);
}

/** The clock's new time. */
export function turn(db: Db, clockId: string, frozenAt: Date): Promise<TestClock> {
  return db.testClock.update({ where: { id: clockId }, data: { frozenAt } });
}

/** Deactivate the machines that are due to be, and free what they used, each at its instant; before the clock is turned. */
export async function removeDead(db: Db, clockId: string, all: readonly Due[]): Promise<void> {
  const removals = all.flatMap(({ happening }) => (happening.type === 'machine.deactivated' ? [happening] : []));
  const ids = removals.map(({ machineId }) => machineId);
  const instants = removals.map(({ at }) => at);
  await db.$executeRaw`SELECT remove_dead_machines(${clockId}::uuid, ${ids}::uuid[], ${instants}::timestamptz[])`;
}

function instantOf({ happening }: Due): number {
  return happening.at.getTime();
}
