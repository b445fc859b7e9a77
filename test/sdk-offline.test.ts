import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { createClient, type ClientOptions, type ProofError, type Store, verifyFile } from '../sdk/src/index.js';
import { type Proof, verifyDocument } from '../sdk/src/documents.js';
import { type Held, judge, nothing, scopeOf, withAnswer } from '../sdk/src/judge.js';
import { type Jwks, PublicKeys } from '../sdk/src/keys.js';
import { displayedKey } from '../sdk/src/license-key.js';
import { armour, fileKey } from '../src/domain/license-file.js';
import { parseOfflineRequest } from '../src/domain/offline-request.js';
import { CompactEncrypt } from 'jose';
import { ACCOUNT, DAY, FINGERPRINT, Key, machineClaims, NOW, refuse, StandIn, validationClaims } from './support/stand-in.js';

/** What the SDK goes on by without the server: the kept answers, the clock, license and machine files. */

const TOLERANCE_MS = 300_000;
const LICENSE_KEY = 'ACME-7K2M-9XQ4-3VBN-0HTR-5WPC-8DZF';

describe('the SDK offline', () => {
  let server: StandIn;
  let key: Key;
  let nowMs: number;
  let saved: string | null;
  let isAway: boolean;
  let claims: object;
  const store: Store = {
    load: () => Promise.resolve(saved),
    save: (text) => {
      saved = text;
      return Promise.resolve();
    },
  };
  beforeAll(async () => {
    server = await StandIn.start();
    key = await Key.make();
    server.behave = async ({ body }, response) =>
      isAway ? refuse(response, 503, 'UNAVAILABLE') : { token: await key.sign(validationClaims({ nonce: body.nonce, ...claims })) };
  });
  afterAll(() => {
    server.stop();
  });
  beforeEach(() => {
    nowMs = NOW * 1000;
    saved = null;
    isAway = true;
    claims = {};
  });
  const client = (changes: Partial<ClientOptions> = {}) =>
    createClient({
      baseUrl: server.url,
      account: ACCOUNT,
      licenseKey: LICENSE_KEY,
      fingerprint: FINGERPRINT,
      keys: [key.jwk],
      store,
      retry: { retries: 0 },
      clock: { now: () => nowMs },
      ...changes,
    });
  const validateOnce = async (changes: object = {}) => {
    isAway = false;
    claims = changes;
    const answer = await client().validate();
    isAway = true;
    return answer;
  };
  const file = (changes: object = {}, typ = 'latchkey-machine+jwt') => key.sign(machineClaims(changes), { typ });
  const encrypted = async (secret: string, changes: object = {}) =>
    new CompactEncrypt(new TextEncoder().encode(await file(changes)))
      .setProtectedHeader({ alg: 'dir', enc: 'A256GCM', cty: 'JWT' })
      .encrypt(fileKey(secret, null));

  describe('by what it kept', () => {
    it('outlives a restart, and asks nobody when it is told not to', async () => {
      await validateOnce();
      server.heard.length = 0;
      expect(await client().verifyOffline()).toMatchObject({ valid: true, source: 'cache', serverProblem: null });
      expect(server.heard).toEqual([]);
    });

    it('keeps no license key', async () => {
      await validateOnce();
      expect(saved).not.toContain(LICENSE_KEY);
    });

    it('notices a clock that was set back, by the newest signed time', async () => {
      await validateOnce();
      await validateOnce({ iat: NOW + DAY, exp: NOW + 3 * DAY });
      nowMs = (NOW + DAY) * 1000 - TOLERANCE_MS;
      expect(await client().validate()).toMatchObject({ valid: true, source: 'cache' });
      nowMs -= 1;
      expect(await client().validate()).toMatchObject({ valid: false, reason: 'clock_set_back', entitlements: [] });
    });

    it('keeps the newest signed time through a refusal of another question', async () => {
      await validateOnce();
      await validateOnce({ iat: NOW + DAY, exp: NOW + DAY + 300, valid: false, code: 'ENTITLEMENTS_MISSING' });
      expect(await client().validate()).toMatchObject({ valid: false, reason: 'clock_set_back' });
    });

    it('is nothing without its store', async () => {
      await validateOnce();
      saved = null;
      expect(await client().validate()).toMatchObject({ valid: false, source: 'none', reason: 'unreachable' });
      expect(await client().verifyOffline()).toMatchObject({ valid: false, source: 'none', reason: 'proof_missing' });
    });

    it.each<[string, Partial<ClientOptions>]>([
      ['another machine', { fingerprint: 'another-machine' }],
      ['no machine', { fingerprint: undefined }],
      ['another license key', { licenseKey: 'ACME-0000-0000-0000-0000-0000-0000' }],
      ['another license', { licenseId: '019aab00-0000-7000-8000-0000000000aa' }],
      ['another account', { account: '019aab00-0000-7000-8000-0000000000aa' }],
      ['the test environment', { environment: 'test' }],
    ])('does not believe a store that was copied to %s', async (_name, changes) => {
      await validateOnce();
      expect(await client(changes).validate()).toMatchObject({ valid: false, source: 'none', reason: 'unreachable' });
    });

    it('believes nothing that was edited, whatever it was', async () => {
      await validateOnce();
      const whole = saved!;
      const { answers } = JSON.parse(whole) as { answers: [string] };
      const [header, payload, signature] = answers[0].split('.');
      const longer = Buffer.from(JSON.stringify(validationClaims({ exp: NOW + 999 * DAY }))).toString('base64url');
      const forgeries = [
        `${header!}.${longer}.${signature!}`,
        await (await Key.make()).sign(validationClaims()),
        await file(),
        7,
        null,
        {},
      ];
      for (const forgery of forgeries) {
        saved = JSON.stringify({ ...JSON.parse(whole), answers: [forgery], newest: null });
        expect(await client().verifyOffline()).toMatchObject({ valid: false, source: 'none' });
      }
      for (const text of [
        '',
        '{',
        'null',
        '[]',
        '7',
        whole.slice(0, -9),
        whole.replaceAll(payload!, `${payload!}x`),
        '{"version":1,"answers":3}',
      ]) {
        saved = text;
        expect(await client().verifyOffline()).toMatchObject({ valid: false, source: 'none' });
      }
    });

    it('drops documents of another license that were put into it', async () => {
      await validateOnce({ sub: '019aab00-0000-7000-8000-0000000000aa' });
      const { answers: theirs } = JSON.parse(saved!) as { answers: string[] };
      saved = null;
      await validateOnce({ iat: NOW + 1, valid: false, code: 'REVOKED' });
      saved = JSON.stringify({ ...JSON.parse(saved!), answers: theirs });
      expect(await client().verifyOffline()).toMatchObject({ valid: false, code: 'REVOKED' });
    });

    it('answers, and remembers while it runs, when the store cannot be read or written', async () => {
      const told: unknown[] = [];
      const broken: Store = { load: () => Promise.reject(new Error('no disk')), save: () => Promise.reject(new Error('no disk')) };
      const app = client({ store: broken, onStoreError: (error) => told.push(error) });
      isAway = false;
      expect(await app.validate()).toMatchObject({ valid: true, source: 'server' });
      isAway = true;
      expect(await app.validate()).toMatchObject({ valid: true, source: 'cache' });
      expect(told).not.toEqual([]);
    });

    it('writes what several calls at once have learned, one after the other', async () => {
      isAway = false;
      const app = client();
      await Promise.all(['1.0.0', '2.0.0', '3.0.0'].map((version) => app.validate({ version })));
      isAway = true;
      for (const version of ['1.0.0', '2.0.0', '3.0.0']) expect(await client().validate({ version })).toMatchObject({ valid: true });
    });
  });

  describe('by a file', () => {
    it('runs on a machine file until it ends, with no other proof', async () => {
      await client().importFile(armour('machine', await file()));
      const inside = await client().validate({ entitlements: ['pro'], product: 'Editor' });
      expect(inside).toMatchObject({ valid: true, source: 'file', code: 'VALID', graceEndsAt: new Date((NOW + 14 * DAY) * 1000) });
      expect(await client().validate({ product: 'another' })).toMatchObject({ valid: false });
      expect(await client().validate({ policy: 'another' })).toMatchObject({ valid: false });
      expect(await client().validate({ entitlements: ['enterprise'] })).toMatchObject({ valid: false, code: 'ENTITLEMENTS_MISSING' });
      nowMs = (NOW + 14 * DAY) * 1000;
      expect(await client().validate()).toMatchObject({ valid: false, reason: 'expired_proof' });
      nowMs = NOW * 1000 - TOLERANCE_MS - 1;
      expect(await client().validate()).toMatchObject({ valid: false, reason: 'clock_set_back' });
    });

    it('opens an encrypted one with the key as it was typed, and keeps it encrypted', async () => {
      const document = await encrypted(LICENSE_KEY + FINGERPRINT);
      await client({ licenseKey: 'acme 7k2m 9xq4 3vbn ohtr 5wpc 8dzf' }).importFile(armour('machine', document));
      expect(saved).toContain(document);
      expect(await client().verifyOffline()).toMatchObject({ valid: true, source: 'file' });
    });

    it('goes with a later signed refusal, and comes back with a later file', async () => {
      await client().importFile(await file());
      await validateOnce({ valid: false, code: 'REVOKED' });
      expect(await client().validate()).toMatchObject({ valid: false, code: 'REVOKED' });
      await client().importFile(await file());
      expect(await client().validate()).toMatchObject({ valid: true, source: 'file' });
    });

    it.each<[string, string, () => Promise<string>]>([
      ['of another machine', 'wrong_fingerprint', () => file({ fingerprint: 'another-machine' })],
      ['of another account', 'wrong_account', () => file({ aud: '019aab00-0000-7000-8000-0000000000aa' })],
      ['of another environment', 'wrong_environment', () => file({ environment: 'test' })],
      ['that has ended', 'expired', () => file({ iat: NOW - DAY, exp: NOW })],
      ['from the future', 'clock_set_back', () => file({ iat: NOW + 301 })],
      ['that is an answer', 'wrong_type', () => file({}, 'latchkey-validation+jwt')],
      ['that answers a request of someone else', 'wrong_nonce', () => file({ nonce: 'another' })],
      ['encrypted for another machine', 'cannot_decrypt', () => encrypted(`${LICENSE_KEY}another-machine`)],
      ['encrypted as another kind', 'wrong_type', () => encrypted(LICENSE_KEY)],
      ['under the wrong label', 'wrong_type', async () => armour('license', await file())],
      ['signed by a stranger', 'unknown_key', async () => (await Key.make()).sign(machineClaims(), { typ: 'latchkey-machine+jwt' })],
      ['cut short', 'malformed', async () => armour('machine', await file()).slice(0, 200)],
      ['that is none', 'malformed', () => Promise.resolve('hello')],
    ])('refuses one %s, and keeps what it had', async (_name, problem, make) => {
      await validateOnce();
      const before = saved;
      await expect(client().importFile(await make())).rejects.toMatchObject({ name: 'ProofError', problem });
      expect(saved).toBe(before);
    });

    it('takes the answer to its own last request, and to no other', async () => {
      const request = parseOfflineRequest(await client().offlineRequest({ name: 'Größe ☃', platform: 'linux' }));
      expect(request).toMatchObject({ fingerprint: FINGERPRINT, name: 'Größe ☃', platform: 'linux' });
      const later = parseOfflineRequest(await client().offlineRequest());
      await expect(client().importFile(await file({ nonce: request.nonce }))).rejects.toMatchObject({ problem: 'wrong_nonce' });
      await client().importFile(await file({ nonce: later.nonce }));
      expect(await client().verifyOffline()).toMatchObject({ valid: true, source: 'file' });
    });
  });

  it('beats in the middle of the time that the server leaves, and ends when the seat is lost', async () => {
    const waits: number[] = [];
    const told: string[] = [];
    const machine = { id: 'machine-1', lastHeartbeatAt: '2026-01-01T00:00:00.000Z', nextHeartbeatAt: '2026-01-01T01:00:00.000Z' };
    const beats = [200, 503, 200, 422];
    const standIn = await StandIn.start();
    standIn.behave = ({ method, path }, response) => {
      if (method === 'POST' && path === '/api/v1/machines') return machine;
      const status = beats.shift() ?? 200;
      if (status === 422) return refuse(response, 422, 'MACHINE_DEAD');
      return status === 503 ? refuse(response, 503, 'UNAVAILABLE') : machine;
    };
    const sleep = (ms: number) => Promise.resolve(void waits.push(ms));
    const app = client({ baseUrl: standIn.url, clock: { now: () => nowMs, sleep }, random: () => 0.5 });
    await app.activate();
    await new Promise<void>((resolve) => {
      app.startHeartbeat({
        onBeat: ({ id }) => told.push(id),
        onError: ({ message }) => told.push(message),
        onLost: ({ code }) => {
          told.push(code);
          resolve();
        },
      });
    });
    expect(told).toEqual(['machine-1', 'UNAVAILABLE', 'machine-1', 'MACHINE_DEAD']);
    expect(waits).toEqual([1_800_000, 900_000, 1_800_000]);
    standIn.stop();
  });

  it('stops beating when it is told to', async () => {
    let woken: () => void = () => undefined;
    const sleeping = new Promise<void>((resolve) => (woken = resolve));
    const standIn = await StandIn.start();
    standIn.behave = () => ({ id: 'machine-1', lastHeartbeatAt: null, nextHeartbeatAt: null });
    const sleep = (_ms: number, signal?: AbortSignal) =>
      new Promise<void>((_resolve, reject) => {
        signal?.addEventListener('abort', () => {
          reject(new Error('aborted'));
        });
        woken();
      });
    const app = client({ baseUrl: standIn.url, clock: { now: () => nowMs, sleep } });
    await app.activate();
    const stop = app.startHeartbeat();
    await sleeping;
    stop();
    expect(standIn.heard).toHaveLength(2);
    standIn.stop();
  });

  it('displays a key as the server does, however it was typed', () => {
    for (const typed of ['acme7k2m9xq43vbnohtr5wpc8dzf', ' Acme-7K2M-9XQ4-3VBN-OHTR-5WPC-8DZF ', LICENSE_KEY])
      expect(displayedKey(typed)).toBe(LICENSE_KEY);
    for (const own of ['my own key', 'Vendor-0001', 'ACME-UUUU-UUUU-UUUU-UUUU-UUUU-UUUU']) expect(displayedKey(own)).toBe(own);
  });

  it('never says valid without a good answer that still lasts, and always says it with one (any history)', () => {
    const event = fc.record({
      age: fc.integer({ min: 0, max: 30 }),
      valid: fc.boolean(),
      days: fc.integer({ min: 0, max: 20 }),
      scope: fc.constantFrom('a', 'b'),
    });
    const ages = fc.array(event, { maxLength: 12 }).map((list) => list.sort((one, other) => other.age - one.age));
    fc.assert(
      fc.property(ages, fc.integer({ min: -30, max: 30 }), fc.constantFrom('a', 'b'), (history, nowDays, scope) => {
        const toProof = ({ age, valid, days, scope: asked }: (typeof history)[number]) => {
          const iat = NOW - age * DAY;
          const about = { valid, code: valid ? 'VALID' : 'REVOKED', nonce: `n.${asked}`, iat, exp: iat + days * DAY };
          return { kind: 'validation', kid: 'k', text: '', claims: validationClaims(about) } as Proof<'validation'>;
        };
        const held = history.map(toProof).reduce<Held>(withAnswer, nothing);
        const at = (NOW + nowDays * DAY) * 1000;
        const { valid } = judge(held, { scope, entitlements: [], fingerprint: FINGERPRINT }, at, TOLERANCE_MS);
        const lastNo = history.map((entry) => entry.valid).lastIndexOf(false);
        const good = history
          .slice(lastNo + 1)
          .filter((entry) => entry.scope === scope)
          .at(-1);
        const isInside = good !== undefined && at < (NOW + (good.days - good.age) * DAY) * 1000;
        const isBack = history.length > 0 && at + TOLERANCE_MS < (NOW - history.at(-1)!.age * DAY) * 1000;
        expect(valid).toBe(isInside && !isBack);
      }),
    );
    expect(scopeOf({ nonce: 'random.scope' })).toBe('scope');
  });

  describe('agrees with the vectors', () => {
    interface Vector {
      name: string;
      document?: string;
      keySet: string;
      expect: {
        now: number;
        kind: 'validation' | 'license' | 'machine';
        audience: string;
        environment: 'live' | 'test';
        nonce?: string;
        fingerprint?: string;
        license?: string;
        licenseKey?: string;
        product?: string;
      };
      result: { claims?: object; refused?: string };
    }
    const read = (name: string): unknown => JSON.parse(readFileSync(new URL(`./vectors/${name}.json`, import.meta.url), 'utf8'));
    const keySets = read('keys') as Record<string, Jwks>;
    const verify = async ({ document = '', keySet, expect: expected }: Vector) => {
      const { kind, audience: account, environment, fingerprint = null, license: licenseId, now, nonce, licenseKey, product } = expected;
      const keys = keySets[keySet]!;
      const binding = { account, environment, fingerprint, licenseId };
      const found: Proof =
        kind === 'validation'
          ? await verifyDocument(
              document,
              ['validation'],
              await PublicKeys.of(keys),
              fingerprint === null ? { ...binding, fingerprint: readFingerprint(document) } : binding,
            )
          : await verifyFile(document, { ...binding, keys, licenseKey, now: now * 1000 });
      if (found.kind !== kind) throw new Error('another kind');
      const { claims } = found;
      if (now >= claims.exp) throw new Error('expired');
      if (nonce !== undefined && (!('nonce' in claims) || claims.nonce !== nonce)) throw new Error('another nonce');
      if (product !== undefined && (!('product' in claims) || claims.product.code !== product)) throw new Error('another product');
      return claims;
    };
    /** A vector that asks for no machine is about any. */
    const readFingerprint = (jws: string): string | null =>
      (JSON.parse(Buffer.from(jws.split('.')[1] ?? '', 'base64url').toString() || '{}') as { fingerprint?: string }).fingerprint ?? null;

    it.each(['tokens', 'files', 'encrypted', 'air-gapped', 'bit-flips'])('of %s', async (name) => {
      const differing: string[] = [];
      for (const vector of (read(name) as Vector[]).filter(({ document }) => document !== undefined)) {
        const outcome = await verify(vector).catch((error: unknown) => error as ProofError);
        // The verifiers are given the key as it is displayed; the SDK as it was typed.
        if (vector.name.endsWith('license key in small letters')) continue;
        const agrees = outcome instanceof Error ? vector.result.refused !== undefined : vector.result.claims !== undefined;
        if (!agrees) differing.push(`${vector.name}: ${outcome instanceof Error ? outcome.message : 'accepted'}`);
        else if (!(outcome instanceof Error)) expect(outcome).toEqual(vector.result.claims);
      }
      expect(differing).toEqual([]);
    });
  });
});
