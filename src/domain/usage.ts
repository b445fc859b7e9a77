import { LatchkeyError } from './errors.js';
import type { ExpiryPolicy } from './expiry.js';
import { requireAllowed } from './license-actions.js';
import { type LicenseStateFacts, requireUsable } from './license-state.js';
import type { PolicyRules } from './policy.js';

/** Counting uses (contract: resources.md, `usage`). What a statement in the database holds, said once more to explain refusals. */

/** What one request may count, up or down. */
export const MAX_INCREMENT = 1_000_000;
/** Where nothing else limits the counter, what can be stored does. */
export const MAX_USES = 2_147_483_647;

/** Who counts: the vendor, whatever the state short of revoked; or the license itself, while it may run. */
export type Counter = 'vendor' | 'license';

export type UsageFacts = LicenseStateFacts & { usesCount: number; maxUsesOverride: number | null };

/** How far the counter may go. A license's own limit stands instead of its policy's. */
export function usesLimit(license: Pick<UsageFacts, 'maxUsesOverride'>, policy: Pick<PolicyRules, 'maxUses'>): number {
  return license.maxUsesOverride ?? policy.maxUses ?? MAX_USES;
}

/**
 * Whether so many uses can be counted. Only what grows can be too much: a counter that is over since its limit was lowered
 * may still fall.
 * @throws 409 CONFLICT naming the state, or 403 with its code for the license itself; 422 USES_EXCEEDED with
 *   `{limit, used}`, USES_BELOW_ZERO with `{used}`
 */
export function requireCountable(
  license: UsageFacts,
  policy: ExpiryPolicy & Pick<PolicyRules, 'maxUses'>,
  increment: number,
  counter: Counter,
  now: Date,
): void {
  if (counter === 'license') requireUsable(license, policy, now);
  requireAllowed(license, policy, 'usage', now);
  const { usesCount: used } = license;
  const limit = usesLimit(license, policy);
  if (used + increment < 0)
    throw new LatchkeyError('USES_BELOW_ZERO', `The counter stands at ${String(used)}: it cannot fall below zero.`, { used });
  if (increment > 0 && used + increment > limit)
    throw new LatchkeyError('USES_EXCEEDED', `The license allows ${String(limit)} uses, and ${String(used)} are counted.`, { limit, used });
}
