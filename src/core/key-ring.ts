import pg from 'pg';
import { DatabaseNotUsable, SYSTEM_ROLE } from './database.js';
import type { MasterKey } from './master-key.js';

/**
 * What a rotation of the master key keeps lies in the database, wrapped under each master key in use: a row a key, and
 * the name of each that was rotated out (docs/decisions/0019-master-key.md).
 */

/** Any two processes that rotate agree on this number. */
const ROTATION_LOCK = 7_205_759_405;
/** How long those who are about to end may take for it. */
const QUIET_TIMEOUT_MS = 5_000;
const QUIET_INTERVAL_MS = 100;

/** A master key that this database knows, the oldest first. */
export interface RingKey {
  id: string;
  /** Null = in use. */
  retiredAt: Date | null;
}

/**
 * The master key to work with: the given one, with what the database keeps. A key that is new here is entered, when one
 * that is readable opens what is kept. All keys in use must be there. A database that has kept nothing yet keeps what its digests were made with so far.
 * The caller holds the lock under which servers boot one by one.
 * @throws DatabaseNotUsable for a key that opens nothing, or that was rotated out
 */
export async function openKeyRing(client: pg.Client, given: MasterKey): Promise<MasterKey> {
  return asSystem(client, async () => {
    const { rows } = await client.query<RingKey & { wrapped: Buffer | null }>(
      'SELECT id, wrapped, retired_at AS "retiredAt" FROM key_ring ORDER BY place',
    );
    const own = rows.find(({ id }) => id === given.id);
    if (own !== undefined && own.retiredAt !== null) throw rotatedOut(given, given.id);
    if (rows.length === 0) return begin(client, given);
    const wrapping = own ?? rows.find(({ id, wrapped }) => wrapped !== null && given.ids.includes(id));
    if (wrapping?.wrapped == null) {
      const retired = rows.find(({ id }) => given.ids.includes(id));
      throw retired === undefined ? notTheOne(given) : rotatedOut(given, retired.id);
    }
    const unknown = rows.filter(({ id, wrapped }) => wrapped !== null && !given.ids.includes(id));
    if (unknown.length > 0) {
      // Rather than answer some requests, and fail at what the other key has sealed.
      throw new DatabaseNotUsable(
        `The master key is being rotated: ${unknown.map(({ id }) => id).join(', ')} is in use too. Set that key in MASTER_KEYS_READABLE.`,
      );
    }
    const masterKey = given.withKept(wrapping.id, wrapping.wrapped);
    if (own === undefined) await enter(client, masterKey, given.id);
    return masterKey;
  });
}

/** The first boot with a key ring: the digests that are there say which of the keys is theirs. */
async function begin(client: pg.Client, given: MasterKey): Promise<MasterKey> {
  const { rows } = await client.query<{ pepperId: string }>(
    `SELECT pepper_id AS "pepperId" FROM unnest($1::text[]) AS known (pepper_id)
      WHERE EXISTS (SELECT FROM api_key WHERE api_key.pepper_id = known.pepper_id) OR NOT EXISTS (SELECT FROM api_key)`,
    [given.beforeKeyRing().map(({ pepperId }) => pepperId)],
  );
  const found = given.beforeKeyRing().find(({ pepperId }) => rows.some((row) => row.pepperId === pepperId));
  if (found === undefined) throw notTheOne(given);
  await enter(client, found.masterKey, found.id);
  if (found.id !== given.id) await enter(client, found.masterKey, given.id);
  return found.masterKey;
}

async function enter(client: pg.Client, masterKey: MasterKey, id: string): Promise<void> {
  await client.query('INSERT INTO key_ring (id, place, wrapped) SELECT $1, COALESCE(max(place), 0) + 1, $2 FROM key_ring', [
    id,
    Buffer.from(masterKey.wrapKept(id)),
  ]);
}

function notTheOne(given: MasterKey): DatabaseNotUsable {
  const name = given.nameOf(given.id);
  return new DatabaseNotUsable(`${name} is not the one that this database was made with: no stored key could be recognised.`);
}

function rotatedOut(given: MasterKey, id: string): DatabaseNotUsable {
  return new DatabaseNotUsable(
    `${given.nameOf(id)} was rotated out of this database (${id}): put the key there that took its place. With this one nothing opens.`,
  );
}

/** Every key that the database knows, the oldest first. */
export function ringKeys(databaseUrl: string): Promise<RingKey[]> {
  return withClient(databaseUrl, async (client) => {
    const { rows } = await client.query<RingKey>('SELECT id, retired_at AS "retiredAt" FROM key_ring ORDER BY place');
    return rows;
  });
}

/**
 * From here on no server starts with a key that came before this one. Only when nothing is sealed under those any more.
 * @returns their ids
 */
export function retireBefore(databaseUrl: string, id: string): Promise<string[]> {
  return withClient(databaseUrl, async (client) => {
    const { rows } = await client.query<{ id: string }>(
      `UPDATE key_ring SET wrapped = NULL, retired_at = now()
        WHERE retired_at IS NULL AND place < (SELECT place FROM key_ring WHERE id = $1) RETURNING id`,
      [id],
    );
    return rows.map((row) => row.id);
  });
}

/**
 * One rotation at a time.
 * @throws DatabaseNotUsable when another is at it
 */
export function whileRotating<T>(databaseUrl: string, work: () => Promise<T>): Promise<T> {
  return withClient(databaseUrl, async (client) => {
    const { rows } = await client.query<{ held: boolean }>('SELECT pg_try_advisory_lock($1) AS held', [ROTATION_LOCK]);
    if (rows[0]?.held !== true) throw new DatabaseNotUsable('Another process rotates the master key of this database: let it end.');
    return work();
  });
}

/**
 * Nobody of ours works on an embedded database but the caller, whose own sessions are closed. A process that has read its
 * key before there was a next one would go on to seal under the old.
 * @throws DatabaseNotUsable
 */
export function requireNobodyElse(databaseUrl: string): Promise<void> {
  return withClient(databaseUrl, async (client) => {
    await client.query('RESET ROLE');
    for (const end = Date.now() + QUIET_TIMEOUT_MS; ;) {
      const { rows } = await client.query<{ others: number }>(
        `SELECT count(*)::int AS others FROM pg_stat_activity
          WHERE datname = current_database() AND application_name LIKE 'latchkey latchkey\\_%'`,
      );
      if (rows[0]?.others === 0) return;
      if (Date.now() > end) {
        throw new DatabaseNotUsable('Another latchkey command works on this database. When it has ended, run this one again: it goes on.');
      }
      await new Promise((wake) => setTimeout(wake, QUIET_INTERVAL_MS));
    }
  });
}

async function withClient<T>(databaseUrl: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: 'latchkey key ring', connectionTimeoutMillis: 10_000 });
  client.on('error', () => undefined);
  await client.connect();
  return asSystem(client, () => work(client)).finally(() => client.end());
}

async function asSystem<T>(client: pg.Client, work: () => Promise<T>): Promise<T> {
  await client.query(`SET ROLE ${SYSTEM_ROLE}`);
  try {
    return await work();
  } finally {
    await client.query('RESET ROLE');
  }
}
