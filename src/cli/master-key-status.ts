import { Database, DatabaseNotUsable } from '../core/database.js';
import { type RingKey, ringKeys } from '../core/key-ring.js';
import type { MasterKey } from '../core/master-key.js';
import { isRotating } from '../core/master-key-file.js';
import { databaseStatus } from '../core/migrate.js';
import { keepsOwnKey, visitExisting } from '../core/open-database.js';
import { countByKey, type SealedCount } from '../core/seal-anew.js';
import { tidy, withDatabase } from './database.js';
import { type Outcome, REFUSED, table } from './output.js';

const POOL_SIZE = 3;

/**
 * `master-key status`: changes nothing. Refused while something is sealed under another key than the one that seals, or
 * cannot be opened.
 */
export function masterKeyStatus(): Promise<Outcome> {
  return withDatabase(async ({ url, masterKey }, config) => {
    if ((await databaseStatus(url)).pending.length > 0)
      throw new DatabaseNotUsable('The schema is behind this version: run "latchkey db migrate".');
    const ring = await ringKeys(url);
    const database = new Database(url, POOL_SIZE);
    const counts = await countByKey(
      database,
      masterKey,
      ring.map(({ id }) => id),
    ).finally(() => tidy(database.close()));
    const keys = keysOf(masterKey, ring, counts);
    const stateOf = (id: string | null): string => keys.find((key) => key.id === id)?.state ?? 'sealed when nothing named its key';
    const sealed = counts.map((count) => ({ ...count, state: count.opens ? stateOf(count.id) : 'cannot be opened' }));
    const unreadable = counts.filter(({ opens }) => !opens).reduce((total, { rows }) => total + rows, 0);
    const isRotated =
      unreadable === 0 &&
      // With only one key, what names none was sealed under that.
      counts.every(({ id }) => id === masterKey.id || (id === null && keys.length === 1)) &&
      ring.every(({ id, retiredAt }) => (id === masterKey.id) === (retiredAt === null)) &&
      !(keepsOwnKey(config) && (await isRotating(config.dataDir)));
    const text = [
      table(
        ['MASTER KEY', 'IN THE SETTINGS', 'IN THE DATABASE', 'ROWS'],
        keys.map(({ id, state, inDatabase, rows }) => [id, state, inDatabase, String(rows)]),
        '',
      ),
      table(
        ['SEALED IN', 'UNDER', 'ROWS', 'STATE'],
        sealed.map(({ table: name, id, rows, state }) => [name, id ?? '-', String(rows), state]),
        'Nothing is sealed.',
      ),
      ...(unreadable === 0 ? [] : [`${String(unreadable)} rows cannot be opened with the configured keys.`]),
    ].join('\n\n');
    return { document: { isRotated, unreadable, keys, sealed }, text, exitCode: isRotated ? 0 : REFUSED };
  }, visitExisting);
}

/** Every key that the settings or the database know, or that something is sealed under. */
function keysOf(masterKey: MasterKey, ring: readonly RingKey[], counts: readonly SealedCount[]) {
  const sealing = counts.flatMap(({ id }) => (id === null ? [] : [id]));
  return [...new Set([...ring.map(({ id }) => id), ...masterKey.ids, ...sealing])].map((id) => {
    const known = ring.find((key) => key.id === id);
    return {
      id,
      state: id === masterKey.id ? 'seals' : masterKey.ids.includes(id) ? 'readable' : 'not configured',
      inDatabase: known === undefined ? 'not known' : known.retiredAt === null ? 'in use' : 'rotated out',
      rows: counts.filter((count) => count.id === id).reduce((total, { rows }) => total + rows, 0),
    };
  });
}
