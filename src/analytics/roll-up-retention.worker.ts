import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Logger } from 'pino';
import { Clock } from '../core/clock.js';
import { Database, type Db } from '../core/database.js';
import { LOGGER } from '../core/logger.js';
import { Recurring, takeTurn } from '../core/recurring.js';
import { Role } from '../core/role.js';
import { hoursKeptFrom, monthsKeptFrom } from '../domain/kept.js';
import { BEFORE_ALL } from '../domain/roll-ups.js';
import { aged, emptied, environmentsAfter, removeAged, removeEmptied, removeSources } from './roll-up-retention.query.js';

const INTERVAL_MS = 3_600_000;
/** No batch is written again so late. */
const SOURCES_KEPT_MS = 7 * 86_400_000;
/** Environments that one statement looks through, and rows that it removes. */
const ENVIRONMENTS = 100;
const BATCH = 10_000;

/**
 * Removes what roll-ups keep no longer (docs/decisions/0022-roll-ups.md), and sums that came to nothing: every hour, a batch a
 * transaction, one server at a time. What lies in the future, by a test clock, stays.
 */
@Injectable()
export class RollUpRetentionWorker implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly work: Recurring;

  constructor(
    private readonly database: Database,
    private readonly clock: Clock,
    private readonly role: Role,
    @Inject(LOGGER) logger: Logger,
  ) {
    this.work = new Recurring('old analytics could not be removed', INTERVAL_MS, (goesOn) => this.removeAll(goesOn), logger, 'later');
  }

  onApplicationBootstrap(): void {
    this.role.startJob('roll_up_retention', this.work);
  }

  onApplicationShutdown(): Promise<void> {
    return this.work.stop();
  }

  /** Resolves when nothing is left to remove, another server is at it, or it failed; the next hour goes on. */
  sweep(): Promise<void> {
    return this.work.run();
  }

  private async removeAll(goesOn: () => boolean): Promise<void> {
    const now = this.clock.now();
    const seenBefore = new Date(now.getTime() - SOURCES_KEPT_MS);
    await this.database.acrossTenants('forget processes that are gone', (db) => removeSources(db, seenBefore));
    const kept = { hoursFrom: hoursKeptFrom(now), monthsFrom: monthsKeptFrom(now) };
    for (let after: string | undefined = BEFORE_ALL; after !== undefined && goesOn();) {
      const from: string = after;
      const ids = await this.database.acrossTenants('walk through environments', (db) => environmentsAfter(db, from, ENVIRONMENTS));
      for (const table of aged) await this.removeBatches(goesOn, (db) => removeAged(db, table, ids, kept, BATCH), 'rollUpRetention');
      // Whoever adds to them must not meanwhile.
      for (const table of emptied) await this.removeBatches(goesOn, (db) => removeEmptied(db, table, ids, BATCH), 'rollUps');
      after = ids.at(-1);
    }
  }

  /** Until nothing is left, or it is another's turn. */
  private async removeBatches(
    goesOn: () => boolean,
    remove: (db: Db) => Promise<number>,
    turn: 'rollUpRetention' | 'rollUps',
  ): Promise<void> {
    const removeBatch = async (db: Db): Promise<number> => ((await takeTurn(db, turn)) ? remove(db) : 0);
    for (let removed = BATCH; removed === BATCH && goesOn();)
      removed = await this.database.acrossTenants('remove analytics that are kept no longer', removeBatch);
  }
}
