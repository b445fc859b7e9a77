import { describe, expect, it } from '@jest/globals';
import { policyFromTemplate, type PolicyRequest } from './policy.js';
import { MAX_USES, requireCountable, type UsageFacts, usesLimit } from './usage.js';

const now = new Date('2026-06-15T12:00:00.000Z');
const unused: UsageFacts = { usesCount: 0, maxUsesOverride: null, expiresAt: null, suspendedAt: null, bannedAt: null, revokedAt: null };
const over: PolicyRequest = { expirationStrategy: 'REVOKE' };

describe('the limit', () => {
  it.each([
    [null, null, MAX_USES],
    [null, 5, 5],
    [7, 5, 7],
    [0, 5, 0],
    [0, null, 0],
  ])('a license with %p under a policy with %p: %d', (maxUsesOverride, maxUses, limit) => {
    expect(usesLimit({ maxUsesOverride }, { maxUses })).toBe(limit);
  });
});

interface Case {
  what: string;
  license?: Partial<UsageFacts>;
  rules?: PolicyRequest;
  increment: number;
  vendor: object | null;
  /** As for the vendor, unless it says otherwise. */
  holder?: object | null;
}

const cases: Case[] = [
  { what: 'to the limit', license: { usesCount: 3 }, rules: { maxUses: 5 }, increment: 2, vendor: null },
  {
    what: 'above it',
    license: { usesCount: 3 },
    rules: { maxUses: 5 },
    increment: 3,
    vendor: { code: 'USES_EXCEEDED', status: 422, details: { limit: 5, used: 3 } },
  },
  {
    what: 'above what can be stored',
    license: { usesCount: MAX_USES },
    increment: 1,
    vendor: { code: 'USES_EXCEEDED', details: { limit: MAX_USES, used: MAX_USES } },
  },
  {
    what: 'down, though it is over since the limit was lowered',
    license: { usesCount: 9 },
    rules: { maxUses: 5 },
    increment: -1,
    vendor: null,
  },
  { what: 'to zero', license: { usesCount: 3 }, increment: -3, vendor: null },
  {
    what: 'below zero',
    license: { usesCount: 3 },
    increment: -4,
    vendor: { code: 'USES_BELOW_ZERO', status: 422, details: { used: 3 } },
  },
  { what: 'on a suspended license', license: { suspendedAt: now }, increment: 1, vendor: null, holder: { code: 'LICENSE_SUSPENDED' } },
  { what: 'on a banned license', license: { bannedAt: now }, increment: 1, vendor: null, holder: { code: 'LICENSE_BANNED' } },
  { what: 'on an expired license', license: { expiresAt: now }, increment: 1, vendor: null, holder: { code: 'LICENSE_EXPIRED' } },
  { what: 'in its grace', license: { expiresAt: now }, rules: { gracePeriodDays: 1 }, increment: 1, vendor: null },
  { what: 'expired, but allowed', license: { expiresAt: now }, rules: { expirationStrategy: 'ALLOW_ACCESS' }, increment: 1, vendor: null },
  {
    what: 'on a revoked license',
    license: { revokedAt: now },
    increment: 1,
    vendor: { code: 'CONFLICT', status: 409, details: { status: 'revoked' } },
    holder: { code: 'LICENSE_REVOKED', status: 403 },
  },
  {
    what: 'on one that expiry revoked, whatever else is wrong',
    license: { expiresAt: now },
    rules: { ...over, maxUses: 0 },
    increment: 1,
    vendor: { code: 'CONFLICT', details: { status: 'revoked' } },
    holder: { code: 'LICENSE_REVOKED' },
  },
];

describe('counting', () => {
  it.each(
    cases.flatMap(({ vendor, holder = vendor, ...rest }) => [
      { ...rest, counter: 'vendor' as const, refusal: vendor },
      { ...rest, counter: 'license' as const, refusal: holder },
    ]),
  )('$counter, $what', ({ license, rules, increment, counter, refusal }) => {
    const count = () => {
      requireCountable({ ...unused, ...license }, policyFromTemplate(rules ?? {}), increment, counter, now);
    };
    if (refusal === null) expect(count).not.toThrow();
    else expect(count).toThrow(expect.objectContaining(refusal));
  });
});
