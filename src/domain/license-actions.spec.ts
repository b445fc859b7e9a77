import { describe, expect, it } from '@jest/globals';
import { DAY_MS } from './expiry.js';
import { type LicenseAction, licenseActions, requireAllowed, type StateAction, transition } from './license-actions.js';
import type { LicenseStateFacts } from './license-state.js';
import { policyFromTemplate, type PolicyRequest } from './policy.js';

const now = new Date('2026-06-15T12:00:00.000Z');
const earlier = new Date('2026-06-01T00:00:00.000Z');
const running = new Date(now.getTime() + DAY_MS);
const fresh: LicenseStateFacts = { expiresAt: running, suspendedAt: null, bannedAt: null, revokedAt: null };

/** Every state that a license can be in, as the contract tells them apart. */
const states: Record<string, { license: Partial<LicenseStateFacts>; rules?: PolicyRequest }> = {
  active: { license: {} },
  perpetual: { license: { expiresAt: null } },
  grace: { license: { expiresAt: now }, rules: { gracePeriodDays: 1 } },
  expired: { license: { expiresAt: now } },
  allowed: { license: { expiresAt: now }, rules: { expirationStrategy: 'ALLOW_ACCESS' } },
  suspended: { license: { suspendedAt: earlier } },
  banned: { license: { bannedAt: earlier } },
  both: { license: { suspendedAt: earlier, bannedAt: earlier } },
  susp_exp: { license: { suspendedAt: earlier, expiresAt: now } },
  revoked: { license: { revokedAt: earlier } },
  rev_both: { license: { revokedAt: earlier, suspendedAt: earlier, bannedAt: earlier } },
  by_expiry: { license: { expiresAt: now }, rules: { expirationStrategy: 'REVOKE' } },
};

/** resources.md, "State rules": + is done; anything else is refused, and the 409 names that state. */
const outcomes = `
                         active perpetual grace  expired allowed suspended banned both   susp_exp  revoked rev_both by_expiry
suspend                  +      +         +      +       +       suspended +      banned suspended revoked revoked  revoked
reinstate                active active    active expired expired +         banned +      +         revoked revoked  revoked
ban                      +      +         +      +       +       +         banned banned +         revoked revoked  revoked
unban                    active active    active expired expired suspended +      +      suspended revoked revoked  revoked
revoke                   +      +         +      +       +       +         +      +      +         revoked revoked  revoked
renew                    +      +         +      +       +       +         +      +      +         revoked revoked  revoked
transfer                 +      +         +      +       +       +         +      +      +         revoked revoked  revoked
check-in                 +      +         +      +       +       +         +      +      +         revoked revoked  revoked
usage                    +      +         +      +       +       +         +      +      +         revoked revoked  revoked
usage/reset              +      +         +      +       +       +         +      +      +         revoked revoked  revoked
rotate-key               +      +         +      +       +       +         +      +      +         revoked revoked  revoked
changing_it              +      +         +      +       +       +         +      +      +         revoked revoked  revoked
attaching_entitlements   +      +         +      +       +       +         +      +      +         revoked revoked  revoked
detaching_entitlements   +      +         +      +       +       +         +      +      +         revoked revoked  revoked
reset-machines           +      +         +      +       +       +         +      +      +         +       +        +
deactivating_a_machine   +      +         +      +       +       +         +      +      +         +       +        +
deleting                 +      +         +      +       +       +         +      +      +         +       +        +
reading                  +      +         +      +       +       +         +      +      +         +       +        +`;

const [header = [], ...rows] = outcomes
  .trim()
  .split('\n')
  .map((line) => line.trim().split(/\s+/));
const cells = rows.flatMap(([name = '', ...outcomesOfAction]) =>
  outcomesOfAction.map((outcome, index) => ({ action: name.replaceAll('_', ' ') as LicenseAction, state: header[index] ?? '', outcome })),
);

describe('every action in every state', () => {
  it('is in the table', () => {
    expect(header).toEqual(Object.keys(states));
    expect(rows.map(([name]) => name?.replaceAll('_', ' '))).toEqual(Object.keys(licenseActions));
    expect(cells).toHaveLength(Object.keys(states).length * Object.keys(licenseActions).length);
  });

  it.each(cells)('$action when $state: $outcome', ({ action, state, outcome }) => {
    const { license, rules } = states[state]!;
    const act = () => {
      requireAllowed({ ...fresh, ...license }, policyFromTemplate(rules ?? {}), action, now);
    };
    if (outcome === '+') expect(act).not.toThrow();
    else expect(act).toThrow(expect.objectContaining({ code: 'CONFLICT', status: 409, details: { status: outcome } }));
  });
});

describe('a move', () => {
  /** What each writes, and nothing else. */
  const effects: Record<StateAction, Partial<LicenseStateFacts>> = {
    suspend: { suspendedAt: now },
    reinstate: { suspendedAt: null },
    ban: { bannedAt: now },
    unban: { bannedAt: null },
    revoke: { revokedAt: now },
  };
  const moves = cells.filter(({ action }) => action in effects);

  it.each(moves)('$action when $state: $outcome', ({ action, state, outcome }) => {
    const { license, rules } = states[state]!;
    const move = () => transition({ ...fresh, ...license }, policyFromTemplate(rules ?? {}), action as StateAction, now);
    if (outcome === '+') expect(move()).toEqual(effects[action as StateAction]);
    else expect(move).toThrow(expect.objectContaining({ code: 'CONFLICT', details: { status: outcome } }));
  });
});
