import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { ServerProcess } from '../support/server.js';
import { testDatabaseUrl, testEnvironment } from '../support/settings.js';
import { expectStatus, Vendor } from '../support/vendor.js';

const WRITERS = 5;
const ENTRIES_OF_EACH = 30;

/** Two server processes link the same chain while it is written: no lock inside a process can make these pass. */
describe('the audit chain, linked by two server processes at once', () => {
  let servers: ServerProcess[];
  let database: pg.Client;

  beforeAll(async () => {
    servers = await Promise.all([ServerProcess.start(testEnvironment()), ServerProcess.start(testEnvironment())]);
    database = new pg.Client({ connectionString: testDatabaseUrl() });
    await database.connect();
  });
  afterAll(async () => {
    await database.end();
    await Promise.all(servers.map((server) => server.stop()));
  });

  async function newChain(): Promise<[Vendor, string]> {
    const vendor = await Vendor.signUp(servers[0]!.url);
    const { rows } = await database.query<{ id: string }>(`SELECT id FROM environment WHERE account_id = $1 AND name = 'live'`, [
      vendor.account.id,
    ]);
    return [vendor, rows[0]!.id];
  }

  /** Transactions of different lengths: entries are committed in another order than they are written. */
  async function write(environmentId: string): Promise<void> {
    const client = new pg.Client({ connectionString: testDatabaseUrl() });
    await client.connect();
    try {
      for (let written = 0; written < ENTRIES_OF_EACH; written += 3) {
        await client.query('BEGIN');
        await client.query('SET LOCAL ROLE latchkey_tenant');
        await client.query(`SELECT set_config('app.environment_id', $1, true)`, [environmentId]);
        for (let index = 0; index < 3; index += 1)
          await client.query(`INSERT INTO audit_entry (id, action, actor_type) VALUES ($1, 'test.noted', 'system')`, [uuidv7()]);
        await client.query('SELECT pg_sleep(random() * 0.05)');
        await client.query(written % 5 === 0 ? 'ROLLBACK' : 'COMMIT');
      }
    } finally {
      await client.end();
    }
  }

  const positionsOf = async (environmentId: string): Promise<number[]> =>
    (
      await database.query<{ position: number }>('SELECT position::int FROM audit_link WHERE chain_id = $1 ORDER BY position', [
        environmentId,
      ])
    ).rows.map(({ position }) => position);
  const entriesOf = async (environmentId: string): Promise<number> =>
    (await database.query('SELECT FROM audit_entry WHERE environment_id = $1', [environmentId])).rowCount ?? 0;

  it('is one chain without gaps, valid whenever it is asked', async () => {
    const [vendor, environmentId] = await newChain();
    const before = await entriesOf(environmentId);
    let isWriting = true;
    const writing = Promise.all(Array.from({ length: WRITERS }, () => write(environmentId))).finally(() => {
      isWriting = false;
    });
    const asking = servers.map(async ({ url }) => {
      const proofs: { valid: boolean; entries: number }[] = [];
      while (isWriting) proofs.push(expectStatus(await vendor.through(url).api.get('/audit-logs/verify'), 200).body.data);
      return proofs;
    });
    await writing;
    for (const proofs of await Promise.all(asking)) {
      expect(proofs.filter(({ valid }) => !valid)).toEqual([]);
      // What was covered once stays covered.
      expect(proofs.map(({ entries }) => entries)).toEqual(proofs.map(({ entries }) => entries).sort((one, other) => one - other));
    }
    const entries = await entriesOf(environmentId);
    expect(entries - before).toBe((WRITERS * ENTRIES_OF_EACH * 4) / 5);
    const answers = await Promise.all(servers.map(({ url }) => vendor.through(url).api.get('/audit-logs/verify')));
    for (const { body } of answers) expect(body.data).toMatchObject({ valid: true, entries, brokenAt: null });
    expect(await positionsOf(environmentId)).toEqual(Array.from({ length: entries }, (_, index) => index + 1));
  });

  it('loses nothing of a server that is killed, and what a server was told is linked when it has stopped', async () => {
    const [vendor, environmentId] = await newChain();
    const third = await ServerProcess.start(testEnvironment());
    const writing = Promise.all(Array.from({ length: WRITERS }, () => write(environmentId)));
    expect(expectStatus(await vendor.through(third.url).api.get('/audit-logs/verify'), 200).body.data.valid).toBe(true);
    await third.stop('SIGKILL');
    await writing;
    const entries = await entriesOf(environmentId);
    const { body } = expectStatus(await vendor.api.get('/audit-logs/verify'), 200);
    expect(body.data).toMatchObject({ valid: true, entries });

    const last = await ServerProcess.start(testEnvironment());
    const license = await vendor.licenseUnder({});
    const refused = await vendor.through(last.url).app(license).get('/products');
    expect(refused.status).toBe(403);
    await last.stop();
    const all = await entriesOf(environmentId);
    expect(all).toBeGreaterThan(entries);
    expect(await positionsOf(environmentId)).toEqual(Array.from({ length: all }, (_, index) => index + 1));
  });
});
