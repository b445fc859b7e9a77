import type { Db } from '../core/database.js';
import { Prisma } from '../generated/prisma/client.js';

/** What is kept no longer, of environments; the conditions follow the primary keys. */
export interface Kept {
  hoursFrom: Date;
  monthsFrom: Date;
}

const old: Record<'activity_count' | 'license_month' | 'name_month' | 'sighting', (kept: Kept) => Prisma.Sql> = {
  activity_count: ({ hoursFrom }) => Prisma.sql`unit = 'hour' AND bucket < ${hoursFrom}::timestamptz`,
  license_month: ({ monthsFrom }) => Prisma.sql`month < ${monthsFrom}::timestamptz`,
  name_month: ({ monthsFrom }) => Prisma.sql`month < ${monthsFrom}::timestamptz`,
  sighting: ({ monthsFrom }) => Prisma.sql`month < ${monthsFrom}::timestamptz`,
};
export type Aged = keyof typeof old;
export const aged = Object.keys(old) as Aged[];

/** Sums that came to nothing: what was there is counted elsewhere now. Validations never do. */
const empty: Record<'license_tally' | 'seat_tally' | 'dead_machine_tally' | 'activity_count', Prisma.Sql> = {
  license_tally: Prisma.sql`licenses = 0`,
  seat_tally: Prisma.sql`licenses = 0`,
  dead_machine_tally: Prisma.sql`machines = 0`,
  activity_count: Prisma.sql`metric IN ('activations', 'deactivations', 'active_machines', 'licenses_created') AND value = 0`,
};
export type Emptied = keyof typeof empty;
export const emptied = Object.keys(empty) as Emptied[];

/** The next environments behind `after`. */
export async function environmentsAfter(db: Db, after: string, count: number): Promise<string[]> {
  const rows = await db.$queryRaw<{ id: string }[]>`SELECT id FROM environment WHERE id > ${after}::uuid ORDER BY id LIMIT ${count}::int`;
  return rows.map(({ id }) => id);
}

/** At most `count` rows that are older than what is kept; answers how many went. */
export function removeAged(db: Db, table: Aged, environmentIds: string[], kept: Kept, count: number): Promise<number> {
  return remove(db, table, environmentIds, old[table](kept), count);
}

/** The same of sums that came to nothing; only for whoever has the turn `rollUps`. */
export function removeEmptied(db: Db, table: Emptied, environmentIds: string[], count: number): Promise<number> {
  return remove(db, table, environmentIds, empty[table], count);
}

/** Up to where batches of processes were folded that have left none since `seenBefore`. */
export async function removeSources(db: Db, seenBefore: Date): Promise<void> {
  await db.$executeRaw`DELETE FROM validation_source WHERE seen_at < ${seenBefore}::timestamptz`;
}

function remove(db: Db, table: Aged | Emptied, environmentIds: string[], condition: Prisma.Sql, count: number): Promise<number> {
  const name = Prisma.raw(table);
  return db.$executeRaw`
    DELETE FROM ${name} WHERE ctid = ANY(ARRAY(
      SELECT ctid FROM ${name} WHERE environment_id = ANY(${environmentIds}::uuid[]) AND ${condition} LIMIT ${count}::int))`;
}
