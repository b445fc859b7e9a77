import { setTimeout as wait } from 'node:timers/promises';
import { Database, type Db } from './database.js';
import { type MasterKey, SEALED_KEY_ID_BYTES } from './master-key.js';
import { type SealedColumn, sealedColumns } from './sealed-columns.js';

/**
 * The walk of a rotation (docs/decisions/0019-master-key.md): through every table that has something sealed, in portions by
 * primary key, a transaction each. What is sealed names its key, so only what another key has sealed is touched, and a walk
 * that was interrupted is simply begun again. Rows that a request holds are passed over and looked for again.
 */

/** Key, nonce and the tag's beginning: no two things that were sealed have the same. */
const HEAD_BYTES = 28;
const AGAIN_AFTER_MS = 250;

/** Sealed under a key that is not configured. */
export interface Unreadable {
  table: string;
  rows: number;
}

/** What a walk tells of itself. */
export interface Progress {
  /** So many rows of the table were sealed anew, in all. */
  sealed: (table: string, rows: number) => void;
  /** So many rows are held by others at the moment. */
  waiting: (rows: number) => void;
}

export interface SealedAnew {
  /** Rows that were sealed anew, by table. */
  sealed: Record<string, number>;
  /** Empty = a last look has found nothing that another key has sealed. */
  unreadable: Unreadable[];
}

interface Portion {
  /** null = it was the last. */
  lastKey: string | null;
  sealed: number;
  /** Held or changed by others meanwhile. */
  left: number;
  unreadable: number;
}

/** Until a look through everything finds nothing to do. */
export async function sealAnew(database: Database, masterKey: MasterKey, progress: Progress): Promise<SealedAnew> {
  const sealed = Object.fromEntries(sealedColumns.map(({ table }) => [table, 0]));
  for (;;) {
    const [before, unreadable] = [sum(sealed), [] as Unreadable[]];
    let left = 0;
    for (const column of sealedColumns) {
      let rows = 0;
      for (let after: string | null = least(column); after !== null;) {
        const portion = await sealPortion(database, masterKey, column, after);
        sealed[column.table] = (sealed[column.table] ?? 0) + portion.sealed;
        if (portion.sealed > 0) progress.sealed(column.table, sealed[column.table] ?? 0);
        rows += portion.unreadable;
        left += portion.left;
        after = portion.lastKey;
      }
      if (rows > 0) unreadable.push({ table: column.table, rows });
    }
    if (left === 0 && sum(sealed) === before) return { sealed, unreadable };
    if (left > 0) {
      progress.waiting(left);
      await wait(AGAIN_AFTER_MS);
    }
  }
}

/** So many rows of a table are sealed under one key. */
export interface SealedCount {
  table: string;
  /** What names the key; null = they are of the time when nothing named its key. */
  id: string | null;
  rows: number;
  /** Whether the configured keys open them. */
  opens: boolean;
}

/**
 * How many rows each key has sealed, by table. Rows that name a configured key are counted by that; where a row names neither
 * such a key nor one of `known`, it is tried whether it opens: it may be of the time when nothing named its key.
 */
export async function countByKey(database: Database, masterKey: MasterKey, known: readonly string[]): Promise<SealedCount[]> {
  const ids = [...new Set([...masterKey.ids, ...known])];
  const counts: SealedCount[] = [];
  for (const column of sealedColumns) {
    const rows = await database.acrossTenants('count what each master key has sealed', (db) => countNamed(db, column, ids));
    const named = rows.flatMap(({ id, rows: count }) => (id === null ? [] : [{ id, rows: count, opens: masterKey.ids.includes(id) }]));
    const others = named.length === rows.length ? [] : await countOthers(database, masterKey, column, ids);
    counts.push(...[...others, ...named].map((count) => ({ table: column.table, ...count })));
  }
  return counts;
}

/** By name; null = all that name none of `ids`. */
function countNamed(db: Db, { table, column }: SealedColumn, ids: readonly string[]) {
  return db.$queryRawUnsafe<{ id: string | null; rows: number }[]>(
    `SELECT known.id, count(*)::int AS rows
       FROM (SELECT encode(substring(${column} FROM 1 FOR ${String(SEALED_KEY_ID_BYTES)}), 'hex') AS id FROM ${table} WHERE ${column} IS NOT NULL) AS sealed
       LEFT JOIN unnest($1::text[]) AS known (id) ON known.id = sealed.id
      GROUP BY known.id ORDER BY known.id`,
    ids,
  );
}

/** What names none of `ids`: that opens all the same, and that does not, by what stands where a key is named. */
async function countOthers(database: Database, masterKey: MasterKey, column: SealedColumn, ids: readonly string[]) {
  const found = new Map<string | null, number>();
  for (let after: string | null = least(column); after !== null;) {
    const rows = await database.acrossTenants('look whether what names no known master key opens', (db) =>
      load(db, ids, column, after ?? ''),
    );
    for (const { key, sealed } of rows) {
      if (sealed === null) continue;
      const id = opened(masterKey, sealed, column.context(key)) === null ? hex(sealed.subarray(0, SEALED_KEY_ID_BYTES)) : null;
      found.set(id, (found.get(id) ?? 0) + 1);
    }
    after = rows.length < column.portion ? null : (rows.at(-1)?.key ?? null);
  }
  return [...found].map(([id, rows]) => ({ id, rows, opens: id === null }));
}

function sealPortion(database: Database, masterKey: MasterKey, column: SealedColumn, after: string): Promise<Portion> {
  return database.acrossTenants('seal anew what another master key has sealed', async (db) => {
    const rows = await load(db, [masterKey.id], column, after);
    const [anew, unreadable] = [[] as { key: string; head: string; anew: string }[], [] as string[]];
    for (const { key, sealed } of rows) {
      if (sealed === null) continue;
      const plain = opened(masterKey, sealed, column.context(key));
      if (plain === null) unreadable.push(key);
      else anew.push({ key, head: hex(sealed.subarray(0, HEAD_BYTES)), anew: hex(masterKey.seal(plain, column.context(key))) });
    }
    const sealed = anew.length === 0 ? 0 : await save(db, column, anew);
    const lastKey = rows.length < column.portion ? null : (rows.at(-1)?.key ?? null);
    return { lastKey, sealed, left: anew.length - sealed, unreadable: unreadable.length };
  });
}

/** The next rows in order of their keys, with what is sealed in them only where that names none of `ids`. */
function load(db: Db, ids: readonly string[], { table, key, keyType, column, portion }: SealedColumn, after: string) {
  return db.$queryRawUnsafe<{ key: string; sealed: Uint8Array | null }[]>(
    `SELECT ${keyType === 'uuid' ? `${key}::text` : `encode(${key}, 'hex')`} AS key,
            CASE WHEN substring(${column} FROM 1 FOR ${String(SEALED_KEY_ID_BYTES)}) <> ALL (ARRAY(SELECT decode(id, 'hex') FROM unnest($2::text[]) AS id)) THEN ${column} END AS sealed
       FROM ${table} WHERE ${column} IS NOT NULL AND ${key} > ${fromText(keyType, '$1')} ORDER BY ${table}.${key} LIMIT ${String(portion)}`,
    after,
    ids,
  );
}

/** Of rows that are still as they were read; waits for no lock. Answers how many. */
function save(db: Db, { table, key, keyType, column }: SealedColumn, rows: { key: string; head: string; anew: string }[]): Promise<number> {
  return db.$executeRawUnsafe(
    `WITH held AS (
       SELECT row.${key}, decode(given.anew, 'hex') AS anew
         FROM unnest($1::text[], $2::text[], $3::text[]) AS given (key, head, anew)
         JOIN ${table} row ON row.${key} = ${fromText(keyType, 'given.key')}
          AND substring(row.${column} FROM 1 FOR ${String(HEAD_BYTES)}) = decode(given.head, 'hex')
        ORDER BY row.${key} FOR NO KEY UPDATE OF row SKIP LOCKED)
     UPDATE ${table} SET ${column} = held.anew FROM held WHERE ${table}.${key} = held.${key}`,
    rows.map((row) => row.key),
    rows.map((row) => row.head),
    rows.map((row) => row.anew),
  );
}

function opened(masterKey: MasterKey, sealed: Uint8Array, context: string): string | null {
  try {
    return masterKey.open(sealed, context);
  } catch {
    return null;
  }
}

/** Comes before every key. */
function least({ keyType }: SealedColumn): string {
  return keyType === 'uuid' ? '00000000-0000-0000-0000-000000000000' : '';
}

function fromText(keyType: SealedColumn['keyType'], text: string): string {
  return keyType === 'uuid' ? `${text}::uuid` : `decode(${text}, 'hex')`;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function sum(counts: Record<string, number>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}
