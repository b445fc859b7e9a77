import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { expirationStrategies, type PolicyRules } from './policy.js';
import { licenseStatus, licenseStatuses } from './license-state.js';
import { takenOverState, takenOverTerm } from './taken-over.js';

const day = (n: number): Date => new Date(Date.UTC(2030, 0, n));
const now = day(100);

describe('the term of a license that is taken over', () => {
  const policy = (rules: Partial<PolicyRules>) => ({
    durationDays: 30,
    durationCalendarMonths: null,
    isTrial: false,
    trialDurationDays: null,
    expirationBasis: 'FROM_CREATION' as const,
    ...rules,
  });
  const stated = { createdAt: day(1), firstValidatedAt: null, firstActivatedAt: null };
  const none = { expiresAt: null, termAnchorAt: null, clockPending: false };

  it.each([
    ['what is said', policy({}), { expiresAt: day(9) }, { ...none, expiresAt: day(9), termAnchorAt: day(9) }],
    ['with the day that months count from', policy({}), { expiresAt: day(9), termAnchorAt: day(1) }, { ...none, expiresAt: day(9), termAnchorAt: day(1) }],
    ['null = perpetual, whatever the policy', policy({}), { expiresAt: null }, none],
    ['waiting, as it was', policy({}), { clockPending: true, expiresAt: null }, { ...none, clockPending: true }],
    ['unsaid: from its creation', policy({}), {}, { ...none, expiresAt: day(31), termAnchorAt: day(1) }],
    ['unsaid: from the first success that it had', policy({ expirationBasis: 'FROM_FIRST_VALIDATION' }), { firstValidatedAt: day(5) }, { ...none, expiresAt: day(35), termAnchorAt: day(5) }],
    ['unsaid: from the first machine that it had', policy({ expirationBasis: 'FROM_FIRST_ACTIVATION' }), { firstActivatedAt: day(6) }, { ...none, expiresAt: day(36), termAnchorAt: day(6) }],
    ['unsaid: waiting for what has not happened', policy({ expirationBasis: 'FROM_FIRST_ACTIVATION' }), { firstValidatedAt: day(5) }, { ...none, clockPending: true }],
    ['unsaid: waiting for a use of which nobody knows when', policy({ expirationBasis: 'FROM_FIRST_USE' }), {}, { ...none, clockPending: true }],
    ['unsaid: none where the policy has none', policy({ durationDays: null }), {}, none],
  ])('%s', (_, rules, more, expected) => {
    expect(takenOverTerm({ ...stated, ...more }, rules)).toEqual(expected);
  }); // prettier-ignore
});

describe('the state of a license that is taken over', () => {
  const free = { suspendedAt: null, bannedAt: null, revokedAt: null };
  const rules = { expirationStrategy: 'RESTRICT_ACCESS' as const, gracePeriodDays: 0 };

  it.each([
    ['active', null, 'RESTRICT_ACCESS', free, null],
    ['active', day(9), 'RESTRICT_ACCESS', free, 'expired'],
    ['expired', day(9), 'RESTRICT_ACCESS', free, null],
    ['expired', null, 'RESTRICT_ACCESS', free, 'active'],
    ['suspended', null, 'RESTRICT_ACCESS', { ...free, suspendedAt: now }, null],
    ['banned', day(9), 'RESTRICT_ACCESS', { ...free, bannedAt: now }, null],
    ['revoked', null, 'RESTRICT_ACCESS', { ...free, revokedAt: now }, null],
    ['revoked', day(9), 'REVOKE', free, null],
    ['suspended', day(9), 'REVOKE', { ...free, suspendedAt: now }, 'revoked'],
  ] as const)('%s, with the expiry %s under %s', (status, expiresAt, expirationStrategy, times, contradiction) => {
    expect(takenOverState(status, free, expiresAt, { ...rules, expirationStrategy }, now)).toEqual({ times, contradiction });
  });

  it('is the stated one, or is said to contradict it: never silently another', () => {
    const time = fc.option(fc.integer({ min: 1, max: 200 }).map(day));
    fc.assert(
      fc.property(
        fc.constantFrom(...licenseStatuses),
        fc.record({ suspendedAt: time, bannedAt: time, revokedAt: time }),
        time,
        fc.record({ expirationStrategy: fc.constantFrom(...expirationStrategies), gracePeriodDays: fc.nat({ max: 50 }) }),
        (status, times, expiresAt, policy) => {
          const { times: taken, contradiction } = takenOverState(status, times, expiresAt, policy, now);
          expect(contradiction ?? status).toBe(licenseStatus({ ...taken, expiresAt }, policy, now));
        },
      ),
    );
  });
});
