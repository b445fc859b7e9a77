import type { Entitlement } from './entitlements.js';
import { DAY_MS, expiryState } from './expiry.js';
import { earlier } from './grant.js';
import type { Validity } from './signed-documents.js';
import { entitlementsOf, type Facts, type ValidationCode, type Verdict } from './validation.js';

/** The signed answer of a validation that sent a nonce (contract: offline.md). */

/** What it says beside the registered claims. */
export interface ValidationClaims {
  valid: boolean;
  code: ValidationCode;
  /** As it was sent: who asked knows that this is the answer to that, and no older one. */
  nonce: string;
  /** The first that was sent; null = none. */
  fingerprint: string | null;
  /** In force when it was decided. */
  entitlements: Entitlement[];
}

export function validationClaims({ valid, code }: Verdict, facts: Facts, nonce: string): ValidationClaims {
  return { valid, code, nonce, fingerprint: facts.request.fingerprints[0] ?? null, entitlements: entitlementsOf(facts) };
}

/** For an answer that is no leave to go on without the server: as long as it takes to arrive, and to be looked at. */
const ANSWER_MS = 5 * 60_000;

/**
 * How long an app may go on by this answer while it cannot reach the server. `facts` are settled: a license whose clock this very
 * validation started ends when that says. Where the license has ended and is tolerated, the app keeps asking.
 */
export function validationValidity({ valid }: Verdict, { license, policy, keyValidUntil, now }: Facts): Validity {
  const answered = new Date(now.getTime() + ANSWER_MS);
  if (!valid) return { issuedAt: now, expiresAt: answered };
  const state = expiryState(license, policy, now);
  const hasEnded = state === 'grace' || state === 'expired';
  const goesOffline = policy.offlineAllowed && !hasEnded;
  const longest = goesOffline ? new Date(now.getTime() + policy.offlineMaxDays * DAY_MS) : answered;
  return { issuedAt: now, expiresAt: earliest(longest, endOf(license.expiresAt, hasEnded, policy), keyValidUntil) };
}

/** From when on it is not valid any more; null = that is never, or is past and tolerated without end. */
function endOf(expiresAt: Date | null, hasEnded: boolean, policy: Facts['policy']): Date | null {
  if (expiresAt === null || !hasEnded) return expiresAt;
  if (policy.expirationStrategy === 'ALLOW_ACCESS') return null;
  return new Date(expiresAt.getTime() + policy.gracePeriodDays * DAY_MS);
}

function earliest(end: Date, ...others: (Date | null)[]): Date {
  return others.reduce<Date>((first, other) => earlier(first, other) ?? first, end);
}
