import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { type Reply, withLicense } from './support/client.js';
import { sharedServer } from './support/shared-server.js';
import { testDatabaseUrl } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

/** What the holder of a license sees and may do with its key alone, in each state of the license (contract: auth.md, "License scheme"). */

const server = sharedServer();
let vendor: Vendor;
let database: pg.Client;
beforeAll(async () => {
  database = new pg.Client({ connectionString: testDatabaseUrl() });
  await database.connect();
});
afterAll(async () => {
  await database.end();
});
beforeEach(async () => {
  vendor = await Vendor.signUp(server.url);
});

const PAST = '2020-01-01T00:00:00.000Z';
const codeOf = ({ status, body }: Reply): [number, string | undefined] => [status, body?.code];
const me = async (key: string) => expectStatus(await withLicense(server.url, key).get('/licenses/me'), 200).body.data;

describe('a license in any state', () => {
  const act = (action: string) => async (id: string) => expectStatus(await vendor.api.post(`/licenses/${id}/${action}`), 200);
  const expire = async (id: string) => expectStatus(await vendor.api.patch(`/licenses/${id}`, { expiresAt: PAST }), 200);
  const states: { status: string; code: string | null; enter: (id: string) => Promise<unknown>; rules?: object }[] = [
    { status: 'active', code: null, enter: () => Promise.resolve() },
    { status: 'suspended', code: 'LICENSE_SUSPENDED', enter: act('suspend') },
    { status: 'banned', code: 'LICENSE_BANNED', enter: act('ban') },
    { status: 'revoked', code: 'LICENSE_REVOKED', enter: act('revoke') },
    { status: 'expired', code: 'LICENSE_EXPIRED', enter: expire, rules: { expirationStrategy: 'RESTRICT_ACCESS' } },
    { status: 'expired', code: null, enter: expire, rules: { expirationStrategy: 'ALLOW_ACCESS' } },
    { status: 'revoked', code: 'LICENSE_REVOKED', enter: expire, rules: { expirationStrategy: 'REVOKE' } },
  ];

  it.each(states)('$status (refused with $code): is seen, and gives its seats back', async ({ status, code, enter, rules }) => {
    const license = await vendor.licenseUnder({ maxMachines: 4, ...rules });
    const [first, second] = [await vendor.activate(license, 'fingerprint-1'), await vendor.activate(license, 'fingerprint-2')];
    const app = vendor.app(license);
    expectStatus(await app.post(`/machines/${first.id}/processes`, { pid: '1' }), 201);
    await enter(license.id);
    const shown = await me(license.key);
    expect(shown).toMatchObject({ id: license.id, status, machineCount: 2 });
    expect(shown.machines.map(({ id }: { id: string }) => id)).toEqual([second.id, first.id]);
    expect(expectStatus(await app.get('/machines'), 200).body.data).toEqual(shown.machines);

    const refused = (success: number) => (code === null ? [success, undefined] : [403, code]);
    const body = { fingerprint: 'fingerprint-3' };
    expect(codeOf(await app.post('/machines', body))).toEqual(refused(201));
    expect(codeOf(await app.post('/machines', { fingerprint: 'fingerprint-1' }))).toEqual(refused(200));
    expect(codeOf(await app.post(`/machines/${first.id}/heartbeat`))).toEqual(refused(200));
    expect(codeOf(await vendor.api.post('/machines', { ...body, licenseId: license.id }))).toEqual(refused(200));
    const processes = `/machines/${first.id}/processes`;
    expect(codeOf(await app.post(processes, { pid: '2' }))).toEqual(refused(201));
    expect(codeOf(await app.post(`${processes}/1/heartbeat`))).toEqual(refused(200));
    expect(expectStatus(await app.get(processes), 200).body.data).toHaveLength(code === null ? 2 : 1);
    expect((await app.delete(`${processes}/1`)).status).toBe(204);

    expect((await app.delete(`/machines/${first.id}`)).status).toBe(204);
    expect((await vendor.api.delete(`/machines/${second.id}`)).status).toBe(204);
    expect((await app.delete(`/machines/${first.id}`)).status).toBe(404);
    const left = code === null ? ['fingerprint-3'] : [];
    const after = await me(license.key);
    expect([after.machineCount, after.machines.map(({ fingerprint }: { fingerprint: string }) => fingerprint)]).toEqual([
      left.length,
      left,
    ]);
  });
});

describe('the holder of a license', () => {
  it("never sees or frees another license's machine, not even of the same vendor", async () => {
    const policy = await vendor.policy({ maxMachines: 2 });
    const make = () => vendor.license({ productId: policy.productId, policyId: policy.id });
    const [mine, other] = [await make(), await make()];
    const foreign = await (await Vendor.signUp(server.url)).licenseUnder({});
    const own = await vendor.activate(mine, 'fingerprint-own');
    for (const license of [other, foreign]) {
      const machine = await vendor.activate(license, 'fingerprint-own');
      const unknown = await vendor.app(mine).delete(`/machines/${randomUUID()}`);
      const reply = await vendor.app(mine).delete(`/machines/${machine.id}`);
      expect([reply.status, reply.body]).toEqual([404, { ...unknown.body, requestId: reply.body.requestId }]);
      expect(codeOf(await vendor.app(mine).post(`/machines/${machine.id}/heartbeat`))).toEqual([404, 'NOT_FOUND']);
      expect((await me(license.key)).machines).toHaveLength(1);
    }
    expect((await me(mine.key)).machines.map(({ id }: { id: string }) => id)).toEqual([own.id]);
  });

  it('is shown by a key in its overlap what the new one shows, but for the new key', async () => {
    const license = await vendor.licenseUnder({});
    const machine = await vendor.activate(license, 'fingerprint-1');
    const rotated = expectStatus(await vendor.api.post(`/licenses/${license.id}/rotate-key`, { overlapSeconds: 600 }), 200).body.data;
    const { key: shown, ...byNew } = await me(rotated.key);
    const { key: hidden, ...byOld } = await me(license.key);
    expect([shown, hidden]).toEqual([rotated.key, null]);
    expect(byOld).toEqual(byNew);
    expect((await vendor.app(license).delete(`/machines/${machine.id}`)).status).toBe(204);
    expect((await me(rotated.key)).machines).toEqual([]);
  });

  it('is shown the newest hundred machines, with how many there are', async () => {
    const license = await vendor.licenseUnder({ maxMachines: 200 });
    const newest = await vendor.activate(license, 'fingerprint-newest');
    await database.query(
      `INSERT INTO machine (id, environment_id, license_id, fingerprint, created_at, updated_at)
       SELECT gen_random_uuid(), environment_id, id, 'fingerprint-' || n, now() - n * interval '1 minute', now()
         FROM license CROSS JOIN generate_series(1, 119) AS n WHERE id = $1`,
      [license.id],
    );
    await database.query('UPDATE license SET machine_count = 120 WHERE id = $1', [license.id]);
    const { machines, machineCount } = await me(license.key);
    expect([machineCount, machines.length, machines[0].id]).toEqual([120, 100, newest.id]);
    expect(machines.at(-1).fingerprint).toBe('fingerprint-99');
  });

  it("sees its machines by the license's own clock", async () => {
    const clock = expectStatus(await vendor.testApi.post('/test-clocks', { frozenAt: '2031-01-01T00:00:00.000Z' }), 201).body.data;
    const rules = { requireHeartbeat: true, heartbeatIntervalMinutes: 60, heartbeatCullStrategy: 'KEEP_DEAD' };
    const license = await vendor.licenseUnder(rules, { testClockId: clock.id }, vendor.testApi);
    await vendor.activate(license, 'fingerprint-1');
    const status = async () => (await me(license.key)).machines[0].status;
    expect(await status()).toBe('active');
    expectStatus(await vendor.testApi.post(`/test-clocks/${clock.id}/advance`, { to: '2031-01-01T01:00:00.000Z' }), 200);
    expect(await status()).toBe('dead');
  });
});
