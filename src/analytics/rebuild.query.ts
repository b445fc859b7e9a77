import type { Db, Tenant } from '../core/database.js';
import { TURNS } from '../core/recurring.js';
import { Prisma } from '../generated/prisma/client.js';

/** What the roll-ups that can be derived are a sum over: rows of these, as `tallied` in the migration has them. */
export const tallied = ['licenses', 'machines', 'deaths'] as const;
export type Tallied = (typeof tallied)[number];

/** Some rows, as JSON; where the next ones begin. */
export interface Portion {
  count: number;
  states: string;
  lastId: string | null;
}

/** Each row by its id; deleted ones too: they were made, and their machines were activated. Machines that ended are gone as deaths. */
const rowsOf: Record<Tallied, (after: string, count: number) => Prisma.Sql> = {
  licenses: (after, count) => Prisma.sql`
    SELECT id, tallied(license) AS state FROM license WHERE id > ${after}::uuid ORDER BY id LIMIT ${count}::int`,
  machines: (after, count) => Prisma.sql`
    SELECT machine.id, tallied(machine, license.product_id, license.policy_id) AS state
      FROM (SELECT * FROM machine WHERE id > ${after}::uuid ORDER BY id LIMIT ${count}::int) AS portion
      JOIN machine ON machine.id = portion.id
      JOIN license ON license.id = machine.license_id`,
  deaths: (after, count) => Prisma.sql`
    SELECT pulse.machine_id AS id, jsonb_build_object('segment', machine.segment_id, 'policy', pulse.policy_id) AS state
      FROM (SELECT environment_id, machine_id, policy_id FROM machine_pulse
             WHERE machine_id > ${after}::uuid AND death_announced ORDER BY machine_id LIMIT ${count}::int) AS pulse
      JOIN machine ON machine.environment_id = pulse.environment_id AND machine.id = pulse.machine_id`,
};

/** The next rows of the tenant behind `after`. */
export async function readPortion(db: Db, of: Tallied, after: string, count: number): Promise<Portion> {
  const [portion] = await db.$queryRaw<Portion[]>`
    SELECT count(*)::int AS count, COALESCE(jsonb_agg(state), '[]')::text AS states, (array_agg(id ORDER BY id DESC))[1] AS "lastId"
      FROM (${rowsOf[of](after, count)}) AS portion`;
  return portion ?? { count: 0, states: '[]', lastId: null };
}

/** All that `CHANGES_ADD_UP` (fold.query.ts) writes for 'rebuilt_license', 'machine' and 'death'. */
export async function clearDerived(db: Db, environmentId: string): Promise<void> {
  for (const table of ['license_tally', 'seat_tally', 'dead_machine_tally', 'cohort_tally'])
    await db.$executeRaw`DELETE FROM ${Prisma.raw(table)} WHERE environment_id = ${environmentId}::uuid`;
  await db.$executeRaw`
    DELETE FROM activity_count WHERE environment_id = ${environmentId}::uuid AND metric NOT IN ('validations', 'licenses_expired')`;
}

/** Resolves when whoever folds had ended what was in hand; next in line, whatever they have still to do. */
export async function queueForTurn(db: Db): Promise<void> {
  await db.$queryRaw`SELECT pg_advisory_xact_lock(${TURNS.rollUps}::bigint)::text`;
}

/** Environments of an earlier version's data, whose roll-ups have still to be made. */
export function findUnrolled(db: Db): Promise<Omit<Tenant, 'segmentId'>[]> {
  return db.$queryRaw<Omit<Tenant, 'segmentId'>[]>`
    SELECT id AS "environmentId", account_id AS "accountId", name AS environment FROM environment WHERE rolled_up_at IS NULL ORDER BY id`;
}

/** From now on its roll-ups say all that there is. */
export async function markRolledUp(db: Db, environmentId: string): Promise<void> {
  await db.$executeRaw`UPDATE environment SET rolled_up_at = now() WHERE id = ${environmentId}::uuid`;
}
