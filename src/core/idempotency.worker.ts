import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Logger } from 'pino';
import { Clock } from './clock.js';
import { Database } from './database.js';
import { LOGGER } from './logger.js';
import { Recurring, takeTurn } from './recurring.js';
import { Role } from './role.js';

const INTERVAL_MS = 3_600_000;
const BATCH_ROWS = 1000;

/** Deletes kept answers after their day: at start and every hour, a batch a transaction, one server at a time. */
@Injectable()
export class IdempotencyWorker implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly work: Recurring;

  constructor(
    private readonly database: Database,
    private readonly clock: Clock,
    private readonly role: Role,
    @Inject(LOGGER) logger: Logger,
  ) {
    this.work = new Recurring('expired idempotency keys could not be deleted', INTERVAL_MS, (goesOn) => this.deleteAll(goesOn), logger);
  }

  onApplicationBootstrap(): void {
    this.role.startJob('idempotency', this.work);
  }

  onApplicationShutdown(): Promise<void> {
    return this.work.stop();
  }

  /** Resolves when nothing is left to delete, another server is at it, or it failed; the next hour goes on. */
  sweep(): Promise<void> {
    return this.work.run();
  }

  private async deleteAll(goesOn: () => boolean): Promise<void> {
    let deleted = BATCH_ROWS;
    while (deleted === BATCH_ROWS && goesOn()) deleted = await this.deleteBatch();
  }

  private deleteBatch(): Promise<number> {
    return this.database.acrossTenants('delete expired idempotency keys', async (db) => {
      if (!(await takeTurn(db, 'idempotency'))) return 0;
      return db.$executeRaw`
        DELETE FROM idempotency_key
         WHERE digest IN (SELECT digest FROM idempotency_key WHERE expires_at <= ${this.clock.now()} ORDER BY expires_at LIMIT ${BATCH_ROWS})`;
    });
  }
}
