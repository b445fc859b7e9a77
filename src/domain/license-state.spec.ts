import { describe, expect, it } from '@jest/globals';
import {
  isRevoked,
  licenseStatus,
  requireNotRevoked,
  requireUsable,
  transition,
  type LicenseStateFacts,
  type LicenseStatus,
  type StateAction,
} from './license-state.js';
import { policyFromTemplate, type ExpirationStrategy } from './policy.js';

const now = new Date('2026-06-15T12:00:00.000Z');
const earlier = new Date('2026-06-01T00:00:00.000Z');

const actions: StateAction[] = ['suspend', 'reinstate', 'ban', 'unban', 'revoke'];

/** What each action writes, and nothing else. */
const effects: Record<StateAction, Partial<LicenseStateFacts>> = {
  suspend: { suspendedAt: now },
  reinstate: { suspendedAt: null },
  ban: { bannedAt: now },
  unban: { bannedAt: null },
  revoke: { revokedAt: now },
};

interface Marks {
  marks: ('suspended' | 'banned' | 'revoked')[];
  /** While its term runs. */
  status: LicenseStatus;
  allowed: StateAction[];
}

/** resources.md, "State rules": all combinations of marks. */
const combinations: Marks[] = [
  { marks: [], status: 'active', allowed: ['suspend', 'ban', 'revoke'] },
  { marks: ['suspended'], status: 'suspended', allowed: ['reinstate', 'ban', 'revoke'] },
  { marks: ['banned'], status: 'banned', allowed: ['suspend', 'unban', 'revoke'] },
  { marks: ['suspended', 'banned'], status: 'banned', allowed: ['reinstate', 'unban', 'revoke'] },
  { marks: ['revoked'], status: 'revoked', allowed: [] },
  { marks: ['suspended', 'revoked'], status: 'revoked', allowed: [] },
  { marks: ['banned', 'revoked'], status: 'banned', allowed: [] },
  { marks: ['suspended', 'banned', 'revoked'], status: 'banned', allowed: [] },
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
const states = combinations.flatMap(({ marks, status, allowed }) =>
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
      allowed: revokedByExpiry ? [] : allowed,
    };
  }),
);

describe('the status', () => {
  it.each(states)('$name: $status', ({ license, policy, status, revoked }) => {
    expect(licenseStatus(license, policy, now)).toBe(status);
    expect(isRevoked(license, policy, now)).toBe(revoked);
  });
});

describe('a transition', () => {
  const cases = states.flatMap((state) =>
    actions.map((action) => ({ ...state, action, outcome: state.allowed.includes(action) ? 'allowed' : 'refused' })),
  );

  it.each(cases)('$name: $action is $outcome', ({ license, policy, action, outcome, status, revoked }) => {
    const move = () => transition(license, policy, action, now);
    if (outcome === 'allowed') {
      expect(move()).toEqual(effects[action]);
    } else {
      const details = { status: revoked ? 'revoked' : status };
      expect(move).toThrow(expect.objectContaining({ code: 'CONFLICT', status: 409, details }));
    }
  });
});

describe('other changes', () => {
  it.each(states)('$name: refused if and only if revoked', ({ license, policy, revoked }) => {
    const change = () => {
      requireNotRevoked(license, policy, now, 'renew');
    };
    if (revoked) expect(change).toThrow(expect.objectContaining({ code: 'CONFLICT', details: { status: 'revoked' } }));
    else expect(change).not.toThrow();
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
