import { describe, expect, it } from '@jest/globals';
import { DAY_MS } from './expiry.js';
import { policyFromTemplate } from './policy.js';
import { totalsOfNone } from './seats.js';
import { type Facts, judge, settled } from './validation.js';
import { validationClaims, validationValidity } from './validation-token.js';

const now = new Date('2026-06-15T12:00:00.000Z');
const MINUTE_MS = 60_000;
const fromNow = (milliseconds: number): Date => new Date(now.getTime() + milliseconds);
const days = (count: number): Date => fromNow(count * DAY_MS);
const minutes = (count: number): Date => fromNow(count * MINUTE_MS);

/** Perpetual, valid, good for a week offline. */
const sound: Facts = {
  environment: 'live',
  accountId: 'account',
  environmentId: 'environment',
  keyValidUntil: null,
  testClock: null,
  now,
  policy: { ...policyFromTemplate({}), requireFingerprint: false, offlineAllowed: true, offlineMaxDays: 7 },
  license: {
    id: 'license',
    name: null,
    productId: 'product',
    policyId: 'policy',
    userEmail: null,
    userName: null,
    startsAt: null,
    createdAt: days(-100),
    expiresAt: null,
    clockPending: false,
    lastCheckInAt: null,
    firstValidatedAt: days(-90),
    lastValidatedAt: null,
    allowedVersions: null,
    usesCount: 0,
    maxUsesOverride: null,
    maxProcessesOverride: null,
    metadata: {},
    suspendedAt: null,
    bannedAt: null,
    revokedAt: null,
    maxMachinesOverride: null,
    maxCoresOverride: null,
    maxMemoryMbOverride: null,
    maxDiskMbOverride: null,
    ...totalsOfNone,
  },
  productCode: 'editor',
  inheritedEntitlements: [],
  ownEntitlements: [],
  machines: [],
  deadTotals: totalsOfNone,
  processes: [],
  request: { fingerprints: [] },
};

interface Change {
  license?: Partial<Facts['license']>;
  policy?: Partial<Facts['policy']>;
  keyValidUntil?: Date;
  request?: Partial<Facts['request']>;
}

const factsWith = ({ license, policy, request, ...facts }: Change): Facts => ({
  ...sound,
  ...facts,
  license: { ...sound.license, ...license },
  policy: { ...sound.policy, ...policy },
  request: { ...sound.request, ...request },
});

const validityOf = (facts: Facts) => {
  const verdict = judge(facts);
  return { code: verdict.code, ...validationValidity(verdict, settled(facts, verdict)) };
};

describe('how long a signed answer is good for', () => {
  const grace = { gracePeriodDays: 3 };
  const allowed = { expirationStrategy: 'ALLOW_ACCESS' as const };
  const cases: [what: string, change: Change, code: string, until: Date][] = [
    ['a perpetual license: the offline term', {}, 'VALID', days(7)],
    ['one that ends after the offline term', { license: { expiresAt: days(8) } }, 'VALID', days(7)],
    ['one that ends within it', { license: { expiresAt: days(2) } }, 'VALID', days(2)],
    ['one that ends within it and has a grace period then', { license: { expiresAt: days(2) }, policy: grace }, 'VALID', days(2)],
    ['one that ends within it and is allowed then', { license: { expiresAt: days(2) }, policy: allowed }, 'VALID', days(2)],
    ['one that ends in a minute', { license: { expiresAt: minutes(1) } }, 'VALID', minutes(1)],
    ['no offline work', { policy: { offlineAllowed: false } }, 'VALID', minutes(5)],
    [
      'no offline work, one that ends in a minute',
      { policy: { offlineAllowed: false }, license: { expiresAt: minutes(1) } },
      'VALID',
      minutes(1),
    ],
    ['the grace period', { license: { expiresAt: days(-1) }, policy: grace }, 'IN_GRACE_PERIOD', minutes(5)],
    ['its last minute', { license: { expiresAt: fromNow(MINUTE_MS - 3 * DAY_MS) }, policy: grace }, 'IN_GRACE_PERIOD', minutes(1)],
    [
      'its last minute, and allowed after it',
      { license: { expiresAt: fromNow(MINUTE_MS - 3 * DAY_MS) }, policy: { ...grace, ...allowed } },
      'IN_GRACE_PERIOD',
      minutes(5),
    ],
    ['expired and allowed', { license: { expiresAt: days(-10) }, policy: allowed }, 'EXPIRED', minutes(5)],
    ['expired', { license: { expiresAt: days(-10) } }, 'EXPIRED', minutes(5)],
    ['suspended, whenever it ends', { license: { suspendedAt: days(-1), expiresAt: minutes(1) } }, 'SUSPENDED', minutes(5)],
    ['a key that was rotated out: the end of its overlap', { keyValidUntil: days(1) }, 'VALID', days(1)],
    ['and the end of the license before that', { keyValidUntil: days(3), license: { expiresAt: days(2) } }, 'VALID', days(2)],
    ['and the end of the overlap before that', { keyValidUntil: days(1), license: { expiresAt: days(2) } }, 'VALID', days(1)],
    ['an overlap that is longer than the offline term', { keyValidUntil: days(30) }, 'VALID', days(7)],
    [
      'an overlap that ends in a minute, no offline work',
      { keyValidUntil: minutes(1), policy: { offlineAllowed: false } },
      'VALID',
      minutes(1),
    ],
    [
      'a tolerated end in an overlap that ends in a minute',
      { keyValidUntil: minutes(1), license: { expiresAt: days(-1) }, policy: grace },
      'IN_GRACE_PERIOD',
      minutes(1),
    ],
    [
      'the first validation, which starts a term of two days',
      { license: { firstValidatedAt: null, clockPending: true }, policy: { expirationBasis: 'FROM_FIRST_VALIDATION', durationDays: 2 } },
      'VALID',
      days(2),
    ],
    [
      'no validation, which starts nothing',
      {
        license: { firstValidatedAt: null, clockPending: true, suspendedAt: days(-1) },
        policy: { expirationBasis: 'FROM_FIRST_VALIDATION', durationDays: 2 },
      },
      'SUSPENDED',
      minutes(5),
    ],
  ];
  it.each(cases)('%s', (_what, change, code, expiresAt) => {
    expect(validityOf(factsWith(change))).toEqual({ code, issuedAt: now, expiresAt });
  });

  it("is counted from the license's clock", () => {
    const frozenAt = new Date('2031-01-01T00:00:00.000Z');
    const facts = { ...sound, testClock: { frozenAt }, now: frozenAt };
    expect(validityOf(facts)).toMatchObject({ issuedAt: frozenAt, expiresAt: new Date(frozenAt.getTime() + 7 * DAY_MS) });
  });
});

describe('what a signed answer says', () => {
  const claimsOf = (facts: Facts) => validationClaims(judge(facts), facts, 'once');

  it('the verdict, the nonce, and what the license grants now', () => {
    const ended = { code: 'beta', expiresAt: days(-1), quantity: null };
    const own = [{ code: 'seats', expiresAt: days(1), quantity: 5 }, ended];
    expect(claimsOf({ ...sound, inheritedEntitlements: ['pro'], ownEntitlements: own })).toEqual({
      valid: true,
      code: 'VALID',
      nonce: 'once',
      fingerprint: null,
      entitlements: [{ code: 'pro', expiresAt: null, quantity: null }, own[0]],
    });
  });

  it('the first fingerprint that was sent, whatever came of it', () => {
    const facts = factsWith({ request: { fingerprints: ['first', 'second'] } });
    expect(claimsOf(facts)).toMatchObject({ valid: false, code: 'NOT_ACTIVATED', fingerprint: 'first' });
  });
});
