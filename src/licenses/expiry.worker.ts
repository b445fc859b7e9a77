import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Logger } from 'pino';
import { Clock } from '../core/clock.js';
import { Config } from '../core/config.js';
import { Database, type Db, type Tenant } from '../core/database.js';
import { LOGGER } from '../core/logger.js';
import { announce, dueFor } from './due.query.js';
import { type Candidate, findCandidates, lockExpiry } from './expiry.query.js';
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
  private timer?: NodeJS.Timeout;
  private sweeping: Promise<void> = Promise.resolve();
  private isStopped = false;

  constructor(
    private readonly database: Database,
    private readonly clock: Clock,
    private readonly config: Config,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  onApplicationBootstrap(): void {
    this.timer = setInterval(() => void this.sweep(), INTERVAL_MS).unref();
    void this.sweep();
  }

  async onApplicationShutdown(): Promise<void> {
    this.isStopped = true;
    clearInterval(this.timer);
    await this.sweeping;
  }

  /** Resolves when nothing is left to announce, another server is at it, or it failed; the next minute goes on. */
  sweep(): Promise<void> {
    this.sweeping = this.sweeping.then(async () => {
      try {
        let told = 1;
        while (told > 0 && !this.isStopped) told = await this.announceBatch();
      } catch (error) {
        this.logger.warn({ err: error }, 'expiries could not be announced; it is tried again');
      }
    });
    return this.sweeping;
  }

  /** One transaction, across whose units this server holds the lock; how many happenings were told. */
  private announceBatch(): Promise<number> {
    return this.database.inOneTransaction(async () => {
      const candidates = await this.database.acrossTenants('find licenses whose expiry is to be announced', async (db) =>
        (await lockExpiry(db)) ? findCandidates(db, this.clock.now(), this.config.expiringNoticeDays, BATCH) : [],
      );
      let told = 0;
      for (const [{ accountId, environmentId, environment }, ids] of byEnvironment(candidates)) {
        const tenant = { accountId, environmentId, environment, segmentId: null };
        // A unit that fails takes back its own, and holds up no other vendor's.
        told += await this.database
          .within(tenant, (db) => this.announceIn(db, tenant, ids))
          .catch((error: unknown) => {
            this.logger.warn({ err: error, environmentId }, 'expiries of an environment could not be announced; it is tried again');
            return 0;
          });
      }
      return told;
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

/** They come in order of their environment. */
function byEnvironment(candidates: readonly Candidate[]): [Candidate, string[]][] {
  const groups = new Map<string, [Candidate, string[]]>();
  for (const candidate of candidates) {
    const group = groups.get(candidate.environmentId);
    if (group === undefined) groups.set(candidate.environmentId, [candidate, [candidate.id]]);
    else group[1].push(candidate.id);
  }
  return [...groups.values()];
}
