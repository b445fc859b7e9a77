import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createClient, type ClientOptions, type Store } from '../sdk/src/index.js';
import type { Proof } from '../sdk/src/documents.js';
import { judge, nothing, withAnswer, withFile } from '../sdk/src/judge.js';
import { ACCOUNT, DAY, FINGERPRINT, Key, machineClaims, NOW, refuse, StandIn, validationClaims } from './support/stand-in.js';

/** What the SDK keeps: through stores that fail, hang or are shared, and through documents that come out of order. */

/** A UUID v7 as the server makes them: later ones are larger. */
const jti = (count: number) => `019aab00-0000-7000-8000-${String(count).padStart(12, '0')}`;

describe('what the SDK keeps', () => {
  let server: StandIn;
  let key: Key;
  let saved: string | null;
  let isAway: boolean;
  let claims: object;
  let broken: Set<'load' | 'save'>;
  let told: unknown[];
  const fail = (what: 'load' | 'save') => (broken.has(what) ? Promise.reject(new Error(`no ${what}`)) : Promise.resolve());
  const store: Store = {
    load: () => fail('load').then(() => saved),
    save: (text) =>
      fail('save').then(() => {
        saved = text;
      }),
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
    saved = null;
    isAway = false;
    claims = {};
    broken = new Set();
    told = [];
  });
  const client = (changes: Partial<ClientOptions> = {}) =>
    createClient({
      baseUrl: server.url,
      account: ACCOUNT,
      licenseKey: 'vendor-chosen-key',
      fingerprint: FINGERPRINT,
      keys: [key.jwk],
      store,
      retry: { retries: 0 },
      clock: { now: () => NOW * 1000 },
      onStoreError: (error) => told.push(error),
      ...changes,
    });
  const refusal = (count: number) => ({ valid: false, code: 'REVOKED', exp: NOW + 300, jti: jti(count) });
  const isKept = async (version?: string) => {
    isAway = true;
    return (await client().validate({ version })).valid;
  };

  describe('through a store that fails', () => {
    it('loses nothing when one read fails: in a client that has read it before', async () => {
      const app = client();
      await app.validate({ version: '1.0.0' });
      broken.add('load');
      expect(await app.validate({ version: '2.0.0' })).toMatchObject({ valid: true, source: 'server' });
      expect(told).not.toEqual([]);
      broken.clear();
      expect(await isKept('1.0.0')).toBe(true);
      expect(await isKept('2.0.0')).toBe(true);
    });

    it('goes on by what it read before, when a read fails later', async () => {
      const app = client();
      await app.validate();
      broken.add('load');
      isAway = true;
      expect(await app.validate()).toMatchObject({ valid: true, source: 'cache' });
    });

    it('loses nothing when the first reads fail: it saves once it knows what is there', async () => {
      await client().validate({ version: '1.0.0' });
      const before = saved;
      broken.add('load');
      const app = client();
      await app.validate({ version: '2.0.0' });
      expect(saved).toBe(before);
      isAway = true;
      expect(await app.validate({ version: '2.0.0' })).toMatchObject({ valid: true, source: 'cache' });
      isAway = false;
      broken.clear();
      await app.validate({ version: '3.0.0' });
      for (const version of ['1.0.0', '2.0.0', '3.0.0']) expect(await isKept(version)).toBe(true);
    });

    it('keeps what another process wrote while it could not write itself', async () => {
      const app = client();
      await app.validate({ version: '1.0.0' });
      broken.add('save');
      await app.validate({ version: '2.0.0' });
      broken.clear();
      await client().validate({ version: '3.0.0' });
      await app.validate({ version: '4.0.0' });
      for (const version of ['1.0.0', '2.0.0', '3.0.0', '4.0.0']) expect(await isKept(version)).toBe(true);
    });
  });

  describe('in a store that two processes share', () => {
    /** Lets another process in, between this one's reading and its writing. */
    const interrupted = (meanwhile: () => Promise<unknown>): Store => {
      let reads = 0;
      return {
        ...store,
        load: async () => {
          const text = await store.load();
          reads += 1;
          // The first read is for the answer; the second is what the change starts from.
          if (reads === 2) await meanwhile();
          return text;
        },
      };
    };

    it('loses no refusal to the other one', async () => {
      claims = { jti: jti(0) };
      await client().validate();
      const late = client({
        store: interrupted(async () => {
          claims = refusal(2);
          expect(await client().validate()).toMatchObject({ valid: false, code: 'REVOKED' });
          claims = { jti: jti(1) };
        }),
      });
      claims = { jti: jti(1) };
      await late.validate();
      expect(await isKept()).toBe(false);
    });

    it('keeps what both have learned', async () => {
      const one = client({ store: interrupted(() => client().validate({ version: '2.0.0' })) });
      await one.validate({ version: '1.0.0' });
      expect(await isKept('1.0.0')).toBe(true);
      expect(await isKept('2.0.0')).toBe(true);
    });
  });

  describe('through a store that hangs', () => {
    const hung = () => new Promise<never>(() => undefined);
    it.each<[string, Store]>([
      ['reading', { load: hung, save: (text) => store.save(text) }],
      ['writing', { load: () => store.load(), save: hung }],
      ['both', { load: hung, save: hung }],
    ])('%s, it answers in time, and remembers', async (_name, hanging) => {
      const app = client({ store: hanging, timeoutMs: 300 });
      expect(await app.validate()).toMatchObject({ valid: true, source: 'server' });
      isAway = true;
      expect(await app.validate()).toMatchObject({ valid: true, source: 'cache' });
    });
  });

  describe('of documents of one second', () => {
    const QUESTION = { scope: 's', entitlements: [], fingerprint: FINGERPRINT };
    const answer = (changes: object) =>
      ({ kind: 'validation', kid: 'k', text: '', claims: validationClaims({ nonce: 'n.s', ...changes }) }) as Proof<'validation'>;
    const file = (changes: object) => ({ kind: 'machine', kid: 'k', text: '', claims: machineClaims(changes) }) as Proof<'machine'>;
    const verdict = (held: typeof nothing) => judge(held, QUESTION, NOW * 1000, 0);

    it('the later one counts, by its id', () => {
      const refused = withAnswer(nothing, answer(refusal(5)));
      expect(verdict(withFile(refused, file({ jti: jti(6) }), NOW * 1000))).toMatchObject({ valid: true });
      expect(verdict(withFile(refused, file({ jti: jti(4) }), NOW * 1000))).toMatchObject({ valid: false, code: 'REVOKED' });
      expect(verdict(withFile(refused, file({ jti: jti(5) }), NOW * 1000))).toMatchObject({ valid: false, code: 'REVOKED' });
    });

    it('an answer that comes late undoes no later one', () => {
      const [yes, no] = [answer({ jti: jti(1) }), answer(refusal(2))];
      for (const order of [
        [yes, no],
        [no, yes],
      ])
        expect(verdict(order.reduce(withAnswer, nothing))).toMatchObject({ valid: false, code: 'REVOKED' });
      const after = answer({ jti: jti(3) });
      for (const order of [
        [no, after],
        [after, no],
      ])
        expect(verdict(order.reduce(withAnswer, nothing))).toMatchObject({ valid: true });
    });

    it('an older file takes the place of no newer one that still lasts', () => {
      const newer = file({ iat: NOW, exp: NOW + 30 * DAY, jti: jti(2) });
      const older = file({ iat: NOW, exp: NOW + DAY, jti: jti(1) });
      const held = withFile(withFile(nothing, newer, NOW * 1000), older, NOW * 1000);
      expect(held.file).toBe(newer);
      expect(withFile(withFile(nothing, older, NOW * 1000), newer, NOW * 1000).file).toBe(newer);
      const short = file({ iat: NOW, exp: NOW + 60, jti: jti(3) });
      expect(withFile(withFile(nothing, short, NOW * 1000), older, (NOW + 60) * 1000).file).toBe(older);
    });
  });

  it('of a client without a fingerprint is about the machine that was asked about', async () => {
    const loose = (changes = {}) => client({ fingerprint: undefined, ...changes });
    const fingerprints = ['board-0001', 'disk-00002'];
    claims = { fingerprint: 'board-0001' };
    expect(await loose().validate({ fingerprints })).toMatchObject({ valid: true, source: 'server' });
    isAway = true;
    expect(await loose().validate({ fingerprints })).toMatchObject({ valid: true, source: 'cache' });
    expect(await loose().validate()).toMatchObject({ valid: false, source: 'none' });
    expect(await loose().validate({ fingerprints: ['disk-00002'] })).toMatchObject({ valid: false, source: 'none' });
    isAway = false;
    expect(await loose().validate({ fingerprints: ['disk-00002', 'board-0001'] })).toMatchObject({
      serverProblem: { kind: 'proof_invalid' },
    });
  });
});
