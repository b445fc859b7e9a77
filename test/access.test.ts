import { createSecretKey } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Controller, Get, Module, Post, type Type } from '@nestjs/common';
import { DiscoveryModule, NestFactory } from '@nestjs/core';
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { Public, Requires } from '../src/auth/access.js';
import { listRoutes } from '../src/auth/routes.js';
import { MasterKey } from '../src/core/master-key.js';
import { generateApiKey } from '../src/domain/api-key.js';
import { generateLicenseKey } from '../src/domain/license-key.js';
import { allScopes, scopePresets } from '../src/domain/scopes.js';
import { anyone, Client, type Reply, send, withKey, withLicense } from './support/client.js';
import { startServer } from './support/server.js';
import { sharedServer } from './support/shared-server.js';
import { TEST_PLATFORM_TOKEN, testDatabaseUrl, testMasterKey } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

/** Who may call what (contract: auth.md). */
describe('access', () => {
  const server = sharedServer();
  let database: pg.Client;
  let vendor: Vendor;
  beforeAll(async () => {
    database = new pg.Client({ connectionString: testDatabaseUrl() });
    await database.connect();
    vendor = await Vendor.signUp(server.url);
  });
  afterAll(async () => {
    await database.end();
  });

  /** Everything but one scope: nearly full access. */
  async function keyWithout(scope: string): Promise<Client> {
    const scopes = allScopes.filter((other) => other !== scope);
    const { body } = expectStatus(await vendor.api.post('/api-keys', { name: `all but ${scope}`, scopes }), 201);
    return withKey(server.url, body.data.key);
  }
  /** Its end was a moment ago. */
  const expire = (id: string): Promise<unknown> =>
    database.query("UPDATE api_key SET expires_at = now() - interval '1 second' WHERE id = $1", [id]);
  const accountWith = (headers: Record<string, string | string[]>): Promise<Reply> =>
    send(server.url, 'GET', '/api/v1/account', { headers });
  const codeOf = ({ status, body }: Reply): [number, string | undefined] => [status, body?.code];

  describe('an API key', () => {
    it('is taken in three headers alike, whatever the case of the scheme and the space around', async () => {
      const key = vendor.liveKey;
      for (const headers of <Record<string, string>[]>[
        { authorization: `Bearer ${key}` },
        { authorization: `ApiKey ${key}` },
        { 'x-api-key': key },
        { authorization: `bearer ${key}` },
        { authorization: `BEARER ${key}` },
        { authorization: `apikey ${key}` },
        { authorization: `APIKEY   ${key}  ` },
        { authorization: `Bearer\t${key}` },
        { 'X-API-KEY': ` ${key} ` },
      ]) {
        const reply = await accountWith(headers);
        expect([headers, reply.status, reply.body.data?.id]).toEqual([headers, 200, vendor.account.id]);
      }
    });

    it('may be sent twice, and not beside another', async () => {
      const key = vendor.liveKey;
      for (const headers of <Record<string, string | string[]>[]>[
        { authorization: `Bearer ${key}`, 'x-api-key': key },
        { authorization: `ApiKey ${key}`, 'x-api-key': `${key} ` },
        { 'x-api-key': [key, key] },
      ]) {
        expect([headers, (await accountWith(headers)).status]).toEqual([headers, 200]);
      }
      for (const headers of <Record<string, string | string[]>[]>[
        { authorization: `Bearer ${key}`, 'x-api-key': vendor.testKey },
        { authorization: `Bearer ${key}`, 'x-api-key': '' },
        { authorization: `Bearer ${key}`, 'x-api-key': 'x' },
        { authorization: `License ${key}`, 'x-api-key': key },
        { 'x-api-key': [key, vendor.testKey] },
      ]) {
        expect([headers, codeOf(await accountWith(headers))]).toEqual([headers, [401, 'AUTH_FAILED']]);
      }
    });

    it('that is missing, malformed or unknown is 401', async () => {
      const key = vendor.liveKey;
      for (const headers of <Record<string, string>[]>[
        {},
        { authorization: '' },
        { authorization: 'Bearer' },
        { authorization: 'Bearer ' },
        { authorization: key },
        { authorization: `Bearer${key}` },
        { authorization: `Basic ${Buffer.from(`${key}:`).toString('base64')}` },
        { authorization: `Token ${key}` },
        { authorization: `constructor ${key}` },
        { authorization: `__proto__ ${key}` },
        { authorization: `Bearer ${key} ${key}` },
        { authorization: `Bearer "${key}"` },
        { authorization: `Bearer ${key},` },
        { authorization: `Bearer ${key.slice(0, -1)}` },
        { authorization: `Bearer ${key.toUpperCase()}` },
        { authorization: `Bearer ${key.replace('live', 'test')}` },
        { authorization: `Bearer ${swapLast(key)}` },
        { authorization: `Bearer ${generateApiKey('live')}` },
        { authorization: `Bearer ${'x'.repeat(4000)}` },
        { authorization: 'Bearer schlüssel' },
        { 'x-api-key': '' },
        { 'x-api-key': `Bearer ${key}` },
        { cookie: `api_key=${key}` },
      ]) {
        const reply = await accountWith(headers);
        expect([headers, ...codeOf(reply)]).toEqual([headers, 401, 'AUTH_FAILED']);
        expect(reply.headers['www-authenticate']).toMatch(/Bearer .*ApiKey .*License /);
      }
    });

    it('is not taken from the query', async () => {
      const reply = await anyone(server.url).get(`/account?api_key=${vendor.liveKey}`);
      expect(codeOf(reply)).toEqual([401, 'AUTH_FAILED']);
      expect(reply.text).not.toContain(vendor.liveKey);
    });

    it('ends when it expires, also by a change, and lives again when the end is taken away', async () => {
      const { id, key } = expectStatus(await vendor.api.post('/api-keys', { name: 'x', expiresAt: '2999-01-01T00:00:00Z' }), 201).body.data;
      await expire(id);
      const client = withKey(server.url, key);
      expect(codeOf(await client.get('/account'))).toEqual([401, 'API_KEY_EXPIRED']);
      expect((await vendor.api.get(`/api-keys/${id}`)).body.data.status).toBe('expired');
      expectStatus(await vendor.api.patch(`/api-keys/${id}`, { expiresAt: null }), 200);
      expect((await client.get('/account')).status).toBe(200);
      expectStatus(await vendor.api.patch(`/api-keys/${id}`, { expiresAt: '2999-01-01T00:00:00Z' }), 200);
      expect((await client.get('/account')).status).toBe(200);
    });

    it('is revoked at once, and stays readable', async () => {
      const { id, key } = expectStatus(await vendor.api.post('/api-keys', { name: 'x' }), 201).body.data;
      const client = withKey(server.url, key);
      expect((await client.get('/account')).status).toBe(200);
      expect((await vendor.api.delete(`/api-keys/${id}`)).status).toBe(204);
      const reply = await client.get('/account');
      expect(codeOf(reply)).toEqual([401, 'API_KEY_REVOKED']);
      expect(reply.headers['www-authenticate']).toBeDefined();
      expect((await vendor.api.get(`/api-keys/${id}`)).body.data).toMatchObject({ id, status: 'revoked' });
      expect((await vendor.api.get('/api-keys?limit=100')).body.data.map((listed: { id: string }) => listed.id)).toContain(id);
      expect((await vendor.api.delete(`/api-keys/${id}`)).status).toBe(204);
      const revived = await vendor.api.patch(`/api-keys/${id}`, { expiresAt: null });
      expect([...codeOf(revived), revived.body.details]).toEqual([409, 'CONFLICT', { status: 'revoked' }]);
    });

    it('is revoked by none that may do less', async () => {
      const { id, key } = expectStatus(await vendor.api.post('/api-keys', { name: 'x' }), 201).body.data;
      const weaker = await vendor.keyWith('api-keys:write', 'licenses:read');
      expect(codeOf(await weaker.delete(`/api-keys/${id}`))).toEqual([403, 'INSUFFICIENT_SCOPE']);
      expect((await withKey(server.url, key).get('/account')).status).toBe(200);
      const equal = expectStatus(await vendor.api.post('/api-keys', { name: 'x', scopes: ['licenses:read'] }), 201).body.data;
      expect((await weaker.delete(`/api-keys/${equal.id}`)).status).toBe(204);
    });

    it('may revoke itself', async () => {
      const { id, key } = expectStatus(await vendor.api.post('/api-keys', { name: 'x' }), 201).body.data;
      const client = withKey(server.url, key);
      expect((await client.delete(`/api-keys/${id}`)).status).toBe(204);
      expect(codeOf(await client.get('/account'))).toEqual([401, 'API_KEY_REVOKED']);
    });

    it('knows itself, whatever its scopes', async () => {
      const client = await vendor.keyWith('analytics:read');
      const { data } = expectStatus(await client.get('/api-keys/current'), 200).body;
      expect(data).toMatchObject({
        scopes: ['analytics:read'],
        effectiveScopes: ['analytics:read'],
        environment: 'live',
        status: 'active',
      });
      expect(data.account).toEqual({ id: vendor.account.id, name: vendor.account.slug, slug: vendor.account.slug });
      const full = expectStatus(await vendor.testApi.get('/api-keys/current'), 200).body.data;
      expect(full).toMatchObject({ scopes: [], effectiveScopes: allScopes, environment: 'test' });
    });
  });

  describe('scopes', () => {
    it('are asked for by every route that declares them: a key with all others is 403, and told which', async () => {
      const { paths } = expectStatus(await send(server.url, 'GET', '/openapi.json'), 200).body;
      const keys = new Map<string, Client>();
      let asked = 0;
      for (const [path, methods] of Object.entries<Record<string, { 'x-required-scopes'?: string[] }>>(paths)) {
        for (const [method, operation] of Object.entries(methods)) {
          for (const scope of operation['x-required-scopes'] ?? []) {
            const client = keys.get(scope) ?? (await keyWithout(scope));
            keys.set(scope, client);
            const reply = await client.call(method.toUpperCase(), path.replace('/api/v1', '').replace(/\{\w+\}/g, uuidv7()));
            expect([method, path, ...codeOf(reply), reply.body.details]).toEqual([
              method,
              path,
              403,
              'INSUFFICIENT_SCOPE',
              { requiredScopes: [scope] },
            ]);
            expect(reply.body.message).toContain(scope);
            asked += 1;
          }
        }
      }
      expect(asked).toBeGreaterThanOrEqual(35);
    });

    it('are enough alone: a key with just the one gets through', async () => {
      const list: [string, string][] = [
        ['api-keys:read', '/api-keys'],
        ['products:read', '/products'],
        ['policies:read', '/policies'],
        ['entitlements:read', '/entitlements'],
        ['licenses:read', '/licenses'],
        ['machines:read', '/machines'],
        ['webhooks:read', '/webhooks'],
      ];
      for (const [scope, path] of list) {
        const client = await vendor.keyWith(scope);
        for (const [, other] of list)
          expect([scope, other, (await client.get(other)).status]).toEqual([scope, other, other === path ? 200 : 403]);
      }
      const writer = await vendor.keyWith('products:write');
      expect((await writer.post('/products', { name: 'x', code: 'writer' })).status).toBe(201);
      expect((await writer.get('/products')).status).toBe(403);
    });

    it('hide license keys from a key that may not read licenses', async () => {
      const license = await vendor.licenseUnder({});
      const writer = await vendor.keyWith('licenses:write');
      const renamed = expectStatus(await writer.patch(`/licenses/${license.id}`, { name: 'x' }), 200);
      expect(renamed.body.data.key).toBeNull();
      expect(renamed.text).not.toContain(license.key);
    });

    it('of nobody but a full-access key reach the account itself', async () => {
      const client = await keyWithout('users:write');
      const reply = await client.patch('/account', { name: 'mine now' });
      expect(codeOf(reply)).toEqual([403, 'INSUFFICIENT_SCOPE']);
      expect((await client.get('/account')).status).toBe(200);
    });
  });

  describe('a key made by a key', () => {
    it('has what its preset says', async () => {
      for (const [preset, scopes] of Object.entries(scopePresets)) {
        const { data } = expectStatus(await vendor.api.post('/api-keys', { name: preset, preset }), 201).body;
        expect([preset, data.scopes]).toEqual([preset, [...scopes]]);
      }
      expect(scopePresets).toEqual({
        full: [],
        'read-only': allScopes.filter((scope) => scope.endsWith(':read')),
        webhooks: ['webhooks:read', 'webhooks:write', 'events:read'],
        validation: ['licenses:read', 'machines:read', 'machines:write'],
      });
      const { data } = expectStatus(await vendor.api.post('/api-keys', { name: 'neither' }), 201).body;
      expect(data.scopes).toEqual([]);
    });

    it('never has a scope that its maker lacks', async () => {
      const maker = await vendor.keyWith('api-keys:write', 'licenses:read');
      const grant = async (fields: object): Promise<unknown> => {
        const { status, body } = await maker.post('/api-keys', { name: 'x', ...fields });
        return status === 201 ? 201 : [status, body.code, body.details.requiredScopes];
      };
      const lacking = allScopes.filter((scope) => !['api-keys:write', 'licenses:read'].includes(scope));
      expect(await grant({ scopes: ['licenses:read'] })).toBe(201);
      expect(await grant({ scopes: ['licenses:read', 'api-keys:write'] })).toBe(201);
      expect(await grant({ scopes: ['licenses:read', 'licenses:write'] })).toEqual([403, 'INSUFFICIENT_SCOPE', ['licenses:write']]);
      expect(await grant({ preset: 'validation' })).toEqual([403, 'INSUFFICIENT_SCOPE', ['machines:read', 'machines:write']]);
      for (const everything of [{}, { scopes: [] }, { preset: 'full' }]) {
        expect(await grant(everything)).toEqual([403, 'INSUFFICIENT_SCOPE', lacking]);
      }
    });

    it('never gets by a change what its changer lacks', async () => {
      const maker = await vendor.keyWith('api-keys:write', 'api-keys:read', 'licenses:read');
      const own = expectStatus(await maker.get('/api-keys/current'), 200).body.data;
      const made = expectStatus(await maker.post('/api-keys', { name: 'x', scopes: ['licenses:read'] }), 201).body.data;
      for (const id of [own.id, made.id]) {
        for (const scopes of [[], ['licenses:write'], ['licenses:read', 'products:read']]) {
          expect([id, scopes, ...codeOf(await maker.patch(`/api-keys/${id}`, { scopes }))]).toEqual([
            id,
            scopes,
            403,
            'INSUFFICIENT_SCOPE',
          ]);
        }
      }
      expect((await maker.get(`/api-keys/${made.id}`)).body.data.scopes).toEqual(['licenses:read']);
      expectStatus(await maker.patch(`/api-keys/${made.id}`, { scopes: ['api-keys:read'] }), 200);
      expect((await withKey(server.url, made.key).get('/api-keys')).status).toBe(200);
      expect((await withKey(server.url, made.key).get('/licenses')).status).toBe(403);
    });

    it('is not prolonged, nor changed otherwise, by one that lacks what it may do', async () => {
      const maker = await vendor.keyWith('api-keys:write', 'licenses:read');
      const stronger = expectStatus(await vendor.api.post('/api-keys', { name: 'x', expiresAt: '2999-01-01T00:00:00Z' }), 201).body.data;
      await expire(stronger.id);
      expect(codeOf(await maker.patch(`/api-keys/${stronger.id}`, { expiresAt: null }))).toEqual([403, 'INSUFFICIENT_SCOPE']);
      expect(codeOf(await withKey(server.url, stronger.key).get('/api-keys/current'))).toEqual([401, 'API_KEY_EXPIRED']);
    });

    it('is full access only without a list of scopes, and a refusal says so', async () => {
      const { key } = expectStatus(await vendor.api.post('/api-keys', { name: 'every scope', scopes: allScopes }), 201).body.data;
      const { status, body } = await withKey(server.url, key).patch('/account', { name: 'mine now' });
      expect([status, body.code, body.details]).toEqual([403, 'INSUFFICIENT_SCOPE', { requiredScopes: [] }]);
      expect(body.message).toBe('This route needs full access: an API key without a list of scopes, or an owner.');
    });

    it('opens the other environment only when its maker has full access', async () => {
      const made = expectStatus(await vendor.api.post('/api-keys', { name: 'x', environment: 'test' }), 201).body.data;
      expect(made).toMatchObject({ environment: 'test', key: expect.stringMatching(/^lk_test_/) });
      expect((await withKey(server.url, made.key).get('/api-keys/current')).body.data.environment).toBe('test');
      expect((await vendor.api.get(`/api-keys/${made.id}`)).status).toBe(404);
      expect((await vendor.testApi.get(`/api-keys/${made.id}`)).status).toBe(200);

      const limited = await keyWithout('users:write');
      const fields = { name: 'x', scopes: ['licenses:read'] };
      expect(codeOf(await limited.post('/api-keys', { ...fields, environment: 'test' }))).toEqual([403, 'INSUFFICIENT_SCOPE']);
      expect((await limited.post('/api-keys', { ...fields, environment: 'live' })).status).toBe(201);
    });
  });

  describe('the secret of a key', () => {
    it('is shown once and never again', async () => {
      const created = expectStatus(await vendor.api.post('/api-keys', { name: 'secret', metadata: { for: 'a test' } }), 201);
      const { id, key, maskedKey } = created.body.data;
      expect(key).toMatch(/^lk_live_[0-9A-Za-z]{38}$/);
      expect(maskedKey).toBe(`${key.slice(0, 12)}…${key.slice(-4)}`);
      expect(created.headers.location).toBe(`/api/v1/api-keys/${id}`);
      const client = withKey(server.url, key);
      for (const reply of [
        await vendor.api.get(`/api-keys/${id}`),
        await vendor.api.get('/api-keys?limit=100'),
        await client.get('/api-keys/current'),
        await vendor.api.patch(`/api-keys/${id}`, { name: 'renamed' }),
        await client.get('/no-such-route'),
        await client.post('/api-keys', { name: key, scopes: 'x' }),
        await vendor.api.delete(`/api-keys/${id}`),
        await client.get('/account'),
      ]) {
        expect(reply.text).not.toContain(key);
        expect(reply.text).not.toContain(key.slice(12, -4));
        expect(JSON.stringify(reply.headers)).not.toContain(key.slice(12, -4));
        expect(Object.keys(reply.body?.data ?? {})).not.toContain('digest');
      }
    });

    it('is stored as a keyed digest, its first 12 and last 4 characters, and nothing more', async () => {
      const { id, key } = expectStatus(await vendor.api.post('/api-keys', { name: 'stored' }), 201).body.data;
      const { rows } = await database.query<{ row: string; digest: Buffer; prefix: string; suffix: string; pepper_id: string }>(
        'SELECT to_jsonb(api_key)::text AS row, digest, prefix, suffix, pepper_id FROM api_key WHERE id = $1',
        [id],
      );
      const masterKey = new MasterKey(Buffer.from(testMasterKey(), 'base64'));
      expect(rows[0]).toMatchObject({ prefix: key.slice(0, 12), suffix: key.slice(-4), pepper_id: masterKey.pepperId });
      expect(Buffer.from(masterKey.digestApiKey(key)).equals(rows[0]!.digest)).toBe(true);
      expect(rows[0]!.digest).toHaveLength(32);
      expect(rows[0]!.row).not.toContain(key.slice(12, -4));
      expect(rows[0]!.row).not.toContain(Buffer.from(key).toString('hex'));
    });

    it('of a license is stored as a digest and sealed, and nothing more', async () => {
      const chosen = `OWN-${uuidv7()}`;
      for (const license of [await vendor.licenseUnder({}), await vendor.licenseUnder({}, { key: chosen })]) {
        const { rows } = await database.query<{ row: string }>('SELECT to_jsonb(license)::text AS row FROM license WHERE id = $1', [
          license.id,
        ]);
        for (const form of [license.key, license.key.replaceAll('-', ''), Buffer.from(license.key).toString('hex')]) {
          expect(rows[0]!.row).not.toContain(form);
        }
      }
    });

    it('of a new account is shown once for each environment', async () => {
      for (const api of [vendor.api, vendor.testApi]) {
        for (const path of ['/account', '/api-keys', '/api-keys/current']) {
          const { text } = expectStatus(await api.get(path), 200);
          expect(text).not.toContain(vendor.liveKey.slice(12, -4));
          expect(text).not.toContain(vendor.testKey.slice(12, -4));
        }
      }
    });
  });

  describe('the license scheme', () => {
    it('opens what is its own: itself and its machines', async () => {
      const license = await vendor.licenseUnder({ maxMachines: 3 });
      const app = vendor.app(license);
      expect((await app.get('/licenses/me')).body.data).toMatchObject({ id: license.id, key: license.key });
      const machine = expectStatus(await app.post('/machines', { fingerprint: 'fingerprint-1' }), 201).body.data;
      expect(machine.licenseId).toBe(license.id);
      expect((await app.post('/machines', { fingerprint: 'fingerprint-2', licenseId: license.id.toUpperCase() })).status).toBe(201);
      expect((await app.get('/machines')).body.data).toHaveLength(2);
      expect((await app.post(`/machines/${machine.id}/heartbeat`)).status).toBe(200);
      expect((await app.delete(`/machines/${machine.id}`)).status).toBe(204);
      expect((await app.delete(`/machines/${machine.id}`)).status).toBe(404);
    });

    it('reads a generated key forgivingly, and the scheme in any case', async () => {
      const { id, key } = await vendor.licenseUnder({});
      for (const typed of [key, key.toLowerCase(), key.replaceAll('-', ''), key.replaceAll('-', ' '), ` ${key}  `]) {
        for (const scheme of ['License', 'license', 'LICENSE']) {
          const reply = await send(server.url, 'GET', '/api/v1/licenses/me', { headers: { authorization: `${scheme} ${typed}` } });
          expect([scheme, typed, reply.body.data?.id]).toEqual([scheme, typed, id]);
        }
      }
    });

    it('finds a key of the vendor’s own beside its account, by id or slug', async () => {
      const key = `OWN KEY ${uuidv7()}`;
      const license = await vendor.licenseUnder({}, { key });
      const { id, slug } = vendor.account;
      for (const account of [id, slug, id.toUpperCase(), slug.toUpperCase(), ` ${slug} `]) {
        expect([account, (await withLicense(server.url, key, account).get('/licenses/me')).body.data?.id]).toEqual([account, license.id]);
      }
      const stranger = await Vendor.signUp(server.url);
      for (const account of [undefined, '', 'no-such-account', uuidv7(), stranger.account.id, stranger.account.slug]) {
        const reply = await withLicense(server.url, key, account).get('/licenses/me');
        expect([account, ...codeOf(reply)]).toEqual([account, 401, 'AUTH_FAILED']);
      }
      for (const typed of [key.toLowerCase(), key.replaceAll(' ', ''), `${key}x`]) {
        expect(codeOf(await withLicense(server.url, typed, slug).get('/licenses/me'))).toEqual([401, 'AUTH_FAILED']);
      }
    });

    it('checks an account that is named beside a generated key', async () => {
      const { id, key } = await vendor.licenseUnder({});
      const stranger = await Vendor.signUp(server.url);
      expect((await withLicense(server.url, key, vendor.account.slug).get('/licenses/me')).body.data.id).toBe(id);
      for (const account of [stranger.account.id, stranger.account.slug, 'no-such-account']) {
        expect(codeOf(await withLicense(server.url, key, account).get('/licenses/me'))).toEqual([401, 'AUTH_FAILED']);
      }
    });

    it('is 401 for a wrong key', async () => {
      const { id, key } = await vendor.licenseUnder({});
      const forged = generateLicenseKey('LIC', createSecretKey(Buffer.alloc(32, 'not the secret')));
      const masterKey = new MasterKey(Buffer.from(testMasterKey(), 'base64'));
      const unissued = generateLicenseKey('LIC', masterKey.licenseKeyTagSecret);
      for (const typed of ['', 'x', id, forged, unissued, swapLast(key), vendor.liveKey]) {
        const reply = await withLicense(server.url, typed).get('/licenses/me');
        expect([typed, ...codeOf(reply)]).toEqual([typed, 401, 'AUTH_FAILED']);
        expect(reply.headers['www-authenticate']).toBeDefined();
      }
      expect(codeOf(await withKey(server.url, key).get('/licenses/me'))).toEqual([401, 'AUTH_FAILED']);
      expect(codeOf(await send(server.url, 'GET', '/api/v1/licenses/me', { headers: { 'x-api-key': key } }))).toEqual([401, 'AUTH_FAILED']);
      await vendor.api.delete(`/licenses/${id}`);
      expect(codeOf(await withLicense(server.url, key).get('/licenses/me'))).toEqual([401, 'AUTH_FAILED']);
    });

    it('is 403 on every management route, and an API key is on every license route', async () => {
      const license = await vendor.licenseUnder({});
      const { paths } = expectStatus(await send(server.url, 'GET', '/openapi.json'), 200).body;
      const asked = { management: 0, license: 0, platform: 0 };
      const expectForbidden = async (client: Client, method: string, path: string): Promise<void> => {
        const reply = await client.call(method.toUpperCase(), path.replace('/api/v1', '').replace(/\{\w+\}/g, uuidv7()));
        expect([method, path, ...codeOf(reply)]).toEqual([method, path, 403, 'INSUFFICIENT_SCOPE']);
        // Said in words, even where no scope would help.
        expect([path, reply.body.message]).toEqual([
          path,
          expect.stringMatching(
            /^This route takes (an API key or user key( with .*\w)?(, or the platform token)?|a license key|the platform token|a user key)\.$/,
          ),
        ]);
      };
      for (const [path, methods] of Object.entries<Record<string, { security?: Record<string, string[]>[] }>>(paths)) {
        for (const [method, { security = [] }] of Object.entries(methods)) {
          const kinds = security.flatMap((scheme) => Object.keys(scheme));
          if (kinds.length === 0) continue;
          if (!kinds.includes('license')) {
            await expectForbidden(vendor.app(license), method, path);
            asked.management += 1;
          }
          if (!kinds.includes('apiKey')) {
            await expectForbidden(vendor.api, method, path);
            asked.license += 1;
          }
          if (!kinds.includes('platform')) {
            await expectForbidden(withKey(server.url, TEST_PLATFORM_TOKEN), method, path);
            asked.platform += 1;
          }
        }
      }
      expect(asked.management).toBeGreaterThanOrEqual(35);
      expect(asked.license).toBeGreaterThanOrEqual(2);
      expect(asked.platform).toBeGreaterThanOrEqual(40);
    });

    it.each([
      ['LICENSE', 201, 403],
      ['API_KEY', 403, 201],
      ['BOTH', 201, 201],
      ['NONE', 403, 403],
    ])('activates as its policy’s authentication says: %s', async (authentication, byLicense, byApiKey) => {
      const license = await vendor.licenseUnder({ authentication, maxMachines: 5 });
      const own = await vendor.app(license).post('/machines', { fingerprint: 'fingerprint-1' });
      const managed = await vendor.api.post('/machines', { fingerprint: 'fingerprint-2', licenseId: license.id });
      expect([own.status, managed.status]).toEqual([byLicense, byApiKey]);
      for (const reply of [own, managed]) if (reply.status === 403) expect(reply.body.code).toBe('AUTHENTICATION_NOT_ALLOWED');
    });
  });

  describe('the platform token', () => {
    it('creates accounts, and nobody else does', async () => {
      const body = { name: 'x', slug: `v-${uuidv7().slice(-12)}`, ownerEmail: 'owner@example.com' };
      expect(codeOf(await anyone(server.url).post('/accounts', body))).toEqual([401, 'AUTH_FAILED']);
      expect(codeOf(await withKey(server.url, `${TEST_PLATFORM_TOKEN}x`).post('/accounts', body))).toEqual([401, 'AUTH_FAILED']);
      expect(codeOf(await vendor.api.post('/accounts', body))).toEqual([403, 'INSUFFICIENT_SCOPE']);
      const created = expectStatus(await withKey(server.url, TEST_PLATFORM_TOKEN).post('/accounts', body), 201);
      expect(created.body.data).toMatchObject({
        account: { name: 'x', slug: body.slug, suspendedAt: null },
        apiKeys: {
          live: { key: expect.stringMatching(/^lk_live_/), scopes: [] },
          test: { key: expect.stringMatching(/^lk_test_/), scopes: [] },
        },
      });
    });

    it('is not needed where sign-up is open, and is nothing where none is set', async () => {
      const body = (): object => ({ name: 'x', slug: `v-${uuidv7().slice(-12)}`, ownerEmail: 'owner@example.com' });
      const open = await startServer({ OPEN_SIGNUP: 'true', PLATFORM_TOKEN: '' });
      try {
        expect((await anyone(open.url).post('/accounts', body())).status).toBe(201);
        expect(codeOf(await withKey(open.url, TEST_PLATFORM_TOKEN).post('/accounts', body()))).toEqual([401, 'AUTH_FAILED']);
      } finally {
        await open.stop();
      }
    });
  });

  it('a suspended account has its keys refused, while its customers run on', async () => {
    const suspended = await Vendor.signUp(server.url);
    const license = await suspended.licenseUnder({ requireFingerprint: false });
    expectStatus(await withKey(server.url, TEST_PLATFORM_TOKEN).post(`/accounts/${suspended.account.id}/suspend`), 200);
    for (const api of [suspended.api, suspended.testApi]) expect(codeOf(await api.get('/account'))).toEqual([403, 'ACCOUNT_SUSPENDED']);
    expect(await suspended.validate(license)).toMatchObject({ valid: true, code: 'VALID' });
    expect((await suspended.app(license).post('/machines', { fingerprint: 'fingerprint-1' })).status).toBe(201);
  });

  describe('a route without an access rule', () => {
    async function routesOf(controller: Type<object>): Promise<ReturnType<typeof listRoutes>> {
      @Module({ imports: [DiscoveryModule], controllers: [controller] })
      class TinyModule {}
      const app = await NestFactory.create(TinyModule, { logger: false, abortOnError: false });
      try {
        return listRoutes(app);
      } finally {
        await app.close();
      }
    }

    it('fails the start, and is named', async () => {
      @Controller('things')
      class ForgetfulController {
        @Get()
        @Public()
        list(): string {
          return 'fine';
        }

        @Post(':id')
        forgotten(): string {
          return 'open to everybody?';
        }
      }
      await expect(routesOf(ForgetfulController)).rejects.toThrow(/^No access is declared for ForgetfulController\.forgotten:/);
    });

    it('is not fooled by a rule on another handler, and lists what is declared', async () => {
      @Controller('things')
      class CarefulController {
        @Get()
        @Public()
        list(): string {
          return 'fine';
        }

        @Post(':id')
        @Requires('products:write')
        change(): string {
          return 'fine';
        }

        /** No route, so no rule. */
        helper(): string {
          return 'fine';
        }
      }
      expect(await routesOf(CarefulController)).toEqual([
        { method: 'GET', path: '/things', access: { kind: 'public', crossOrigin: false, limit: 'public' } },
        { method: 'POST', path: '/things/:id', access: { kind: 'apiKey', scopes: ['products:write'], orLicense: false } },
      ]);
    });
  });
});

/** The same text with another last character. */
function swapLast(text: string): string {
  return text.slice(0, -1) + (text.endsWith('0') ? '1' : '0');
}
