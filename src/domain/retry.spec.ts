import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { JITTER, LONGEST_RETRY_AFTER_SECONDS, nextAttemptAt, parseRetryAfter } from './retry.js';

const endedAt = new Date('2026-11-22T12:00:00.000Z');
const seconds = (from: Date, to: Date | null): number | null => (to === null ? null : (to.getTime() - from.getTime()) / 1000);
/** The contract's. */
const SCHEDULE = [0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400];
const MIDDLE = 0.5;

describe('the schedule', () => {
  it.each([
    { attemptCount: 1, next: 5 },
    { attemptCount: 2, next: 5 * 60 },
    { attemptCount: 3, next: 30 * 60 },
    { attemptCount: 4, next: 2 * 3600 },
    { attemptCount: 5, next: 5 * 3600 },
    { attemptCount: 6, next: 10 * 3600 },
    { attemptCount: 7, next: 14 * 3600 },
    { attemptCount: 8, next: 20 * 3600 },
    { attemptCount: 9, next: 24 * 3600 },
    { attemptCount: 10, next: null },
    { attemptCount: 11, next: null },
  ])('after $attemptCount tries the next comes $next seconds later', ({ attemptCount, next }) => {
    expect(seconds(endedAt, nextAttemptAt({ endedAt, attemptCount, retryAfter: null }, SCHEDULE, MIDDLE))).toBe(next);
  });

  it('has the jitter that the randomness says, and never more', () => {
    const at = (random: number) => seconds(endedAt, nextAttemptAt({ endedAt, attemptCount: 1, retryAfter: null }, [0, 100], random));
    expect([at(0), at(0.25), at(0.5), at(0.75), at(1)]).toEqual([80, 90, 100, 110, 120]);
    fc.assert(
      fc.property(fc.nat({ max: 86_400 }), fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), (delay, random) => {
        const found = seconds(endedAt, nextAttemptAt({ endedAt, attemptCount: 0, retryAfter: null }, [delay], random)) ?? NaN;
        expect(Math.abs(found - delay)).toBeLessThanOrEqual(JITTER * delay + 0.001);
      }),
    );
  });
});

describe('Retry-After', () => {
  it.each([
    { what: 'seconds', value: '120', wait: 120 },
    { what: 'seconds with blanks around', value: ' 7 ', wait: 7 },
    { what: 'no time at all', value: '0', wait: 0 },
    { what: 'an IMF-fixdate', value: 'Sun, 22 Nov 2026 12:01:30 GMT', wait: 90 },
    { what: 'a date of RFC 850', value: 'Sunday, 22-Nov-26 12:00:10 GMT', wait: 10 },
    { what: 'a date of the last century in RFC 850', value: 'Sunday, 06-Nov-94 08:49:37 GMT', wait: Date.UTC(1994, 10, 6, 8, 49, 37) },
    { what: "asctime's", value: 'Sun Nov 22 12:00:20 2026', wait: 20 },
    { what: "asctime's with one digit", value: 'Tue Dec  1 12:00:00 2026', wait: 9 * 86_400 },
    { what: 'a leap second', value: 'Thu, 31 Dec 2026 23:59:60 GMT', wait: Date.UTC(2027, 0, 1) },
    { what: 'more than a Date can hold', value: '9'.repeat(400), wait: LONGEST_RETRY_AFTER_SECONDS },
    { what: 'negative seconds', value: '-1', wait: null },
    { what: 'half a second', value: '1.5', wait: null },
    { what: 'nothing', value: '', wait: null },
    { what: 'a word', value: 'later', wait: null },
    { what: 'a date that is none', value: 'Tue, 31 Feb 2026 12:00:00 GMT', wait: null },
    { what: 'a month that is none', value: 'Tue, 01 Foo 2026 12:00:00 GMT', wait: null },
    { what: 'a date of ISO 8601', value: '2026-11-22T12:00:30Z', wait: null },
    { what: 'another zone', value: 'Sun, 22 Nov 2026 12:01:30 CET', wait: null },
  ])('as $what', ({ value, wait }) => {
    const expected = wait === null ? null : wait > 1e8 ? new Date(wait) : new Date(endedAt.getTime() + wait * 1000);
    expect(parseRetryAfter(value, endedAt)).toEqual(expected);
  });

  it.each([
    { what: 'that is later than the schedule is waited for', value: '60', next: 60 },
    { what: 'that is earlier changes nothing', value: '1', next: 5 },
    { what: 'in the past changes nothing', value: 'Sun, 06 Nov 1994 08:49:37 GMT', next: 5 },
    { what: 'that nobody understands changes nothing', value: 'soon', next: 5 },
    { what: 'has an end', value: '31536000', next: LONGEST_RETRY_AFTER_SECONDS },
    { what: 'as a date has the same end', value: 'Mon, 22 Nov 2027 12:00:00 GMT', next: LONGEST_RETRY_AFTER_SECONDS },
  ])('$what', ({ value, next }) => {
    expect(seconds(endedAt, nextAttemptAt({ endedAt, attemptCount: 1, retryAfter: value }, SCHEDULE, MIDDLE))).toBe(next);
  });

  it('gives no try more than the schedule has', () => {
    expect(nextAttemptAt({ endedAt, attemptCount: 10, retryAfter: '60' }, SCHEDULE, MIDDLE)).toBeNull();
  });

  it('never makes a try come before the schedule, nor later than both have it', () => {
    const values = fc.oneof(
      fc.nat({ max: 200_000 }).map(String),
      fc.date({ min: new Date(0), max: new Date('2100-01-01'), noInvalidDate: true }).map((date) => date.toUTCString()),
      fc.string(),
    );
    const random = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });
    fc.assert(
      fc.property(values, fc.integer({ min: 1, max: 9 }), random, (retryAfter, attemptCount, chance) => {
        const plain = nextAttemptAt({ endedAt, attemptCount, retryAfter: null }, SCHEDULE, chance) ?? endedAt;
        const asked = nextAttemptAt({ endedAt, attemptCount, retryAfter }, SCHEDULE, chance) ?? endedAt;
        expect(asked.getTime()).toBeGreaterThanOrEqual(plain.getTime());
        const latest = Math.max(plain.getTime(), endedAt.getTime() + LONGEST_RETRY_AFTER_SECONDS * 1000);
        expect(asked.getTime()).toBeLessThanOrEqual(latest);
      }),
    );
  });
});
