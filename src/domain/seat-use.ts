import type { OverageStrategy } from './policy.js';
import { limitOf } from './seats.js';

/** How much of their seats licenses use (contract: resources.md, "Analytics", `seats`). */

/** So many licenses that may have as many seats and do have as many. */
export interface SeatHolders {
  /** Of the licenses themselves; null = the policy's. */
  maxMachinesOverride: number | null;
  machineCount: number;
  licenses: number;
}

export interface SeatRules {
  maxMachines: number | null;
  overageStrategy: OverageStrategy;
}

export interface SeatUse {
  licenses: number;
  /** Of the licenses, those without a limit. */
  unlimited: number;
  used: number;
  /** Sums over the licenses that have one, as set and with the overage that is tolerated; null = none has. */
  max: number | null;
  limit: number | null;
  /** Machines above what is set. */
  over: number;
  /** Share of its seats that a license uses, of those with a limit: half and 95 % of them use no more; null = none has. */
  p50: number | null;
  p95: number | null;
}

/** The seats of one policy's licenses. */
export function seatUseOf(holders: readonly SeatHolders[], { maxMachines, overageStrategy }: SeatRules): SeatUse {
  const known = holders.map((alike) => ({ ...alike, ...limitOf(alike.maxMachinesOverride, maxMachines, overageStrategy) }));
  const limited = known.flatMap(({ max, ...alike }) => (max === null ? [] : [{ ...alike, max }]));
  const effective = known.flatMap(({ effective: limit, licenses }) => (limit === null ? [] : [{ limit, licenses }]));
  const shares = limited.map(({ machineCount, max, licenses }) => ({ value: machineCount / Math.max(max, 1), count: licenses }));
  const licenses = sum(known, (alike) => alike.licenses);
  return {
    licenses,
    unlimited: licenses - sum(limited, (alike) => alike.licenses),
    used: sum(known, (alike) => alike.machineCount * alike.licenses),
    max: limited.length === 0 ? null : sum(limited, (alike) => alike.max * alike.licenses),
    limit: effective.length === 0 ? null : sum(effective, (alike) => alike.limit * alike.licenses),
    over: sum(limited, (alike) => Math.max(0, alike.machineCount - alike.max) * alike.licenses),
    p50: percentileOf(shares, 0.5),
    p95: percentileOf(shares, 0.95),
  };
}

/** The least value that the share of all is not above (nearest rank); null = there are none. */
export function percentileOf(distribution: readonly { value: number; count: number }[], share: number): number | null {
  const ordered = [...distribution].sort((one, other) => one.value - other.value);
  let left = sum(ordered, ({ count }) => count) * share;
  return ordered.find(({ count }) => (left -= count) <= 0)?.value ?? null;
}

function sum<Item>(items: readonly Item[], of: (item: Item) => number): number {
  return items.reduce((total, item) => total + of(item), 0);
}
