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
