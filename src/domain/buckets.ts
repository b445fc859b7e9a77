import { invalid, type Issue } from './errors.js';
import { DAY_MS } from './expiry.js';

/** Time in buckets, all in UTC; a week begins on Monday (ISO 8601). Contract: resources.md, "Analytics". */

export const bucketIntervals = ['hour', 'day', 'week', 'month'] as const;
export type BucketInterval = (typeof bucketIntervals)[number];

const HOUR_MS = 3_600_000;
const WEEK_MS = 7 * DAY_MS;
/** 1970 began on a Thursday; this is the Monday before it. */
const FIRST_MONDAY_MS = -3 * DAY_MS;
const FIRST_TIME = new Date(0);
const END_OF_TIME = new Date('9999-12-31T23:59:59.999Z');

/** The start of the bucket that the time is in. */
export function bucketOf(time: Date, interval: BucketInterval): Date {
  switch (interval) {
    case 'hour':
      return floored(time, HOUR_MS);
    case 'day':
      return floored(time, DAY_MS);
    case 'week':
      return floored(time, WEEK_MS, FIRST_MONDAY_MS);
    case 'month':
      return firstOfMonth(time, 0);
  }
}

/** The start of the bucket after the one that begins at `start`. */
export function nextBucket(start: Date, interval: BucketInterval): Date {
  switch (interval) {
    case 'hour':
      return new Date(start.getTime() + HOUR_MS);
    case 'day':
      return new Date(start.getTime() + DAY_MS);
    case 'week':
      return new Date(start.getTime() + WEEK_MS);
    case 'month':
      return firstOfMonth(start, 1);
  }
}

/** The start of the bucket so many before the one that the time is in. */
export function bucketBefore(time: Date, interval: BucketInterval, count: number): Date {
  const start = bucketOf(time, interval);
  if (interval === 'month') return firstOfMonth(start, -count);
  return new Date(start.getTime() - count * (nextBucket(start, interval).getTime() - start.getTime()));
}

/** Starts of the buckets from the one that `from` is in, up to `to` and without it; null = they are more than `most`. */
export function bucketsBetween(from: Date, to: Date, interval: BucketInterval, most: number): Date[] | null {
  const starts: Date[] = [];
  for (let start = bucketOf(from, interval); start < to; start = nextBucket(start, interval)) {
    if (starts.length === most) return null;
    starts.push(start);
  }
  return starts;
}

/** What an answer is asked for; both are part of it, `to` only where it is the start of none. */
export interface Span {
  from: Date;
  to: Date;
}

/**
 * Starts of the buckets from the one that `from` is in, up to `to` and without it.
 * @throws 400 naming the field when there is nothing between them, or more than `most`
 */
export function requireBuckets({ from, to }: Span, interval: BucketInterval, most: number): [Date, ...Date[]] {
  const issues: Issue[] = [];
  if (from >= to) issues.push({ path: 'from', message: 'must be before to' });
  else if (from < FIRST_TIME) issues.push({ path: 'from', message: 'must not be before 1970' });
  const starts = issues.length > 0 ? [] : bucketsBetween(from, to, interval, most);
  if (starts === null) {
    issues.push({ path: 'from', message: `must be nearer to to: an answer has at most ${String(most)} of each ${interval}` });
  }
  const [first, ...others] = starts ?? [];
  if (first === undefined) throw invalid(issues);
  return [first, ...others];
}

/** The first time that is in none of the buckets; never one that has no year of four digits. */
export function endOf(starts: readonly [Date, ...Date[]], interval: BucketInterval): Date {
  const end = nextBucket(starts[starts.length - 1] ?? starts[0], interval);
  return end < END_OF_TIME ? end : END_OF_TIME;
}

/** The start of the day `2026-01-15`, or of the month `2026-01`, UTC; null = there is none. */
export function parseDate(text: string, unit: 'day' | 'month'): Date | null {
  const start = /^\d{4}-\d{2}(-\d{2})?$/.test(text) ? new Date(`${text}${unit === 'day' ? '' : '-01'}T00:00:00.000Z`) : null;
  if (start === null || Number.isNaN(start.getTime())) return null;
  return (unit === 'day' ? dayName(start) : monthName(start)) === text ? start : null;
}

/** `2026-01-15` */
export const dayName = (time: Date): string => time.toISOString().slice(0, 10);
/** `2026-01` */
export const monthName = (time: Date): string => time.toISOString().slice(0, 7);

function floored(time: Date, lengthMs: number, firstMs = 0): Date {
  return new Date(Math.floor((time.getTime() - firstMs) / lengthMs) * lengthMs + firstMs);
}

function firstOfMonth(time: Date, later: number): Date {
  const first = new Date(0);
  first.setUTCFullYear(time.getUTCFullYear(), time.getUTCMonth() + later, 1);
  return first;
}
