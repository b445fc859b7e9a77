import { createHash, createPublicKey } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createLocalJWKSet, createRemoteJWKSet, decodeJwt, decodeProtectedHeader, importJWK, jwtVerify } from 'jose';
import pg from 'pg';
import type { Running } from '../src/boot.js';
import { MasterKey } from '../src/core/master-key.js';
import { publicHexOf, thumbprintOf } from '../src/domain/signing-key.js';
import { Client, send } from './support/client.js';
import { startServer } from './support/server.js';
import { sharedServer } from './support/shared-server.js';
import { testDatabaseUrl, testMasterKey } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

/**
 * A stranger with the key set and a JOSE library can check what Latchkey said, and nothing else passes for it (contract: offline.md).
 * Two servers are one database's, as in production: the run's, and one in this process.
 */

const DAY_MS = 86_400_000;
const FREE = { requireFingerprint: false, offlineAllowed: true, offlineMaxDays: 7 };

interface KeyRow {
  id: string;
  kid: string;
  public_key: Buffer;
  private_key_sealed: Buffer | null;
  published_until: Date;
  retired_at: Date | null;
}

describe('signing', () => {
  const { url } = sharedServer();
  let other: Running;
  let database: pg.Client;

  beforeAll(async () => {
    database = new pg.Client({ connectionString: testDatabaseUrl() });
    await database.connect();
    other = await startServer();
  });
  afterAll(async () => {
    await other.stop();
    await database.end();
  });

  async function keysOf(vendor: Vendor, environment = 'live'): Promise<KeyRow[]> {
    const { rows } = await database.query<KeyRow>(
      `SELECT signing_key.* FROM signing_key JOIN environment ON environment.id = signing_key.environment_id
        WHERE account_id = $1 AND environment.name = $2 ORDER BY retired_at DESC NULLS FIRST, signing_key.created_at DESC`,
      [vendor.account.id, environment],
    );
    return rows;
  }

  const keySetPath = (vendor: Vendor, environment = 'live') =>
    `/.well-known/jwks.json?account=${vendor.account.id}&environment=${environment}`;
  const keySetOf = async (vendor: Vendor, environment = 'live') =>
    expectStatus(await send(vendor.baseUrl, 'GET', keySetPath(vendor, environment)), 200).body;
  const kidsOf = async (vendor: Vendor): Promise<string[]> => (await keySetOf(vendor)).keys.map(({ kid }: { kid: string }) => kid);
  const rotate = async (vendor: Vendor, body?: object) => expectStatus(await vendor.api.post('/signing-keys/rotate', body), 201).body.data;
  /** A signed answer's token. */
  const tokenOf = async (vendor: Vendor, license: { key: string }, body: object = {}): Promise<string> =>
    (await vendor.validate(license, { nonce: 'once', ...body })).token;

  /** As a stranger does who knows the vendor's account and the address of its keys. */
  const verify = async (vendor: Vendor, token: string, environment = 'live', options: object = {}) =>
    jwtVerify(token, createRemoteJWKSet(new URL(keySetPath(vendor, environment), vendor.baseUrl)), {
      issuer: 'latchkey',
      audience: vendor.account.id,
      typ: 'latchkey-validation+jwt',
      algorithms: ['EdDSA'],
      ...options,
    });

  describe('the signed answer', () => {
    it('says what the answer says, for whoever has the key set', async () => {
      const vendor = await Vendor.signUp(url);
      const license = await vendor.licenseUnder({ maxMachines: 2, offlineAllowed: true, offlineMaxDays: 7, durationDays: 30 });
      await vendor.entitlement('extra');
      expectStatus(await vendor.api.post(`/licenses/${license.id}/entitlements`, { codes: ['extra'], quantity: 3 }), 200);
      await vendor.activate(license, 'fingerprint-1');
      const answer = await vendor.validate(license, {
        fingerprint: 'fingerprint-1',
        fingerprints: ['fingerprint-2', 'fingerprint-1'],
        nonce: 'ünïque',
      });
      const { payload, protectedHeader } = await verify(vendor, answer.token);
      const [key] = await keysOf(vendor);
      expect(protectedHeader).toEqual({ alg: 'EdDSA', typ: 'latchkey-validation+jwt', kid: key!.kid });
      const issuedAt = Math.floor(Date.parse(answer.checkedAt) / 1000);
      expect(payload).toEqual({
        iss: 'latchkey',
        aud: vendor.account.id,
        environment: 'live',
        sub: license.id,
        iat: issuedAt,
        exp: Math.floor((Date.parse(answer.checkedAt) + 7 * DAY_MS) / 1000),
        jti: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-7/),
        valid: true,
        code: answer.code,
        nonce: 'ünïque',
        fingerprint: 'fingerprint-1',
        entitlements: [{ code: 'extra', expiresAt: null, quantity: 3 }],
      });
      expect(answer).toMatchObject({ valid: true, nonce: 'ünïque', entitlements: payload.entitlements });
    });

    it('is the same by the id, and there is none without a nonce, for an unknown key, or of an explanation', async () => {
      const vendor = await Vendor.signUp(url);
      const license = await vendor.licenseUnder(FREE);
      const post = async (path: string, body: object) =>
        expectStatus(await vendor.api.post(`/licenses/${license.id}/${path}`, body), 200).body.data;
      expect((await vendor.validate(license)).token).toBeNull();
      expect((await post('validate', {})).token).toBeNull();
      expect((await post('explain', { nonce: 'n' })).token).toBeNull();
      expect(await vendor.validate({ key: 'no-such-key' }, { nonce: 'n', account: vendor.account.slug })).toMatchObject({
        code: 'NOT_FOUND',
        nonce: 'n',
        token: null,
      });
      // Nothing was looked up or made for any of these.
      expect(await keysOf(vendor)).toEqual([]);
      const { payload } = await verify(vendor, (await post('validate', { nonce: 'n' })).token);
      expect(payload).toMatchObject({ sub: license.id, valid: true, code: 'VALID', nonce: 'n', fingerprint: null });
    });

    it('of a refusal is signed as well, and good for five minutes', async () => {
      const vendor = await Vendor.signUp(url);
      const license = await vendor.licenseUnder(FREE);
      expectStatus(await vendor.api.post(`/licenses/${license.id}/suspend`), 200);
      const { payload } = await verify(vendor, await tokenOf(vendor, license));
      expect(payload).toMatchObject({ valid: false, code: 'SUSPENDED' });
      expect(payload.exp! - payload.iat!).toBe(300);
    });

    it('of the validation that starts the term ends with that term', async () => {
      const vendor = await Vendor.signUp(url);
      const license = await vendor.licenseUnder({ ...FREE, offlineMaxDays: 30, durationDays: 2, expirationBasis: 'FROM_FIRST_VALIDATION' });
      const answer = await vendor.validate(license, { nonce: 'n' });
      expect(decodeJwt(answer.token).exp).toBe(Math.floor(Date.parse(answer.license.expiresAt) / 1000));
    });

    it('by a key that was rotated out ends with its overlap', async () => {
      const vendor = await Vendor.signUp(url);
      const license = await vendor.licenseUnder(FREE);
      const before = Date.now();
      expectStatus(await vendor.api.post(`/licenses/${license.id}/rotate-key`, { overlapSeconds: 3600 }), 200);
      // The first validation is decided again while the license is held; the next one is not.
      for (let times = 0; times < 2; times += 1) {
        const { exp } = decodeJwt(await tokenOf(vendor, license));
        expect(exp! * 1000).toBeGreaterThan(before + 3_590_000);
        expect(exp! * 1000).toBeLessThanOrEqual(Date.now() + 3_600_000);
      }
    });

    it("lives in the time of the license's clock, and its key is published for as long", async () => {
      const vendor = await Vendor.signUp(url);
      const frozenAt = '2041-01-01T00:00:00.000Z';
      const { id: testClockId } = expectStatus(await vendor.testApi.post('/test-clocks', { frozenAt }), 201).body.data;
      const license = await vendor.licenseUnder(FREE, { testClockId }, vendor.testApi);
      const token = await tokenOf(vendor, license);
      const { payload } = await verify(vendor, token, 'test', { currentDate: new Date(frozenAt) });
      expect([payload.iat, payload.exp]).toEqual([Date.parse(frozenAt) / 1000, Date.parse(frozenAt) / 1000 + 7 * 86_400]);
      expect((await keysOf(vendor, 'test'))[0]!.published_until.getTime()).toBeGreaterThanOrEqual(payload.exp! * 1000);
    });

    it('is of its environment and account alone', async () => {
      const [vendor, stranger] = [await Vendor.signUp(url), await Vendor.signUp(url)];
      const tokens: string[] = [];
      for (const [owner, api] of [
        [vendor, vendor.api],
        [vendor, vendor.testApi],
        [stranger, stranger.api],
      ] as const)
        tokens.push(await tokenOf(owner, await owner.licenseUnder(FREE, {}, api)));
      const [live, test, foreign] = tokens as [string, string, string];
      expect(new Set(tokens.map((token) => decodeProtectedHeader(token).kid)).size).toBe(3);
      expect((await verify(vendor, live)).payload.environment).toBe('live');
      expect((await verify(vendor, test, 'test')).payload.environment).toBe('test');
      for (const [token, environment] of [
        [live, 'test'],
        [test, 'live'],
        [foreign, 'live'],
        [foreign, 'test'],
      ] as const)
        await expect(verify(vendor, token, environment)).rejects.toMatchObject({ code: 'ERR_JWKS_NO_MATCHING_KEY' });
      // Nor with the right key, where an app asks for its own vendor's: the audience is the account.
      await expect(verify(stranger, foreign, 'live', { audience: vendor.account.id })).rejects.toMatchObject({ claim: 'aud' });
      await expect(verify(vendor, live, 'live', { typ: 'latchkey-license+jwt' })).rejects.toMatchObject({ claim: 'typ' });
    });
  });

  describe('the key in use', () => {
    it('is made once, however many need the first at once, through several servers', async () => {
      const vendor = await Vendor.signUp(url);
      const license = await vendor.licenseUnder(FREE);
      const asked = Array.from({ length: 20 }, (_, index) => vendor.through(index % 2 === 0 ? url : other.url));
      const [tokens] = await Promise.all([
        Promise.all(asked.map((through) => tokenOf(through, license))),
        Promise.all(asked.slice(0, 6).map((through) => kidsOf(through))),
      ]);
      const keys = await keysOf(vendor);
      expect(keys).toHaveLength(1);
      expect(new Set(tokens.map((token) => decodeProtectedHeader(token).kid))).toEqual(new Set([keys[0]!.kid]));
    });

    it('has its private half sealed, bound to its row', async () => {
      const vendor = await Vendor.signUp(url);
      await kidsOf(vendor);
      const [key] = await keysOf(vendor);
      const masterKey = new MasterKey(Buffer.from(testMasterKey(), 'base64'));
      const seed = masterKey.open(key!.private_key_sealed!, `signing-key:${key!.id}`);
      const { x } = { x: key!.public_key.toString('base64url') };
      await expect(importJWK({ kty: 'OKP', crv: 'Ed25519', x, d: seed }, 'EdDSA')).resolves.toBeDefined();
      expect(() => masterKey.open(key!.private_key_sealed!, `signing-key:${vendor.account.id}`)).toThrow();
      const everything = JSON.stringify([await keySetOf(vendor), (await vendor.api.get('/account/signing-keys')).body]);
      expect(everything).not.toContain(seed);
      expect(everything).not.toContain('"d"');
    });

    it('is stored as published for longer than anything it signs, before that is answered, in steps of a day', async () => {
      const vendor = await Vendor.signUp(url);
      const license = await vendor.licenseUnder(FREE);
      const published = async () => (await keysOf(vendor))[0]!.published_until.getTime();
      const first = decodeJwt(await tokenOf(vendor, license)).exp! * 1000;
      const stepped = await published();
      expect(stepped - first).toBeGreaterThanOrEqual(DAY_MS);
      for (const through of [vendor, vendor.through(other.url)]) {
        await tokenOf(through, license);
        expect(await published()).toBe(stepped);
      }
      const longer = await vendor.licenseUnder({ ...FREE, offlineMaxDays: 90 });
      const ends = await Promise.all(
        Array.from(
          { length: 10 },
          async (_, index) => decodeJwt(await tokenOf(vendor.through(index % 2 === 0 ? url : other.url), longer)).exp!,
        ),
      );
      expect(await published()).toBeGreaterThanOrEqual(Math.max(...ends) * 1000);
    });
  });

  describe('rotation', () => {
    it('has a new key sign at once; what the old one signed stays good until it has expired, and then the old one is gone', async () => {
      const vendor = await Vendor.signUp(url);
      const license = await vendor.licenseUnder(FREE);
      const before = await tokenOf(vendor, license);
      const [old] = await kidsOf(vendor);
      const made = await rotate(vendor);
      expect(made).toMatchObject({ status: 'active', retiredAt: null });
      const after = await tokenOf(vendor, license);
      expect([before, after].map((token) => decodeProtectedHeader(token).kid)).toEqual([old, made.kid]);
      expect(await kidsOf(vendor)).toEqual([made.kid, old]);
      for (const token of [before, after]) await expect(verify(vendor, token)).resolves.toBeDefined();
      const [, retired] = await keysOf(vendor);
      expect(retired).toMatchObject({ kid: old, private_key_sealed: null, retired_at: expect.any(Date) });
      expect(retired!.published_until.getTime()).toBeGreaterThanOrEqual(decodeJwt(before).exp! * 1000);
      // As if all that it signed had expired.
      await database.query('UPDATE signing_key SET published_until = now() WHERE kid = $1', [old]);
      expect(await kidsOf(vendor)).toEqual([made.kid]);
      await expect(verify(vendor, before)).rejects.toMatchObject({ code: 'ERR_JWKS_NO_MATCHING_KEY' });
      await expect(verify(vendor, after)).resolves.toBeDefined();
    });

    it('of a leaked key takes it, and all before it, out of the key set at once', async () => {
      const vendor = await Vendor.signUp(url);
      const license = await vendor.licenseUnder(FREE);
      const tokens = [await tokenOf(vendor, license)];
      await rotate(vendor);
      tokens.push(await tokenOf(vendor, license));
      const made = await rotate(vendor, { revokePrevious: true });
      expect(await kidsOf(vendor)).toEqual([made.kid]);
      expect((await vendor.api.get('/account/signing-keys')).body.data).toMatchObject([{ kid: made.kid }]);
      for (const token of tokens) await expect(verify(vendor, token)).rejects.toMatchObject({ code: 'ERR_JWKS_NO_MATCHING_KEY' });
      await expect(verify(vendor, await tokenOf(vendor, license))).resolves.toBeDefined();
    });

    it('leaves one key in use, however many rotate and sign at once, through several servers', async () => {
      const vendor = await Vendor.signUp(url);
      const license = await vendor.licenseUnder(FREE);
      const through = (index: number) => vendor.through(index % 2 === 0 ? url : other.url);
      const [made, tokens] = await Promise.all([
        Promise.all(Array.from({ length: 6 }, (_, index) => rotate(through(index)))),
        Promise.all(Array.from({ length: 20 }, (_, index) => tokenOf(through(index), license))),
      ]);
      const keys = await keysOf(vendor);
      expect(keys.filter(({ retired_at: at }) => at === null)).toHaveLength(1);
      expect(keys.filter(({ private_key_sealed: sealed }) => sealed !== null)).toHaveLength(1);
      expect(keys).toHaveLength(7);
      expect(new Set(made.map(({ kid }) => kid as string)).size).toBe(6);
      for (const token of tokens) await expect(verify(vendor, token)).resolves.toBeDefined();
    });

    it('by another server is noticed before a key that signs no more would have to stay for longer', async () => {
      const vendor = await Vendor.signUp(url);
      const [license, longer] = [await vendor.licenseUnder(FREE), await vendor.licenseUnder({ ...FREE, offlineMaxDays: 90 })];
      await tokenOf(vendor, license);
      const [old] = await keysOf(vendor);
      const { kid } = await rotate(vendor.through(other.url));
      const token = await tokenOf(vendor, longer);
      expect(decodeProtectedHeader(token).kid).toBe(kid);
      await expect(verify(vendor, token)).resolves.toBeDefined();
      expect((await keysOf(vendor)).find(({ id }) => id === old!.id)).toMatchObject({ published_until: old!.published_until });
    });

    it('waits with what needs the key for longer than it says until a rotation is kept or lost', async () => {
      const vendor = await Vendor.signUp(url);
      const license = await vendor.licenseUnder(FREE);
      await kidsOf(vendor);
      const [key] = await keysOf(vendor);
      await database.query('BEGIN');
      await database.query('SELECT 1 FROM signing_key WHERE id = $1 FOR UPDATE', [key!.id]);
      let isAnswered = false;
      const token = tokenOf(vendor, license).finally(() => (isAnswered = true));
      // Others are not held up by it.
      await Vendor.signUp(url);
      const neighbour = await Vendor.signUp(url);
      await tokenOf(neighbour, await neighbour.licenseUnder(FREE));
      expect(isAnswered).toBe(false);
      await database.query('ROLLBACK');
      expect(decodeProtectedHeader(await token).kid).toBe(key!.kid);
    });

    it('is in the audit log, with names and no keys, and takes full access', async () => {
      const vendor = await Vendor.signUp(url);
      const [old] = await kidsOf(vendor);
      const { kid } = await rotate(vendor, { revokePrevious: false });
      const { data } = expectStatus(await vendor.api.get('/audit-logs?action=signing_key.rotated'), 200).body;
      expect(data).toMatchObject([
        { action: 'signing_key.rotated', resource: { type: 'signing_key' }, before: { kid: old }, after: { kid, revoked: [] } },
      ]);
      const limited = await vendor.keyWith('licenses:read', 'licenses:write');
      expect((await limited.post('/signing-keys/rotate', {})).status).toBe(403);
      expect((await limited.get('/account/signing-keys')).status).toBe(200);
      expect((await vendor.api.post('/signing-keys/rotate', { revokePrevious: 'yes' })).body.details.issues).toMatchObject([
        { path: 'revokePrevious' },
      ]);
      expect(await kidsOf(vendor)).toEqual([kid]);
    });
  });

  describe('the key set', () => {
    it('is a JWK Set that is open to all, by the id or the slug', async () => {
      const vendor = await Vendor.signUp(url);
      const path = `/.well-known/jwks.json?account=${vendor.account.slug.toUpperCase()}`;
      const reply = expectStatus(await send(url, 'GET', path, { headers: { origin: 'https://app.example' } }), 200);
      const [key] = await keysOf(vendor);
      const x = key!.public_key.toString('base64url');
      expect(reply.body).toEqual({
        keys: [{ kty: 'OKP', crv: 'Ed25519', x, kid: thumbprintOf(key!.public_key), use: 'sig', alg: 'EdDSA' }],
      });
      expect(reply.headers).toMatchObject({
        'content-type': expect.stringMatching(/^application\/json/),
        'access-control-allow-origin': '*',
        'cache-control': 'public, max-age=300',
      });
      expect(createLocalJWKSet(reply.body)).toBeDefined();
      expect(await keySetOf(vendor)).toEqual(reply.body);
    });

    it('is not sent again to who has it', async () => {
      const vendor = await Vendor.signUp(url);
      const ask = (tag?: string) => send(url, 'GET', keySetPath(vendor), { headers: tag === undefined ? {} : { 'if-none-match': tag } });
      const { headers } = await ask();
      const etag = String(headers.etag);
      const again = await ask(`"another", W/${etag}`);
      expect([again.status, again.text, again.headers.etag, again.headers['cache-control']]).toEqual([
        304,
        '',
        etag,
        'public, max-age=300',
      ]);
      await rotate(vendor);
      const changed = await ask(etag);
      expect([changed.status, changed.headers.etag === etag]).toEqual([200, false]);
    });

    it.each([
      ['no account', '', 400, 'account'],
      ['another environment', '?account={id}&environment=staging', 400, 'environment'],
      ['more than it takes', '?account={id}&format=pem', 400, 'format'],
      ['an account that is not there', '?account=no-such-account', 404, null],
      ['an id that is none', '?account=0198c5f6-7c1e-7a60-9d9b-0f4a3c1b2d3e', 404, null],
    ])('%s is refused, and the refusal is not kept', async (_what, query, status, field) => {
      const vendor = await Vendor.signUp(url);
      const reply = await send(url, 'GET', `/.well-known/jwks.json${query.replace('{id}', vendor.account.id)}`);
      expect([reply.status, reply.headers['cache-control'], reply.headers.etag]).toEqual([status, 'no-store', undefined]);
      expect(reply.body.details?.issues?.[0].path ?? null).toBe(field);
    });

    it('is there for the vendor as PEM and hex, of the environment of the key that asks', async () => {
      const vendor = await Vendor.signUp(url);
      await rotate(vendor);
      await tokenOf(vendor, await vendor.licenseUnder(FREE));
      await rotate(vendor);
      const ask = async (api: Client) => expectStatus(await api.get('/account/signing-keys'), 200);
      const { body, headers } = await ask(vendor.api);
      expect(headers['cache-control']).toBe('private, no-cache');
      const rows = (await keysOf(vendor)).slice(0, 2);
      expect(body.data.map(({ kid, status }: { kid: string; status: string }) => [kid, status])).toEqual([
        [rows[0]!.kid, 'active'],
        [rows[1]!.kid, 'retired'],
      ]);
      for (const [index, row] of rows.entries()) {
        const { jwk, pem, hex, publishedUntil, retiredAt } = body.data[index];
        expect(createPublicKey(pem).export({ format: 'jwk' })).toMatchObject({ x: jwk.x });
        expect(hex).toBe(publicHexOf(row.public_key));
        expect([publishedUntil, retiredAt]).toEqual([row.published_until.toISOString(), row.retired_at?.toISOString() ?? null]);
        expect(jwk.kid).toBe(
          createHash('sha256')
            .update(`{"crv":"Ed25519","kty":"OKP","x":"${jwk.x as string}"}`)
            .digest('base64url'),
        );
      }
      const { data } = (await ask(vendor.testApi)).body;
      expect(data.map(({ kid }: { kid: string }) => kid)).toEqual((await keysOf(vendor, 'test')).map(({ kid }) => kid));
    });
  });
});
