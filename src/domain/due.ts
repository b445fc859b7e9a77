import { DAY_MS, type ExpiryPolicy } from './expiry.js';
import { type HeartbeatPolicy, MINUTE_MS, nextHeartbeatAt, type Pulse } from './heartbeat.js';
import { licenseStatus, type LicenseStateFacts } from './license-state.js';
import type { PolicyRules } from './policy.js';

/**
 * What falls due for a license as time passes, whoever makes it pass (contract: resources.md, "Test clocks" and the
 * sweeper of machines; webhooks.md: `license.expiring`, `license.expired`, `machine.dead`, `machine.deactivated`).
 * What was announced is marked on the license and its machines, so that nothing is announced twice and nothing that
 * fell due while nobody looked is lost.
 */

export type Happening = { type: 'license.expiring' | 'license.expired' | 'license.revoked'; at: Date } | MachineHappening;

export interface MachineHappening {
  type: 'machine.dead' | 'machine.deactivated';
  at: Date;
  machineId: string;
}

export interface DueLicense extends LicenseStateFacts {
  /** The expiry whose coming, and whose passing, was announced. */
  expiringAnnouncedFor: Date | null;
  expiredAnnouncedFor: Date | null;
}

export interface DueMachine extends Pulse {
  id: string;
  /** Whether its death after its last sign of life was announced. */
  deathAnnounced: boolean;
}

export type DuePolicy = ExpiryPolicy & HeartbeatPolicy & Pick<PolicyRules, 'heartbeatCullStrategy'>;

/** From the moment at which somebody last looked, up to and with the present one. */
export interface Span {
  from: Date;
  to: Date;
}

/** At the same instant: a death before the removal that it leads to, and the license's own end last. */
const ORDER = ['license.expiring', 'machine.dead', 'machine.deactivated', 'license.expired', 'license.revoked'];

/**
 * What is due by `span.to` and not announced yet, in the order in which it happens. What was due before `span.from`
 * happens at `span.from`: it came to be due behind time's back, by a change of the license, its policy or its clock.
 * The license's state and its machines' pulses stand still meanwhile: only requests change them.
 */
export function due(license: DueLicense, machines: readonly DueMachine[], policy: DuePolicy, span: Span, noticeDays: number): Happening[] {
  return [
    ...expiringDue(license, policy, span, noticeDays),
    ...expiredDue(license, policy, span),
    ...machines.flatMap((machine) => machineDue(machine, policy, span)),
  ].sort(byTime);
}

/** The same of machines alone, which share a policy. */
export function machinesDue(machines: readonly DueMachine[], policy: DuePolicy, span: Span): MachineHappening[] {
  return machines.flatMap((machine) => machineDue(machine, policy, span)).sort(byTime);
}

/** Notice is given of what is in force, from `noticeDays` before its expiry on; of a shorter term at once. */
function expiringDue(license: DueLicense, policy: DuePolicy, { from, to }: Span, noticeDays: number): Happening[] {
  const { expiresAt, expiringAnnouncedFor } = license;
  if (expiresAt === null || isSame(expiresAt, expiringAnnouncedFor)) return [];
  const at = later(plus(expiresAt, -noticeDays * DAY_MS), from);
  if (at > to || at >= expiresAt || licenseStatus(license, policy, at) !== 'active') return [];
  return [{ type: 'license.expiring', at }];
}

/**
 * When its grace has passed, if that changes its status: to `expired`, or under REVOKE to `revoked`. A banned or
 * suspended license stays what it is; when that is lifted, it expires then.
 */
function expiredDue(license: DueLicense, policy: DuePolicy, { from, to }: Span): Happening[] {
  const { expiresAt, expiredAnnouncedFor } = license;
  if (expiresAt === null || license.revokedAt !== null || isSame(expiresAt, expiredAnnouncedFor)) return [];
  const at = later(plus(expiresAt, policy.gracePeriodDays * DAY_MS), from);
  if (at > to) return [];
  switch (licenseStatus(license, policy, at)) {
    case 'expired':
      return [{ type: 'license.expired', at }];
    case 'revoked':
      return [
        { type: 'license.expired', at },
        { type: 'license.revoked', at },
      ];
    default:
      return [];
  }
}

/** Death, once for each; and removal, under DEACTIVATE_DEAD, when no beat could bring it back any more. */
function machineDue(machine: DueMachine, policy: DuePolicy, { from, to }: Span): MachineHappening[] {
  const diesAt = policy.requireHeartbeat ? nextHeartbeatAt(machine, policy) : null;
  if (diesAt === null || diesAt > to) return [];
  const machineId = machine.id;
  const happenings: MachineHappening[] = [];
  if (!machine.deathAnnounced) happenings.push({ type: 'machine.dead', at: later(diesAt, from), machineId });
  const { heartbeatCullStrategy, heartbeatResurrectionMinutes } = policy;
  if (heartbeatCullStrategy === 'DEACTIVATE_DEAD' && heartbeatResurrectionMinutes !== null) {
    const at = later(plus(diesAt, heartbeatResurrectionMinutes * MINUTE_MS), from);
    if (at <= to) happenings.push({ type: 'machine.deactivated', at, machineId });
  }
  return happenings;
}

function byTime(one: Happening, other: Happening): number {
  return (
    one.at.getTime() - other.at.getTime() ||
    ORDER.indexOf(one.type) - ORDER.indexOf(other.type) ||
    compare(machineOf(one), machineOf(other))
  );
}

function machineOf(happening: Happening): string {
  return 'machineId' in happening ? happening.machineId : '';
}

function compare(one: string, other: string): number {
  return one < other ? -1 : Number(one > other);
}

function isSame(one: Date, other: Date | null): boolean {
  return one.getTime() === other?.getTime();
}

function later(one: Date, other: Date): Date {
  return one > other ? one : other;
}

function plus(time: Date, milliseconds: number): Date {
  return new Date(time.getTime() + milliseconds);
}
