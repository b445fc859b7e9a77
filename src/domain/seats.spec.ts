import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { overageStrategies, type OverageStrategy } from './policy.js';
import { limitOf, machineLimitVerdicts, totalsOfNone, totalsWith, usageOf } from './seats.js';

describe('a limit', () => {
  it.each<[OverageStrategy, number, number | null]>([
    ['NO_OVERAGE', 10, 10],
    ['ALLOW_1_25X', 10, 12],
    ['ALLOW_1_25X', 3, 3],
    ['ALLOW_1_25X', 4, 5],
    ['ALLOW_1_5X', 1, 1],
    ['ALLOW_1_5X', 3, 4],
    ['ALLOW_2X', 1, 2],
    ['ALWAYS_ALLOW', 10, null],
    ['ALWAYS_ALLOW', 0, null],
  ])('%s of %d lets %p be used', (overage, max, effective) => {
    expect(limitOf(null, max, overage)).toEqual({ max, effective: effective });
  });

  it.each<[number | null, number | null, number | null]>([
    [5, 2, 5],
    [1, 2, 1],
    [0, 2, 0],
    [5, null, 5],
    [null, 2, 2],
    [null, null, null],
  ])('override %p beside the policy’s %p is %p', (override, policyMax, max) => {
    expect(limitOf(override, policyMax, 'NO_OVERAGE')).toEqual({ max, effective: max });
  });

  it.each<[number, number, OverageStrategy, string]>([
    [0, 2, 'NO_OVERAGE', 'within'],
    [2, 2, 'NO_OVERAGE', 'within'],
    [3, 2, 'NO_OVERAGE', 'exceeded'],
    [2, 2, 'ALLOW_1_5X', 'within'],
    [3, 2, 'ALLOW_1_5X', 'overage'],
    [4, 2, 'ALLOW_1_5X', 'exceeded'],
    [999, 2, 'ALWAYS_ALLOW', 'overage'],
  ])('%d of %d under %s: %s', (used, max, overage, usage) => {
    expect(usageOf(used, limitOf(null, max, overage))).toBe(usage);
  });

  it('that is not set is never passed, whatever the strategy', () => {
    fc.assert(
      fc.property(fc.nat(), fc.constantFrom(...overageStrategies), (used, overage) => {
        expect(usageOf(used, limitOf(null, null, overage))).toBe('within');
      }),
    );
  });

  it('tolerates what was sold, and what was sold is a whole number', () => {
    fc.assert(
      fc.property(fc.nat({ max: 1_000_000 }), fc.constantFrom(...overageStrategies), (max, overage) => {
        const { effective } = limitOf(null, max, overage);
        expect(effective === null || (Number.isInteger(effective) && effective >= max && effective <= max * 2)).toBe(true);
        expect(usageOf(max, limitOf(null, max, overage))).toBe('within');
      }),
    );
  });
});

describe('the limits of a license', () => {
  it('are judged each on its own, machines first, with the license’s value before the policy’s', () => {
    const totals = { machineCount: 3, coresTotal: 9, memoryMbTotal: 100, diskMbTotal: 1 };
    const overrides = { maxMachinesOverride: 2, maxCoresOverride: null, maxMemoryMbOverride: null, maxDiskMbOverride: 1 };
    const policy = { maxMachines: 5, maxCores: 4, maxMemoryMb: null, maxDiskMb: null, overageStrategy: 'ALLOW_2X' as const };
    const verdicts = machineLimitVerdicts(totals, overrides, policy);
    expect(verdicts.map(({ limit, used, allowed, usage }) => [limit.code, used, allowed.max, allowed.effective, usage])).toEqual([
      ['MACHINE_LIMIT_EXCEEDED', 3, 2, 4, 'overage'],
      ['CORE_LIMIT_EXCEEDED', 9, 4, 8, 'exceeded'],
      ['MEMORY_LIMIT_EXCEEDED', 100, null, null, 'within'],
      ['DISK_LIMIT_EXCEEDED', 1, 1, 2, 'within'],
    ]);
  });
});

describe('the totals', () => {
  const size = fc.option(fc.nat({ max: 1_000_000 }));
  const machines = fc.array(fc.record({ cores: size, memoryMb: size, diskMb: size }), { maxLength: 20 });

  it('count a machine and what it says of itself; what it does not say counts nothing', () => {
    const one = totalsWith(totalsOfNone, { cores: 8, memoryMb: 16, diskMb: 32 }, 1);
    expect(one).toEqual({ machineCount: 1, coresTotal: 8, memoryMbTotal: 16, diskMbTotal: 32 });
    const silent = totalsWith(one, { cores: null, memoryMb: null, diskMb: null }, 1);
    expect(silent).toEqual({ machineCount: 2, coresTotal: 8, memoryMbTotal: 16, diskMbTotal: 32 });
  });

  it('come back to nothing when every machine has gone', () => {
    fc.assert(
      fc.property(machines, (all) => {
        const full = all.reduce((totals, machine) => totalsWith(totals, machine, 1), totalsOfNone);
        expect(full.machineCount).toBe(all.length);
        expect(all.reduce((totals, machine) => totalsWith(totals, machine, -1), full)).toEqual(totalsOfNone);
      }),
    );
  });
});
