import { type Change, recordChanges } from '../core/audit.js';
import type { Db } from '../core/database.js';
import type { EnvironmentName } from '../domain/api-key.js';
import { due, type DueMachine, type DuePolicy, type Happening, machinesDue, type Span } from '../domain/due.js';
import { licenseStatus } from '../domain/license-state.js';
import { totalsWith } from '../domain/seats.js';
import type { MachinePulse, TestClock } from '../generated/prisma/client.js';
import { type MachineRow, pulseOf, toMachineView } from '../machines/machines.dto.js';
import { totalsOf } from '../machines/machines.query.js';
import { type LicenseRow, toLicenseEntry } from './licenses.dto.js';

/** How many are written at once: few enough that making their JSON holds up nobody for long. */
const RECORDED_AT_ONCE = 200;

/** Something that fell due for a license, and how the records tell it. */
export interface Due {
  licenseId: string;
  happening: Happening;
  change: Change;
}

/** A machine with its signs of life, and what was said of them. */
export type WatchedMachine = MachineRow & { pulse: MachinePulse | null };

/** What a license is when things fall due: its row, and those of its machines where they are looked at. */
export interface DueFor {
  license: LicenseRow;
  machines: WatchedMachine[];
  environment: EnvironmentName;
}

export function byLicense(machines: readonly WatchedMachine[]): Map<string, WatchedMachine[]> {
  const groups = new Map<string, WatchedMachine[]>();
  for (const machine of machines) {
    const others = groups.get(machine.licenseId);
    if (others === undefined) groups.set(machine.licenseId, [machine]);
    else others.push(machine);
  }
  return groups;
}

/** All that falls due for a license, in order, each told as the license and its machines are at that instant. */
export function dueFor({ license, machines, environment }: DueFor, span: Span, noticeDays: number): Due[] {
  const byId = new Map(machines.map((machine) => [machine.id, machine]));
  let totals = totalsOf(license);
  return due(license, machines.map(toDueMachine), license.policy, span, noticeDays).map((happening) => {
    const machine = 'machineId' in happening ? byId.get(happening.machineId) : undefined;
    if (machine === undefined) {
      const { machineCount } = totals;
      return { licenseId: license.id, happening, change: licenseChange({ ...license, machineCount }, happening, environment) };
    }
    if (happening.type === 'machine.deactivated') totals = totalsWith(totals, machine, -1);
    return { licenseId: license.id, happening, change: machineChange(license, machine, happening, environment) };
  });
}

/** Whose machines are looked at alone: what that takes of a license. */
export interface MachineHolder {
  id: string;
  policy: DuePolicy;
  testClock: TestClock | null;
}

/** The same of a license's machines alone. */
export function machinesDueFor(
  license: MachineHolder,
  machines: readonly WatchedMachine[],
  environment: EnvironmentName,
  span: Span,
): Due[] {
  const byId = new Map(machines.map((machine) => [machine.id, machine]));
  return machinesDue(machines.map(toDueMachine), license.policy, span).flatMap((happening) => {
    const machine = byId.get(happening.machineId);
    return machine === undefined
      ? []
      : [{ licenseId: license.id, happening, change: machineChange(license, machine, happening, environment) }];
  });
}

function toDueMachine(machine: WatchedMachine): DueMachine {
  return { id: machine.id, ...pulseOf(machine), deathAnnounced: machine.pulse?.deathAnnounced ?? false };
}

function licenseChange(license: LicenseRow, { type, at }: Happening, environment: EnvironmentName): Change {
  const after = toLicenseEntry(license, environment, at);
  const about = { action: type, resource: resourceOf('license', license), occurredAt: occurredAt(license, at), after };
  if (type === 'license.expiring' || license.expiresAt === null) return about;
  const justBefore = new Date(license.expiresAt.getTime() - 1);
  return { ...about, before: { ...after, status: licenseStatus(license, license.policy, justBefore) } };
}

function machineChange(license: MachineHolder, machine: WatchedMachine, { type, at }: Happening, environment: EnvironmentName): Change {
  const view = toMachineView(machine, license.policy, environment, at);
  const about = { action: type, resource: resourceOf('machine', machine), licenseId: license.id, occurredAt: occurredAt(license, at) };
  return type === 'machine.dead' ? { ...about, before: { ...view, status: 'active' }, after: view } : { ...about, before: view };
}

function resourceOf(type: string, { id, segmentId }: { id: string; segmentId: string | null }): Change['resource'] {
  return { type, id, segmentId };
}

/** In real time what happens is told when it is written. */
function occurredAt({ testClock }: MachineHolder, at: Date): Date | undefined {
  return testClock === null ? undefined : at;
}

/**
 * Mark what is announced and record it, in the order given. The caller holds the licenses, and their machines. Only the
 * removal of machines is left to it, which comes before: what is marked of a machine goes with it.
 */
export async function announce(db: Db, all: readonly Due[]): Promise<void> {
  const licenses = (type: Happening['type']): string[] =>
    all.filter(({ happening }) => happening.type === type).map(({ licenseId }) => licenseId);
  const machines = (type: Happening['type']): string[] =>
    all.flatMap(({ happening }) => (happening.type === type && 'machineId' in happening ? [happening.machineId] : []));
  const [expiring, expired, removed] = [
    licenses('license.expiring'),
    licenses('license.expired'),
    new Set(machines('machine.deactivated')),
  ];
  const dead = machines('machine.dead').filter((id) => !removed.has(id));
  if (expiring.length > 0) await db.$executeRaw`UPDATE license SET expiring_announced_for = expires_at WHERE id = ANY(${expiring}::uuid[])`;
  if (expired.length > 0) await db.$executeRaw`UPDATE license SET expired_announced_for = expires_at WHERE id = ANY(${expired}::uuid[])`;
  if (dead.length > 0)
    await db.$executeRaw`
      UPDATE machine_pulse SET death_announced = true
       WHERE environment_id = current_setting('app.environment_id')::uuid AND machine_id = ANY(${dead}::uuid[])`;
  for (let from = 0; from < all.length; from += RECORDED_AT_ONCE) {
    await recordChanges(
      db,
      all.slice(from, from + RECORDED_AT_ONCE).map(({ change }) => change),
    );
  }
}
