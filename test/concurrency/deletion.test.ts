import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import type { Running } from '../../src/boot.js';
import type { Reply } from '../support/client.js';
import { startServer } from '../support/server.js';
import { testDatabaseUrl } from '../support/settings.js';
import { Vendor } from '../support/vendor.js';

/** A change that meets a deletion comes before it, or finds nothing: it is never acknowledged for what is gone. */
describe('a change that waits behind a deletion', () => {
  let server: Running;
  let vendor: Vendor;
  let holder: pg.Client;
  let watcher: pg.Client;

  beforeAll(async () => {
    server = await startServer();
    [holder, watcher] = [0, 0].map(() => new pg.Client({ connectionString: testDatabaseUrl() })) as [pg.Client, pg.Client];
    await Promise.all([holder.connect(), watcher.connect()]);
  });
  afterAll(async () => {
    await Promise.all([holder.end(), watcher.end()]);
    await server.stop();
  });
  beforeEach(async () => {
    vendor = await Vendor.signUp(server.url);
  });

  /** Until so many sessions queue behind the holder, directly or behind each other. */
  async function queueOf(length: number): Promise<void> {
    const { rows } = await holder.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    for (;;) {
      const { rowCount } = await watcher.query(
        `WITH RECURSIVE waiting AS (
           SELECT $1::int AS pid
           UNION SELECT activity.pid FROM pg_stat_activity AS activity JOIN waiting ON waiting.pid = ANY(pg_blocking_pids(activity.pid))
         ) SELECT FROM waiting WHERE pid <> $1`,
        [rows[0]!.pid],
      );
      if (rowCount === length) return;
    }
  }

  it.each([
    { what: 'product', path: '/products', make: () => vendor.product() },
    { what: 'entitlement', path: '/entitlements', make: () => vendor.entitlement('pro') },
    { what: 'policy', path: '/policies', make: () => vendor.policy() },
    { what: 'license', path: '/licenses', make: () => vendor.licenseUnder({}) },
    // Who changes a machine holds its license.
    { what: 'machine', path: '/machines', row: 'license', make: async () => vendor.activate(await vendor.licenseUnder({}), 'fingerprint') },
  ])('is 404: $what', async ({ what, row = what, path, make }) => {
    const made = await make();
    await holder.query('BEGIN');
    await holder.query(`SELECT FROM ${row} WHERE id = $1 FOR UPDATE`, [row === what ? made.id : made.licenseId]);
    const replies: Promise<Reply>[] = [];
    try {
      replies.push(vendor.api.delete(`${path}/${made.id}`));
      await queueOf(1);
      replies.push(vendor.api.patch(`${path}/${made.id}`, { name: 'Renamed' }));
      await queueOf(2);
    } finally {
      await holder.query('COMMIT');
    }
    expect((await Promise.all(replies)).map(({ status }) => status)).toEqual([204, 404]);
  });
});
