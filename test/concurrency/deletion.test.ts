import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import type { Reply } from '../support/client.js';
import { sharedServer } from '../support/shared-server.js';
import { testDatabaseUrl } from '../support/settings.js';
import { Vendor } from '../support/vendor.js';

/** A change that meets a deletion comes before it, or finds nothing: it is never acknowledged for what is gone. */
describe('a change that waits behind a deletion', () => {
  const server = sharedServer();
  let vendor: Vendor;
  let holder: pg.Client;
  let watcher: pg.Client;

  beforeAll(async () => {
    [holder, watcher] = [0, 0].map(() => new pg.Client({ connectionString: testDatabaseUrl() })) as [pg.Client, pg.Client];
    await Promise.all([holder.connect(), watcher.connect()]);
  });
  afterAll(async () => {
    await Promise.all([holder.end(), watcher.end()]);
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

  it('of an entitlement meets those who attach it without a deadlock: everyone is answered, and nothing keeps it', async () => {
    const policy = await vendor.policy();
    const ids = { productId: policy.productId, policyId: policy.id };
    const licenses = await Promise.all([0, 1, 2].map(() => vendor.license(ids)));
    for (let round = 0; round < 6; round += 1) {
      const { id, code } = await vendor.entitlement(`pro-${round}`);
      for (const license of licenses) await vendor.api.post(`/licenses/${license.id}/entitlements`, { codes: [code] });
      const replies = await Promise.all([
        vendor.api.delete(`/entitlements/${id}`),
        ...licenses.map((license) => vendor.api.post(`/licenses/${license.id}/entitlements`, { codes: [code], quantity: round + 1 })),
        vendor.api.post(`/policies/${policy.id}/entitlements`, { codes: [code] }),
        vendor.api.post('/licenses', { ...ids, entitlements: [code] }),
        vendor.api.post(`/licenses/${licenses[0].id}/transfer`, { policyId: policy.id }),
      ]);
      expect(replies.map(({ status }) => status).filter((status) => ![200, 201, 204, 404, 409].includes(status))).toEqual([]);
      expect(replies[0].status).toBe(204);
    }
    const { rows } = await watcher.query(
      `SELECT license_id AS id FROM license_entitlement WHERE license_id = ANY($1) UNION ALL SELECT policy_id FROM policy_entitlement WHERE policy_id = $2`,
      [licenses.map((license) => license.id), policy.id],
    );
    expect(rows).toEqual([]);
    // Each that lost it was told so, as often as it had got it.
    const { rows: told } = await watcher.query(
      `SELECT license_id, count(*) FILTER (WHERE type = 'entitlement.attached') - count(*) FILTER (WHERE type = 'entitlement.detached') AS left
         FROM event WHERE license_id = ANY($1) GROUP BY 1`,
      [licenses.map((license) => license.id)],
    );
    expect(told.map(({ left }) => Number(left))).toEqual([0, 0, 0]);
  });
});
