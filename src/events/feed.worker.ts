import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Logger } from 'pino';
import { Database } from '../core/database.js';
import { LOGGER } from '../core/logger.js';
import { awaitTurn, Recurring } from '../core/recurring.js';
import { Role } from '../core/role.js';
import { Signals } from '../core/signals.js';
import { fanOut, placeEvents, somethingWaits } from './feed.query.js';

/** For when nobody wakes it: the signal of a process that was killed, a pooler that passes on none. */
const INTERVAL_MS = 500;
const BATCH = 1000;

/**
 * Gives committed events their positions in the feed, and makes their deliveries in the same transaction, so that each is
 * made exactly once (docs/decisions/0017-webhooks.md). One server at a time; woken by every commit that writes events.
 */
@Injectable()
export class FeedWorker implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly work: Recurring;

  constructor(
    private readonly database: Database,
    private readonly signals: Signals,
    private readonly role: Role,
    @Inject(LOGGER) logger: Logger,
  ) {
    this.work = new Recurring('events could not be passed on', INTERVAL_MS, (goesOn) => this.placeAll(goesOn), logger);
  }

  onApplicationBootstrap(): void {
    this.signals.on('events', () => {
      this.work.wake();
    });
    this.role.startJob(this.work);
  }

  onApplicationShutdown(): Promise<void> {
    return this.work.stop();
  }

  private async placeAll(goesOn: () => boolean): Promise<void> {
    let placed = BATCH;
    while (placed === BATCH && goesOn()) placed = await this.placeBatch();
  }

  /** How many events were placed. */
  private async placeBatch(): Promise<number> {
    const placed = await this.database.acrossTenants('pass on events and make their deliveries', async (db) => {
      if (!(await somethingWaits(db))) return 0;
      // Waited for, because who has it may have looked before the newest event was there.
      await awaitTurn(db, 'events');
      const events = await placeEvents(db, BATCH);
      if (events.length > 0) await fanOut(db, events);
      return events.length;
    });
    if (placed > 0) this.signals.send('feed');
    return placed;
  }
}
