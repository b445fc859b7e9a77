import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Logger } from 'pino';
import { Clock } from '../core/clock.js';
import { Config } from '../core/config.js';
import { Database, type Db, type Tenant } from '../core/database.js';
import { LOGGER } from '../core/logger.js';
import { Recurring, takeTurn, withinEach } from '../core/recurring.js';
import { Role } from '../core/role.js';
import { announce, dueFor } from '../licenses/due.query.js';
import {
  type Candidate,
  type Cursor,
  endLapsed,
  findPolicies,
  FIRST,
  holdCandidates,
  removeMachines,
  walkProcesses,
  walkPulses,
} from './sweep.query.js';

const INTERVAL_MS = 60_000;
/** What one transaction looks at, and what it changes, at most. */
const ENTRIES = 10_000;
const BATCH = 500;
/** How many policies take turns in one transaction. */
const POLICIES_AT_ONCE = 100;

/**
 * The sweeper (contract: resources.md, "Machines"): announces deaths, deactivates the dead whose policy says so, and ends
 * leases of processes that lapsed; at start and every minute, a batch a transaction, one server at a time. Policies take
 * turns, so that one with many dead machines holds up no other. Licenses on a test clock wait for that clock.
 */
@Injectable()
export class SweepWorker implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly work: Recurring;

  constructor(
    private readonly database: Database,
    private readonly clock: Clock,
    private readonly config: Config,
    private readonly role: Role,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.work = new Recurring('dead machines could not be swept', INTERVAL_MS, (goesOn) => this.sweepAll(goesOn), logger);
  }

  onApplicationBootstrap(): void {
    this.role.startJob(this.work);
  }

  onApplicationShutdown(): Promise<void> {
    return this.work.stop();
  }

  /** Resolves when all machines were looked at, another server is at it, or it failed; the next minute goes on. */
  sweep(): Promise<void> {
    return this.work.run();
  }

  private async sweepAll(goesOn: () => boolean): Promise<void> {
    let waiting = await this.database.acrossTenants('find policies under which machines die', findPolicies);
    while (waiting.length > 0 && goesOn()) {
      const unfinished = await this.sweepBatch(waiting.slice(0, POLICIES_AT_ONCE));
      if (unfinished === null) return;
      waiting = [...waiting.slice(POLICIES_AT_ONCE), ...unfinished];
    }
    for (let after: string | null = FIRST; after !== null && goesOn();) after = await this.endLeases(after);
  }

  /** One transaction, across whose units this server holds its turn; the policies that go on, or null when it is another's turn. */
  private sweepBatch(cursors: readonly Cursor[]): Promise<Cursor[] | null> {
    return this.database.inOneTransaction(async () => {
      const walked = await this.database.acrossTenants('find machines that are to be swept', async (db) =>
        (await takeTurn(db, 'machines')) ? walkPulses(db, cursors, this.clock.now(), ENTRIES, BATCH) : null,
      );
      if (walked === null) return null;
      await withinEach(
        this.database,
        this.logger,
        'machines of an environment could not be swept',
        walked.candidates,
        (db, tenant, candidates) => this.sweepIn(db, tenant, candidates),
      );
      return walked.unfinished;
    });
  }

  /** As turning a test clock does it; what falls due for the licenses themselves is another worker's. */
  private async sweepIn(db: Db, tenant: Tenant, candidates: readonly Candidate[]): Promise<void> {
    const held = await holdCandidates(db, tenant, candidates);
    const now = this.clock.now();
    const all = held
      .flatMap((facts) => dueFor(facts, { from: now, to: now }, this.config.expiringNoticeDays))
      .filter(({ happening }) => 'machineId' in happening);
    await removeMachines(db, all);
    await announce(db, all);
  }

  /** One transaction; where the next goes on, or null when nothing is left or it is another's turn. */
  private endLeases(from: string): Promise<string | null> {
    return this.database.inOneTransaction(async () => {
      const walked = await this.database.acrossTenants('find leases of processes that lapsed', async (db) =>
        (await takeTurn(db, 'machines')) ? walkProcesses(db, from, this.clock.now(), ENTRIES, BATCH) : null,
      );
      if (walked === null) return null;
      await withinEach(this.database, this.logger, 'leases of an environment could not be ended', walked.lapsed, (db, _tenant, lapsed) =>
        endLapsed(
          db,
          lapsed.map(({ id }) => id),
          this.clock.now(),
        ),
      );
      return walked.after;
    });
  }
}
