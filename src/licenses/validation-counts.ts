import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Logger } from 'pino';
import { v7 as uuidv7 } from 'uuid';
import { Database } from '../core/database.js';
import { LOGGER } from '../core/logger.js';
import { Recurring } from '../core/recurring.js';
import { FLUSH_INTERVAL_MS } from '../domain/roll-ups.js';
import { coarse, countOf, sortOf, type ValidationCount } from '../domain/validation-count.js';
import type { Decision } from './validation-events.service.js';

/** Sorts in one row. */
const BATCH = 2000;
/** Sorts that are kept apart while they cannot be written; more are counted without their details. */
const MOST_SORTS = 100_000;

/** The same batch written again, because nobody knows whether it was, is one batch. */
const KEEP_BATCH = {
  name: 'keep_validation_batch',
  text: `
    INSERT INTO validation_batch (process_id, sequence, counts, counted_at)
    VALUES ($1, $2, $3::jsonb, $4) ON CONFLICT (process_id, sequence) DO NOTHING`,
};

interface Batch {
  sequence: number;
  counts: string;
  /** When the first of them was counted: how fresh analytics are goes by that. */
  countedAt: Date;
}

/**
 * Counts validations behind the answers: in memory, written in batches and at stop. A crash loses what was not yet written,
 * and never counts twice: each batch has its number, and whoever folds it into the roll-ups takes a number once.
 */
@Injectable()
export class ValidationCounts implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly processId = uuidv7();
  private readonly work: Recurring;
  private counts = new Map<string, ValidationCount>();
  private countingSince = new Date();
  private batches: Batch[] = [];
  private lastSequence = 0;

  constructor(
    private readonly database: Database,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.work = new Recurring('validations could not be counted', FLUSH_INTERVAL_MS, () => this.flush(), logger);
  }

  /** `ip` is that of the copy that asked; null = somebody else asked about it. */
  note({ verdict, facts }: Decision, ip: string | null): void {
    const one = countOf(verdict, facts, ip);
    const count = this.counts.size < MOST_SORTS ? one : coarse(one);
    if (this.counts.size === 0) this.countingSince = new Date();
    const sort = sortOf(count);
    const known = this.counts.get(sort);
    if (known === undefined) this.counts.set(sort, count);
    else known.count += 1;
  }

  onApplicationBootstrap(): void {
    this.work.start();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.work.stop();
    await this.flush().catch((error: unknown) => {
      this.logger.error({ err: error }, 'the last validations could not be counted');
    });
  }

  /** Resolves when all that was noted before is written, in the order of the batches' numbers. */
  private async flush(): Promise<void> {
    await this.writeBatches();
    // Only now: while nothing can be written, counts stay where they are bounded.
    const [counts, countedAt] = [[...this.counts.values()], this.countingSince];
    this.counts = new Map();
    for (let from = 0; from < counts.length; from += BATCH) {
      this.lastSequence += 1;
      this.batches.push({ sequence: this.lastSequence, counts: JSON.stringify(counts.slice(from, from + BATCH)), countedAt });
    }
    await this.writeBatches();
  }

  /** One that may have been written comes again as it was. */
  private async writeBatches(): Promise<void> {
    for (let batch = this.batches[0]; batch !== undefined; batch = this.batches[0]) {
      await this.database.stamp(KEEP_BATCH, [this.processId, batch.sequence, batch.counts, batch.countedAt]);
      this.batches.shift();
    }
  }
}
