import { bucketOf, nextBucket, requireBuckets, type BucketInterval, type Span } from './buckets.js';
import { invalid } from './errors.js';
import { DAY_MS } from './expiry.js';
import { HOURS_KEPT_DAYS, type ActivityDimension, type ActivityMetric } from './roll-ups.js';

/** How something went over time (contract: resources.md, "Analytics", `timeseries`). */

/** At most so many points in an answer. */
export const MAX_POINTS = 1000;
/** An answer goes back so far from its end, unless it is told from when. */
export const DEFAULT_SPAN_DAYS = 30;

const byLicense: readonly ActivityDimension[] = ['productId', 'policyId'];
const byMachine: readonly ActivityDimension[] = [...byLicense, 'platform'];

/** What each metric can be grouped by. */
export const dimensionsOf: Record<ActivityMetric, readonly ActivityDimension[]> = {
  validations: ['code', 'productId', 'policyId', 'platform', 'version'],
  activations: byMachine,
  deactivations: byMachine,
  active_machines: byMachine,
  licenses_created: byLicense,
  licenses_expired: byLicense,
};

/** What was asked for, with what stands for what was left out. */
export interface SeriesAsked extends Span {
  metric: ActivityMetric;
  interval: BucketInterval;
  groupBy: ActivityDimension | null;
}

/**
 * The buckets that the series has a point for.
 * @throws 400 naming the field
 */
export function requireSeries({ metric, groupBy, interval, from, to }: SeriesAsked, now: Date): [Date, ...Date[]] {
  if (groupBy !== null && !dimensionsOf[metric].includes(groupBy)) {
    throw invalid([{ path: 'groupBy', message: `must be one of ${dimensionsOf[metric].join(', ')} for ${metric}` }]);
  }
  const starts = requireBuckets({ from, to }, interval, MAX_POINTS);
  if (interval === 'hour' && starts[0].getTime() < now.getTime() - HOURS_KEPT_DAYS * DAY_MS) {
    throw invalid([{ path: 'from', message: `must be within the last ${String(HOURS_KEPT_DAYS)} days: hours are not kept for longer` }]);
  }
  return starts;
}

/** The first whole day from there on. What came after the start of a bucket is what its days from there on say, and the hours before them. */
export function dayFrom(start: Date): Date {
  const day = bucketOf(start, 'day');
  return day < start ? nextBucket(day, 'day') : day;
}

/** So much of a name (empty: of everything together) in the bucket that begins then; null = before the first. */
export interface SeriesRow {
  start: Date | null;
  name: string;
  value: number;
}

export interface Point {
  start: Date;
  value: number;
  groups?: Record<string, number>;
}

/**
 * A point for each bucket, whether anything was counted in it or not. With `runs` the counts are changes, and a point is what
 * they came to by its end. Groups that come to nothing are left out. `totals` are of everything together, `groups` by name.
 */
export function seriesOf(
  starts: readonly Date[],
  totals: readonly SeriesRow[],
  groups: readonly SeriesRow[] | null,
  runs: boolean,
): Point[] {
  const total = new Tally(totals, runs);
  const named = groups === null ? null : new Tally(groups, runs);
  return starts.map((start) => {
    const value = total.at(start)[''] ?? 0;
    return named === null ? { start, value } : { start, value, groups: named.at(start) };
  });
}

/** Walks along the buckets in their order. */
class Tally {
  private readonly rows = new Map<number | null, SeriesRow[]>();
  private counts = new Map<string, number>();

  constructor(
    rows: readonly SeriesRow[],
    private readonly runs: boolean,
  ) {
    for (const row of rows) {
      const start = row.start?.getTime() ?? null;
      const others = this.rows.get(start);
      if (others === undefined) this.rows.set(start, [row]);
      else others.push(row);
    }
    this.add(null);
  }

  /** By name, what comes to anything. */
  at(start: Date): Record<string, number> {
    if (!this.runs) this.counts = new Map();
    this.add(start.getTime());
    return Object.fromEntries([...this.counts].filter(([, value]) => value !== 0));
  }

  private add(start: number | null): void {
    for (const { name, value } of this.rows.get(start) ?? []) this.counts.set(name, (this.counts.get(name) ?? 0) + value);
  }
}
