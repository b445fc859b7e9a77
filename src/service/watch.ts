import { Injectable } from '@nestjs/common';
import { Clock } from '../core/clock.js';
import { Database } from '../core/database.js';
import { Metrics, type Reading } from '../core/metrics.js';
import { Readiness } from '../core/readiness.js';
import { Role } from '../core/role.js';
import { findWaiting } from '../webhooks/delivery.query.js';
import { countSeats, countWaiting, FIND_ROLL_UPS_AGE, type Waiting } from './watch.query.js';

/** The database is asked no more often, however many collect. */
const MAX_AGE_MS = 5000;
/** And for what takes more than a few steps of an index even less often. */
const SCANS_MAX_AGE_MS = 30_000;
/** And not waited for any longer: what can be said without it is answered all the same, well within a scraper's patience. */
const PATIENCE_MS = 2000;

interface Seen extends Waiting {
  /** How long the delivery has been due that has waited longest. */
  oldestDueSeconds: number;
}

/** Numbers that are not counted as they happen, but looked up when somebody collects metrics: queues, readiness, connections. */
@Injectable()
export class Watch {
  constructor(
    private readonly database: Database,
    private readonly clock: Clock,
    readiness: Readiness,
    role: Role,
    metrics: Metrics,
  ) {
    // Before those who take connections to look at something.
    this.watchPools(metrics);
    const queues = remembered(() => this.lookAtQueues());
    const number = (numberOf: (seen: Seen) => number) => async () => {
      const seen = await queues();
      return seen === null ? null : one(numberOf(seen));
    };
    metrics.watch(
      metrics.outboxEvents,
      number(({ events }) => events),
    );
    metrics.watch(
      metrics.outboxOldestSeconds,
      number(({ oldestEventSeconds }) => oldestEventSeconds),
    );
    metrics.watch(
      metrics.deliveriesPending,
      number(({ deliveries }) => deliveries),
    );
    metrics.watch(
      metrics.deliveriesOldestSeconds,
      number(({ oldestDueSeconds }) => oldestDueSeconds),
    );
    const seats = remembered(() => this.database.acrossTenants('count the seats in use', countSeats), SCANS_MAX_AGE_MS);
    metrics.watch(metrics.seatsInUse, async () => {
      const inUse = role.doesJobs ? await seats() : null;
      return inUse === null ? null : one(inUse);
    });
    // By every process: when no worker folds, those who answer requests are left to tell of it.
    const rollUps = remembered(() => this.database.lookup<{ seconds: number }>(FIND_ROLL_UPS_AGE, []), SCANS_MAX_AGE_MS);
    metrics.watch(metrics.rollUpsOldestSeconds, async () => {
      const [oldest] = (await rollUps()) ?? [];
      return oldest === undefined ? null : one(oldest.seconds);
    });
    const problem = remembered(async () => ({ isReady: (await readiness.problem()) === null }));
    metrics.watch(metrics.ready, async () => one(!readiness.isStopping && (await problem())?.isReady === true ? 1 : 0));
  }

  private watchPools(metrics: Metrics): void {
    metrics.watch(metrics.poolSize, () => this.database.pools.map(({ name, size }) => ({ labels: { pool: name }, value: size })));
    metrics.watch(metrics.poolWaiting, () => this.database.pools.map(({ name, waiting }) => ({ labels: { pool: name }, value: waiting })));
    metrics.watch(metrics.poolConnections, () =>
      this.database.pools.flatMap(({ name, busy, idle }) => [
        { labels: { pool: name, state: 'busy' }, value: busy },
        { labels: { pool: name, state: 'idle' }, value: idle },
      ]),
    );
  }

  private lookAtQueues(): Promise<Seen> {
    return this.database.acrossTenants('count what waits to be passed on and to be delivered', async (db) => {
      const [first] = await findWaiting(db);
      const oldestDueMs = first === undefined ? 0 : this.clock.now().getTime() - first.dueAt.getTime();
      return { ...(await countWaiting(db)), oldestDueSeconds: Math.max(0, oldestDueMs / 1000) };
    });
  }
}

function one(value: number): Reading<never>[] {
  return [{ labels: {}, value }];
}

/** What was read a moment ago, by one reading for all who ask; null = it failed, or is not there in time. */
function remembered<T>(read: () => Promise<T>, maxAgeMs = MAX_AGE_MS): () => Promise<T | null> {
  let readAt = -Infinity;
  let reading: Promise<T | null> = Promise.resolve(null);
  return () => {
    if (performance.now() - readAt >= maxAgeMs) {
      readAt = performance.now();
      reading = inTime(read()).catch(() => null);
    }
    return reading;
  };
}

async function inTime<T>(work: Promise<T>): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<null>((resolve) => {
    timer = setTimeout(resolve, PATIENCE_MS, null);
  });
  try {
    return await Promise.race([work, tooLate]);
  } finally {
    clearTimeout(timer);
  }
}
