import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { compactDecrypt, importJWK, jwtVerify, type JWTVerifyOptions } from 'jose';
import pg from 'pg';
import type { Running } from '../src/boot.js';
import { OfflineDigestWorker } from '../src/licenses/offline-digest.worker.js';
import { fileKey, unarmour } from '../src/domain/license-file.js';
import { documentTypes } from '../src/domain/signed-documents.js';
import { type Client, type Reply, withLicense } from './support/client.js';
import { offlineRequest } from './support/offline-request.js';
import { startServer } from './support/server.js';
import { testDatabaseUrl } from './support/settings.js';
import { sharedServer } from './support/shared-server.js';
import { expectStatus, Vendor } from './support/vendor.js';

/**
 * License and machine files (contract: offline.md): what they say, for how long, who gets them, and that they are told of.
 * What they are worth to whoever verifies them is with the vectors.
 */

// Views are whatever the server says.
/* eslint-disable @typescript-eslint/no-explicit-any */

const DAY_MS = 86_400_000;
const DAY_SECONDS = 86_400;
const START = '2031-01-01T00:00:00.000Z';
const day = (days: number): string => new Date(Date.parse(START) + days * DAY_MS).toISOString();

let url: string;
let database: pg.Client;
let vendor: Vendor;
beforeAll(async () => {
  ({ url } = sharedServer());
  database = new pg.Client({ connectionString: testDatabaseUrl() });
  await database.connect();
  vendor = await Vendor.signUp(url);
});
afterAll(() => database.end());

const rules = { requireFingerprint: false };
const unique = (name: string): string => `${name}-${randomUUID().slice(0, 13)}`;
const dataOf = (reply: Reply, status = 200): any => expectStatus(reply, status).body.data;
const checkOut = (api: Client, collection: string, { id }: { id: string }, body?: object): Promise<Reply> =>
  api.post(`/${collection}/${id}/check-out`, body);
const codeOf = ({ status, body }: Reply): unknown[] => [status, body?.code];

/** What a document says, verified with the public keys of the vendor's environment. */
async function verified(document: string, kind: 'license' | 'machine', options: JWTVerifyOptions = {}, of = vendor): Promise<any> {
  const { rows } = await database.query<{ kid: string; publicKey: Buffer }>(
    `SELECT kid, public_key AS "publicKey" FROM signing_key JOIN environment ON environment.id = environment_id WHERE account_id = $1`,
    [of.account.id],
  );
  const { payload } = await jwtVerify(
    document,
    async ({ kid }) => {
      const key = rows.find((row) => row.kid === kid);
      return importJWK({ kty: 'OKP', crv: 'Ed25519', x: key?.publicKey.toString('base64url') ?? '' }, 'EdDSA');
    },
    { typ: documentTypes[kind], issuer: 'latchkey', audience: of.account.id, algorithms: ['EdDSA'], ...options },
  );
  return payload;
}

async function seated(policy: object = {}, fields: object = {}, api = vendor.api): Promise<{ license: any; machine: any }> {
  const license = await vendor.licenseUnder({ ...rules, ...policy }, fields, api);
  const activation = { licenseId: license.id, fingerprint: unique('fingerprint'), name: 'desk', platform: 'linux' };
  return { license, machine: dataOf(await api.post('/machines', activation), 201) };
}

describe('a license file', () => {
  it('says what the license is and what it entitles to now, signed for its account', async () => {
    const product = await vendor.product({ name: 'Editor' });
    const policy = await vendor.policy({ ...rules, productId: product.id, name: 'Pro', offlineMaxDays: 7, durationDays: 365 });
    const own = unique('own');
    const inherited = unique('inherited');
    for (const code of [own, inherited]) await vendor.entitlement(code);
    expectStatus(await vendor.api.post(`/policies/${policy.id}/entitlements`, { codes: [inherited] }), 200);
    const person = { userEmail: 'ada@example.com', userName: 'Ada', metadata: { orderId: 'A-1' } };
    const license = await vendor.license({ productId: product.id, policyId: policy.id, name: 'Seat', ...person });
    const endsAt = new Date(Date.now() + DAY_MS).toISOString();
    expectStatus(await vendor.api.post(`/licenses/${license.id}/entitlements`, { codes: [own], expiresAt: endsAt, quantity: 3 }), 200);

    const { document, kid, issuedAt, expiresAt, ...rest } = dataOf(await checkOut(vendor.api, 'licenses', license));
    expect(rest).toEqual({});
    const { iat, exp, jti, ...claims } = await verified(document, 'license');
    expect(JSON.parse(Buffer.from(document.split('.')[0], 'base64url').toString())).toEqual({
      alg: 'EdDSA',
      typ: documentTypes.license,
      kid,
    });
    expect([issuedAt, expiresAt]).toEqual([iat, exp].map((seconds) => new Date(seconds * 1000).toISOString()));
    expect(exp - iat).toBe(7 * DAY_SECONDS);
    expect(jti).toMatch(/^[0-9a-f-]{36}$/);
    expect(claims).toEqual({
      iss: 'latchkey',
      aud: vendor.account.id,
      environment: 'live',
      sub: license.id,
      license: {
        id: license.id,
        name: 'Seat',
        status: 'active',
        productId: product.id,
        policyId: policy.id,
        expiresAt: license.expiresAt,
        isTrial: false,
        maxMachines: 1,
        machineCount: 0,
        maxUses: null,
        usesCount: 0,
        userName: 'Ada',
        metadata: { orderId: 'A-1' },
        environment: 'live',
      },
      policy: { id: policy.id, name: 'Pro' },
      product: { id: product.id, code: product.code, name: 'Editor' },
      entitlements: [
        { code: inherited, expiresAt: null, quantity: null },
        { code: own, expiresAt: endsAt, quantity: 3 },
      ],
    });
    await expect(verified(document, 'machine')).rejects.toThrow();
  });

  it('is a first success like that of a validation: it starts the clock that waits for one, once, and ends with it', async () => {
    const trial = { ...rules, durationDays: 1, expirationBasis: 'FROM_FIRST_VALIDATION', requiredScopes: ['version'], offlineMaxDays: 365 };
    const license = await vendor.licenseUnder(trial);
    const first = dataOf(await checkOut(vendor.app(license), 'licenses', license));
    const started = dataOf(await vendor.api.get(`/licenses/${license.id}`));
    expect(started.firstValidatedAt).not.toBeNull();
    expect(Date.parse(started.expiresAt) - Date.parse(started.firstValidatedAt)).toBe(DAY_MS);
    const ends = new Date(Math.floor(Date.parse(started.expiresAt) / 1000) * 1000).toISOString();
    expect(first.expiresAt).toBe(ends);
    expect((await verified(first.document, 'license')).license.expiresAt).toBe(started.expiresAt);
    expect(dataOf(await checkOut(vendor.app(license), 'licenses', license)).expiresAt).toBe(ends);
    const { expiresAt, firstValidatedAt, updatedAt, usesCount } = dataOf(await vendor.api.get(`/licenses/${license.id}`));
    expect([expiresAt, firstValidatedAt, updatedAt, usesCount]).toEqual([
      started.expiresAt,
      started.firstValidatedAt,
      license.updatedAt,
      0,
    ]);
    const events = dataOf(await vendor.api.get(`/licenses/${license.id}/history`)).map(({ type }: { type: string }) => type);
    expect(events).toEqual(['license.checked_out', 'license.checked_out', 'license.activated', 'license.created']);
  });

  it('lasts no longer than a term while the clock waits for something else', async () => {
    const license = await vendor.licenseUnder({ ...rules, durationDays: 2, expirationBasis: 'FROM_FIRST_ACTIVATION' });
    const { issuedAt, expiresAt } = dataOf(await checkOut(vendor.app(license), 'licenses', license));
    expect(Date.parse(expiresAt) - Date.parse(issuedAt)).toBe(2 * DAY_MS);
    expect(dataOf(await vendor.api.get(`/licenses/${license.id}`)).expiresAt).toBeNull();
  });

  it('is told of, and logged, without what it says', async () => {
    const { license, machine } = await seated();
    const asked = { ttlSeconds: 7200, encrypt: true };
    const files = [
      ['license', license, dataOf(await checkOut(vendor.app(license), 'licenses', license, asked))],
      ['machine', machine, dataOf(await checkOut(vendor.app(license), 'machines', machine, asked))],
    ] as const;
    for (const [kind, { id }, { document, kid, expiresAt }] of files) {
      const told = { kid, expiresAt, ttlSeconds: 7200, encrypted: true };
      const resource = `${kind}:${id}`;
      const [event] = dataOf(await vendor.api.get(`/events?type=${kind}.checked_out&resource=${resource}`));
      expect(event).toMatchObject({ actor: { type: 'license', id: license.id }, data: { object: { id }, checkOut: told } });
      const [entry] = dataOf(await vendor.api.get(`/audit-logs?action=${kind}.checked_out&resource=${resource}`));
      expect(entry).toMatchObject({ actor: { type: 'license', id: license.id }, before: null, after: told });
      for (const text of [JSON.stringify(event), JSON.stringify(entry)]) {
        for (const secret of [license.key, ...document.split('.').filter((part: string) => part.length > 20)])
          expect(text).not.toContain(secret);
      }
    }
  });
});

describe('a machine file', () => {
  it('is bound to its machine', async () => {
    const { license, machine } = await seated({ offlineMaxDays: 3 });
    const { document, kid } = dataOf(await checkOut(vendor.app(license), 'machines', machine));
    const claims = await verified(document, 'machine');
    expect(claims).toMatchObject({
      sub: license.id,
      fingerprint: machine.fingerprint,
      machine: { id: machine.id, name: 'desk', platform: 'linux' },
      license: { id: license.id, machineCount: 1 },
    });
    expect(claims.exp - claims.iat).toBe(3 * DAY_SECONDS);
    expect(Object.keys(claims)).not.toContain('nonce');
    expect(JSON.parse(Buffer.from(document.split('.')[0], 'base64url').toString())).toEqual({
      alg: 'EdDSA',
      typ: documentTypes.machine,
      kid,
    });
    await expect(verified(document, 'license')).rejects.toThrow();
  });

  it('of each machine says its own fingerprint', async () => {
    const { license, machine } = await seated({ maxMachines: 2 });
    const other = dataOf(await vendor.api.post('/machines', { licenseId: license.id, fingerprint: unique('fingerprint') }), 201);
    for (const one of [machine, other]) {
      const { document } = dataOf(await checkOut(vendor.api, 'machines', one));
      expect(await verified(document, 'machine')).toMatchObject({ fingerprint: one.fingerprint, machine: { id: one.id } });
    }
  });
});

describe('for how long', () => {
  it.each([
    [3600, 3600],
    [2 * DAY_SECONDS, 2 * DAY_SECONDS],
    [undefined, 2 * DAY_SECONDS],
  ])('%s seconds: %s', async (ttlSeconds, lasts) => {
    const { license, machine } = await seated({ offlineMaxDays: 2 });
    for (const [collection, one] of [
      ['licenses', license],
      ['machines', machine],
    ] as const) {
      const { issuedAt, expiresAt } = dataOf(await checkOut(vendor.api, collection, one, { ttlSeconds }));
      expect(Date.parse(expiresAt) - Date.parse(issuedAt)).toBe(lasts * 1000);
    }
  });

  it('no less than an hour, no more than the policy allows, and nothing where it allows none', async () => {
    const { license, machine } = await seated({ offlineMaxDays: 2 });
    const online = await seated({ offlineAllowed: false });
    for (const [collection, one, without] of [
      ['licenses', license, online.license],
      ['machines', machine, online.machine],
    ] as const) {
      for (const ttlSeconds of [3599, 0, -1, 3600.5, '3600', null]) {
        const { status, body } = await checkOut(vendor.api, collection, one, { ttlSeconds });
        expect([status, body.details.issues.map(({ path }: any) => path)]).toEqual([400, ['ttlSeconds']]);
      }
      const tooLong = await checkOut(vendor.api, collection, one, { ttlSeconds: 2 * DAY_SECONDS + 1 });
      expect([...codeOf(tooLong), tooLong.body.details]).toEqual([
        422,
        'OFFLINE_TTL_EXCEEDED',
        { field: 'ttlSeconds', max: 2 * DAY_SECONDS },
      ]);
      expect(codeOf(await checkOut(vendor.api, collection, without, { ttlSeconds: 3600 }))).toEqual([422, 'OFFLINE_NOT_ALLOWED']);
      expect(codeOf(await checkOut(vendor.app(online.license), collection, without))).toEqual([422, 'OFFLINE_NOT_ALLOWED']);
    }
  });

  it("by the license's test clock, and never past its expiry", async () => {
    const api = vendor.testApi;
    const clock = dataOf(await api.post('/test-clocks', { frozenAt: START }), 201);
    const policy = { durationDays: 10, gracePeriodDays: 4, offlineMaxDays: 7 };
    const { license, machine } = await seated(policy, { testClockId: clock.id }, api);
    const fileAt = async (days: number): Promise<Reply> => {
      if (days > 0) expectStatus(await api.post(`/test-clocks/${clock.id}/advance`, { to: day(days) }), 200);
      return checkOut(api, 'machines', machine);
    };
    // Running for longer than the file; ending before it; in its grace period.
    for (const [at, until] of [
      [0, 7],
      [5, 10],
      [12, 14],
    ] as const) {
      const { document, issuedAt, expiresAt } = dataOf(await fileAt(at));
      expect([issuedAt, expiresAt]).toEqual([day(at), day(until)]);
      expect((await verified(document, 'machine', { currentDate: new Date(day(at)) })).environment).toBe('test');
    }
    expect(codeOf(await fileAt(14))).toEqual([403, 'LICENSE_EXPIRED']);
    expectStatus(await api.patch(`/policies/${license.policyId}`, { expirationStrategy: 'ALLOW_ACCESS' }), 200);
    expect(dataOf(await fileAt(15))).toMatchObject({ issuedAt: day(15), expiresAt: day(22) });
    const { rows } = await database.query('SELECT occurred_at FROM event WHERE resource_id = $1 AND type = $2 ORDER BY id', [
      machine.id,
      'machine.checked_out',
    ]);
    expect(rows.map(({ occurred_at: at }) => at.toISOString())).toEqual([0, 5, 12, 15].map(day));
  });
});

describe('who gets one', () => {
  it.each([
    ['suspended', 'suspend', 'LICENSE_SUSPENDED'],
    ['banned', 'ban', 'LICENSE_BANNED'],
    ['revoked', 'revoke', 'LICENSE_REVOKED'],
  ])('no %s license, nor a machine of it', async (_, action, code) => {
    const { license, machine } = await seated();
    expectStatus(await vendor.api.post(`/licenses/${license.id}/${action}`), 200);
    for (const api of [vendor.api, vendor.app(license)]) {
      expect(codeOf(await checkOut(api, 'licenses', license))).toEqual([403, code]);
      expect(codeOf(await checkOut(api, 'machines', machine))).toEqual([403, code]);
    }
  });

  it('nor one that has not started, or for which a validation has another reason', async () => {
    const { license, machine } = await seated({ maxMachines: 2 });
    const overLimit = async (max: number | null): Promise<void> => {
      expectStatus(await vendor.api.patch(`/licenses/${license.id}`, { maxMachinesOverride: max }), 200);
    };
    dataOf(await vendor.api.post('/machines', { licenseId: license.id, fingerprint: unique('fingerprint') }), 201);
    await overLimit(1);
    const refused = await checkOut(vendor.app(license), 'machines', machine);
    expect([...codeOf(refused), refused.body.details]).toEqual([422, 'LICENSE_NOT_VALID', { code: 'MACHINE_LIMIT_EXCEEDED' }]);
    await overLimit(null);
    dataOf(await checkOut(vendor.app(license), 'machines', machine));
    const later = await vendor.licenseUnder(rules, { startsAt: new Date(Date.now() + DAY_MS).toISOString() });
    expect((await checkOut(vendor.api, 'licenses', later)).body).toMatchObject({
      code: 'LICENSE_NOT_VALID',
      details: { code: 'NOT_STARTED' },
    });
  });

  it('no machine that is dead or gone', async () => {
    const api = vendor.testApi;
    const clock = dataOf(await api.post('/test-clocks', { frozenAt: START }), 201);
    const mortal = { requireHeartbeat: true, heartbeatIntervalMinutes: 60, heartbeatCullStrategy: 'KEEP_DEAD' };
    const { license, machine } = await seated(mortal, { testClockId: clock.id }, api);
    dataOf(await checkOut(api, 'machines', machine));
    expectStatus(await api.post(`/test-clocks/${clock.id}/advance`, { to: day(1) }), 200);
    expect(codeOf(await checkOut(vendor.app(license), 'machines', machine))).toEqual([422, 'MACHINE_DEAD']);
    dataOf(await checkOut(api, 'licenses', license));
    expectStatus(await api.delete(`/machines/${machine.id}`), 204);
    expect(codeOf(await checkOut(api, 'machines', machine))).toEqual([404, 'NOT_FOUND']);
  });

  it('for whatever machine only from the vendor, where the policy wants to know each', async () => {
    const license = await vendor.licenseUnder({ requireFingerprint: true, maxMachines: 1 });
    for (const reply of [
      await checkOut(vendor.app(license), 'licenses', license),
      await vendor.app(license).get(`/licenses/${license.id}/check-out`),
    ])
      expect([...codeOf(reply), reply.body.details]).toEqual([422, 'LICENSE_NOT_VALID', { code: 'FINGERPRINT_REQUIRED' }]);
    dataOf(await checkOut(vendor.api, 'licenses', license));
    dataOf(await checkOut(vendor.app(license), 'machines', await vendor.activate(license, unique('fingerprint'))));
  });

  it('with a license key only its own, with an API key what its scope says', async () => {
    const { license, machine } = await seated();
    const other = await seated();
    for (const [collection, one] of [
      ['licenses', other.license],
      ['machines', other.machine],
    ] as const)
      expect(codeOf(await checkOut(vendor.app(license), collection, one))).toEqual([404, 'NOT_FOUND']);
    const [licenses, machines] = [await vendor.keyWith('licenses:write'), await vendor.keyWith('machines:write')];
    dataOf(await checkOut(licenses, 'licenses', license));
    dataOf(await checkOut(machines, 'machines', machine));
    expect(codeOf(await checkOut(machines, 'licenses', license))).toEqual([403, 'INSUFFICIENT_SCOPE']);
    expect(codeOf(await checkOut(licenses, 'machines', machine))).toEqual([403, 'INSUFFICIENT_SCOPE']);
    expect(codeOf(await licenses.get(`/machines/${machine.id}/check-out`))).toEqual([403, 'INSUFFICIENT_SCOPE']);
    const stranger = await Vendor.signUp(url);
    for (const api of [stranger.api, vendor.testApi])
      expect([codeOf(await checkOut(api, 'licenses', license)), codeOf(await checkOut(api, 'machines', machine))]).toEqual([
        [404, 'NOT_FOUND'],
        [404, 'NOT_FOUND'],
      ]);
  });
});

describe('an encrypted file', () => {
  const open = async (document: string, key: Uint8Array): Promise<string> =>
    Buffer.from((await compactDecrypt(document, key)).plaintext).toString();

  it('opens with the key of its license, that of a machine with its fingerprint too, and with no other', async () => {
    const { license, machine } = await seated({ maxMachines: 2 });
    const ofLicense = dataOf(await checkOut(vendor.api, 'licenses', license, { encrypt: true }));
    const ofMachine = dataOf(await checkOut(vendor.app(license), 'machines', machine, { encrypt: true }));
    const header = Buffer.from(ofLicense.document.split('.')[0], 'base64url').toString();
    expect(JSON.parse(header)).toEqual({ alg: 'dir', enc: 'A256GCM', cty: 'JWT' });
    const keys = [fileKey(license.key, null), fileKey(license.key, machine.fingerprint)] as const;
    expect((await verified(await open(ofLicense.document, keys[0]), 'license')).sub).toBe(license.id);
    expect((await verified(await open(ofMachine.document, keys[1]), 'machine')).fingerprint).toBe(machine.fingerprint);
    await expect(open(ofLicense.document, keys[1])).rejects.toThrow();
    await expect(open(ofMachine.document, keys[0])).rejects.toThrow();
    await expect(open(ofMachine.document, fileKey(license.key, unique('fingerprint')))).rejects.toThrow();
  });

  it('is not made with a key that the caller does not have: one that was rotated out gets none, and none that outlives it', async () => {
    const { license, machine } = await seated();
    const former = vendor.app(license);
    const { key } = dataOf(await vendor.api.post(`/licenses/${license.id}/rotate-key`, { overlapSeconds: 7200 }));
    for (const [collection, one] of [
      ['licenses', license],
      ['machines', machine],
    ] as const) {
      const refused = await checkOut(former, collection, one, { encrypt: true });
      expect([...codeOf(refused), refused.body.details]).toEqual([409, 'CONFLICT', { field: 'encrypt' }]);
      const { issuedAt, expiresAt } = dataOf(await checkOut(former, collection, one));
      expect(Date.parse(expiresAt) - Date.parse(issuedAt)).toBeLessThanOrEqual(7_200_000);
      const { document, ...fresh } = dataOf(await checkOut(withLicense(url, key), collection, one, { encrypt: true }));
      expect(Date.parse(fresh.expiresAt) - Date.parse(fresh.issuedAt)).toBe(14 * DAY_MS);
      await open(document, fileKey(key, collection === 'machines' ? machine.fingerprint : null));
    }
  });
});

describe('a download', () => {
  it.each(['licenses', 'machines'] as const)('of %s is the same as a .lic file', async (collection) => {
    const { license, machine } = await seated();
    const one = collection === 'licenses' ? license : machine;
    const kind = collection === 'licenses' ? 'license' : 'machine';
    const { status, headers, text } = await vendor.app(license).get(`/${collection}/${one.id}/check-out?ttlSeconds=3600`);
    expect(status).toBe(200);
    expect(headers).toMatchObject({
      'content-type': 'application/octet-stream',
      'content-disposition': `attachment; filename="${kind}-${one.id}.lic"`,
      'cache-control': 'no-store',
      'content-length': String(text.length),
    });
    const lines = text.split('\n');
    expect([lines[0], lines.at(-2), lines.at(-1)]).toEqual([
      `-----BEGIN LATCHKEY ${kind.toUpperCase()}-----`,
      `-----END LATCHKEY ${kind.toUpperCase()}-----`,
      '',
    ]);
    expect(lines.slice(1, -3).every((line) => line.length === 64)).toBe(true);
    const { exp, iat, sub } = await verified(unarmour(text)!.document, kind);
    expect([exp - iat, sub]).toEqual([3600, license.id]);
    const sealed = await vendor.api.get(`/${collection}/${one.id}/check-out?encrypt=true`);
    await compactDecrypt(unarmour(sealed.text)!.document, fileKey(license.key, kind === 'machine' ? machine.fingerprint : null));
    expect(codeOf(await vendor.api.get(`/${collection}/${one.id}/check-out?ttlSeconds=1`))).toEqual([400, 'VALIDATION_ERROR']);
    expect(codeOf(await vendor.api.get(`/${collection}/${one.id}/check-out?encrypt=yes`))).toEqual([400, 'VALIDATION_ERROR']);
  });
});

describe('a machine without a network', () => {
  const ask = (request: string, api = vendor.api, fields: object = {}): Promise<Reply> =>
    api.post('/machines/offline-requests', { request, ...fields });

  it.each(['generated', 'chosen'])('is activated by what it wrote down, with a %s key, and gets its file', async (origin) => {
    const key = unique('my own key');
    const license = await vendor.licenseUnder(rules, origin === 'chosen' ? { key } : {});
    const [fingerprint, nonce] = [unique('fingerprint'), unique('nonce')];
    const request = offlineRequest(license.key, { fingerprint, nonce, name: 'Reactor', platform: 'windows' });
    const reply = expectStatus(await ask(`\n${request}\n`), 201);
    const { document, machineId, ...rest } = reply.body.data;
    expect(Object.keys(rest).sort()).toEqual(['expiresAt', 'issuedAt', 'kid']);
    expect(reply.headers.location).toBe(`/api/v1/machines/${machineId}`);
    const machine = dataOf(await vendor.api.get(`/machines/${machineId}`));
    expect(machine).toMatchObject({ licenseId: license.id, fingerprint, name: 'Reactor', platform: 'windows', status: 'active' });
    expect(await verified(document, 'machine')).toMatchObject({
      sub: license.id,
      nonce,
      fingerprint,
      machine: { id: machineId, name: 'Reactor', platform: 'windows' },
      license: { machineCount: 1 },
    });
    const { rows } = await database.query('SELECT type FROM event WHERE resource_id = $1 ORDER BY id', [machineId]);
    expect(rows.map(({ type }) => type)).toEqual(['machine.activated', 'machine.checked_out']);
    // Again: the same seat, a new file.
    const again = dataOf(await ask(request, vendor.api, { ttlSeconds: 3600 }));
    expect(again.machineId).toBe(machineId);
    const claims = await verified(again.document, 'machine');
    expect([claims.nonce, claims.exp - claims.iat]).toEqual([nonce, 3600]);
    expect(dataOf(await vendor.api.get(`/licenses/${license.id}`)).machineCount).toBe(1);
  });

  it('starts the clock that waits for the first activation, and its file says so', async () => {
    const license = await vendor.licenseUnder({ ...rules, durationDays: 3, expirationBasis: 'FROM_FIRST_ACTIVATION' });
    const { document, expiresAt } = dataOf(await ask(offlineRequest(license.key)), 201);
    const claims = await verified(document, 'machine');
    expect(Date.parse(claims.license.expiresAt) - Date.parse(expiresAt)).toBeLessThan(1000);
    expect(claims.exp - claims.iat).toBeLessThanOrEqual(3 * DAY_SECONDS);
  });

  it.each<[string, object, object, unknown[]]>([
    ['where there are no files', { offlineAllowed: false }, {}, [422, 'OFFLINE_NOT_ALLOWED']],
    ['where none may last for so long', { offlineMaxDays: 1 }, { ttlSeconds: DAY_SECONDS + 1 }, [422, 'OFFLINE_TTL_EXCEEDED']],
    ['where it would have to beat first', { requireHeartbeat: true, heartbeatBasis: 'FROM_FIRST_BEAT' }, {}, [422, 'LICENSE_NOT_VALID']],
    ['where an API key may not', { authentication: 'LICENSE' }, {}, [403, 'AUTHENTICATION_NOT_ALLOWED']],
    ['where it would be short', {}, { ttlSeconds: 3599 }, [400, 'VALIDATION_ERROR']],
  ])('is not activated %s', async (_, policy, fields, refusal) => {
    const license = await vendor.licenseUnder({ ...rules, ...policy });
    expect(codeOf(await ask(offlineRequest(license.key), vendor.api, fields))).toEqual(refusal);
    const keyed = vendor.api.with({ 'idempotency-key': randomUUID() });
    expect(codeOf(await ask(offlineRequest(license.key), keyed, fields))).toEqual(refusal);
    expect(dataOf(await vendor.api.get(`/licenses/${license.id}`))).toMatchObject({ machineCount: 0, firstActivatedAt: null });
    expect(dataOf(await vendor.api.get(`/machines?licenseId=${license.id}`))).toEqual([]);
    const { rows } = await database.query(`SELECT type FROM event WHERE license_id = $1 AND type LIKE 'machine.%'`, [license.id]);
    expect(rows).toEqual([]);
  });

  it('of a license that is suspended gets nothing', async () => {
    const license = await vendor.licenseUnder(rules);
    expectStatus(await vendor.api.post(`/licenses/${license.id}/suspend`), 200);
    expect(codeOf(await ask(offlineRequest(license.key)))).toEqual([403, 'LICENSE_SUSPENDED']);
  });

  it('is known to its own vendor in its own environment alone', async () => {
    const stranger = await Vendor.signUp(url);
    const key = unique('the-same-key');
    const license = await vendor.licenseUnder(rules, { key });
    const theirs = await stranger.licenseUnder(rules, { key });
    const unknown = await ask(offlineRequest(unique('nobody')));
    expect([...codeOf(unknown), unknown.body.details]).toEqual([404, 'NOT_FOUND', { field: 'request' }]);
    expect(codeOf(await ask(offlineRequest(key), vendor.testApi))).toEqual([404, 'NOT_FOUND']);
    const generated = await vendor.licenseUnder(rules);
    expect(codeOf(await ask(offlineRequest(generated.key), stranger.api))).toEqual([404, 'NOT_FOUND']);
    const ofTheirs = dataOf(await ask(offlineRequest(key), stranger.api), 201);
    expect((await verified(ofTheirs.document, 'machine', {}, stranger)).sub).toBe(theirs.id);
    expect(dataOf(await vendor.api.get(`/licenses/${license.id}`)).machineCount).toBe(0);
    // A reseller's key sees its own licenses alone.
    const { key: segmentKey } = dataOf(await vendor.api.post('/api-keys', { name: 'reseller [segment]' }), 201);
    expect(codeOf(await ask(offlineRequest(key), vendor.api.with({ authorization: `Bearer ${segmentKey}` })))).toEqual([404, 'NOT_FOUND']);
    // Brought by whoever works for the vendor, not by who holds the key.
    expect(codeOf(await ask(offlineRequest(license.key), vendor.app(generated)))).toEqual([403, 'INSUFFICIENT_SCOPE']);
  });

  it('may have a key that was rotated out, until its overlap ends', async () => {
    const api = vendor.testApi;
    const clock = dataOf(await api.post('/test-clocks', { frozenAt: START }), 201);
    const license = await vendor.licenseUnder({ ...rules, maxMachines: 9 }, { testClockId: clock.id }, api);
    const rotated = dataOf(await api.post(`/licenses/${license.id}/rotate-key`, { overlapSeconds: 7200 }));
    expect(dataOf(await ask(offlineRequest(license.key), api), 201).expiresAt).toBe(day(14));
    dataOf(await ask(offlineRequest(rotated.key), api), 201);
    expectStatus(await api.post(`/test-clocks/${clock.id}/advance`, { to: day(1) }), 200);
    expect(codeOf(await ask(offlineRequest(license.key), api))).toEqual([404, 'NOT_FOUND']);
    dataOf(await ask(offlineRequest(rotated.key), api), 201);
  });

  it('gets the last seat or not: of two at once one, and the other is told who has it', async () => {
    const license = await vendor.licenseUnder({ ...rules, maxMachines: 1 });
    const replies = await Promise.all(Array.from({ length: 4 }, () => ask(offlineRequest(license.key))));
    expect(replies.map(({ status }) => status).sort()).toEqual([201, 422, 422, 422]);
    const refused = replies.filter(({ status }) => status === 422);
    const machineId = replies.find(({ status }) => status === 201)!.body.data.machineId;
    for (const { body } of refused)
      expect(body).toMatchObject({ code: 'MACHINE_LIMIT_EXCEEDED', details: { used: 1, machines: [{ id: machineId }] } });
    const { rows } = await database.query('SELECT type FROM event WHERE license_id = $1 AND type <> $2 ORDER BY id', [
      license.id,
      'license.created',
    ]);
    const types = rows.map(({ type }) => type);
    expect(types.filter((type) => type.startsWith('machine.'))).toEqual(['machine.activated', 'machine.checked_out']);
    expect(types).toContain('license.limit_reached');
  });

  it('that says something else gets a 400 that names the request and says nothing of it', async () => {
    for (const request of [
      '',
      'x',
      offlineRequest('key', { v: 2 }),
      offlineRequest('key', { fingerprint: 'ümlaut-ümlaut' }),
      'A'.repeat(10_001),
      7,
      null,
    ]) {
      const { status, body, text } = await vendor.api.post('/machines/offline-requests', { request });
      expect([status, body.details.issues.map(({ path }: any) => path)]).toEqual([400, ['request']]);
      expect(text).not.toContain('ümlaut');
    }
  });
});

describe('licenses beside an earlier version', () => {
  let server: Running;
  beforeAll(async () => {
    server = await startServer();
  });
  afterAll(() => server.stop());

  it('are given their digest, portion by portion, and nothing else of them changes', async () => {
    const license = await vendor.licenseUnder(rules);
    const other = await vendor.licenseUnder(rules, { key: unique('own') });
    const deleted = await vendor.licenseUnder(rules);
    expectStatus(await vendor.api.delete(`/licenses/${deleted.id}`), 204);
    const broken = await vendor.licenseUnder(rules);
    const ids = [license.id, other.id, deleted.id, broken.id];
    const rowsOf = async () =>
      (await database.query('SELECT to_jsonb(license) AS row FROM license WHERE id = ANY($1) ORDER BY id', [ids])).rows;
    const histories = async () => (await database.query('SELECT id FROM former_state WHERE owner_id = ANY($1)', [ids])).rows;
    const sealed = (await database.query('SELECT key_sealed FROM license WHERE id = $1', [broken.id])).rows[0].key_sealed;
    await database.query(`UPDATE license SET key_sealed = '\\x00' WHERE id = $1`, [broken.id]);
    const [before, history] = [await rowsOf(), await histories()];
    const asEarlier = () => database.query('UPDATE license SET offline_digest = NULL WHERE id = ANY($1)', [ids]);
    await asEarlier();
    const fill = () => server.app.get(OfflineDigestWorker).fill();
    await fill();
    const without = (id: string, rows: any[]): any[] => rows.map(({ row }) => (row.id === id ? { ...row, offline_digest: null } : row));
    // One that nobody can open, and one that is gone, hold up no other.
    const wanted = without(
      broken.id,
      without(deleted.id, before).map((row) => ({ row })),
    );
    expect((await rowsOf()).map(({ row }) => row)).toEqual(wanted);
    // A second time there is nothing to do.
    await server.app.get(OfflineDigestWorker).fill();
    expect((await rowsOf()).map(({ row }) => row)).toEqual(wanted);
    expect(await histories()).toEqual(history);
    await database.query('UPDATE license SET key_sealed = $2 WHERE id = $1', [broken.id, sealed]);
    await server.app.get(OfflineDigestWorker).fill();
    expect((await rowsOf()).map(({ row }) => row.offline_digest === null)).toEqual(ids.sort().map((id) => id === deleted.id));
  });

  it('are not found by a key that such a server has replaced, and then by the new one', async () => {
    const license = await vendor.licenseUnder(rules);
    const ask = (of: string) => vendor.api.post('/machines/offline-requests', { request: offlineRequest(of) });
    // It writes what it knows of: the digest of another key. (What is sealed stays here, so that the same one leads back.)
    await database.query(`UPDATE license SET key_digest = sha256(key_digest) WHERE id = $1`, [license.id]);
    expect(codeOf(await ask(license.key))).toEqual([404, 'NOT_FOUND']);
    await server.app.get(OfflineDigestWorker).fill();
    expect(codeOf(await ask(license.key))).toEqual([201, undefined]);
  });
});
