import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type OfLicense, portionsOf, prefixWithin } from './portions.js';

describe('portions', () => {
  const items = fc.array(fc.record({ environmentId: fc.constantFrom('a', 'b'), licenseId: fc.constantFrom('1', '2', '3'), n: fc.nat() }), {
    maxLength: 40,
  });
  const sizes = fc.integer({ min: 1, max: 12 });
  const ownerOf = ({ environmentId, licenseId }: OfLicense): string => `${environmentId} ${licenseId}`;

  it('are full but for the last, and have each item once', () => {
    fc.assert(
      fc.property(items, sizes, (all, size) => {
        const portions = portionsOf(all, size);
        expect(portions.slice(0, -1).every((portion) => portion.length === size)).toBe(true);
        expect(portions.every((portion) => portion.length > 0 && portion.length <= size)).toBe(true);
        expect(new Set(portions.flat())).toEqual(new Set(all));
        expect(portions.flat()).toHaveLength(all.length);
      }),
    );
  });

  it('keep together what is of one license, and of one environment', () => {
    fc.assert(
      fc.property(items, sizes, (all, size) => {
        const sorted = portionsOf(all, size).flat();
        for (const keyOf of [ownerOf, ({ environmentId }: OfLicense) => environmentId]) {
          const keys = sorted.map(keyOf);
          expect(keys.filter((key, index) => key !== keys[index - 1])).toHaveLength(new Set(keys).size);
        }
      }),
    );
  });
});

describe('the first that are not too much together', () => {
  it.each<[number, number[], number]>([
    [10, [], 0],
    [10, [0, 0, 0], 3],
    [10, [4, 6, 1], 2],
    [10, [4, 7], 1],
    [10, [11, 1], 1],
    [10, [10, 0, 0, 1], 3],
  ])('within %d, of %j are %d', (limit, sizes, count) => {
    expect(prefixWithin(limit, sizes)).toBe(count);
  });
});
