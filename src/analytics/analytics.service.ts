import { Injectable } from '@nestjs/common';
import { Clock } from '../core/clock.js';
import { Database, type Tenant } from '../core/database.js';
import { bucketBefore, dayName, endOf, monthName, nextBucket, requireBuckets } from '../domain/buckets.js';
import { cohortsOf } from '../domain/cohorts.js';
import { DAY_MS } from '../domain/expiry.js';
import { seatUseOf } from '../domain/seat-use.js';
import { DEFAULT_SPAN_DAYS, MAX_POINTS, requireSeries, seriesOf } from '../domain/time-series.js';
import type { CohortView, ExpirationsQuery, PointView, PolicySeatsView, RetentionQuery, TimeseriesQuery } from './analytics.dto.js';
import { Freshness } from './freshness.js';
import { type DayCountView, type OverviewView, toOverviewView } from './overview.dto.js';
import { findOverview } from './overview.query.js';
import { findSeries } from './series.query.js';
import { findCohorts, findExpirations, findSeats } from './tallies.query.js';

/** Days after the first that `expirations` tells of, and months before the last that `retention` does. */
const EXPIRATIONS_DAYS = 365;
const RETENTION_MONTHS_BEFORE = 11;

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

  /**
   * How something went over time.
   * @throws 400 for times or a dimension that it cannot be told by
   */
  async timeseries(tenant: Tenant, query: TimeseriesQuery): Promise<PointView[]> {
    const now = this.clock.now();
    const { metric, interval = 'day', groupBy = null, to = now } = query;
    const { from = new Date(to.getTime() - DEFAULT_SPAN_DAYS * DAY_MS) } = query;
    const starts = requireSeries({ metric, interval, groupBy, from, to }, now);
    const wanted = { metric, interval, groupBy, from: starts[0], to: endOf(starts, interval) };
    const rows = await this.database.within(tenant, (db) => findSeries(db, tenant, wanted));
    const of = (dimension: string) => rows.filter((row) => row.dimension === dimension);
    return seriesOf(starts, of('all'), groupBy === null ? null : of(groupBy), metric === 'active_machines');
  }

  /**
   * How many licenses expire on which day.
   * @throws 400 for days that are too many or none
   */
  async expirations(tenant: Tenant, query: ExpirationsQuery): Promise<DayCountView[]> {
    const { from = bucketBefore(this.clock.now(), 'day', 0) } = query;
    const { to = new Date(from.getTime() + EXPIRATIONS_DAYS * DAY_MS) } = query;
    const days = requireBuckets({ from, to: nextBucket(to, 'day') }, 'day', MAX_POINTS);
    const found = await this.database.within(tenant, (db) => findExpirations(db, tenant, from, endOf(days, 'day')));
    const expiring = new Map(found.map(({ day, licenses }) => [dayName(day), licenses]));
    return days.map(dayName).map((date) => ({ date, count: expiring.get(date) ?? 0 }));
  }

  /** How many seats the licenses of each policy use. */
  async seats(tenant: Tenant): Promise<PolicySeatsView[]> {
    const policies = await this.database.within(tenant, (db) => findSeats(db, tenant));
    return policies.map(({ policyId, policyName, holders, ...rules }) => ({ policyId, policyName, ...seatUseOf(holders, rules) }));
  }

  /**
   * What became of the licenses of each month: trials that were bought, terms that were renewed.
   * @throws 400 for months that are too many or none
   */
  async retention(tenant: Tenant, query: RetentionQuery): Promise<CohortView[]> {
    const { to = bucketBefore(this.clock.now(), 'month', 0) } = query;
    const { from = bucketBefore(to, 'month', RETENTION_MONTHS_BEFORE) } = query;
    const months = requireBuckets({ from, to: nextBucket(to, 'month') }, 'month', MAX_POINTS);
    const found = await this.database.within(tenant, (db) => findCohorts(db, tenant, from, endOf(months, 'month')));
    return cohortsOf(months, new Map(found.map(({ month, ...counts }) => [monthName(month), counts])));
  }
}
