import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Logger } from 'pino';
import { Database, type Db } from '../core/database.js';
import { LOGGER } from '../core/logger.js';
import { Recurring, takeTurn } from '../core/recurring.js';
import { Role } from '../core/role.js';
import { FIND_WHAT_WAITS, foldChanges, foldValidations, type WhatWaits } from './fold.query.js';
import { RebuildService } from './rebuild.service.js';

const INTERVAL_MS = 1000;
/** So much in one transaction that it takes well below a second. */
const CHANGES = 5000;
const BATCHES = 10;

/**
 * Keeps the roll-ups (docs/decisions/0022-roll-ups.md): every second, one server at a time, a portion a transaction – what
 * waits is taken and what it comes to is added, together or not at all.
 */
@Injectable()
export class RollUpWorker implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly work: Recurring;
  /** Whether environments of an earlier version's data have their roll-ups. */
  private isComplete = false;

  constructor(
    private readonly database: Database,
    private readonly rebuilding: RebuildService,
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
    if (!this.isComplete) await this.rebuilding.rebuildMissing(goesOn);
    this.isComplete = goesOn();
    const [waits] = await this.database.lookup<WhatWaits>(FIND_WHAT_WAITS, []);
    if (waits?.changes === true) while (goesOn() && (await this.database.acrossTenants('keep the roll-ups of analytics', foldSomeChanges)));
    // Apart: what is wrong with the one keeps nobody from the other.
    if (waits?.validations === true)
      while (goesOn() && (await this.database.acrossTenants('count validations in the roll-ups', foldSomeValidations)));
  }
}

/** Whether there may be more to fold at once; false also when another server is at it. */
async function foldSomeChanges(db: Db): Promise<boolean> {
  return (await takeTurn(db, 'rollUps')) && (await foldChanges(db, CHANGES)) === CHANGES;
}

async function foldSomeValidations(db: Db): Promise<boolean> {
  return (await takeTurn(db, 'rollUps')) && (await foldValidations(db, BATCHES)) === BATCHES;
}
