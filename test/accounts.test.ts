import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { allScopes } from '../src/domain/scopes.js';
import { Client, type Reply, withKey } from './support/client.js';
import { startServer } from './support/server.js';
import { sharedServer } from './support/shared-server.js';
import { TEST_PLATFORM_TOKEN, testDatabaseUrl } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

/** What the operator sees and does of accounts (contract: auth.md, "Accounts"). */

const server = sharedServer();
let database: pg.Client;
let vendor: Vendor;
let platform: Client;
beforeAll(async () => {
  platform = withKey(server.url, TEST_PLATFORM_TOKEN);
  database = new pg.Client({ connectionString: testDatabaseUrl() });
  await database.connect();
});
afterAll(async () => {
  await database.end();
});
beforeEach(async () => {
  vendor = await Vendor.signUp(server.url);
});

const outcome = ({ status, body }: Reply): unknown[] => [status, body?.code, body?.details];
const suspend = (): Promise<Reply> => platform.post(`/accounts/${vendor.account.id}/suspend`);
const reinstate = (): Promise<Reply> => platform.post(`/accounts/${vendor.account.id}/reinstate`);

describe('the accounts of the installation', () => {
  it('are listed for the operator, newest first, by name and slug too', async () => {
    const { id, slug } = vendor.account;
    const next = await Vendor.signUp(server.url);
    const newest = expectStatus(await platform.get('/accounts?limit=1'), 200).body;
    expect(newest.data.map((account: { id: string }) => account.id)).toEqual([next.account.id]);
    const second = expectStatus(await platform.get(`/accounts?limit=1&cursor=${newest.pagination.nextCursor}`), 200).body;
    expect(second.data).toEqual([(await vendor.api.get('/account')).body.data]);
    for (const query of [`slug=${slug.toUpperCase()}`, `q=${slug.slice(1).toUpperCase()}`]) {
      expect((await platform.get(`/accounts?${query}`)).body.data.map((account: { id: string }) => account.id)).toEqual([id]);
    }
    for (const query of ['slug=nobody', 'q=%25', 'q=_____________________']) {
      expect((await platform.get(`/accounts?${query}`)).body.data).toEqual([]);
    }
  });

  it("are nobody's but the operator's", async () => {
    const ofLicense = vendor.app(await vendor.licenseUnder({}));
    for (const client of [vendor.api, await vendor.keyWith(...allScopes), ofLicense]) {
      for (const [method, path] of [
        ['GET', '/accounts'],
        ['POST', `/accounts/${vendor.account.id}/suspend`],
        ['POST', `/accounts/${vendor.account.id}/reinstate`],
      ] as const) {
        expect((await client.call(method, path)).body.code).toBe('INSUFFICIENT_SCOPE');
      }
    }
    expect((await new Client(server.url, {}).get('/accounts')).status).toBe(401);
    const open = await startServer({ OPEN_SIGNUP: 'true' });
    try {
      expect((await new Client(open.url, {}).get('/accounts')).status).toBe(401);
    } finally {
      await open.stop();
    }
  });
});

describe('a suspended account', () => {
  it('is refused with each of its keys until it is reinstated; no other is', async () => {
    const other = await Vendor.signUp(server.url);
    const limited = await vendor.keyWith('licenses:read');
    const suspended = expectStatus(await suspend(), 200).body.data;
    expect(suspended).toMatchObject({ id: vendor.account.id, status: 'suspended', suspendedAt: expect.any(String) });
    for (const api of [vendor.api, vendor.testApi, limited]) {
      expect(outcome(await api.get('/licenses'))).toEqual([403, 'ACCOUNT_SUSPENDED', undefined]);
    }
    expect((await other.api.get('/licenses')).status).toBe(200);
    expect(expectStatus(await reinstate(), 200).body.data).toMatchObject({ status: 'active', suspendedAt: null });
    for (const api of [vendor.api, vendor.testApi, limited]) expect((await api.get('/licenses')).status).toBe(200);
  });

  it('stops none of its customers: keys are validated, seats taken, kept and given back', async () => {
    const license = await vendor.licenseUnder({ requireHeartbeat: true });
    const machine = await vendor.activate(license, 'fingerprint-1');
    expectStatus(await suspend(), 200);
    expect(await vendor.validate(license, { fingerprint: 'fingerprint-1' })).toMatchObject({ valid: true, code: 'VALID' });
    const app = vendor.app(license);
    expectStatus(await app.get('/licenses/me'), 200);
    expectStatus(await app.post(`/machines/${machine.id}/heartbeat`), 200);
    expectStatus(await app.delete(`/machines/${machine.id}`), 204);
    await vendor.activate(license, 'fingerprint-2');
  });

  it('is a state: set twice or lifted twice it is 409, unknown it is 404', async () => {
    expect(outcome(await reinstate())).toEqual([409, 'CONFLICT', { status: 'active' }]);
    const both = await Promise.all([suspend(), suspend()]);
    expect(both.map(outcome).sort()).toEqual([
      [200, undefined, undefined],
      [409, 'CONFLICT', { status: 'suspended' }],
    ]);
    for (const id of [uuidv7(), vendor.account.slug, 'x']) {
      expect(outcome(await platform.post(`/accounts/${id}/suspend`))).toEqual([404, 'NOT_FOUND', undefined]);
      expect(outcome(await platform.post(`/accounts/${id}/reinstate`))).toEqual([404, 'NOT_FOUND', undefined]);
    }
  });

  it('has what was done to it in the log of its live environment', async () => {
    await vendor.api.patch('/account', { name: 'Renamed' });
    await vendor.api.patch('/account', { name: 'Renamed' });
    const { suspendedAt } = (await suspend()).body.data;
    await suspend();
    await reinstate();
    const { rows } = await database.query(
      `SELECT action, resource_id, before, after FROM audit_entry JOIN environment ON environment.id = environment_id
        WHERE account_id = $1 AND environment.name = 'live' AND action LIKE 'account.%' ORDER BY audit_entry.id`,
      [vendor.account.id],
    );
    const [active, suspended] = [
      { status: 'active', suspendedAt: null },
      { status: 'suspended', suspendedAt },
    ];
    const resource_id = vendor.account.id;
    expect(rows).toEqual([
      { action: 'account.created', resource_id, before: null, after: expect.objectContaining({ slug: vendor.account.slug }) },
      { action: 'account.updated', resource_id, before: { name: vendor.account.slug }, after: { name: 'Renamed' } },
      { action: 'account.suspended', resource_id, before: active, after: suspended },
      { action: 'account.reinstated', resource_id, before: suspended, after: active },
    ]);
  });
});
