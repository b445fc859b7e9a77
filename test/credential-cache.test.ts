import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { Running } from '../src/boot.js';
import { MAX_AGE_MS } from '../src/auth/credential-cache.js';
import { Database } from '../src/core/database.js';
import { generateApiKey } from '../src/domain/api-key.js';
import { anyone, type Client, withKey, withLicense } from './support/client.js';
import { startServer } from './support/server.js';
import { TEST_PLATFORM_TOKEN } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

const REQUESTS = 12;

/** What authentication asks of the database: at most one indexed read for a cold credential, none for a warm one. */
describe('the look-ups of authentication', () => {
  let server: Running;
  let vendor: Vendor;
  let lookups: ReturnType<typeof jest.spyOn>;
  beforeAll(async () => {
    server = await startServer();
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    vendor = await Vendor.signUp(server.url);
    lookups = jest.spyOn(server.app.get(Database), 'lookup');
  });
  afterEach(() => {
    lookups.mockRestore();
  });

  async function countOf(work: () => Promise<unknown>): Promise<number> {
    lookups.mockClear();
    await work();
    // Looked up every second, whoever calls: who listens to events, and what is still to be counted.
    const ofNobody = ['find_interests', 'find_what_waits_for_roll_ups'];
    return (lookups.mock.calls as [{ name: string }, unknown[]][]).filter(([{ name }]) => !ofNobody.includes(name)).length;
  }

  /** Requests one after the other, and how many look-ups they may make at most: one each time that facts grow too old. */
  async function expectFew(client: Client, path: string): Promise<void> {
    const startedAt = performance.now();
    const count = await countOf(async () => {
      for (let index = 0; index < REQUESTS; index += 1) expectStatus(await client.get(path), 200);
    });
    const allowed = 1 + Math.floor((performance.now() - startedAt) / MAX_AGE_MS);
    expect([count, count <= Math.min(allowed, REQUESTS - 1)]).toEqual([count, true]);
  }

  it('are one for a credential of any kind, however many requests come with it in the next moment', async () => {
    const license = await vendor.licenseUnder({});
    const user = expectStatus(await vendor.api.post('/users', { name: 'Ada', email: 'ada@example.com', role: 'owner' }), 201).body.data;
    const { key } = expectStatus(await vendor.api.post(`/users/${user.id}/keys`, { name: 'x' }), 201).body.data;
    const { jwt } = expectStatus(
      await anyone(server.url).post('/auth/token', { oid: vendor.account.id, secret: vendor.testKey }),
      200,
    ).body;
    await expectFew(withKey(server.url, vendor.testKey), '/products');
    await expectFew(withKey(server.url, jwt), '/products');
    await expectFew(withKey(server.url, key), '/products');
    await expectFew(withLicense(server.url, license.key), '/licenses/me');
  });

  it('are none for what cannot be a key, whoever made it up', async () => {
    const right = vendor.liveKey;
    const made = ['nonsense', `${right.slice(0, -1)}${right.endsWith('0') ? '1' : '0'}`, `${right.slice(0, 20)}${right.slice(21)}`];
    for (const key of made) expect([key, await countOf(() => withKey(server.url, key).get('/products'))]).toEqual([key, 0]);
    const license = await vendor.licenseUnder({});
    const typo = (license.key as string).replace(/.$/, (last) => (last === '0' ? '1' : '0'));
    expect(await countOf(() => withLicense(server.url, typo).get('/licenses/me'))).toBe(0);
  });

  it('are made anew for each unknown key: a flood of them pushes nothing out', async () => {
    const unknown = withKey(server.url, generateApiKey('live'));
    expect(await countOf(() => unknown.get('/products'))).toBe(1);
    expect(await countOf(() => unknown.get('/products'))).toBe(1);
  });

  describe('with several instances', () => {
    let other: Running;
    beforeAll(async () => {
      other = await startServer();
    });
    afterAll(() => other.stop());

    /** How long the end of a credential may take to be known everywhere (contract: auth.md). */
    const EFFECTIVE_WITHIN_MS = 1000;

    it.each([
      ['a revoked key', (id: string) => vendor.api.delete(`/api-keys/${id}`), 'API_KEY_REVOKED'],
      [
        'a key rotated without overlap',
        (id: string) => vendor.api.post(`/api-keys/${id}/rotate`, { overlapSeconds: 0 }),
        'API_KEY_EXPIRED',
      ],
      [
        'a key bound to another address',
        (id: string) => vendor.api.patch(`/api-keys/${id}`, { allowedIps: ['203.0.113.7'] }),
        'IP_NOT_ALLOWED',
      ],
      [
        'a key of a suspended account',
        () => withKey(server.url, TEST_PLATFORM_TOKEN).post(`/accounts/${vendor.account.id}/suspend`),
        'ACCOUNT_SUSPENDED',
      ],
    ])('%s is refused at once where it was done, and everywhere within a second', async (_, end, code) => {
      const { id, key } = expectStatus(await vendor.api.post('/api-keys', { name: 'x' }), 201).body.data;
      const [here, there] = [withKey(server.url, key), withKey(other.url, key)];
      for (const client of [here, there]) expectStatus(await client.get('/products'), 200);
      expect((await end(id)).status).toBeLessThan(300);
      expect((await here.get('/products')).body.code).toBe(code);
      // The time itself is the promise: after it, not a single request gets through.
      await wait(EFFECTIVE_WITHIN_MS);
      expect((await there.get('/products')).body.code).toBe(code);
    });
  });
});
