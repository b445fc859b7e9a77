import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Logger } from 'pino';
import { Clock } from '../core/clock.js';
import { Database, type Db, type Tenant } from '../core/database.js';
import { LOGGER } from '../core/logger.js';
import { Recurring, takeTurn, withinEach } from '../core/recurring.js';
import { Role } from '../core/role.js';
import { portionsOf } from '../domain/portions.js';
import { announce, machinesDueFor } from '../licenses/due.query.js';
import {
  type Candidate,
  type Cursor,
  endLapsed,
  findPolicies,
  FIRST,
  holdCandidates,
  removeMachines,
  type Walked,
  walkProcesses,
  walkPulses,
} from './sweep.query.js';

const INTERVAL_MS = 60_000;
/** What one statement looks at, and what it finds, at most. */
const ENTRIES = 50_000;
const CANDIDATES = 20_000;
/** How many policies take turns in it. */
const POLICIES_AT_ONCE = 100;
/** How many machines one transaction changes at most: so long their licenses are held. */
const BATCH = 500;
/** How often one that is held by others is tried before it waits for the next minute: most hold it for a moment. */
const ATTEMPTS = 5;
/** How many leases one transaction looks at, and ends, at most. */
const LEASE_ENTRIES = 10_000;
const LEASE_BATCH = 500;

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
    private readonly role: Role,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.work = new Recurring('dead machines could not be swept', INTERVAL_MS, (goesOn) => this.sweepAll(goesOn), logger);
  }

  onApplicationBootstrap(): void {
    this.role.startJob('machines', this.work);
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
      const walked = await this.walk(waiting.slice(0, POLICIES_AT_ONCE));
      if (walked === null) return;
      if (!(await this.sweepCandidates(walked.candidates, goesOn))) return;
      waiting = [...waiting.slice(POLICIES_AT_ONCE), ...walked.unfinished];
    }
    for (let after: string | null = FIRST; after !== null && goesOn();) after = await this.endLeases(after);
  }

  /** What is to be swept under these policies, and which of them go on; null when it is another server's turn. */
  private walk(cursors: readonly Cursor[]): Promise<Walked | null> {
    return this.inTurn((db) => walkPulses(db, cursors, this.clock.now(), ENTRIES, CANDIDATES));
  }

  /** Null when it is another server's turn; otherwise it is this one's until the end of the transaction. */
  private inTurn<T>(work: (db: Db) => Promise<T>): Promise<T | null> {
    return this.database.acrossTenants('find machines that are to be swept', async (db) =>
      (await takeTurn(db, 'machines')) ? work(db) : null,
    );
  }

  /** Portion by portion, and again those that somebody held just then; false when it must not go on. */
  private async sweepCandidates(candidates: readonly Candidate[], goesOn: () => boolean): Promise<boolean> {
    let left = candidates;
    for (let attempt = 1; left.length > 0 && attempt <= ATTEMPTS; attempt += 1) {
      const missed: Candidate[] = [];
      for (const portion of portionsOf(left, BATCH)) {
        const missedHere = goesOn() ? await this.sweepBatch(portion) : null;
        if (missedHere === null) return false;
        missed.push(...missedHere);
      }
      left = missed;
    }
    return true;
  }

  /** One transaction, across whose units this server holds its turn; those that it could not hold, null when it is another's. */
  private sweepBatch(candidates: readonly Candidate[]): Promise<Candidate[] | null> {
    return this.database.inOneTransaction(async () => {
      if ((await this.inTurn(() => Promise.resolve(true))) === null) return null;
      const missed = await withinEach(
        this.database,
        this.logger,
        'machines of an environment could not be swept',
        candidates,
        (db, tenant, candidates) => this.sweepIn(db, tenant, candidates),
      );
      return missed.flat();
    });
  }

  /** As turning a test clock does it; what falls due for the licenses themselves is another worker's. Answers those not held. */
  private async sweepIn(db: Db, tenant: Tenant, candidates: readonly Candidate[]): Promise<Candidate[]> {
    const held = await holdCandidates(db, candidates);
    const now = this.clock.now();
    const all = held.flatMap(({ license, machines }) => machinesDueFor(license, machines, tenant.environment, { from: now, to: now }));
    await removeMachines(db, all);
    await announce(db, all);
    const isHeld = new Set(held.flatMap(({ machines }) => machines.map(({ id }) => id)));
    return candidates.filter(({ machineId }) => !isHeld.has(machineId));
  }

  /** One transaction; where the next goes on, or null when nothing is left or it is another's turn. */
  private endLeases(from: string): Promise<string | null> {
    return this.database.inOneTransaction(async () => {
      const walked = await this.database.acrossTenants('find leases of processes that lapsed', async (db) =>
        (await takeTurn(db, 'machines')) ? walkProcesses(db, from, this.clock.now(), LEASE_ENTRIES, LEASE_BATCH) : null,
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
