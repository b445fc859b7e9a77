import { Injectable } from '@nestjs/common';
import { Clock } from '../core/clock.js';
import { Database, type Tenant } from '../core/database.js';
import { Freshness } from './freshness.js';
import { type OverviewView, toOverviewView } from './overview.dto.js';
import { findOverview } from './overview.query.js';

/** What is answered from the roll-ups (docs/decisions/0022-roll-ups.md; contract: resources.md, "Analytics"). */
@Injectable()
export class AnalyticsService {
  constructor(
    private readonly database: Database,
    private readonly clock: Clock,
    private readonly freshness: Freshness,
  ) {}

  /** How things stand now. */
  async overview(tenant: Tenant): Promise<OverviewView> {
    // Before the numbers: what is folded in between makes them fresher than is said, not staler.
    const asOf = await this.freshness.asOf(tenant);
    const now = this.clock.now();
    return toOverviewView(await this.database.within(tenant, (db) => findOverview(db, tenant, now)), now, asOf);
  }
}
