import type { PolicyRules } from './policy.js';

/** Where a fingerprint may be active only once (contract: resources.md, `fingerprintUniqueness`). */

export type FingerprintUniqueness = PolicyRules['fingerprintUniqueness'];

/** The license that a fingerprint is active on, as far as it matters. */
export interface Holder {
  policyId: string;
  productId: string;
}

/** Fingerprints of an environment, and the licenses that they are active on. */
export type Held = Map<string, Holder[]>;

/**
 * Whether a fingerprint that is active on these licenses must not become active on another one: the new one's policy
 * decides, and those of the holders do not matter.
 */
export function isTaken(holders: readonly Holder[], uniqueness: FingerprintUniqueness, { policyId, productId }: Holder): boolean {
  switch (uniqueness) {
    case 'PER_LICENSE':
      return false;
    case 'PER_POLICY':
      return holders.some((holder) => holder.policyId === policyId);
    case 'PER_PRODUCT':
      return holders.some((holder) => holder.productId === productId);
    case 'PER_ACCOUNT':
      return holders.length > 0;
  }
}
