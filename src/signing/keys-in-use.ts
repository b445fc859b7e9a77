import { setTimeout as sleep } from 'node:timers/promises';
import type { KeyObject } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { v7 as uuidv7 } from 'uuid';
import { Clock } from '../core/clock.js';
import { Database } from '../core/database.js';
import { MasterKey } from '../core/master-key.js';
import { Metrics } from '../core/metrics.js';
import { LatchkeyError } from '../domain/errors.js';
import { type DocumentKind, protectedHeaders } from '../domain/signed-documents.js';
import { generateSigningKey, privateKeyObject, publishedAheadTo } from '../domain/signing-key.js';
import { ADD_FIRST_KEY, FIND_KEY_IN_USE, KEEP_KEY_PUBLISHED, type KeyInUseRow, sealContext } from './signing-keys.query.js';

/** How long a key is used after it was read: so long may other processes sign with one that was rotated out. */
const MAX_AGE_MS = 10_000;
const MAX_ENTRIES = 10_000;
/** A rotation holds its key until it is kept; whoever needs that key waits, and asks again so often. */
const RETRY_MS = 20;
const MAX_WAIT_MS = 5000;

/** A key that signs. */
export interface KeyInUse {
  id: string;
  kid: string;
  privateKey: KeyObject;
  /** The protected headers of what it signs, as documents have them: base64url. */
  headers: Record<DocumentKind, string>;
  /** As far as is known: the database may say later, never earlier. */
  publishedUntilMs: number;
  /** That it is being moved ahead, for all who need it; whether it was. */
  moving: Promise<boolean> | null;
}

interface Entry {
  startedAt: number;
  key: Promise<KeyInUse>;
  /** What `key` came to, once it has. */
  loaded: KeyInUse | null;
}

/** The environments' keys in use, opened and imported once, and kept for a moment. */
@Injectable()
export class KeysInUse {
  private readonly entries = new LRUCache<string, Entry>({ max: MAX_ENTRIES });

  constructor(
    private readonly database: Database,
    private readonly masterKey: MasterKey,
    private readonly clock: Clock,
    private readonly metrics: Metrics,
  ) {}

  /**
   * The environment's key when it is at hand and stays published until the time `neededMs` at least, as it nearly always is: for
   * who has nothing to wait for. Else null, and `publishedUntil` sees to both.
   */
  atHand(environmentId: string, neededMs: number): KeyInUse | null {
    const loaded = this.fresh(environmentId)?.loaded;
    if (loaded == null || loaded.publishedUntilMs < neededMs) return null;
    this.metrics.cacheRead('signing_keys', true);
    return loaded;
  }

  /**
   * The environment's key, which stays published until the time `neededMs` at least: that is stored before this resolves.
   * @throws 503 when a rotation holds the key for longer than anyone waits
   */
  async publishedUntil(environmentId: string, neededMs: number): Promise<KeyInUse> {
    const startedAt = performance.now();
    for (;;) {
      const key = await this.of(environmentId);
      if (key.publishedUntilMs >= neededMs) return key;
      key.moving ??= this.move(key, neededMs);
      if (await key.moving) continue;
      if (performance.now() - startedAt > MAX_WAIT_MS) throw new LatchkeyError('UNAVAILABLE', 'The signing key is being rotated.');
      this.forget(environmentId);
      await sleep(RETRY_MS);
    }
  }

  /** The environment's key; made when there is none. */
  of(environmentId: string): Promise<KeyInUse> {
    const known = this.fresh(environmentId);
    this.metrics.cacheRead('signing_keys', known !== undefined);
    if (known !== undefined) return known.key;
    const key = this.load(environmentId);
    const entry: Entry = { startedAt: performance.now(), key, loaded: null };
    this.entries.set(environmentId, entry);
    key.then(
      (loaded) => {
        entry.loaded = loaded;
      },
      () => {
        if (this.entries.get(environmentId) === entry) this.entries.delete(environmentId);
      },
    );
    return key;
  }

  /** The next one who needs the key reads it anew. */
  forget(environmentId: string): void {
    this.entries.delete(environmentId);
  }

  private fresh(environmentId: string): Entry | undefined {
    const entry = this.entries.get(environmentId);
    return entry !== undefined && performance.now() - entry.startedAt < MAX_AGE_MS ? entry : undefined;
  }

  private async load(environmentId: string): Promise<KeyInUse> {
    const row = (await this.find(environmentId)) ?? (await this.make(environmentId));
    const privateKey = privateKeyObject(this.masterKey.open(row.privateKeySealed, sealContext(row.id)), row.publicKey);
    const headers = protectedHeaders(row.kid);
    return { id: row.id, kid: row.kid, privateKey, headers, publishedUntilMs: row.publishedUntil.getTime(), moving: null };
  }

  private async find(environmentId: string): Promise<KeyInUseRow | undefined> {
    const [row] = await this.database.stamp<KeyInUseRow>(FIND_KEY_IN_USE, [environmentId]);
    return row;
  }

  /** Of many processes at once that find none, one makes it. */
  private async make(environmentId: string): Promise<KeyInUseRow> {
    const [id, { kid, publicKey, privateKey }] = [uuidv7(), generateSigningKey()];
    const sealed = this.masterKey.seal(privateKey, sealContext(id));
    await this.database.stamp(ADD_FIRST_KEY, [id, environmentId, kid, publicKey, sealed, this.clock.now()]);
    const row = await this.find(environmentId);
    if (row === undefined) throw new Error(`The environment ${environmentId} has no signing key.`);
    return row;
  }

  /** False when it was rotated out, or is being. */
  private async move(key: KeyInUse, neededMs: number): Promise<boolean> {
    try {
      const moved = await this.database.stamp<{ publishedUntil: Date }>(KEEP_KEY_PUBLISHED, [key.id, publishedAheadTo(neededMs)]);
      for (const { publishedUntil } of moved) key.publishedUntilMs = Math.max(key.publishedUntilMs, publishedUntil.getTime());
      return moved.length > 0;
    } finally {
      key.moving = null;
    }
  }
}
