import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  DAY_MS,
  changedTerm,
  clockStartedBy,
  expiryState,
  explicitTerm,
  firstTerm,
  initialTerm,
  renewedExpiry,
  termOf,
  transferredTerm,
} from './expiry.js';
import { expirationBases, policyFromTemplate, type PolicyRequest, type RenewalBasis, renewalBases } from './policy.js';

const policy = (request: PolicyRequest = {}) => policyFromTemplate(request);
const date = (text: string): Date => new Date(text);
const now = date('2026-06-15T12:00:00.000Z');
const fromNow = (milliseconds: number): Date => new Date(now.getTime() + milliseconds);

/** 2000 to 2100: the leap days of 400 years' rule, and of every fourth. */
const times = fc.date({ min: date('2000-01-01T00:00:00.000Z'), max: date('2100-12-31T23:59:59.999Z'), noInvalidDate: true });
const terms: fc.Arbitrary<{ durationDays?: number; durationCalendarMonths?: number }> = fc.oneof(
  fc.record({ durationDays: fc.integer({ min: 1, max: 1000 }) }),
  fc.record({ durationCalendarMonths: fc.integer({ min: 1, max: 36 }) }),
);

/** Another way to count, day by day on a paper calendar: no date of JavaScript's does the arithmetic. */
const calendar = {
  lengthOf: (year: number, month: number): number => {
    const isLeap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
    return [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1]!;
  },
  text: (year: number, month: number, day: number): string =>
    [String(year).padStart(4, '0'), String(month).padStart(2, '0'), String(day).padStart(2, '0')].join('-'),
  daysOn: (text: string, days: number): string => {
    let [year = 0, month = 0, day = 0] = text.split('-').map(Number);
    for (let left = days; left > 0; left -= 1) {
      day += 1;
      if (day > calendar.lengthOf(year, month)) [day, month] = [1, month + 1];
      if (month > 12) [month, year] = [1, year + 1];
    }
    return calendar.text(year, month, day);
  },
  /** `day` is the anchor's: the last of the month stands in for it where the month is too short. */
  monthsOn: (text: string, months: number, anchorDay: number): string => {
    let [year = 0, month = 0] = text.split('-').map(Number);
    for (let left = months; left > 0; left -= 1) {
      month += 1;
      if (month > 12) [month, year] = [1, year + 1];
    }
    return calendar.text(year, month, Math.min(anchorDay, calendar.lengthOf(year, month)));
  },
};

describe('the calendar', () => {
  it('is exact over leap days, month ends and centuries: terms and their renewals are what counting by hand gives', () => {
    fc.assert(
      fc.property(times, terms, fc.integer({ min: 0, max: 12 }), (startedAt, term, renewals) => {
        const rules = policy(term);
        const [startDay = '', clock] = startedAt.toISOString().split('T');
        const anchorDay = Number(startDay.slice(8));
        let expected = startDay;
        let got = { expiresAt: startedAt, termAnchorAt: startedAt };
        for (let count = 0; count <= renewals; count += 1) {
          const { durationDays, durationCalendarMonths = 0 } = term;
          expected =
            durationDays === undefined
              ? calendar.monthsOn(expected, durationCalendarMonths, anchorDay)
              : calendar.daysOn(expected, durationDays);
          got = count === 0 ? firstTerm(rules, startedAt)! : renewedExpiry(got, rules, now);
          expect(got.expiresAt.toISOString()).toBe(`${expected}T${clock}`);
        }
      }),
    );
  });

  it('has 29 February in 2000 and 2096, and none in 2100', () => {
    const ends = ['2000-01-31', '2096-01-31', '2100-01-31'].map((day) =>
      firstTerm(policy({ durationCalendarMonths: 1 }), date(`${day}T00:00:00Z`))!,
    );
    expect(ends.map(({ expiresAt }) => expiresAt.toISOString().slice(0, 10))).toEqual(['2000-02-29', '2096-02-29', '2100-02-28']);
  });
});

describe('a transfer', () => {
  const unused = { firstValidatedAt: null, firstActivatedAt: null, usesCount: 0 };
  const begun = { expiresAt: fromNow(30 * DAY_MS), termAnchorAt: now, clockPending: false };
  const waiting = { expiresAt: null, termAnchorAt: null, clockPending: true };
  const perpetual = { expiresAt: null, termAnchorAt: null, clockPending: false };

  it('keeps the term, whatever it is, under KEEP_EXPIRY', () => {
    for (const expirationBasis of expirationBases)
      expect(transferredTerm(unused, policy({ durationDays: 30, expirationBasis }), now)).toEqual({});
  });

  it.each(
    expirationBases.flatMap((basis) => [
      { basis, what: 'that never saw the event', license: unused, term: basis === 'FROM_CREATION' ? begun : waiting },
      { basis, what: 'that saw them all', license: { firstValidatedAt: now, firstActivatedAt: now, usesCount: 1 }, term: begun },
    ]),
  )('RESET_EXPIRY, $basis: a license $what begins its term now, or waits', ({ basis, license, term }) => {
    const rules = policy({ durationDays: 30, expirationBasis: basis, transferStrategy: 'RESET_EXPIRY' });
    expect(transferredTerm(license, rules, now)).toEqual(term);
  });

  it('RESET_EXPIRY to a policy without a term: perpetual', () => {
    expect(transferredTerm(unused, policy({ transferStrategy: 'RESET_EXPIRY' }), now)).toEqual(perpetual);
  });
});

describe('the term', () => {
  it.each<{ what: string; request: PolicyRequest; term: unknown }>([
    { what: 'none: perpetual', request: {}, term: null },
    { what: 'days', request: { durationDays: 30 }, term: { days: 30 } },
    { what: 'calendar months', request: { durationCalendarMonths: 3 }, term: { calendarMonths: 3 } },
    { what: "a trial's own", request: { isTrial: true, trialDurationDays: 14, durationDays: 30 }, term: { days: 14 } },
    { what: 'a trial without its own', request: { isTrial: true, durationDays: 30 }, term: { days: 30 } },
    { what: 'a perpetual trial', request: { isTrial: true }, term: null },
    { what: 'trial days of what is no trial', request: { trialDurationDays: 14, durationDays: 30 }, term: { days: 30 } },
  ])('$what', ({ request, term }) => {
    expect(termOf(policy(request))).toEqual(term);
  });

  it('has days of 86,400 seconds exactly', () => {
    const expiresAt = date('2026-03-29T00:30:00.000Z');
    expect(firstTerm(policy({ durationDays: 365 }), expiresAt)?.expiresAt.getTime()).toBe(expiresAt.getTime() + 365 * 86_400_000);
  });

  it.each([
    ['2026-01-31T10:00:00.000Z', 1, '2026-02-28T10:00:00.000Z'],
    ['2028-01-31T10:00:00.000Z', 1, '2028-02-29T10:00:00.000Z'],
    ['2026-08-31T23:59:59.999Z', 1, '2026-09-30T23:59:59.999Z'],
    ['2026-12-15T00:00:00.000Z', 1, '2027-01-15T00:00:00.000Z'],
    ['2028-02-29T00:00:00.000Z', 12, '2029-02-28T00:00:00.000Z'],
    ['2026-11-30T00:00:00.000Z', 27, '2029-02-28T00:00:00.000Z'],
  ])('from %s, %d calendar months end at %s', (startedAt, durationCalendarMonths, expiresAt) => {
    const term = firstTerm(policy({ durationCalendarMonths }), date(startedAt));
    expect(term).toEqual({ expiresAt: date(expiresAt), termAnchorAt: date(startedAt) });
  });
});

describe('the beginning', () => {
  const running = { expiresAt: fromNow(30 * DAY_MS), termAnchorAt: now, clockPending: false };
  const waiting = { expiresAt: null, termAnchorAt: null, clockPending: true };
  const perpetual = { expiresAt: null, termAnchorAt: null, clockPending: false };

  it.each(expirationBases)('%s: the clock starts at creation, or waits', (expirationBasis) => {
    const term = initialTerm(undefined, policy({ durationDays: 30, expirationBasis }), now);
    expect(term).toEqual(expirationBasis === 'FROM_CREATION' ? running : waiting);
  });

  it('an expiry said by the vendor, or that there is none, wins over policy and basis', () => {
    const explicit = date('2030-01-01T00:00:00.000Z');
    for (const expirationBasis of expirationBases) {
      const rules = policy({ durationDays: 30, expirationBasis });
      expect(initialTerm(explicit, rules, now)).toEqual({ expiresAt: explicit, termAnchorAt: explicit, clockPending: false });
      expect(initialTerm(null, rules, now)).toEqual(perpetual);
    }
    expect(explicitTerm(explicit)).toEqual({ expiresAt: explicit, termAnchorAt: explicit, clockPending: false });
  });

  it('without a term there is no expiry', () => {
    expect(initialTerm(undefined, policy(), now)).toEqual(perpetual);
    expect(clockStartedBy('FROM_FIRST_USE', waiting, policy({ expirationBasis: 'FROM_FIRST_USE' }), now)).toEqual(perpetual);
  });

  it.each(expirationBases.flatMap((basis) => expirationBases.map((event) => ({ basis, event }))))(
    'a license that waits for $basis, at $event',
    ({ basis, event }) => {
      const rules = policy({ durationDays: 30, expirationBasis: basis });
      // The policy came to count from creation while the license waited: then any event ends that.
      const expected = event === basis || basis === 'FROM_CREATION' ? running : null;
      expect(clockStartedBy(event, { clockPending: true }, rules, now)).toEqual(expected);
    },
  );

  it('a clock that waited counts from the event that ends the wait, never from before: no license is over before it began', () => {
    const rules = policy({ durationDays: 30, expirationBasis: 'FROM_CREATION' });
    const later = date('2031-01-01T00:00:00.000Z');
    expect(clockStartedBy('FROM_FIRST_VALIDATION', { clockPending: true }, rules, later)?.expiresAt).toEqual(
      date('2031-01-31T00:00:00.000Z'),
    );
  });

  it('to say of an expiry what is so already changes nothing of the term', () => {
    const at = date('2031-01-31T00:00:00.000Z');
    expect(changedTerm({ expiresAt: at }, new Date(at))).toEqual({});
    expect(changedTerm({ expiresAt: null }, null)).toEqual({});
    expect(changedTerm({ expiresAt: at }, undefined)).toEqual({});
    expect(changedTerm({ expiresAt: at }, null)).toEqual(perpetual);
    expect(changedTerm({ expiresAt: null }, at)).toEqual({ expiresAt: at, termAnchorAt: at, clockPending: false });
  });

  it('the clock starts once', () => {
    const rules = policy({ durationDays: 30, expirationBasis: 'FROM_FIRST_VALIDATION' });
    expect(clockStartedBy('FROM_FIRST_VALIDATION', { clockPending: false }, rules, now)).toBeNull();
  });
});

describe('the state', () => {
  it.each<[string, number | null, number, string]>([
    ['no expiry', null, 5, 'perpetual'],
    ['a millisecond before expiry', 1, 0, 'running'],
    ['at expiry', 0, 0, 'expired'],
    ['at expiry, with grace', 0, 2, 'grace'],
    ['the last millisecond of grace', 1 - 2 * DAY_MS, 2, 'grace'],
    ['the end of grace', -2 * DAY_MS, 2, 'expired'],
  ])('%s', (_what, expiresIn, gracePeriodDays, state) => {
    const expiresAt = expiresIn === null ? null : fromNow(expiresIn);
    expect(expiryState({ expiresAt }, policy({ gracePeriodDays }), now)).toBe(state);
  });
});

describe('renewal', () => {
  const ahead = fromNow(5 * DAY_MS);
  const past = fromNow(-5 * DAY_MS);
  const daysOn = (from: Date): Date => new Date(from.getTime() + 30 * DAY_MS);

  it.each<{ basis: RenewalBasis; what: string; expiresAt: Date; from: Date }>([
    { basis: 'FROM_EXPIRY', what: 'running', expiresAt: ahead, from: ahead },
    { basis: 'FROM_EXPIRY', what: 'expired', expiresAt: past, from: past },
    { basis: 'FROM_NOW', what: 'running', expiresAt: ahead, from: now },
    { basis: 'FROM_NOW', what: 'expired', expiresAt: past, from: now },
    { basis: 'FROM_NOW_IF_EXPIRED', what: 'running', expiresAt: ahead, from: ahead },
    { basis: 'FROM_NOW_IF_EXPIRED', what: 'expiring in a millisecond', expiresAt: fromNow(1), from: fromNow(1) },
    { basis: 'FROM_NOW_IF_EXPIRED', what: 'expired', expiresAt: past, from: now },
  ])('$basis, $what', ({ basis, expiresAt, from }) => {
    const renewed = renewedExpiry({ expiresAt, termAnchorAt: null }, policy({ durationDays: 30, renewalBasis: basis }), now);
    expect(renewed.expiresAt).toEqual(daysOn(from));
  });

  it('at the very moment of expiry the license counts as expired', () => {
    // A month's renewal tells the two bases apart here: from the anchor's day, or from now's.
    const rules = policy({ durationCalendarMonths: 1, renewalBasis: 'FROM_NOW_IF_EXPIRED' });
    const expiresAt = date('2026-02-28T00:00:00.000Z');
    const renewed = renewedExpiry({ expiresAt, termAnchorAt: date('2026-01-31T00:00:00.000Z') }, rules, expiresAt);
    expect(renewed).toEqual({ expiresAt: date('2026-03-28T00:00:00.000Z'), termAnchorAt: expiresAt });
  });

  it('keeps the day of the anchor across short months: 31 Jan, 28 Feb, 31 Mar, 30 Apr', () => {
    const rules = policy({ durationCalendarMonths: 1 });
    let term = firstTerm(rules, date('2026-01-31T08:00:00.000Z'))!;
    const ends = [term.expiresAt];
    for (let count = 0; count < 2; count += 1) {
      term = renewedExpiry(term, rules, now);
      ends.push(term.expiresAt);
    }
    expect(ends.map((end) => end.toISOString().slice(0, 10))).toEqual(['2026-02-28', '2026-03-31', '2026-04-30']);
  });

  it('from now anchors anew; of an expiry set by hand the day is that of the expiry', () => {
    const license = { expiresAt: date('2026-02-28T00:00:00.000Z'), termAnchorAt: date('2026-01-31T00:00:00.000Z') };
    const fromNowRules = policy({ durationCalendarMonths: 1, renewalBasis: 'FROM_NOW' });
    expect(renewedExpiry(license, fromNowRules, now)).toEqual({ expiresAt: date('2026-07-15T12:00:00.000Z'), termAnchorAt: now });
    const byHand = explicitTerm(license.expiresAt);
    expect(renewedExpiry(byHand, policy({ durationCalendarMonths: 1 }), now).expiresAt).toEqual(date('2026-03-28T00:00:00.000Z'));
  });

  it('FROM_EXPIRY never drifts off the day of the anchor, except where a month is too short for it', () => {
    const anchors = fc.date({ min: date('2000-01-01T00:00:00.000Z'), max: date('2100-01-01T00:00:00.000Z'), noInvalidDate: true });
    fc.assert(
      fc.property(anchors, fc.integer({ min: 1, max: 24 }), fc.integer({ min: 1, max: 40 }), (anchor, months, renewals) => {
        const rules = policy({ durationCalendarMonths: months });
        let term = firstTerm(rules, anchor)!;
        for (let count = 0; count < renewals; count += 1) term = renewedExpiry(term, rules, now);
        const { expiresAt, termAnchorAt } = term;
        // Day 0 of the following month is the last of this one.
        const monthsOn = anchor.getUTCMonth() + months * (renewals + 1);
        const lastDay = new Date(Date.UTC(anchor.getUTCFullYear(), monthsOn + 1, 0));
        expect(termAnchorAt).toEqual(anchor);
        expect(expiresAt.toISOString().slice(0, 7)).toBe(lastDay.toISOString().slice(0, 7));
        expect(expiresAt.getUTCDate()).toBe(Math.min(anchor.getUTCDate(), lastDay.getUTCDate()));
        expect(expiresAt.getTime() % DAY_MS).toBe(anchor.getTime() % DAY_MS);
      }),
    );
  });

  it('FROM_NOW takes no time away: a license that has more left keeps it, with its day', () => {
    const license = { expiresAt: fromNow(90 * DAY_MS), termAnchorAt: fromNow(-DAY_MS) };
    expect(renewedExpiry(license, policy({ durationDays: 30, renewalBasis: 'FROM_NOW' }), now)).toEqual(license);
  });

  it('a term in months after one in days is a whole one', () => {
    // 30 days from 1 March: a month on from the anchor's day would be a single day more.
    const license = { expiresAt: date('2026-03-31T00:00:00.000Z'), termAnchorAt: date('2026-03-01T00:00:00.000Z') };
    const { expiresAt } = renewedExpiry(license, policy({ durationCalendarMonths: 1 }), now);
    expect(expiresAt).toEqual(date('2026-04-30T00:00:00.000Z'));
  });

  it('never ends earlier than before, whatever the policy, the anchor and the time', () => {
    fc.assert(
      fc.property(times, times, times, terms, fc.constantFrom(...renewalBases), (expiresAt, termAnchorAt, at, term, renewalBasis) => {
        const renewed = renewedExpiry({ expiresAt, termAnchorAt }, policy({ ...term, renewalBasis }), at);
        expect(renewed.expiresAt.getTime()).toBeGreaterThanOrEqual(expiresAt.getTime());
        // And from where it ends, by a whole term: a month has 28 days or more.
        const shortest = term.durationDays ?? (term.durationCalendarMonths ?? 0) * 28;
        if (renewalBasis === 'FROM_EXPIRY')
          expect(renewed.expiresAt.getTime()).toBeGreaterThanOrEqual(expiresAt.getTime() + shortest * DAY_MS);
      }),
    );
  });

  it.each<{ what: string; expiresAt: Date | null; request: PolicyRequest }>([
    { what: 'a perpetual license, or one whose clock has not started', expiresAt: null, request: { durationDays: 30 } },
    { what: 'a policy without a duration', expiresAt: now, request: {} },
    { what: 'a term that ends after the year 9999', expiresAt: date('9999-12-15T00:00:00.000Z'), request: { durationDays: 30 } },
  ])('$what is NOT_RENEWABLE', ({ expiresAt, request }) => {
    const renew = () => renewedExpiry({ expiresAt, termAnchorAt: expiresAt }, policy(request), now);
    expect(renew).toThrow(expect.objectContaining({ code: 'NOT_RENEWABLE', status: 422 }));
  });
});
