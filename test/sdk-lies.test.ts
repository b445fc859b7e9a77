import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createClient, type ClientOptions, memoryStore, type Store, type Validation } from '../sdk/src/index.js';
import {
  ACCOUNT,
  type Behaviour,
  DAY,
  entitlement,
  FINGERPRINT,
  type Heard,
  Key,
  LICENSE,
  NOW,
  refuse,
  sendJson,
  StandIn,
  validationClaims,
} from './support/stand-in.js';

/**
 * The SDK against a server that is slow, dead or lying: it never says valid without a proof, and never stops a customer
 * inside of the signed grace.
 */
describe('the SDK', () => {
  let server: StandIn;
  let key: Key;
  let stranger: Key;
  let nowMs: number;
  let store: Store;
  let waits: number[];
  beforeAll(async () => {
    server = await StandIn.start();
    [key, stranger] = await Promise.all([Key.make(), Key.make()]);
  });
  afterAll(() => {
    server.stop();
  });
  beforeEach(() => {
    nowMs = NOW * 1000;
    store = memoryStore();
    server.heard.length = 0;
    waits = [];
  });

  const client = (changes: Partial<ClientOptions> = {}) =>
    createClient({
      baseUrl: server.url,
      account: ACCOUNT,
      licenseKey: 'vendor-chosen-key',
      fingerprint: FINGERPRINT,
      keys: [key.jwk],
      store,
      timeoutMs: 5000,
      retry: { retries: 0 },
      clock: {
        now: () => nowMs,
        sleep: (ms) => {
          waits.push(ms);
          return Promise.resolve();
        },
      },
      ...changes,
    });
  const truth =
    (changes: object = {}): Behaviour =>
    async ({ body }) => ({ valid: true, code: 'VALID', token: await key.sign(validationClaims({ nonce: body.nonce, ...changes })) });
  const refusal = (code: string, changes: object = {}): Behaviour => truth({ valid: false, code, exp: NOW + 300, ...changes });
  const validateWith = (behaviour: Behaviour, options = {}, changes: Partial<ClientOptions> = {}): Promise<Validation> => {
    server.behave = behaviour;
    return client(changes).validate(options);
  };
  const never: Behaviour = () => undefined;
  const away: Behaviour = (_heard, response) => refuse(response, 503, 'UNAVAILABLE');

  it('believes an answer that is signed to its nonce', async () => {
    expect(await validateWith(truth())).toMatchObject({
      valid: true,
      source: 'server',
      reason: null,
      code: 'VALID',
      entitlements: [entitlement('pro')],
      licenseId: LICENSE,
      graceEndsAt: new Date((NOW + 14 * DAY) * 1000),
      serverProblem: null,
    });
    expect(server.heard[0]?.body).toMatchObject({ account: ACCOUNT, fingerprint: FINGERPRINT, key: 'vendor-chosen-key' });
  });

  it('asks with another nonce each time', async () => {
    for (let time = 0; time < 3; time += 1) await validateWith(truth());
    const nonces = server.heard.map(({ body }) => body.nonce as string);
    expect(new Set(nonces).size).toBe(3);
    for (const nonce of nonces) expect(nonce).toMatch(/^[0-9a-f]{32}\.[0-9a-f]{32}$/);
  });

  it('answers from what is signed where the body says otherwise', async () => {
    const lie: Behaviour = async ({ body }) => ({
      valid: true,
      code: 'VALID',
      entitlements: [entitlement('enterprise')],
      token: await key.sign(validationClaims({ nonce: body.nonce, valid: false, code: 'SUSPENDED' })),
    });
    expect(await validateWith(lie)).toMatchObject({ valid: false, source: 'server', reason: 'refused', code: 'SUSPENDED' });
    const bounty: Behaviour = async ({ body }) => ({
      entitlements: [entitlement('enterprise')],
      token: await key.sign(validationClaims({ nonce: body.nonce })),
    });
    expect(await validateWith(bounty, { entitlements: ['enterprise'] })).toMatchObject({ valid: false, code: 'ENTITLEMENTS_MISSING' });
  });

  const signed =
    (changes: object, header: object = {}): Behaviour =>
    async ({ body }) => ({ token: await key.sign(validationClaims({ nonce: body.nonce, ...changes }), header) });
  const mangled =
    (mangle: (parts: string[], heard: Heard) => unknown): Behaviour =>
    async (heard) => ({ token: mangle((await key.sign(validationClaims({ nonce: heard.body.nonce }))).split('.'), heard) });
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  let replayed: string;
  beforeAll(async () => {
    replayed = await key.sign(validationClaims({ nonce: 'of-another-time.scope' }));
  });

  const lies: [string, Validation['reason'], string | null, Behaviour][] = [
    ['answers nothing', 'unreachable', null, never],
    ['hangs up', 'unreachable', null, (_heard, response) => response.destroy()],
    [
      'hangs up in the middle',
      'unreachable',
      null,
      (_heard, response) => {
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': '100' });
        response.write('{"data":');
        setImmediate(() => response.destroy());
      },
    ],
    ['says 500', 'unreachable', null, (_heard, response) => refuse(response, 500, 'INTERNAL_ERROR')],
    ['says 503', 'unreachable', null, away],
    ['says 429', 'unreachable', null, (_heard, response) => refuse(response, 429, 'RATE_LIMITED', { 'retry-after': '3600' })],
    ['says 403', 'proof_missing', null, (_heard, response) => refuse(response, 403, 'LICENSE_REVOKED')],
    ['talks garbage', 'unreachable', null, (_heard, response) => response.end('<html>Sign in to the hotel</html>')],
    ['says nothing', 'unreachable', null, (_heard, response) => response.end()],
    ['says null', 'unreachable', null, (_heard, response) => sendJson(response, 200, null)],
    ['leads elsewhere', 'unreachable', null, (_heard, response) => response.writeHead(307, { location: '/elsewhere' }).end()],
    ['says valid, unsigned', 'proof_missing', null, () => ({ valid: true, code: 'VALID' })],
    ['says invalid, unsigned', 'proof_missing', null, () => ({ valid: false, code: 'REVOKED' })],
    ['says that there is no such license', 'proof_missing', null, () => ({ valid: false, code: 'NOT_FOUND', token: null })],
    ['sends a number for a token', 'proof_missing', null, () => ({ token: 1 })],
    ['sends no JWS', 'proof_invalid', 'malformed', () => ({ token: 'no.jws.really' })],
    ['repeats an old answer', 'proof_invalid', 'wrong_nonce', () => ({ token: replayed })],
    ['answers another nonce', 'proof_invalid', 'wrong_nonce', signed({ nonce: 'another' })],
    [
      'signs with a key of its own',
      'proof_invalid',
      'unknown_key',
      async ({ body }) => ({ token: await stranger.sign(validationClaims({ nonce: body.nonce })) }),
    ],
    [
      'signs with a key of its own, under the name of the right one',
      'proof_invalid',
      'bad_signature',
      async ({ body }) => ({
        token: await stranger.sign(validationClaims({ nonce: body.nonce }), { kid: key.jwk.kid }),
      }),
    ],
    [
      'shows its own key in the header',
      'proof_invalid',
      'unknown_key',
      async ({ body }) => ({
        token: await stranger.sign(validationClaims({ nonce: body.nonce }), { jwk: stranger.jwk }),
      }),
    ],
    ['names no key', 'proof_invalid', 'unknown_key', signed({}, { kid: undefined })],
    [
      'uses no algorithm',
      'proof_invalid',
      'bad_signature',
      mangled(([, payload]) => `${encode({ alg: 'none', typ: 'latchkey-validation+jwt', kid: key.jwk.kid })}.${payload!}.`),
    ],
    [
      'uses the public key as a secret',
      'proof_invalid',
      'bad_signature',
      async ({ body }) => ({ token: await key.signAsSecret(validationClaims({ nonce: body.nonce })) }),
    ],
    [
      'changes what was signed',
      'proof_invalid',
      'bad_signature',
      mangled(
        ([header, , signature], { body }) =>
          `${header!}.${encode(validationClaims({ nonce: body.nonce, exp: NOW + 99 * DAY }))}.${signature!}`,
      ),
    ],
    [
      'changes the signature',
      'proof_invalid',
      'bad_signature',
      mangled(([header, payload, signature]) => `${header!}.${payload!}.${signature!.startsWith('A') ? 'B' : 'A'}${signature!.slice(1)}`),
    ],
    ['writes the signature in another way', 'proof_invalid', 'malformed', mangled((parts) => `${parts.join('.')}=`)],
    ['uses an extension', 'proof_invalid', 'malformed', signed({}, { crit: ['b64'], b64: true })],
    ['sends a license file', 'proof_invalid', 'wrong_type', signed({}, { typ: 'latchkey-license+jwt' })],
    ['sends an access token', 'proof_invalid', 'wrong_type', signed({}, { typ: 'latchkey-access+jwt' })],
    ['sends a token of no type', 'proof_invalid', 'wrong_type', signed({}, { typ: undefined })],
    ['writes the type in capitals', 'proof_invalid', 'wrong_type', signed({}, { typ: 'LATCHKEY-VALIDATION+JWT' })],
    ['is someone else', 'proof_invalid', 'malformed', signed({ iss: 'keyhole' })],
    ['answers about another account', 'proof_invalid', 'wrong_account', signed({ aud: '019aab00-0000-7000-8000-0000000000ff' })],
    ['answers about several accounts', 'proof_invalid', 'malformed', signed({ aud: [ACCOUNT, 'another'] })],
    ['answers about the test environment', 'proof_invalid', 'wrong_environment', signed({ environment: 'test' })],
    ['answers about another machine', 'proof_invalid', 'wrong_fingerprint', signed({ fingerprint: 'another-machine' })],
    ['answers about no machine', 'proof_invalid', 'wrong_fingerprint', signed({ fingerprint: null })],
    ['signs no verdict', 'proof_invalid', 'malformed', signed({ valid: 'yes' })],
    ['signs no end', 'proof_invalid', 'malformed', signed({ exp: undefined })],
    ['signs an end before the beginning', 'proof_invalid', 'malformed', signed({ exp: NOW - 1 })],
  ];

  it.each(lies)('is not fooled by a server that %s', async (_name, reason, problem, lie) => {
    const settings = lie === never ? { timeoutMs: 40 } : {};
    const without = await validateWith(lie, {}, { ...settings, store: memoryStore() });
    expect(without).toMatchObject({ valid: false, source: 'none', reason, code: null, entitlements: [], serverProblem: { kind: reason } });
    if (problem !== null) expect(without.serverProblem?.cause).toMatchObject({ problem });

    await validateWith(truth());
    const inside = await validateWith(lie, {}, settings);
    expect(inside).toMatchObject({ valid: true, source: 'cache', reason: null, code: 'VALID', serverProblem: { kind: reason } });
    nowMs = (NOW + 14 * DAY) * 1000 - 1;
    expect(await validateWith(lie, {}, settings)).toMatchObject({ valid: true, source: 'cache' });
    nowMs += 1;
    expect(await validateWith(lie, {}, settings)).toMatchObject({ valid: false, reason: 'expired_proof', entitlements: [] });
  });

  it('goes on while nobody listens at all', async () => {
    await validateWith(truth());
    const nobody = await StandIn.start();
    const baseUrl = nobody.url;
    nobody.stop();
    expect(await client({ baseUrl }).validate()).toMatchObject({ valid: true, source: 'cache' });
  });

  it('comes back when the server does', async () => {
    await validateWith(truth());
    nowMs += 20 * DAY * 1000;
    expect(await validateWith(away)).toMatchObject({ valid: false, reason: 'expired_proof' });
    const iat = NOW + 20 * DAY;
    expect(await validateWith(truth({ iat, exp: iat + DAY }))).toMatchObject({ valid: true, source: 'server' });
    expect(await validateWith(away)).toMatchObject({ valid: true, source: 'cache' });
  });

  it('is refused another license than the first one', async () => {
    await validateWith(truth());
    const other = truth({ sub: '019aab00-0000-7000-8000-0000000000aa' });
    const answer = await validateWith(other);
    expect(answer).toMatchObject({ valid: true, source: 'cache', licenseId: LICENSE });
    expect(answer.serverProblem?.cause).toMatchObject({ problem: 'wrong_license' });
    const bound = await validateWith(other, {}, { store: memoryStore(), licenseId: LICENSE });
    expect(bound).toMatchObject({ valid: false, reason: 'proof_invalid' });
  });

  it('goes by a fresh answer whatever the local clock says', async () => {
    for (const days of [-400, 400]) {
      nowMs = (NOW + days * DAY) * 1000;
      expect(await validateWith(truth(), {}, { store: memoryStore() })).toMatchObject({ valid: true, source: 'server' });
    }
  });

  describe('after a signed refusal', () => {
    it('does not let a customer go on by unplugging the network', async () => {
      await validateWith(truth());
      expect(await validateWith(refusal('REVOKED'))).toMatchObject({ valid: false, source: 'server', reason: 'refused', code: 'REVOKED' });
      expect(await validateWith(away)).toMatchObject({ valid: false, source: 'cache', reason: 'refused', code: 'REVOKED' });
    });

    it('goes on once the server has said yes again', async () => {
      await validateWith(refusal('SUSPENDED'));
      await validateWith(truth());
      expect(await validateWith(away)).toMatchObject({ valid: true, source: 'cache' });
    });

    it('keeps what was said of another question', async () => {
      await validateWith(truth(), { version: '1.0.0' });
      await validateWith(refusal('VERSION_NOT_ALLOWED'), { version: '2.0.0' });
      expect(await validateWith(away, { version: '1.0.0' })).toMatchObject({ valid: true, source: 'cache' });
      expect(await validateWith(away, { version: '2.0.0' })).toMatchObject({
        valid: false,
        reason: 'refused',
        code: 'VERSION_NOT_ALLOWED',
      });
      expect(await validateWith(away, { version: '3.0.0' })).toMatchObject({ valid: false, reason: 'unreachable', source: 'none' });
    });

    it('takes an entitlement away that the newest answer no longer names', async () => {
      await validateWith(truth({ entitlements: [entitlement('pro'), entitlement('export')] }));
      expect(await validateWith(away, { entitlements: ['export'] })).toMatchObject({ valid: true });
      await validateWith(refusal('ENTITLEMENTS_MISSING'), { entitlements: ['export'] });
      expect(await validateWith(away, { entitlements: ['export'] })).toMatchObject({ valid: false, code: 'ENTITLEMENTS_MISSING' });
      expect(await validateWith(away, { entitlements: ['pro'] })).toMatchObject({ valid: true, entitlements: [entitlement('pro')] });
    });

    it('is not undone by an older answer that comes later', async () => {
      await validateWith(refusal('REVOKED', { iat: NOW + 10 }));
      await validateWith(truth({ iat: NOW }));
      expect(await validateWith(away)).toMatchObject({ valid: false, code: 'REVOKED' });
    });
  });

  it('grants no entitlement past its own end', async () => {
    await validateWith(truth({ entitlements: [entitlement('pro', new Date((NOW + DAY) * 1000).toISOString())] }));
    expect(await validateWith(away, { entitlements: ['pro'] })).toMatchObject({ valid: true });
    nowMs += DAY * 1000;
    expect(await validateWith(away, { entitlements: ['pro'] })).toMatchObject({ valid: false, code: 'ENTITLEMENTS_MISSING' });
    expect(await validateWith(away)).toMatchObject({ valid: true, entitlements: [] });
  });

  describe('with keys that it fetches', () => {
    const fetched = { keys: undefined };
    const withKeys =
      (keys: () => Key[], answer: Behaviour): Behaviour =>
      (heard, response) =>
        heard.path.startsWith('/.well-known/') ? sendJson(response, 200, { keys: keys().map(({ jwk }) => jwk) }) : answer(heard, response);
    const fetches = () => server.heard.filter(({ path }) => path.startsWith('/.well-known/'));

    it('asks for them once, keeps them, and looks again when it meets another', async () => {
      await validateWith(
        withKeys(() => [key], truth()),
        {},
        fetched,
      );
      expect(
        await validateWith(
          withKeys(() => [key], truth()),
          {},
          fetched,
        ),
      ).toMatchObject({ valid: true, source: 'server' });
      expect(fetches().map(({ path }) => path)).toEqual([`/.well-known/jwks.json?account=${ACCOUNT}&environment=live`]);

      const next: Behaviour = async ({ body }) => ({ token: await stranger.sign(validationClaims({ nonce: body.nonce })) });
      expect(
        await validateWith(
          withKeys(() => [stranger, key], next),
          {},
          fetched,
        ),
      ).toMatchObject({ valid: true, source: 'server' });
      expect(fetches()).toHaveLength(2);
    });

    it('looks once for a key that nobody has', async () => {
      const next: Behaviour = async ({ body }) => ({ token: await stranger.sign(validationClaims({ nonce: body.nonce })) });
      expect(
        await validateWith(
          withKeys(() => [key], next),
          {},
          fetched,
        ),
      ).toMatchObject({ valid: false, reason: 'proof_invalid' });
      expect(fetches()).toHaveLength(1);
    });

    it('loses no grace to a server that shows other keys for a while', async () => {
      await validateWith(
        withKeys(() => [key], truth()),
        {},
        fetched,
      );
      await validateWith(
        withKeys(
          () => [],
          async () => ({ token: await stranger.sign(validationClaims()) }),
        ),
        {},
        fetched,
      );
      expect(await validateWith(away, {}, fetched)).toMatchObject({ valid: true, source: 'cache' });
    });

    it('refuses a key that is called by the name of another', async () => {
      const impostor = { jwk: { ...stranger.jwk, kid: key.jwk.kid } } as Key;
      const lie: Behaviour = async ({ body }) => ({
        token: await stranger.sign(validationClaims({ nonce: body.nonce }), { kid: key.jwk.kid }),
      });
      expect(
        await validateWith(
          withKeys(() => [impostor], lie),
          {},
          fetched,
        ),
      ).toMatchObject({ valid: false, reason: 'unreachable' });
    });
  });

  describe('in its calls', () => {
    const random = () => 0.5;

    it('tries again with growing waits, and no longer than it may', async () => {
      await validateWith(away, {}, { retry: { retries: 3, baseDelayMs: 100, maxDelayMs: 250 }, random });
      expect(waits).toEqual([50, 100, 125]);
      expect(new Set(server.heard.map(({ body }) => body.nonce)).size).toBe(1);
    });

    it('waits as long as the server asks', async () => {
      let times = 0;
      const later: Behaviour = (heard, response) => {
        times += 1;
        return times === 1 ? refuse(response, 429, 'RATE_LIMITED', { 'retry-after': '2' }) : truth()(heard, response);
      };
      expect(await validateWith(later, {}, { retry: { retries: 1 }, random })).toMatchObject({ valid: true, source: 'server' });
      expect(waits).toEqual([2000]);
    });

    it('gives up at once when it is to wait longer than the call may take', async () => {
      await validateWith(
        (_heard, response) => refuse(response, 429, 'RATE_LIMITED', { 'retry-after': '60' }),
        {},
        { retry: { retries: 2 } },
      );
      expect(waits).toEqual([]);
      expect(server.heard).toHaveLength(1);
    });

    it('does not repeat what was refused', async () => {
      server.behave = (_heard, response) => refuse(response, 422, 'MACHINE_LIMIT_EXCEEDED');
      await expect(client({ retry: { retries: 3 } }).activate()).rejects.toMatchObject({
        name: 'ApiError',
        status: 422,
        code: 'MACHINE_LIMIT_EXCEEDED',
        requestId: 'request-1',
      });
      expect(server.heard).toHaveLength(1);
    });

    it('activates with one idempotency key for all tries', async () => {
      server.behave = (_heard, response) => (server.heard.length < 3 ? refuse(response, 500, 'INTERNAL_ERROR') : { id: 'machine-1' });
      await client({ retry: { retries: 2 } }).activate({ name: 'Laptop' });
      await client({ retry: { retries: 2 } }).activate({ name: 'Laptop' });
      const keys = server.heard.map(({ headers }) => headers['idempotency-key']);
      expect(keys.slice(0, 3)).toEqual([keys[0], keys[0], keys[0]]);
      expect(keys[3]).not.toBe(keys[0]);
      expect(server.heard[0]).toMatchObject({ body: { name: 'Laptop', fingerprint: FINGERPRINT } });
      expect(server.heard[0]?.headers).toMatchObject({ authorization: 'License vendor-chosen-key', 'x-account-id': ACCOUNT });
    });

    it("ends with the caller's own signal, and takes that for no answer", async () => {
      const controller = new AbortController();
      await validateWith(truth());
      server.behave = () => {
        controller.abort(new Error('the window was closed'));
      };
      await expect(client().validate({ signal: controller.signal })).rejects.toThrow('the window was closed');
      await expect(client().validate({ signal: controller.signal })).rejects.toThrow('the window was closed');
    });

    it('is not held up by a fetch that ignores its signal', async () => {
      const deaf = (() => new Promise(() => undefined)) as unknown as typeof fetch;
      expect(await client({ fetch: deaf, timeoutMs: 20 }).validate()).toMatchObject({ valid: false, reason: 'unreachable' });
    });
  });

  it('says what it cannot be made with', () => {
    const cases: [Partial<ClientOptions>, RegExp][] = [
      [{ baseUrl: 'http://licenses.example.com' }, /https/],
      [{ baseUrl: 'licenses' }, /baseUrl/],
      [{ account: 'acme' }, /account/],
      [{ licenseKey: ' ' }, /licenseKey/],
      [{ fingerprint: 'short' }, /fingerprint/],
    ];
    for (const [changes, message] of cases) expect(() => client(changes)).toThrow(message);
  });
});
