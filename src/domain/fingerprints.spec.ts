import { describe, expect, it } from '@jest/globals';
import { type FingerprintUniqueness, isTaken } from './fingerprints.js';

describe('a fingerprint that is active on another license', () => {
  const samePolicy = { policyId: 'a', productId: 'x' };
  const sameProduct = { policyId: 'b', productId: 'x' };
  const sameAccount = { policyId: 'c', productId: 'y' };

  it.each<[FingerprintUniqueness, boolean, boolean, boolean]>([
    ['PER_LICENSE', false, false, false],
    ['PER_POLICY', true, false, false],
    ['PER_PRODUCT', true, true, false],
    ['PER_ACCOUNT', true, true, true],
  ])('%s: is taken by one of the policy %p, of the product %p, of the account %p', (uniqueness, ...expected) => {
    const taken = [samePolicy, sameProduct, sameAccount].map((holder) => isTaken([holder], uniqueness, samePolicy));
    expect(taken).toEqual(expected);
    expect(isTaken([], uniqueness, samePolicy)).toBe(false);
  });
});
