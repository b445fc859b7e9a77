import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Logger } from 'pino';
import { Database, type Db } from '../core/database.js';
import { LOGGER } from '../core/logger.js';
import { Recurring, takeTurn } from '../core/recurring.js';
import { Role } from '../core/role.js';
import { foldChanges, foldValidations, somethingWaits } from './fold.query.js';

const INTERVAL_MS = 500;
/** So much in one transaction that it takes well below a second. */
const CHANGES = 5000;
const BATCHES = 10;

/**
 * Keeps the roll-ups (docs/decisions/0022-roll-ups.md): twice a second, one server at a time, a portion a transaction – what
 * waits is taken and what it comes to is added, together or not at all.
 */
@Injectable()
export class RollUpWorker implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly work: Recurring;

  constructor(
    private readonly database: Database,
    private readonly role: Role,
    @Inject(LOGGER) logger: Logger,
  ) {
    this.work = new Recurring('analytics could not be kept', INTERVAL_MS, (goesOn) => this.foldAll(goesOn), logger);
  }

  onApplicationBootstrap(): void {
    this.role.startJob('roll_ups', this.work);
  }

  onApplicationShutdown(): Promise<void> {
    return this.work.stop();
  }

  private async foldAll(goesOn: () => boolean): Promise<void> {
    while (goesOn() && (await this.database.acrossTenants('keep the roll-ups of analytics', foldPortion)));
  }
}

/** Whether there may be more to fold at once; false also when another server is at it. */
export async function foldPortion(db: Db): Promise<boolean> {
  if (!(await somethingWaits(db)) || !(await takeTurn(db, 'rollUps'))) return false;
  const changes = await foldChanges(db, CHANGES);
  const batches = await foldValidations(db, BATCHES);
  return changes === CHANGES || batches === BATCHES;
}
