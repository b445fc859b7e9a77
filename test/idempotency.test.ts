import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import type { Running } from '../src/boot.js';
import { IdempotencyWorker } from '../src/core/idempotency.worker.js';
import { offlineRequest } from './support/offline-request.js';
import { anyone, Client, type Reply, send, withKey } from './support/client.js';
import { eventsArePassedOn } from './support/outbox.js';
import { KEPT_BEHIND } from './support/roll-ups.js';
import { startServer } from './support/server.js';
import { TEST_PLATFORM_TOKEN, testDatabaseUrl } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

/** A POST with an Idempotency-Key is done once, and answered the same ever after (contract: http.md, "Idempotency"). */

/** Their answers say how things are now: they ignore the key. */
const FRESH = [
  'POST /api/v1/auth/token',
  'POST /api/v1/auth/user-key-info',
  'POST /api/v1/licenses/validate-key',
  'POST /api/v1/licenses/{id}/explain',
  'POST /api/v1/licenses/{id}/validate',
  'POST /api/v1/machines/{id}/heartbeat',
  'POST /api/v1/machines/{id}/processes/{pid}/heartbeat',
];

interface Made {
  path: string;
  body?: object;
  client?: Client;
  /** Sent as NDJSON, instead of a body. */
  file?: string;
}

/** For every other POST: a request that does something, on resources of its own. */
const requests: Record<string, (vendor: Vendor) => Promise<Made>> = {
  'POST /api/v1/accounts': ({ baseUrl, account }) =>
    Promise.resolve({
      path: '/accounts',
      body: { name: 'Second', slug: secondSlug(account.slug), ownerEmail: 'owner@example.com' },
      client: new Client(baseUrl, { authorization: `Bearer ${TEST_PLATFORM_TOKEN}` }),
    }),
  'POST /api/v1/accounts/{id}/suspend': ({ baseUrl, account }) =>
    Promise.resolve({ path: `/accounts/${account.id}/suspend`, client: withKey(baseUrl, TEST_PLATFORM_TOKEN) }),
  'POST /api/v1/accounts/{id}/reinstate': async ({ baseUrl, account }) => {
    const client = withKey(baseUrl, TEST_PLATFORM_TOKEN);
    expectStatus(await client.post(`/accounts/${account.id}/suspend`), 200);
    return { path: `/accounts/${account.id}/reinstate`, client };
  },
  'POST /api/v1/users': () => Promise.resolve({ path: '/users', body: { name: 'Ada', email: 'ada@example.com', role: 'support' } }),
  'POST /api/v1/users/{id}/keys': async (vendor) => {
    const { data } = expectStatus(await vendor.api.post('/users', { name: 'Ada', email: 'ada@example.com', role: 'support' }), 201).body;
    return { path: `/users/${data.id}/keys`, body: { name: 'laptop' } };
  },
  'POST /api/v1/api-keys/{id}/rotate': async (vendor) => {
    const { data } = expectStatus(await vendor.api.post('/api-keys', { name: 'old' }), 201).body;
    return { path: `/api-keys/${data.id}/rotate`, body: { overlapSeconds: 60 } };
  },
  'POST /api/v1/api-keys/verify-leak': async (vendor) => {
    const { data } = expectStatus(await vendor.api.post('/api-keys', { name: 'found in public' }), 201).body;
    return { path: '/api-keys/verify-leak', body: { key: data.key }, client: anyone(vendor.baseUrl) };
  },
  'POST /api/v1/api-keys': () => Promise.resolve({ path: '/api-keys', body: { name: 'one', environment: 'test' } }),
  'POST /api/v1/products': () => Promise.resolve({ path: '/products', body: { name: 'Editor', code: unique('p') } }),
  'POST /api/v1/policies': async (vendor) => ({ path: '/policies', body: { productId: (await vendor.product()).id, name: 'Pro' } }),
  'POST /api/v1/policies/{id}/preview': async (vendor) => ({
    path: `/policies/${(await vendor.policy()).id}/preview`,
    body: { maxMachines: 2 },
  }),
  'POST /api/v1/policies/{id}/entitlements': async (vendor) => ({
    path: `/policies/${(await vendor.policy()).id}/entitlements`,
    body: { codes: [(await vendor.entitlement(unique('e'))).code] },
  }),
  'POST /api/v1/entitlements': () => Promise.resolve({ path: '/entitlements', body: { code: unique('e'), name: 'Export' } }),
  'POST /api/v1/licenses': async (vendor) => {
    const policy = await vendor.policy();
    return { path: '/licenses', body: { productId: policy.productId, policyId: policy.id } };
  },
  'POST /api/v1/licenses/bulk': async (vendor) => {
    const policy = await vendor.policy();
    const license = { productId: policy.productId, policyId: policy.id };
    return { path: '/licenses/bulk', body: { licenses: [license, license] } };
  },
  'POST /api/v1/licenses/import': async (vendor) => {
    const policy = await vendor.policy();
    return { path: '/licenses/import', file: JSON.stringify({ productId: policy.productId, policyId: policy.id }) };
  },
  'POST /api/v1/licenses/{id}/suspend': (vendor) => move(vendor, 'suspend'),
  'POST /api/v1/licenses/{id}/reinstate': (vendor) => move(vendor, 'reinstate', 'suspend'),
  'POST /api/v1/licenses/{id}/ban': (vendor) => move(vendor, 'ban'),
  'POST /api/v1/licenses/{id}/unban': (vendor) => move(vendor, 'unban', 'ban'),
  'POST /api/v1/licenses/{id}/revoke': (vendor) => move(vendor, 'revoke'),
  'POST /api/v1/licenses/{id}/renew': (vendor) => move(vendor, 'renew'),
  'POST /api/v1/licenses/{id}/check-in': (vendor) => move(vendor, 'check-in'),
  'POST /api/v1/licenses/{id}/transfer': async (vendor) => ({
    ...(await move(vendor, 'transfer')),
    body: { policyId: (await vendor.policy()).id },
  }),
  'POST /api/v1/licenses/{id}/usage': async (vendor) => ({ ...(await move(vendor, 'usage')), body: { increment: 2 } }),
  'POST /api/v1/licenses/{id}/usage/reset': async (vendor) => {
    const { path } = await move(vendor, 'usage');
    expectStatus(await vendor.api.post(path, { increment: 2 }), 200);
    return { path: `${path}/reset` };
  },
  'POST /api/v1/licenses/{id}/rotate-key': async (vendor) => ({ ...(await move(vendor, 'rotate-key')), body: { overlapSeconds: 60 } }),
  'POST /api/v1/licenses/{id}/check-out': async (vendor) => ({ path: `/licenses/${(await vendor.licenseUnder({})).id}/check-out` }),
  'POST /api/v1/machines/{id}/check-out': async (vendor) => {
    const machine = await vendor.activate(await vendor.licenseUnder({}), unique('fingerprint'));
    return { path: `/machines/${machine.id}/check-out`, body: { ttlSeconds: 3600, encrypt: true } };
  },
  'POST /api/v1/machines/offline-requests': async (vendor) => ({
    path: '/machines/offline-requests',
    body: { request: offlineRequest((await vendor.licenseUnder({})).key) },
  }),
  'POST /api/v1/licenses/{id}/reset-machines': async (vendor) => {
    const license = await vendor.licenseUnder({});
    await vendor.activate(license, unique('fingerprint'));
    return { path: `/licenses/${license.id}/reset-machines` };
  },
  'POST /api/v1/licenses/{id}/entitlements': async (vendor) => ({
    path: `/licenses/${(await vendor.licenseUnder({})).id}/entitlements`,
    body: { codes: [(await vendor.entitlement(unique('e'))).code] },
  }),
  'POST /api/v1/machines': async (vendor) => ({
    path: '/machines',
    body: { licenseId: (await vendor.licenseUnder({ maxMachines: 2 })).id, fingerprint: unique('fingerprint') },
  }),
  'POST /api/v1/machines/{id}/processes': async (vendor) => {
    const machine = await vendor.activate(await vendor.licenseUnder({}), unique('fingerprint'));
    return { path: `/machines/${machine.id}/processes`, body: { pid: '42' } };
  },
  'POST /api/v1/signing-keys/rotate': () => Promise.resolve({ path: '/signing-keys/rotate', body: { revokePrevious: true } }),
  'POST /api/v1/webhooks': () => Promise.resolve({ path: '/webhooks', body: webhook }),
  'POST /api/v1/webhooks/{id}/rotate-secret': async (vendor) => ({
    path: `/webhooks/${await restingEndpoint(vendor)}/rotate-secret`,
    body: { overlapSeconds: 60 },
  }),
  'POST /api/v1/webhooks/{id}/test': async (vendor) => ({ path: `/webhooks/${await restingEndpoint(vendor)}/test` }),
  'POST /api/v1/webhooks/{id}/replay': async (vendor) => {
    const id = await restingEndpoint(vendor);
    await vendor.product();
    await eventsArePassedOn(database, vendor.account.id);
    return {
      path: `/webhooks/${id}/replay`,
      body: { from: '2026-01-01T00:00:00Z', to: '2999-01-01T00:00:00Z', types: ['product.created'] },
    };
  },
  'POST /api/v1/webhooks/deliveries/{id}/retry': async (vendor) => {
    const id = await restingEndpoint(vendor);
    expectStatus(await vendor.api.post(`/webhooks/${id}/test`), 202);
    await eventsArePassedOn(database, vendor.account.id);
    const [delivery] = expectStatus(await vendor.api.get(`/webhooks/${id}/deliveries`), 200).body.data;
    await database.query("UPDATE webhook_delivery SET status = 'failed' WHERE id = $1", [delivery.id]);
    return { path: `/webhooks/deliveries/${delivery.id}/retry` };
  },
  'POST /api/v1/test-clocks': ({ testApi }) =>
    Promise.resolve({ path: '/test-clocks', body: { frozenAt: '2026-01-01T00:00:00Z' }, client: testApi }),
  'POST /api/v1/test-clocks/{id}/advance': async (vendor) => ({
    path: `/test-clocks/${await testClock(vendor)}/advance`,
    body: { to: '2027-01-01T00:00:00Z' },
    client: vendor.testApi,
  }),
};

/** It is told of little, and nothing is ever sent to it. */
const webhook = { url: 'https://1.1.1.1/webhooks', events: ['product.deleted'] };

async function restingEndpoint({ api }: Vendor): Promise<string> {
  const { id } = expectStatus(await api.post('/webhooks', webhook), 201).body.data;
  await database.query("UPDATE webhook_endpoint SET resting_until = '2999-01-01' WHERE id = $1", [id]);
  return id;
}

async function testClock({ testApi }: Vendor): Promise<string> {
  return expectStatus(await testApi.post('/test-clocks', { frozenAt: '2026-01-01T00:00:00Z' }), 201).body.data.id;
}
/** What is answered the same twice although it changes nothing. */
const idle = ['POST /api/v1/policies/{id}/preview'];

async function move(vendor: Vendor, step: string, ...before: string[]): Promise<Made> {
  const { id } = await vendor.licenseUnder({ durationDays: 30, requireCheckIn: true, checkInIntervalDays: 7 });
  for (const earlier of before) expectStatus(await vendor.api.post(`/licenses/${id}/${earlier}`), 200);
  return { path: `/licenses/${id}/${step}` };
}

const unique = (what: string): string => `${what}-${randomUUID()}`;
const secondSlug = (slug: string): string => `${slug}-2`;
/** What a client sees of an answer, apart from what belongs to this one request. */
const answerOf = ({ status, headers, text }: Reply): object => ({
  status,
  text,
  type: headers['content-type'],
  location: headers.location,
});
/** Of the run, behind the scenes. */
let database: pg.Client;
const isReplay = ({ headers }: Reply): boolean => headers['idempotent-replayed'] === 'true';

describe('idempotency keys', () => {
  let server: Running;
  let vendor: Vendor;
  beforeAll(async () => {
    server = await startServer({ OPEN_SIGNUP: 'true', TRUSTED_PROXIES: '127.0.0.1' });
    database = new pg.Client({ connectionString: testDatabaseUrl() });
    await database.connect();
  });
  beforeEach(async () => {
    vendor = await Vendor.signUp(server.url);
  });
  afterAll(async () => {
    await database.end();
    await server.stop();
  });

  const post = (client: Client, path: string, body: unknown, key: string, headers: Record<string, string> = {}): Promise<Reply> =>
    client.call('POST', path, { body, headers: { 'idempotency-key': key, ...headers } });

  /** Asserts that the second answer is the first one again, and gives the first. */
  async function expectReplay(client: Client, path: string, body: unknown, key = unique('key')): Promise<Reply> {
    const first = await post(client, path, body, key);
    const second = await post(client, path, body, key);
    expect({ ...answerOf(second), isReplay: isReplay(second) }).toEqual({ ...answerOf(first), isReplay: true });
    expect(isReplay(first)).toBe(false);
    return first;
  }

  const countOf = async (api: Client, path: string): Promise<number> => (await api.get(`${path}?limit=100`)).body.data.length;

  /** Every row of the vendor's accounts as it is stored; without what is written behind the answers. */
  async function everything(): Promise<Record<string, unknown[]>> {
    await eventsArePassedOn(database, vendor.account.slug, secondSlug(vendor.account.slug));
    const { rows: columns } = await database.query<{ table: string; column: string }>(
      `SELECT table_name AS table, min(column_name) AS column FROM information_schema.columns
        WHERE table_schema = 'public' AND column_name IN ('environment_id', 'account_id') GROUP BY 1`,
    );
    const found: Record<string, unknown[]> = {};
    for (const { table, column } of [...columns, { table: 'account', column: 'id' }]) {
      if (KEPT_BEHIND.includes(table)) continue;
      const { rows } = await database.query(
        `WITH mine AS (SELECT id FROM account WHERE slug IN ($1, $2))
         SELECT to_jsonb(${table}) - ARRAY['last_used_at', 'last_used_ip', 'last_validated_at'] AS row FROM ${table}
          WHERE ${column} IN (SELECT id FROM mine UNION SELECT id FROM environment WHERE account_id IN (SELECT id FROM mine))
          ORDER BY to_jsonb(${table})::text`,
        [vendor.account.slug, secondSlug(vendor.account.slug)],
      );
      found[table] = rows;
    }
    return found;
  }

  describe('on every POST of the reference', () => {
    it('are taken, or declared to be ignored', async () => {
      const { body: document } = await send(server.url, 'GET', '/openapi.json');
      const posts = Object.entries<{ post?: { parameters: { name: string }[] } }>(document.paths).filter(([, { post: found }]) => found);
      const taking = posts.filter(([, { post: found }]) => found?.parameters.some(({ name }) => name === 'Idempotency-Key'));
      const names = (of: typeof posts): string[] => of.map(([path]) => `POST ${path}`).sort();
      expect(names(posts)).toEqual([...FRESH, ...Object.keys(requests)].sort());
      expect(names(taking)).toEqual(Object.keys(requests).sort());
    });

    it.each(Object.keys(requests))('are answered the same twice, and done once: %s', async (name) => {
      const { path, body, file, client = vendor.api } = await requests[name]!(vendor);
      const key = unique('key');
      const sending = file === undefined ? { body } : { raw: file };
      const headers = { 'idempotency-key': key, ...(file === undefined ? {} : { 'content-type': 'application/x-ndjson' }) };
      const ask = (): Promise<Reply> => client.call('POST', path, { ...sending, headers });
      const before = await everything();
      const first = await ask();
      expect([first.text, first.status >= 200 && first.status < 300, isReplay(first)]).toEqual([first.text, true, false]);
      const after = await everything();
      if (!idle.includes(name)) expect(after).not.toEqual(before);
      const second = await ask();
      expect({ ...answerOf(second), isReplay: isReplay(second) }).toEqual({ ...answerOf(first), isReplay: true });
      expect(await everything()).toEqual(after);
    });
  });

  describe('replay', () => {
    it('a 200 beside a 201: an activation that was there already', async () => {
      const license = await vendor.licenseUnder({ maxMachines: 2 });
      await vendor.activate(license, 'fingerprint-1');
      expect((await expectReplay(vendor.app(license), '/machines', { fingerprint: 'fingerprint-1' })).status).toBe(200);
    });

    it('errors too, also when their cause is gone', async () => {
      const license = await vendor.licenseUnder({ maxMachines: 1 });
      const machine = await vendor.activate(license, 'fingerprint-1');
      const key = unique('key');
      const refused = await expectReplay(vendor.app(license), '/machines', { fingerprint: 'fingerprint-2' }, key);
      expect([refused.status, refused.body.code]).toEqual([422, 'MACHINE_LIMIT_EXCEEDED']);
      await vendor.app(license).delete(`/machines/${machine.id}`);
      expect(answerOf(await post(vendor.app(license), '/machines', { fingerprint: 'fingerprint-2' }, key))).toEqual(answerOf(refused));
      expect((await post(vendor.app(license), '/machines', { fingerprint: 'fingerprint-2' }, unique('key'))).status).toBe(201);
    });

    it.each<[string, number, string, object]>([
      ['what is not valid', 400, '/products', { name: 'Editor' }],
      ['a reference to nothing', 404, '/policies', { productId: randomUUID(), name: 'Pro' }],
      ['a value that is taken', 409, '/products', { name: 'Editor', code: 'taken' }],
    ])('%s', async (_, status, path, body) => {
      await vendor.product({ code: 'taken' });
      expect((await expectReplay(vendor.api, path, body)).status).toBe(status);
      // The transaction went on after the refused statement.
      expect((await post(vendor.api, '/products', { name: 'Editor', code: unique('p') }, unique('key'))).status).toBe(201);
    });

    it('errors in the form that the first caller asked for', async () => {
      const client = new Client(server.url, { ...vendor.api.headers, accept: 'application/problem+json' });
      const first = await expectReplay(client, '/products', { name: 'Editor' });
      expect(first.headers['content-type']).toMatch(/^application\/problem\+json/);
    });

    it('the location of what was made, and none for an error', async () => {
      const platform = new Client(server.url, { authorization: `Bearer ${TEST_PLATFORM_TOKEN}` });
      const made = await expectReplay(vendor.api, '/products', { name: 'Editor', code: 'editor' });
      expect(made.headers.location).toBe(`/api/v1/products/${made.body.data.id}`);
      const body = { name: 'Again', slug: vendor.account.slug, ownerEmail: 'owner@example.com' };
      const refused = await expectReplay(platform, '/accounts', body);
      expect([refused.status, refused.headers.location]).toEqual([409, undefined]);
    });

    it("under each request's own id, with the body of the first", async () => {
      const key = unique('key');
      const first = await post(vendor.api, '/products', {}, key, { 'x-request-id': 'first' });
      const second = await post(vendor.api, '/products', {}, key, { 'x-request-id': 'second' });
      expect([first.headers['x-request-id'], second.headers['x-request-id']]).toEqual(['first', 'second']);
      expect([first.body.requestId, second.body.requestId]).toEqual(['first', 'first']);
    });

    it('what an unkeyed request would have been answered, header by header', async () => {
      const headersOf = ({ headers }: Reply): string[] => Object.keys(headers).sort();
      const plain = await vendor.api.post('/products', { name: 'Editor', code: 'plain' });
      const keyed = await post(vendor.api, '/products', { name: 'Editor', code: 'keyed' }, unique('key'));
      expect(headersOf(keyed)).toEqual(headersOf(plain));
      expect(keyed.headers['content-type']).toBe(plain.headers['content-type']);
      expect(Object.keys(keyed.body.data)).toEqual(Object.keys(plain.body.data));
    });

    it('the secret of a new API key, which is nowhere in plain', async () => {
      const made = await expectReplay(vendor.api, '/api-keys', { name: 'one' });
      const { id, key } = made.body.data;
      expect((await new Client(server.url, { authorization: `Bearer ${key}` }).get('/api-keys/current')).body.data.id).toBe(id);
      const { rows } = await database.query('SELECT * FROM idempotency_key WHERE location = $1', [made.headers.location]);
      expect(rows).toHaveLength(1);
      const stored = Object.values(rows[0] as object)
        .map((value: unknown) => (Buffer.isBuffer(value) ? value.toString('latin1') : String(value)))
        .join(' ');
      expect(stored).not.toContain(key);
      expect(stored).not.toContain('"data"');
    });
  });

  describe('stand for one request', () => {
    it('another body is 422, and does nothing', async () => {
      const key = unique('key');
      expectStatus(await post(vendor.api, '/products', { name: 'Editor', code: 'one' }, key), 201);
      const other = await post(vendor.api, '/products', { name: 'Editor', code: 'two' }, key);
      expect([other.status, other.body.code, isReplay(other)]).toEqual([422, 'IDEMPOTENCY_KEY_REUSED', false]);
      expect(await countOf(vendor.api, '/products')).toBe(1);
      expect((await post(vendor.api, '/products?a=1', { name: 'Editor', code: 'one' }, key)).body.code).toBe('IDEMPOTENCY_KEY_REUSED');
    });

    it('the same content in another order is the same body', async () => {
      const key = unique('key');
      const first = await post(vendor.api, '/products', { name: 'Editor', code: 'one', metadata: { a: 1, b: 2 } }, key);
      const raw = '{ "metadata": {"b": 2, "a": 1}, "code": "one",\n "name": "Editor" }';
      const second = await vendor.api.call('POST', '/products', { raw, headers: { 'idempotency-key': key } });
      expect({ ...answerOf(second), isReplay: isReplay(second) }).toEqual({ ...answerOf(first), isReplay: true });
    });

    it('of one credential: no other key, environment, tenant or license gets its answer', async () => {
      const license = await vendor.licenseUnder({ maxMachines: 5 });
      const [key, stranger] = [unique('key'), await Vendor.signUp(server.url)];
      const body = { name: 'mine' };
      const callers = [vendor.api, await vendor.keyWith('api-keys:write'), vendor.testApi, stranger.api];
      const first = expectStatus(await post(callers[0]!, '/api-keys', { ...body, scopes: ['api-keys:write'] }, key), 201);
      for (const caller of callers.slice(1)) {
        const reply = expectStatus(await post(caller, '/api-keys', { ...body, scopes: ['api-keys:write'] }, key), 201);
        expect([isReplay(reply), reply.body.data.id === first.body.data.id]).toEqual([false, false]);
      }
      const activation = { licenseId: license.id, fingerprint: 'fingerprint-1' };
      const byKey = expectStatus(await post(vendor.api, '/machines', activation, key), 201);
      const byLicense = expectStatus(await post(vendor.app(license), '/machines', activation, key), 200);
      expect([isReplay(byLicense), byLicense.body.data.id]).toEqual([false, byKey.body.data.id]);
    });

    it('of one credential: a token with less than its key is another, and so is another key of the same user', async () => {
      const body = { name: 'full access' };
      const key = unique('key');
      const tokenWith = async (scopes?: string[]): Promise<Client> => {
        const exchange = { oid: vendor.account.id, secret: vendor.liveKey, scopes };
        return withKey(server.url, expectStatus(await anyone(server.url).post('/auth/token', exchange), 200).body.jwt);
      };
      const narrow = await tokenWith(['api-keys:write']);
      expectStatus(await post(vendor.api, '/api-keys', body, key), 201);
      const refused = await post(narrow, '/api-keys', body, key);
      expect([refused.status, isReplay(refused)]).toEqual([403, false]);
      // A refusal that is kept is the token's alone, and evidence each time.
      expect(isReplay(await post(narrow, '/api-keys', body, key))).toBe(true);
      expect(isReplay(await post(await tokenWith(['api-keys:write']), '/api-keys', body, key))).toBe(true);
      const { data } = (await vendor.api.get('/audit-logs/auth-failures?groupBy=code')).body;
      expect(data).toEqual([expect.objectContaining({ code: 'INSUFFICIENT_SCOPE', count: 3 })]);
      expect((await post(vendor.api, '/api-keys', body, key)).status).toBe(201);

      const user = expectStatus(await vendor.api.post('/users', { name: 'Ada', email: 'ada@example.com', role: 'support' }), 201).body.data;
      const keys = `/users/${user.id}/keys`;
      const ofUser = async (fields: object): Promise<Client> =>
        withKey(server.url, expectStatus(await vendor.api.post(keys, { name: 'x', ...fields }), 201).body.data.key);
      const [endless, ending] = [await ofUser({}), await ofUser({ expiresAt: '2099-01-01T00:00:00Z' })];
      expectStatus(await post(endless, keys, { name: 'mine' }, key), 201);
      const own = expectStatus(await post(ending, keys, { name: 'mine' }, key), 201);
      expect([isReplay(own), own.body.data.expiresAt]).toEqual([false, '2099-01-01T00:00:00.000Z']);
    });

    it('of one address, where anyone may call', async () => {
      const [key, slug] = [unique('key'), unique('open').slice(0, 30)];
      const signUp = (from: string): Promise<Reply> =>
        post(anyone(server.url), '/accounts', { name: 'Open', slug, ownerEmail: 'owner@example.com' }, key, { 'x-forwarded-for': from });
      const first = expectStatus(await signUp('203.0.113.1'), 201);
      expect(answerOf(await signUp('203.0.113.1'))).toEqual(answerOf(first));
      const stranger = await signUp('203.0.113.2');
      expect([stranger.status, stranger.body.code, isReplay(stranger)]).toEqual([409, 'CONFLICT', false]);
    });

    it('of one path', async () => {
      const key = unique('key');
      const [one, other] = [await vendor.licenseUnder({}), await vendor.licenseUnder({})];
      for (const { id } of [one, other]) {
        const reply = expectStatus(await post(vendor.api, `/licenses/${id}/suspend`, undefined, key), 200);
        expect([reply.body.data.id, isReplay(reply)]).toEqual([id, false]);
      }
      expect(expectStatus(await post(vendor.api, `/licenses/${one.id}/reinstate`, undefined, key), 200).body.data.id).toBe(one.id);
    });

    it('only as long as its credential is good', async () => {
      const [key, caller] = [unique('key'), await vendor.keyWith('products:write', 'api-keys:read')];
      expectStatus(await post(caller, '/products', { name: 'Editor', code: 'one' }, key), 201);
      const { id } = (await caller.get('/api-keys/current')).body.data;
      expectStatus(await vendor.api.delete(`/api-keys/${id}`), 204);
      const reply = await post(caller, '/products', { name: 'Editor', code: 'one' }, key);
      expect([reply.status, reply.body.code]).toEqual([401, 'API_KEY_REVOKED']);
    });

    it('for a day: then the work is done again', async () => {
      const key = unique('key');
      const first = await expectReplay(vendor.api, '/api-keys', { name: 'one' }, key);
      const { rows } = await database.query<{ hours: number }>(
        `SELECT extract(epoch FROM expires_at - now())::float / 3600 AS hours FROM idempotency_key WHERE location = $1`,
        [first.headers.location],
      );
      expect(rows[0]!.hours).toBeCloseTo(24, 1);
      await database.query('UPDATE idempotency_key SET expires_at = now() WHERE location = $1', [first.headers.location]);
      const later = await expectReplay(vendor.api, '/api-keys', { name: 'another' }, key);
      expect(later.status).toBe(201);
      expect(later.body.data.id).not.toBe(first.body.data.id);
    });
  });

  describe('are refused by name', () => {
    it.each<[string, string | string[]]>([
      ['empty', ''],
      ['256 characters', 'x'.repeat(256)],
      ['not ASCII', 'schl\u00fcssel'],
      ['two different ones', ['a', 'b']],
    ])('%s', async (_, key) => {
      const reply = await vendor.api.call('POST', '/products', {
        body: { name: 'Editor', code: 'one' },
        headers: { 'idempotency-key': key },
      });
      expect([reply.status, reply.body.code, reply.body.details.issues[0].path]).toEqual([400, 'VALIDATION_ERROR', 'Idempotency-Key']);
      expect(await countOf(vendor.api, '/products')).toBe(0);
    });

    it('not where nobody reads them: on other methods, and where answers must be fresh', async () => {
      const license = await vendor.licenseUnder({ maxUses: 10, requireFingerprint: false, requireHeartbeat: true, maxMachines: 1 });
      const machine = await vendor.activate(license, 'fingerprint-1');
      const product = await vendor.product();
      for (const key of ['one', 'x'.repeat(256)]) {
        const headers = { 'idempotency-key': key };
        const times = [];
        for (let attempt = 0; attempt < 2; attempt += 1) {
          const call = (method: string, path: string, body?: object): Promise<Reply> => vendor.api.call(method, path, { body, headers });
          const validation = await call('POST', '/licenses/validate-key', { key: license.key, increment: 1 });
          const heartbeat = await call('POST', `/machines/${machine.id}/heartbeat`);
          const change = await call('PATCH', `/products/${product.id}`, { name: `${key.slice(0, 3)} ${attempt}` });
          expect([validation, heartbeat, change].map(({ status }) => status)).toEqual([200, 200, 200]);
          expect([validation, heartbeat, change].some(isReplay)).toBe(false);
          expect(change.body.data.name).toBe(`${key.slice(0, 3)} ${attempt}`);
          times.push(validation.body.data.checkedAt, heartbeat.body.data.lastHeartbeatAt);
        }
        expect(new Set(times).size).toBe(4);
      }
      expect((await vendor.api.get(`/licenses/${license.id}`)).body.data.usesCount).toBe(4);
    });

    it('with a body too deep to be compared', async () => {
      const raw = `{"metadata":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
      const reply = await vendor.api.call('POST', '/products', { raw, headers: { 'idempotency-key': unique('key') } });
      expect([reply.status, reply.body.code, reply.body.details.issues[0].path]).toEqual([400, 'VALIDATION_ERROR', 'metadata']);
    });
  });

  describe('keep nothing of what did not happen', () => {
    /** Ends the session that waits for one of this connection's locks, once there is one. */
    async function endWaitingSession(): Promise<void> {
      for (let ended = 0; ended === 0;) {
        const { rowCount } = await database.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))`,
        );
        ended = rowCount ?? 0;
      }
    }

    it('work in which something of ours breaks', async () => {
      const [key, { id }] = [unique('key'), await vendor.licenseUnder({})];
      // Its key can be opened no more, and the answer has to show it.
      const { rows } = await database.query<{ sealed: Buffer }>('SELECT key_sealed AS sealed FROM license WHERE id = $1', [id]);
      const sealed = rows[0]!.sealed;
      await database.query('UPDATE license SET key_sealed = $2 WHERE id = $1', [id, Buffer.concat([sealed, Buffer.alloc(1)])]);
      const broken = await post(vendor.api, `/licenses/${id}/suspend`, undefined, key);
      expect([broken.status, broken.body.code]).toEqual([500, 'INTERNAL_ERROR']);
      await database.query('UPDATE license SET key_sealed = $2 WHERE id = $1', [id, sealed]);
      expect((await vendor.api.get(`/licenses/${id}`)).body.data.status).toBe('active');
      const retry = await expectReplay(vendor.api, `/licenses/${id}/suspend`, undefined, key);
      expect([retry.status, retry.body.data.status]).toEqual([200, 'suspended']);
    });

    it('work that the database breaks off', async () => {
      const license = await vendor.licenseUnder({ maxMachines: 1 });
      const [key, body] = [unique('key'), { licenseId: license.id, fingerprint: 'fingerprint-1' }];
      await database.query('BEGIN');
      await database.query('SELECT 1 FROM license WHERE id = $1 FOR UPDATE', [license.id]);
      const broken = post(vendor.api, '/machines', body, key);
      await endWaitingSession();
      await database.query('ROLLBACK');
      expect([(await broken).status, (await broken).body.code]).toEqual([503, 'UNAVAILABLE']);
      const retry = await expectReplay(vendor.api, '/machines', body, key);
      expect(retry.status).toBe(201);
      expect(await countOf(vendor.api, '/machines')).toBe(1);
    });

    it('work that is done and cannot be committed: no success is answered', async () => {
      const [key, code, lock] = [unique('key'), `c${randomUUID().slice(0, 8)}`, 918_273];
      const body = { name: 'Editor', code };
      // Makes the COMMIT itself wait for this connection, which then ends it.
      await database.query(`
        CREATE FUNCTION wait_${code}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock(${lock}); RETURN NULL; END';
        CREATE CONSTRAINT TRIGGER wait_${code} AFTER INSERT ON product DEFERRABLE INITIALLY DEFERRED
          FOR EACH ROW WHEN (NEW.code = '${code}') EXECUTE FUNCTION wait_${code}()`);
      try {
        await database.query('SELECT pg_advisory_lock($1)', [lock]);
        const broken = post(vendor.api, '/products', body, key);
        await endWaitingSession();
        expect([(await broken).status, (await broken).body.code, isReplay(await broken)]).toEqual([503, 'UNAVAILABLE', false]);
        expect((await broken).headers.location).toBeUndefined();
      } finally {
        await database.query(`SELECT pg_advisory_unlock(${lock}); DROP FUNCTION wait_${code} CASCADE`);
      }
      expect(await countOf(vendor.api, '/products')).toBe(0);
      expect((await expectReplay(vendor.api, '/products', body, key)).status).toBe(201);
    });

    it('a request that came while the first was running', async () => {
      const license = await vendor.licenseUnder({ maxMachines: 2 });
      const [key, body] = [unique('key'), { licenseId: license.id, fingerprint: 'fingerprint-1' }];
      await database.query('BEGIN');
      await database.query('SELECT 1 FROM license WHERE id = $1 FOR UPDATE', [license.id]);
      const first = post(vendor.api, '/machines', body, key);
      const isWaiting = async (): Promise<boolean> =>
        ((await database.query('SELECT 1 FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))')).rowCount ?? 0) > 0;
      while (!(await isWaiting()));
      const meanwhile = await post(vendor.api, '/machines', body, key);
      expect([meanwhile.status, meanwhile.body.code, meanwhile.headers['retry-after']]).toEqual([409, 'IDEMPOTENCY_IN_PROGRESS', '1']);
      await database.query('ROLLBACK');
      expect((await first).status).toBe(201);
      const after = await post(vendor.api, '/machines', body, key);
      expect({ ...answerOf(after), isReplay: isReplay(after) }).toEqual({ ...answerOf(await first), isReplay: true });
    });
  });

  describe('are forgotten', () => {
    const expired = (many: number): Promise<unknown> =>
      database.query(
        `INSERT INTO idempotency_key (digest, request_digest, status, content_type, body_sealed, expires_at)
         SELECT sha256(gen_random_uuid()::text::bytea), 'old', 200, '', '', now() - interval '1 minute' FROM generate_series(1, $1)`,
        [many],
      );
    /** Twice, because a server that has just started may be at it when the first one looks. */
    const sweep = async (): Promise<void> => {
      for (let attempt = 0; attempt < 2; attempt += 1) await server.app.get(IdempotencyWorker).sweep();
    };
    const leftOver = async (): Promise<number> =>
      (await database.query<{ count: number }>(`SELECT count(*)::int AS count FROM idempotency_key WHERE request_digest = 'old'`)).rows[0]!
        .count;

    it('after their day, all of them, and no other', async () => {
      const key = unique('key');
      await expectReplay(vendor.api, '/products', { name: 'Editor', code: 'one' }, key);
      // More than two sweeps of one batch each would delete.
      await expired(2500);
      await sweep();
      expect(await leftOver()).toBe(0);
      expect(isReplay(await post(vendor.api, '/products', { name: 'Editor', code: 'one' }, key))).toBe(true);
    });

    it('by one server at a time', async () => {
      await expired(1);
      await database.query('SELECT pg_advisory_lock(7215530094)');
      try {
        await sweep();
        expect(await leftOver()).toBe(1);
      } finally {
        await database.query('SELECT pg_advisory_unlock(7215530094)');
      }
      await sweep();
      expect(await leftOver()).toBe(0);
    });
  });
});
