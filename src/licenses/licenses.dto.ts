import { PartialType, PickType } from '@nestjs/swagger';
import { Choice, Email, Id, Integer, MetadataField, Nested, ObjectList, Text, Timestamp, Version } from '../core/fields.js';
import { PageQuery } from '../core/page.js';
import { ResourceView, resourceFields } from '../core/resource.js';
import { EntitlementCodes } from '../entitlements/entitlements.dto.js';
import type { EnvironmentName } from '../domain/api-key.js';
import { type Entitlement, entitlementsInForce } from '../domain/entitlements.js';
import { licenseStatus, licenseStatuses, type LicenseStatus } from '../domain/license-state.js';
import type { Metadata } from '../domain/metadata.js';
import { nextCheckInAt } from '../domain/check-in.js';
import type { License, TestClock } from '../generated/prisma/client.js';
import { includeEntitlementCodes, type PolicyRow } from '../policies/policies.dto.js';

const override = (what: string, min: number): PropertyDecorator =>
  Integer({
    help: `${what} of this license, instead of its policy's; null = the policy's.`,
    min,
    optional: true,
    nullable: true,
    default: null,
    example: null,
  });

/** What a vendor may say about a license at any time. */
class LicenseFields {
  @Text({ help: 'Name of the license, for people.', max: 255, optional: true, nullable: true, default: null, example: 'Workshop PC' })
  name?: string | null;

  @Email({ help: "Its user's address. Never part of a validation answer.", optional: true, nullable: true, default: null })
  userEmail?: string | null;

  @Text({ help: "Its user's name.", max: 255, optional: true, nullable: true, default: null, example: 'Ada Lovelace' })
  userName?: string | null;

  @Timestamp({
    help: 'Before this, validation answers NOT_STARTED; null = from the beginning.',
    optional: true,
    nullable: true,
    default: null,
    example: null,
  })
  startsAt?: Date | null;

  @Timestamp({
    help: "When it ends; null = perpetual. Absent at creation = what the policy's term says.",
    optional: true,
    nullable: true,
    example: '2027-01-15T10:30:00.000Z',
  })
  expiresAt?: Date | null;

  @override('Seats', 1)
  maxMachinesOverride?: number | null;

  @override('Uses', 0)
  maxUsesOverride?: number | null;

  @override('Processor cores', 1)
  maxCoresOverride?: number | null;

  @override('Memory in MiB', 1)
  maxMemoryMbOverride?: number | null;

  @override('Disk space in MiB', 1)
  maxDiskMbOverride?: number | null;

  @override('Process leases', 1)
  maxProcessesOverride?: number | null;

  @Version({
    range: true,
    help: 'Semver range that the software must be in, for validations that send a version; null = any.',
    optional: true,
    nullable: true,
    default: null,
    example: '>=1.0.0 <3.0.0',
  })
  allowedVersions?: string | null;

  @Id({
    help: 'The test clock that decides its time (test environment only); null = real time.',
    optional: true,
    nullable: true,
    default: null,
    example: null,
  })
  testClockId?: string | null;

  @MetadataField({ optional: true, default: {} })
  metadata?: Metadata;
}

export class CreateLicenseBody extends LicenseFields {
  @Id({ help: 'The product that it is for.' })
  productId!: string;

  @Id({ help: 'The policy that it follows: one of the product.' })
  policyId!: string;

  @Text({
    help: "The vendor's own key, unique in the account and compared exactly; it is found only together with its account. Absent = one is generated. It must not look like a generated one.",
    min: 8,
    max: 255,
    pattern: /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/,
    patternHelp: 'must be printable ASCII characters without space around them',
    optional: true,
    example: 'CUSTOMER-4711-GOLD',
  })
  key?: string;

  @EntitlementCodes({ help: "Codes of entitlements of its own, beside the policy's.", optional: true })
  entitlements?: string[];
}

export class BulkLicensesBody {
  @ObjectList(() => CreateLicenseBody, { help: 'The licenses, each as in `POST /licenses`.', minItems: 1, maxItems: 1000 })
  licenses!: CreateLicenseBody[];
}

export class UpdateLicenseBody extends PartialType(
  PickType(CreateLicenseBody, [
    'name',
    'userEmail',
    'userName',
    'startsAt',
    'expiresAt',
    'maxMachinesOverride',
    'maxUsesOverride',
    'maxCoresOverride',
    'maxMemoryMbOverride',
    'maxDiskMbOverride',
    'maxProcessesOverride',
    'allowedVersions',
    'testClockId',
    'metadata',
  ]),
  { skipNullProperties: false },
) {}

export class HeldEntitlementView {
  @Text({ help: 'Its code.', max: 100, example: 'pro' })
  code!: string;

  @Timestamp({ help: 'When it ends; null = as long as the license.', nullable: true, example: null })
  expiresAt!: Date | null;

  @Integer({ help: 'How many; null = not counted.', nullable: true, example: null })
  quantity!: number | null;
}

export class LicenseView extends ResourceView {
  @Id({ help: 'The product that it is for.' })
  productId!: string;

  @Id({ help: 'The policy that it follows.' })
  policyId!: string;

  @Text({
    help: 'The license key; null for a caller without licenses:read, and for a license key that was rotated out.',
    max: 255,
    nullable: true,
    example: 'ACME-7K2M-9XQ4-3VBN-0HTR-5WPC-8DZF',
  })
  key!: string | null;

  @Choice(licenseStatuses, { help: 'Computed now. In its grace period a license is active.' })
  status!: LicenseStatus;

  @Text({ help: 'Name of the license, for people.', max: 255, nullable: true, example: 'Workshop PC' })
  name!: string | null;

  @Email({ help: "Its user's address.", nullable: true })
  userEmail!: string | null;

  @Text({ help: "Its user's name.", max: 255, nullable: true, example: 'Ada Lovelace' })
  userName!: string | null;

  @Timestamp({ help: 'Before this it is not valid.', nullable: true, example: null })
  startsAt!: Date | null;

  @Timestamp({ help: "When it ends; null = perpetual, or its clock has not started (see the policy's `expirationBasis`).", nullable: true })
  expiresAt!: Date | null;

  @Integer({ help: "Seats, instead of the policy's.", nullable: true, example: null })
  maxMachinesOverride!: number | null;

  @Integer({ help: "Uses, instead of the policy's.", nullable: true, example: null })
  maxUsesOverride!: number | null;

  @Integer({ help: "Processor cores, instead of the policy's.", nullable: true, example: null })
  maxCoresOverride!: number | null;

  @Integer({ help: "Memory in MiB, instead of the policy's.", nullable: true, example: null })
  maxMemoryMbOverride!: number | null;

  @Integer({ help: "Disk space in MiB, instead of the policy's.", nullable: true, example: null })
  maxDiskMbOverride!: number | null;

  @Integer({ help: "Process leases, instead of the policy's.", nullable: true, example: null })
  maxProcessesOverride!: number | null;

  @Text({ help: 'Semver range of the software.', max: 255, nullable: true, example: null })
  allowedVersions!: string | null;

  @Id({ help: 'Its test clock.', nullable: true, example: null })
  testClockId!: string | null;

  @Integer({ help: 'Uses counted so far.', example: 0 })
  usesCount!: number;

  @Integer({ help: 'Active machines: seats in use.', example: 1 })
  machineCount!: number;

  @Nested(() => HeldEntitlementView, { help: "In force now: the policy's and its own.", list: true })
  entitlements!: HeldEntitlementView[];

  @Timestamp({ help: 'When it was last validated; kept to the minute.', nullable: true })
  lastValidatedAt!: Date | null;

  @Timestamp({ help: 'When it last checked in.', nullable: true, example: null })
  lastCheckInAt!: Date | null;

  @Timestamp({ help: 'When its next check-in is due; null = none is required.', nullable: true, example: null })
  nextCheckInAt!: Date | null;

  @Timestamp({ help: 'When it was first found valid.', nullable: true })
  firstValidatedAt!: Date | null;

  @Timestamp({ help: 'When its first machine was activated.', nullable: true })
  firstActivatedAt!: Date | null;
}

const sortFields = ['createdAt', 'expiresAt', 'lastValidatedAt'];

export class LicensesQuery extends PageQuery {
  @Choice(licenseStatuses, { help: 'Only licenses whose status is this now.', optional: true })
  status?: LicenseStatus;

  @Id({ help: 'Only licenses of this product.', optional: true })
  productId?: string;

  @Id({ help: 'Only licenses of this policy.', optional: true })
  policyId?: string;

  @Text({ help: "Only licenses of this user's address, whatever its case.", max: 254, optional: true, example: 'ada@example.com' })
  userEmail?: string;

  @Text({ help: 'Only the license with this key.', max: 300, optional: true, example: 'ACME-7K2M-9XQ4-3VBN-0HTR-5WPC-8DZF' })
  key?: string;

  @Text({
    help: 'Only licenses that have this entitlement attached, to themselves or to their policy.',
    max: 100,
    optional: true,
    example: 'pro',
  })
  entitlement?: string;

  @Timestamp({ help: 'Only licenses that end before this.', optional: true })
  expiresBefore?: Date;

  @Timestamp({ help: 'Only licenses that end at this time or later.', optional: true })
  expiresAfter?: Date;

  @MetadataField({
    help: 'Only licenses with this metadata, as `metadata[key]=value`; several must all hold.',
    optional: true,
    example: { orderId: 'A-1042' },
  })
  metadata?: Record<string, string>;

  @Text({
    help: "Only licenses whose name, user's name or address contains this, whatever the case.",
    max: 255,
    optional: true,
    example: 'ada',
  })
  q?: string;

  @Choice(sortFields.flatMap((field) => [field, `-${field}`]), {
    help: 'Order; `-` = newest or latest first. Licenses without the time come last.',
    optional: true,
    default: '-createdAt',
    example: '-createdAt',
  })
  sort?: string;
}

/** What a license is judged and shown with. */
export const includeForView = {
  policy: { include: includeEntitlementCodes },
  testClock: true,
  entitlements: { select: { expiresAt: true, quantity: true, entitlement: { select: { code: true } } } },
} as const;

export type LicenseRow = License & {
  policy: PolicyRow;
  testClock: TestClock | null;
  entitlements: { expiresAt: Date | null; quantity: number | null; entitlement: { code: string } }[];
};

export function toLicenseView(row: LicenseRow, environment: EnvironmentName, key: string | null, now: Date): LicenseView {
  const inherited = row.policy.entitlements.map(({ entitlement }) => entitlement.code);
  return {
    ...resourceFields(row, environment),
    productId: row.productId,
    policyId: row.policyId,
    key,
    status: licenseStatus(row, row.policy, now),
    name: row.name,
    userEmail: row.userEmail,
    userName: row.userName,
    startsAt: row.startsAt,
    expiresAt: row.expiresAt,
    maxMachinesOverride: row.maxMachinesOverride,
    maxUsesOverride: row.maxUsesOverride,
    maxCoresOverride: row.maxCoresOverride,
    maxMemoryMbOverride: row.maxMemoryMbOverride,
    maxDiskMbOverride: row.maxDiskMbOverride,
    maxProcessesOverride: row.maxProcessesOverride,
    allowedVersions: row.allowedVersions,
    testClockId: row.testClockId,
    usesCount: row.usesCount,
    machineCount: row.machineCount,
    entitlements: entitlementsInForce(inherited, ownEntitlements(row), now),
    lastValidatedAt: row.lastValidatedAt,
    lastCheckInAt: row.lastCheckInAt,
    nextCheckInAt: nextCheckInAt(row, row.policy),
    firstValidatedAt: row.firstValidatedAt,
    firstActivatedAt: row.firstActivatedAt,
  };
}

/** Those attached to the license itself. */
export function ownEntitlements(row: LicenseRow): Entitlement[] {
  return row.entitlements.map(({ entitlement, expiresAt, quantity }) => ({ code: entitlement.code, expiresAt, quantity }));
}

/**
 * What the audit log keeps of a license: the view without the key, and what stands behind it – a banned license that is
 * suspended too looks the same, and so does one whose clock no longer waits.
 */
export function toLicenseEntry(row: LicenseRow, environment: EnvironmentName, now: Date): object {
  const { suspendedAt, bannedAt, revokedAt, termAnchorAt, clockPending } = row;
  return { ...toLicenseView(row, environment, null, now), suspendedAt, bannedAt, revokedAt, termAnchorAt, clockPending };
}

/** The columns that a body sets directly; absent fields stay. */
export function toLicenseColumns(body: LicenseFields) {
  return {
    name: body.name,
    userEmail: body.userEmail,
    userName: body.userName,
    startsAt: body.startsAt,
    maxMachinesOverride: body.maxMachinesOverride,
    maxUsesOverride: body.maxUsesOverride,
    maxCoresOverride: body.maxCoresOverride,
    maxMemoryMbOverride: body.maxMemoryMbOverride,
    maxDiskMbOverride: body.maxDiskMbOverride,
    maxProcessesOverride: body.maxProcessesOverride,
    allowedVersions: body.allowedVersions,
    testClockId: body.testClockId,
    metadata: body.metadata,
  };
}
