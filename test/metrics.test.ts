import { readFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { boot, type Running } from '../src/boot.js';
import { listRoutes } from '../src/auth/routes.js';
import { loadConfig } from '../src/core/config.js';
import { anyone, type Reply, send, withKey } from './support/client.js';
import { eventually } from './support/eventually.js';
import { type QuietDatabase, quietDatabase } from './support/quiet-database.js';
import { Receiver } from './support/receiver.js';
import { startServer } from './support/server.js';
import { testEnvironment } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

/** What whoever runs the server can see of it (contract: operations.md, METRICS_TOKEN; docs/operations). */

const TOKEN = 'a-token-for-metrics-0123456789';
const VALIDATE = '/api/v1/licenses/validate-key';

const documentOf = (name: string): string => readFileSync(new URL(`../docs/operations/${name}`, import.meta.url), 'utf8');

/** Every number by its name and labels as they stand in the text, and every metric by its name. */
interface Numbers {
  series: Map<string, number>;
  metrics: Map<string, string>;
}

function parse(text: string): Numbers {
  const lines = text.split('\n');
  const [series, metrics] = [new Map<string, number>(), new Map<string, string>()];
  for (const line of lines.filter((line) => line !== '')) {
    const type = /^# TYPE (\S+) (\S+)$/.exec(line);
    if (type !== null) metrics.set(type[1]!, type[2]!);
    const sample = /^([a-z_0-9]+(?:\{.*\})?) (\S+)$/.exec(line);
    if (sample !== null) series.set(sample[1]!, Number(sample[2]));
    expect(line).toMatch(/^# (HELP|TYPE) |^[a-z_0-9]+(\{.*\})? \S+$/);
  }
  return { series, metrics };
}

const read = async ({ url }: { url: string }, headers: Record<string, string> = {}): Promise<Numbers> =>
  parse(expectStatus(await send(url, 'GET', '/metrics', { headers }), 200).text);

describe('metrics', () => {
  const logged: string[] = [];
  let quiet: QuietDatabase;
  let database: pg.Client;
  let server: Running;
  let vendor: Vendor;
  let receiver: Receiver;
  beforeAll(async () => {
    quiet = await quietDatabase();
    const settings = {
      DATABASE_URL: quiet.url,
      WEBHOOK_ALLOW_LOOPBACK: 'true',
      WEBHOOK_RETRY_SCHEDULE: '0',
      TRUSTED_PROXIES: '127.0.0.1/32',
      LIMIT_VALIDATE_UNKNOWN_PER_MINUTE: '2',
    };
    server = await boot(loadConfig(testEnvironment(settings)), { write: (line: string) => logged.push(line) });
    database = new pg.Client({ connectionString: quiet.url });
    await database.connect();
    vendor = await Vendor.signUp(server.url);
    receiver = await Receiver.start();
  });
  afterAll(async () => {
    await Promise.all([server.stop(), receiver.stop(), database.end()]);
    await quiet.end();
  });

  /** By how much each number grows by the work, as far as it does; those of time and of the process itself left out. */
  async function growthBy(work: () => Promise<unknown>): Promise<Record<string, number>> {
    const { series: before } = await read(server);
    await work();
    const { series: after } = await read(server);
    const grown = [...after].map(([name, value]) => [name, value - (before.get(name) ?? 0)] as const);
    const isCount = (name: string): boolean => /^latchkey_\w+(_total|_count)\b/.test(name) && !name.includes('"/metrics"');
    return Object.fromEntries(grown.filter(([name, by]) => isCount(name) && by !== 0));
  }
  const unknown = (address: string): Promise<Reply> =>
    anyone(server.url).with({ 'x-forwarded-for': address }).post('/licenses/validate-key', { key: 'LIC-AAAA-AAAA-AAAA-AAAA-AAAA-AAAA' });

  it('agree with what was done, request by request and verdict by verdict', async () => {
    const license = await vendor.licenseUnder({ maxMachines: 1 });
    const suspended = await vendor.licenseUnder({});
    expectStatus(await vendor.api.post(`/licenses/${suspended.id}/suspend`), 200);
    const grown = await growthBy(async () => {
      const machine = await vendor.activate(license, 'fingerprint-1');
      expectStatus(await vendor.app(license).post('/machines', { fingerprint: 'fingerprint-1' }), 200);
      expectStatus(await vendor.app(license).post('/machines', { fingerprint: 'fingerprint-2' }), 422);
      expectStatus(await vendor.app(license).post('/machines?dryRun=true', { fingerprint: 'fingerprint-2' }), 422);
      for (let n = 0; n < 3; n += 1) await vendor.validate(license, { fingerprint: 'fingerprint-1' });
      for (let n = 0; n < 2; n += 1) await vendor.validate(suspended);
      expectStatus(await vendor.api.post(`/licenses/${suspended.id}/validate`, {}), 200);
      for (let n = 0; n < 3; n += 1) await unknown('198.51.100.9');
      // The first through the front door.
      expectStatus(await vendor.app(license).post(`/machines/${machine.id}/heartbeat`), 200);
      expectStatus(await vendor.api.post(`/machines/${machine.id}/heartbeat`), 200);
      expectStatus(await vendor.app(license).post(`/machines/${uuidv7()}/heartbeat`), 404);
      expectStatus(await withKey(server.url, 'lk_live_nobody').get('/products'), 401);
    });
    const beat = '/api/v1/machines/:id/heartbeat';
    expect(grown).toMatchObject({
      'latchkey_validations_total{code="VALID",outcome="valid"}': 3,
      'latchkey_validations_total{code="SUSPENDED",outcome="invalid"}': 3,
      'latchkey_validations_total{code="NOT_FOUND",outcome="invalid"}': 2,
      'latchkey_rate_limit_refusals_total{policy="validate-unknown"}': 1,
      'latchkey_auth_failures_total{code="AUTH_FAILED"}': 1,
      'latchkey_activations_total{outcome="created",code=""}': 1,
      'latchkey_activations_total{outcome="existing",code=""}': 1,
      'latchkey_activations_total{outcome="refused",code="MACHINE_LIMIT_EXCEEDED"}': 1,
      'latchkey_heartbeats_total{outcome="kept",code=""}': 2,
      'latchkey_heartbeats_total{outcome="refused",code="NOT_FOUND"}': 1,
      [`latchkey_http_requests_total{method="POST",route="${VALIDATE}",status="2xx"}`]: 7,
      [`latchkey_http_requests_total{method="POST",route="${VALIDATE}",status="4xx"}`]: 1,
      [`latchkey_http_request_duration_seconds_count{method="POST",route="${VALIDATE}"}`]: 8,
      [`latchkey_http_requests_total{method="POST",route="${beat}",status="2xx"}`]: 2,
      [`latchkey_http_requests_total{method="POST",route="${beat}",status="4xx"}`]: 1,
      'latchkey_http_requests_total{method="GET",route="/api/v1/products",status="4xx"}': 1,
    });
    const total = (name: string): number =>
      Object.entries(grown).reduce((sum, [series, by]) => sum + (series.startsWith(`${name}{`) ? by : 0), 0);
    expect([total('latchkey_validations_total'), total('latchkey_activations_total')]).toEqual([8, 3]);
    expect(total('latchkey_cache_reads_total')).toBeGreaterThan(5);
  });

  it('tell how deliveries end, what waits, and how many seats are taken', async () => {
    const license = await vendor.licenseUnder({});
    const add = async (url: string): Promise<void> => {
      expectStatus(await vendor.api.post('/webhooks', { url, events: ['license.suspended'] }), 201);
    };
    await add(receiver.url('/well'));
    await add(receiver.url('/broken', () => ({ status: 503 })));
    await add('http://127.0.0.1:9/nobody');
    const grown = await growthBy(async () => {
      expectStatus(await vendor.api.post(`/licenses/${license.id}/suspend`), 200);
      await eventually(
        async () => (await read(server)).series,
        (series) =>
          [...series].reduce((sum, [name, value]) => sum + (name.startsWith('latchkey_deliveries_finished') ? value : 0), 0) === 3,
      );
    });
    expect(grown).toMatchObject({
      'latchkey_delivery_attempts_total{outcome="success"}': 1,
      'latchkey_delivery_attempts_total{outcome="http_5xx"}': 1,
      'latchkey_delivery_attempts_total{outcome="refused"}': 1,
      'latchkey_deliveries_finished_total{status="succeeded"}': 1,
      'latchkey_deliveries_finished_total{status="failed"}': 2,
      latchkey_delivery_latency_seconds_count: 1,
      latchkey_delivery_attempt_duration_seconds_count: 3,
    });
    const { series } = await read(server);
    expect([series.get('latchkey_ready'), series.get('latchkey_database_pool_size{pool="tenants"}')]).toEqual([1, 5]);
    for (const name of ['machines', 'expiry', 'event_feed', 'deliveries', 'roll_ups'])
      expect(series.get(`latchkey_job_last_round_age_seconds{name="${name}"}`)).toBeLessThan(120);
    for (const name of ['latchkey_outbox_events', 'latchkey_deliveries_pending', 'latchkey_outbox_oldest_event_age_seconds'])
      expect([name, typeof series.get(name)]).toEqual([name, 'number']);
  });

  it('show what waits and how long, and the seats as they are stored, and ask the database no more than every few seconds', async () => {
    const held = new pg.Client({ connectionString: quiet.url });
    await held.connect();
    // Nobody passes anything on meanwhile, or folds it into the roll-ups.
    await held.query('BEGIN; LOCK TABLE event_feed, activity_count IN ACCESS EXCLUSIVE MODE');
    await vendor.licenseUnder({});
    const api = await boot(loadConfig(testEnvironment({ DATABASE_URL: quiet.url, ROLE: 'api' })), { write: () => undefined });
    try {
      const { rows } = await database.query<{ count: string }>('SELECT count(*) FROM event_outbox');
      const { series } = await read(api);
      expect(Number(rows[0]!.count)).toBeGreaterThan(0);
      expect(series.get('latchkey_outbox_events')).toBe(Number(rows[0]!.count));
      expect(series.get('latchkey_outbox_oldest_event_age_seconds')).toBeGreaterThan(0);
      expect(series.get('latchkey_roll_ups_oldest_waiting_age_seconds')).toBeGreaterThan(0);
      // Work that is done for everyone is not its own.
      expect([...series.keys()].filter((name) => /^latchkey_(job|seats)/.test(name))).toEqual([]);
      await vendor.licenseUnder({});
      expect((await read(api)).series.get('latchkey_outbox_events')).toBe(Number(rows[0]!.count));
    } finally {
      await held.query('ROLLBACK');
      await held.end();
      await api.stop();
    }
    await eventually(
      async () => (await database.query('SELECT 1 FROM tally_change UNION ALL SELECT 1 FROM validation_batch')).rowCount,
      (waiting) => waiting === 0,
    );
    const worker = await startServer({ DATABASE_URL: quiet.url, ROLE: 'worker', METRICS_TOKEN: TOKEN });
    const { series: shown } = await read(worker, { authorization: `Bearer ${TOKEN}` });
    const seats = shown.get('latchkey_seats_in_use');
    expect(shown.get('latchkey_roll_ups_oldest_waiting_age_seconds')).toBe(0);
    const { rows } = await database.query<{ seats: string }>('SELECT sum(machine_count) AS seats FROM license WHERE deleted_at IS NULL');
    await worker.stop();
    expect(Number(rows[0]!.seats)).toBeGreaterThan(0);
    expect(seats).toBe(Number(rows[0]!.seats));
  });

  it('have labels of closed sets: what callers write makes no more of them', async () => {
    const make = async (): Promise<void> => {
      const address = `198.51.100.${String(Math.floor(Math.random() * 256))}`;
      const id = uuidv7();
      const curious = vendor.api.with({ 'x-forwarded-for': address, 'x-request-id': id, 'user-agent': id });
      await curious.get(`/licenses/${id}`);
      await curious.get(`/licenses/LIC-${id}`);
      await curious.get(`/nowhere/${id}?q=${id}`);
      await curious.call('PROPFIND', `/licenses/${id}`);
      await curious.post('/machines', { licenseId: id, fingerprint: id.padEnd(40, 'x') });
      await curious.post(`/machines/${id}/heartbeat`);
      await withKey(server.url, `lk_live_${id}`).with({ 'x-forwarded-for': address }).get('/products');
      await curious.post('/licenses/validate-key', { key: id });
      await curious.post('/licenses/validate-key', { [id]: id });
    };
    await make();
    const { series: before } = await read(server);
    for (let n = 0; n < 20; n += 1) await make();
    const { series: after } = await read(server);
    const ours = (series: Map<string, number>): string[] => [...series.keys()].filter((name) => name.startsWith('latchkey_'));
    // 20 addresses may have had their share of unknown keys.
    expect(ours(after).filter((name) => !before.has(name) && !name.includes('validate-unknown') && !name.includes('RATE_LIMITED'))).toEqual(
      [],
    );
    const routes = [...listRoutes(server.app).map(({ path }) => path), 'unmatched'];
    for (const name of ours(after)) {
      const route = /route="([^"]*)"/.exec(name)?.[1];
      if (route !== undefined) expect(routes).toContain(route);
      expect(name).not.toMatch(/[0-9a-f]{8}-|lk_|198\.51/);
    }
  });

  it('are all told of, and all that the dashboard and the alerts name are there', async () => {
    const { metrics } = await read(server);
    const own = [...metrics.keys()].filter((name) => name.startsWith('latchkey_'));
    expect(own.length).toBeGreaterThan(20);
    const told = [...documentOf('README.md').matchAll(/^\| `(latchkey_\w+)` /gm)].map(([, name]) => name);
    expect([...new Set(told)].filter((name) => metrics.has(name!)).sort()).toEqual(own.sort());
    for (const name of ['README.md', 'grafana-dashboard.json', 'alerts.yml']) {
      const text = documentOf(name);
      const named = [...text.matchAll(/\b(?:latchkey|nodejs|process)_[a-z0-9_]+\b/g)].map(([found]) => found);
      expect([name, named.length > 15]).toEqual([name, true]);
      const isThere = (found: string): boolean =>
        metrics.has(found) || metrics.get(found.replace(/_(bucket|sum|count)$/, '')) === 'histogram';
      expect([name, named.filter((found) => !isThere(found))]).toEqual([name, []]);
    }
  });

  it('the dashboard is one that Grafana imports, with a data source to choose, and says of every panel what it shows', () => {
    const { templating, panels, uid } = JSON.parse(documentOf('grafana-dashboard.json'));
    expect([uid, templating.list[0]]).toEqual(['latchkey-overview', expect.objectContaining({ name: 'datasource', type: 'datasource' })]);
    expect(new Set(panels.map(({ id }: { id: number }) => id)).size).toBe(panels.length);
    for (const { type, description, targets, datasource } of panels) {
      if (type === 'row') continue;
      expect([description, datasource.uid, targets.length > 0]).toEqual([expect.stringMatching(/\.$/), '${datasource}', true]);
    }
  });

  it('every alert has an expression, a patience, a severity, and says what it means', () => {
    const rules = documentOf('alerts.yml')
      .split(/^ {6}- alert: /m)
      .slice(1);
    expect(rules.length).toBeGreaterThan(9);
    for (const rule of rules) {
      const [name = ''] = rule.split('\n');
      const has = ['expr:', 'severity:', 'summary:', 'description:'].map((field) => rule.includes(field));
      expect([name, ...has]).toEqual([expect.stringMatching(/^Latchkey[A-Z]\w+$/), true, true, true, true]);
    }
  });

  describe('are for', () => {
    const ask = async ({ url }: Running, headers: Record<string, string> = {}): Promise<[number, string | undefined]> => {
      const reply = await send(url, 'GET', '/metrics', { headers });
      return [reply.status, reply.body?.code];
    };

    it('this machine alone where there is no token, and not for whoever is behind a proxy, trusted or not', async () => {
      expect(await ask(server)).toEqual([200, undefined]);
      expect(await ask(server, { authorization: 'Bearer whatever' })).toEqual([200, undefined]);
      for (const headers of <Record<string, string>[]>[
        { 'x-forwarded-for': '203.0.113.7' },
        { 'x-forwarded-for': '127.0.0.1' },
        { 'x-forwarded-for': '' },
        { forwarded: 'for=127.0.0.1' },
        { 'x-real-ip': '127.0.0.1' },
        { via: '1.1 proxy' },
        { 'cf-connecting-ip': '127.0.0.1' },
        { 'true-client-ip': '127.0.0.1' },
        { 'x-client-ip': '127.0.0.1' },
        { 'fly-client-ip': '127.0.0.1' },
        { 'x-cluster-client-ip': '127.0.0.1' },
        { host: 'latchkey.example.com' },
        { host: '203.0.113.7:3000' },
        { host: 'localhost.example.com' },
        { host: '127.0.0.1.example.com' },
      ])
        expect([headers, await ask(server, headers)]).toEqual([headers, [404, 'NOT_FOUND']]);
      for (const host of ['localhost', 'LOCALHOST:3000', '127.0.0.1', '127.8.0.1:80', '[::1]:3000'])
        expect([host, await ask(server, { host })]).toEqual([host, [200, undefined]]);
      // The very answer of what is not there.
      const [hidden, missing] = await Promise.all(
        ['/metrics', '/metrix'].map((path) => send(server.url, 'GET', path, { headers: { 'x-real-ip': '::1', 'x-request-id': 'same' } })),
      );
      expect(hidden!.text).toBe(missing!.text);
    });

    it('whoever has the token where there is one, from this machine too', async () => {
      const other = await startServer({ METRICS_TOKEN: TOKEN });
      expect(await ask(other, { authorization: `Bearer ${TOKEN}` })).toEqual([200, undefined]);
      expect(await ask(other, { authorization: `bearer ${TOKEN}`, 'x-forwarded-for': '203.0.113.7' })).toEqual([200, undefined]);
      for (const authorization of [
        '',
        'Bearer ',
        TOKEN,
        `Basic ${TOKEN}`,
        `Bearer ${TOKEN}x`,
        `Bearer ${TOKEN.slice(1)}`,
        `License ${TOKEN}`,
      ])
        expect([authorization, await ask(other, { authorization })]).toEqual([authorization, [401, 'AUTH_FAILED']]);
      expect(await ask(other)).toEqual([401, 'AUTH_FAILED']);
      expect((await send(other.url, 'GET', '/metrics')).headers['www-authenticate']).toMatch(/^Bearer /);
      await other.stop();
    });
  });

  describe('the log', () => {
    const lineOf = (requestId: string): Promise<Record<string, unknown>> =>
      eventually(
        () => Promise.resolve(logged.map((line) => JSON.parse(line)).filter((line) => line.requestId === requestId && 'ms' in line)),
        (lines) => lines.length > 0,
      ).then((lines) => {
        expect(lines).toHaveLength(1);
        return lines[0];
      });

    it('has one line a request: what was asked by its pattern, by whom, what came of it, and no more', async () => {
      const license = await vendor.licenseUnder({});
      const machine = await vendor.activate(license, 'fingerprint-1');
      const { id: environmentId } = (
        await database.query<{ id: string }>("SELECT id FROM environment WHERE account_id = $1 AND name = 'live'", [vendor.account.id])
      ).rows[0]!;
      const tenant = { accountId: vendor.account.id, environmentId };
      const keyPrefix = vendor.liveKey.slice(0, 12);
      const asked: [string, string, Record<string, string>, object][] = [
        [
          'GET',
          `/licenses/${license.id}?expand=x`,
          vendor.api.headers,
          { route: '/api/v1/licenses/:id', status: 400, ...tenant, keyPrefix, errorCode: 'VALIDATION_ERROR' },
        ],
        ['GET', `/licenses/${license.id}`, vendor.api.headers, { route: '/api/v1/licenses/:id', status: 200, ...tenant, keyPrefix }],
        [
          'POST',
          `/machines/${machine.id}/heartbeat`,
          vendor.app(license).headers,
          { route: '/api/v1/machines/:id/heartbeat', status: 200, ...tenant },
        ],
        ['GET', '/licenses/me', vendor.app(license).headers, { route: '/api/v1/licenses/me', status: 200, ...tenant }],
        ['GET', `/${license.key}`, {}, { route: 'unmatched', status: 404, errorCode: 'NOT_FOUND' }],
      ];
      for (const [method, path, headers, expected] of asked) {
        const requestId = uuidv7();
        await send(server.url, method, `/api/v1${path}`, { headers: { ...headers, 'x-request-id': requestId } });
        const { time, pid, hostname, ms, msg, level, ...line } = await lineOf(requestId);
        expect(line).toEqual({ requestId, method, ...expected });
        expect([typeof time, typeof pid, typeof hostname, typeof ms, level]).toEqual(['number', 'number', 'string', 'number', 30]);
        expect(msg).toBe(`${method} ${String(line.route)} ${String(line.status)}`);
      }
      expect(logged.join('')).not.toContain(license.key);
      expect(logged.join('')).not.toContain('expand');
    });

    it('says of a client that went before it was answered that it did', async () => {
      const requestId = uuidv7();
      const held = new pg.Client({ connectionString: quiet.url });
      await held.connect();
      await held.query('BEGIN; LOCK TABLE product IN ACCESS EXCLUSIVE MODE');
      const outgoing = httpRequest(new URL('/api/v1/products', server.url), {
        headers: { ...vendor.api.headers, 'x-request-id': requestId },
      });
      outgoing.on('error', () => undefined);
      outgoing.end();
      const isWaiting = async (): Promise<boolean> =>
        (await database.query("SELECT FROM pg_locks WHERE NOT granted AND relation = 'product'::regclass")).rowCount! > 0;
      await eventually(isWaiting, (waits) => waits);
      outgoing.destroy();
      expect(await lineOf(requestId)).toMatchObject({ route: '/api/v1/products', status: 499, method: 'GET' });
      await held.query('ROLLBACK');
      await held.end();
    });
  });
});
