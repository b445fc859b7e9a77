import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { percentileOf, seatUseOf } from './seat-use.js';

describe('the use of seats', () => {
  it('tells limits of licenses that have one, and what is above', () => {
    const holders = [
      { maxMachinesOverride: null, machineCount: 3, licenses: 2 },
      { maxMachinesOverride: 10, machineCount: 5, licenses: 1 },
    ];
    expect(seatUseOf(holders, { maxMachines: 2, overageStrategy: 'ALLOW_2X' })).toEqual({
      licenses: 3,
      unlimited: 0,
      used: 11,
      max: 14,
      limit: 28,
      over: 2,
      p50: 1.5,
      p95: 1.5,
    });
    expect(seatUseOf(holders, { maxMachines: null, overageStrategy: 'NO_OVERAGE' })).toEqual({
      licenses: 3,
      unlimited: 2,
      used: 11,
      max: 10,
      limit: 10,
      over: 0,
      p50: 0.5,
      p95: 0.5,
    });
    expect(seatUseOf([], { maxMachines: 1, overageStrategy: 'ALWAYS_ALLOW' })).toMatchObject({ max: null, limit: null, p50: null });
  });

  it('gives the percentiles of the values one by one', () => {
    const values = fc.array(fc.record({ value: fc.integer({ min: 0, max: 5 }), count: fc.integer({ min: 1, max: 9 }) }), { minLength: 1 });
    fc.assert(
      fc.property(values, fc.constantFrom(0.5, 0.95), (distribution, share) => {
        const all = distribution
          .flatMap(({ value, count }) => Array.from({ length: count }, () => value))
          .sort((one, other) => one - other);
        expect(percentileOf(distribution, share)).toBe(all[Math.ceil(all.length * share - 1e-9) - 1]);
      }),
    );
    expect(percentileOf([], 0.5)).toBe(null);
  });
});
