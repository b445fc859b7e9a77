import type { OverageStrategy } from './policy.js';

/** How much of something a license may use: machines, cores, memory, disk (contract: resources.md, `overageStrategy`). */

/** By what a limit may be multiplied. */
export const overageFactors: Record<OverageStrategy, number> = {
  NO_OVERAGE: 1,
  ALLOW_1_25X: 1.25,
  ALLOW_1_5X: 1.5,
  ALLOW_2X: 2,
  ALWAYS_ALLOW: Infinity,
};

export interface Limit {
  /** As set on the license or its policy; null = no limit. */
  max: number | null;
  /** How far it may be passed: floor(max × factor); null = no limit. */
  effective: number | null;
}

/** The license's own value wins over its policy's. */
export function limitOf(override: number | null, policyMax: number | null, overage: OverageStrategy): Limit {
  const max = override ?? policyMax;
  const effective = max === null ? Infinity : Math.floor(max * overageFactors[overage]);
  return { max, effective: Number.isFinite(effective) ? effective : null };
}

/** `overage` is more than was sold but within what the strategy tolerates. */
export type Usage = 'within' | 'overage' | 'exceeded';

export function usageOf(used: number, limit: Limit): Usage {
  if (limit.effective !== null && used > limit.effective) return 'exceeded';
  return limit.max !== null && used > limit.max ? 'overage' : 'within';
}

/** The four things whose sum over a license's machines is limited, with the code that says which one ran out. */
export const machineLimits = [
  { code: 'MACHINE_LIMIT_EXCEEDED', max: 'maxMachines', override: 'maxMachinesOverride', total: 'machineCount', what: 'machines' },
  { code: 'CORE_LIMIT_EXCEEDED', max: 'maxCores', override: 'maxCoresOverride', total: 'coresTotal', what: 'cores' },
  { code: 'MEMORY_LIMIT_EXCEEDED', max: 'maxMemoryMb', override: 'maxMemoryMbOverride', total: 'memoryMbTotal', what: 'MiB of memory' },
  { code: 'DISK_LIMIT_EXCEEDED', max: 'maxDiskMb', override: 'maxDiskMbOverride', total: 'diskMbTotal', what: 'MiB of disk' },
] as const;

export type MachineLimit = (typeof machineLimits)[number];

/** What a license has of each. */
export type MachineTotals = Record<MachineLimit['total'], number>;
export type MachineLimitPolicy = Record<MachineLimit['max'], number | null> & { overageStrategy: OverageStrategy };
export type MachineLimitOverrides = Record<MachineLimit['override'], number | null>;

export interface LimitVerdict {
  limit: MachineLimit;
  used: number;
  allowed: Limit;
  usage: Usage;
}

/** Each limit held against the totals, in order of precedence. */
export function machineLimitVerdicts(totals: MachineTotals, overrides: MachineLimitOverrides, policy: MachineLimitPolicy): LimitVerdict[] {
  return machineLimits.map((limit) => {
    const allowed = limitOf(overrides[limit.override], policy[limit.max], policy.overageStrategy);
    const used = totals[limit.total];
    return { limit, used, allowed, usage: usageOf(used, allowed) };
  });
}

/**
 * The first limit that a license may not pass from `current` to `next`; null = none. Only what grows can be too much: a
 * license that is over after its limits were lowered may still shrink, or put one machine in the place of another.
 */
export function passedLimit(
  current: MachineTotals,
  next: MachineTotals,
  overrides: MachineLimitOverrides,
  policy: MachineLimitPolicy,
): LimitVerdict | null {
  const grows = ({ limit }: LimitVerdict): boolean => next[limit.total] > current[limit.total];
  return machineLimitVerdicts(next, overrides, policy).find((verdict) => verdict.usage === 'exceeded' && grows(verdict)) ?? null;
}

/** What a machine says of itself; null = it does not say. */
export interface MachineSize {
  cores: number | null;
  memoryMb: number | null;
  diskMb: number | null;
}

/** What one more machine (or, with -1, one less) does to the totals. */
export function totalsWith(totals: MachineTotals, machine: MachineSize, sign: 1 | -1): MachineTotals {
  return {
    machineCount: totals.machineCount + sign,
    coresTotal: totals.coresTotal + sign * (machine.cores ?? 0),
    memoryMbTotal: totals.memoryMbTotal + sign * (machine.memoryMb ?? 0),
    diskMbTotal: totals.diskMbTotal + sign * (machine.diskMb ?? 0),
  };
}

/** What a license without machines has. */
export const totalsOfNone: MachineTotals = { machineCount: 0, coresTotal: 0, memoryMbTotal: 0, diskMbTotal: 0 };
