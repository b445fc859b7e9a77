import { Prisma } from '../generated/prisma/client.js';
import type { Db } from './database.js';
import type { Found, Position, Slice } from './page.js';

/**
 * Slices of the long lists, found by statements whose order and cursor are exactly those of an index
 * (docs/decisions/0013-lists.md): what a page costs depends neither on how deep it is nor on how many rows tie.
 */

/** All of them hold. */
export const all = (conditions: Prisma.Sql[]): Prisma.Sql => Prisma.sql`(${Prisma.join(conditions, ' AND ')})`;

/**
 * A condition that PostgreSQL cannot estimate, like a text in the middle of another. By itself it is believed to be rare,
 * and everything would be gathered and sorted to look for it; in this wrapping it is believed to hold for every other row,
 * and the order is followed until the page is full.
 */
export const perhaps = (condition: Prisma.Sql): Prisma.Sql => Prisma.sql`CASE WHEN ${condition} THEN true ELSE false END`;

/**
 * Where the rows of a slice stand, in order. A row is in the list in one of several ways, which exclude each other and each
 * have an index to follow: an OR over all would have none.
 */
export async function findSlice(
  db: Db,
  table: 'license' | 'machine' | 'event' | 'webhook_delivery',
  ways: Prisma.Sql[],
  slice: Slice,
): Promise<Position[]> {
  const column = Prisma.raw(slice.field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`));
  const direction = Prisma.raw(slice.descending ? 'DESC' : 'ASC');
  const found: Position[] = [];
  for (const part of ways.length === 0 ? [] : partsOf(column, slice)) {
    const take = slice.take - found.length;
    if (take === 0) break;
    const branches = ways.map(
      (way) => Prisma.sql`
        (SELECT id, ${column} AS at FROM ${Prisma.raw(table)} WHERE ${way} AND ${part}
          ORDER BY ${column} ${direction}, id ${direction} LIMIT ${take})`,
    );
    const rows = await db.$queryRaw<Position[]>`
      SELECT id, at FROM (${Prisma.join(branches, ' UNION ALL ')}) AS way ORDER BY at ${direction}, id ${direction} LIMIT ${take}`;
    found.push(...rows);
  }
  return found;
}

/**
 * The list behind the position, as one or two ranges of the index on (column, id): those with the time and, after them,
 * those without. The index has nulls at one end, so one order over both would be the index's own in one direction only.
 */
function partsOf(column: Prisma.Sql, { field, descending, after }: Slice): Prisma.Sql[] {
  const beyond = Prisma.raw(descending ? '<' : '>');
  const isNull = Prisma.sql`${column} IS NULL`;
  if (after?.at === null) return [all([isNull, Prisma.sql`id ${beyond} ${after.id}::uuid`])];
  const withTime =
    after === null
      ? Prisma.sql`${column} IS NOT NULL`
      : Prisma.sql`(${column}, id) ${beyond} (${after.at}::timestamptz, ${after.id}::uuid)`;
  return field === 'createdAt' ? [withTime] : [withTime, isNull];
}

/** The rows at these positions, in their order. */
export async function loadSlice<Row extends { id: string }>(
  positions: Position[],
  load: (where: { id: { in: string[] } }) => Promise<Row[]>,
): Promise<Found<Row>[]> {
  if (positions.length === 0) return [];
  const rows = await load({ id: { in: positions.map(({ id }) => id) } });
  const byId = new Map(rows.map((row) => [row.id, row]));
  return positions.flatMap((position) => {
    const row = byId.get(position.id);
    return row === undefined ? [] : [{ position, row }];
  });
}
