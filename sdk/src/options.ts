import { LatchkeyError } from './errors.js';
import type { Jwks } from './keys.js';
import { memoryStore, type Store } from './store.js';
import { type Clock, type RetryOptions, systemClock } from './transport.js';

/** What a client is made with. */
export interface ClientOptions {
  /** Root of the server, `https://licenses.example.com`. Without TLS only on this machine itself. */
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

/** Fails with a LatchkeyError `invalid_options` that names the option. */
export function readOptions(options: ClientOptions): Settings {
  const { baseUrl, account, licenseKey, environment = 'live', fingerprint = null, keys = null } = options;
  demand(UUID.test(account), 'account is not an id: documents name the account by its id, not by its slug');
  demand(licenseKey.trim() !== '', 'licenseKey is empty');
  demand(fingerprint === null || FINGERPRINT.test(fingerprint), 'fingerprint is not 8 to 256 printable ASCII characters');
  return {
    baseUrl: rootOf(baseUrl),
    account: account.toLowerCase(),
    licenseKey: licenseKey.trim(),
    environment,
    fingerprint,
    keys,
    licenseId: options.licenseId,
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
  demand(URL.canParse(baseUrl), 'baseUrl is no URL');
  const { protocol, hostname, href } = new URL(baseUrl);
  const isHere = ['localhost', '127.0.0.1', '[::1]'].includes(hostname);
  demand(protocol === 'https:' || (protocol === 'http:' && isHere), 'baseUrl must begin with https://');
  return href.replace(/\/+$/, '');
}

function demand(holds: boolean, message: string): void {
  if (!holds) throw new LatchkeyError('invalid_options', message);
}
