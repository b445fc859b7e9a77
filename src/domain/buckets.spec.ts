import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { bucketBefore, bucketIntervals, bucketOf, bucketsBetween, nextBucket, parseDate, requireBuckets } from './buckets.js';

const times = fc.date({ min: new Date('1970-01-01T00:00:00Z'), max: new Date('2200-01-01T00:00:00Z'), noInvalidDate: true });

describe('buckets', () => {
  it.each([
    ['hour', '2026-03-29T01:59:59.999Z', '2026-03-29T01:00:00.000Z', '2026-03-29T02:00:00.000Z'],
    ['day', '2024-02-29T23:59:59.999Z', '2024-02-29T00:00:00.000Z', '2024-03-01T00:00:00.000Z'],
    ['week', '2026-01-01T00:00:00.000Z', '2025-12-29T00:00:00.000Z', '2026-01-05T00:00:00.000Z'],
    ['week', '2026-01-05T00:00:00.000Z', '2026-01-05T00:00:00.000Z', '2026-01-12T00:00:00.000Z'],
    ['week', '1969-12-31T00:00:00.000Z', '1969-12-29T00:00:00.000Z', '1970-01-05T00:00:00.000Z'],
    ['month', '2024-02-29T12:00:00.000Z', '2024-02-01T00:00:00.000Z', '2024-03-01T00:00:00.000Z'],
    ['month', '2026-12-31T23:59:59.999Z', '2026-12-01T00:00:00.000Z', '2027-01-01T00:00:00.000Z'],
  ] as const)('of a %s: %s begins at %s, the next at %s', (interval, time, start, next) => {
    expect(bucketOf(new Date(time), interval).toISOString()).toBe(start);
    expect(nextBucket(new Date(start), interval).toISOString()).toBe(next);
  });

  it('hold every time once, without gaps, and go back as they go on', () => {
    fc.assert(
      fc.property(times, fc.constantFrom(...bucketIntervals), (time, interval) => {
        const start = bucketOf(time, interval);
        const next = nextBucket(start, interval);
        expect(start <= time && time < next).toBe(true);
        expect(bucketOf(next, interval)).toEqual(next);
        expect(bucketBefore(next, interval, 1)).toEqual(start);
        if (interval === 'week') expect(start.getUTCDay()).toBe(1);
      }),
    );
  });

  it('are counted from the one that begins the span to the last that begins in it', () => {
    const between = (from: string, to: string, most = 3) => bucketsBetween(new Date(from), new Date(to), 'day', most)?.length ?? null;
    expect(between('2026-01-01T23:59:59Z', '2026-01-03T00:00:00.000Z')).toBe(2);
    expect(between('2026-01-01T00:00:00Z', '2026-01-03T00:00:00.001Z')).toBe(3);
    expect(between('2026-01-01T00:00:00Z', '2026-01-03T00:00:00.001Z', 2)).toBe(null);
  });

  it('are refused when there are none, too many, or too early', () => {
    const ask = (from: string, to: string) => () => requireBuckets({ from: new Date(from), to: new Date(to) }, 'day', 2);
    expect(ask('2026-01-02T00:00:00Z', '2026-01-02T00:00:00Z')).toThrow('from: must be before to');
    expect(ask('2026-01-02T00:00:00Z', '2026-02-02T00:00:00Z')).toThrow('from: must be nearer');
    expect(ask('1969-12-31T00:00:00Z', '1970-01-01T00:00:00Z')).toThrow('from: must not be before 1970');
  });

  it.each([
    ['2026-02-28', 'day', '2026-02-28T00:00:00.000Z'],
    ['2026-02-29', 'day', undefined],
    ['2026-02', 'day', undefined],
    ['2026-02', 'month', '2026-02-01T00:00:00.000Z'],
    ['2026-13', 'month', undefined],
    ['2026-02-01', 'month', undefined],
    ['26-2', 'month', undefined],
  ] as const)('%s is the %s of %s', (text, unit, start) => {
    expect(parseDate(text, unit)?.toISOString()).toBe(start);
  });
});
