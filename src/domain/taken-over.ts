import { type ExpiryPolicy, clockStartedBy, explicitTerm, initialTerm, type TermColumns, type TermPolicy } from './expiry.js';
import { licenseStatus, type LicenseStateFacts, type LicenseStatus } from './license-state.js';
import type { PolicyRules } from './policy.js';

/** A license that was somebody's before: what it brings with it when it is imported (contract: resources.md, "Licenses"). */

/** What is said of its term. Absent `expiresAt` = the policy decides, as at creation. */
export interface StatedTerm {
  expiresAt?: Date | null;
  /** Renewals count from its day; absent = from the expiry's. */
  termAnchorAt?: Date | null;
  /** The term waits for the event that the policy's basis names. */
  clockPending?: boolean;
  createdAt: Date;
  firstValidatedAt: Date | null;
  firstActivatedAt: Date | null;
}

/** Its term: as stated; else as its policy counts it from what happened to the license already. */
export function takenOverTerm(stated: StatedTerm, policy: TermPolicy & Pick<PolicyRules, 'expirationBasis'>): TermColumns {
  const { expiresAt, clockPending, createdAt } = stated;
  if (clockPending === true) return { expiresAt: null, termAnchorAt: stated.termAnchorAt ?? null, clockPending: true };
  if (expiresAt !== undefined) {
    const term = explicitTerm(expiresAt);
    return stated.termAnchorAt === undefined ? term : { ...term, termAnchorAt: stated.termAnchorAt };
  }
  const term = initialTerm(undefined, policy, createdAt);
  const begun = beginningOf(stated, policy.expirationBasis);
  return { ...term, ...(begun === null ? null : clockStartedBy(policy.expirationBasis, term, policy, begun)) };
}

/** When the event that a term waits for has happened; null = it has not, or nobody knows when. */
function beginningOf(stated: StatedTerm, basis: PolicyRules['expirationBasis']): Date | null {
  if (basis === 'FROM_FIRST_VALIDATION') return stated.firstValidatedAt;
  return basis === 'FROM_FIRST_ACTIVATION' ? stated.firstActivatedAt : null;
}

type StateTimes = Pick<LicenseStateFacts, 'suspendedAt' | 'bannedAt' | 'revokedAt'>;

const columnOf = { suspended: 'suspendedAt', banned: 'bannedAt', revoked: 'revokedAt' } as const;

/**
 * Its state, so that its computed status is the stated one (undefined = whatever follows from the times): what has no
 * time is so from now on. `status` is what the license would be when that contradicts what is stated, else null.
 */
export function takenOverState(
  stated: LicenseStatus | undefined,
  times: StateTimes,
  expiresAt: Date | null,
  policy: ExpiryPolicy,
  now: Date,
): { times: StateTimes; contradiction: LicenseStatus | null } {
  const columns = { ...times };
  const statusOf = (): LicenseStatus => licenseStatus({ ...columns, expiresAt }, policy, now);
  // One that its policy revoked when it expired needs no time of its own.
  if (stated === 'suspended' || stated === 'banned' || (stated === 'revoked' && statusOf() !== 'revoked'))
    columns[columnOf[stated]] ??= now;
  const computed = statusOf();
  return { times: columns, contradiction: stated === undefined || stated === computed ? null : computed };
}
