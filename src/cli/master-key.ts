import { Database, DatabaseNotUsable } from '../core/database.js';
import { requireNobodyElse, retireBefore, type RingKey, ringKeys, whileRotating } from '../core/key-ring.js';
import type { MasterKey } from '../core/master-key.js';
import { isRotating, swapKeys } from '../core/master-key-file.js';
import { databaseStatus, prepareDatabase } from '../core/migrate.js';
import { keepsOwnKey, openForRotation } from '../core/open-database.js';
import { countByKey, type Progress, type SealedAnew, sealAnew } from '../core/seal-anew.js';
import { tidy, withDatabase } from './database.js';
import { fields, type Outcome, REFUSED, table } from './output.js';

/** How often the progress of a long walk is told. */
const TELL_EVERY_MS = 2_000;
const POOL_SIZE = 3;

/** `master-key rotate`: refused when there is no other key, or not everything could be opened. */
export function rotateMasterKey(): Promise<Outcome> {
  return withDatabase(async ({ url, masterKey: given }, config) => {
    const { masterKey } = await prepareDatabase(url, given);
    return whileRotating(url, async () => {
      const isOwn = keepsOwnKey(config);
      requireDirection(masterKey, await ringKeys(url));
      if (isOwn) await requireNobodyElse(url);
      const walked = await walk(url, masterKey);
      if (walked.unreadable.length > 0) return unreadable(walked);
      if (isOwn) {
        // Who came before the next key was there and went during the walk is seen by neither alone.
        await requireNobodyElse(url);
        const last = await walk(url, masterKey);
        if (last.unreadable.length > 0) return unreadable(last);
      }
      const retired = await retireBefore(url, masterKey.id);
      if (isOwn) await swapKeys(config.dataDir);
      const end = isOwn
        ? 'The data directory has its new master key; the one before is gone. Start the server.'
        : 'What MASTER_KEYS_READABLE names is needed by nothing any more. Take it away from every server.';
      const lines: [string, string][] = Object.entries(walked.sealed).map(([name, rows]) => [name, `${String(rows)} sealed anew`]);
      return { document: { masterKey: masterKey.id, sealed: walked.sealed, retired }, text: `${fields(lines)}\n${end}` };
    });
  }, openForRotation);
}

/** `master-key status`: changes nothing. Refused while something is sealed under another key than the one that seals. */
export function masterKeyStatus(): Promise<Outcome> {
  return withDatabase(async ({ url, masterKey }, config) => {
    if ((await databaseStatus(url)).pending.length > 0)
      throw new DatabaseNotUsable('The schema is behind this version: run "latchkey db migrate".');
    const ring = await ringKeys(url);
    const ids = [...new Set([...ring.map(({ id }) => id), ...masterKey.ids])];
    const counts = await inDatabase(url, (database) => countByKey(database, ids));
    const stateOf = (id: string | null): string => {
      if (id === masterKey.id) return 'seals';
      if (id === null) return 'of a version before, or unknown';
      const isRetired = ring.some((key) => key.id === id && key.retiredAt !== null);
      return `${masterKey.ids.includes(id) ? 'readable' : 'not configured'}${isRetired ? ', rotated out' : ''}`;
    };
    const keys = ids.map((id) => ({ id, state: stateOf(id) }));
    const sealed = counts.map((count) => ({ ...count, state: stateOf(count.id) }));
    const isRotated =
      // With only one key, what names none was sealed under that.
      sealed.every(({ id }) => id === masterKey.id || (id === null && ids.length === 1)) &&
      ring.every(({ id, retiredAt }) => id === masterKey.id || retiredAt !== null) &&
      !(keepsOwnKey(config) && (await isRotating(config.dataDir)));
    const text = [
      table(
        ['MASTER KEY', 'STATE'],
        keys.map(({ id, state }) => [id, state]),
        '',
      ),
      table(
        ['SEALED IN', 'UNDER', 'ROWS', 'STATE'],
        sealed.map(({ table: name, id, rows, state }) => [name, id ?? '-', String(rows), state]),
        'Nothing is sealed.',
      ),
    ].join('\n\n');
    return { document: { isRotated, keys, sealed }, text, exitCode: isRotated ? 0 : REFUSED };
  });
}

/** The walk goes to the key that came last: back to one before, servers that have gone over would be left behind. */
function requireDirection(masterKey: MasterKey, ring: readonly RingKey[]): void {
  const living = ring.filter(({ retiredAt }) => retiredAt === null).map(({ id }) => id);
  if (living.at(-1) !== masterKey.id) {
    throw new DatabaseNotUsable(
      `Servers have begun to use a newer master key (${living.at(-1) ?? ''}) than this MASTER_KEY (${masterKey.id}): run this with theirs.`,
    );
  }
  if (living.length === 1 && masterKey.ids.length === 1) {
    throw new DatabaseNotUsable(
      'MASTER_KEY is the only key that is known. First give every server a new one in MASTER_KEYS_READABLE, then make that MASTER_KEY and this one readable (README, "Rotating the master key").',
    );
  }
}

function walk(url: string, masterKey: MasterKey): Promise<SealedAnew> {
  return inDatabase(url, (database) => sealAnew(database, masterKey, tellProgress()));
}

async function inDatabase<T>(url: string, work: (database: Database) => Promise<T>): Promise<T> {
  const database = new Database(url, POOL_SIZE);
  return work(database).finally(() => tidy(database.close()));
}

/** On stderr: stdout belongs to the answer. */
function tellProgress(): Progress {
  let toldAt = Date.now();
  const tell = (line: string): void => {
    if (Date.now() - toldAt < TELL_EVERY_MS) return;
    toldAt = Date.now();
    process.stderr.write(`${line}\n`);
  };
  return {
    sealed: (name, rows) => {
      tell(`${name}: ${String(rows)} sealed anew`);
    },
    waiting: (rows) => {
      tell(`waiting for ${String(rows)} rows that others hold`);
    },
  };
}

function unreadable({ sealed, unreadable: rest }: SealedAnew): Outcome {
  const where = rest.map(({ table: name, rows }) => `${String(rows)} in ${name}`).join(', ');
  const error = {
    code: 'NOT_USABLE',
    message: `Some rows were sealed under a key that is not configured (${where}). Set it in MASTER_KEYS_READABLE and run this again: no key was rotated out. "latchkey master-key status" names it.`,
  };
  process.stderr.write(`error: ${error.message}\n`);
  return { document: { error, sealed, unreadable: rest }, text: '', exitCode: REFUSED };
}
