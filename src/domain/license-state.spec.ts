import { describe, expect, it } from '@jest/globals';
import { isRevoked, licenseStatus, requireUsable, type LicenseStateFacts, type LicenseStatus } from './license-state.js';
import { policyFromTemplate, type ExpirationStrategy } from './policy.js';

const now = new Date('2026-06-15T12:00:00.000Z');
const earlier = new Date('2026-06-01T00:00:00.000Z');

interface Marks {
  marks: ('suspended' | 'banned' | 'revoked')[];
  /** While its term runs. */
  status: LicenseStatus;
}

/** resources.md, "State rules": all combinations of marks. */
const combinations: Marks[] = [
  { marks: [], status: 'active' },
  { marks: ['suspended'], status: 'suspended' },
  { marks: ['banned'], status: 'banned' },
  { marks: ['suspended', 'banned'], status: 'banned' },
  { marks: ['revoked'], status: 'revoked' },
  { marks: ['suspended', 'revoked'], status: 'revoked' },
  { marks: ['banned', 'revoked'], status: 'banned' },
  { marks: ['suspended', 'banned', 'revoked'], status: 'banned' },
];

interface Term {
  term: string;
  expiresAt: Date | null;
  strategy: ExpirationStrategy;
  graceDays: number;
  over: boolean;
}

const terms: Term[] = [
  { term: 'perpetual', expiresAt: null, strategy: 'RESTRICT_ACCESS', graceDays: 0, over: false },
  { term: 'perpetual', expiresAt: null, strategy: 'REVOKE', graceDays: 0, over: false },
  { term: 'running', expiresAt: new Date(now.getTime() + 1), strategy: 'REVOKE', graceDays: 0, over: false },
  { term: 'in grace', expiresAt: now, strategy: 'RESTRICT_ACCESS', graceDays: 1, over: false },
  { term: 'expired', expiresAt: now, strategy: 'RESTRICT_ACCESS', graceDays: 0, over: true },
  { term: 'expired', expiresAt: now, strategy: 'ALLOW_ACCESS', graceDays: 0, over: true },
  { term: 'expired', expiresAt: now, strategy: 'REVOKE', graceDays: 0, over: true },
];

/** Every combination of marks and terms, with what the rules say of it. */
const states = combinations.flatMap(({ marks, status }) =>
  terms.map(({ term, expiresAt, strategy, graceDays, over }) => {
    const revokedByExpiry = over && strategy === 'REVOKE';
    const license: LicenseStateFacts = {
      expiresAt,
      suspendedAt: marks.includes('suspended') ? earlier : null,
      bannedAt: marks.includes('banned') ? earlier : null,
      revokedAt: marks.includes('revoked') ? earlier : null,
    };
    const expiredStatus = status === 'active' ? 'expired' : status;
    return {
      name: `${[...marks, term].join(' and ')} under ${strategy}`,
      license,
      policy: policyFromTemplate({ expirationStrategy: strategy, gracePeriodDays: graceDays }),
      allowsAccess: strategy === 'ALLOW_ACCESS',
      revoked: marks.includes('revoked') || revokedByExpiry,
      status: revokedByExpiry && status !== 'banned' ? 'revoked' : over ? expiredStatus : status,
    };
  }),
);

describe('the status', () => {
  it.each(states)('$name: $status', ({ license, policy, status, revoked }) => {
    expect(licenseStatus(license, policy, now)).toBe(status);
    expect(isRevoked(license, policy, now)).toBe(revoked);
  });
});

describe('machines and beats', () => {
  it.each(states)('$name: taken or refused with the code of the state', ({ license, policy, status, allowsAccess }) => {
    const use = () => {
      requireUsable(license, policy, now);
    };
    if (status === 'active' || (status === 'expired' && allowsAccess)) expect(use).not.toThrow();
    else expect(use).toThrow(expect.objectContaining({ code: `LICENSE_${status.toUpperCase()}`, status: 403 }));
  });
});
