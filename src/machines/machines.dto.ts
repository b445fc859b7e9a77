import { PartialType, PickType } from '@nestjs/swagger';
import { Choice, Email, Id, Integer, MetadataField, Nested, ObjectList, QueryFlag, Text, Timestamp } from '../core/fields.js';
import { PageQuery } from '../core/page.js';
import { ResourceView, resourceFields } from '../core/resource.js';
import type { EnvironmentName } from '../domain/api-key.js';
import {
  type HeartbeatPolicy,
  machineStatus,
  machineStatuses,
  type MachineStatus,
  nextHeartbeatAt,
  type Pulse,
} from '../domain/heartbeat.js';
import { FINGERPRINT, MAX_MACHINE_NAME_LENGTH, type MachinePlatform, machinePlatforms } from '../domain/machine.js';
import type { Metadata } from '../domain/metadata.js';
import type { Machine, MachinePulse } from '../generated/prisma/client.js';

export class MachineComponent {
  @Text({ help: 'What it is, in your own words.', max: 64, example: 'motherboard' })
  kind!: string;

  @Text({ ...FINGERPRINT, help: 'What identifies it.', example: 'MB-0042-7781' })
  fingerprint!: string;
}

export class ActivateMachineBody {
  @Id({
    help: 'The license to activate: for API keys, which must send it. A license key activates its own, whether it names it or not.',
    optional: true,
  })
  licenseId?: string;

  @Text({
    ...FINGERPRINT,
    help: 'What identifies the machine: the same one on the same license is the same seat.',
    example: 'a1b2c3d4e5f6a7b8',
  })
  fingerprint!: string;

  @Text({
    help: 'Name of the machine, for people.',
    max: MAX_MACHINE_NAME_LENGTH,
    optional: true,
    nullable: true,
    default: null,
    example: "Ada's laptop",
  })
  name?: string | null;

  @Choice(machinePlatforms, { help: 'What it runs on.', optional: true, nullable: true, default: null, example: 'macos' })
  platform?: MachinePlatform | null;

  @Text({ help: 'Its host name.', max: 255, optional: true, nullable: true, default: null, example: 'adas-laptop.local' })
  hostname?: string | null;

  @Integer({
    help: 'Its processor cores; counted against `maxCores`.',
    min: 1,
    max: 1_000_000,
    optional: true,
    nullable: true,
    default: null,
    example: 8,
  })
  cores?: number | null;

  @Integer({
    help: 'Its memory in MiB; counted against `maxMemoryMb`.',
    min: 1,
    optional: true,
    nullable: true,
    default: null,
    example: 16384,
  })
  memoryMb?: number | null;

  @Integer({
    help: 'Its disk space in MiB; counted against `maxDiskMb`.',
    min: 1,
    optional: true,
    nullable: true,
    default: null,
    example: 512000,
  })
  diskMb?: number | null;

  @Email({ help: 'Who uses it.', optional: true, nullable: true, default: null })
  userEmail?: string | null;

  @ObjectList(() => MachineComponent, {
    help: "Parts of the machine. A part's fingerprint is active with the machine, and counts in `fingerprintMatching` as its own does; the same one twice is one.",
    maxItems: 20,
    optional: true,
    default: [],
  })
  components?: MachineComponent[];

  @MetadataField({ optional: true, default: {} })
  metadata?: Metadata;

  @Id({
    help: 'A machine of the same license that gives its seat to this one, in one step: also on a full license. With a license key only where the policy has `allowMachineTransfer`. May be repeated: a swap that has happened is not done again.',
    optional: true,
  })
  replaces?: string;
}

export class ActivateMachineQuery {
  @QueryFlag({
    help: 'true = answer what activating would, and change nothing: no seat is taken, nothing is told, and the `id` in the answer is of no machine.',
    optional: true,
    default: false,
    example: true,
  })
  dryRun?: boolean;
}

export class UpdateMachineBody extends PartialType(
  PickType(ActivateMachineBody, ['name', 'platform', 'hostname', 'cores', 'memoryMb', 'diskMb', 'userEmail', 'components', 'metadata']),
  { skipNullProperties: false },
) {}

export class MachineView extends ResourceView {
  @Id({ help: 'The license whose seat it holds.' })
  licenseId!: string;

  @Text({ help: 'What identifies it.', max: 256, example: 'a1b2c3d4e5f6a7b8' })
  fingerprint!: string;

  @Text({ help: 'Its name.', max: 255, nullable: true, example: "Ada's laptop" })
  name!: string | null;

  @Choice(machinePlatforms, { help: 'What it runs on.', nullable: true, example: 'macos' })
  platform!: MachinePlatform | null;

  @Text({ help: 'Its host name.', max: 255, nullable: true, example: null })
  hostname!: string | null;

  @Integer({ help: 'Its processor cores.', nullable: true, example: 8 })
  cores!: number | null;

  @Integer({ help: 'Its memory in MiB.', nullable: true, example: 16384 })
  memoryMb!: number | null;

  @Integer({ help: 'Its disk space in MiB.', nullable: true, example: 512000 })
  diskMb!: number | null;

  @Email({ help: 'Who uses it.', nullable: true })
  userEmail!: string | null;

  @Nested(() => MachineComponent, { help: 'Parts of the machine.', list: true })
  components!: MachineComponent[];

  @Choice(machineStatuses, {
    help: 'Computed now: `dead` without beats where the policy requires them, `not_started` while the first is awaited.',
  })
  status!: MachineStatus;

  @Timestamp({ help: 'Its last beat.', nullable: true, example: null })
  lastHeartbeatAt!: Date | null;

  @Timestamp({
    help: 'By when it is to beat again: where the policy requires beats it is dead from then on. Null = not before its first beat.',
    nullable: true,
    example: null,
  })
  nextHeartbeatAt!: Date | null;

  @Text({ help: 'Address that the activation came from.', max: 45, nullable: true, example: '203.0.113.7' })
  ip!: string | null;
}

export class MachinesQuery extends PageQuery {
  @Id({ help: 'Only machines of this license.', optional: true })
  licenseId?: string;

  @Text({ help: 'Only machines with this fingerprint.', max: 256, optional: true, example: 'a1b2c3d4e5f6a7b8' })
  fingerprint?: string;

  @Choice(machineStatuses, { help: 'Only machines whose status is this now.', optional: true })
  status?: MachineStatus;

  @Choice(machinePlatforms, { help: 'Only machines on this platform.', optional: true, example: 'macos' })
  platform?: MachinePlatform;

  @Text({
    help: 'Only machines whose name, host name or fingerprint contains this, whatever the case.',
    max: 255,
    optional: true,
    example: 'laptop',
  })
  q?: string;
}

/** All that a machine is shown with. */
export const includePolicy = { pulse: true, license: { include: { policy: true, testClock: true } } } as const;

/** A machine with its signs of life. */
export type MachineRow = Machine & { pulse: Pick<MachinePulse, 'activatedAt' | 'lastHeartbeatAt'> | null };

/** What a machine is shown by. */
export type ShownMachine = Omit<MachineRow, 'environmentId' | 'segmentId' | 'deletedAt'>;

/** Those of a machine that is gone are gone too. */
export function pulseOf({ pulse, createdAt }: ShownMachine): Pulse {
  return pulse ?? { activatedAt: createdAt, lastHeartbeatAt: null };
}

export function toMachineView(row: ShownMachine, policy: HeartbeatPolicy, environment: EnvironmentName, now: Date): MachineView {
  const pulse = pulseOf(row);
  return {
    ...resourceFields(row, environment),
    licenseId: row.licenseId,
    fingerprint: row.fingerprint,
    name: row.name,
    platform: row.platform,
    hostname: row.hostname,
    cores: row.cores,
    memoryMb: row.memoryMb,
    diskMb: row.diskMb,
    userEmail: row.userEmail,
    components: row.components as unknown as MachineComponent[],
    status: machineStatus(pulse, policy, now),
    lastHeartbeatAt: pulse.lastHeartbeatAt,
    nextHeartbeatAt: nextHeartbeatAt(pulse, policy),
    ip: row.ip,
  };
}

/** The columns that a body sets directly; absent fields stay. */
export function toMachineColumns(body: UpdateMachineBody) {
  const { name, platform, hostname, cores, memoryMb, diskMb, userEmail, metadata } = body;
  const components = body.components?.map(({ kind, fingerprint }) => ({ kind, fingerprint }));
  return { name, platform, hostname, cores, memoryMb, diskMb, userEmail, components, metadata };
}
