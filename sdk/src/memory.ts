import { type Binding, type Proof, verifyDocument } from './documents.js';
import { openFile } from './files.js';
import { type Held, newestOf, nothing } from './judge.js';
import { type Jwk, type Jwks, PublicKeys } from './keys.js';
import type { Store } from './store.js';

/** What is in the store: texts, to be verified anew whenever they are used. */
interface Saved {
  version: 1;
  /** Digest of the license key: what another key left behind is not read. */
  key: string;
  /** Keys that were fetched; none where they are pinned. */
  jwks: readonly Jwk[];
  answers: readonly string[];
  refusal: string | null;
  file: string | null;
  newest: string | null;
  machineId: string | null;
  /** Nonce of the last offline request. */
  requestNonce: string | null;
}

/** What a client remembers, as far as it can be believed. */
export interface Memory {
  keys: PublicKeys;
  held: Held;
  machineId: string | null;
  requestNonce: string | null;
}

export interface MemoryOptions {
  store: Store;
  keyDigest: string;
  /** null = they are fetched. */
  pinned: PublicKeys | null;
  binding: Binding & { fingerprint: string | null };
  licenseKey: string;
  onStoreError: (error: unknown) => void;
}

/** The store, read and written in one place. */
export class Memories {
  /** The change before the next. */
  private last: Promise<void> = Promise.resolve();
  /** What could not be saved: it holds for as long as the process does. */
  private unsaved: string | null = null;

  constructor(private readonly options: MemoryOptions) {}

  get pinned(): PublicKeys | null {
    return this.options.pinned;
  }

  /** A document that does not verify is as if it had never been there; so is a store that cannot be read. */
  async read(): Promise<Memory> {
    const { keyDigest, pinned } = this.options;
    const saved = parse(this.unsaved ?? (await this.load()), keyDigest);
    const keys = pinned ?? (await keysOf(saved?.jwks));
    if (saved === null) return { keys, held: nothing, machineId: null, requestNonce: null };
    return { keys, held: await this.verify(saved, keys), machineId: textOf(saved.machineId), requestNonce: textOf(saved.requestNonce) };
  }

  /** One change at a time. A store that cannot be written costs the grace after a restart, and no answer. */
  change(make: (memory: Memory) => Memory | Promise<Memory>): Promise<void> {
    const change = this.last.then(async () => {
      const text = toText(await make(await this.read()), this.options);
      try {
        await this.options.store.save(text);
        this.unsaved = null;
      } catch (error) {
        this.unsaved = text;
        this.options.onStoreError(error);
      }
    });
    this.last = change.catch(() => undefined);
    return change;
  }

  private async load(): Promise<string | null> {
    try {
      return await this.options.store.load();
    } catch (error) {
      this.options.onStoreError(error);
      return null;
    }
  }

  private async verify(saved: Saved, keys: PublicKeys): Promise<Held> {
    const { binding, licenseKey } = this.options;
    const answer = (text: unknown) => verified(text, (jws) => verifyDocument(jws, ['validation'], keys, binding));
    const file = (text: unknown) => verified(text, (compact) => openFile(compact, keys, { ...binding, licenseKey }));
    return aboutOneLicense({
      answers: (await Promise.all(listOf(saved.answers).map(answer))).filter((proof) => proof !== null),
      refusal: await answer(saved.refusal),
      file: await file(saved.file),
      newest: (await answer(saved.newest)) ?? (await file(saved.newest)),
    });
  }
}

function toText({ keys, held, machineId, requestNonce }: Memory, { keyDigest, pinned }: MemoryOptions): string {
  const saved: Saved = {
    version: 1,
    key: keyDigest,
    jwks: pinned === null ? keys.jwks : [],
    answers: held.answers.map(({ text }) => text),
    refusal: held.refusal?.text ?? null,
    file: held.file?.text ?? null,
    newest: held.newest?.text ?? null,
    machineId,
    requestNonce,
  };
  return JSON.stringify(saved);
}

/** The license is that of the newest document: what is about another was put there by someone else. */
function aboutOneLicense(held: Held): Held {
  const newest = newestOf([...held.answers, held.refusal, held.file, held.newest]);
  const isSame = (proof: Proof | null): boolean => proof?.claims.sub === newest?.claims.sub;
  return {
    answers: held.answers.filter(isSame),
    refusal: isSame(held.refusal) ? held.refusal : null,
    file: isSame(held.file) ? held.file : null,
    newest,
  };
}

async function keysOf(jwks: unknown): Promise<PublicKeys> {
  try {
    return await PublicKeys.of(listOf(jwks) as Jwks);
  } catch {
    return PublicKeys.none;
  }
}

async function verified<T>(text: unknown, verify: (text: string) => Promise<T>): Promise<T | null> {
  if (typeof text !== 'string') return null;
  try {
    return await verify(text);
  } catch {
    return null;
  }
}

function parse(text: string | null, keyDigest: string): Saved | null {
  try {
    const saved = JSON.parse(text ?? 'null') as Partial<Saved> | null;
    return saved?.version === 1 && saved.key === keyDigest ? (saved as Saved) : null;
  } catch {
    return null;
  }
}

const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
const textOf = (value: unknown): string | null => (typeof value === 'string' ? value : null);
