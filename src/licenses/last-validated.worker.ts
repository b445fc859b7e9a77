import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Logger } from 'pino';
import { Database } from '../core/database.js';
import { LOGGER } from '../core/logger.js';

const FLUSH_INTERVAL_MS = 1000;
/** A license's time is kept to the minute (validation.md, "Side effects"). */
const RESOLUTION_MS = 60_000;

/**
 * Writes `lastValidatedAt` behind the answers: at most once a minute a license, many in one statement, every second and
 * at stop. A crash loses at most the last second of these times, and nothing else depends on them.
 */
@Injectable()
export class LastValidatedWorker implements OnApplicationBootstrap, OnApplicationShutdown {
  private pending = new Map<string, Date>();
  private timer?: NodeJS.Timeout;
  private writing: Promise<void> = Promise.resolve();
  private isStopped = false;

  constructor(
    private readonly database: Database,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  note(license: { id: string; lastValidatedAt: Date | null }, at: Date): void {
    if (license.lastValidatedAt !== null && at.getTime() - license.lastValidatedAt.getTime() < RESOLUTION_MS) return;
    this.pending.set(license.id, at);
  }

  onApplicationBootstrap(): void {
    this.flushLater();
  }

  /** What is being written is waited for, then the rest is written; nothing comes after. */
  async onApplicationShutdown(): Promise<void> {
    this.isStopped = true;
    clearTimeout(this.timer);
    await this.writing;
    await this.flush();
  }

  private flushLater(): void {
    if (this.isStopped) return;
    this.timer = setTimeout(() => {
      this.writing = this.flush();
      void this.writing.then(() => {
        this.flushLater();
      });
    }, FLUSH_INTERVAL_MS).unref();
  }

  private async flush(): Promise<void> {
    if (this.pending.size === 0) return;
    const batch = this.pending;
    this.pending = new Map();
    const ids = [...batch.keys()];
    const times = ids.map((id) => batch.get(id));
    try {
      await this.database.acrossTenants(
        'keep lastValidatedAt of licenses',
        (db) => db.$executeRaw`
        WITH held AS (SELECT id FROM license WHERE id = ANY(${ids}::uuid[]) ORDER BY id FOR NO KEY UPDATE)
        UPDATE license SET last_validated_at = seen.at
          FROM held JOIN unnest(${ids}::uuid[], ${times}::timestamptz[]) AS seen (id, at) USING (id)
         WHERE license.id = held.id AND (license.last_validated_at IS NULL OR license.last_validated_at < seen.at)`,
      );
    } catch (error) {
      this.logger.warn({ err: error }, 'lastValidatedAt could not be written; it is tried again');
      for (const [id, at] of batch) if (!this.pending.has(id)) this.pending.set(id, at);
    }
  }
}
