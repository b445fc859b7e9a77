import { Id, MetadataField, Text, Timestamp } from '../core/fields.js';
import { PageQuery } from '../core/page.js';
import { ResourceView, resourceFields } from '../core/resource.js';
import type { EnvironmentName } from '../domain/api-key.js';
import type { Metadata } from '../domain/metadata.js';
import { leaseEndsAt, type LeasePolicy } from '../domain/processes.js';
import type { MachineProcess } from '../generated/prisma/client.js';

/** What the name of a process is, in a body and in the path: there clients take dots alone for steps along it, and would ask for the machine. */
export const PID = { max: 64, pattern: /^(?!\.{1,2}$)\P{Cc}+$/u, patternHelp: 'must have no control characters, and be neither . nor ..' };

export class StartProcessBody {
  @Text({
    ...PID,
    help: 'What the machine calls the process: the same one on the same machine, while its lease is in force, is the same lease.',
    example: '4242',
  })
  pid!: string;

  @MetadataField({ optional: true, default: {} })
  metadata?: Metadata;
}

export class ProcessesQuery extends PageQuery {}

export class ProcessView extends ResourceView {
  @Id({ help: 'The machine that it runs on.' })
  machineId!: string;

  @Id({ help: 'The license of that machine.' })
  licenseId!: string;

  @Text({ ...PID, help: 'What the machine calls the process.', example: '4242' })
  pid!: string;

  @Timestamp({ help: 'Its last beat; its start is the first.' })
  lastHeartbeatAt!: Date;

  @Timestamp({ help: 'When the lease ends unless the process beats before: two heartbeat intervals of the policy after its last beat.' })
  nextHeartbeatAt!: Date;
}

/** What a lease is shown by. */
export type ProcessRow = Pick<MachineProcess, 'id' | 'licenseId' | 'machineId' | 'pid' | 'lastHeartbeatAt' | 'metadata' | 'createdAt'>;

export function toProcessView(row: ProcessRow, policy: LeasePolicy, environment: EnvironmentName): ProcessView {
  return {
    // Nobody changes a lease: a beat is none, here as of a machine.
    ...resourceFields({ ...row, updatedAt: row.createdAt }, environment),
    machineId: row.machineId,
    licenseId: row.licenseId,
    pid: row.pid,
    lastHeartbeatAt: row.lastHeartbeatAt,
    nextHeartbeatAt: leaseEndsAt(row.lastHeartbeatAt, policy),
  };
}
