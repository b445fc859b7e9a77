import { IntersectionType, PartialType } from '@nestjs/swagger';
import { Choice, ChoiceList, Flag, Id, Integer, MetadataField, Text, TextList } from '../core/fields.js';
import { PageQuery } from '../core/page.js';
import { ResourceView, resourceFields } from '../core/resource.js';
import type { EnvironmentName } from '../domain/api-key.js';
import type { Metadata } from '../domain/metadata.js';
import * as policy from '../domain/policy.js';
import type { Policy } from '../generated/prisma/client.js';

const YEARS_100_DAYS = 36_500;
const YEAR_MINUTES = 527_040;

/** The rules, described once for bodies and views. */
export class PolicyFields {
  @Integer({
    help: 'Length of a term in days of exactly 86,400 s; null = perpetual.',
    min: 1,
    max: YEARS_100_DAYS,
    optional: true,
    nullable: true,
    default: null,
    example: 365,
  })
  durationDays?: number | null;

  @Integer({
    help: 'Length of a term in calendar months, instead of days; clamped at month ends (31 Jan + 1 = 28 Feb), from the original day (then 31 Mar).',
    min: 1,
    max: 1200,
    optional: true,
    nullable: true,
    default: null,
    example: null,
  })
  durationCalendarMonths?: number | null;

  @Choice(policy.expirationStrategies, {
    help: 'After expiry: invalid; valid with code EXPIRED; or revoked for good.',
    optional: true,
    default: 'RESTRICT_ACCESS',
  })
  expirationStrategy?: policy.ExpirationStrategy;

  @Choice(policy.expirationBases, {
    help: "When a license's clock starts. A failed validation never starts it; the first use is the first counted one.",
    optional: true,
    default: 'FROM_CREATION',
  })
  expirationBasis?: policy.ExpirationBasis;

  @Choice(policy.renewalBases, { help: 'What `renew` adds the term to.', optional: true, default: 'FROM_EXPIRY' })
  renewalBasis?: policy.RenewalBasis;

  @Choice(policy.transferStrategies, {
    help: 'What happens to the expiry when a license moves to this policy.',
    optional: true,
    default: 'KEEP_EXPIRY',
  })
  transferStrategy?: policy.TransferStrategy;

  @Integer({
    help: 'Days after expiry in which the license stays valid, with code IN_GRACE_PERIOD. Not together with REVOKE.',
    max: YEARS_100_DAYS,
    optional: true,
    default: 0,
    example: 7,
  })
  gracePeriodDays?: number;

  @Flag({ help: 'Whether licenses are trials.', optional: true, default: false, example: false })
  isTrial?: boolean;

  @Integer({
    help: "Length of a trial's term in days; null = `durationDays`.",
    min: 1,
    max: YEARS_100_DAYS,
    optional: true,
    nullable: true,
    default: null,
    example: null,
  })
  trialDurationDays?: number | null;

  @Integer({
    help: 'Seats. null = no limit, and needs `allowUnlimitedActivations` in the same request.',
    min: 1,
    optional: true,
    nullable: true,
    default: 1,
    example: 2,
  })
  maxMachines?: number | null;

  @Integer({ help: 'How far the usage counter may go; null = no limit.', optional: true, nullable: true, default: null, example: null })
  maxUses?: number | null;

  @Integer({
    help: "Processor cores, summed over a license's machines; null = no limit.",
    min: 1,
    optional: true,
    nullable: true,
    default: null,
    example: null,
  })
  maxCores?: number | null;

  @Integer({
    help: "Memory in MiB, summed over a license's machines; null = no limit.",
    min: 1,
    optional: true,
    nullable: true,
    default: null,
    example: null,
  })
  maxMemoryMb?: number | null;

  @Integer({
    help: "Disk space in MiB, summed over a license's machines; null = no limit.",
    min: 1,
    optional: true,
    nullable: true,
    default: null,
    example: null,
  })
  maxDiskMb?: number | null;

  @Integer({
    help: 'Process leases in force at once, counted as `leasingStrategy` says; null = no limit.',
    min: 1,
    optional: true,
    nullable: true,
    default: null,
    example: null,
  })
  maxProcesses?: number | null;

  @Choice(policy.overageStrategies, {
    help: 'How far limits may be passed, uses aside: the effective limit is floor(max × factor). Validation warns about what is over.',
    optional: true,
    default: 'NO_OVERAGE',
  })
  overageStrategy?: policy.OverageStrategy;

  @Flag({
    help: 'Whether seats are leases that the next activation takes over from dead machines, the longest dead first.',
    optional: true,
    default: false,
    example: false,
  })
  floating?: boolean;

  @Choice(policy.leasingStrategies, {
    help: 'What a process limit counts over. Per user: over the machines with the same `userEmail`, whatever its case; those without one count as one user.',
    optional: true,
    default: 'PER_LICENSE',
  })
  leasingStrategy?: policy.LeasingStrategy;

  @Flag({ help: 'Whether validation must name an activated fingerprint.', optional: true, default: true, example: true })
  requireFingerprint?: boolean;

  @Choice(policy.fingerprintUniquenesses, {
    help: 'Where a fingerprint may be active only once; PER_ACCOUNT = in the environment. Judged when a machine is activated; what is active stays.',
    optional: true,
    default: 'PER_LICENSE',
  })
  fingerprintUniqueness?: policy.FingerprintUniqueness;

  @Choice(policy.fingerprintMatchings, {
    help: "How many of the fingerprints sent to validation must be active, a machine's own or its components': one, two (or all of fewer), half or more, all. With `requireHeartbeat` as many must belong to living machines.",
    optional: true,
    default: 'ANY',
  })
  fingerprintMatching?: policy.FingerprintMatching;

  @Flag({ help: 'Whether machines die without beats, also of a suspended license.', optional: true, default: false, example: false })
  requireHeartbeat?: boolean;

  @Integer({
    help: 'Minutes after its last beat at which a machine is dead; a process lease ends after twice as long.',
    min: 1,
    max: YEAR_MINUTES,
    optional: true,
    default: 60,
    example: 60,
  })
  heartbeatIntervalMinutes?: number;

  @Choice(policy.heartbeatBases, {
    help: 'Whether the activation counts as the first beat, or a machine is `not_started` until it beats.',
    optional: true,
    default: 'FROM_ACTIVATION',
  })
  heartbeatBasis?: policy.HeartbeatBasis;

  @Choice(policy.heartbeatCullStrategies, {
    help: 'What becomes of dead machines when no beat could revive them: they give their seats back within a minute, or keep them.',
    optional: true,
    default: 'DEACTIVATE_DEAD',
  })
  heartbeatCullStrategy?: policy.HeartbeatCullStrategy;

  @Integer({
    help: 'Minutes after its death in which a beat revives a machine; null = always (needs KEEP_DEAD).',
    max: YEAR_MINUTES,
    optional: true,
    nullable: true,
    default: 0,
    example: 0,
  })
  heartbeatResurrectionMinutes?: number | null;

  @Flag({ help: 'Whether the license must check in regularly to stay valid.', optional: true, default: false, example: false })
  requireCheckIn?: boolean;

  @Integer({
    help: 'Days between check-ins; required with `requireCheckIn`.',
    min: 1,
    max: YEARS_100_DAYS,
    optional: true,
    nullable: true,
    default: null,
    example: null,
  })
  checkInIntervalDays?: number | null;

  @Flag({
    help: "Whether the license's holder may put one machine in the place of another.",
    optional: true,
    default: false,
    example: false,
  })
  allowMachineTransfer?: boolean;

  @Flag({ help: 'Whether license and machine files may be made.', optional: true, default: true, example: true })
  offlineAllowed?: boolean;

  @Integer({
    help: 'How many days such a file lasts at most.',
    min: 1,
    max: YEARS_100_DAYS,
    optional: true,
    default: 14,
    example: 14,
  })
  offlineMaxDays?: number;

  @ChoiceList(policy.requirableScopes, {
    help: 'What validation requests must send.',
    optional: true,
    default: [],
    example: ['fingerprint'],
  })
  requiredScopes?: policy.RequirableScope[];

  @Choice(policy.policyAuthentications, { help: 'Who may activate machines.', optional: true, default: 'BOTH', example: 'BOTH' })
  authentication?: policy.PolicyAuthentication;
}

/** A partial policy: what it would do to validation is asked before it is done. */
export class PreviewPolicyBody extends PolicyFields {
  @Flag({
    help: 'Must be true in the same request that sets `maxMachines` to null. Not stored.',
    optional: true,
    default: false,
    example: false,
  })
  allowUnlimitedActivations?: boolean;
}

class PolicyOptions extends PreviewPolicyBody {
  @MetadataField({ optional: true, default: {} })
  metadata?: Metadata;
}

class PolicyName {
  @Text({ help: 'Name of the policy.', max: 255, example: 'Pro, yearly' })
  name!: string;
}

export class CreatePolicyBody extends IntersectionType(PolicyName, PolicyOptions) {
  @Id({ help: 'The product whose licenses follow the policy.' })
  productId!: string;

  @Choice(policy.policyTemplateNames, {
    help: 'Fills the fields that are not given.',
    optional: true,
    default: 'custom',
    example: 'desktop_app',
  })
  template?: policy.PolicyTemplate;
}

/** `productId` and `template` stay what they were. */
export class UpdatePolicyBody extends IntersectionType(PartialType(PolicyName, { skipNullProperties: false }), PolicyOptions) {}

export class PolicyView extends IntersectionType(ResourceView, PolicyFields) {
  @Id({ help: 'The product whose licenses follow the policy.' })
  productId!: string;

  @Text({ help: 'Name of the policy.', max: 255, example: 'Pro, yearly' })
  name!: string;

  @Choice(policy.policyTemplateNames, { help: 'What it was made from.', example: 'desktop_app' })
  template!: policy.PolicyTemplate;

  @TextList({ help: 'Codes of the entitlements that every license of the policy inherits.', max: 100, maxItems: 1000, example: ['pro'] })
  entitlements!: string[];
}

export class PoliciesQuery extends PageQuery {
  @Id({ help: 'Only policies of this product.', optional: true })
  productId?: string;

  @Text({ help: 'Only policies whose name contains this, whatever the case.', max: 255, optional: true, example: 'pro' })
  q?: string;
}

/** The codes of the living entitlements, in alphabetical order. */
export const includeEntitlementCodes = {
  entitlements: { select: { entitlement: { select: { code: true } } }, orderBy: { entitlement: { code: 'asc' } } },
} as const;

export type PolicyRow = Policy & { entitlements: { entitlement: { code: string } }[] };

/** The rules of a row; the database's names for them are the domain's. */
export function toPolicyRules(row: Policy): policy.PolicyRules {
  return {
    template: row.template,
    durationDays: row.durationDays,
    durationCalendarMonths: row.durationCalendarMonths,
    expirationStrategy: row.expirationStrategy,
    expirationBasis: row.expirationBasis,
    renewalBasis: row.renewalBasis,
    transferStrategy: row.transferStrategy,
    gracePeriodDays: row.gracePeriodDays,
    isTrial: row.isTrial,
    trialDurationDays: row.trialDurationDays,
    maxMachines: row.maxMachines,
    maxUses: row.maxUses,
    maxCores: row.maxCores,
    maxMemoryMb: row.maxMemoryMb,
    maxDiskMb: row.maxDiskMb,
    maxProcesses: row.maxProcesses,
    overageStrategy: row.overageStrategy,
    floating: row.floating,
    leasingStrategy: row.leasingStrategy,
    requireFingerprint: row.requireFingerprint,
    fingerprintUniqueness: row.fingerprintUniqueness,
    fingerprintMatching: row.fingerprintMatching,
    requireHeartbeat: row.requireHeartbeat,
    heartbeatIntervalMinutes: row.heartbeatIntervalMinutes,
    heartbeatBasis: row.heartbeatBasis,
    heartbeatCullStrategy: row.heartbeatCullStrategy,
    heartbeatResurrectionMinutes: row.heartbeatResurrectionMinutes,
    requireCheckIn: row.requireCheckIn,
    checkInIntervalDays: row.checkInIntervalDays,
    allowMachineTransfer: row.allowMachineTransfer,
    offlineAllowed: row.offlineAllowed,
    offlineMaxDays: row.offlineMaxDays,
    requiredScopes: row.requiredScopes as policy.RequirableScope[],
    authentication: row.authentication,
  };
}

export function toPolicyView(row: PolicyRow, environment: EnvironmentName): PolicyView {
  return {
    ...resourceFields(row, environment),
    productId: row.productId,
    name: row.name,
    ...toPolicyRules(row),
    entitlements: row.entitlements.map(({ entitlement }) => entitlement.code),
  };
}
