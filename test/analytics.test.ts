import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { type Client, withKey } from './support/client.js';
import { eventually } from './support/eventually.js';
import { Random } from './support/random.js';
import { rollUpsAreKept } from './support/roll-ups.js';
import { sharedServer } from './support/shared-server.js';
import { testDatabaseUrl } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

/** What vendors are told in numbers (contract: resources.md, "Analytics"), held against what they did and what the lists say. */

const DAY_MS = 86_400_000;
const fromNow = (days: number): string => new Date(Date.now() + days * DAY_MS).toISOString();
const dayOf = (time: string | number): string => new Date(time).toISOString().slice(0, 10);

const server = sharedServer();
let database: pg.Client;
let vendor: Vendor;

beforeAll(async () => {
  database = new pg.Client({ connectionString: testDatabaseUrl() });
  await database.connect();
});
afterAll(() => database.end());
beforeEach(async () => {
  vendor = await Vendor.signUp(server.url);
});

/** What a route of analytics says, once all that was done is in the roll-ups. */
async function ask(path = '', api: Client = vendor.api) {
  await rollUpsAreKept(database, vendor.account.id);
  return expectStatus(await api.get(`/analytics${path}`), 200).body.data;
}

/** What the overview has to say of licenses, counted by listing them. */
async function listed(api: Client = vendor.api) {
  const count = async (query: string): Promise<number> => {
    const { body } = expectStatus(await api.get(`/licenses?limit=100${query}`), 200);
    expect(body.pagination.hasMore).toBe(false);
    return body.data.length;
  };
  const statuses = ['active', 'expired', 'suspended', 'revoked', 'banned'];
  const counts = await Promise.all(statuses.map(async (status) => [status, await count(`&status=${status}`)] as const));
  return { total: await count(''), ...Object.fromEntries(counts) };
}

const act = async (license: { id: string }, action: string, body?: object, api: Client = vendor.api) =>
  expectStatus(await api.post(`/licenses/${license.id}/${action}`, body), 200).body.data;

async function segmentKey(): Promise<Client> {
  return withKey(server.url, expectStatus(await vendor.api.post('/api-keys', { name: 'reseller [segment]' }), 201).body.data.key);
}

describe('the overview', () => {
  it('tells of licenses in every state, of machines and of validations', async () => {
    const policy = await vendor.policy({ gracePeriodDays: 3, durationDays: 100, maxMachines: 5 });
    const make = (fields: object = {}) => vendor.license({ productId: policy.productId, policyId: policy.id, ...fields });
    const license = await make();
    await make({ expiresAt: null });
    await make({ expiresAt: fromNow(6.9) });
    await make({ expiresAt: fromNow(29.9) });
    const inGrace = await make({ expiresAt: fromNow(-2.9) });
    await make({ expiresAt: fromNow(-3.1) });
    await act(await make(), 'suspend');
    await act(await make({ expiresAt: fromNow(-50) }), 'suspend');
    await act(await make(), 'revoke');
    const banned = await make();
    await act(banned, 'suspend');
    await act(banned, 'ban');
    await vendor.licenseUnder({ expirationStrategy: 'REVOKE' }, { expiresAt: fromNow(-1) });
    const revokedWhileSuspended = await vendor.licenseUnder({ expirationStrategy: 'REVOKE' }, { expiresAt: fromNow(30.1) });
    await act(revokedWhileSuspended, 'suspend');
    expectStatus(await vendor.api.patch(`/licenses/${revokedWhileSuspended.id}`, { expiresAt: fromNow(-1) }), 200);
    await vendor.licenseUnder({ expirationStrategy: 'ALLOW_ACCESS' }, { expiresAt: fromNow(-400) });
    await vendor.licenseUnder({ isTrial: true, trialDurationDays: 14 });
    const deleted = await vendor.licenseUnder({ isTrial: true });
    const machine = await vendor.activate(license, 'fingerprint-1');
    await vendor.activate(license, 'fingerprint-2');
    await vendor.activate(deleted, 'fingerprint-3');
    expectStatus(await vendor.api.delete(`/machines/${machine.id}`), 204);
    expectStatus(await vendor.api.delete(`/licenses/${deleted.id}`), 204);
    for (const fingerprint of ['fingerprint-2', 'fingerprint-2', 'fingerprint-1']) await vendor.validate(license, { fingerprint });
    await vendor.validate(inGrace, { fingerprint: 'fingerprint-2' });

    const overview = await eventually(ask, ({ validations }) => validations.total === 4);
    const states = { total: 14, active: 6, expired: 2, suspended: 2, revoked: 3, banned: 1 };
    expect(overview).toEqual({
      licenses: { ...states, trial: 1, expiringIn7Days: 1, expiringIn30Days: 3 },
      machines: { total: 1, active: 1, dead: 0 },
      activations: { trend: [6, 5, 4, 3, 2, 1, 0].map((ago) => ({ date: dayOf(fromNow(-ago)), count: ago === 0 ? 3 : 0 })) },
      validations: { total: 4, successful: 2, failed: 2, byCode: { VALID: 2, FINGERPRINT_NOT_FOUND: 1, NOT_ACTIVATED: 1 } },
      asOf: expect.any(String),
    });
    expect(await listed()).toEqual(states);
  });

  it('has what changes a policy at once', async () => {
    const policy = await vendor.policy({ durationDays: 100 });
    const make = (days: number) => vendor.license({ productId: policy.productId, policyId: policy.id, expiresAt: fromNow(days) });
    await make(-1);
    await make(-6);
    const change = async (rules: object) => {
      expectStatus(await vendor.api.patch(`/policies/${policy.id}`, rules), 200);
      return (await ask()).licenses;
    };
    expect((await ask()).licenses).toMatchObject({ total: 2, active: 0, expired: 2, revoked: 0, trial: 0 });
    expect(await change({ gracePeriodDays: 3 })).toMatchObject({ active: 1, expired: 1, expiringIn30Days: 0 });
    expect(await change({ gracePeriodDays: 0, expirationStrategy: 'REVOKE', isTrial: true })).toMatchObject({
      active: 0,
      revoked: 2,
      trial: 2,
    });
  });

  it('goes by the clock of licenses on a test clock, to the millisecond', async () => {
    const api = vendor.testApi;
    const clock = expectStatus(await api.post('/test-clocks', { frozenAt: '2031-01-30T10:00:30.000Z' }), 201).body.data;
    const policy = await vendor.policy({ durationDays: 30, gracePeriodDays: 2 }, api);
    const ids = { productId: policy.productId, policyId: policy.id };
    await vendor.license({ ...ids, testClockId: clock.id }, api);
    await vendor.license({ ...ids, testClockId: clock.id, expiresAt: '2031-03-01T10:00:31Z' }, api);
    const at = async (to: string) => {
      expectStatus(await api.post(`/test-clocks/${clock.id}/advance`, { to }), 200);
      return (await ask('', api)).licenses;
    };
    expect((await ask('', api)).licenses).toMatchObject({ active: 2, expiringIn7Days: 0, expiringIn30Days: 1 });
    expect(await at('2031-02-22T10:00:30Z')).toMatchObject({ active: 2, expiringIn7Days: 1, expiringIn30Days: 2 });
    expect(await at('2031-03-01T10:00:29.999Z')).toMatchObject({ active: 2, expired: 0, expiringIn7Days: 2 });
    expect(await at('2031-03-01T10:00:30Z')).toMatchObject({ active: 2, expired: 0, expiringIn7Days: 1 });
    expect(await at('2031-03-03T10:00:29.999Z')).toMatchObject({ active: 2, expired: 0, expiringIn7Days: 0 });
    expect(await at('2031-03-03T10:00:30Z')).toMatchObject({ active: 1, expired: 1 });
    expect(await at('2031-03-03T10:00:31Z')).toMatchObject({ active: 0, expired: 2 });
    expect((await ask()).licenses.total).toBe(0);
  });

  it('counts what the lists count, after lives at random', async () => {
    const random = new Random(20261122);
    const api = vendor.testApi;
    const product = await vendor.product({}, api);
    const clocks = await Promise.all(
      ['2027-02-28T23:59:59.999Z', '2028-03-01T00:00:00Z'].map(
        async (frozenAt) => expectStatus(await api.post('/test-clocks', { frozenAt }), 201).body.data,
      ),
    );
    const policies = await Promise.all(
      ['RESTRICT_ACCESS', 'ALLOW_ACCESS', 'REVOKE'].flatMap((expirationStrategy) =>
        (expirationStrategy === 'REVOKE' ? [0] : [0, 30]).map((gracePeriodDays) =>
          vendor.policy({ productId: product.id, expirationStrategy, gracePeriodDays }, api),
        ),
      ),
    );
    const around = (clock: { frozenAt: string } | null): string | null => {
      const nearMs = random.pick([0, 1, -1, 59_000, -61_000, 3_600_000, -DAY_MS, -29 * DAY_MS, -30 * DAY_MS, 31 * DAY_MS, -400 * DAY_MS]);
      // In real time a count may be late by a minute.
      const time =
        clock === null
          ? Date.now() + random.pick([-1, 1]) * 2 * 60_000 + Math.sign(nearMs) * Math.abs(nearMs)
          : Date.parse(clock.frozenAt) + nearMs;
      return random.next() < 0.1 ? null : new Date(time).toISOString();
    };
    const lives = Array.from({ length: 48 }, () => {
      const clock = random.pick([null, ...clocks]);
      const steps = Array.from({ length: Math.floor(random.next() * 3) }, () =>
        random.pick(['suspend', 'ban', 'revoke', 'reinstate', 'unban', 'delete', 'expire', 'transfer', 'renew']),
      );
      return { clock, expiresAt: around(clock), policyId: random.pick(policies).id, steps };
    });
    await Promise.all(
      lives.map(async ({ clock, expiresAt, policyId, steps }) => {
        const fields = { productId: product.id, policyId, expiresAt, ...(clock === null ? {} : { testClockId: clock.id }) };
        const path = `/licenses/${(await vendor.license(fields, api)).id}`;
        // What a state does not allow is refused, and changes nothing.
        for (const step of steps) {
          if (step === 'delete') await api.delete(path);
          else if (step === 'expire') await api.patch(path, { expiresAt: around(clock) });
          else await api.post(`${path}/${step}`, step === 'transfer' ? { policyId: random.pick(policies).id } : undefined);
        }
      }),
    );
    expect((await ask('', api)).licenses).toMatchObject(await listed(api));
  });

  it('tells a segment of its own, live of live, and another vendor nothing', async () => {
    const segment = await segmentKey();
    const policy = await vendor.policy({ durationDays: 3, isTrial: true });
    const ids = { productId: policy.productId, policyId: policy.id };
    await vendor.license(ids);
    const own = await vendor.license(ids, segment);
    await vendor.activate(own, 'fingerprint-1');
    await vendor.validate(own, { fingerprint: 'fingerprint-1' });
    const whole = await eventually(ask, ({ validations }) => validations.total === 1);
    expect(whole).toMatchObject({ licenses: { total: 2, trial: 2, expiringIn7Days: 2 }, machines: { total: 1 } });
    const theirs = await ask('', segment);
    expect(theirs).toMatchObject({
      licenses: { total: 1, active: 1, trial: 1 },
      machines: { total: 1 },
      validations: { byCode: { VALID: 1 } },
    });
    expect(theirs.activations.trend[6].count).toBe(1);

    const day = dayOf(fromNow(3));
    const others = (await segmentKey()).get;
    const stranger = (await Vendor.signUp(server.url)).api.get;
    const cohort = async (get: Client['get']) => (await get('/analytics/retention')).body.data[11].licenses;
    const expiring = async (get: Client['get']) => (await get(`/analytics/expirations?from=${day}&to=${day}`)).body.data;
    const seats = async (get: Client['get']) =>
      (await get('/analytics/seats')).body.data.map(({ licenses, used }: Record<string, number>) => [licenses, used]);
    const created = async (get: Client['get']) =>
      (await get('/analytics/timeseries?metric=licenses_created&groupBy=policyId')).body.data.at(-1);
    for (const [get, licenses, used] of [
      [vendor.api.get, 2, 1],
      [segment.get, 1, 1],
      [others, 0, 0],
      [vendor.testApi.get, 0, 0],
      [stranger, 0, 0],
    ] as const) {
      expect((await get('/analytics')).body.data.licenses.total).toBe(licenses);
      expect(await cohort(get)).toBe(licenses);
      expect(await expiring(get)).toEqual([{ date: day, count: licenses }]);
      expect(await seats(get)).toEqual(licenses === 0 ? [] : [[licenses, used]]);
      expect(await created(get)).toMatchObject({ value: licenses, groups: licenses === 0 ? {} : { [policy.id]: licenses } });
    }
  });

  it('says how fresh it is, also while changes wait', async () => {
    await ask();
    await database.query('BEGIN');
    // Whoever has this lock keeps the roll-ups (src/core/recurring.ts); meanwhile nobody else does.
    await database.query('SELECT pg_advisory_xact_lock(7215530100)');
    let license;
    try {
      license = await vendor.licenseUnder({});
      const { licenses, asOf } = expectStatus(await vendor.api.get('/analytics'), 200).body.data;
      expect(licenses.total).toBe(0);
      expect(Date.parse(asOf)).toBeLessThan(Date.parse(license.createdAt));
    } finally {
      await database.query('ROLLBACK');
    }
    const fresh = await eventually(ask, ({ asOf }) => Date.parse(asOf) > Date.parse(license.createdAt));
    expect(fresh.licenses.total).toBe(1);
  });
});
