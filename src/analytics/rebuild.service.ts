import { Injectable } from '@nestjs/common';
import { Database, type Tenant } from '../core/database.js';
import { takeTurn } from '../core/recurring.js';
import { LatchkeyError } from '../domain/errors.js';
import { BEFORE_ALL } from '../domain/roll-ups.js';
import { foldChanges, foldStates, type TalliedKind } from './fold.query.js';
import { clearDerived, findUnrolled, markRolledUp, queueForTurn, readPortion, type Tallied, tallied } from './rebuild.query.js';

/** Rows that one statement takes; a second's work. */
const PORTION = 20_000;
/** For millions of rows; each statement has its own, much shorter. */
const TIMEOUT_MS = 4 * 3_600_000;
const ATTEMPTS = 100;
const PAUSE_MS = 20;

/** Expiries are not counted again: of those that there were, rows know only the last. */
const kinds: Record<Tallied, TalliedKind> = { licenses: 'rebuilt_license', machines: 'machine', deaths: 'death' };

/** How many rows the roll-ups of an environment were made of. */
export type Rebuilt = Record<Tallied, number>;

/**
 * Makes the roll-ups that can be derived anew from the rows (docs/decisions/0022-roll-ups.md): all but validations, which leave no
 * rows, and counts of expiries.
 */
@Injectable()
export class RebuildService {
  constructor(private readonly database: Database) {}

  /**
   * In one transaction: readers see the old numbers, then the new ones. It reads one snapshot – a change is in it, and then no
   * longer waits, or it is not, and is folded afterwards – and holds the turn of those who fold, so that meanwhile nobody's
   * roll-ups are kept up; changes go on, and wait. `progress` is told how many rows were taken so far.
   * @throws 503 when there was no turn to be had
   */
  async rebuild(tenant: Tenant, progress: (rebuilt: Rebuilt) => void = () => undefined): Promise<Rebuilt> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      await this.database.acrossTenants('wait for the turn to rebuild roll-ups', queueForTurn);
      const rebuilt = await this.attempt(tenant, progress);
      if (rebuilt !== null) return rebuilt;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
    throw new LatchkeyError('UNAVAILABLE', 'The roll-ups are being written all the time. Try again shortly.');
  }

  /** The same for environments of an earlier version's data, one after the other; `goesOn` says whether to begin the next. */
  async rebuildMissing(goesOn: () => boolean): Promise<void> {
    const missing = await this.database.acrossTenants('find environments without roll-ups', findUnrolled);
    for (const tenant of missing) if (goesOn()) await this.rebuild({ ...tenant, segmentId: null });
  }

  /** Null when another had the turn, or had it until a moment ago and wrote what this could not see. */
  private async attempt(tenant: Tenant, progress: (rebuilt: Rebuilt) => void): Promise<Rebuilt | null> {
    try {
      return await this.database.inOneTransaction(() => this.rebuildAll(tenant, progress), TIMEOUT_MS, 'RepeatableRead');
    } catch (error) {
      if (isOvertaken(error)) return null;
      throw error;
    }
  }

  private async rebuildAll(tenant: Tenant, progress: (rebuilt: Rebuilt) => void): Promise<Rebuilt | null> {
    const { environmentId } = tenant;
    const isOurs = await this.database.acrossTenants('hold the turn to rebuild roll-ups', (db) => takeTurn(db, 'rollUps'));
    if (!isOurs) return null;
    await this.database.acrossTenants('clear the roll-ups of an environment', async (db) => {
      // What waits is in the rows already; but for expiries, of which rows know only the last.
      while ((await foldChanges(db, PORTION, environmentId)) === PORTION);
      await clearDerived(db, environmentId);
      await markRolledUp(db, environmentId);
    });
    const rebuilt: Rebuilt = { licenses: 0, machines: 0, deaths: 0 };
    for (const of of tallied) {
      for (let after: string | null = BEFORE_ALL; after !== null;) {
        const from: string = after;
        const { count, states, lastId } = await this.database.within(tenant, (db) => readPortion(db, of, from, PORTION));
        if (count > 0) {
          await this.database.acrossTenants('rebuild the roll-ups of an environment', (db) =>
            foldStates(db, environmentId, kinds[of], states),
          );
        }
        rebuilt[of] += count;
        progress({ ...rebuilt });
        after = count < PORTION ? null : lastId;
      }
    }
    return rebuilt;
  }
}

/** SQLSTATE 40001, serialization_failure, as Prisma tells it of its own statements and of ours. */
function isOvertaken(error: unknown): boolean {
  return /P2034|40001/.test(JSON.stringify(error)) || (error instanceof Error && /could not serialize access/.test(error.message));
}
