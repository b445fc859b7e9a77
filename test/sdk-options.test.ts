import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { createClient, type ClientOptions, LatchkeyError, memoryStore, verifyFile } from '../sdk/src/index.js';
import { Heartbeats } from '../sdk/src/heartbeats.js';
import { machineFingerprint } from '../sdk/src/node.js';
import { systemClock } from '../sdk/src/transport.js';
import type { Machine } from '../sdk/src/types.js';
import { ACCOUNT, FINGERPRINT, Key } from './support/stand-in.js';

/** What the SDK is given by the app around it: options, arguments, callbacks. */

const base = { baseUrl: 'https://licenses.example.com', account: ACCOUNT, licenseKey: 'ACME-KEY', fingerprint: FINGERPRINT };
const made = (changes: object) => createClient({ ...base, ...changes });
const failureOf = (work: () => unknown): unknown => {
  try {
    return work();
  } catch (error) {
    return error;
  }
};

describe('the options of a client', () => {
  const wrong: [string, object, RegExp][] = [
    ['keys that are no set', { keys: {} }, /^keys/],
    ['keys that are a text', { keys: 'x' }, /^keys/],
    ['keys that are an error of the server', { keys: { error: 'Not Found' } }, /^keys/],
    ['no keys at all', { keys: { keys: [] } }, /^keys/],
    ['keys that are null', { keys: [null] }, /^keys/],
    ['keys of another kind', { keys: [{ kty: 'RSA', n: 'x', e: 'AQAB' }] }, /^keys/],
    ['keys that are cut short', { keys: [{ kty: 'OKP', crv: 'Ed25519', x: 'AAAA' }] }, /^keys/],
    ['an option that there is not', { licensekey: 'x' }, /licensekey/],
    ['another environment', { environment: 'prod' }, /^environment/],
    ['a store that is none', { store: {} }, /^store/],
    ['a store that cannot save', { store: { load: () => Promise.resolve(null) } }, /^store/],
    ['a license key with a line in it', { licenseKey: 'ACME\nKEY' }, /^licenseKey/],
    ['a license key with a null byte', { licenseKey: 'ACME\0KEY' }, /^licenseKey/],
    ['a license key that is none', { licenseKey: undefined }, /^licenseKey/],
    ['an account that is none', { account: 7 }, /^account/],
    ['a fingerprint that is a number', { fingerprint: 12345678 }, /^fingerprint/],
    ['a base URL that is none', { baseUrl: undefined }, /^baseUrl/],
    ['a time that is none', { timeoutMs: '10' }, /^timeoutMs/],
    ['a time that is over', { timeoutMs: 0 }, /^timeoutMs/],
    ['a tolerance below zero', { clockToleranceMs: -1 }, /^clockToleranceMs/],
    ['a callback that is none', { onStoreError: 'log' }, /^onStoreError/],
    ['retries that are a number', { retry: 3 }, /^retry/],
    ['a license that is no id', { licenseId: 'mine' }, /^licenseId/],
  ];
  it.each(wrong)('%s: says which one is wrong', (_name, changes, message) => {
    const error = failureOf(() => made(changes));
    expect(error).toBeInstanceOf(LatchkeyError);
    expect(error).toMatchObject({ code: 'invalid_options', message: expect.stringMatching(message) });
  });

  it.each([undefined, null, 'x'])('are an object, not %s', (options) => {
    expect(failureOf(() => createClient(options as unknown as ClientOptions))).toMatchObject({ code: 'invalid_options' });
  });

  it('say what is wrong with a key at the first use, where that is when it is seen', async () => {
    const { jwk } = await Key.make();
    const misnamed = made({ keys: [{ ...jwk, kid: 'another' }], fetch: () => Promise.reject(new TypeError('unplugged')) });
    await expect(misnamed.verifyOffline()).rejects.toMatchObject({ code: 'invalid_options', message: expect.stringMatching(/^keys/) });
    const options = { keys: {} as never, account: ACCOUNT, environment: 'live' as const };
    await expect(verifyFile('hello', options)).rejects.toMatchObject({ code: 'invalid_options' });
  });

  it('may be left undefined', () => {
    expect(made({ keys: undefined, environment: undefined, store: undefined, timeoutMs: undefined, licenseId: undefined })).toBeDefined();
  });

  it.each(['https://licenses.example.com/api/v1', 'https://licenses.example.com/api/v1/', 'https://licenses.example.com//'])(
    'take %s for the root of the server',
    async (baseUrl) => {
      const asked: unknown[] = [];
      const fetch = (input: unknown) => Promise.reject(new TypeError(String(asked.push(input))));
      await made({ baseUrl, fetch, retry: { retries: 0 } }).validate();
      expect(asked).toEqual(['https://licenses.example.com/api/v1/licenses/validate-key']);
    },
  );
});

describe('the arguments of a call', () => {
  it.each([undefined, null, {}, { salt: 7 }, { salt: '' }, { salt: 'x', id: 7 }])(
    'machineFingerprint(%j): says what is wrong',
    async (options) => {
      await expect(machineFingerprint(options as never)).rejects.toMatchObject({ name: 'LatchkeyError', code: 'invalid_options' });
    },
  );

  it.each<[object, RegExp]>([
    [{ name: 'x'.repeat(256) }, /^name/],
    [{ name: '' }, /^name/],
    [{ name: 'a\0b' }, /^name/],
    [{ name: '\ud800' }, /^name/],
    [{ platform: 'darwin' }, /^platform/],
    [{ hostname: 'mill-7' }, /hostname/],
  ])('offlineRequest(%j): is refused before the trip', async (about, message) => {
    const client = made({ store: memoryStore() });
    await expect(client.offlineRequest(about)).rejects.toMatchObject({ code: 'invalid_options', message: expect.stringMatching(message) });
    expect(await client.offlineRequest({ name: 'x'.repeat(255), platform: 'macos' })).toBeTruthy();
  });

  it.each([0, -1, Number.NaN])('startHeartbeat({ intervalMs: %d }): is refused', (intervalMs) => {
    expect(failureOf(() => made({}).startHeartbeat({ intervalMs }))).toMatchObject({ code: 'invalid_options' });
  });
});

it('an answer without a proof says what it was', async () => {
  const body = { data: { valid: false, code: 'NOT_FOUND', message: 'There is no such license.', token: null } };
  const fetch = () => Promise.resolve(new Response(JSON.stringify(body)));
  expect((await made({ fetch, retry: { retries: 0 } }).validate()).serverProblem).toMatchObject({
    code: 'NOT_FOUND',
    message: 'The server says without a proof: NOT_FOUND: There is no such license.',
  });
});

describe('waits and callbacks', () => {
  afterEach(() => {
    jest.restoreAllMocks();
  });

  it('waits a day at most, where the timers of the platform would not wait at all', async () => {
    const timers = jest.spyOn(globalThis, 'setTimeout');
    const controller = new AbortController();
    const slept = systemClock.sleep(90 * 86_400_000, controller.signal).catch(() => 'aborted');
    controller.abort();
    expect(await slept).toBe('aborted');
    expect(timers.mock.calls.map(([, ms]) => ms)).toContain(86_400_000);
  });

  it('asks a server with any time to spare', async () => {
    const fetch = () => Promise.resolve(new Response('{"data":{}}'));
    const client = made({ fetch, timeoutMs: Number.POSITIVE_INFINITY, retry: { retries: 0 } });
    expect(await client.validate()).toMatchObject({ serverProblem: { kind: 'proof_missing' } });
  });

  const machineOf = (days: number) =>
    ({ lastHeartbeatAt: '2026-01-01T00:00:00.000Z', nextHeartbeatAt: new Date(Date.UTC(2026, 0, 1 + days)).toISOString() }) as Machine;
  /** Beats so often, then the seat is lost; answers the waits. */
  const beaten = async (beats: number, callbacks: object, days = 1): Promise<number[]> => {
    const waits: number[] = [];
    let count = 0;
    const beat = () => {
      count += 1;
      return count > beats ? Promise.reject(new LatchkeyError('MACHINE_DEAD', 'dead')) : Promise.resolve(machineOf(days));
    };
    const clock = { now: () => 0, sleep: (ms: number) => Promise.resolve(void waits.push(ms)) };
    await new Promise<void>((resolve) => {
      const onLost = (error: LatchkeyError) => {
        resolve();
        return (callbacks as { onLost?: (error: LatchkeyError) => unknown }).onLost?.(error);
      };
      new Heartbeats(beat, { clock, random: () => 0.5 }, { ...callbacks, onLost }).start();
    });
    // A rejection that nobody handles is told, and ends the run, before this.
    await new Promise((resolve) => setImmediate(resolve));
    return waits;
  };

  it('beats once a day at least', async () => {
    expect(await beaten(1, {}, 90)).toEqual([86_400_000]);
  });

  it.each<[string, () => unknown]>([
    [
      'throws',
      () => {
        throw new Error('a bug of the app');
      },
    ],
    ['rejects', () => Promise.reject(new Error('a bug of the app'))],
  ])('is not disturbed by a callback that %s', async (_name, bug) => {
    const told = jest.spyOn(console, 'error').mockImplementation(() => undefined);
    const unhandled: unknown[] = [];
    const listen = (error: unknown) => unhandled.push(error);
    process.on('unhandledRejection', listen);
    const failed: unknown[] = [];
    expect(await beaten(2, { onBeat: bug, onLost: bug, onError: (error: unknown) => failed.push(error) })).toEqual([
      43_200_000, 43_200_000,
    ]);
    process.off('unhandledRejection', listen);
    expect(failed).toEqual([]);
    expect(unhandled).toEqual([]);
    expect(told).toHaveBeenCalledTimes(3);
  });
});
