import { demand, isObject } from './errors.js';
import { isJwks, type Jwks } from './keys.js';
import { memoryStore, type Store } from './store.js';
import { type Clock, type RetryOptions, systemClock } from './transport.js';

/** What a client is made with. */
export interface ClientOptions {
  /** Root of the server, `https://licenses.example.com`, with or without `/api/v1`. Without TLS only on this machine itself. */
  baseUrl: string;
  /** Id of the vendor's account: every document must be about one of its licenses. */
  account: string;
  /** As the customer typed it. */
  licenseKey: string;
  /** Default `live`. */
  environment?: 'live' | 'test';
  /** What identifies this machine, 8–256 printable ASCII characters (see `@latchkey/sdk/node`); none = the policy asks for none. */
  fingerprint?: string;
  /**
   * The public keys that are trusted, pinned in the app: the key set, or its keys. Without them they are fetched once and
   * kept – then whoever controls the customer's machine can show keys of their own (README, "What is protected").
   */
  keys?: Jwks;
  /** The id of the license, if it is known; otherwise it is that of the first document. */
  licenseId?: string;
  /** Where the last signed answers are kept; default: in memory, so that each start needs the server. */
  store?: Store;
  clock?: Partial<Clock>;
  fetch?: typeof globalThis.fetch;
  /** For a whole call with its retries; default 10,000. */
  timeoutMs?: number;
  retry?: RetryOptions;
  /** How far the local clock may be behind the signed times; default 300,000. */
  clockToleranceMs?: number;
  /** Is told of a store that cannot be read or written. The client goes on; it forgets when the process ends. */
  onStoreError?: (error: unknown) => void;
  /** In [0, 1), for the waits; default `Math.random`. */
  random?: () => number;
}

/** The same, with nothing left out. */
export interface Settings {
  baseUrl: string;
  account: string;
  licenseKey: string;
  environment: 'live' | 'test';
  fingerprint: string | null;
  keys: Jwks | null;
  licenseId: string | undefined;
  store: Store;
  clock: Clock;
  fetch: typeof globalThis.fetch;
  timeoutMs: number;
  retry: RetryOptions;
  clockToleranceMs: number;
  onStoreError: (error: unknown) => void;
  random: () => number;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const FINGERPRINT = /^[\x20-\x7e]{8,256}$/;
const FIVE_MINUTES_MS = 300_000;

const CONTROL = /[\0-\x1f\x7f]/;

const isFunction = (value: unknown): boolean => typeof value === 'function';
const isAbove =
  (least: number) =>
  (value: unknown): boolean =>
    typeof value === 'number' && value >= least;
const isText = (value: unknown): value is string => typeof value === 'string';
const isStore = (value: unknown): boolean => isObject(value) && isFunction(value.load) && isFunction(value.save);

/** What each option must be, if it is given. */
const rules: Record<keyof ClientOptions, [(value: unknown) => boolean, string]> = {
  baseUrl: [(value) => isText(value) && URL.canParse(value), 'is no URL'],
  account: [(value) => isText(value) && UUID.test(value), 'is not an id: documents name the account by its id, not by its slug'],
  licenseKey: [
    (value) => isText(value) && value.trim() !== '' && !CONTROL.test(value.trim()),
    'is empty, or has characters that no key has',
  ],
  environment: [(value) => value === 'live' || value === 'test', 'is neither live nor test'],
  fingerprint: [(value) => value === null || (isText(value) && FINGERPRINT.test(value)), 'is not 8 to 256 printable ASCII characters'],
  keys: [(value) => value === null || isJwks(value), 'is no set of Ed25519 public keys, or an empty one'],
  licenseId: [(value) => isText(value) && UUID.test(value), 'is not an id'],
  store: [isStore, 'has no load() and save()'],
  clock: [isObject, 'is no object'],
  fetch: [isFunction, 'is no function'],
  timeoutMs: [isAbove(1), 'is no number of milliseconds'],
  retry: [isObject, 'is no object'],
  clockToleranceMs: [isAbove(0), 'is no number of milliseconds'],
  onStoreError: [isFunction, 'is no function'],
  random: [isFunction, 'is no function'],
};

/** Fails with a LatchkeyError `invalid_options` that names the option. */
export function readOptions(options: ClientOptions): Settings {
  demand(isObject(options), 'createClient needs options');
  for (const name of Object.keys(options)) demand(Object.hasOwn(rules, name), `There is no option ${name}`);
  for (const [name, [isRight, message]] of Object.entries(rules)) {
    const value = options[name as keyof ClientOptions];
    const isLeftOut = value === undefined && !['baseUrl', 'account', 'licenseKey'].includes(name);
    demand(isLeftOut || isRight(value), `${name} ${message}`);
  }
  const { baseUrl, account, licenseKey, environment = 'live', fingerprint = null, keys = null } = options;
  return {
    baseUrl: rootOf(baseUrl),
    account: account.toLowerCase(),
    licenseKey: licenseKey.trim(),
    environment,
    fingerprint,
    keys,
    licenseId: options.licenseId?.toLowerCase(),
    store: options.store ?? memoryStore(),
    clock: { ...systemClock, ...options.clock },
    // Called by itself: a browser's own must not be a method of anything else.
    fetch: options.fetch ?? ((input, init) => globalThis.fetch(input, init)),
    timeoutMs: options.timeoutMs ?? 10_000,
    retry: options.retry ?? {},
    clockToleranceMs: options.clockToleranceMs ?? FIVE_MINUTES_MS,
    onStoreError: options.onStoreError ?? (() => undefined),
    random: options.random ?? Math.random,
  };
}

function rootOf(baseUrl: string): string {
  const { protocol, hostname, href } = new URL(baseUrl);
  const isHere = ['localhost', '127.0.0.1', '[::1]'].includes(hostname);
  demand(protocol === 'https:' || (protocol === 'http:' && isHere), 'baseUrl must begin with https://');
  return href.replace(/\/+$/, '').replace(/\/api\/v1$/, '');
}
