import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Logger } from 'pino';
import { Clock } from '../core/clock.js';
import { Config } from '../core/config.js';
import { Database } from '../core/database.js';
import { LOGGER } from '../core/logger.js';
import { Recurring, takeTurn } from '../core/recurring.js';
import { Role } from '../core/role.js';
import { FIRST, removeEnded, removeEvents } from './retention.query.js';

const INTERVAL_MS = 3_600_000;
const DAY_MS = 86_400_000;
/** Events that one transaction looks at; each may have a hundred deliveries, and those ten tries each. */
const BATCH = 100;

/**
 * Removes what is kept no longer (contract: webhooks.md, "Events"; EVENT_RETENTION_DAYS): at start and every hour, a batch a
 * transaction, one server at a time.
 */
@Injectable()
export class RetentionWorker implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly work: Recurring;

  constructor(
    private readonly database: Database,
    private readonly clock: Clock,
    private readonly config: Config,
    private readonly role: Role,
    @Inject(LOGGER) logger: Logger,
  ) {
    this.work = new Recurring('old events could not be removed', INTERVAL_MS, (goesOn) => this.removeAll(goesOn), logger);
  }

  onApplicationBootstrap(): void {
    this.role.startJob('retention', this.work);
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
    await this.database.acrossTenants('remove what ended with its time', (db) => removeEnded(db, now));
    const until = new Date(now.getTime() - this.config.eventRetentionDays * DAY_MS);
    for (let after: string | null = FIRST; after !== null && goesOn();) after = await this.removeBatch(after, until);
  }

  /** Where the next goes on, or null when nothing is left or it is another's turn. */
  private removeBatch(from: string, until: Date): Promise<string | null> {
    return this.database.acrossTenants('remove events that are kept no longer', async (db) =>
      (await takeTurn(db, 'retention')) ? removeEvents(db, from, until, BATCH) : null,
    );
  }
}
