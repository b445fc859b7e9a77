import { OmitType } from '@nestjs/swagger';
import { Choice, Flag, Id, Integer, Nested, ObjectList, QueryFlag, Text, Timestamp } from '../core/fields.js';
import { EntitlementCode } from '../entitlements/entitlements.dto.js';
import type { Issue } from '../domain/errors.js';
import { licenseStatuses, type LicenseStatus } from '../domain/license-state.js';
import { ActivateMachineBody } from '../machines/machines.dto.js';
import type { NewLicense } from './creation.plan.js';
import { CreateLicenseBody, toLicenseColumns } from './licenses.dto.js';

const time = (help: string): PropertyDecorator => Timestamp({ help, optional: true, nullable: true, default: null, example: null });

export class ImportedEntitlement {
  @EntitlementCode({ help: 'Its code.' })
  code!: string;

  @Timestamp({ help: 'When it ends; null = as long as the license.', optional: true, nullable: true, default: null, example: null })
  expiresAt?: Date | null;

  @Integer({ help: 'How many, where the vendor counts; null = not counted.', optional: true, nullable: true, default: null, example: null })
  quantity?: number | null;
}

export class ImportedMachine extends OmitType(ActivateMachineBody, ['licenseId', 'replaces']) {
  @Timestamp({ help: 'When it was activated; absent = now.', optional: true })
  createdAt?: Date;

  @time('Its last beat.')
  lastHeartbeatAt?: Date | null;

  @Text({ help: 'Address that the activation came from.', max: 45, optional: true, nullable: true, default: null, example: '203.0.113.7' })
  ip?: string | null;
}

/** A line of an import, and of an export. */
export class ImportedLicense extends OmitType(CreateLicenseBody, ['entitlements']) {
  @Id({ help: 'Which it was where it was exported; an imported license gets an id of its own.', optional: true })
  id?: string;

  @ObjectList(() => ImportedEntitlement, {
    help: "Entitlements of its own, beside the policy's; a code alone may be a text.",
    maxItems: 100,
    optional: true,
    default: [],
  })
  entitlements?: ImportedEntitlement[];

  @Choice(licenseStatuses, {
    help: 'What it is to be. What is suspended, banned or revoked without a time is so from now on; a status that its times contradict is refused. Absent = whatever follows from its times.',
    optional: true,
  })
  status?: LicenseStatus;

  @ObjectList(() => ImportedMachine, {
    help: 'Its active machines, whatever its limits: needs the scope machines:write. A fingerprint alone may be a text.',
    maxItems: 1000,
    optional: true,
    default: [],
  })
  machines?: ImportedMachine[];

  @Integer({ help: 'Uses counted so far.', optional: true, default: 0, example: 0 })
  usesCount?: number;

  @Timestamp({ help: 'When it was created; a term that the policy counts from creation begins then. Absent = now.', optional: true })
  createdAt?: Date;

  @time('When it was first found valid.')
  firstValidatedAt?: Date | null;

  @Timestamp({
    help: "When its first machine was activated; absent = the first of its machines' times.",
    optional: true,
    nullable: true,
    example: null,
  })
  firstActivatedAt?: Date | null;

  @time('When it was last validated.')
  lastValidatedAt?: Date | null;

  @time('When it last checked in.')
  lastCheckInAt?: Date | null;

  @Timestamp({
    help: 'Where its term began: renewals in calendar months keep its day. Absent = at `expiresAt`, or as the policy counts.',
    optional: true,
    nullable: true,
    example: null,
  })
  termAnchorAt?: Date | null;

  @Flag({
    help: 'Whether its term waits for the event of the policy; it then has no `expiresAt`.',
    optional: true,
    default: false,
    example: false,
  })
  clockPending?: boolean;

  @time('Since when it is suspended.')
  suspendedAt?: Date | null;

  @time('Since when it is banned.')
  bannedAt?: Date | null;

  @time('Since when it is revoked.')
  revokedAt?: Date | null;
}

export class ImportQuery {
  @QueryFlag({ help: 'true = decide about every row, and change nothing.', optional: true, default: false, example: true })
  dryRun?: boolean;
}

export const importOutcomes = ['created', 'failed'] as const;

export class ImportIssue {
  @Text({ help: 'The field, as a client would write it; empty = the row as a whole.', max: 1000, example: 'policyId' })
  path!: string;

  @Text({ help: 'What is wrong with it.', max: 1000, example: 'No such policy.' })
  message!: string;
}

export class ImportedRow {
  @Integer({ help: 'Which row of data, from 1: neither the header nor blank lines count.', min: 1, example: 1 })
  row!: number;

  @Choice(importOutcomes, { help: 'What became of it; in a dry run, what would.' })
  outcome!: (typeof importOutcomes)[number];

  @Id({ help: 'The new license; not in a dry run.', optional: true })
  licenseId?: string;

  @Nested(() => ImportIssue, { help: 'Why it failed; at most 5.', list: true, optional: true })
  issues?: Issue[];
}

export class ImportReport {
  @Integer({ help: 'Rows that became a license; in a dry run, that would.', example: 1 })
  created!: number;

  @Integer({ help: 'Rows that did not.', example: 0 })
  failed!: number;

  @Nested(() => ImportedRow, { help: 'Every row, in order.', list: true })
  rows!: ImportedRow[];
}

/** @throws nothing: what contradicts itself is in the issues */
export function toNewLicense(row: ImportedLicense): NewLicense {
  const { productId, policyId, key, expiresAt, entitlements } = row;
  return { ...toLicenseColumns(row), productId, policyId, key, expiresAt, entitlements, past: row };
}

/** What the fields of a row say of each other. */
export function contradictionsIn(row: ImportedLicense, mayActivate: boolean): Issue[] {
  const issues: Issue[] = [];
  const machines = row.machines ?? [];
  if (row.clockPending === true && (row.expiresAt ?? null) !== null)
    issues.push({ path: 'expiresAt', message: 'must be null or absent with clockPending' });
  if (machines.length > 0 && !mayActivate) issues.push({ path: 'machines', message: 'need the scope machines:write' });
  issues.push(...repeated('machines', machines, ({ fingerprint }) => fingerprint, 'fingerprint'));
  issues.push(...repeated('entitlements', row.entitlements ?? [], ({ code }) => code, 'code'));
  return issues;
}

function repeated<Item>(field: string, items: readonly Item[], nameOf: (item: Item) => string, part: string): Issue[] {
  const seen = new Set<string>();
  return items.flatMap((item, index) => {
    const isRepeated = seen.has(nameOf(item));
    seen.add(nameOf(item));
    return isRepeated ? [{ path: `${field}[${String(index)}].${part}`, message: 'is there twice' }] : [];
  });
}
