import { Injectable } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { Database } from '../core/database.js';
import { Metrics } from '../core/metrics.js';

/**
 * How old a fact about a credential may be. A revocation is effective everywhere within one second (contract: auth.md),
 * on any number of instances and without a message between them: nobody trusts what was read longer ago than this.
 */
export const MAX_AGE_MS = 800;
const MAX_ENTRIES = 10_000;

interface Entry {
  /** Before the read began: what it found may be as old as that. */
  startedAt: number;
  facts: Promise<unknown>;
}

/**
 * What was read about credentials a moment ago: a busy key costs one read a second, whatever its traffic, and many
 * requests at once share that one. Whether it has expired, may come from this address or has requests left is judged
 * anew each time. Unknown credentials are not kept: a flood of them cannot push the known ones out.
 */
@Injectable()
export class CredentialCache {
  private readonly entries = new LRUCache<string, Entry>({ max: MAX_ENTRIES });

  constructor(
    private readonly database: Database,
    private readonly metrics: Metrics,
  ) {}

  /** `load` is called when nothing recent enough is known; null = there is no such credential. `now` in milliseconds. */
  read<Facts>(name: string, load: () => Promise<Facts | null>, now = performance.now()): Promise<Facts | null> {
    const known = this.entries.get(name);
    const isHit = known !== undefined && now - known.startedAt < MAX_AGE_MS;
    this.metrics.cacheRead('credentials', isHit);
    if (isHit) return known.facts as Promise<Facts | null>;
    const facts = load();
    const entry: Entry = { startedAt: now, facts };
    this.entries.set(name, entry);
    const drop = (): void => {
      if (this.entries.get(name) === entry) this.entries.delete(name);
    };
    facts.then((found) => {
      if (found === null) drop();
    }, drop);
    return facts;
  }

  /** After a change to keys, members or accounts in this process: it is seen here at once, when it is there to be seen. */
  clear(): void {
    this.database.afterCommit(() => {
      this.entries.clear();
    });
  }
}
