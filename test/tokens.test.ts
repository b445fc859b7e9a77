import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt, decodeProtectedHeader, SignJWT } from 'jose';
import { AccessTokens } from '../src/auth/access-tokens.js';
import { MasterKey } from '../src/core/master-key.js';
import { Metrics } from '../src/core/metrics.js';
import { generateApiKey } from '../src/domain/api-key.js';
import { allScopes, scopes } from '../src/domain/scopes.js';
import { anyone, type Client, type Reply, send, withKey } from './support/client.js';
import { startServer } from './support/server.js';
import { sharedServer } from './support/shared-server.js';
import { TEST_PLATFORM_TOKEN, testMasterKey } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

/** Short-lived tokens (contract: auth.md). */
describe('the token exchange', () => {
  const server = sharedServer();
  let vendor: Vendor;
  let masterKey: MasterKey;
  beforeAll(async () => {
    vendor = await Vendor.signUp(server.url);
    masterKey = new MasterKey(Buffer.from(testMasterKey(), 'base64'));
  });

  const json = (body: object): Promise<Reply> => anyone(server.url).post('/auth/token', body);
  const form = (fields: Record<string, string>, headers: Record<string, string> = {}): Promise<Reply> =>
    send(server.url, 'POST', '/api/v1/auth/token', {
      raw: new URLSearchParams(fields).toString(),
      headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
    });
  const basic = (id: string, secret: string): Record<string, string> => ({
    authorization: `Basic ${Buffer.from(`${encodeURIComponent(id)}:${encodeURIComponent(secret)}`).toString('base64')}`,
  });
  const tokenFor = async (client: Vendor | { key: string }, more: object = {}): Promise<string> => {
    const secret = client instanceof Vendor ? client.liveKey : client.key;
    return expectStatus(await json({ oid: vendor.account.id, secret, ...more }), 200).body.jwt;
  };
  const use = (jwt: string): Client => withKey(server.url, jwt);
  const codeOf = ({ status, body }: Reply): [number, string | undefined] => [status, body?.code];
  const key = async (fields: object): Promise<{ id: string; key: string }> =>
    expectStatus(await vendor.api.post('/api-keys', { name: 'x', ...fields }), 201).body.data;

  it('takes JSON, a form, and the OAuth 2 spellings alike, and answers the OAuth 2 shape', async () => {
    const { id, slug } = vendor.account;
    const secret = vendor.liveKey;
    const grant = { grant_type: 'client_credentials' };
    for (const reply of [
      await json({ oid: id, secret }),
      await json({ oid: slug, secret }),
      await json({ ...grant, client_id: id, client_secret: secret }),
      await form({ oid: id, secret }),
      await form({ ...grant, client_id: id, client_secret: secret }),
      await form(grant, basic(id, secret)),
      await form({ ...grant, scope: '' }, basic(slug, secret)),
    ]) {
      expect(reply.status).toBe(200);
      expect(reply.headers['cache-control']).toBe('no-store');
      expect(reply.body).toEqual({
        jwt: expect.stringMatching(/^[\w-]+\.[\w-]+\.[\w-]+$/),
        access_token: reply.body.jwt,
        token_type: 'Bearer',
        expires_in: expect.any(Number),
        scope: allScopes.join(' '),
      });
      expect(reply.body.expires_in).toBe(3600);
      expect((await use(reply.body.jwt).get('/account')).body.data.id).toBe(id);
    }
  });

  it('makes JWTs that say what they are: EdDSA, a key id, a type of their own, who, for whom, how long', async () => {
    const jwt = await tokenFor(vendor, { scopes: ['licenses:read'] });
    expect(decodeProtectedHeader(jwt)).toEqual({ alg: 'EdDSA', typ: 'latchkey-access+jwt', kid: masterKey.accessTokenKey.id });
    const { iat = 0, exp = 0, ...claims } = decodeJwt(jwt);
    expect(claims).toEqual({
      iss: 'latchkey',
      aud: 'latchkey-api',
      sub: vendor.account.id,
      oid: vendor.account.id,
      jti: expect.any(String),
      api_key: expect.any(String),
      scope: 'licenses:read',
    });
    expect(exp - iat).toBeLessThanOrEqual(3600);
    expect(jwt).not.toContain(vendor.liveKey.slice(12));
  });

  it('makes tokens that do what their key may, in all three header forms, and no more when narrowed', async () => {
    const both = await key({ scopes: ['products:read', 'policies:read'] });
    const jwt = await tokenFor(both);
    const narrow = await tokenFor(both, { scope: 'products:read' });
    for (const headers of <Record<string, string>[]>[
      { authorization: `Bearer ${jwt}` },
      { authorization: `ApiKey ${jwt}` },
      { 'x-api-key': jwt },
    ])
      expect((await send(server.url, 'GET', '/api/v1/products', { headers })).status).toBe(200);
    expect((await use(jwt).get('/policies')).status).toBe(200);
    expect((await use(narrow).get('/products')).status).toBe(200);
    const refused = await use(narrow).get('/policies');
    expect([...codeOf(refused), refused.body.details]).toEqual([403, 'INSUFFICIENT_SCOPE', { requiredScopes: ['policies:read'] }]);
    expect(codeOf(await use(jwt).get('/licenses'))).toEqual([403, 'INSUFFICIENT_SCOPE']);
    expect((await use(narrow).get('/api-keys/current')).body.data).toMatchObject({ id: both.id, effectiveScopes: ['products:read'] });
  });

  it('never gives a scope that the key lacks, at the exchange or afterwards', async () => {
    const reader = await key({ scopes: ['products:read', 'api-keys:write'] });
    const refused = await json({ oid: vendor.account.id, secret: reader.key, scopes: ['products:read', 'products:write'] });
    expect([...codeOf(refused), refused.body.details]).toEqual([403, 'INSUFFICIENT_SCOPE', { requiredScopes: ['products:write'] }]);
    const narrowed = use(await tokenFor(vendor, { scopes: ['products:read', 'api-keys:write'] }));
    for (const wish of [{}, { scopes: [] }, { preset: 'full' }, { scopes: ['licenses:read'] }])
      expect(codeOf(await narrowed.post('/api-keys', { name: 'x', ...wish }))).toEqual([403, 'INSUFFICIENT_SCOPE']);
    expect((await narrowed.post('/api-keys', { name: 'x', scopes: ['products:read'] })).status).toBe(201);
    expect(codeOf(await narrowed.patch('/account', { name: 'x' }))).toEqual([403, 'INSUFFICIENT_SCOPE']);
    // What the key loses, its tokens lose: all of it is not none of it.
    const jwt = await tokenFor(reader, { scopes: ['products:read'] });
    expectStatus(await vendor.api.patch(`/api-keys/${reader.id}`, { scopes: ['licenses:read'] }), 200);
    expect(codeOf(await use(jwt).get('/products'))).toEqual([401, 'AUTH_FAILED']);
    expect(codeOf(await use(jwt).get('/licenses'))).toEqual([401, 'AUTH_FAILED']);
  });

  it('never makes a token that outlives its key', async () => {
    const soon = await key({ expiresAt: new Date(Date.now() + 90_000).toISOString() });
    const { body } = expectStatus(await json({ oid: vendor.account.id, secret: soon.key }), 200);
    expect(body.expires_in).toBeLessThanOrEqual(90);
    expect(body.expires_in).toBeGreaterThan(60);
    expectStatus(await vendor.api.patch(`/api-keys/${soon.id}`, { expiresAt: new Date(Date.now() - 1000).toISOString() }), 200);
    expect(codeOf(await use(body.jwt).get('/account'))).toEqual([401, 'API_KEY_EXPIRED']);
  });

  it('makes tokens that make nothing that outlives their hour', async () => {
    const full = use(await tokenFor(vendor));
    const { expiresAt } = expectStatus(await full.post('/api-keys', { name: 'x' }), 201).body.data;
    const leftMs = Date.parse(expiresAt) - Date.now();
    expect(leftMs > 3_500_000 && leftMs <= 3_600_000).toBe(true);
    for (const end of [null, '2999-01-01T00:00:00Z'])
      expect(codeOf(await full.post('/api-keys', { name: 'x', expiresAt: end }))).toEqual([403, 'INSUFFICIENT_SCOPE']);
    const { id } = await key({});
    expect(codeOf(await full.post(`/api-keys/${id}/rotate`, {}))).toEqual([403, 'INSUFFICIENT_SCOPE']);
    const user = expectStatus(await full.post('/users', { name: 'Ada', email: 'ada@example.com', role: 'support' }), 201).body.data;
    const made = expectStatus(await full.post(`/users/${user.id}/keys`, { name: 'x' }), 201).body.data;
    expect(Date.parse(made.expiresAt)).toBeLessThanOrEqual(Date.parse(expiresAt));
  });

  it('loses its tokens with the key, at once', async () => {
    const { id, key: secret } = await key({});
    const jwt = await tokenFor({ key: secret });
    expect((await use(jwt).get('/account')).status).toBe(200);
    expect((await vendor.api.delete(`/api-keys/${id}`)).status).toBe(204);
    const reply = await use(jwt).get('/account');
    expect(codeOf(reply)).toEqual([401, 'API_KEY_REVOKED']);
    expect(reply.headers['www-authenticate']).toBeDefined();
    expect(codeOf(await json({ oid: vendor.account.id, secret }))).toEqual([401, 'API_KEY_REVOKED']);
  });

  it('is 401 for a wrong secret, or one of another account, and says no more than that', async () => {
    const stranger = await Vendor.signUp(server.url);
    const { id } = vendor.account;
    const bodies: unknown[] = [];
    for (const [oid, secret] of [
      [id, generateApiKey('live')],
      [id, 'nonsense'],
      [id, `${vendor.liveKey.slice(0, -1)}${vendor.liveKey.endsWith('0') ? '1' : '0'}`],
      [id, TEST_PLATFORM_TOKEN],
      [id, await tokenFor(vendor)],
      [id, generateApiKey('user')],
    ] as const) {
      const reply = await json({ oid, secret });
      expect([secret, ...codeOf(reply)]).toEqual([secret, 401, 'AUTH_FAILED']);
      expect(reply.headers['www-authenticate']).toBeDefined();
      bodies.push({ ...reply.body, requestId: null });
    }
    for (const body of bodies) expect(body).toEqual(bodies[0]);
    for (const oid of [stranger.account.id, stranger.account.slug, 'no-such-account'])
      expect(codeOf(await json({ oid, secret: vendor.liveKey }))).toEqual([401, 'AUTH_FAILED']);
  });

  it('says what is wrong with a request, in its own words and in those of OAuth 2', async () => {
    const { id } = vendor.account;
    const missing = await json({});
    expect([...codeOf(missing), missing.body.details.issues.map(({ path }: { path: string }) => path)]).toEqual([
      400,
      'VALIDATION_ERROR',
      ['secret', 'oid'],
    ]);
    expect(missing.body.error_description).toBe(missing.body.message);
    const oauth: [Record<string, string>, Record<string, string>, number, string][] = [
      [{ grant_type: 'client_credentials', client_id: id, client_secret: 'nonsense' }, {}, 401, 'invalid_client'],
      [{ grant_type: 'client_credentials' }, basic(id, 'nonsense'), 401, 'invalid_client'],
      [{ grant_type: 'client_credentials' }, {}, 400, 'invalid_request'],
      [{ grant_type: 'password', client_id: id, client_secret: vendor.liveKey }, {}, 400, 'unsupported_grant_type'],
      [{ grant_type: 'client_credentials', scope: 'fly' }, basic(id, vendor.liveKey), 400, 'invalid_scope'],
      [{ grant_type: 'client_credentials', client_secret: vendor.liveKey }, basic(id, vendor.liveKey), 400, 'invalid_request'],
    ];
    for (const [fields, headers, status, error] of oauth) {
      const { body, ...reply } = await form(fields, headers);
      expect([fields, reply.status, body.error]).toEqual([fields, status, error]);
      expect(body).toMatchObject({ code: expect.any(String), message: body.error_description, requestId: expect.any(String) });
    }
    // Who used HTTP Basic is asked for that first, and only where it is taken.
    const grant = { grant_type: 'client_credentials' };
    const challenges = 'Bearer realm="latchkey", ApiKey realm="latchkey", License realm="latchkey"';
    for (const [reply, expected] of <[Reply, string][]>[
      [await form(grant, basic(id, 'nonsense')), `Basic realm="latchkey", ${challenges}`],
      [await form({ ...grant, client_id: id, client_secret: 'nonsense' }), challenges],
      [await send(server.url, 'GET', '/api/v1/account', { headers: basic(id, vendor.liveKey) }), challenges],
    ])
      expect([reply.status, reply.headers['www-authenticate']]).toEqual([401, expected]);
    // Without a grant type a form is no OAuth, and gets the words of all other routes.
    expect((await form({ oid: id, secret: 'nonsense' })).body.error).toBe('Unauthorized');
    expect((await send(server.url, 'POST', '/api/v1/licenses/validate-key', { raw: 'key=x', headers: { 'content-type': 'application/x-www-form-urlencoded' } })).status).toBe(415); // prettier-ignore
  });

  it('says what bodies it takes when it cannot read one', async () => {
    const raw = (contentType: string, text: string): Promise<Reply> =>
      send(server.url, 'POST', '/api/v1/auth/token', { raw: text, headers: { 'content-type': contentType } });
    for (const [reply, status, code, message] of <[Reply, number, string, RegExp][]>[
      [await raw('text/plain', 'oid=x'), 415, 'UNSUPPORTED_MEDIA_TYPE', /application\/json or application\/x-www-form-urlencoded/],
      [await raw('application/json', 'oid=x'), 400, 'MALFORMED_JSON', /not valid JSON.*application\/x-www-form-urlencoded/],
      [await raw('application/x-www-form-urlencoded', 'a=1&'.repeat(1001)), 413, 'PAYLOAD_TOO_LARGE', /more than 1000 fields/],
    ])
      expect([...codeOf(reply), reply.body.message]).toEqual([status, code, expect.stringMatching(message)]);
  });

  describe('a token', () => {
    const { privateKey: foreignKey } = generateKeyPairSync('ed25519');
    const claimsOf = async () => decodeJwt(await tokenFor(vendor));
    const signed = async (header: object, claims: object, signer = masterKey.accessTokenKey.privateKey): Promise<string> =>
      new SignJWT({ ...(await claimsOf()), ...claims })
        .setProtectedHeader({ alg: 'EdDSA', typ: 'latchkey-access+jwt', kid: masterKey.accessTokenKey.id, ...header })
        .sign(signer);
    const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString('base64url');

    it('of ours is taken, which is what the refusals below are measured against', async () => {
      expect((await use(await signed({}, {})).get('/account')).status).toBe(200);
    });

    it('of another kind, another key, or none is refused', async () => {
      const [header, payload, signature = ''] = (await tokenFor(vendor)).split('.');
      const claims = await claimsOf();
      const flipped = signature.replace(/^./, (first) => (first === 'A' ? 'B' : 'A'));
      for (const [what, jwt] of Object.entries({
        'another type': await signed({ typ: 'latchkey-license+jwt' }, {}),
        'no type of ours': await signed({ typ: 'JWT' }, {}),
        'no type': await signed({ typ: undefined }, {}),
        'another key id': await signed({ kid: 'other' }, {}),
        'no key id': await signed({ kid: undefined }, {}),
        'another signer': await signed({}, {}, createPrivateKey(foreignKey.export({ format: 'pem', type: 'pkcs8' }))),
        'another issuer': await signed({}, { iss: 'someone' }),
        'another audience': await signed({}, { aud: 'someone' }),
        'no end': await signed({}, { exp: undefined }),
        'a time to come': await signed({}, { nbf: Math.floor(Date.now() / 1000) + 600 }),
        'a flipped bit': `${header ?? ''}.${payload ?? ''}.${flipped}`,
        'a changed claim': `${header ?? ''}.${encode({ ...claims, exp: (claims.exp ?? 0) + 3600 })}.${signature}`,
        'alg none': `${encode({ alg: 'none', typ: 'latchkey-access+jwt', kid: masterKey.accessTokenKey.id })}.${payload ?? ''}.`,
        'HS256 with the public key': await new SignJWT(claims)
          .setProtectedHeader({ alg: 'HS256', typ: 'latchkey-access+jwt', kid: masterKey.accessTokenKey.id })
          .sign(masterKey.accessTokenKey.publicKey.export({ format: 'der', type: 'spki' })),
      })) {
        expect([what, ...codeOf(await use(jwt).get('/account'))]).toEqual([what, 401, 'AUTH_FAILED']);
      }
    });

    it('that has ended says so, also one that was good a moment ago', async () => {
      const past = Math.floor(Date.now() / 1000) - 1;
      expect(codeOf(await use(await signed({}, { exp: past })).get('/account'))).toEqual([401, 'TOKEN_EXPIRED']);
      const tokens = new AccessTokens(masterKey, new Metrics());
      const now = new Date();
      const claims = {
        key: { kind: 'apiKey' as const, id: 'x' },
        accountId: null,
        scopes: null,
        expiresAt: new Date(now.getTime() + 60_000),
      };
      const jwt = await tokens.sign(claims, 'x', now);
      await expect(tokens.verify(jwt, now)).resolves.toMatchObject({ key: claims.key });
      await expect(tokens.verify(jwt, new Date(now.getTime() + 61_000))).rejects.toMatchObject({ code: 'TOKEN_EXPIRED' });
    });
  });
});

describe('the catalogue of scopes', () => {
  it('is public and complete', async () => {
    const server = await startServer();
    try {
      const { data } = expectStatus(await anyone(server.url).get('/auth/scopes'), 200).body;
      expect(data.map(({ name, description }: { name: string; description: string }) => [name, description])).toEqual(
        Object.entries(scopes),
      );
      expect(data[0]).toMatchObject({
        presets: ['full', 'read-only', 'validation'],
        roles: ['owner', 'admin', 'developer', 'support', 'read-only'],
      });
    } finally {
      await server.stop();
    }
  });
});
