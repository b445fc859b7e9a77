import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { eventually } from './support/eventually.js';
import { Random } from './support/random.js';
import { rollUpsAreKept } from './support/roll-ups.js';
import { sharedServer } from './support/shared-server.js';
import { testDatabaseUrl } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

/** What vendors are told of what was and what will be (contract: resources.md, "Analytics"), held against what they did. */

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;

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

/** What a route of analytics says of the test environment, once all that was done is in the roll-ups. */
async function ask(path: string) {
  await rollUpsAreKept(database, vendor.account.id);
  return expectStatus(await vendor.testApi.get(`/analytics/${path}`), 200).body.data;
}

/** Points that come to something, by as much of their start as tells them apart. */
const told = (points: { start: string; value: number; groups?: object }[], length = 10) =>
  Object.fromEntries(
    points.filter(({ value }) => value !== 0).map(({ start, value, groups }) => [start.slice(0, length), groups ?? value]),
  );

async function clockAt(frozenAt: string): Promise<{ id: string; to: (time: string) => Promise<void> }> {
  const { id } = expectStatus(await vendor.testApi.post('/test-clocks', { frozenAt }), 201).body.data;
  const to = async (time: string): Promise<void> => {
    expectStatus(await vendor.testApi.post(`/test-clocks/${id}/advance`, { to: time }), 200);
  };
  return { id, to };
}

describe('a time series', () => {
  it('counts in the bucket of what happened, in whatever order it became known', async () => {
    const policy = await vendor.policy({ durationDays: 3, maxMachines: 5, expirationStrategy: 'ALLOW_ACCESS' }, vendor.testApi);
    const ids = { productId: policy.productId, policyId: policy.id };
    // The second clock is behind the first.
    const [late, early] = [await clockAt('2025-03-02T23:30:00Z'), await clockAt('2025-02-27T10:00:00Z')];
    const one = await vendor.license({ ...ids, testClockId: late.id }, vendor.testApi);
    const two = await vendor.license({ ...ids, testClockId: early.id }, vendor.testApi);
    const machine = await vendor.activate(one, 'fingerprint-1', { platform: 'macos' });
    await vendor.activate(two, 'fingerprint-2', { platform: 'linux' });
    await vendor.validate(one, { fingerprint: 'fingerprint-1', version: '1.2.0' });
    await vendor.validate(two, { fingerprint: 'fingerprint-2' });
    await vendor.validate(two, { fingerprint: 'fingerprint-1' });
    await late.to('2025-03-03T00:00:00Z');
    expectStatus(await vendor.testApi.delete(`/machines/${machine.id}`), 204);
    await vendor.validate(one, { fingerprint: 'fingerprint-1' });
    await early.to('2025-03-02T10:00:00Z');

    const span = 'from=2025-02-24T12:00:00Z&to=2025-03-05T00:00:00Z';
    const series = async (metric: string, more = '') => told(await ask(`timeseries?metric=${metric}&${span}${more}`));
    await eventually(
      () => series('validations', '&interval=month'),
      (found) => found['2025-03-01'] === 2,
    );
    expect(await series('validations')).toEqual({ '2025-02-27': 2, '2025-03-02': 1, '2025-03-03': 1 });
    expect(await series('validations', '&interval=month')).toEqual({ '2025-02-01': 2, '2025-03-01': 2 });
    // 3 March 2025 is a Monday.
    expect(await series('validations', '&interval=week')).toEqual({ '2025-02-24': 3, '2025-03-03': 1 });
    expect(await series('validations', '&groupBy=code')).toEqual({
      '2025-02-27': { VALID: 1, FINGERPRINT_NOT_FOUND: 1 },
      '2025-03-02': { VALID: 1 },
      '2025-03-03': { NOT_ACTIVATED: 1 },
    });
    expect(await series('validations', '&groupBy=version')).toEqual({ '2025-02-27': {}, '2025-03-02': { '1.2.0': 1 }, '2025-03-03': {} });
    expect(await series('validations', '&groupBy=platform&interval=week')).toEqual({
      '2025-02-24': { linux: 1, macos: 1 },
      '2025-03-03': {},
    });
    expect(await series('licenses_created', '&groupBy=policyId')).toEqual({
      '2025-02-27': { [policy.id]: 1 },
      '2025-03-02': { [policy.id]: 1 },
    });
    expect(await series('licenses_expired', '&groupBy=productId')).toEqual({ '2025-03-02': { [policy.productId]: 1 } });
    expect(await series('activations', '&groupBy=platform')).toEqual({ '2025-02-27': { linux: 1 }, '2025-03-02': { macos: 1 } });
    expect(await series('deactivations')).toEqual({ '2025-03-03': 1 });
    // At the end of each day; what was before the first counts.
    const active = `timeseries?metric=active_machines&groupBy=platform&to=2025-03-05T00:00:00Z&from=`;
    expect(told(await ask(`${active}2025-02-26T00:00:00Z`))).toEqual({
      '2025-02-27': { linux: 1 },
      '2025-02-28': { linux: 1 },
      '2025-03-01': { linux: 1 },
      '2025-03-02': { linux: 1, macos: 1 },
      '2025-03-03': { linux: 1 },
      '2025-03-04': { linux: 1 },
    });
    expect(told(await ask(`${active}2025-03-02T00:00:00Z`))).toMatchObject({
      '2025-03-02': { linux: 1, macos: 1 },
      '2025-03-03': { linux: 1 },
    });
    expect(told(await ask(`${active}2025-02-01T00:00:00Z&interval=month`))).toEqual({
      '2025-02-01': { linux: 1 },
      '2025-03-01': { linux: 1 },
    });
  });

  it('tells hours of the last days, machines held among them', async () => {
    const hour = (ago: number): string => new Date((Math.floor(Date.now() / HOUR_MS) - ago) * HOUR_MS).toISOString();
    const clock = await clockAt(hour(50));
    const license = await vendor.licenseUnder({ maxMachines: 5 }, { testClockId: clock.id }, vendor.testApi);
    await vendor.activate(license, 'fingerprint-1');
    await clock.to(hour(30));
    const { id } = await vendor.activate(license, 'fingerprint-2');
    await clock.to(hour(20));
    expectStatus(await vendor.testApi.delete(`/machines/${id}`), 204);
    for (const first of [55, 40, 29, 25]) {
      const points = await ask(`timeseries?metric=active_machines&interval=hour&from=${hour(first)}`);
      const expected = Array.from({ length: first + 1 }, (_, index) => {
        const ago = first - index;
        return { start: hour(ago), value: ago > 50 ? 0 : ago <= 30 && ago > 20 ? 2 : 1 };
      });
      expect(points).toEqual(expected);
    }
  });

  it('has a point for every bucket, of months in their length', async () => {
    const starts = async (query: string) =>
      (await ask(`timeseries?metric=validations&${query}`)).map(({ start }: { start: string }) => start);
    expect(await starts('interval=month&from=2024-01-31T23:00:00-05:00&to=2024-04-01T00:00:00Z')).toEqual([
      '2024-02-01T00:00:00.000Z',
      '2024-03-01T00:00:00.000Z',
    ]);
    expect((await starts('from=2024-02-01T00:00:00Z&to=2024-03-01T00:00:00Z')).length).toBe(29);
    expect(await starts('interval=week&from=2024-12-31T00:00:00Z&to=2025-01-06T00:00:00.001Z')).toEqual([
      '2024-12-30T00:00:00.000Z',
      '2025-01-06T00:00:00.000Z',
    ]);
    const recent = await starts('');
    expect([recent.length, recent.at(-1)]).toEqual([31, `${new Date().toISOString().slice(0, 10)}T00:00:00.000Z`]);
    expect(await starts('interval=month&from=9999-12-31T00:00:00Z&to=9999-12-31T23:59:59.999Z')).toEqual(['9999-12-01T00:00:00.000Z']);
    expect((await starts('from=1970-01-01T00:00:00Z&to=1972-09-27T00:00:00Z')).length).toBe(1000);
  });

  it('adds late validations to the hour and the day in which they were', async () => {
    const license = await vendor.licenseUnder({}, {}, vendor.testApi);
    const { rows } = await database.query<{ id: string }>(`SELECT environment_id AS id FROM license WHERE id = $1`, [license.id]);
    const sort = (hour: string, count: number) => ({
      environmentId: rows[0]!.id,
      licenseId: license.id,
      productId: license.productId,
      policyId: license.policyId,
      hour,
      code: 'VALID',
      valid: true,
      count,
    });
    const write = (sequence: number, ...counts: object[]) =>
      database.query('INSERT INTO validation_batch VALUES ($1, $2, $3, now()) ON CONFLICT DO NOTHING', [
        process,
        sequence,
        JSON.stringify(counts),
      ]);
    const process = uuidv7();
    const days = () => ask('timeseries?metric=validations&from=2026-01-31T00:00:00Z&to=2026-02-02T00:00:00Z').then(told);
    await write(1, sort('2026-02-01T00:00:00Z', 5));
    expect(await days()).toEqual({ '2026-02-01': 5 });
    await write(2, sort('2026-01-31T23:00:00Z', 2), sort('2026-02-01T23:00:00Z', 1));
    expect(await days()).toEqual({ '2026-01-31': 2, '2026-02-01': 6 });
    // Once more, as by a process that never heard that it had written them.
    await write(1, sort('2026-02-01T00:00:00Z', 5));
    await write(2, sort('2026-01-31T23:00:00Z', 2), sort('2026-02-01T23:00:00Z', 1));
    expect(await days()).toEqual({ '2026-01-31': 2, '2026-02-01': 6 });
  });
});

describe('expirations', () => {
  it('are told by day, of licenses that may still expire', async () => {
    const policy = await vendor.policy({}, vendor.testApi);
    const make = (expiresAt: string | null) =>
      vendor.license({ productId: policy.productId, policyId: policy.id, expiresAt }, vendor.testApi);
    const [, , , suspended, deleted, moved] = await Promise.all([
      make('2028-02-29T00:00:00Z'),
      make('2028-02-29T23:59:59.999Z'),
      make('2028-03-01T01:00:00+02:00'),
      make('2028-02-28T00:00:00Z'),
      make('2028-02-28T00:00:00Z'),
      make('2028-02-28T00:00:00Z'),
      make('2020-05-05T00:00:00Z'),
      make(null),
    ]);
    expectStatus(await vendor.testApi.post(`/licenses/${suspended.id}/suspend`), 200);
    expectStatus(await vendor.testApi.delete(`/licenses/${deleted.id}`), 204);
    expectStatus(await vendor.testApi.patch(`/licenses/${moved.id}`, { expiresAt: '2028-03-01T00:00:00Z' }), 200);
    expect(await ask('expirations?from=2028-02-28&to=2028-03-01')).toEqual([
      { date: '2028-02-28', count: 0 },
      { date: '2028-02-29', count: 3 },
      { date: '2028-03-01', count: 1 },
    ]);
    const year = await ask('expirations');
    expect([year.length, year[0].date]).toEqual([366, new Date().toISOString().slice(0, 10)]);
    expect(await ask('expirations?from=2020-05-05&to=2020-05-05')).toEqual([{ date: '2020-05-05', count: 1 }]);
  });
});

describe('seats', () => {
  it('are told by policy: used, limits, over and how full licenses are', async () => {
    const rules = { maxMachines: 4, overageStrategy: 'ALLOW_1_5X' };
    const policy = await vendor.policy({ name: 'B', ...rules }, vendor.testApi);
    const open = await vendor.policy({ name: 'A', maxMachines: null, allowUnlimitedActivations: true }, vendor.testApi);
    await vendor.policy({ name: 'C' }, vendor.testApi);
    const make = async (machines: number, of = policy, fields: object = {}) => {
      const license = await vendor.license({ productId: of.productId, policyId: of.id, ...fields }, vendor.testApi);
      for (let machine = 0; machine < machines; machine += 1) await vendor.activate(license, `fingerprint-${String(machine)}`);
      return license;
    };
    await Promise.all([make(5), make(2), make(1), make(0), make(3, policy, { maxMachinesOverride: 10 }), make(2, open), make(1)]);
    const deleted = await make(2);
    expectStatus(await vendor.testApi.delete(`/licenses/${deleted.id}`), 204);
    const names = { policyId: policy.id, policyName: 'B' };
    // Shares of 4, and of 10: 0, 0.25, 0.25, 0.3, 0.5, 1.25.
    const ofB = { ...names, licenses: 6, unlimited: 0, used: 12, max: 30, limit: 45, over: 1, p50: 0.25, p95: 1.25 };
    const ofA = {
      policyId: open.id,
      policyName: 'A',
      licenses: 1,
      unlimited: 1,
      used: 2,
      max: null,
      limit: null,
      over: 0,
      p50: null,
      p95: null,
    };
    expect(await ask('seats')).toEqual([ofA, ofB]);
    expectStatus(await vendor.testApi.patch(`/policies/${policy.id}`, { maxMachines: 1, overageStrategy: 'ALWAYS_ALLOW' }), 200);
    expect(await ask('seats')).toEqual([ofA, { ...ofB, max: 15, limit: null, over: 5, p50: 1, p95: 5 }]);
  });
});

describe('retention', () => {
  it('agrees with the lives that licenses had, month by month', async () => {
    const random = new Random(7);
    const [trial, paid] = await Promise.all(
      [{ isTrial: true, trialDurationDays: 10 }, { durationDays: 40 }].map((rules) => vendor.policy(rules, vendor.testApi)),
    );
    const months = ['2025-11', '2025-12', '2026-01'];
    const expected = Object.fromEntries(months.map((month) => [month, { licenses: 0, trials: 0, converted: 0, due: 0, renewed: 0 }]));
    await Promise.all(
      months.map(async (month) => {
        const clock = await clockAt(`${month}-28T00:00:00Z`);
        const lives = await Promise.all(
          Array.from({ length: 8 }, async () => {
            const begins = random.pick([trial, paid]);
            const steps = Array.from({ length: 3 }, () => random.pick(['buy', 'try', 'renew', 'nothing', 'delete']));
            const fields = { productId: begins.productId, policyId: begins.id, testClockId: clock.id };
            const { id } = await vendor.license(fields, vendor.testApi);
            return {
              id,
              steps,
              isTrial: begins === trial,
              began: begins === trial,
              converted: false,
              due: false,
              renewed: false,
              lives: true,
              ends: Infinity,
              days: begins === trial ? 10 : 40,
            };
          }),
        );
        for (const life of lives) life.ends = life.days;
        // A step of each, then twenty days go by.
        for (const [step, day] of [20, 40, 60].entries()) {
          for (const life of lives.filter(({ lives: isThere }) => isThere)) {
            const path = `/licenses/${life.id}`;
            switch (life.steps[step]) {
              case 'delete':
                expectStatus(await vendor.testApi.delete(path), 204);
                life.lives = false;
                break;
              case 'renew':
                expectStatus(await vendor.testApi.post(`${path}/renew`), 200);
                life.renewed = life.due = true;
                life.ends += life.isTrial ? 10 : 40;
                break;
              case 'buy':
              case 'try':
                if (life.isTrial === (life.steps[step] === 'try')) break;
                life.isTrial = life.steps[step] === 'try';
                expectStatus(await vendor.testApi.post(`${path}/transfer`, { policyId: (life.isTrial ? trial : paid).id }), 200);
                life.converted ||= life.began && !life.isTrial;
            }
          }
          await clock.to(new Date(Date.parse(`${month}-28T00:00:00Z`) + day * DAY_MS).toISOString());
          for (const life of lives) if (life.lives && life.ends <= day) life.due = true;
        }
        for (const life of lives.filter(({ lives: isThere }) => isThere)) {
          const cohort = expected[month]!;
          cohort.licenses += 1;
          cohort.trials += Number(life.began);
          cohort.converted += Number(life.converted);
          cohort.due += Number(life.due);
          cohort.renewed += Number(life.renewed);
        }
      }),
    );
    const rate = (part: number, whole: number): number | null => (whole === 0 ? null : part / whole);
    const none = { licenses: 0, trials: 0, converted: 0, due: 0, renewed: 0 };
    expect(await ask('retention?from=2025-10&to=2026-01')).toEqual(
      [['2025-10', none] as const, ...Object.entries(expected)].map(([cohort, counts]) => ({
        cohort,
        ...counts,
        conversionRate: rate(counts.converted, counts.trials),
        renewalRate: rate(counts.renewed, counts.due),
      })),
    );
    expect(await ask('retention')).toHaveLength(12);
  });
});

describe('what cannot be told', () => {
  it('is refused with the name of the field', async () => {
    const hoursGone = new Date(Date.now() - 91 * DAY_MS).toISOString();
    const refused: [string, string][] = [
      ['timeseries', 'metric'],
      ['timeseries?metric=sales', 'metric'],
      ['timeseries?metric=validations&interval=year', 'interval'],
      ['timeseries?metric=validations&groupBy=ip', 'groupBy'],
      ['timeseries?metric=activations&groupBy=code', 'groupBy'],
      ['timeseries?metric=active_machines&groupBy=version', 'groupBy'],
      ['timeseries?metric=licenses_created&groupBy=platform', 'groupBy'],
      ['timeseries?metric=validations&from=2026-01-01', 'from'],
      ['timeseries?metric=validations&from=2026-01-02T00:00:00Z&to=2026-01-02T00:00:00Z', 'from'],
      ['timeseries?metric=validations&from=2020-01-01T00:00:00Z&to=2026-01-02T00:00:00Z', 'from'],
      ['timeseries?metric=validations&to=1970-01-02T00:00:00Z', 'from'],
      [`timeseries?metric=validations&interval=hour&from=${hoursGone}&to=${new Date(Date.now() - 80 * DAY_MS).toISOString()}`, 'from'],
      ['timeseries?metric=validations&metric=activations', 'metric'],
      ['expirations?from=2026-02-30', 'from'],
      ['expirations?to=2026-02-01T00:00:00Z', 'to'],
      ['expirations?from=2026-02-02&to=2026-02-01', 'from'],
      ['expirations?from=2026-01-01&to=2028-09-27', 'from'],
      ['retention?from=2026-13', 'from'],
      ['retention?to=2026-01-01', 'to'],
      ['retention?from=2026-02&to=2026-01', 'from'],
      ['seats?policyId=x', 'policyId'],
    ];
    for (const [path, field] of refused) {
      const { status, body } = await vendor.api.get(`/analytics/${path}`);
      expect([path, status, body.code, body.details.issues.map((issue: { path: string }) => issue.path)]).toEqual([
        path,
        400,
        'VALIDATION_ERROR',
        [field],
      ]);
    }
  });

  it('is not told to keys without the scope', async () => {
    const keys = [await vendor.keyWith('licenses:read', 'events:read'), await vendor.keyWith('analytics:read')];
    for (const path of ['', '/timeseries?metric=validations', '/expirations', '/seats', '/retention']) {
      const statuses = await Promise.all(keys.map(async (key) => (await key.get(`/analytics${path}`)).status));
      expect([path, ...statuses]).toEqual([path, 403, 200]);
    }
  });
});
