import { AnyObject, Choice, Email, Flag, Id, Integer, MetadataField, Nested, Text, TextList, Timestamp, Version } from '../core/fields.js';
import { EntitlementCodes } from '../entitlements/entitlements.dto.js';
import type { EnvironmentName } from '../domain/api-key.js';
import type { Entitlement } from '../domain/entitlements.js';
import { machineStatus, machineStatuses, type MachineStatus, nextHeartbeatAt } from '../domain/heartbeat.js';
import { licenseStatus, licenseStatuses, type LicenseStatus } from '../domain/license-state.js';
import { FINGERPRINT } from '../domain/machine.js';
import { matchesOf } from '../domain/matching.js';
import { MAX_INCREMENT } from '../domain/usage.js';
import type { Metadata } from '../domain/metadata.js';
import { limitOf } from '../domain/seats.js';
import {
  entitlementsOf,
  type Explanation,
  type Facts,
  type ValidationCode,
  validationMessages,
  type ValidationRequest,
  type Verdict,
} from '../domain/validation.js';
import { rules } from '../domain/validation-rules.js';
import { HeldEntitlementView } from './licenses.dto.js';

/** What a copy says of itself. */
export class ValidateBody {
  @Text({
    ...FINGERPRINT,
    help: 'The machine that asks; joins `fingerprints` when both are sent.',
    optional: true,
    example: 'a1b2c3d4e5f6a7b8',
  })
  fingerprint?: string;

  @TextList({
    ...FINGERPRINT,
    help: "Several fingerprints of one machine, its own and its components'; the policy's `fingerprintMatching` says how many must be active.",
    minItems: 1,
    maxItems: 20,
    // The same one twice is one.
    unique: false,
    optional: true,
    example: ['a1b2c3d4e5f6a7b8'],
  })
  fingerprints?: string[];

  @EntitlementCodes({ help: 'Entitlements that the license must have.', optional: true })
  entitlements?: string[];

  @Text({ help: 'Id or code of the product that asks.', max: 50, optional: true, example: 'acme-editor' })
  product?: string;

  @Id({ help: 'The policy that the license must follow.', optional: true })
  policy?: string;

  @Version({ help: 'Version of the software that asks.', optional: true, example: '1.4.2' })
  version?: string;

  @Email({ help: 'The user that the license must belong to, whatever the case.', optional: true })
  userEmail?: string;

  @Text({
    help: 'Comes back in the answer, and in its signed form `token`: a new one each time shows that the answer is not an older one.',
    max: 128,
    optional: true,
    example: 'f3a9c1',
  })
  nonce?: string;

  @Integer({ help: 'Count so many uses, if the license is valid.', min: 1, max: MAX_INCREMENT, optional: true, example: 1 })
  increment?: number;
}

export class ValidateKeyBody extends ValidateBody {
  @Text({
    help: 'The license key. A generated one is read forgivingly: case, spaces, missing dashes, O for 0, I or L for 1.',
    max: 300,
    example: 'ACME-7K2M-9XQ4-3VBN-0HTR-5WPC-8DZF',
  })
  key!: string;

  @Text({
    help: 'Id or slug of the account: needed for a vendor-chosen key, checked when sent with any other.',
    max: 63,
    optional: true,
    example: 'acme',
  })
  account?: string;
}

export class NoticeView {
  @Choice(Object.keys(validationMessages), { help: 'Stable; switch on this.', example: 'IN_GRACE_PERIOD' })
  code!: ValidationCode;

  @Text({ help: 'For people.', max: 1000, example: 'The license has expired and is in its grace period.' })
  message!: string;
}

export class ValidatedLicenseView {
  @Id({ help: 'Its id.' })
  id!: string;

  @Text({ help: 'Its name.', max: 255, nullable: true, example: null })
  name!: string | null;

  @Choice(licenseStatuses, { help: 'Its status now.' })
  status!: LicenseStatus;

  @Id({ help: 'Its product.' })
  productId!: string;

  @Id({ help: 'Its policy.' })
  policyId!: string;

  @Timestamp({ help: 'When it ends; null = perpetual, or its clock has not started.', nullable: true })
  expiresAt!: Date | null;

  @Flag({ help: 'Whether its policy is a trial.', example: false })
  isTrial!: boolean;

  @Integer({ help: 'Its seats; null = no limit.', nullable: true, example: 2 })
  maxMachines!: number | null;

  @Integer({ help: 'Seats in use.', example: 1 })
  machineCount!: number;

  @Integer({ help: 'How many uses it has; null = no limit.', nullable: true, example: null })
  maxUses!: number | null;

  @Integer({ help: 'Uses counted so far.', example: 0 })
  usesCount!: number;

  @Text({ help: "Its user's name.", max: 255, nullable: true, example: 'Ada Lovelace' })
  userName!: string | null;

  @MetadataField()
  metadata!: Metadata;

  @Choice(['live', 'test'], { help: 'The environment that it belongs to.' })
  environment!: EnvironmentName;
}

export class ValidatedMachineView {
  @Id({ help: 'Its id.' })
  id!: string;

  @Text({ help: 'Its fingerprint.', max: 256, example: 'a1b2c3d4e5f6a7b8' })
  fingerprint!: string;

  @Choice(machineStatuses, { help: 'Its status now.' })
  status!: MachineStatus;

  @Timestamp({ help: 'When it must have beaten again; null = never.', nullable: true, example: null })
  nextHeartbeatAt!: Date | null;
}

export class ValidationView {
  @Flag({ help: 'May this copy run?', example: true })
  valid!: boolean;

  @Choice(Object.keys(validationMessages), {
    help: 'Why: the first rule that fails, else the first that warns, else VALID.',
    example: 'VALID',
  })
  code!: ValidationCode;

  @Text({ help: 'The same for people.', max: 1000, example: 'The license is valid.' })
  message!: string;

  @Nested(() => NoticeView, { help: 'What is tolerated for now.', list: true, example: [] })
  warnings!: NoticeView[];

  @Nested(() => ValidatedLicenseView, { help: 'The license, without its key and e-mail; null only for NOT_FOUND.', nullable: true })
  license!: ValidatedLicenseView | null;

  @Nested(() => ValidatedMachineView, {
    help: "That of the first of the sent fingerprints that is active, its own or a component's; null = none.",
    nullable: true,
  })
  machine!: ValidatedMachineView | null;

  @Nested(() => HeldEntitlementView, { help: 'What the license grants now.', list: true })
  entitlements!: Entitlement[];

  @Timestamp({ help: 'When this was decided.' })
  checkedAt!: Date;

  @Text({ help: 'What was sent; null = nothing.', max: 128, nullable: true, example: null })
  nonce!: string | null;

  @Text({
    help: 'The answer as a signed document: a compact JWS of the type `latchkey-validation+jwt`, for an app to check with the keys of `/.well-known/jwks.json` and to go on by, until its `exp`, while the server cannot be reached. null = no nonce was sent, or there is no such license.',
    max: 65_536,
    nullable: true,
    example: null,
  })
  token!: string | null;
}

export class RuleView {
  @Choice(rules.map(({ name }) => name), { help: 'Stable; in order of precedence.', example: 'not expired' })
  rule!: string;

  @Choice(['pass', 'fail', 'warn', 'skip'], { help: '`skip`: nothing that it looks at was sent or set.', example: 'warn' })
  outcome!: Explanation['outcome'];

  @Choice(Object.keys(validationMessages), { help: 'Of a failure or warning, else null.', nullable: true, example: 'IN_GRACE_PERIOD' })
  code!: ValidationCode | null;

  @Text({ help: 'Why, for people.', max: 1000, example: 'The license has expired and is in its grace period.' })
  detail!: string;

  @AnyObject({
    help: 'The values that were compared; which ones depends on the rule.',
    example: {
      expiresAt: '2026-01-15T10:30:00.000Z',
      gracePeriodDays: 7,
      expirationStrategy: 'RESTRICT_ACCESS',
      now: '2026-01-16T08:00:00.000Z',
    },
  })
  facts!: Record<string, unknown>;
}

export class ExplanationView extends ValidationView {
  @Nested(() => RuleView, { help: 'Every rule in order: the first `fail` decides, else the first `warn`.', list: true })
  rules!: RuleView[];
}

export function toValidationRequest(body: ValidateBody): ValidationRequest {
  const { fingerprint, fingerprints = [], entitlements, product, policy, version, userEmail, increment } = body;
  const sent = fingerprint === undefined ? fingerprints : [fingerprint, ...fingerprints];
  return { fingerprints: [...new Set(sent)], entitlements, product, policy, version, userEmail, increment };
}

export function toNotFoundView(verdict: Verdict, checkedAt: Date, nonce: string | undefined): ValidationView {
  return { ...verdict, license: null, machine: null, entitlements: [], checkedAt, nonce: nonce ?? null, token: null };
}

/** `token` is the same, signed. */
export function toValidationView(verdict: Verdict, facts: Facts, nonce: string | undefined, token: string | null = null): ValidationView {
  return {
    ...verdict,
    license: toValidatedLicense(facts),
    machine: toValidatedMachine(facts),
    entitlements: entitlementsOf(facts),
    checkedAt: facts.now,
    nonce: nonce ?? null,
    token,
  };
}

export function toValidatedLicense({ license, policy, environment, now }: Facts): ValidatedLicenseView {
  return {
    id: license.id,
    name: license.name,
    status: licenseStatus(license, policy, now),
    productId: license.productId,
    policyId: license.policyId,
    expiresAt: license.expiresAt,
    isTrial: policy.isTrial,
    maxMachines: limitOf(license.maxMachinesOverride, policy.maxMachines, 'NO_OVERAGE').max,
    machineCount: license.machineCount,
    maxUses: license.maxUsesOverride ?? policy.maxUses,
    usesCount: license.usesCount,
    userName: license.userName,
    metadata: license.metadata,
    environment,
  };
}

function toValidatedMachine({ machines, policy, request, now }: Facts): ValidatedMachineView | null {
  const machine = matchesOf(request.fingerprints, machines)[0]?.machines[0];
  if (machine === undefined) return null;
  return {
    id: machine.id,
    fingerprint: machine.fingerprint,
    status: machineStatus(machine, policy, now),
    nextHeartbeatAt: nextHeartbeatAt(machine, policy),
  };
}
