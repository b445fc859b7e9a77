import { MINUTE_MS } from './heartbeat.js';
import type { LeasingStrategy, PolicyRules } from './policy.js';
import { type Limit, limitOf, usageOf } from './seats.js';

/** Process leases: how many processes of a license run at once (contract: resources.md, "Machines", `maxProcesses`). */

/** How many heartbeat intervals pass without a beat until a lease ends. */
export const LEASE_INTERVALS = 2;

export type LeasePolicy = Pick<PolicyRules, 'heartbeatIntervalMinutes'>;

function leaseMs({ heartbeatIntervalMinutes }: LeasePolicy): number {
  return LEASE_INTERVALS * heartbeatIntervalMinutes * MINUTE_MS;
}

/**
 * The instant at which a lease ends unless its process beats before; at that instant it has ended. Leases end whether or
 * not the policy requires heartbeats of machines.
 */
export function leaseEndsAt(lastHeartbeatAt: Date, policy: LeasePolicy): Date {
  return new Date(lastHeartbeatAt.getTime() + leaseMs(policy));
}

/** In force at `now` are the leases whose last beat came after this instant. */
export function inForceAfter(policy: LeasePolicy, now: Date): Date {
  return new Date(now.getTime() - leaseMs(policy));
}

/** Leases that count together against one limit; `userEmail` is that of their machines, whatever the case, null = of those without one. */
export type LeaseGroup =
  | { of: 'license'; licenseId: string }
  | { of: 'machine'; licenseId: string; machineId: string }
  | { of: 'user'; licenseId: string; userEmail: string | null };

/** What the leases of this machine count together with. */
export function leaseGroupOf(
  strategy: LeasingStrategy,
  { id: machineId, licenseId, userEmail }: { id: string; licenseId: string; userEmail: string | null },
): LeaseGroup {
  switch (strategy) {
    case 'PER_LICENSE':
      return { of: 'license', licenseId };
    case 'PER_MACHINE':
      return { of: 'machine', licenseId, machineId };
    case 'PER_USER':
      return { of: 'user', licenseId, userEmail };
  }
}

/** How many processes each group may run; the license's own limit wins over its policy's. */
export function processLimit(
  { maxProcessesOverride }: { maxProcessesOverride: number | null },
  { maxProcesses, overageStrategy }: Pick<PolicyRules, 'maxProcesses' | 'overageStrategy'>,
): Limit {
  return limitOf(maxProcessesOverride, maxProcesses, overageStrategy);
}

/** Whether one more may start where `running` leases of its group are in force. */
export function mayStart(running: number, limit: Limit): boolean {
  return usageOf(running + 1, limit) !== 'exceeded';
}

/** How many process leases in force count together; of a group with none there may be no count. */
export interface ProcessCount {
  /** One of the machines that they count together with; null = with all of the license's. */
  machineId: string | null;
  running: number;
}

/** What a validation is judged by: of the groups of the matched machines the largest; null = no machine was matched. */
export function countedProcesses(
  { leasingStrategy }: Pick<PolicyRules, 'leasingStrategy'>,
  machines: readonly { id: string }[],
  counts: readonly ProcessCount[],
): ProcessCount | null {
  const countOf = (machineId: string | null): ProcessCount =>
    counts.find((count) => count.machineId === machineId) ?? { machineId, running: 0 };
  if (leasingStrategy === 'PER_LICENSE') return countOf(null);
  const [first, ...others] = machines.map(({ id }) => countOf(id));
  return others.reduce((most, count) => (count.running > (most?.running ?? 0) ? count : most), first) ?? null;
}
