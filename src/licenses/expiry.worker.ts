import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Logger } from 'pino';
import { Clock } from '../core/clock.js';
import { Config } from '../core/config.js';
import { Database, type Db, type Tenant } from '../core/database.js';
import { LOGGER } from '../core/logger.js';
import { Recurring, takeTurn, withinEach } from '../core/recurring.js';
import { Role } from '../core/role.js';
import { announce, dueFor } from './due.query.js';
import { findCandidates } from './expiry.query.js';
import { includeForView } from './licenses.dto.js';

const INTERVAL_MS = 60_000;
const BATCH = 500;

/**
 * Announces what real time brings to licenses: `license.expiring`, `license.expired`, and under REVOKE `license.revoked`;
 * once for each expiry, at start and every minute, a batch a transaction, one server at a time. What nobody announced
 * while no server ran is announced by the next. Licenses on a test clock wait for that clock.
 */
@Injectable()
export class ExpiryWorker implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly work: Recurring;

  constructor(
    private readonly database: Database,
    private readonly clock: Clock,
    private readonly config: Config,
    private readonly role: Role,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.work = new Recurring('expiries could not be announced', INTERVAL_MS, (goesOn) => this.announceAll(goesOn), logger);
  }

  onApplicationBootstrap(): void {
    this.role.startJob('expiry', this.work);
  }

  onApplicationShutdown(): Promise<void> {
    return this.work.stop();
  }

  /** Resolves when nothing is left to announce, another server is at it, or it failed; the next minute goes on. */
  sweep(): Promise<void> {
    return this.work.run();
  }

  private async announceAll(goesOn: () => boolean): Promise<void> {
    let told = 1;
    while (told > 0 && goesOn()) told = await this.announceBatch();
  }

  /** One transaction, across whose units this server holds the lock; how many happenings were told. */
  private announceBatch(): Promise<number> {
    return this.database.inOneTransaction(async () => {
      const candidates = await this.database.acrossTenants('find licenses whose expiry is to be announced', async (db) =>
        (await takeTurn(db, 'expiry')) ? findCandidates(db, this.clock.now(), this.config.expiringNoticeDays, BATCH) : [],
      );
      const told = await withinEach(
        this.database,
        this.logger,
        'expiries of an environment could not be announced',
        candidates,
        (db, tenant, found) =>
          this.announceIn(
            db,
            tenant,
            found.map(({ id }) => id),
          ),
      );
      return told.reduce((sum, count) => sum + count, 0);
    });
  }

  /** Those that a request is changing are left to the next minute. */
  private async announceIn(db: Db, { environment }: Tenant, ids: string[]): Promise<number> {
    const held = await db.$queryRaw<{ id: string }[]>`
      SELECT id FROM license
       WHERE id = ANY(${ids}::uuid[]) AND deleted_at IS NULL AND test_clock_id IS NULL
       ORDER BY id
         FOR NO KEY UPDATE SKIP LOCKED`;
    const licenses = await db.license.findMany({
      where: { id: { in: held.map(({ id }) => id) } },
      include: includeForView,
      orderBy: { id: 'asc' },
    });
    const now = this.clock.now();
    const all = licenses.flatMap((license) =>
      dueFor({ license, machines: [], environment }, { from: now, to: now }, this.config.expiringNoticeDays),
    );
    await announce(db, all);
    return all.length;
  }
}
