import { beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt, SignJWT } from 'jose';
import { v7 as uuidv7 } from 'uuid';
import { MasterKey } from '../src/core/master-key.js';
import { generateApiKey } from '../src/domain/api-key.js';
import { generateLicenseKey } from '../src/domain/license-key.js';
import { anyone, type Reply, send } from './support/client.js';
import { sharedServer } from './support/shared-server.js';
import { TEST_PLATFORM_TOKEN, testMasterKey } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

/**
 * Every form of credential × every kind of route × everything that can be wrong with a credential (contract: auth.md):
 * status, code and WWW-Authenticate, and no difference in body between "no such key" and "wrong key".
 */

type Headers = Record<string, string | string[]>;

/** One route of each kind of access, and who is let in with a credential that has full access. */
const routes = {
  public: { method: 'GET', path: '/auth/scopes' },
  'any key': { method: 'GET', path: '/api-keys/current', admits: ['apiKey', 'user'] },
  'scope to read': { method: 'GET', path: '/products', admits: ['apiKey', 'user'] },
  'scope to write': { method: 'POST', path: '/entitlements', admits: ['apiKey', 'user'] },
  'full access': { method: 'PATCH', path: '/account', admits: ['apiKey', 'user'] },
  'scope or license': { method: 'GET', path: '/machines', admits: ['apiKey', 'user', 'license'] },
  license: { method: 'GET', path: '/licenses/me', admits: ['license'] },
  platform: { method: 'GET', path: '/accounts', admits: ['platform'] },
  'user key': { method: 'POST', path: '/auth/user-key-info', admits: ['user'] },
} as const;
type RouteName = keyof typeof routes;
const routeNames = Object.keys(routes) as RouteName[];

/** How a credential is held up, and whose it is. */
const forms = {
  'Bearer <API key>': { of: 'apiKey', wrap: bearer },
  'ApiKey <API key>': { of: 'apiKey', wrap: (value: string) => ({ authorization: `ApiKey ${value}` }) },
  'X-API-Key': { of: 'apiKey', wrap: (value: string) => ({ 'x-api-key': value }) },
  'Bearer <token of an API key>': { of: 'apiKey', wrap: bearer, isToken: true },
  'Bearer <user key>': { of: 'user', wrap: bearer },
  'Bearer <token of a user key>': { of: 'user', wrap: bearer, isToken: true },
  'License <license key>': { of: 'license', wrap: (value: string) => ({ authorization: `License ${value}` }) },
  'Bearer <platform token>': { of: 'platform', wrap: bearer },
} as const;
type FormName = keyof typeof forms;
const formNames = Object.keys(forms) as FormName[];

function bearer(value: string): { authorization: string } {
  return { authorization: `Bearer ${value}` };
}

/** What everybody is told who has no right credential. */
const UNAUTHORIZED = [401, 'AUTH_FAILED'];

describe('a credential', () => {
  const server = sharedServer();
  let vendor: Vendor;
  let stranger: Vendor;
  /** Values by whose they are and what state they are in. */
  const values: Record<string, string> = {};

  beforeAll(async () => {
    [vendor, stranger] = await Promise.all([Vendor.signUp(server.url), Vendor.signUp(server.url)]);
    const masterKey = new MasterKey(Buffer.from(testMasterKey(), 'base64'));
    const key = async (fields: object): Promise<{ id: string; key: string }> =>
      expectStatus(await vendor.api.post('/api-keys', { name: 'x', ...fields }), 201).body.data;
    const user = async (role: string): Promise<{ id: string; keyId: string; key: string }> => {
      const made = expectStatus(await vendor.api.post('/users', { name: 'Ada', email: `${uuidv7()}@example.com`, role }), 201).body.data;
      const { id: keyId, key } = expectStatus(await vendor.api.post(`/users/${made.id}/keys`, { name: 'x' }), 201).body.data;
      return { id: made.id, keyId, key };
    };
    const tokenOf = async (secret: string, holder: object): Promise<string> =>
      expectStatus(await anyone(server.url).post('/auth/token', { secret, ...holder }), 200).body.jwt;
    const resigned = (token: string, claims: object): Promise<string> =>
      new SignJWT({ ...decodeJwt(token), ...claims })
        .setProtectedHeader({ alg: 'EdDSA', typ: 'latchkey-access+jwt', kid: masterKey.accessTokenKey.id })
        .sign(masterKey.accessTokenKey.privateKey);

    const apiKeys = {
      good: await key({}),
      expired: await key({}),
      revoked: await key({}),
      'wrong address': await key({ allowedIps: ['203.0.113.0/24'] }),
      'lacking scope': await key({ scopes: ['events:read'] }),
    };
    const users = {
      good: await user('owner'),
      expired: await user('owner'),
      revoked: await user('owner'),
      'lacking scope': await user('support'),
    };
    for (const [state, made] of Object.entries(apiKeys)) {
      values[`apiKey ${state}`] = made.key;
      // A key that may not be used from here makes no token here either: from where it may, it would.
      values[`apiKey token ${state}`] =
        state === 'wrong address'
          ? await resigned(values['apiKey token good'] ?? '', { api_key: made.id })
          : await tokenOf(made.key, { oid: vendor.account.id });
    }
    for (const [state, { id, key: made }] of Object.entries(users)) {
      values[`user ${state}`] = made;
      values[`user token ${state}`] = await tokenOf(made, { uid: id });
    }
    const past = { exp: Math.floor(Date.now() / 1000) - 10 };
    for (const holder of ['apiKey', 'user'])
      values[`${holder} token outlived`] = await resigned(values[`${holder} token good`] ?? '', past);
    // Signed by us, for a key that is not there.
    values['apiKey token unknown'] = await resigned(values['apiKey token good'] ?? '', { api_key: uuidv7() });
    values['user token unknown'] = await resigned(values['user token good'] ?? '', { user_key: uuidv7() });
    expectStatus(await vendor.api.patch(`/api-keys/${apiKeys.expired.id}`, { expiresAt: new Date(Date.now() - 1000).toISOString() }), 200);
    expectStatus(await vendor.api.delete(`/api-keys/${apiKeys.revoked.id}`), 204);
    expectStatus(await vendor.api.delete(`/users/${users.revoked.id}/keys/${users.revoked.keyId}`), 204);
    values['apiKey unknown'] = generateApiKey('live');
    values['user unknown'] = generateApiKey('user');
    values['license good'] = (await vendor.licenseUnder({ requireFingerprint: false })).key as string;
    values['license unknown'] = generateLicenseKey('LIC', masterKey.licenseKeyTagSecret);
    values['platform good'] = TEST_PLATFORM_TOKEN;
    values['platform unknown'] = `${TEST_PLATFORM_TOKEN}x`;
  }, 120_000);

  const valueOf = (form: FormName, state: string): string | undefined => {
    const { of } = forms[form];
    return values[`${of}${'isToken' in forms[form] ? ' token' : ''} ${state}`];
  };
  const ask = (route: RouteName, headers: Headers): Promise<Reply> => {
    const { method, path } = routes[route];
    const body = route === 'scope to write' ? { code: `e-${uuidv7()}`, name: 'x' } : method === 'PATCH' ? { metadata: {} } : undefined;
    return send(server.url, method, `/api/v1${path}`, { headers, body });
  };
  const outcomeOf = ({ status, body }: Reply): [number, string | undefined] => [status < 300 ? 200 : status, body?.code];
  const isIn = (route: RouteName, form: FormName): boolean =>
    'admits' in routes[route] && (routes[route].admits as readonly string[]).includes(forms[form].of);
  /** Let in, or told that this is another kind of credential. */
  const good = (route: RouteName, form: FormName): [number, string | undefined] =>
    isIn(route, form) ? [200, undefined] : [403, 'INSUFFICIENT_SCOPE'];

  async function expectOutcomes(form: FormName, headers: Headers, expected: (route: RouteName) => unknown[]): Promise<Reply[]> {
    const replies: Reply[] = [];
    for (const route of routeNames) {
      const reply = await ask(route, headers);
      const outcome = route === 'public' ? [200, undefined] : expected(route);
      expect([form, route, ...outcomeOf(reply)]).toEqual([form, route, ...outcome]);
      expect([route, reply.headers['www-authenticate'] !== undefined]).toEqual([route, outcome[0] === 401]);
      if (outcome[0] === 401) expect(reply.headers['www-authenticate']).toMatch(/^Bearer realm="latchkey", ApiKey .*, License /);
      replies.push(reply);
    }
    return replies;
  }

  it('that is missing is 401 wherever one is needed', async () => {
    for (const headers of [{}, { authorization: '' }] as Headers[]) await expectOutcomes('Bearer <API key>', headers, () => UNAUTHORIZED);
  });

  describe.each(formNames)('%s', (form) => {
    const { of, wrap } = forms[form];
    const isToken = 'isToken' in forms[form];

    it('opens what is for its kind, and is told about all else', async () => {
      await expectOutcomes(form, wrap(valueOf(form, 'good')!), (route) => good(route, form));
    });

    it('is 401 when malformed, with a wrong check sum, or unknown; and the three look alike', async () => {
      const right = valueOf(form, 'good')!;
      const wrongCheckSum = right.slice(0, -2) + (right.endsWith('00') ? '11' : '00');
      const variants = ['nonsense', wrongCheckSum, right.slice(0, -1), valueOf(form, 'unknown')!];
      const shown: unknown[] = [];
      for (const value of variants) {
        const replies = await expectOutcomes(form, wrap(value), () => UNAUTHORIZED);
        shown.push(replies.filter(({ status }) => status === 401).map(({ body }) => ({ ...body, requestId: null })));
      }
      for (const bodies of shown) expect(bodies).toEqual(shown[0]);
    });

    it('is 401 beside another one, whichever that is', async () => {
      const right = valueOf(form, 'good')!;
      const own = wrap(right);
      const others = ['X-API-Key', 'License <license key>', 'Bearer <user key>'] as const;
      for (const other of others) {
        const second = forms[other].wrap(stranger.liveKey);
        const both: Headers = { ...own };
        for (const [name, value] of Object.entries(second)) both[name] = name in own ? [own[name as keyof typeof own], value] : value;
        await expectOutcomes(form, both, () => UNAUTHORIZED);
      }
    });

    if (of === 'apiKey' || of === 'user') {
      it('is 401 once it has ended or was revoked, and says which', async () => {
        await expectOutcomes(form, wrap(valueOf(form, 'revoked')!), () => [401, 'API_KEY_REVOKED']);
        if (of === 'apiKey') await expectOutcomes(form, wrap(valueOf(form, 'expired')!), () => [401, 'API_KEY_EXPIRED']);
        if (isToken) await expectOutcomes(form, wrap(valueOf(form, 'outlived')!), () => [401, 'TOKEN_EXPIRED']);
      });

      it('is 403 without the scope, which is named', async () => {
        const needed: Partial<Record<RouteName, string>> =
          of === 'apiKey'
            ? {
                'scope to read': 'products:read',
                'scope to write': 'entitlements:write',
                'full access': '',
                'scope or license': 'machines:read',
              }
            : { 'scope to write': 'entitlements:write', 'full access': '' };
        const replies = await expectOutcomes(form, wrap(valueOf(form, 'lacking scope')!), (route) =>
          route in needed ? [403, 'INSUFFICIENT_SCOPE'] : good(route, form),
        );
        for (const [route, scope] of Object.entries(needed)) {
          const { message, details } = replies[routeNames.indexOf(route as RouteName)]!.body;
          expect(message).toContain(scope);
          if (scope !== '') expect(details).toEqual({ requiredScopes: [scope] });
          else expect(details.requiredScopes.length).toBeGreaterThan(0);
        }
      });
    }

    if (of === 'apiKey') {
      it('is 403 from an address that the key does not name', async () => {
        await expectOutcomes(form, wrap(valueOf(form, 'wrong address')!), () => [403, 'IP_NOT_ALLOWED']);
      });
    }

    it('does not follow a request into another account or environment', async () => {
      const own = wrap(valueOf(form, 'good')!);
      const wrongAccount = { ...own, 'x-account-id': stranger.account.id };
      const wrongEnvironment = { ...own, 'x-environment': 'test' };
      const noEnvironment = { ...own, 'x-environment': 'staging' };
      // Whose accounts a user has is asked in none of them; the operator is in none; a license key is found by its account.
      const wrong = (route: RouteName): unknown[] =>
        of === 'platform' || (of === 'user' && route === 'user key') ? good(route, form) : UNAUTHORIZED;
      await expectOutcomes(form, wrongAccount, wrong);
      await expectOutcomes(form, wrongEnvironment, (route) => (of === 'user' ? good(route, form) : wrong(route)));
      await expectOutcomes(form, noEnvironment, (route) =>
        of === 'user' && route !== 'user key' ? [400, 'VALIDATION_ERROR'] : wrong(route),
      );
      const right = { ...own, 'x-account-id': vendor.account.slug.toUpperCase(), 'x-environment': 'Live' };
      await expectOutcomes(form, right, (route) => good(route, form));
    });
  });
});
