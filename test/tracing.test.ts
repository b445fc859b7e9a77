import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { boot, type Running } from '../src/boot.js';
import { loadConfig } from '../src/core/config.js';
import { VERSION } from '../src/core/version.js';
import { send, withKey } from './support/client.js';
import { Collector, type SpanSeen } from './support/collector.js';
import { eventually } from './support/eventually.js';
import { quietDatabase, type QuietDatabase } from './support/quiet-database.js';
import { type Received, Receiver } from './support/receiver.js';
import { keepLog, logFile } from './support/run-record.js';
import { openStream } from './support/stream.js';
import { testEnvironment } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

/**
 * Where a collector is configured, one trace shows a request, what it did in the database, its event on the way through the
 * outbox, and the delivery (docs/operations/tracing.md); with nothing secret in it, and at nobody's cost when the collector
 * is away.
 */

const [SERVER, CLIENT, PRODUCER] = [2, 3, 4];
const ERROR = 2;
const FOREIGN_TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';

interface Line {
  msg: string;
  requestId?: string;
  traceId?: string;
}

let home: QuietDatabase;
let database: pg.Client;
let receiver: Receiver;
beforeAll(async () => {
  home = await quietDatabase();
  database = new pg.Client({ connectionString: home.url });
  await database.connect();
  receiver = await Receiver.start();
});
afterAll(async () => {
  await receiver.stop();
  await database.end();
  await home.end();
});

async function startWith(settings: Record<string, string>): Promise<{ server: Running; lines: Line[] }> {
  const [lines, log]: [Line[], string] = [[], logFile()];
  const given = { DATABASE_URL: home.url, WEBHOOK_ALLOW_LOOPBACK: 'true', WEBHOOK_RETRY_SCHEDULE: '0,1', LOG_LEVEL: 'info', ...settings };
  const server = await boot(loadConfig(testEnvironment(given)), {
    write: (line: string) => {
      keepLog(log, line);
      lines.push(JSON.parse(line) as Line);
    },
  });
  return { server, lines };
}

const isAbout = (type: string) => (received: Received) => received.event.type === type;

async function contextsOf(environmentId: string): Promise<(string | null)[]> {
  const { rows } = await database.query<{ at: string | null }>('SELECT DISTINCT trace_context AS at FROM event WHERE environment_id = $1', [
    environmentId,
  ]);
  return rows.map(({ at }) => at);
}

async function liveEnvironmentOf({ account }: Vendor): Promise<string> {
  const { rows } = await database.query<{ id: string }>("SELECT id FROM environment WHERE account_id = $1 AND name = 'live'", [account.id]);
  return rows[0]!.id;
}

describe('with a collector', () => {
  const requestId = randomUUID();
  const path = `/${randomUUID()}`;
  const secrets: string[] = [];
  let vendor: Vendor;
  let collector: Collector;
  let spans: SpanSeen[];
  let lines: Line[];
  let environmentId: string;
  let answered: string[];

  beforeAll(async () => {
    collector = await Collector.start({ answers: true });
    const { server, lines: logged } = await startWith({ OTEL_EXPORTER_OTLP_ENDPOINT: `${collector.url}/` });
    lines = logged;
    vendor = await Vendor.signUp(server.url);
    environmentId = await liveEnvironmentOf(vendor);
    let tries = 0;
    const url = receiver.url(path, ({ event }) => ({ status: event.type === 'license.created' && ++tries === 1 ? 503 : 200 }));
    const events = ['license.created', 'validation.success', 'machine.heartbeat'];
    const webhook = expectStatus(await vendor.api.post('/webhooks', { url, events }), 201).body.data;
    const policy = await vendor.policy({ requireHeartbeat: true, heartbeatIntervalMinutes: 60 });
    const asked = { 'x-request-id': requestId, traceparent: `00-${FOREIGN_TRACE}-00f067aa0ba902b7-00` };
    const body = { productId: policy.productId, policyId: policy.id, userEmail: 'ada@example.com' };
    const created = expectStatus(await withKey(server.url, vendor.liveKey).with(asked).post('/licenses', body), 201);
    const license = created.body.data;
    secrets.push(vendor.liveKey, vendor.testKey, license.key, webhook.secret, 'ada@example.com', url);
    await eventually(
      () => Promise.resolve(receiver.at(path).filter(isAbout('license.created'))),
      (all) => all.length === 2,
    );
    const machine = await vendor.activate(license, 'adas-laptop-0001');
    // Until the server has heard that somebody listens.
    await eventually(
      async () => {
        // Many at once, so that there are groups.
        const many = Array.from({ length: 10 }, () => vendor.validate(license, { fingerprint: 'adas-laptop-0001' }));
        await Promise.all([...many, ...many.map(() => vendor.app(license).post(`/machines/${machine.id}/heartbeat`))]);
        return receiver.at(path).map(({ event }) => event.type);
      },
      (types) => ['validation.success', 'machine.heartbeat'].every((wanted) => types.filter((type) => type === wanted).length > 10),
    );
    expectStatus(await send(server.url, 'GET', `/nothing/${license.id}?key=${license.key}`), 404);
    expectStatus(await send(server.url, 'GET', '/health/ready'), 200);
    for (const kind of ['sse', 'ws'] as const) (await openStream(kind, server.url, { headers: vendor.api.headers })).cut();
    await eventually(
      () => Promise.resolve(lines.filter(({ msg }) => /events\/(stream|ws) \d{3}$/.test(msg))),
      (streams) => streams.length === 2,
    );
    const [listed, history] = [await vendor.api.get('/events'), await vendor.api.get(`/licenses/${license.id}/history`)];
    answered = [created.text, listed.text, history.text, ...receiver.at(path).map(({ text, headers }) => text + JSON.stringify(headers))];
    await server.stop();
    spans = collector.spans;
  });
  afterAll(() => collector.stop());

  const requestSpan = (id: string): SpanSeen => spans.find(({ attributes }) => attributes['latchkey.request_id'] === id)!;
  const inTraceOf = (request: SpanSeen) => spans.filter(({ traceId }) => traceId === request.traceId);
  const parentOf = (span: SpanSeen) => spans.find(({ spanId }) => spanId === span.parentSpanId);

  it('is sent all that has ended when the server stops, as Latchkey, at the place that OTLP has for traces', () => {
    expect(collector.paths).toEqual(new Set(['POST /v1/traces']));
    expect(collector.resources[0]).toMatchObject({ 'service.name': 'latchkey', 'service.version': VERSION });
  });

  it('shows a request, its transaction, its event and each try to deliver it in one trace', () => {
    const request = requestSpan(requestId);
    expect(request).toMatchObject({ name: 'POST /api/v1/licenses', kind: SERVER, status: {} });
    expect(request.parentSpanId).toBeUndefined();
    expect(request.attributes).toEqual({
      'http.request.method': 'POST',
      'http.route': '/api/v1/licenses',
      'http.response.status_code': 201,
      'latchkey.request_id': requestId,
    });
    const trace = inTraceOf(request);
    const passed = trace.find(({ name }) => name === 'pass on license.created')!;
    expect(passed).toMatchObject({ kind: PRODUCER, attributes: { 'latchkey.deliveries': 1 } });
    const transaction = parentOf(passed)!;
    expect(transaction).toMatchObject({
      name: 'transaction',
      kind: CLIENT,
      attributes: { 'db.system.name': 'postgresql', 'db.operation.name': 'transaction', 'latchkey.environment_id': environmentId },
    });
    const above = [transaction];
    for (let step = parentOf(transaction); step !== undefined; step = parentOf(step)) above.push(step);
    expect(above.at(-1)).toBe(request);
    const tries = trace.filter(({ name }) => name === 'deliver license.created');
    expect(tries.map(parentOf)).toEqual([transaction, transaction]);
    expect(
      tries.map(({ attributes, status }) => [
        attributes['latchkey.delivery.attempt'],
        attributes['latchkey.delivery.outcome'],
        attributes['http.response.status_code'],
        status.code ?? 0,
      ]),
    ).toEqual([
      [1, 'refused', 503, ERROR],
      [2, 'delivered', 200, 0],
    ]);
  });

  it.each([
    ['validation.success', 'POST /api/v1/licenses/validate-key', ['find_rest_of_licenses', 'keep_events']],
    ['machine.heartbeat', 'POST /api/v1/machines/:id/heartbeat', ['find_beating', 'keep_and_tell_beats']],
  ])('shows what was done for several requests together in the trace of each: %s', (type, name, statements) => {
    const below = (request: SpanSeen) => inTraceOf(request).filter((span) => parentOf(span) === request);
    const requests = receiver
      .at(path)
      .filter(isAbout(type))
      .map(({ event }) => requestSpan(event.requestId))
      // The first validations of a license have transactions of their own.
      .filter((request) => below(request).every((span) => span.name !== 'transaction'));
    expect(requests.length).toBeGreaterThan(1);
    for (const request of requests) {
      expect(request).toMatchObject({ name, kind: SERVER, attributes: { 'http.response.status_code': 200 } });
      const steps = below(request).map((span) => span.name);
      expect(steps).toEqual(expect.arrayContaining([...statements, `pass on ${type}`, `deliver ${type}`]));
      // Nothing of another request.
      expect(inTraceOf(request).filter(({ kind }) => kind === SERVER)).toEqual([request]);
    }
  });

  it('begins a trace at each request, whatever its caller says, and nowhere else', () => {
    expect(spans.map(({ traceId }) => traceId)).not.toContain(FOREIGN_TRACE);
    const roots = spans.filter((span) => span.parentSpanId === undefined);
    expect(roots.filter(({ kind }) => kind !== SERVER)).toEqual([]);
    expect(spans.filter((span) => span.parentSpanId !== undefined && parentOf(span) === undefined)).toEqual([]);
    // Health checks are none.
    expect(roots.filter(({ name }) => name.includes('health'))).toEqual([]);
    expect(roots.find(({ attributes }) => attributes['http.response.status_code'] === 404)).toMatchObject({ name: 'GET', status: {} });
  });

  it.each([
    ['GET /api/v1/events/stream', 200],
    ['GET /api/v1/events/ws', 101],
  ])('is told of a stream when it ends, also of one that breaks off: %s', (name, status) => {
    expect(spans.find((span) => span.name === name)).toMatchObject({ kind: SERVER, attributes: { 'http.response.status_code': status } });
  });

  it('is told no key, secret, body, path, query or address', () => {
    const everything = collector.bodies.join('\n');
    for (const secret of secrets) expect(everything).not.toContain(secret);
    expect(everything).not.toContain('adas-laptop');
    expect(everything).not.toContain('/nothing');
  });

  it('is a matter between it and the server: neither callers nor receivers are told of traces', async () => {
    const traceIds = new Set(spans.map(({ traceId }) => traceId));
    for (const text of answered) {
      expect(text).not.toMatch(/trace/i);
      for (const traceId of traceIds) expect(text).not.toContain(traceId);
    }
    expect((await contextsOf(environmentId)).every((at) => at !== null && traceIds.has(at.split('-')[1]!))).toBe(true);
  });

  it('is named by the lines of the log, so that one leads to the other', () => {
    const line = lines.find((found) => found.requestId === requestId)!;
    expect(line.traceId).toBe(requestSpan(requestId).traceId);
    const ofRequests = lines.filter(({ msg }) => / \/api\/v1\/.* \d{3}$/.test(msg));
    expect(ofRequests.filter(({ traceId }) => traceId === undefined)).toEqual([]);
    expect(lines.filter(({ msg }) => msg.includes('traces'))).toEqual([]);
  });
});

describe('a collector that', () => {
  it('is away costs a line of the log, and no request', async () => {
    const gone = await Collector.start({ answers: true });
    await gone.stop();
    // Not long enough for another try.
    process.env.OTEL_EXPORTER_OTLP_TIMEOUT = '500';
    const { server, lines } = await startWith({ OTEL_EXPORTER_OTLP_ENDPOINT: gone.url });
    delete process.env.OTEL_EXPORTER_OTLP_TIMEOUT;
    const vendor = await Vendor.signUp(server.url);
    await vendor.validate(await vendor.licenseUnder({}));
    await server.stop();
    const warnings = lines.filter(({ msg }) => msg.includes('traces'));
    expect(warnings).toEqual([expect.objectContaining({ msg: 'traces could not be sent', level: 40 })]);
  });

  it('never answers holds up neither requests nor the stop', async () => {
    const hanging = await Collector.start({ answers: false });
    const { server, lines } = await startWith({ OTEL_EXPORTER_OTLP_ENDPOINT: hanging.url });
    const vendor = await Vendor.signUp(server.url);
    await vendor.validate(await vendor.licenseUnder({}));
    await server.stop();
    expect(hanging.bodies).toHaveLength(1);
    expect(lines.map(({ msg }) => msg)).toContain('the last traces could not be sent in time');
    await hanging.stop();
  });
});

it('traces nothing where no collector is configured', async () => {
  const { server, lines } = await startWith({});
  const vendor = await Vendor.signUp(server.url);
  await vendor.licenseUnder({});
  await server.stop();
  expect(await contextsOf(await liveEnvironmentOf(vendor))).toEqual([null]);
  expect(lines.filter(({ traceId }) => traceId !== undefined)).toEqual([]);
});
