import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import type { Running } from '../src/boot.js';
import { MasterKey } from '../src/core/master-key.js';
import { type Client, type Reply, withKey } from './support/client.js';
import { eventsArePassedOn } from './support/outbox.js';
import { type QuietDatabase, quietDatabase } from './support/quiet-database.js';
import { startServer } from './support/server.js';
import { testMasterKey } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

/** Who is told of events, what they were told, and what they are told again (contract: webhooks.md, "Endpoints"). */

const REPLAYS_PER_MINUTE = 4;
/** Public, and asked of no resolver. */
const URL = 'https://1.1.1.1/webhooks';

interface Delivery {
  status?: 'pending' | 'succeeded' | 'failed';
  attemptCount?: number;
  nextAttemptAt?: string;
  createdAt?: string;
  type?: string;
  eventId?: string;
}

let quiet: QuietDatabase;
let server: Running;
let database: pg.Client;
let vendor: Vendor;
let api: Client;

beforeAll(async () => {
  quiet = await quietDatabase();
  server = await startServer({
    DATABASE_URL: quiet.url,
    WEBHOOK_ALLOW_LOOPBACK: 'true',
    LIMIT_REPLAY_PER_MINUTE: String(REPLAYS_PER_MINUTE),
  });
  database = new pg.Client({ connectionString: quiet.url, options: '-c timezone=UTC' });
  await database.connect();
});
afterAll(async () => {
  await database.end();
  await server.stop();
  await quiet.end();
});
beforeEach(async () => {
  vendor = await Vendor.signUp(server.url);
  ({ api } = vendor);
});

const later = (seconds: number): string => new Date(Date.now() + seconds * 1000).toISOString();
const one = async (id: string, client = api) => expectStatus(await client.get(`/webhooks/${id}`), 200).body.data;
const ids = (reply: Reply): string[] => expectStatus(reply, 200).body.data.map(({ id }: { id: string }) => id);
const rowsOf = async <Row>(text: string, values: unknown[] = []): Promise<Row[]> => (await database.query(text, values)).rows as Row[];

/** An endpoint to which nothing is ever sent, whatever is due: its circuit is open. */
async function endpoint(fields: object = {}, client = api) {
  const { data } = expectStatus(await client.post('/webhooks', { url: URL, ...fields }), 201).body;
  await database.query("UPDATE webhook_endpoint SET resting_until = '2999-01-01' WHERE id = $1", [data.id]);
  return data;
}

async function change(id: string, columns: Record<string, unknown>, table = 'webhook_endpoint'): Promise<void> {
  const sets = Object.keys(columns).map((name, index) => `${name} = $${index + 2}`);
  await database.query(`UPDATE ${table} SET ${sets.join(', ')} WHERE id = $1`, [id, ...Object.values(columns)]);
}

/** As if it had been delivered, or were to be. */
async function delivery(endpointId: string, fields: Delivery = {}): Promise<string> {
  const id = uuidv7();
  const { status = 'failed', attemptCount = 0, nextAttemptAt = later(0), createdAt = later(0), type = 'product.created' } = fields;
  await database.query(
    `INSERT INTO webhook_delivery (id, environment_id, endpoint_id, event_id, event_type, position, status, attempt_count, next_attempt_at,
                                   finished_at, segment_id, created_at)
     SELECT $1, environment_id, id, $3, $4, 0, $5::webhook_delivery_status, $6, $7, CASE $5::text WHEN 'pending' THEN NULL ELSE now() END, segment_id, $8
       FROM webhook_endpoint WHERE id = $2`,
    [id, endpointId, fields.eventId ?? randomUUID(), type, status, attemptCount, nextAttemptAt, createdAt],
  );
  return id;
}

async function attempt(
  deliveryId: string,
  startedAt: string,
  responseCode: number | null,
  responseBody: string | null = null,
): Promise<void> {
  await database.query(
    `INSERT INTO webhook_attempt (id, environment_id, endpoint_id, delivery_id, started_at, duration_ms, response_code, error, response_body)
     SELECT $1, environment_id, endpoint_id, id, $3, 12, $4, $5, $6 FROM webhook_delivery WHERE id = $2`,
    [uuidv7(), deliveryId, startedAt, responseCode, responseCode === null ? 'connection refused' : null, responseBody],
  );
}

const deliveries = (endpointId: string): Promise<{ id: string; eventId: string; type: string; isReplay: boolean }[]> =>
  rowsOf(
    `SELECT id, event_id AS "eventId", event_type AS type, is_replay AS "isReplay" FROM webhook_delivery
      WHERE endpoint_id = $1 ORDER BY created_at, id`,
    [endpointId],
  );
const typesOf = async (endpointId: string): Promise<string[]> => (await deliveries(endpointId)).map(({ type }) => type);

describe('an endpoint', () => {
  it('is told of everything unless it says otherwise, and shows its secret once', async () => {
    const created = expectStatus(await api.post('/webhooks', { url: URL }), 201);
    const { secret, ...view } = created.body.data;
    expect(created.headers.location).toBe(`/api/v1/webhooks/${view.id}`);
    expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    expect(view).toEqual({
      id: expect.any(String),
      environment: 'live',
      url: URL,
      events: ['*'],
      description: null,
      enabled: true,
      status: 'enabled',
      failingSince: null,
      disabledAt: null,
      disabledReason: null,
      lastDelivery: null,
      metadata: {},
      createdAt: expect.any(String),
      updatedAt: expect.any(String),
    });
    expect(await one(view.id)).toEqual(view);
    expect(expectStatus(await api.get('/webhooks'), 200).body).toEqual({ data: [view], pagination: { nextCursor: null, hasMore: false } });
    expect(expectStatus(await api.patch(`/webhooks/${view.id}`, { description: 'x' }), 200).body.data).not.toHaveProperty('secret');
  });

  it("keeps its secret sealed, bound to its row, and in nobody's log", async () => {
    const { id, secret } = await endpoint();
    const [row] = await rowsOf<{ id: string; sealed: Buffer }>('SELECT id, sealed FROM webhook_secret WHERE endpoint_id = $1', [id]);
    const masterKey = new MasterKey(Buffer.from(testMasterKey(), 'base64'));
    expect(masterKey.open(row!.sealed, `webhook-secret:${row!.id}`)).toBe(secret);
    expect(() => masterKey.open(row!.sealed, `webhook-secret:${randomUUID()}`)).toThrow();
    for (const table of ['webhook_endpoint', 'webhook_secret', 'audit_entry', 'event'])
      expect(JSON.stringify(await rowsOf(`SELECT to_jsonb(${table}) FROM ${table}`))).not.toContain(secret.slice('whsec_'.length));
  });

  it.each([
    'http://example.com/x',
    'http://10.0.0.1/x',
    'https://10.0.0.1/x',
    'https://169.254.169.254/latest/meta-data',
    'https://[fd00::1]/x',
    'https://0x0a000001/x',
    'https://ada:secret@example.com/x',
    'https://metadata.google.internal/x',
    'https://',
    'https://exa mple.com',
    'example.com',
    'ftp://example.com/x',
    `https://example.com/${'x'.repeat(2030)}`,
  ])('is not made with, nor moved to, %.60s', async (url) => {
    const { id } = await endpoint();
    for (const reply of [await api.post('/webhooks', { url }), await api.patch(`/webhooks/${id}`, { url })]) {
      expect([reply.status, reply.body.code, reply.body.details.issues.map(({ path }: { path: string }) => path)]).toEqual([
        400,
        'VALIDATION_ERROR',
        ['url'],
      ]);
    }
    expect((await one(id)).url).toBe(URL);
    expect(ids(await api.get('/webhooks'))).toEqual([id]);
  });

  it('may be on this machine, by http, where the installation allows it', async () => {
    for (const url of ['http://127.0.0.1:9/x', 'http://localhost:9/x', 'http://[::1]:9/x'])
      expect((await api.post('/webhooks', { url, enabled: false })).status).toBe(201);
  });

  it('is one of at most a hundred of its environment, whoever makes them and however many at once', async () => {
    const { key } = expectStatus(await api.post('/api-keys', { name: 'reseller[segment]' }), 201).body.data;
    const { id } = await endpoint();
    await database.query(
      `INSERT INTO webhook_endpoint (id, environment_id, url, updated_at)
       SELECT gen_random_uuid(), environment_id, url, now() FROM webhook_endpoint, generate_series(1, 96) WHERE id = $1`,
      [id],
    );
    const clients = [api, withKey(server.url, key), api, withKey(server.url, key), api, api];
    const replies = await Promise.all(clients.map((client) => client.post('/webhooks', { url: URL })));
    expect(replies.map(({ status }) => status).sort()).toEqual([201, 201, 201, 422, 422, 422]);
    expect(replies.find(({ status }) => status === 422)!.body).toMatchObject({ code: 'WEBHOOK_LIMIT_EXCEEDED', details: { limit: 100 } });
    expect((await vendor.testApi.post('/webhooks', { url: URL })).status).toBe(201);
    expectStatus(await api.delete(`/webhooks/${id}`), 204);
    expect((await api.post('/webhooks', { url: URL })).status).toBe(201);
  });

  const failing = { failing_since: '2026-01-01', consecutive_failures: 7, resting_until: '2999-01-01' };
  const health = async (id: string): Promise<unknown> =>
    (
      await rowsOf(
        'SELECT is_enabled, failing_since IS NULL AND consecutive_failures = 0 AND resting_until IS NULL AS forgotten FROM webhook_endpoint WHERE id = $1',
        [id],
      )
    )[0];

  it('is failing, and says since when', async () => {
    const { id } = await endpoint();
    await change(id, failing);
    expect(await one(id)).toMatchObject({ status: 'failing', enabled: true, failingSince: '2026-01-01T00:00:00.000Z' });
  });

  it('is enabled again by its vendor as if nothing had been, also when it was only failing', async () => {
    const { id } = await endpoint();
    await change(id, { ...failing, is_enabled: false, disabled_reason: 'It answered 410.', disabled_at: '2026-01-02' });
    expect(await one(id)).toMatchObject({
      status: 'disabled',
      enabled: false,
      disabledReason: 'It answered 410.',
      disabledAt: '2026-01-02T00:00:00.000Z',
    });
    const enabled = { status: 'enabled', enabled: true, failingSince: null, disabledReason: null, disabledAt: null };
    expect(expectStatus(await api.patch(`/webhooks/${id}`, { enabled: true }), 200).body.data).toMatchObject(enabled);
    expect(await health(id)).toEqual({ is_enabled: true, forgotten: true });
    await change(id, failing);
    expect(expectStatus(await api.patch(`/webhooks/${id}`, { enabled: true }), 200).body.data).toMatchObject(enabled);
    expect(await health(id)).toEqual({ is_enabled: true, forgotten: true });
  });

  it('is disabled by its vendor without a note, and keeps the note of one that Latchkey disabled', async () => {
    const { id } = await endpoint();
    const disabled = expectStatus(await api.patch(`/webhooks/${id}`, { enabled: false }), 200).body.data;
    expect(disabled).toMatchObject({ status: 'disabled', disabledReason: null, disabledAt: expect.any(String) });
    await change(id, { disabled_reason: 'It answered 410.' });
    const again = expectStatus(await api.patch(`/webhooks/${id}`, { enabled: false }), 200).body.data;
    expect(again).toMatchObject({ disabledReason: 'It answered 410.', disabledAt: disabled.disabledAt });
    const born = expectStatus(await api.post('/webhooks', { url: URL, enabled: false }), 201).body.data;
    expect(born).toMatchObject({ status: 'disabled', disabledAt: expect.any(String) });
  });

  it('is as good as new at another address, and not at the same', async () => {
    const { id } = await endpoint();
    await change(id, { ...failing, is_enabled: false });
    expectStatus(await api.patch(`/webhooks/${id}`, { url: URL, events: ['license.*'] }), 200);
    expect(await health(id)).toEqual({ is_enabled: false, forgotten: false });
    expectStatus(await api.patch(`/webhooks/${id}`, { url: `${URL}/2` }), 200);
    expect(await health(id)).toEqual({ is_enabled: false, forgotten: true });
  });

  it('is told of what it names from then on, and of nothing while it is disabled', async () => {
    const { id } = await endpoint({ events: ['policy.*'] });
    const told = async (): Promise<string[]> => {
      await eventsArePassedOn(database, vendor.account.id);
      return typesOf(id);
    };
    const product = await vendor.product();
    await vendor.policy({ productId: product.id });
    expect(await told()).toEqual(['policy.created']);
    expectStatus(await api.patch(`/webhooks/${id}`, { events: ['product.updated', 'entitlement.*'] }), 200);
    await vendor.entitlement('pro');
    expectStatus(await api.patch(`/products/${product.id}`, { name: 'Renamed' }), 200);
    expect(await told()).toEqual(['policy.created', 'entitlement.created', 'product.updated']);
    expectStatus(await api.patch(`/webhooks/${id}`, { enabled: false }), 200);
    await vendor.entitlement('basic');
    expect(await told()).toHaveLength(3);
  });

  it('is gone once it is deleted, and with it what it was told', async () => {
    const { id } = await endpoint();
    const failed = await delivery(id);
    expectStatus(await api.delete(`/webhooks/${id}`), 204);
    expect(ids(await api.get('/webhooks'))).toEqual([]);
    for (const [method, path] of [
      ['GET', ''],
      ['PATCH', ''],
      ['DELETE', ''],
      ['GET', '/deliveries'],
      ['POST', '/test'],
      ['POST', '/rotate-secret'],
    ] as const)
      expect([path, (await api.call(method, `/webhooks/${id}${path}`)).status]).toEqual([path, 404]);
    expect((await api.post(`/webhooks/${id}/replay`, { from: later(-60), to: later(0) })).status).toBe(404);
    expect((await api.post(`/webhooks/deliveries/${failed}/retry`)).status).toBe(404);
    await vendor.product();
    await eventsArePassedOn(database, vendor.account.id);
    expect(await deliveries(id)).toHaveLength(1);
  });

  it('leaves nothing waiting when it is deleted', async () => {
    const { id } = await endpoint({ events: ['product.created'] });
    await vendor.product();
    await eventsArePassedOn(database, vendor.account.id);
    const statuses = () => rowsOf<{ status: string }>('SELECT status FROM webhook_delivery WHERE endpoint_id = $1', [id]);
    expect(await statuses()).toEqual([{ status: 'pending' }]);
    expectStatus(await api.delete(`/webhooks/${id}`), 204);
    expect(await statuses()).toEqual([{ status: 'failed' }]);
  });

  it('has the newest try of all its deliveries as its last one', async () => {
    const [mine, silent, other] = [await endpoint(), await endpoint(), await endpoint()];
    const [older, newer] = [await delivery(mine.id, { status: 'pending' }), await delivery(mine.id, { status: 'succeeded' })];
    await attempt(newer, '2026-01-02T00:00:00Z', 204);
    await attempt(older, '2026-01-01T00:00:00Z', 503);
    await attempt(await delivery(other.id), '2026-01-09T00:00:00Z', 500);
    expect((await one(mine.id)).lastDelivery).toEqual({ at: '2026-01-02T00:00:00.000Z', status: 'succeeded', responseCode: 204 });
    await attempt(older, '2026-01-03T00:00:00Z', null);
    const listed = expectStatus(await api.get('/webhooks'), 200).body.data;
    expect(listed.map(({ id, lastDelivery }: { id: string; lastDelivery: unknown }) => [id, lastDelivery])).toEqual([
      [other.id, { at: '2026-01-09T00:00:00.000Z', status: 'failed', responseCode: 500 }],
      [silent.id, null],
      [mine.id, { at: '2026-01-03T00:00:00.000Z', status: 'pending', responseCode: null }],
    ]);
  });
});

describe('rotating a secret', () => {
  const secrets = (id: string): Promise<{ ends_at: Date | null }[]> =>
    rowsOf('SELECT ends_at FROM webhook_secret WHERE endpoint_id = $1 ORDER BY created_at, id', [id]);
  const rotate = (id: string, overlapSeconds?: number): Promise<Reply> => api.post(`/webhooks/${id}/rotate-secret`, { overlapSeconds });
  const secondsLeft = async (id: string): Promise<(number | null)[]> =>
    (await secrets(id)).map(({ ends_at }) => ends_at && Math.round((ends_at.getTime() - Date.now()) / 1000));

  it('lets the one before sign until the overlap ends, a day if nothing is said', async () => {
    const { id, secret } = await endpoint();
    const rotated = expectStatus(await rotate(id), 200).body.data;
    expect(rotated).toEqual({ ...(await one(id)), secret: expect.stringMatching(/^whsec_[A-Za-z0-9+/]{43}=$/) });
    expect(rotated.secret).not.toBe(secret);
    const [left, none] = await secondsLeft(id);
    expect([Math.abs(Number(left) - 86_400) <= 5, none]).toEqual([true, null]);
  });

  it('ends every secret before with its overlap, at once without one', async () => {
    const { id } = await endpoint();
    for (const overlap of [3600, 600]) expectStatus(await rotate(id, overlap), 200);
    const [first, second, none] = await secondsLeft(id);
    expect([Number(first) <= 600, Number(second) <= 600, none]).toEqual([true, true, null]);
    expectStatus(await rotate(id, 0), 200);
    expect(await secondsLeft(id)).toEqual([null]);
  });

  it('lets no more than five sign at once', async () => {
    const { id } = await endpoint();
    for (let n = 0; n < 4; n += 1) expectStatus(await rotate(id, 3600), 200);
    const refused = await rotate(id, 3600);
    const [first] = await secrets(id);
    expect([refused.status, refused.body.code, refused.body.details]).toEqual([
      409,
      'CONFLICT',
      { status: 'rotating', endsAt: first!.ends_at!.toISOString() },
    ]);
    expect(await secrets(id)).toHaveLength(5);
    await database.query("UPDATE webhook_secret SET ends_at = now() - interval '1 second' WHERE endpoint_id = $1 AND ends_at = $2", [
      id,
      first!.ends_at,
    ]);
    expectStatus(await rotate(id, 3600), 200);
    expect(await secrets(id)).toHaveLength(5);
    expectStatus(await rotate(id, 0), 200);
    expect(await secondsLeft(id)).toEqual([null]);
  });

  it('leaves one endless secret, however many rotate at once', async () => {
    const { id } = await endpoint();
    await Promise.all([1, 2, 3].map(() => rotate(id, 60)));
    expect((await secrets(id)).map(({ ends_at }) => ends_at === null)).toEqual([false, false, false, true]);
  });

  it('is done once for an idempotency key, and answers the same secret', async () => {
    const { id } = await endpoint();
    const headers = { 'idempotency-key': randomUUID() };
    const [first, second] = [
      await api.with(headers).post(`/webhooks/${id}/rotate-secret`, {}),
      await api.with(headers).post(`/webhooks/${id}/rotate-secret`, {}),
    ];
    expect([second.text, second.headers['idempotent-replayed']]).toEqual([first.text, 'true']);
    expect(await secrets(id)).toHaveLength(2);
    const kept = await rowsOf<{ body: Buffer }>('SELECT body_sealed AS body FROM idempotency_key');
    for (const { body } of kept) expect(body.toString('latin1')).not.toContain(first.body.data.secret);
  });
});

describe('a test', () => {
  it('is told to the endpoint that is tested, and to no other', async () => {
    const [tested, other] = [await endpoint({ events: ['license.*'] }), await endpoint()];
    const { data } = expectStatus(await api.post(`/webhooks/${tested.id}/test`), 202).body;
    expect(data).toMatchObject({ type: 'webhook.test', environment: 'live', data: { object: { id: tested.id, url: URL } } });
    await eventsArePassedOn(database, vendor.account.id);
    expect((await deliveries(tested.id)).map(({ eventId }) => eventId)).toEqual([data.id]);
    expect(await deliveries(other.id)).toEqual([]);
    expect(JSON.stringify(data)).not.toContain('whsec_');
  });

  it('reaches an endpoint of a segment, whoever asks for it', async () => {
    const { key } = expectStatus(await api.post('/api-keys', { name: 'reseller[segment]' }), 201).body.data;
    const reseller = withKey(server.url, key);
    const { id } = await endpoint({}, reseller);
    for (const client of [reseller, api]) expectStatus(await client.post(`/webhooks/${id}/test`), 202);
    await eventsArePassedOn(database, vendor.account.id);
    expect(await typesOf(id)).toEqual(['webhook.test', 'webhook.test']);
  });

  it('is refused where it would not be sent', async () => {
    const { id } = await endpoint({ enabled: false });
    const reply = await api.post(`/webhooks/${id}/test`);
    expect([reply.status, reply.body.code, reply.body.details]).toEqual([409, 'CONFLICT', { status: 'disabled' }]);
  });
});

describe('the list of deliveries', () => {
  it('has each event with every try, in order', async () => {
    const { id } = await endpoint({ events: ['product.created'] });
    await vendor.product();
    await eventsArePassedOn(database, vendor.account.id);
    const [made] = await deliveries(id);
    await change(made!.id, { attempt_count: 2 }, 'webhook_delivery');
    await attempt(made!.id, '2026-01-02T00:00:00Z', 500, 'oh no');
    await attempt(made!.id, '2026-01-01T00:00:00Z', null);
    const { data, pagination } = expectStatus(await api.get(`/webhooks/${id}/deliveries`), 200).body;
    expect(pagination).toEqual({ nextCursor: null, hasMore: false });
    const [event] = await rowsOf<{ created_at: Date }>('SELECT created_at FROM event WHERE id = $1', [made!.eventId]);
    expect(data).toEqual([
      {
        id: made!.id,
        event: { id: made!.eventId, type: 'product.created', createdAt: event!.created_at.toISOString() },
        status: 'pending',
        attemptCount: 2,
        attempts: [
          { startedAt: '2026-01-01T00:00:00.000Z', durationMs: 12, responseCode: null, error: 'connection refused', responseBody: null },
          { startedAt: '2026-01-02T00:00:00.000Z', durationMs: 12, responseCode: 500, error: null, responseBody: 'oh no' },
        ],
        nextAttemptAt: expect.any(String),
        finishedAt: null,
        isReplay: false,
        createdAt: expect.any(String),
      },
    ]);
  });

  it('says of what is finished when, and not when it is tried next; of an event that is gone, no time', async () => {
    const { id } = await endpoint();
    await delivery(id, { status: 'succeeded', attemptCount: 1 });
    const [row] = expectStatus(await api.get(`/webhooks/${id}/deliveries`), 200).body.data;
    expect(row).toMatchObject({ status: 'succeeded', nextAttemptAt: null, finishedAt: expect.any(String), attempts: [] });
    expect(row.event.createdAt).toBeNull();
  });

  it('has the newest twenty tries', async () => {
    const { id } = await endpoint();
    const made = await delivery(id);
    for (let n = 1; n <= 23; n += 1) await attempt(made, `2026-01-${String(n).padStart(2, '0')}T00:00:00Z`, 500);
    const [{ attempts }] = expectStatus(await api.get(`/webhooks/${id}/deliveries`), 200).body.data;
    expect([attempts.length, attempts[0].startedAt, attempts.at(-1).startedAt]).toEqual([
      20,
      '2026-01-04T00:00:00.000Z',
      '2026-01-23T00:00:00.000Z',
    ]);
  });

  it('goes page by page through what is of one time and of every status, and follows filters', async () => {
    const [{ id }, other] = [await endpoint(), await endpoint()];
    await delivery(other.id);
    const made: { id: string; status: string; type: string }[] = [];
    const at = ['2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z'];
    for (const createdAt of at) {
      for (const status of ['failed', 'pending', 'succeeded', 'failed'] as const) {
        for (const type of ['product.created', 'license.created'])
          made.unshift({ id: await delivery(id, { status, type, createdAt }), status, type });
      }
    }
    const walk = async (filter: string): Promise<string[]> => {
      const found: string[] = [];
      for (let cursor = ''; ;) {
        const { data, pagination } = expectStatus(await api.get(`/webhooks/${id}/deliveries?limit=3${filter}${cursor}`), 200).body;
        found.push(...data.map((row: { id: string }) => row.id));
        if (!pagination.hasMore) return found;
        cursor = `&cursor=${pagination.nextCursor}`;
      }
    };
    const expected = (isWanted: (one: (typeof made)[number]) => boolean): string[] => made.filter(isWanted).map((one) => one.id);
    expect(await walk('')).toEqual(expected(() => true));
    expect(await walk('&status=failed')).toEqual(expected(({ status }) => status === 'failed'));
    expect(await walk('&eventType=license.created')).toEqual(expected(({ type }) => type === 'license.created'));
    expect(await walk('&status=pending&eventType=product.created')).toEqual(
      expected(({ status, type }) => status === 'pending' && type === 'product.created'),
    );
    expect(await walk('&eventType=license.deleted')).toEqual([]);
  });
});

describe('among many deliveries', () => {
  const MANY = 20_000;
  /** Its nodes together: a table of that many rows has some 400, its indexes as many. */
  const MAX_PAGES_READ = 150;

  interface Node {
    'Node Type': string;
    'Relation Name'?: string;
    'Shared Hit Blocks': number;
    'Shared Read Blocks': number;
    Plans?: Node[];
  }

  /** The plans of what a request asks of deliveries and tries, as the role and under the row-level security of the request. */
  async function plansOf(path: string): Promise<Node[]> {
    const spy = jest.spyOn(pg.Client.prototype, 'query');
    expectStatus(await api.get(path), 200);
    const sent = (spy.mock.calls as unknown as [{ text?: string; values?: unknown[] }][]).map(([query]) => query);
    spy.mockRestore();
    const plans: Node[] = [];
    await database.query('BEGIN');
    for (const { text = '', values = [] } of sent.filter(({ values }) => values?.includes('latchkey_system') !== true)) {
      if (text.includes('set_config')) await database.query(text, values);
      else if (/FROM (unnest|\(?\s*\(?SELECT id, created_at)/.test(text))
        plans.push((await database.query(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${text}`, values)).rows[0]['QUERY PLAN'][0].Plan);
    }
    await database.query('ROLLBACK');
    return plans;
  }

  it('reads no more than what it shows, whatever it is asked for', async () => {
    const { id } = await endpoint();
    await database.query('BEGIN');
    await database.query("SET LOCAL session_replication_role = 'replica'");
    await database.query(
      `INSERT INTO webhook_delivery (id, environment_id, endpoint_id, event_id, event_type, position, status, next_attempt_at, created_at)
       SELECT gen_random_uuid(), environment_id, id, gen_random_uuid(), CASE WHEN n % 5000 = 1 THEN 'product.created' ELSE 'license.updated' END, n,
              (CASE WHEN n % 5000 = 0 THEN 'failed' WHEN n % 100 = 1 THEN 'pending' ELSE 'succeeded' END)::webhook_delivery_status, now(),
              '2026-01-01'::timestamptz + n * interval '1 second'
         FROM webhook_endpoint, generate_series(1, $2::int) AS n WHERE id = $1`,
      [id, MANY],
    );
    await database.query(
      `INSERT INTO webhook_attempt (id, environment_id, endpoint_id, delivery_id, started_at, duration_ms)
       SELECT gen_random_uuid(), environment_id, endpoint_id, id, created_at, 5 FROM webhook_delivery WHERE endpoint_id = $1`,
      [id],
    );
    await database.query('COMMIT');
    await database.query('ANALYZE webhook_delivery, webhook_attempt');
    const filters = ['', '?status=failed', '?status=pending', '?status=succeeded', '?status=pending&eventType=product.created'];
    for (const path of [`/webhooks/${id}`, ...filters.map((filter) => `/webhooks/${id}/deliveries${filter}`)]) {
      const plans = await plansOf(path);
      const nodes = (node: Node): Node[] => [node, ...(node.Plans ?? []).flatMap(nodes)];
      const scans = plans.flatMap(nodes).filter((node) => node['Node Type'] === 'Seq Scan');
      const pages = plans.reduce((sum, plan) => sum + plan['Shared Hit Blocks'] + plan['Shared Read Blocks'], 0);
      expect([path, plans.length, scans.map((node) => node['Relation Name']), pages > MAX_PAGES_READ && pages]).toEqual([
        path,
        path.includes('deliveries') ? 2 : 1,
        [],
        false,
      ]);
    }
  });
});

describe('retrying a delivery', () => {
  const retry = (id: string): Promise<Reply> => api.post(`/webhooks/deliveries/${id}/retry`);
  const nextAttemptOf = async (id: string): Promise<string> =>
    (await rowsOf<{ at: Date }>('SELECT next_attempt_at AS at FROM webhook_delivery WHERE id = $1', [id]))[0]!.at.toISOString();
  let eventId: string;
  beforeEach(async () => {
    const product = await vendor.product();
    [{ id: eventId }] = (await rowsOf<{ id: string }>('SELECT id FROM event WHERE resource_id = $1', [product.id])) as [{ id: string }];
  });

  it.each(['failed', 'succeeded'] as const)('that %s makes it due at once, with the tries that it had', async (status) => {
    const { id } = await endpoint();
    const made = await delivery(id, { status, attemptCount: 3, eventId });
    const { data } = expectStatus(await retry(made), 202).body;
    expect(data).toMatchObject({ id: made, status: 'pending', attemptCount: 3, finishedAt: null });
    expect(Date.parse(data.nextAttemptAt)).toBeLessThanOrEqual(Date.now());
    expect(expectStatus(await api.get(`/webhooks/${id}/deliveries`), 200).body.data).toEqual([data]);
  });

  it('that waits for its next try brings it forward; one that is under way is left alone', async () => {
    const { id } = await endpoint();
    const [waiting, soon] = [later(3600), later(20)];
    const [one, other] = [
      await delivery(id, { status: 'pending', attemptCount: 2, nextAttemptAt: waiting, eventId }),
      await delivery(id, { status: 'pending', nextAttemptAt: soon, eventId }),
    ];
    expect(expectStatus(await retry(one), 202).body.data.status).toBe('pending');
    expect(Date.parse(await nextAttemptOf(one))).toBeLessThanOrEqual(Date.now());
    expectStatus(await retry(other), 202);
    expect(await nextAttemptOf(other)).toBe(soon);
  });

  it('is refused where nothing would be sent', async () => {
    const { id } = await endpoint();
    const [made, without] = [await delivery(id, { eventId }), await delivery(id)];
    expect((await retry(without)).body).toMatchObject({ code: 'CONFLICT', details: { status: 'expired' } });
    expectStatus(await api.patch(`/webhooks/${id}`, { enabled: false }), 200);
    expect(await retry(made)).toMatchObject({ status: 409, body: { code: 'CONFLICT', details: { status: 'disabled' } } });
    expect((await retry(uuidv7())).status).toBe(404);
    expect((await vendor.testApi.post(`/webhooks/deliveries/${made}/retry`)).status).toBe(404);
  });
});

describe('a replay', () => {
  const replay = (id: string, fields: object = {}, client = api): Promise<Reply> =>
    client.post(`/webhooks/${id}/replay`, { from: later(-3600), to: later(3600), ...fields });
  const queued = async (id: string, fields: object = {}): Promise<number> => expectStatus(await replay(id, fields), 202).body.data.queued;
  const passedOn = (): Promise<void> => eventsArePassedOn(database, vendor.account.id);

  it('queues what the endpoint is told of, in the order in which it happened', async () => {
    const { id } = await endpoint({ events: ['product.*', 'policy.created'], enabled: false });
    const product = await vendor.product();
    await vendor.policy({ productId: product.id });
    await vendor.entitlement('pro');
    expectStatus(await api.patch(`/products/${product.id}`, { name: 'Renamed' }), 200);
    await passedOn();
    expect(await deliveries(id)).toEqual([]);
    expectStatus(await api.patch(`/webhooks/${id}`, { enabled: true }), 200);
    expect(await queued(id)).toBe(3);
    const made = await deliveries(id);
    expect(made.map(({ type, isReplay }) => [type, isReplay])).toEqual([
      ['product.created', true],
      ['policy.created', true],
      ['product.updated', true],
    ]);
    const events = await rowsOf<{ id: string }>(
      `SELECT event.id FROM event JOIN event_feed ON event_id = event.id WHERE event.id = ANY($1) ORDER BY position`,
      [made.map(({ eventId }) => eventId)],
    );
    expect(made.map(({ eventId }) => eventId)).toEqual(events.map((event) => event.id));
    for (const row of made) expect(row.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  it('takes types of its own instead, those that are made for listeners among them', async () => {
    const { id } = await endpoint({ events: ['policy.*'] });
    const license = await vendor.licenseUnder({});
    await vendor.entitlement('pro');
    await passedOn();
    const [{ environment_id: environmentId }] = (await rowsOf<{ environment_id: string }>(
      'SELECT environment_id FROM webhook_endpoint WHERE id = $1',
      [id],
    )) as [{ environment_id: string }];
    await database.query(
      `INSERT INTO event (id, environment_id, type, resource_type, resource_id, license_id, data, actor_type)
       VALUES ($1, $2, 'validation.success', 'license', $3, $3, '{}', 'system')`,
      [uuidv7(), environmentId, license.id],
    );
    await passedOn();
    await database.query('DELETE FROM webhook_delivery WHERE endpoint_id = $1', [id]);
    expect(await queued(id, { types: ['entitlement.*', 'validation.*'] })).toBe(2);
    expect(await typesOf(id)).toEqual(['entitlement.created', 'validation.success']);
    expect(await queued(id, { types: ['*'] })).toBe(3);
    expect((await typesOf(id)).slice(2)).toEqual(['product.created', 'policy.created', 'license.created']);
  });

  it('takes what was from one time until before another, and no test', async () => {
    const { id } = await endpoint({ events: ['product.created'] });
    const created: string[] = [];
    for (let n = 0; n < 3; n += 1) created.push((await vendor.product()).id);
    expectStatus(await api.post(`/webhooks/${id}/test`), 202);
    await passedOn();
    await database.query('DELETE FROM webhook_delivery WHERE endpoint_id = $1', [id]);
    for (const [index, resource] of created.entries())
      await database.query('UPDATE event SET created_at = $2 WHERE resource_id = $1', [resource, `2026-01-0${index + 1}T00:00:00Z`]);
    expect(await queued(id, { from: '2026-01-01T00:00:00Z', to: '2026-01-03T00:00:00Z' })).toBe(2);
    expect(await queued(id, { types: ['*', 'webhook.*'] })).toBe(0);
    const refused = await replay(id, { types: ['webhook.test'] });
    expect([refused.status, refused.body.details.issues[0].path]).toEqual([400, 'types']);
  });

  it('queues nothing that waits already, however many ask at once', async () => {
    const { id } = await endpoint({ events: ['product.created'] });
    for (let n = 0; n < 3; n += 1) await vendor.product();
    await passedOn();
    expect(await queued(id)).toBe(0);
    await database.query(`UPDATE webhook_delivery SET status = 'succeeded' WHERE endpoint_id = $1`, [id]);
    // One at a time is queued: the other finds nothing left, or is told to come again.
    const both = await Promise.all([replay(id), replay(id)]);
    for (const { status, headers } of both)
      expect([status, headers['retry-after'] !== undefined]).toEqual(status === 202 ? [202, false] : [429, true]);
    expect(both.map(({ status, body }) => (status === 202 ? body.data.queued : 0)).sort()).toEqual([0, 3]);
    expect(await deliveries(id)).toHaveLength(6);
  });

  it('has of a segment what is of it, whoever asks', async () => {
    const { key } = expectStatus(await api.post('/api-keys', { name: 'reseller[segment]' }), 201).body.data;
    const reseller = withKey(server.url, key);
    const [mine, everyones] = [await endpoint({}, reseller), await endpoint()];
    const product = await vendor.product({}, reseller);
    await vendor.product();
    await passedOn();
    await database.query('DELETE FROM webhook_delivery WHERE endpoint_id = ANY($1)', [[mine.id, everyones.id]]);
    for (const client of [reseller, api]) {
      expect(expectStatus(await replay(mine.id, { types: ['product.*'] }, client), 202).body.data.queued).toBe(1);
      const [row] = await rowsOf<{ resource: string; segment: string | null }>(
        `SELECT resource_id AS resource, webhook_delivery.segment_id AS segment FROM webhook_delivery JOIN event ON event.id = event_id WHERE endpoint_id = $1`,
        [mine.id],
      );
      expect([row!.resource, row!.segment]).toEqual([product.id, expect.any(String)]);
      expect(expectStatus(await reseller.get(`/webhooks/${mine.id}/deliveries`), 200).body.data).toHaveLength(1);
      await database.query('DELETE FROM webhook_delivery WHERE endpoint_id = $1', [mine.id]);
    }
    expect((await replay(everyones.id, {}, reseller)).status).toBe(404);
    expect(await queued(everyones.id, { types: ['product.*'] })).toBe(2);
  });

  it('of more than fifty thousand events queues none of them', async () => {
    const { id } = await endpoint();
    await vendor.product();
    await passedOn();
    await database.query('BEGIN');
    await database.query("SET LOCAL session_replication_role = 'replica'");
    await database.query(
      `WITH made AS (
         INSERT INTO event (id, environment_id, type, resource_type, resource_id, data, actor_type, created_at)
         SELECT gen_random_uuid(), environment_id, 'license.updated', 'license', id, '{}', 'system', '2026-01-01'::timestamptz + n * interval '1 second'
           FROM webhook_endpoint, generate_series(0, 50000) AS n WHERE id = $1 RETURNING id, environment_id, created_at)
       INSERT INTO event_feed (environment_id, event_id) SELECT environment_id, id FROM made ORDER BY created_at`,
      [id],
    );
    await database.query('COMMIT');
    const range = { from: '2026-01-01T00:00:00Z', to: '2026-02-01T00:00:00Z' };
    const before = (await deliveries(id)).length;
    const refused = await replay(id, range);
    expect([refused.status, refused.body.code, refused.body.details.issues[0].path]).toEqual([400, 'VALIDATION_ERROR', 'to']);
    expect(await deliveries(id)).toHaveLength(before);
    expect(await queued(id, { ...range, to: '2026-01-01T00:16:40Z' })).toBe(1000);
  });

  it('is limited for each endpoint, and says so', async () => {
    const [{ id }, other] = [await endpoint(), await endpoint()];
    for (let n = 1; n <= REPLAYS_PER_MINUTE; n += 1) {
      const reply = expectStatus(await replay(id), 202);
      expect(reply.headers['ratelimit-policy']).toContain(`"replay";q=${REPLAYS_PER_MINUTE};w=60`);
    }
    const refused = await replay(id);
    expect([refused.status, refused.body.details.policy, Number(refused.headers['retry-after']) > 0]).toEqual([429, 'replay', true]);
    expect((await replay(other.id)).status).toBe(202);
  });

  it('is refused for a time that ends before it begins, and for a disabled endpoint', async () => {
    const { id } = await endpoint({ enabled: false });
    expect((await replay(id)).body).toMatchObject({ code: 'CONFLICT', details: { status: 'disabled' } });
    const backwards = await replay(id, { from: later(0), to: later(-1) });
    expect([backwards.status, backwards.body.details.issues[0].path]).toEqual([400, 'to']);
  });
});
