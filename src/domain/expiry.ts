import { LatchkeyError } from './errors.js';
import type { ExpirationBasis, PolicyRules } from './policy.js';

/**
 * When a license's term begins, ends and is renewed. A day is 86,400 s exactly; calendar months keep the day of the
 * month that the term was anchored on, clamped at shorter months (contract: resources.md, "Policies").
 */

export const DAY_MS = 86_400_000;
/** Past this, times have no four-digit year and clients cannot read them. */
const END_OF_TIME_MS = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

export type TermPolicy = Pick<PolicyRules, 'durationDays' | 'durationCalendarMonths' | 'isTrial' | 'trialDurationDays'>;
export type ExpiryPolicy = Pick<PolicyRules, 'expirationStrategy' | 'gracePeriodDays'>;

type Term = { days: number } | { calendarMonths: number };

/** The length of one term, or null when licenses of the policy are perpetual. */
export function termOf(policy: TermPolicy): Term | null {
  if (policy.isTrial && policy.trialDurationDays !== null) return { days: policy.trialDurationDays };
  if (policy.durationDays !== null) return { days: policy.durationDays };
  if (policy.durationCalendarMonths !== null) return { calendarMonths: policy.durationCalendarMonths };
  return null;
}

/** `anchor` gives calendar-month terms their day: 31 Jan → 28 Feb → 31 Mar, not 28 Mar. */
function addTerm(from: Date, term: Term, anchor: Date): Date {
  if ('days' in term) return new Date(from.getTime() + term.days * DAY_MS);
  const months = from.getUTCFullYear() * 12 + from.getUTCMonth() + term.calendarMonths;
  const year = Math.floor(months / 12);
  const month = months % 12;
  const lastDay = new Date(Date.UTC(year, month + 1, 0)).getUTCDate();
  const result = new Date(from);
  result.setUTCFullYear(year, month, Math.min(anchor.getUTCDate(), lastDay));
  return result;
}

/** The expiry and anchor of a license whose clock starts at `startedAt`. */
export function firstTerm(policy: TermPolicy, startedAt: Date): { expiresAt: Date; termAnchorAt: Date } | null {
  const term = termOf(policy);
  return term === null ? null : { expiresAt: addTerm(startedAt, term, startedAt), termAnchorAt: startedAt };
}

/** What is stored of a license's term. While `clockPending`, its expiry waits for the event of the policy's basis. */
export interface TermColumns {
  expiresAt: Date | null;
  termAnchorAt: Date | null;
  clockPending: boolean;
}

/** A new license's term: what the vendor says (null = perpetual), else what the policy says. */
export function initialTerm(
  explicit: Date | null | undefined,
  policy: TermPolicy & Pick<PolicyRules, 'expirationBasis'>,
  createdAt: Date,
): TermColumns {
  if (explicit !== undefined) return explicitTerm(explicit);
  if (policy.expirationBasis !== 'FROM_CREATION') return { expiresAt: null, termAnchorAt: null, clockPending: true };
  return { expiresAt: null, termAnchorAt: null, clockPending: false, ...firstTerm(policy, createdAt) };
}

/** An expiry set by hand also ends the wait for an event; renewals count from its day. */
export function explicitTerm(expiresAt: Date | null): TermColumns {
  return { expiresAt, termAnchorAt: expiresAt, clockPending: false };
}

/**
 * What a change says of the term. To say what is so already, as in sending back what was read, changes nothing: neither
 * does it end the wait for an event, nor give calendar months another day.
 */
export function changedTerm(license: Pick<TermColumns, 'expiresAt'>, expiresAt: Date | null | undefined): Partial<TermColumns> {
  return expiresAt === undefined || expiresAt?.getTime() === license.expiresAt?.getTime() ? {} : explicitTerm(expiresAt);
}

/** A license that is made with an expiry in the past, like one that is taken over from elsewhere, is no news to anyone. */
export function announcedAlready(
  expiresAt: Date | null | undefined,
  now: Date,
): { expiringAnnouncedFor?: Date; expiredAnnouncedFor?: Date } {
  if (expiresAt === undefined || expiresAt === null || expiresAt > now) return {};
  return { expiringAnnouncedFor: expiresAt, expiredAnnouncedFor: expiresAt };
}

/**
 * The term that an event begins, or null when it is not the one that the license waits for. A license that waits while
 * its policy has come to count from creation waits for nothing any more: the next event begins its term, then and not back
 * at creation, so that nobody's license is over before it began.
 */
export function clockStartedBy(
  event: ExpirationBasis,
  license: Pick<TermColumns, 'clockPending'>,
  policy: TermPolicy & Pick<PolicyRules, 'expirationBasis'>,
  at: Date,
): TermColumns | null {
  const isAwaited = policy.expirationBasis === event || policy.expirationBasis === 'FROM_CREATION';
  if (!license.clockPending || !isAwaited) return null;
  return { expiresAt: null, termAnchorAt: null, clockPending: false, ...firstTerm(policy, at) };
}

/** Where a license stands in its term. Expiry is exclusive: at `expiresAt` itself it is over. */
export type ExpiryState = 'perpetual' | 'running' | 'grace' | 'expired';

export function expiryState(license: { expiresAt: Date | null }, policy: ExpiryPolicy, now: Date): ExpiryState {
  if (license.expiresAt === null) return 'perpetual';
  const expiresAtMs = license.expiresAt.getTime();
  if (now.getTime() < expiresAtMs) return 'running';
  return now.getTime() < expiresAtMs + policy.gracePeriodDays * DAY_MS ? 'grace' : 'expired';
}

/**
 * What `renew` sets: one term more, counted as the policy's renewalBasis says; never less than there was, also where a
 * term from now would end before the one that runs.
 * @throws 422 NOT_RENEWABLE when there is no expiry to move or no term to add.
 */
export function renewedExpiry(
  license: { expiresAt: Date | null; termAnchorAt: Date | null },
  policy: TermPolicy & Pick<PolicyRules, 'renewalBasis'>,
  now: Date,
): { expiresAt: Date; termAnchorAt: Date } {
  const term = termOf(policy);
  if (license.expiresAt === null)
    throw new LatchkeyError('NOT_RENEWABLE', 'The license has no expiry: it is perpetual, or its clock has not started.');
  if (term === null) throw new LatchkeyError('NOT_RENEWABLE', 'The policy has no duration, so there is no term to add.');
  const fromNow = policy.renewalBasis === 'FROM_NOW' || (policy.renewalBasis === 'FROM_NOW_IF_EXPIRED' && now >= license.expiresAt);
  const anchor = fromNow ? now : anchorOf(license.expiresAt, license.termAnchorAt, term);
  const expiresAt = addTerm(fromNow ? now : license.expiresAt, term, anchor);
  if (expiresAt.getTime() > END_OF_TIME_MS) throw new LatchkeyError('NOT_RENEWABLE', 'The license would expire after the year 9999.');
  if (expiresAt < license.expiresAt) return { expiresAt: license.expiresAt, termAnchorAt: license.termAnchorAt ?? license.expiresAt };
  return { expiresAt, termAnchorAt: anchor };
}

/**
 * What gives the next term its day. An expiry that calendar months from the anchor would not have led to (it came from a
 * term in days, under an earlier policy) stands for itself: else that term would be short by as much.
 */
function anchorOf(expiresAt: Date, anchor: Date | null, term: Term): Date {
  if (anchor === null) return expiresAt;
  const isOnItsDay = addTerm(expiresAt, { calendarMonths: 0 }, anchor).getTime() === expiresAt.getTime();
  return 'days' in term || isOnItsDay ? anchor : expiresAt;
}

/** What has happened to a license of the events that its clock may wait for. */
export interface TermEvents {
  firstValidatedAt: Date | null;
  firstActivatedAt: Date | null;
  usesCount: number;
}

/**
 * What a transfer does to the term (contract: resources.md, `transferStrategy`), as the policy says that the license moves
 * to; empty = nothing: expiry and anchor stay, and a clock that waits goes on waiting. A reset begins a term of the new
 * policy now, or waits where that policy counts from an event that the license has never had: one that it had will not
 * come again.
 */
export function transferredTerm(
  license: TermEvents,
  policy: TermPolicy & Pick<PolicyRules, 'expirationBasis' | 'transferStrategy'>,
  now: Date,
): Partial<TermColumns> {
  if (policy.transferStrategy === 'KEEP_EXPIRY') return {};
  return initialTerm(
    undefined,
    hasHappened(policy.expirationBasis, license) ? { ...policy, expirationBasis: 'FROM_CREATION' } : policy,
    now,
  );
}

function hasHappened(event: ExpirationBasis, license: TermEvents): boolean {
  switch (event) {
    case 'FROM_CREATION':
      return true;
    case 'FROM_FIRST_VALIDATION':
      return license.firstValidatedAt !== null;
    case 'FROM_FIRST_ACTIVATION':
      return license.firstActivatedAt !== null;
    case 'FROM_FIRST_USE':
      return license.usesCount > 0;
  }
}
