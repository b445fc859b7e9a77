import { DAY_MS } from './expiry.js';

/** Time in buckets, all in UTC; a week begins on Monday (ISO 8601). Contract: resources.md, "Analytics". */

export const bucketIntervals = ['hour', 'day', 'week', 'month'] as const;
export type BucketInterval = (typeof bucketIntervals)[number];

const HOUR_MS = 3_600_000;
const WEEK_MS = 7 * DAY_MS;
/** 1970 began on a Thursday; this is the Monday before it. */
const FIRST_MONDAY_MS = -3 * DAY_MS;

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
