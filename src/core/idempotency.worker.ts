import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Logger } from 'pino';
import { Clock } from './clock.js';
import { Database } from './database.js';
import { LOGGER } from './logger.js';

const SWEEP_INTERVAL_MS = 3_600_000;
const BATCH_ROWS = 1000;
/** Held by the one server that sweeps; any number that no other lock of ours has. */
const SWEEP_LOCK = 7_215_530_094;

/** Deletes kept answers after their day: at start and every hour, a batch a transaction, one server at a time. */
@Injectable()
export class IdempotencyWorker implements OnApplicationBootstrap, OnApplicationShutdown {
  private timer?: NodeJS.Timeout;
  private sweeping: Promise<void> = Promise.resolve();
  private isStopped = false;

  constructor(
    private readonly database: Database,
    private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  onApplicationBootstrap(): void {
    this.timer = setInterval(() => void this.sweep(), SWEEP_INTERVAL_MS).unref();
    void this.sweep();
  }

  async onApplicationShutdown(): Promise<void> {
    this.isStopped = true;
    clearInterval(this.timer);
    await this.sweeping;
  }

  /** Resolves when nothing is left to delete, another server is at it, or it failed; the next hour goes on. */
  sweep(): Promise<void> {
    this.sweeping = this.sweeping.then(async () => {
      try {
        let deleted = BATCH_ROWS;
        while (deleted === BATCH_ROWS && !this.isStopped) deleted = await this.deleteBatch();
      } catch (error) {
        this.logger.warn({ err: error }, 'expired idempotency keys could not be deleted; it is tried again');
      }
    });
    return this.sweeping;
  }

  private deleteBatch(): Promise<number> {
    return this.database.acrossTenants('delete expired idempotency keys', async (db) => {
      const [held] = await db.$queryRaw<{ isOurs: boolean }[]>`SELECT pg_try_advisory_xact_lock(${SWEEP_LOCK}::bigint) AS "isOurs"`;
      if (held?.isOurs !== true) return 0;
      return db.$executeRaw`
        DELETE FROM idempotency_key
         WHERE digest IN (SELECT digest FROM idempotency_key WHERE expires_at <= ${this.clock.now()} ORDER BY expires_at LIMIT ${BATCH_ROWS})`;
    });
  }
}
