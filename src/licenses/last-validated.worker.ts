import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Logger } from 'pino';
import { Database } from '../core/database.js';
import { LOGGER } from '../core/logger.js';
import { WriteBehind } from '../core/write-behind.js';

/** A license's time is kept to the minute (validation.md, "Side effects"). */
const RESOLUTION_MS = 60_000;

/** Writes `lastValidatedAt` behind the answers: at most once a minute a license. */
@Injectable()
export class LastValidatedWorker implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly times: WriteBehind<Date>;

  constructor(
    private readonly database: Database,
    @Inject(LOGGER) logger: Logger,
  ) {
    this.times = new WriteBehind('lastValidatedAt', (times) => this.write(times), logger);
  }

  note(license: { id: string; lastValidatedAt: Date | null }, at: Date): void {
    if (license.lastValidatedAt !== null && at.getTime() - license.lastValidatedAt.getTime() < RESOLUTION_MS) return;
    this.times.note(license.id, at);
  }

  onApplicationBootstrap(): void {
    this.times.start();
  }

  onApplicationShutdown(): Promise<void> {
    return this.times.stop();
  }

  private async write(batch: ReadonlyMap<string, Date>): Promise<void> {
    const ids = [...batch.keys()];
    const times = ids.map((id) => batch.get(id));
    await this.database.acrossTenants(
      'keep lastValidatedAt of licenses',
      (db) => db.$executeRaw`
        WITH held AS (SELECT id FROM license WHERE id = ANY(${ids}::uuid[]) ORDER BY id FOR NO KEY UPDATE)
        UPDATE license SET last_validated_at = seen.at
          FROM held JOIN unnest(${ids}::uuid[], ${times}::timestamptz[]) AS seen (id, at) USING (id)
         WHERE license.id = held.id AND (license.last_validated_at IS NULL OR license.last_validated_at < seen.at)`,
    );
  }
}
