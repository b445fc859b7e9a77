import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { v7 as uuidv7 } from 'uuid';
import type { Running } from '../src/boot.js';
import { type Client, anyone, type Reply, send, withKey } from './support/client.js';
import { startServer } from './support/server.js';
import { TEST_PLATFORM_TOKEN } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

/** Who may ask how often, and how it is said (contract: http.md, "Rate limits"). */

const LIMITS = { validate: 5, 'validate-unknown': 3, activate: 4, public: 6 };
const UNKNOWN_KEY = 'LIC-AAAA-AAAA-AAAA-AAAA-AAAA-AAAA';
const HEADERS = ['x-ratelimit-limit', 'x-ratelimit-remaining', 'x-ratelimit-reset', 'ratelimit', 'ratelimit-policy'];

interface Item {
  name: string;
  [parameter: string]: string | number;
}

/** The lists of the IETF fields (RFC 9651): strings, each with parameters that are whole numbers. */
function parseList(field: unknown): Item[] {
  const text = String(field);
  expect(text).toMatch(/^"[a-z-]+"(;[a-z]+=\d+)+(, "[a-z-]+"(;[a-z]+=\d+)+)*$/);
  return text.split(', ').map((item) => {
    const [name = '', ...parameters] = item.split(';');
    const numbers = parameters.map((parameter) => parameter.split('=')).map(([key = '', value]) => [key, Number(value)] as const);
    return { name: name.slice(1, -1), ...Object.fromEntries(numbers) };
  });
}

/** Both header families are there, agree, and say this. */
function expectStanding({ headers }: Reply, policy: keyof typeof LIMITS, remaining: number): void {
  const limit = LIMITS[policy];
  expect([headers['x-ratelimit-limit'], headers['x-ratelimit-remaining']]).toEqual([String(limit), String(remaining)]);
  expect(parseList(headers['ratelimit-policy'])).toEqual([{ name: policy, q: limit, w: 60 }]);
  const [standing] = parseList(headers.ratelimit);
  expect(standing).toEqual({ name: policy, r: remaining, t: expect.any(Number) });
  const seconds = Number(standing?.t);
  expect(seconds >= 1 && seconds <= 60).toBe(true);
  const resetsInSeconds = Number(headers['x-ratelimit-reset']) - Date.parse(String(headers.date)) / 1000;
  expect(Math.abs(resetsInSeconds - seconds)).toBeLessThanOrEqual(2);
}

function expectRefusal(reply: Reply, policy: keyof typeof LIMITS): void {
  expect([reply.status, reply.body.code]).toEqual([429, 'RATE_LIMITED']);
  expectStanding(reply, policy, 0);
  const [standing] = parseList(reply.headers.ratelimit);
  expect(reply.body.details).toEqual({ policy, limit: LIMITS[policy], retryAfterSeconds: standing?.t });
  expect(reply.headers['retry-after']).toBe(String(standing?.t));
}

describe('rate limits', () => {
  let server: Running;
  let vendor: Vendor;
  /** Someone at an address that nobody had before. */
  let visitor: Client;
  let addresses = 0;
  const anyoneAt = (address: string): Client => at(address, anyone(server.url));
  const at = (address: string, client: Client): Client => client.with({ 'x-forwarded-for': address });
  const newAddress = (): string => `198.51.${String((addresses += 1) >> 8)}.${String(addresses & 255)}`;
  const times = async (count: number, ask: () => Promise<Reply>): Promise<Reply[]> => {
    const replies: Reply[] = [];
    for (let n = 0; n < count; n += 1) replies.push(await ask());
    return replies;
  };
  const validate = (client: Client, key: string, fields: object = {}): Promise<Reply> =>
    client.post('/licenses/validate-key', { key, ...fields });

  beforeAll(async () => {
    server = await startServer({
      TRUSTED_PROXIES: '127.0.0.1',
      OPEN_SIGNUP: 'true',
      LIMIT_VALIDATE_PER_MINUTE: String(LIMITS.validate),
      LIMIT_VALIDATE_UNKNOWN_PER_MINUTE: String(LIMITS['validate-unknown']),
      LIMIT_ACTIVATE_PER_MINUTE: String(LIMITS.activate),
      LIMIT_PUBLIC_PER_MINUTE: String(LIMITS.public),
    });
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    vendor = await Vendor.signUp(server.url);
    visitor = anyoneAt(newAddress());
  });

  describe('of validate-key', () => {
    it('count a license and an address together, whatever the verdict', async () => {
      const license = await vendor.licenseUnder({ requireFingerprint: false });
      const replies = await times(LIMITS.validate, () => validate(visitor, license.key, { product: 'another' }));
      for (const [index, reply] of replies.entries()) {
        expect([reply.status, reply.body.data.valid]).toEqual([200, false]);
        expectStanding(reply, 'validate', LIMITS.validate - 1 - index);
      }
      expectRefusal(await validate(visitor, license.key), 'validate');
      expectRefusal(await validate(visitor, license.key.toLowerCase().replaceAll('-', ' ')), 'validate');

      const other = await vendor.license({ productId: license.productId, policyId: license.policyId });
      expectStanding(expectStatus(await validate(visitor, other.key), 200), 'validate', LIMITS.validate - 1);
      expectStanding(expectStatus(await validate(anyoneAt(newAddress()), license.key), 200), 'validate', LIMITS.validate - 1);
    });

    it('leave no trace of a refused one: nothing is counted on the license', async () => {
      const license = await vendor.licenseUnder({ requireFingerprint: false, maxUses: 100 });
      await times(LIMITS.validate + 3, () => validate(visitor, license.key, { increment: 1 }));
      expect((await vendor.api.get(`/licenses/${license.id}`)).body.data.usesCount).toBe(LIMITS.validate);
    });

    it('send whoever guesses away, who still gets verdicts on keys that there are, as does everybody else', async () => {
      const license = await vendor.licenseUnder({ requireFingerprint: false });
      const deleted = await vendor.license({ productId: license.productId, policyId: license.policyId });
      expectStatus(await vendor.api.delete(`/licenses/${deleted.id}`), 204);
      const unknown = [
        () => validate(visitor, UNKNOWN_KEY),
        () => validate(visitor, deleted.key),
        () => validate(visitor, license.key, { account: 'no-such-account' }),
      ];
      for (const [index, ask] of unknown.entries()) {
        const reply = await ask();
        expect([reply.status, reply.body.data.code]).toEqual([200, 'NOT_FOUND']);
        expectStanding(reply, 'validate-unknown', LIMITS['validate-unknown'] - 1 - index);
      }
      for (const ask of unknown) expectRefusal(await ask(), 'validate-unknown');
      await Promise.all(Array.from({ length: 100 }, () => validate(visitor, UNKNOWN_KEY)));

      expectStanding(expectStatus(await validate(visitor, license.key), 200), 'validate', LIMITS.validate - 1);
      const reply = await validate(anyoneAt(newAddress()), UNKNOWN_KEY);
      expectStanding(expectStatus(reply, 200), 'validate-unknown', LIMITS['validate-unknown'] - 1);
    });

    it('do not count what is no question yet: a body that is refused', async () => {
      const reply = await visitor.post('/licenses/validate-key', { key: UNKNOWN_KEY, keys: 'x' });
      expect([reply.status, reply.headers.ratelimit]).toEqual([400, undefined]);
    });
  });

  describe('of activation', () => {
    const activate = (client: Client, fingerprint: string, licenseId?: string): Promise<Reply> =>
      client.post('/machines', { fingerprint, licenseId });

    it('count a license, whoever activates and whatever comes of it', async () => {
      const license = await vendor.licenseUnder({ maxMachines: 1 });
      const replies = [
        await activate(vendor.app(license), 'fingerprint-1'),
        await activate(at(newAddress(), vendor.app(license)), 'fingerprint-1'),
        await activate(vendor.api, 'fingerprint-2', license.id),
        await activate(vendor.api, 'fingerprint-2', license.id.toUpperCase()),
      ];
      expect(replies.map(({ status }) => status)).toEqual([201, 200, 422, 422]);
      for (const [index, reply] of replies.entries()) expectStanding(reply, 'activate', LIMITS.activate - 1 - index);
      expectRefusal(await activate(vendor.app(license), 'fingerprint-1'), 'activate');
      expectRefusal(await activate(vendor.api, 'fingerprint-1', license.id), 'activate');

      const other = await vendor.license({ productId: license.productId, policyId: license.policyId });
      expectStanding(expectStatus(await activate(vendor.app(other), 'fingerprint-1'), 201), 'activate', LIMITS.activate - 1);
      // A seat can always be given back, and a machine can always beat.
      const { id } = replies[0]?.body.data;
      expectStatus(await vendor.app(license).post(`/machines/${id}/heartbeat`), 200);
      expectStatus(await vendor.app(license).delete(`/machines/${id}`), 204);
    });

    it('cannot be used up by another tenant, nor from the other environment', async () => {
      const license = await vendor.licenseUnder({});
      const stranger = await Vendor.signUp(server.url);
      for (const api of [stranger.api, vendor.testApi]) {
        const replies = await times(LIMITS.activate, () => activate(api, 'fingerprint-1', license.id));
        expect(replies.map(({ status }) => status)).toEqual(Array(LIMITS.activate).fill(404));
        for (const [index, reply] of replies.entries()) expectStanding(reply, 'activate', LIMITS.activate - 1 - index);
        expectRefusal(await activate(api, 'fingerprint-1', license.id), 'activate');
      }
      expectStanding(expectStatus(await activate(vendor.app(license), 'fingerprint-1'), 201), 'activate', LIMITS.activate - 1);
    });
  });

  describe('of public routes', () => {
    it('count an address over all of them, each request once', async () => {
      const keySet = `/.well-known/jwks.json?account=${vendor.account.id}`;
      const paths = ['/', '/docs', '/docs/errors', '/openapi.json', '/docs/swagger-ui.css', keySet];
      for (const [index, path] of paths.entries()) {
        const reply = await send(server.url, 'GET', path, { headers: visitor.headers });
        expect([path, reply.status]).toEqual([path, 200]);
        expectStanding(reply, 'public', LIMITS.public - 1 - index);
      }
      for (const path of new Set(paths)) expectRefusal(await send(server.url, 'GET', path, { headers: visitor.headers }), 'public');
      expectStatus(await send(server.url, 'GET', '/', { headers: anyoneAt(newAddress()).headers }), 200);
    });

    it('never keep a watcher from the health of the server, and show nothing there', async () => {
      for (const path of ['/health/live', '/health/ready']) {
        const replies = await times(LIMITS.public + 2, () => send(server.url, 'GET', path, { headers: visitor.headers }));
        for (const reply of replies) expect([reply.status, reply.headers.ratelimit]).toEqual([200, undefined]);
      }
    });

    it('count who signs up openly, and not the operator who makes accounts', async () => {
      const signUp = (client: Client): Promise<Reply> =>
        client.post('/accounts', { name: 'x', slug: `v-${uuidv7().slice(-12)}`, ownerEmail: 'owner@example.com' });
      for (const [index, reply] of (await times(LIMITS.public, () => signUp(visitor))).entries())
        expectStanding(expectStatus(reply, 201), 'public', LIMITS.public - 1 - index);
      expectRefusal(await signUp(visitor), 'public');
      const license = await vendor.licenseUnder({});
      expectRefusal(await signUp(vendor.app(license).with(visitor.headers)), 'public');
      const operator = withKey(server.url, TEST_PLATFORM_TOKEN).with(visitor.headers);
      expect(expectStatus(await signUp(operator), 201).headers.ratelimit).toBeUndefined();
    });
  });

  it('count IPv6 addresses by their network of 64 bits, and IPv4 ones however they are spelt', async () => {
    const guess = async (address: string): Promise<string> =>
      String((await validate(anyoneAt(address), UNKNOWN_KEY)).headers['x-ratelimit-remaining']);
    expect(await guess('2001:db8:1:2::1')).toBe('2');
    expect(await guess('2001:0db8:1:2:ffff:ffff:ffff:ffff')).toBe('1');
    expect(await guess('2001:db8:1:3::1')).toBe('2');
    const address = newAddress();
    expect(await guess(address)).toBe('2');
    expect(await guess(`::ffff:${address}`)).toBe('1');
  });

  it.each(['application/json', 'application/problem+json'])('refuse in the form that the caller asked for: %s', async (type) => {
    const replies = await times(LIMITS['validate-unknown'] + 1, () => validate(visitor.with({ accept: type }), UNKNOWN_KEY));
    const refused = replies.at(-1)!;
    expect([refused.status, refused.body.code]).toEqual([429, 'RATE_LIMITED']);
    expect(String(refused.headers['content-type'])).toContain(type);
  });

  it('can be read by browsers of other origins', async () => {
    const reply = await validate(visitor.with({ origin: 'https://app.example.com' }), UNKNOWN_KEY);
    const shown = String(reply.headers['access-control-expose-headers']).toLowerCase().split(/, ?/);
    expect(shown).toEqual(expect.arrayContaining([...HEADERS, 'retry-after']));
  });

  it('admit exactly as many as they say, of many that ask at once', async () => {
    const license = await vendor.licenseUnder({ requireFingerprint: false, maxMachines: 100 });
    const admitted = async (ask: (index: number) => Promise<Reply>): Promise<number[]> => {
      const replies = await Promise.all(Array.from({ length: 32 }, (_, index) => ask(index)));
      expect([...new Set(replies.map(({ status }) => status))].filter((status) => status >= 300)).toEqual([429]);
      return replies.filter(({ status }) => status < 300).map(({ headers }) => Number(headers['x-ratelimit-remaining']));
    };
    const countdown = (limit: number): number[] => Array.from({ length: limit }, (_, index) => index);
    const sorted = (numbers: number[]): number[] => numbers.sort((a, b) => a - b);
    expect(sorted(await admitted(() => validate(visitor, license.key)))).toEqual(countdown(LIMITS.validate));
    expect(sorted(await admitted(() => validate(visitor, UNKNOWN_KEY)))).toEqual(countdown(LIMITS['validate-unknown']));
    expect(
      sorted(await admitted((index) => vendor.app(license).post('/machines', { fingerprint: `fingerprint-${String(index)}` }))),
    ).toEqual(countdown(LIMITS.activate));
    expect((await vendor.api.get(`/licenses/${license.id}`)).body.data.machineCount).toBe(LIMITS.activate);
  });
});

describe('without a trusted proxy', () => {
  it('what a caller says of its own address makes no new one', async () => {
    const server = await startServer({ LIMIT_VALIDATE_UNKNOWN_PER_MINUTE: '2' });
    try {
      const statuses: number[] = [];
      for (const address of ['198.51.100.1', '198.51.100.2', '198.51.100.3'])
        statuses.push((await anyone(server.url).with({ 'x-forwarded-for': address }).post('/licenses/validate-key', { key: 'x' })).status);
      expect(statuses).toEqual([200, 200, 429]);
    } finally {
      await server.stop();
    }
  });
});

describe('a limit of 0', () => {
  it('is none, and nothing is said of it', async () => {
    const server = await startServer();
    try {
      const vendor = await Vendor.signUp(server.url);
      const license = await vendor.licenseUnder({ maxMachines: 1 });
      const replies = [
        await anyone(server.url).post('/licenses/validate-key', { key: license.key }),
        await anyone(server.url).post('/licenses/validate-key', { key: UNKNOWN_KEY }),
        await vendor.app(license).post('/machines', { fingerprint: 'fingerprint-1' }),
        await send(server.url, 'GET', '/'),
        await send(server.url, 'GET', '/docs'),
      ];
      for (const { headers } of replies) expect(Object.keys(headers).filter((name) => HEADERS.includes(name))).toEqual([]);
    } finally {
      await server.stop();
    }
  });
});
