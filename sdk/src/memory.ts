import { type Binding, type Proof, verifyDocument } from './documents.js';
import { openFile } from './files.js';
import { type Held, merged, newestOf, nothing } from './judge.js';
import { type Jwk, type Jwks, PublicKeys } from './keys.js';
import { LatchkeyError } from './errors.js';
import type { Store } from './store.js';
import { LONGEST_WAIT_MS } from './transport.js';

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
  binding: Binding;
  licenseKey: string;
  /** What takes the store longer has failed. */
  timeoutMs: number;
  onStoreError: (error: unknown) => void;
}

/** How often a change is made anew because another process was faster. */
const MAX_REPEATS = 5;

/** The store, read and written in one place. */
export class Memories {
  /** The change before the next. */
  private last: Promise<void> = Promise.resolve();
  /** What the store had when it was last read or written; undefined = it never could be read. */
  private known: string | null | undefined;
  /** What could not be saved: it holds for as long as the process does. */
  private unsaved: string | null = null;
  /** Counts what was written, so that a read that began before does not take its place. */
  private writes = 0;
  /** What the store has not finished in time, and may finish still. */
  private readonly stuck = new Set<'load' | 'save'>();

  constructor(private readonly options: MemoryOptions) {}

  /** A document that does not verify is as if it had never been there. A store that cannot be read has what it had before. */
  async read(): Promise<Memory> {
    const { writes } = this;
    const loaded = await this.load();
    const base = this.baseOf(loaded);
    if (loaded !== undefined && writes === this.writes && this.unsaved === null) this.known = loaded;
    return base;
  }

  /** What counts when this is in the store; undefined = it cannot be read. */
  private async baseOf(loaded: string | null | undefined): Promise<Memory> {
    if (this.unsaved === null) return this.parsed(loaded === undefined ? (this.known ?? null) : loaded);
    const mine = await this.parsed(this.unsaved);
    // Nobody else has written since: then what is not saved is the whole of it, with what it has forgotten.
    if (loaded === undefined || loaded === this.known) return mine;
    const theirs = await this.parsed(loaded);
    const held = aboutOneLicense(merged(mine.held, theirs.held));
    return {
      held,
      keys: this.options.pinned ?? (await mine.keys.with(theirs.keys, kidsOf(held))),
      machineId: mine.machineId ?? theirs.machineId,
      requestNonce: mine.requestNonce ?? theirs.requestNonce,
    };
  }

  private async parsed(text: string | null): Promise<Memory> {
    const { keyDigest, pinned } = this.options;
    const saved = parse(text, keyDigest);
    const keys = pinned ?? (await keysOf(saved?.jwks));
    if (saved === null) return { keys, held: nothing, machineId: null, requestNonce: null };
    return { keys, held: await this.verify(saved, keys), machineId: textOf(saved.machineId), requestNonce: textOf(saved.requestNonce) };
  }

  /** One change at a time. A store that cannot be written costs the grace after a restart, and no answer. */
  change(make: (memory: Memory) => Memory | Promise<Memory>): Promise<void> {
    const change = this.last.then(() => this.make(make));
    this.last = change.catch(() => undefined);
    return change;
  }

  private async make(make: (memory: Memory) => Memory | Promise<Memory>): Promise<void> {
    for (let repeats = 0; ; repeats += 1) {
      const loaded = await this.load();
      const text = toText(await make(await this.baseOf(loaded)), this.options);
      // Another process may have written meanwhile: then the change is made to that.
      const latest = await this.load();
      if (latest !== undefined && latest !== loaded && repeats < MAX_REPEATS) continue;
      this.writes += 1;
      this.unsaved = text;
      if (loaded !== undefined) this.known = loaded;
      // Over what nobody has seen nothing is written.
      if (this.known !== undefined && (await this.save(text))) {
        this.known = text;
        this.unsaved = null;
      }
      return;
    }
  }

  /** Undefined = it cannot be read. */
  private load(): Promise<string | null | undefined> {
    return this.inTime('load', () => this.options.store.load());
  }

  private async save(text: string): Promise<boolean> {
    return (await this.inTime('save', () => this.options.store.save(text).then(() => true))) ?? false;
  }

  /** Undefined = it failed, or takes too long. Until that is over the store is asked for no more of the kind. */
  private async inTime<T>(kind: 'load' | 'save', work: () => Promise<T>): Promise<T | undefined> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      if (this.stuck.has(kind)) throw new LatchkeyError('store_hangs', `The store does not finish its ${kind}().`);
      const done = work();
      const tooLong = new Promise<never>((_resolve, reject) => {
        timer = setTimeout(
          () => {
            this.stuck.add(kind);
            void done.catch(() => undefined).then(() => this.stuck.delete(kind));
            reject(new LatchkeyError('store_hangs', `The store does not finish its ${kind}().`));
          },
          Math.min(this.options.timeoutMs, LONGEST_WAIT_MS),
        );
      });
      return await Promise.race([done, tooLong]);
    } catch (error) {
      this.options.onStoreError(error);
      return undefined;
    } finally {
      clearTimeout(timer);
    }
  }

  private async verify(saved: Saved, keys: PublicKeys): Promise<Held> {
    const { binding, licenseKey } = this.options;
    // A client without a fingerprint asks about several machines: which one an answer is about is seen when it is judged.
    const ofAny = { ...binding, fingerprint: binding.fingerprint ?? undefined };
    const answer = (text: unknown) => verified(text, (jws) => verifyDocument(jws, ['validation'], keys, ofAny));
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

/** The keys that signed what is kept. */
export function kidsOf({ answers, refusal, file, newest }: Held): string[] {
  return [...answers, refusal, file, newest].flatMap((proof) => proof?.kid ?? []);
}

/** The license is that of the newest document: what is about another was put there by someone else. */
function aboutOneLicense(held: Held): Held {
  const newest = newestOf<Proof>([...held.answers, held.refusal, held.file, held.newest]);
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
