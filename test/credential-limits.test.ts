import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Running } from '../src/boot.js';
import { generateApiKey } from '../src/domain/api-key.js';
import { anyone, type Client, type Reply, withKey } from './support/client.js';
import { startServer } from './support/server.js';
import { expectStatus, Vendor } from './support/vendor.js';

/** How often may a key ask, and how often may an address fail (contract: http.md, "Rate limits"). */
const MANAGEMENT = 40;
const FAILURES = 4;

describe('the limits of credentials', () => {
  let server: Running;
  let vendor: Vendor;
  let addresses = 0;
  const address = (): Record<string, string> => ({ 'x-forwarded-for': `203.0.113.${String((addresses += 1))}` });
  beforeAll(async () => {
    server = await startServer({
      TRUSTED_PROXIES: '127.0.0.1',
      LIMIT_MANAGEMENT_PER_MINUTE: String(MANAGEMENT),
      LIMIT_AUTH_FAILURES_PER_MINUTE: String(FAILURES),
    });
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    vendor = await Vendor.signUp(server.url);
  });

  const key = async (fields: object): Promise<Client> =>
    withKey(server.url, expectStatus(await vendor.testApi.post('/api-keys', { name: 'x', ...fields }), 201).body.data.key);
  const remainingOf = ({ headers }: Reply): number => Number(headers['x-ratelimit-remaining']);
  const limitOf = async (client: Client): Promise<number> => Number((await client.get('/api-keys/current')).headers['x-ratelimit-limit']);

  describe('of a key', () => {
    it('is ten times as high with the flair bulk, and what it says itself otherwise', async () => {
      expect(await limitOf(vendor.api)).toBe(MANAGEMENT);
      expect(await limitOf(await key({ name: 'sync[bulk]' }))).toBe(10 * MANAGEMENT);
      expect(await limitOf(await key({ rateLimitPerMinute: 7 }))).toBe(7);
      expect(await limitOf(await key({ name: 'sync[bulk]', rateLimitPerMinute: 7 }))).toBe(7);
    });

    it('counts what comes with its tokens too, whatever the answer, and nothing of other keys', async () => {
      const { body } = expectStatus(
        await vendor.testApi.post('/api-keys', { name: 'x', rateLimitPerMinute: 5, scopes: ['products:read'] }),
        201,
      );
      const client = withKey(server.url, body.data.key);
      const { jwt } = expectStatus(
        await anyone(server.url).post('/auth/token', { oid: vendor.account.id, secret: body.data.key }),
        200,
      ).body;
      const replies = [
        await client.get('/products'),
        await client.get('/licenses'),
        await client.get(`/products/${vendor.account.id}`),
        await withKey(server.url, jwt).get('/products'),
        await client.get('/products?no-such=1'),
      ];
      expect(replies.map(({ status }) => status)).toEqual([200, 403, 404, 200, 400]);
      expect(replies.map(remainingOf)).toEqual([4, 3, 2, 1, 0]);
      for (const over of [await client.get('/products'), await withKey(server.url, jwt).get('/products')]) {
        expect([over.status, over.body.code, over.body.details.policy]).toEqual([429, 'RATE_LIMITED', 'management']);
        expect(Number(over.headers['retry-after'])).toBeGreaterThanOrEqual(1);
      }
      expect((await vendor.api.get('/products')).status).toBe(200);
    });

    it('lets exactly as many in as it says, of 32 connections at once', async () => {
      const client = await key({ rateLimitPerMinute: 100 });
      let sent = 0;
      const statuses: number[] = [];
      const connection = async (): Promise<void> => {
        while ((sent += 1) <= 160) statuses.push((await client.get('/api-keys/current')).status);
      };
      await Promise.all(Array.from({ length: 32 }, connection));
      expect(statuses.filter((status) => status === 200)).toHaveLength(100);
      expect(statuses.filter((status) => status === 429)).toHaveLength(60);
    });

    it('does not hold for license keys', async () => {
      const license = await vendor.licenseUnder({});
      expect((await vendor.app(license).get('/licenses/me')).headers['x-ratelimit-limit']).toBeUndefined();
    });
  });

  describe('of failures', () => {
    it('turns an address that goes on failing away, and never a right credential from there', async () => {
      const headers = address();
      const failing = withKey(server.url, generateApiKey('live')).with(headers);
      const fail: (() => Promise<Reply>)[] = [
        () => failing.get('/products'),
        () => anyone(server.url).with(headers).get('/products'),
        () => withKey(server.url, 'nonsense').with(headers).get('/products'),
        () => anyone(server.url).with(headers).post('/auth/token', { oid: vendor.account.id, secret: 'nonsense' }),
      ];
      expect(fail).toHaveLength(FAILURES);
      for (const [index, attempt] of fail.entries()) {
        const reply = await attempt();
        expect([index, reply.status, remainingOf(reply)]).toEqual([index, 401, FAILURES - 1 - index]);
      }
      for (const attempt of fail) {
        const reply = await attempt();
        expect([reply.status, reply.body.code, reply.body.details.policy]).toEqual([429, 'RATE_LIMITED', 'auth-failures']);
        expect(Number(reply.headers['retry-after'])).toBeGreaterThanOrEqual(1);
      }
      const license = await vendor.licenseUnder({});
      expect((await vendor.api.with(headers).get('/products')).status).toBe(200);
      expect((await vendor.app(license).with(headers).get('/licenses/me')).status).toBe(200);
      const { status } = await anyone(server.url).with(headers).post('/auth/token', { oid: vendor.account.id, secret: vendor.liveKey });
      expect(status).toBe(200);
      // A refusal of what a right credential may not do is no failure of it.
      const reader = await key({ scopes: ['products:read'] });
      expect((await reader.with(headers).get('/licenses')).status).toBe(403);
    });

    it('leaves other addresses alone', async () => {
      const [bad, good] = [address(), address()];
      for (let attempt = 0; attempt <= FAILURES; attempt += 1) await withKey(server.url, 'nonsense').with(bad).get('/products');
      expect((await withKey(server.url, 'nonsense').with(bad).get('/products')).status).toBe(429);
      expect((await withKey(server.url, 'nonsense').with(good).get('/products')).status).toBe(401);
    });
  });
});
