import type { LicenseStatus } from './license-state.js';

/** How many licenses are in which state (contract: resources.md, "Analytics"), from sums over many that are alike. */

/** Living licenses that one state outranks expiry for, under policies that say the same of it. */
export interface LicensesAlike {
  /** The state that was set by hand and outranks expiry; none = there is none. */
  held: 'banned' | 'revoked' | 'suspended' | 'none';
  /** Their policies are for trials now. */
  isTrial: boolean;
  /** Expiry revokes them (`expirationStrategy` REVOKE). */
  revokes: boolean;
  licenses: number;
  /** Of those, how many have passed their expiry and their grace period. */
  over: number;
  /** How many have reached their expiry now, and will have within 7 and 30 days; grace periods left out of account. */
  reachedNow: number;
  reachedIn7Days: number;
  reachedIn30Days: number;
}

export type LicenseCounts = Record<LicenseStatus | 'total' | 'trial' | 'expiringIn7Days' | 'expiringIn30Days', number>;

/** The states in the order of `licenseStatus`: what is said there of one license, said of many. */
export function countLicenses(groups: readonly LicensesAlike[]): LicenseCounts {
  const counts: LicenseCounts = {
    total: 0,
    active: 0,
    expired: 0,
    suspended: 0,
    revoked: 0,
    banned: 0,
    trial: 0,
    expiringIn7Days: 0,
    expiringIn30Days: 0,
  };
  for (const group of groups) {
    counts.total += group.licenses;
    if (group.isTrial) counts.trial += group.licenses;
    const over = overOf(group);
    counts[statusUntilOver(group)] += group.licenses - over;
    counts[group.revokes ? 'revoked' : 'expired'] += over;
    if (group.held !== 'none') continue;
    counts.expiringIn7Days += group.reachedIn7Days - group.reachedNow;
    counts.expiringIn30Days += group.reachedIn30Days - group.reachedNow;
  }
  return counts;
}

function statusUntilOver({ held }: LicensesAlike): LicenseStatus {
  return held === 'none' ? 'active' : held;
}

/** For how many of them it is expiry that decides: it outranks a suspension only where it revokes. */
function overOf({ held, revokes, over }: LicensesAlike): number {
  return held === 'none' || (held === 'suspended' && revokes) ? over : 0;
}
