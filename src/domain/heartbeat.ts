import { LatchkeyError } from './errors.js';
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

/** What a beat does: keeps a machine alive or starts its clock, brings a dead one back, or nothing because it is too late. */
export type BeatVerdict = 'beats' | 'resurrects' | 'too_late';

/** A dead machine comes back while less than the resurrection window has passed since its death; null = always. */
export function judgeBeat(pulse: Pulse, policy: HeartbeatPolicy, now: Date): BeatVerdict {
  if (machineStatus(pulse, policy, now) !== 'dead') return 'beats';
  const { heartbeatResurrectionMinutes } = policy;
  if (heartbeatResurrectionMinutes === null) return 'resurrects';
  const diedAt = nextHeartbeatAt(pulse, policy);
  return diedAt !== null && now.getTime() < diedAt.getTime() + heartbeatResurrectionMinutes * MINUTE_MS ? 'resurrects' : 'too_late';
}

/** The pulse after a beat at `at` that counts. Never backwards: beats may arrive twice, and out of order. */
export function beaten(pulse: Pulse, at: Date): Pulse {
  const { lastHeartbeatAt } = pulse;
  return { ...pulse, lastHeartbeatAt: lastHeartbeatAt !== null && lastHeartbeatAt > at ? lastHeartbeatAt : at };
}

/** 422 for what only a living machine may do. */
export function machineDead(): LatchkeyError {
  return new LatchkeyError(
    'MACHINE_DEAD',
    'The machine is dead: its heartbeat stayed away for too long. To use it again, deactivate it and activate it anew.',
  );
}
