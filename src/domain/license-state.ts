import { LatchkeyError, type ErrorCode } from './errors.js';
import { expiryState, type ExpiryPolicy } from './expiry.js';

/** The states of a license and the moves between them (contract: resources.md, "State rules"). */

export const licenseStatuses = ['active', 'expired', 'suspended', 'revoked', 'banned'] as const;
export type LicenseStatus = (typeof licenseStatuses)[number];

export interface LicenseStateFacts {
  expiresAt: Date | null;
  suspendedAt: Date | null;
  bannedAt: Date | null;
  revokedAt: Date | null;
}

/** Revoked by the vendor, or by expiring under a policy that revokes. */
export function isRevoked(license: LicenseStateFacts, policy: ExpiryPolicy, now: Date): boolean {
  if (license.revokedAt !== null) return true;
  return policy.expirationStrategy === 'REVOKE' && expiryState(license, policy, now) === 'expired';
}

/** Computed, never stored: the same at every instant for everyone who asks. In its grace period a license is active. */
export function licenseStatus(license: LicenseStateFacts, policy: ExpiryPolicy, now: Date): LicenseStatus {
  if (license.bannedAt !== null) return 'banned';
  if (isRevoked(license, policy, now)) return 'revoked';
  if (license.suspendedAt !== null) return 'suspended';
  return expiryState(license, policy, now) === 'expired' ? 'expired' : 'active';
}

/** The moves that set or lift a state; each is one column of the license. */
export const stateActions = {
  suspend: { column: 'suspendedAt', sets: true },
  reinstate: { column: 'suspendedAt', sets: false },
  ban: { column: 'bannedAt', sets: true },
  unban: { column: 'bannedAt', sets: false },
  revoke: { column: 'revokedAt', sets: true },
} as const;

export type StateAction = keyof typeof stateActions;

/**
 * The change that an action makes. A state set twice, or lifted where it is not, is illegal; suspended and banned stand
 * beside each other, and each is lifted only by its own; a revoked license takes none of them.
 * @throws 409 CONFLICT naming the state
 */
export function transition(
  license: LicenseStateFacts,
  policy: ExpiryPolicy,
  action: StateAction,
  now: Date,
): Partial<Pick<LicenseStateFacts, 'suspendedAt' | 'bannedAt' | 'revokedAt'>> {
  requireNotRevoked(license, policy, now, action);
  const { column, sets } = stateActions[action];
  if ((license[column] !== null) === sets) throw illegal(licenseStatus(license, policy, now), action);
  return { [column]: sets ? now : null };
}

/**
 * A revoked license refuses every change but deletion and machine deactivation.
 * @throws 409 CONFLICT naming the state
 */
export function requireNotRevoked(license: LicenseStateFacts, policy: ExpiryPolicy, now: Date, action: string): void {
  if (isRevoked(license, policy, now)) throw illegal('revoked', action);
}

function illegal(status: LicenseStatus, action: string): LatchkeyError {
  return new LatchkeyError('CONFLICT', `The license is ${status}: ${action} is not possible.`, { status });
}

const refusals: Record<Exclude<LicenseStatus, 'active'>, { code: ErrorCode; message: string }> = {
  suspended: { code: 'LICENSE_SUSPENDED', message: 'The license is suspended.' },
  revoked: { code: 'LICENSE_REVOKED', message: 'The license was revoked.' },
  banned: { code: 'LICENSE_BANNED', message: 'The license is banned.' },
  expired: { code: 'LICENSE_EXPIRED', message: 'The license has expired.' },
};

/**
 * Whether the license may take machines and beats. An expired one may under ALLOW_ACCESS.
 * @throws 403 with the state's code (contract: auth.md, "License scheme")
 */
export function requireUsable(license: LicenseStateFacts, policy: ExpiryPolicy, now: Date): void {
  const status = licenseStatus(license, policy, now);
  if (status === 'active' || (status === 'expired' && policy.expirationStrategy === 'ALLOW_ACCESS')) return;
  const { code, message } = refusals[status];
  throw new LatchkeyError(code, message);
}
