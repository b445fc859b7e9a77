import { AsyncResource } from 'node:async_hooks';
import type { Logger } from 'pino';
import type { Database, Db, Tenant } from './database.js';

/**
 * Held by the one server that does the work; numbers that no other lock of ours has. Each belongs to a transaction: that of
 * a server that is killed is free as soon as the database knows.
 */
export const TURNS = {
  idempotency: 7_215_530_094,
  expiry: 7_215_530_095,
  machines: 7_215_530_096,
  events: 7_215_530_097,
  retention: 7_215_530_098,
  offlineDigests: 7_215_530_099,
  rollUps: 7_215_530_100,
  rollUpRetention: 7_215_530_101,
} as const;

/** Whether this server may do this work until the end of the transaction: no other one does. */
export async function takeTurn(db: Db, turn: keyof typeof TURNS): Promise<boolean> {
  const [held] = await db.$queryRaw<{ isOurs: boolean }[]>`SELECT pg_try_advisory_xact_lock(${TURNS[turn]}::bigint) AS "isOurs"`;
  return held?.isOurs === true;
}

/**
 * Work that is done at start, or an interval after it, and again after every interval, in rounds that never overlap in a process. A round that fails
 * is told in the log and left to the next.
 */
export class Recurring {
  private timer?: NodeJS.Timeout;
  private rounds: Promise<void> = Promise.resolve();
  private roundsLeft = 0;
  private isStopped = false;
  private endedAt = performance.now();

  /**
   * `what` is said in the log when a round fails. A round consists of units, like transactions: it begins the next only
   * where `goesOn()` says so. Work that nobody waits for begins `later`: an interval after the start, which has enough to do.
   */
  constructor(
    private readonly what: string,
    readonly intervalMs: number,
    private readonly round: (goesOn: () => boolean) => Promise<void>,
    private readonly logger: Logger,
    private readonly begins: 'at once' | 'later' = 'at once',
  ) {
    // Whoever wakes it may be a request: what is done then is not that request's, nor in its transaction.
    this.runOne = AsyncResource.bind(this.runOne.bind(this));
  }

  /** Since a round ended well; before the first of them, since it was made. */
  get sinceRoundMs(): number {
    return performance.now() - this.endedAt;
  }

  start(): void {
    // A round that takes longer than the interval is followed by one, not by as many as were missed.
    this.timer = setInterval(() => {
      if (this.roundsLeft === 0) void this.run();
    }, this.intervalMs).unref();
    if (this.begins === 'at once') void this.run();
  }

  /** Resolves when a whole round has been done that began after this call, or has failed. */
  run(): Promise<void> {
    this.roundsLeft += 1;
    this.rounds = this.rounds.then(async () => {
      await this.runOne();
      this.roundsLeft -= 1;
    });
    return this.rounds;
  }

  /**
   * There is something to do: a round begins at once, or when the one that is under way has ended. Many calls lead to one,
   * and none to anything where the work was not started.
   */
  wake(): void {
    if (this.timer !== undefined && this.roundsLeft < 2) void this.run();
  }

  /** What is in hand is waited for; nothing is begun any more. */
  async stop(): Promise<void> {
    this.isStopped = true;
    clearInterval(this.timer);
    await this.rounds;
  }

  private async runOne(): Promise<void> {
    if (this.isStopped) return;
    try {
      await this.round(() => !this.isStopped);
      this.endedAt = performance.now();
    } catch (error) {
      this.logger.warn({ err: error }, `${this.what}; it is tried again`);
    }
  }
}

/**
 * A unit of work within each tenant of what was found across them; answers what those came to that were done. One that
 * fails is told in the log as `what`, takes back its own, and holds up no other vendor's.
 */
export async function withinEach<Found extends Omit<Tenant, 'segmentId'>, Result>(
  database: Database,
  logger: Logger,
  what: string,
  all: readonly Found[],
  work: (db: Db, tenant: Tenant, found: Found[]) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  for (const [tenant, found] of byTenant(all)) {
    try {
      results.push(await database.within(tenant, (db) => work(db, tenant, found)));
    } catch (error) {
      logger.warn({ err: error, environmentId: tenant.environmentId }, `${what}; it is tried again`);
    }
  }
  return results;
}

/** In the order in which they come first. */
function byTenant<Found extends Omit<Tenant, 'segmentId'>>(all: readonly Found[]): [Tenant, Found[]][] {
  const groups = new Map<string, [Tenant, Found[]]>();
  for (const found of all) {
    const { accountId, environmentId, environment } = found;
    const group = groups.get(environmentId);
    if (group === undefined) groups.set(environmentId, [{ accountId, environmentId, environment, segmentId: null }, [found]]);
    else group[1].push(found);
  }
  return [...groups.values()];
}
