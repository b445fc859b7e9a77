import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { DAY_MS } from './expiry.js';
import { countLicenses, type LicensesAlike } from './license-counts.js';
import { licenseStatus } from './license-state.js';

const now = new Date('2026-01-15T12:00:00Z');
const held = fc.constantFrom('banned', 'revoked', 'suspended', 'none');
const license = fc.record({ held, revokes: fc.boolean(), isTrial: fc.boolean(), days: fc.option(fc.integer({ min: -60, max: 60 })) });

describe('licenses that are counted together', () => {
  it('are as many in each state as those whose state it is, one by one', () => {
    fc.assert(
      fc.property(fc.array(license, { maxLength: 30 }), fc.integer({ min: 0, max: 10 }), (licenses, graceDays) => {
        const expected: Record<string, number> = { total: licenses.length, trial: licenses.filter(({ isTrial }) => isTrial).length };
        const add = (name: string): number => (expected[name] = (expected[name] ?? 0) + 1);
        const groups = licenses.map(({ held: state, revokes, isTrial, days }): LicensesAlike => {
          const gracePeriodDays = revokes ? 0 : graceDays;
          const expiresAt = days === null ? null : new Date(now.getTime() + days * DAY_MS);
          const at = (name: string): Date | null => (state === name ? now : null);
          const facts = { expiresAt, bannedAt: at('banned'), revokedAt: at('revoked'), suspendedAt: at('suspended') };
          const status = licenseStatus(facts, { expirationStrategy: revokes ? 'REVOKE' : 'RESTRICT_ACCESS', gracePeriodDays }, now);
          add(status);
          if (status === 'active' && days !== null && days > 0 && days <= 7) add('expiringIn7Days');
          if (status === 'active' && days !== null && days > 0 && days <= 30) add('expiringIn30Days');
          const reached = (within: number): number => Number(days !== null && days <= within);
          return {
            held: state,
            revokes,
            isTrial,
            licenses: 1,
            over: reached(-gracePeriodDays),
            reachedNow: reached(0),
            reachedIn7Days: reached(7),
            reachedIn30Days: reached(30),
          };
        });
        const found = Object.entries(countLicenses(groups)).filter(([name, count]) => count !== 0 || name in expected);
        expect(Object.fromEntries(found)).toEqual(expected);
      }),
    );
  });
});
