import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Logger } from 'pino';
import { Database } from '../core/database.js';
import { LOGGER } from '../core/logger.js';
import { Recurring, takeTurn } from '../core/recurring.js';
import { Role } from '../core/role.js';
import { Signals } from '../core/signals.js';
import { Tracing } from '../core/tracing.js';
import { prefixWithin } from '../domain/portions.js';
import { findEndpoints, findFirst, pass, somethingWaits, type ToldTo } from './feed.query.js';

/** For when nobody wakes it: the signal of a process that was killed, a pooler that passes on none. */
const INTERVAL_MS = 500;
/** While another server is at it. */
const LOOK_AGAIN_MS = 25;
/** Events of one transaction at most, and their deliveries: so many are made well within the time that a statement may take. */
const BATCH = 1000;
const DELIVERIES = 5000;

/**
 * Gives committed events their positions in the feed, and makes their deliveries in the same transaction, so that each is
 * made exactly once (docs/decisions/0017-webhooks.md). One server at a time; woken by every commit that writes events.
 */
@Injectable()
export class FeedWorker implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly work: Recurring;
  private timer?: NodeJS.Timeout;

  constructor(
    private readonly database: Database,
    private readonly signals: Signals,
    private readonly role: Role,
    private readonly tracing: Tracing,
    @Inject(LOGGER) logger: Logger,
  ) {
    this.work = new Recurring('events could not be passed on', INTERVAL_MS, (goesOn) => this.placeAll(goesOn), logger);
  }

  onApplicationBootstrap(): void {
    this.signals.on('events', () => {
      this.work.wake();
    });
    this.role.startJob('event_feed', this.work);
  }

  onApplicationShutdown(): Promise<void> {
    clearTimeout(this.timer);
    return this.work.stop();
  }

  private async placeAll(goesOn: () => boolean): Promise<void> {
    while (goesOn() && (await this.placeBatch()));
  }

  /** Whether there may be more to place at once. */
  private async placeBatch(): Promise<boolean> {
    const startedAt = new Date();
    const placed = await this.database.acrossTenants('pass on events and make their deliveries', async (db) => {
      if (!(await somethingWaits(db))) return [];
      // No connection waits for another server, which may be at it for long.
      if (!(await takeTurn(db, 'events'))) return null;
      const told = await findEndpoints(db, await findFirst(db, BATCH));
      const passed = told.slice(
        0,
        prefixWithin(
          DELIVERIES,
          told.map(({ endpoints }) => endpoints.length),
        ),
      );
      await pass(db, passed);
      return passed;
    });
    // Who has the turn may have looked before the newest event was there.
    if (placed === null) this.lookAgain();
    if (placed === null || placed.length === 0) return false;
    this.signals.send('feed');
    for (const told of placed) this.trace(told, startedAt);
    return true;
  }

  /** As a step of what wrote the event. */
  private trace({ event, endpoints }: ToldTo, startedAt: Date): void {
    if (event.traceContext === null) return;
    this.tracing.tell(event.traceContext, {
      name: `pass on ${event.type}`,
      kind: 'producer',
      startedAt,
      attributes: {
        'messaging.system': 'latchkey',
        'messaging.operation.type': 'create',
        'messaging.destination.name': 'outbox',
        'messaging.message.id': event.id,
        'latchkey.event.type': event.type,
        'latchkey.deliveries': endpoints.length,
      },
    });
  }

  private lookAgain(): void {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.work.wake();
    }, LOOK_AGAIN_MS).unref();
  }
}
