import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import type { Running } from '../src/boot.js';
import { RollUpRetentionWorker } from '../src/analytics/roll-up-retention.worker.js';
import { suspicionOf } from '../src/domain/anomalies.js';
import { SIGHTINGS_PER_LICENSE, VERSIONS_PER_DAY } from '../src/domain/roll-ups.js';
import type { ValidationCount } from '../src/domain/validation-count.js';
import { type Client, withKey } from './support/client.js';
import { eventually } from './support/eventually.js';
import { Random } from './support/random.js';
import { rollUpsAreKept } from './support/roll-ups.js';
import { startServer } from './support/server.js';
import { testDatabaseUrl } from './support/settings.js';
import { sharedServer } from './support/shared-server.js';
import { expectStatus, Vendor } from './support/vendor.js';

/** Who is first and who is suspicious, by what was validated (contract: resources.md, "Analytics"). */

const server = sharedServer();
const MONTH = new Date().toISOString().slice(0, 7);
const THIS_HOUR = `${new Date().toISOString().slice(0, 13)}:00:00.000Z`;
let database: pg.Client;
let vendor: Vendor;
let environmentId: string;
beforeAll(async () => {
  database = new pg.Client({ connectionString: testDatabaseUrl(), options: '-c timezone=UTC' });
  await database.connect();
  [vendor, environmentId] = await newVendor();
});
afterAll(async () => {
  await database.end();
});

async function newVendor(): Promise<[Vendor, string]> {
  const made = await Vendor.signUp(server.url);
  const { rows } = await database.query<{ id: string }>("SELECT id FROM environment WHERE account_id = $1 AND name = 'live'", [
    made.account.id,
  ]);
  return [made, rows[0]!.id];
}

interface License {
  id: string;
  productId: string;
  policyId: string;
}

/** So many validations of the license, as a process leaves them. */
const counted = (license: License, fields: Partial<ValidationCount>, environment = environmentId): ValidationCount => ({
  environmentId: environment,
  licenseId: license.id,
  productId: license.productId,
  policyId: license.policyId,
  hour: THIS_HOUR,
  code: 'VALID',
  valid: true,
  machineId: null,
  fingerprint: null,
  ip: null,
  version: null,
  count: 1,
  ...fields,
});

/** Written as a process of its own would, or by one that there was; resolves when it is folded. */
async function leave(counts: ValidationCount[], processId = randomUUID(), sequence = 1): Promise<void> {
  await database.query(
    'INSERT INTO validation_batch (process_id, sequence, counts, counted_at) VALUES ($1, $2, $3, now()) ON CONFLICT DO NOTHING',
    [processId, sequence, JSON.stringify(counts)],
  );
  await rollUpsAreKept(database);
}

interface Rank {
  key: string;
  label: string;
  value: number;
}
const top = async (api: Client, query: string): Promise<Rank[]> => expectStatus(await api.get(`/analytics/top?${query}`), 200).body.data;
const anomalies = async (api: Client, query = '') => expectStatus(await api.get(`/analytics/anomalies?${query}`), 200).body.data;
const valueOf = (ranks: Rank[], key: string): number | undefined => ranks.find((rank) => rank.key === key)?.value;

/** The first `limit` of the sums by name: greatest first, equal ones by name. */
function ranked(sums: Map<string, number>, limit: number): [string, number][] {
  return [...sums].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1)).slice(0, limit);
}

describe('rankings', () => {
  it('are what the validations come to, whatever was validated when; for all and for a segment', async () => {
    const [mine, environment] = await newVendor();
    const { body: key } = expectStatus(await mine.api.post('/api-keys', { name: 'portal [segment]' }), 201);
    const segmentApi = withKey(mine.baseUrl, key.data.key);
    const random = new Random(Math.floor(Math.random() * 2 ** 31));
    const licenses: (License & { isOfSegment: boolean; maxMachines: number })[] = [];
    for (let n = 0; n < 8; n += 1) {
      const [api, maxMachines] = [n % 3 === 0 ? segmentApi : mine.api, 1 + (n % 2)];
      const license = await mine.licenseUnder({ maxMachines }, {}, api);
      licenses.push({ ...license, isOfSegment: n % 3 === 0, maxMachines });
    }
    const lastMonth = new Date(Date.UTC(new Date().getUTCFullYear(), new Date().getUTCMonth() - 1)).toISOString();
    const all: ValidationCount[] = Array.from({ length: 1500 }, () =>
      counted(
        random.pick(licenses),
        {
          hour: random.next() < 0.3 ? lastMonth : THIS_HOUR,
          fingerprint: random.pick([null, `f-${String(Math.floor(12 * random.next() ** 2))}`]),
          ip: random.pick([null, `192.0.2.${String(Math.floor(60 * random.next()))}`]),
          version: random.pick([null, '1.0.0', '1.0.1', '2.0.0']),
          count: 1 + Math.floor(5 * random.next()),
        },
        environment,
      ),
    );
    const processId = randomUUID();
    for (let batch = 0; batch < 3; batch += 1) await leave(all.slice(batch * 500, batch * 500 + 500), processId, batch + 1);

    const names = { licenses: 'licenseId', products: 'productId', ips: 'ip', versions: 'version', fingerprints: 'fingerprint' } as const;
    for (const [api, isSeen] of [
      [mine.api, () => true],
      [segmentApi, (license: { isOfSegment: boolean }) => license.isOfSegment],
    ] as const) {
      const mineOnly = new Set(licenses.filter(isSeen).map(({ id }) => id));
      for (const month of [MONTH, lastMonth.slice(0, 7)]) {
        const seen = all.filter(({ licenseId, hour }) => mineOnly.has(licenseId) && hour.startsWith(month));
        for (const [by, field] of Object.entries(names)) {
          const sums = new Map<string, number>();
          for (const count of seen) if (count[field] !== null) sums.set(count[field], (sums.get(count[field]) ?? 0) + count.count);
          const ranks = await top(api, `by=${by}&month=${month}&limit=7`);
          expect([by, ranks.map(({ key: name, value }) => [name, value])]).toEqual([by, ranked(sums, 7)]);
        }
        const spreads = licenses.filter(isSeen).map((license) => {
          const of = (field: 'fingerprint' | 'ip') =>
            new Set(seen.filter(({ licenseId }) => licenseId === license.id).flatMap((count) => count[field] ?? [])).size;
          const [fingerprints, ips, seats] = [of('fingerprint'), of('ip'), license.maxMachines];
          return {
            license: { id: license.id, name: null },
            fingerprints,
            ips,
            seats,
            suspicion: suspicionOf({ fingerprints, ips }, seats),
          };
        });
        const suspicious = spreads.filter(({ suspicion }) => suspicion > 1);
        suspicious.sort((a, b) => b.suspicion - a.suspicion || (a.license.id < b.license.id ? -1 : 1));
        expect(await anomalies(api, `month=${month}`)).toEqual(suspicious);
      }
    }
  });

  it('call things what people call them', async () => {
    const product = await vendor.product({ name: 'Painter' });
    const policy = await vendor.policy({ productId: product.id });
    const named = (fields: object) => vendor.license({ productId: product.id, policyId: policy.id, ...fields });
    const licenses = [await named({ name: 'Site', userName: 'Ada' }), await named({ userName: 'Bob' }), await named({})];
    await leave(licenses.map((license, n) => counted(license, { count: 1000 - n, ip: '203.0.113.9' })));
    expectStatus(await vendor.api.delete(`/licenses/${licenses[0].id}`), 204);
    expect((await top(vendor.api, 'by=licenses&limit=3')).map(({ label }) => label)).toEqual(['Site', 'Bob', licenses[2].id]);
    expect((await top(vendor.api, 'by=products&limit=1'))[0]).toEqual({ key: product.id, label: 'Painter', value: 2997 });
    expect((await top(vendor.api, 'by=ips&limit=1'))[0]).toEqual({ key: '203.0.113.9', label: '203.0.113.9', value: 2997 });
  });

  it('refuse what they do not know, naming it', async () => {
    for (const [path, field] of [
      ['top', 'by'],
      ['top?by=vendors', 'by'],
      ['top?by=ips&metric=activations', 'metric'],
      ['top?by=ips&month=2026-13', 'month'],
      ['top?by=ips&month=2019-01', 'month'],
      ['top?by=ips&limit=101', 'limit'],
      ['anomalies?month=2019-01', 'month'],
      ['anomalies?limit=0', 'limit'],
    ] as const)
      expect([path, (await vendor.api.get(`/analytics/${path}`)).body]).toMatchObject([
        path,
        { code: 'VALIDATION_ERROR', details: { issues: [{ path: field }] } },
      ]);
    // Days are kept for ever, and a test clock may be ahead.
    for (const query of ['by=versions&month=2019-01', 'by=licenses&month=9999-12']) expect(await top(vendor.api, query)).toEqual([]);
    expect((await (await vendor.keyWith('licenses:read')).get('/analytics/top?by=ips')).status).toBe(403);
  });

  it('count what the software asks from where it asks, and what the vendor asks from nowhere; in the month of the license', async () => {
    const [mine] = await newVendor();
    const license = await mine.licenseUnder({ maxMachines: 3, requireFingerprint: false });
    await mine.activate(license, 'known-machine', { platform: 'macos' });
    await mine.validate(license, { fingerprint: 'known-machine', version: '3.1.4' });
    await mine.validate(license, { fingerprint: 'unknown-machine' });
    expectStatus(await mine.api.post(`/licenses/${license.id}/validate`, { fingerprint: 'known-machine' }), 200);
    const clock = expectStatus(await mine.testApi.post('/test-clocks', { frozenAt: '2031-05-31T23:30:00Z' }), 201).body.data;
    const later = await mine.licenseUnder({ requireFingerprint: false }, { testClockId: clock.id }, mine.testApi);
    await mine.validate(later, { version: '9.9.9' });

    const ranks = await eventually(
      () => Promise.all([top(mine.api, 'by=licenses'), top(mine.testApi, 'by=licenses&month=2031-05')]),
      ([one, other]) => one[0]?.value === 3 && other[0]?.value === 1,
    );
    expect(ranks.flat().map(({ key }) => key)).toEqual([license.id, later.id]);
    expect((await top(mine.api, 'by=ips')).map(({ value }) => value)).toEqual([2]);
    expect((await top(mine.api, 'by=fingerprints')).map(({ key, value }) => [key, value])).toEqual([
      ['known-machine', 2],
      ['unknown-machine', 1],
    ]);
    expect(await top(mine.api, 'by=platforms')).toEqual([{ key: 'macos', label: 'macos', value: 2 }]);
    expect(await top(mine.testApi, 'by=versions&month=2031-05')).toEqual([{ key: '9.9.9', label: '9.9.9', value: 1 }]);
    expect(await top(mine.testApi, 'by=versions')).toEqual([]);
  });
});

describe('counts', () => {
  it('count a batch once, however often it is written', async () => {
    const license = await vendor.licenseUnder({});
    const processId = randomUUID();
    const counts = [counted(license, { count: 5 })];
    await Promise.all([leave(counts, processId, 1), database.query('SELECT 1')]);
    await leave(counts, processId, 1);
    await leave(counts, processId, 2);
    await leave(counts, processId, 1);
    expect(valueOf(await top(vendor.api, 'by=products&limit=100'), license.productId)).toBe(10);
  });

  it('tell so many versions of a day apart, the most frequent and those that it knows; others together', async () => {
    const [mine, environment] = await newVendor();
    const license = await mine.licenseUnder({});
    const version = (n: number, count: number) => counted(license, { version: `1.0.${String(n)}`, count }, environment);
    await leave(Array.from({ length: VERSIONS_PER_DAY + 20 }, (_, n) => version(n, n < 50 ? 100 + n : 3)));
    await leave([version(VERSIONS_PER_DAY + 100, 40), version(49, 1000)]);
    const ranks = await top(mine.api, 'by=versions&limit=100');
    expect(ranks[0]).toEqual({ key: '1.0.49', label: '1.0.49', value: 1149 });
    expect(valueOf(ranks, '(other)')).toBe(20 * 3 + 40);
    const { rows } = await database.query(
      "SELECT DISTINCT name FROM activity_count WHERE environment_id = $1 AND dimension = 'version' AND unit = 'day'",
      [environment],
    );
    expect(rows.length).toBe(VERSIONS_PER_DAY + 1);
  });

  it('tell so many fingerprints of a license apart, and go on counting those', async () => {
    const [mine, environment] = await newVendor();
    const license = await mine.licenseUnder({ maxMachines: 2 });
    const seen = (n: number, count = 1) => counted(license, { fingerprint: `f-${String(n)}`, count }, environment);
    await leave(Array.from({ length: SIGHTINGS_PER_LICENSE - 10 }, (_, n) => seen(n)));
    await leave([...Array.from({ length: 30 }, (_, n) => seen(5000 + n, 30 - n)), seen(3, 50)]);
    await leave([seen(9000), seen(3, 50)]);
    expect((await anomalies(mine.api))[0]).toMatchObject({
      license: { id: license.id },
      fingerprints: SIGHTINGS_PER_LICENSE,
      ips: 0,
      seats: 2,
    });
    expect((await top(mine.api, 'by=fingerprints&limit=3')).map(({ key, value }) => [key, value])).toEqual([
      ['f-3', 101],
      ['f-5000', 30],
      ['f-5001', 29],
    ]);
    expect(valueOf(await top(mine.api, 'by=licenses'), license.id)).toBe(SIGHTINGS_PER_LICENSE - 10 + 465 + 50 + 51);
    // More seats explain more.
    expectStatus(await mine.api.patch(`/licenses/${license.id}`, { maxMachinesOverride: 400 }), 200);
    expect(await anomalies(mine.api)).toEqual([]);
  });

  it('suspect in the database whom the domain suspects', async () => {
    const cases = [0, 1, 3, 4, 10, 999].flatMap((fingerprints) =>
      [0, 10, 11, 1000].flatMap((ips) => [null, 1, 2, 7].map((seats) => ({ fingerprints, ips, seats }))),
    );
    const { rows } = await database.query<{ suspicion: number }>(
      `SELECT suspicion_of(fingerprints, ips, seats) AS suspicion
         FROM jsonb_to_recordset($1) AS spread (fingerprints int, ips int, seats int)`,
      [JSON.stringify(cases)],
    );
    expect(rows.map(({ suspicion }) => suspicion)).toEqual(cases.map(({ seats, ...spread }) => suspicionOf(spread, seats)));
  });
});

describe('what is kept no longer', () => {
  let own: Running;
  beforeAll(async () => {
    own = await startServer();
  });
  afterAll(async () => {
    await own.stop();
  });

  it('goes: old hours, old months, and sums that came to nothing; the future of a test clock stays', async () => {
    const [mine, environment] = await newVendor();
    const license = await mine.licenseUnder({});
    const machine = await mine.activate(license, 'machine-1', { platform: 'linux' });
    for (const hour of ['2020-02-03T04:00:00Z', THIS_HOUR, '2190-02-03T04:00:00Z'])
      await leave([counted(license, { hour, fingerprint: 'f', ip: '192.0.2.1', version: '1.0.0' }, environment)]);
    expectStatus(await mine.api.patch(`/machines/${machine.id}`, { platform: 'macos' }), 200);
    await rollUpsAreKept(database, mine.account.id);
    const stale = randomUUID();
    await database.query("INSERT INTO validation_source VALUES ($1, 7, now() - interval '8 days')", [stale]);
    const yearsOf = async (table: string, column: string, condition = 'true') => {
      const { rows } = await database.query<{ year: number }>(
        `SELECT DISTINCT extract(year FROM ${column})::int AS year FROM ${table} WHERE environment_id = $1 AND ${condition} ORDER BY 1`,
        [environment],
      );
      return rows.map(({ year }) => year);
    };
    const look = async () => {
      // Another server may have the turn.
      await own.app.get(RollUpRetentionWorker).sweep();
      const { rows } = await database.query(
        `SELECT 'nothing' FROM activity_count WHERE environment_id = $1 AND value = 0
          UNION ALL SELECT 'nothing' FROM seat_tally WHERE environment_id = $1 AND licenses = 0
          UNION ALL SELECT 'a process' FROM validation_source WHERE process_id = $2`,
        [environment, stale],
      );
      return {
        hours: await yearsOf('activity_count', 'bucket', "unit = 'hour' AND metric = 'validations'"),
        days: await yearsOf('activity_count', 'bucket', "unit = 'day' AND metric = 'validations'"),
        ...{ licenses: await yearsOf('license_month', 'month'), names: await yearsOf('name_month', 'month') },
        ...{ sightings: await yearsOf('sighting', 'month'), rest: rows },
      };
    };
    const kept = [new Date().getUTCFullYear(), 2190];
    const expected = { hours: kept, days: [2020, ...kept], licenses: kept, names: kept, sightings: kept, rest: [] };
    expect(await eventually(look, (found) => JSON.stringify(found) === JSON.stringify(expected))).toEqual(expected);
    expect((await mine.api.get('/analytics/top?by=platforms')).status).toBe(200);
  });
});
