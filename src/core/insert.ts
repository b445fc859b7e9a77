import { Prisma } from '../generated/prisma/client.js';
import type { Db } from './database.js';

/**
 * Many rows in one statement. Prisma compiles a createMany anew for each number of rows, at a cost of its own for every one
 * of them: of an import that was most of the work. Here the rows are one JSON value, whatever their number.
 */

/** Tables that get many rows at once. */
type Table = 'audit_entry' | 'audit_link' | 'event' | 'license' | 'license_entitlement' | 'machine' | 'webhook_delivery';

/** Rows by the names of their fields; what is absent or undefined gets the column's default. */
type Rows = readonly object[];

/** All of them, or an error. */
export async function insertMany(db: Db, table: Table, rows: Rows): Promise<void> {
  for (const [columns, alike] of byColumns(rows)) await db.$executeRaw(insert(table, columns, alike));
}

/**
 * Those whose unique values nobody has; answers their ids. In one statement and in the order of the rows: who wants a value
 * that another is about to take waits for it, so everybody must come by the values in the same order, or two wait for each
 * other. A column that only some rows say is null in the others.
 */
export async function insertFree(db: Db, table: Table, rows: Rows): Promise<string[]> {
  if (rows.length === 0) return [];
  const said = rows.map(saidBy);
  const columns = [...new Set(said.flatMap((row) => Object.keys(row)))];
  const made = await db.$queryRaw<{ id: string }[]>`${insert(table, columns, said)} ON CONFLICT DO NOTHING RETURNING id`;
  return made.map(({ id }) => id);
}

/** The rows as `jsonb_populate_recordset` takes them, for a statement that says by itself which columns it writes. */
export function recordsOf(rows: Rows): string {
  return JSON.stringify(
    rows.map((row) => Object.fromEntries(Object.entries(row).map(([field, value]) => [columnOf(field), textOf(value)]))),
  );
}

/** The statement that inserts one, for a statement of several parts; none when `onlyIf`, a part before, has no row. */
export function insertionOf(table: Table, row: object, onlyIf?: string): Prisma.Sql {
  const [[columns, alike]] = byColumns([row]) as [[string[], Record<string, unknown>[]]];
  const insertion = insert(table, columns, alike);
  return onlyIf === undefined ? insertion : Prisma.sql`${insertion} WHERE EXISTS (SELECT FROM ${Prisma.raw(onlyIf)})`;
}

/** In the order of the rows; PostgreSQL reads each value as its column's type says. */
function insert(table: Table, columns: string[], rows: Record<string, unknown>[]): Prisma.Sql {
  const [into, names] = [Prisma.raw(table), Prisma.raw(columns.join(', '))];
  return Prisma.sql`
    INSERT INTO ${into} (${names})
    SELECT ${names} FROM jsonb_populate_recordset(NULL::${into}, ${JSON.stringify(rows)}::jsonb)`;
}

/** Rows that say the same columns, together: a column that a row does not say must not be named for it. */
function byColumns(rows: Rows): [string[], Record<string, unknown>[]][] {
  const groups = new Map<string, [string[], Record<string, unknown>[]]>();
  for (const row of rows) {
    const alike = saidBy(row);
    const columns = Object.keys(alike);
    const group = groups.get(columns.join());
    if (group === undefined) groups.set(columns.join(), [columns, [alike]]);
    else group[1].push(alike);
  }
  return [...groups.values()];
}

/** What a row says, by column. */
function saidBy(row: object): Record<string, unknown> {
  const values = Object.entries(row as Record<string, unknown>).filter(([, value]) => value !== undefined);
  return Object.fromEntries(values.map(([field, value]) => [columnOf(field), textOf(value)]));
}

const columnsOfFields = new Map<string, string>();

/** `createdAt` is `created_at`, as in schema.prisma. Remembered: fields of tables are few, their rows many. */
export function columnOf(field: string): string {
  let column = columnsOfFields.get(field);
  if (column === undefined) {
    column = field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    columnsOfFields.set(field, column);
  }
  return column;
}

function textOf(value: unknown): unknown {
  if (value instanceof Uint8Array) return `\\x${Buffer.from(value).toString('hex')}`;
  return typeof value === 'bigint' ? String(value) : value;
}
