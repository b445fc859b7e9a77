import type { PolicyRules } from './policy.js';

/** Whether a machine is alive (contract: resources.md, `requireHeartbeat` and its neighbours). */

export const machineStatuses = ['active', 'dead', 'not_started'] as const;
export type MachineStatus = (typeof machineStatuses)[number];

export type HeartbeatPolicy = Pick<
  PolicyRules,
  'requireHeartbeat' | 'heartbeatIntervalMinutes' | 'heartbeatBasis' | 'heartbeatResurrectionMinutes'
>;

export interface Pulse {
  activatedAt: Date;
  lastHeartbeatAt: Date | null;
}

export const MINUTE_MS = 60_000;

/**
 * The instant at which the machine is dead unless it beats before; null while its clock has not started, or when
 * nothing was ever recorded and nothing is required.
 */
export function nextHeartbeatAt(pulse: Pulse, policy: HeartbeatPolicy): Date | null {
  const countsFromActivation = policy.requireHeartbeat && policy.heartbeatBasis === 'FROM_ACTIVATION';
  const last = pulse.lastHeartbeatAt ?? (countsFromActivation ? pulse.activatedAt : null);
  return last === null ? null : new Date(last.getTime() + policy.heartbeatIntervalMinutes * MINUTE_MS);
}

/** Without requireHeartbeat nothing dies. With it, a machine that has to beat first is `not_started` until it does. */
export function machineStatus(pulse: Pulse, policy: HeartbeatPolicy, now: Date): MachineStatus {
  if (!policy.requireHeartbeat) return 'active';
  const deadline = nextHeartbeatAt(pulse, policy);
  if (deadline === null) return 'not_started';
  return now < deadline ? 'active' : 'dead';
}

/** Whether a beat at `now` counts: always for the living; for the dead only within the resurrection window. */
export function mayBeat(pulse: Pulse, policy: HeartbeatPolicy, now: Date): boolean {
  if (machineStatus(pulse, policy, now) !== 'dead' || policy.heartbeatResurrectionMinutes === null) return true;
  const diedAt = nextHeartbeatAt(pulse, policy);
  return diedAt !== null && now.getTime() < diedAt.getTime() + policy.heartbeatResurrectionMinutes * MINUTE_MS;
}
