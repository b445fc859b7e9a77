import { Injectable } from '@nestjs/common';
import { Clock } from '../core/clock.js';
import { Database, type Tenant } from '../core/database.js';
import { freshAsOf } from '../domain/roll-ups.js';
import { FIND_OLDEST_WAITING } from './freshness.query.js';

/** How fresh the roll-ups are (contract: resources.md, "Analytics", `asOf`). */
@Injectable()
export class Freshness {
  constructor(
    private readonly database: Database,
    private readonly clock: Clock,
  ) {}

  /** All that was done before this time is in what is read after this resolves. */
  async asOf(tenant: Tenant): Promise<Date> {
    const now = this.clock.now();
    const [waiting] = await this.database.lookup<{ waitsSince: Date | null }>(FIND_OLDEST_WAITING, [tenant.environmentId]);
    return freshAsOf(now, waiting?.waitsSince ?? null);
  }
}
