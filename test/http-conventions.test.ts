import { STATUS_CODES } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { v7 as uuidv7 } from 'uuid';
import type { Running } from '../src/boot.js';
import { Readiness } from '../src/core/readiness.js';
import { errorCodes } from '../src/domain/errors.js';
import { anyone, Client, type Reply, send, withKey } from './support/client.js';
import { startServer } from './support/server.js';
import { TEST_PLATFORM_TOKEN } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

/** What every route keeps (contract: http.md). */

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const ORIGIN = 'https://app.example.com';

describe('HTTP conventions', () => {
  let server: Running;
  let vendor: Vendor;
  beforeAll(async () => {
    server = await startServer();
    vendor = await Vendor.signUp(server.url);
  });
  afterAll(() => server.stop());

  /** One of every resource that can be created, with what the creation answered. */
  async function createEach(): Promise<Record<string, Reply>> {
    const create = async (path: string, body: object): Promise<Reply> => expectStatus(await vendor.api.post(path, body), 201);
    const product = await create('/products', { name: 'Editor', code: `p-${uuidv7()}` });
    const policy = await create('/policies', { productId: product.body.data.id, name: 'Pro', durationDays: 30 });
    const entitlement = await create('/entitlements', { code: `e-${uuidv7()}`, name: 'Export' });
    const license = await create('/licenses', { productId: product.body.data.id, policyId: policy.body.data.id });
    const machine = await create('/machines', { licenseId: license.body.data.id, fingerprint: 'fingerprint-1' });
    const apiKey = await create('/api-keys', { name: 'x' });
    return { products: product, policies: policy, entitlements: entitlement, licenses: license, machines: machine, 'api-keys': apiKey };
  }

  describe('envelopes', () => {
    it('wrap one thing in data, say where a new one is, and answer it there', async () => {
      for (const [collection, created] of Object.entries(await createEach())) {
        expect(Object.keys(created.body)).toEqual(['data']);
        const { id } = created.body.data;
        expect(id).toMatch(UUID_V7);
        expect(created.headers.location).toBe(`/api/v1/${collection}/${id}`);
        expect(created.headers['content-type']).toBe('application/json; charset=utf-8');
        const found = await send(server.url, 'GET', String(created.headers.location), { headers: vendor.api.headers });
        expect(Object.keys(found.body)).toEqual(['data']);
        // What the creation of the next thing has moved, and the secret that is shown once.
        const moved = { licensesCount: 0, machineCount: 0, firstActivatedAt: null, key: undefined };
        expect({ ...found.body.data, ...moved }).toEqual({ ...created.body.data, ...moved });
        const changed = expectStatus(await vendor.api.patch(`/${collection}/${id}`, { metadata: { seen: true } }), 200);
        expect(changed.body.data).toMatchObject({ id, metadata: { seen: true }, environment: 'live' });
        expect(changed.headers.location).toBeUndefined();
      }
    });

    it('say of a new account where it is', async () => {
      const platform = withKey(server.url, TEST_PLATFORM_TOKEN);
      const body = { name: 'x', slug: `v-${uuidv7().slice(-12)}`, ownerEmail: 'owner@example.com' };
      expect(expectStatus(await platform.post('/accounts', body), 201).headers.location).toBe('/api/v1/account');
    });

    it('tell an activation that was there already from a new one', async () => {
      const license = await vendor.licenseUnder({});
      const first = await vendor.app(license).post('/machines', { fingerprint: 'fingerprint-1' });
      const second = await vendor.app(license).post('/machines', { fingerprint: 'fingerprint-1' });
      expect([first.status, second.status]).toEqual([201, 200]);
      expect(second.body).toEqual(first.body);
      expect([first.headers.location, second.headers.location]).toEqual([`/api/v1/machines/${first.body.data.id}`, undefined]);
    });

    it('wrap lists with where the next page is', async () => {
      const lister = await Vendor.signUp(server.url);
      for (const path of ['/products', '/policies', '/entitlements', '/licenses', '/machines']) {
        expect(expectStatus(await lister.api.get(path), 200).body).toEqual({ data: [], pagination: { nextCursor: null, hasMore: false } });
      }
      await lister.product();
      await lister.product();
      const first = expectStatus(await lister.api.get('/products?limit=1'), 200).body;
      expect(first).toEqual({ data: [expect.anything()], pagination: { nextCursor: expect.any(String), hasMore: true } });
      const last = expectStatus(await lister.api.get(`/products?limit=1&cursor=${first.pagination.nextCursor}`), 200).body;
      expect(last).toEqual({ data: [expect.anything()], pagination: { nextCursor: null, hasMore: false } });
    });

    it('are absent from a 204, after which the resource is nowhere', async () => {
      const created = await createEach();
      const ids = Object.fromEntries(Object.entries(created).map(([collection, { body }]) => [collection, body.data.id as string]));
      for (const collection of ['machines', 'licenses', 'policies', 'products', 'entitlements']) {
        const path = `/${collection}/${ids[collection] ?? ''}`;
        const removed = await vendor.api.delete(path);
        expect([collection, removed.status, removed.text, removed.headers['content-type']]).toEqual([collection, 204, '', undefined]);
        for (const reply of [await vendor.api.get(path), await vendor.api.patch(path, {}), await vendor.api.delete(path)]) {
          expect([collection, reply.status, reply.body.code]).toEqual([collection, 404, 'NOT_FOUND']);
        }
        const listed = expectStatus(await vendor.api.get(`/${collection}?limit=100`), 200).body.data;
        expect(listed.map(({ id }: { id: string }) => id)).not.toContain(ids[collection]);
      }
    });

    it('hold what every resource has: id, times with milliseconds, metadata, environment', async () => {
      for (const [collection, { body }] of Object.entries(await createEach())) {
        const { id, createdAt, updatedAt, metadata, environment } = body.data;
        expect([collection, metadata, environment]).toEqual([collection, {}, 'live']);
        expect([id, createdAt, updatedAt]).toEqual([
          expect.stringMatching(UUID_V7),
          expect.stringMatching(TIME),
          expect.stringMatching(TIME),
        ]);
        for (const [name, value] of Object.entries<unknown>(body.data)) {
          if (name.endsWith('At') && value !== null) expect([name, value]).toEqual([name, expect.stringMatching(TIME)]);
        }
      }
    });

    it('keep metadata as it was sent', async () => {
      const metadata = { text: 'ü🔑', empty: '', number: -1.5, large: 9007199254740991, yes: true, none: null, 'key with spaces': 'x' };
      const product = await vendor.product({ metadata });
      expect((await vendor.api.get(`/products/${product.id}`)).body.data.metadata).toEqual(metadata);
    });

    it('answer a time in UTC, whatever zone it was sent in', async () => {
      const license = await vendor.licenseUnder({}, { expiresAt: '2030-06-01T12:00:00+02:00', startsAt: '2030-01-01T00:00:00.1234Z' });
      expect([license.expiresAt, license.startsAt]).toEqual(['2030-06-01T10:00:00.000Z', '2030-01-01T00:00:00.123Z']);
    });
  });

  describe('the request id', () => {
    const ask = (headers: Record<string, string>, path = '/api/v1/no-such-route'): Promise<Reply> =>
      send(server.url, 'GET', path, { headers });

    it.each(['a', 'A-Za_z.09', 'x'.repeat(128), uuidv7()])('of the caller is kept: %s', async (id) => {
      const reply = await ask({ 'x-request-id': id });
      expect([reply.headers['x-request-id'], reply.body.requestId]).toEqual([id, id]);
    });

    it.each(['', ' ', 'two words', 'x'.repeat(129), 'ümlaut', 'a/b', 'a"b', '{}'])('of the caller is replaced: %j', async (id) => {
      const reply = await ask({ 'x-request-id': id });
      expect(reply.headers['x-request-id']).toMatch(UUID_V7);
      expect(reply.body.requestId).toBe(reply.headers['x-request-id']);
    });

    it('is made anew for each request, and is on every kind of answer', async () => {
      const replies = [
        await ask({}),
        await ask({}, '/'),
        await ask({}, '/docs'),
        await ask({}, '/openapi.json'),
        await ask({}, '/health/live'),
        await ask({}, '/api/v1/account'),
        await vendor.api.get('/account'),
        await vendor.api.call('POST', '/products', { raw: '{' }),
        await vendor.api.call('POST', '/products', { raw: 'x'.repeat(300 * 1024) }),
        await anyone(server.url).call('OPTIONS', '/machines'),
      ];
      const ids = replies.map(({ headers }) => headers['x-request-id']);
      for (const id of ids) expect(id).toMatch(UUID_V7);
      expect(new Set(ids).size).toBe(ids.length);
    });
  });

  describe('errors', () => {
    /** One of every status that a caller can bring about. */
    async function failures(headers: Record<string, string> = {}): Promise<[string, string, Reply][]> {
      const license = await vendor.licenseUnder({ maxMachines: 1 });
      await vendor.activate(license, 'fingerprint-1');
      const key = await vendor.keyWith('analytics:read');
      const fail = async (
        code: string,
        path: string,
        client: Client,
        method: string,
        sending: object,
      ): Promise<[string, string, Reply]> => [
        code,
        `/api/v1${path}`,
        await client.call(method, path, {
          ...sending,
          headers: { ...headers, ...('headers' in sending ? (sending.headers as object) : {}) },
        }),
      ];
      return [
        await fail('VALIDATION_ERROR', '/products', vendor.api, 'POST', { body: {} }),
        await fail('MALFORMED_JSON', '/products', vendor.api, 'POST', { raw: '{' }),
        await fail('INVALID_CURSOR', '/products?cursor=x', vendor.api, 'GET', {}),
        await fail('AUTH_FAILED', '/products', anyone(server.url), 'GET', {}),
        await fail('INSUFFICIENT_SCOPE', '/products', key, 'GET', {}),
        await fail('NOT_FOUND', `/products/${uuidv7()}`, vendor.api, 'GET', {}),
        await fail('NOT_FOUND', '/nowhere', vendor.api, 'GET', {}),
        await fail('CONFLICT', `/licenses/${license.id}/reinstate`, vendor.api, 'POST', {}),
        await fail('PAYLOAD_TOO_LARGE', '/products', vendor.api, 'POST', { raw: ' '.repeat(300 * 1024) }),
        await fail('UNSUPPORTED_MEDIA_TYPE', '/products', vendor.api, 'POST', { raw: 'x', headers: { 'content-type': 'text/plain' } }),
        await fail('MACHINE_LIMIT_EXCEEDED', '/machines', vendor.api, 'POST', {
          body: { licenseId: license.id, fingerprint: 'fingerprint-2' },
        }),
        await fail('PRODUCT_HAS_LICENSES', `/products/${license.productId}`, vendor.api, 'DELETE', {}),
      ];
    }

    it('have one shape', async () => {
      for (const [code, , reply] of await failures()) {
        const { status } = errorCodes[code as keyof typeof errorCodes];
        const { details, ...shape } = reply.body;
        expect([code, reply.status, shape]).toEqual([
          code,
          status,
          { error: STATUS_CODES[status], code, message: expect.stringMatching(/\S/), requestId: reply.headers['x-request-id'] },
        ]);
        expect(['object', 'undefined']).toContain(typeof details);
        expect(reply.headers['content-type']).toBe('application/json; charset=utf-8');
        expect(reply.headers.location).toBeUndefined();
      }
    });

    it('come as RFC 9457 to those who ask', async () => {
      const reference = (await send(server.url, 'GET', '/docs/errors')).text;
      for (const [code, path, reply] of await failures({ accept: 'application/problem+json' })) {
        const { status, title } = errorCodes[code as keyof typeof errorCodes];
        const { details, ...shape } = reply.body;
        expect(reply.headers['content-type']).toMatch(/^application\/problem\+json/);
        expect([reply.status, shape]).toEqual([
          status,
          {
            type: `/docs/errors#${code}`,
            title,
            status,
            detail: expect.stringMatching(/\S/),
            instance: path.split('?')[0],
            code,
            requestId: reply.headers['x-request-id'],
          },
        ]);
        expect(['object', 'undefined']).toContain(typeof details);
        expect(reference).toContain(`id="${code}"`);
      }
    });

    it.each([
      ['*/*', false],
      ['application/json', false],
      ['application/*', false],
      ['text/html', false],
      ['application/json, application/problem+json', false],
      ['application/problem+json;q=0.5, application/json', false],
      ['application/problem+json;q=0', false],
      ['garbage', false],
      ['application/problem+json, application/json;q=0.5', true],
      ['application/problem+json, */*;q=0.1', true],
    ])('with Accept: %s are a problem document: %s', async (accept, isProblem) => {
      const reply = await send(server.url, 'GET', '/api/v1/nowhere', { headers: { accept } });
      expect(reply.headers['content-type']).toMatch(isProblem ? /problem\+json/ : /^application\/json/);
      expect([reply.status, reply.body.code]).toEqual([404, 'NOT_FOUND']);
    });

    it('say NOT_FOUND for routes that are not there', async () => {
      for (const [method, path] of [
        ['GET', '/nowhere'],
        ['GET', '/api'],
        ['GET', '/api/v1'],
        ['GET', '/api/v2/products'],
        ['PUT', '/api/v1/products'],
        ['DELETE', '/api/v1/products'],
        ['POST', `/api/v1/products/${uuidv7()}`],
        ['POST', `/api/v1/licenses/${uuidv7()}/explode`],
        ['GET', '/api/v1/licenses/validate-key/'],
        ['GET', '/metrics/../etc/passwd'],
        ['TRACE', '/api/v1/products'],
      ] as const) {
        const reply = await send(server.url, method, path, { headers: vendor.api.headers });
        expect([method, path, reply.status, reply.body?.code]).toEqual([method, path, 404, 'NOT_FOUND']);
      }
    });

    it('that are 401 say how to authenticate, and others do not', async () => {
      for (const [, , reply] of await failures()) {
        const challenge = reply.headers['www-authenticate'];
        if (reply.status === 401) expect(challenge).toBe('Bearer realm="latchkey", ApiKey realm="latchkey", License realm="latchkey"');
        else expect(challenge).toBeUndefined();
      }
    });
  });

  it('no answer may be cached, sniffed, or tell what serves it', async () => {
    for (const path of ['/', '/docs', '/openapi.json', '/health/live', '/api/v1/account', '/nowhere']) {
      const { headers } = await send(server.url, 'GET', path, { headers: vendor.api.headers });
      expect([path, headers['cache-control'], headers['x-content-type-options']]).toEqual([path, 'no-store', 'nosniff']);
      expect([path, headers['x-powered-by'], headers.etag, headers.server]).toEqual([path, undefined, undefined, undefined]);
    }
  });

  describe('CORS', () => {
    type Access = [method: string, path: string];
    let open: Access[];
    let closed: Access[];
    beforeAll(async () => {
      const { paths } = expectStatus(await send(server.url, 'GET', '/openapi.json'), 200).body;
      const all = Object.entries<Record<string, { security?: Record<string, string[]>[] }>>(paths).flatMap(([path, methods]) =>
        Object.entries(methods).map(([method, { security = [] }]) => ({
          access: [method.toUpperCase(), path.replace(/\{\w+\}/g, uuidv7())] as Access,
          isOpen: path.endsWith('/validate-key') || path.endsWith('/jwks.json') || security.some((scheme) => 'license' in scheme),
        })),
      );
      open = all.filter(({ isOpen }) => isOpen).map(({ access }) => access);
      closed = all.filter(({ isOpen }) => !isOpen).map(({ access }) => access);
      expect([open.length >= 6, closed.length >= 40]).toEqual([true, true]);
    });

    const preflight = (url: string, [method, path]: Access, origin = ORIGIN): Promise<Reply> =>
      send(url, 'OPTIONS', path, {
        headers: { origin, 'access-control-request-method': method, 'access-control-request-headers': 'authorization,content-type' },
      });
    const visit = (url: string, [method, path]: Access, origin = ORIGIN): Promise<Reply> =>
      send(url, method, path, { headers: { origin } });

    it('is open, without credentials, for validate-key, the key set and where a license key is taken', async () => {
      for (const access of open) {
        const asked = await preflight(server.url, access);
        expect([access, asked.status, asked.headers['access-control-allow-origin']]).toEqual([access, 204, '*']);
        expect(asked.headers['access-control-allow-methods']).toContain(access[0]);
        expect(asked.headers['access-control-allow-headers']).toBe('authorization,content-type');
        const answered = await visit(server.url, access);
        expect([access, answered.headers['access-control-allow-origin']]).toEqual([access, '*']);
        expect(answered.headers['access-control-expose-headers']).toContain('X-Request-Id');
        expect(answered.headers['access-control-expose-headers']).toContain('Idempotent-Replayed');
        for (const { headers } of [asked, answered]) expect(headers['access-control-allow-credentials']).toBeUndefined();
      }
    });

    it('is closed everywhere else', async () => {
      for (const access of closed) {
        for (const reply of [await preflight(server.url, access), await visit(server.url, access)]) {
          expect([access, reply.headers['access-control-allow-origin']]).toEqual([access, undefined]);
        }
      }
    });

    it('is opened by CORS_ORIGINS to these origins alone', async () => {
      const other = await startServer({ CORS_ORIGINS: `${ORIGIN}, https://dashboard.example.com` });
      try {
        const access: Access = ['GET', '/api/v1/products'];
        for (const origin of [ORIGIN, 'https://dashboard.example.com']) {
          for (const reply of [await preflight(other.url, access, origin), await visit(other.url, access, origin)]) {
            expect(reply.headers['access-control-allow-origin']).toBe(origin);
            expect(reply.headers.vary).toMatch(/Origin/);
            expect(reply.headers['access-control-allow-credentials']).toBeUndefined();
          }
        }
        for (const origin of ['https://evil.example.com', `${ORIGIN}.evil.com`, 'http://app.example.com', 'null']) {
          for (const reply of [await preflight(other.url, access, origin), await visit(other.url, access, origin)]) {
            expect([origin, reply.headers['access-control-allow-origin']]).toEqual([origin, undefined]);
          }
        }
        expect((await visit(other.url, open[0]!, 'https://evil.example.com')).headers['access-control-allow-origin']).toBe('*');
      } finally {
        await other.stop();
      }
    });
  });

  describe('paging', () => {
    interface Row {
      id: string;
    }

    /** All pages, with something happening between them. */
    async function walk(api: Client, path: string, between: () => Promise<unknown>): Promise<string[]> {
      const ids: string[] = [];
      for (let cursor: string | null = ''; cursor !== null;) {
        const separator = path.includes('?') ? '&' : '?';
        const { data, pagination } = expectStatus(
          await api.get(`${path}${separator}limit=3${cursor === '' ? '' : `&cursor=${cursor}`}`),
          200,
        ).body as { data: Row[]; pagination: { nextCursor: string | null; hasMore: boolean } };
        expect(pagination.hasMore).toBe(pagination.nextCursor !== null);
        ids.push(...data.map(({ id }) => id));
        cursor = pagination.nextCursor;
        await between();
      }
      return ids;
    }

    it('never skips or repeats a row while others are inserted', async () => {
      const lister = await Vendor.signUp(server.url);
      // At once, so that some are created in the same millisecond.
      const made = await Promise.all(Array.from({ length: 11 }, (_, index) => lister.entitlement(`e-${index}`)));
      let inserted = 0;
      const ids = await walk(lister.api, '/entitlements', async () => {
        if (inserted < 6) await lister.entitlement(`later-${(inserted += 1)}`);
      });
      expect(new Set(ids).size).toBe(ids.length);
      const order = [...made].sort((a, b) => (a.createdAt === b.createdAt ? compare(b.id, a.id) : compare(b.createdAt, a.createdAt)));
      expect(ids).toEqual(order.map(({ id }) => id));
    });

    it.each(['createdAt', '-createdAt', 'expiresAt', '-expiresAt', 'lastValidatedAt', '-lastValidatedAt'])(
      'keeps the order of sort=%s, ties and nulls included, while others come and go',
      async (sort) => {
        const lister = await Vendor.signUp(server.url);
        const policy = await lister.policy();
        const make = (expiresAt: string | null): Promise<{ id: string; createdAt: string; expiresAt: string | null }> =>
          lister.license({ productId: policy.productId, policyId: policy.id, expiresAt });
        const expiries = ['2030-01-01T00:00:00.000Z', '2031-01-01T00:00:00.000Z', null, '2030-01-01T00:00:00.000Z', null];
        const made = await Promise.all([...expiries, ...expiries].map(make));
        const doomed = await make('2030-06-01T00:00:00.000Z');
        let passes = 0;
        const ids = await walk(lister.api, `/licenses?sort=${sort}`, async () => {
          if ((passes += 1) === 1) await lister.api.delete(`/licenses/${doomed.id}`);
          if (passes < 3) await make('2029-01-01T00:00:00.000Z');
        });
        expect(new Set(ids).size).toBe(ids.length);
        const field = sort.replace('-', '');
        const sign = sort.startsWith('-') ? -1 : 1;
        const valueOf = (row: object): string | null => (row as Record<string, string | null>)[field] ?? null;
        const order = [...made].sort((a, b) => {
          const [left, right] = [valueOf(a), valueOf(b)];
          if (left === right) return sign * compare(a.id, b.id);
          if (left === null || right === null) return left === null ? 1 : -1;
          return sign * compare(left, right);
        });
        const known = new Set(made.map(({ id }) => id));
        expect(ids.filter((id) => known.has(id))).toEqual(order.map(({ id }) => id));
      },
    );

    it('answers 25 unless told otherwise, and up to 100', async () => {
      const lister = await Vendor.signUp(server.url);
      await Promise.all(Array.from({ length: 26 }, (_, index) => lister.entitlement(`e-${index}`)));
      const sizes = await Promise.all(
        ['', '?limit=1', '?limit=25', '?limit=26', '?limit=100'].map(async (query) => {
          const { data, pagination } = expectStatus(await lister.api.get(`/entitlements${query}`), 200).body;
          return [data.length, pagination.hasMore];
        }),
      );
      expect(sizes).toEqual([
        [25, true],
        [1, true],
        [25, true],
        [26, false],
        [26, false],
      ]);
    });
  });

  describe('outside of /api/v1', () => {
    it('/ says what this is and where to go on', async () => {
      const { body } = expectStatus(await send(server.url, 'GET', '/'), 200);
      expect(body).toMatchObject({ name: 'Latchkey', version: expect.stringMatching(/^\d+\.\d+\.\d+/) });
      for (const path of [body.links.docs, body.links.openapi, body.links.health]) {
        expect([path, (await send(server.url, 'GET', path)).status]).toEqual([path, 200]);
      }
    });

    it('/docs is a page, and /openapi.json what it shows', async () => {
      for (const path of ['/docs', '/docs/errors']) {
        const { headers, text } = expectStatus(await send(server.url, 'GET', path, { headers: { accept: 'text/html' } }), 200);
        expect(headers['content-type']).toMatch(/^text\/html/);
        expect(text).toMatch(/<html/i);
      }
      const { headers, body } = expectStatus(await send(server.url, 'GET', '/openapi.json'), 200);
      expect([headers['content-type'], body.openapi]).toEqual([
        expect.stringMatching(/^application\/json/),
        expect.stringMatching(/^3\.1\./),
      ]);
    });

    it('/docs/errors explains every code', async () => {
      const { text } = await send(server.url, 'GET', '/docs/errors');
      for (const code of Object.keys(errorCodes)) expect(text).toContain(`id="${code}"`);
    });

    it('the health routes say that it lives and is ready, and that it is not once it stops', async () => {
      const other = await startServer();
      try {
        expect(expectStatus(await send(other.url, 'GET', '/health/live'), 200).body).toEqual({ status: 'ok' });
        expect(expectStatus(await send(other.url, 'GET', '/health/ready'), 200).body).toEqual({
          status: 'ok',
          workerLagSeconds: expect.any(Number),
        });
        other.app.get(Readiness).stop();
        const live = await send(other.url, 'GET', '/health/live');
        expect([live.status, live.headers.connection]).toEqual([200, 'close']);
        const ready = await send(other.url, 'GET', '/health/ready');
        expect([ready.status, ready.body.code, ready.headers['retry-after']]).toEqual([503, 'UNAVAILABLE', '5']);
      } finally {
        await other.stop();
      }
    });
  });
});

/** As the database orders: by bytes. */
function compare(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
