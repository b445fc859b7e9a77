import type { EnvironmentName } from './api-key.js';
import { DAY_MS, expiryState } from './expiry.js';
import { entitlementsInForce, type Entitlement } from './entitlements.js';
import { machineStatus, type Pulse } from './heartbeat.js';
import { isRevoked, type LicenseStateFacts } from './license-state.js';
import type { Metadata } from './metadata.js';
import type { FingerprintMatching, PolicyRules } from './policy.js';
import {
  limitOf,
  machineLimitVerdicts,
  machineLimits,
  usageOf,
  type MachineLimit,
  type MachineLimitOverrides,
  type MachineTotals,
} from './seats.js';
import { coversVersion } from './versions.js';

/**
 * The decision "may this copy run?" (contract: validation.md). One list of rules, each a pure function of the facts;
 * the first failure decides, else the first warning, else VALID. No rule hides a later one.
 */

export const validationMessages = {
  VALID: 'The license is valid.',
  NOT_FOUND: 'There is no such license.',
  BANNED: 'The license is banned.',
  REVOKED: 'The license was revoked.',
  SUSPENDED: 'The license is suspended.',
  NOT_STARTED: 'The license has not started yet.',
  SCOPE_REQUIRED: 'The policy requires more to be sent.',
  PRODUCT_MISMATCH: 'The license is for another product.',
  POLICY_MISMATCH: 'The license follows another policy.',
  USER_MISMATCH: 'The license belongs to another user.',
  VERSION_NOT_ALLOWED: 'The license does not cover this version.',
  EXPIRED: 'The license has expired.',
  IN_GRACE_PERIOD: 'The license has expired and is in its grace period.',
  CHECK_IN_OVERDUE: 'The license has not checked in for too long.',
  FINGERPRINT_REQUIRED: 'A fingerprint must be sent.',
  NOT_ACTIVATED: 'The license has no activated machine.',
  FINGERPRINT_NOT_FOUND: 'The license is not activated on this machine.',
  HEARTBEAT_DEAD: 'The machine has not sent a heartbeat for too long.',
  HEARTBEAT_REQUIRED: 'The machine has never sent a heartbeat.',
  MACHINE_LIMIT_EXCEEDED: 'The license has more machines than it allows.',
  CORE_LIMIT_EXCEEDED: "The license's machines have more cores than it allows.",
  MEMORY_LIMIT_EXCEEDED: "The license's machines have more memory than it allows.",
  DISK_LIMIT_EXCEEDED: "The license's machines have more disk space than it allows.",
  ENTITLEMENTS_MISSING: 'The license lacks an entitlement.',
  USES_EXCEEDED: 'The license has no uses left.',
} as const;

export type ValidationCode = keyof typeof validationMessages;

export interface ValidationRequest {
  /** De-duplicated; empty = none was sent. */
  fingerprints: string[];
  entitlements: string[];
  /** Id or code. */
  product?: string;
  policy?: string;
  version?: string;
  userEmail?: string;
  increment?: number;
}

export interface ValidationMachine extends Pulse {
  id: string;
  fingerprint: string;
}

export interface ValidationLicense extends LicenseStateFacts, MachineLimitOverrides, MachineTotals {
  id: string;
  name: string | null;
  productId: string;
  policyId: string;
  userEmail: string | null;
  userName: string | null;
  startsAt: Date | null;
  createdAt: Date;
  lastCheckInAt: Date | null;
  firstValidatedAt: Date | null;
  lastValidatedAt: Date | null;
  allowedVersions: string | null;
  usesCount: number;
  maxUsesOverride: number | null;
  /** Process leases in force, as far as the policy counts them together. */
  processCount: number;
  maxProcessesOverride: number | null;
  clockPending: boolean;
  metadata: Metadata;
}

/** Everything that the decision depends on, loaded once. */
export interface LicenseFacts {
  environment: EnvironmentName;
  /** Ids of the tenant that the license belongs to. */
  accountId: string;
  environmentId: string;
  /** Until when the key that was sent still leads here, by the license's clock; null = it is the license's own. */
  keyValidUntil: Date | null;
  /** Decides the time for all that is about the license; null = real time. */
  testClock: { frozenAt: Date } | null;
  license: ValidationLicense;
  policy: PolicyRules;
  productCode: string;
  inheritedEntitlements: string[];
  ownEntitlements: Entitlement[];
  /** The license's machines among the fingerprints that were sent. */
  machines: ValidationMachine[];
}

export interface Facts extends LicenseFacts {
  request: ValidationRequest;
  now: Date;
}

export type Outcome =
  | { kind: 'pass' }
  /** The rule does not apply: nothing that it looks at was sent or set. */
  | { kind: 'skip' }
  | { kind: 'fail' | 'warn'; code: ValidationCode; message: string };

export interface Notice {
  code: ValidationCode;
  message: string;
}

export interface Verdict extends Notice {
  valid: boolean;
  warnings: Notice[];
}

const pass: Outcome = { kind: 'pass' };
const skip: Outcome = { kind: 'skip' };
const fail = (code: ValidationCode, message: string = validationMessages[code]): Outcome => ({ kind: 'fail', code, message });
const warn = (code: ValidationCode, message: string = validationMessages[code]): Outcome => ({ kind: 'warn', code, message });

interface Rule {
  name: string;
  judge: (facts: Facts) => Outcome;
}

/** In order of precedence (validation.md, "The decision"). A new rule is a line here and a row in the spec. */
export const rules: readonly Rule[] = [
  { name: 'is not banned', judge: ({ license }) => (license.bannedAt !== null ? fail('BANNED') : pass) },
  { name: 'is not revoked', judge: ({ license, policy, now }) => (isRevoked(license, policy, now) ? fail('REVOKED') : pass) },
  { name: 'is not suspended', judge: ({ license }) => (license.suspendedAt !== null ? fail('SUSPENDED') : pass) },
  { name: 'has started', judge: startVerdict },
  { name: 'required scopes are sent', judge: requiredScopeVerdict },
  { name: 'is for the product', judge: productVerdict },
  { name: 'follows the policy', judge: policyVerdict },
  { name: 'belongs to the user', judge: userVerdict },
  { name: 'covers the version', judge: versionVerdict },
  { name: 'has not expired', judge: expiryVerdict },
  { name: 'has checked in', judge: checkInVerdict },
  { name: 'fingerprint is given', judge: fingerprintGivenVerdict },
  { name: 'fingerprint is active', judge: fingerprintActiveVerdict },
  { name: 'machine is alive', judge: heartbeatVerdict },
  ...machineLimits.map((limit) => ({ name: `stays within its ${limit.what}`, judge: (facts: Facts) => machineLimitVerdict(facts, limit) })),
  { name: 'has the entitlements', judge: entitlementVerdict },
  { name: 'has uses left', judge: usesVerdict },
];

/** Rule 1, `exists`: what an unknown key, a deleted license and a made-up key all get. */
export const notFoundVerdict: Verdict = { valid: false, code: 'NOT_FOUND', message: validationMessages.NOT_FOUND, warnings: [] };

/** Rule 20 after the fact: a success whose uses could not be counted any more is none. */
export function usesExceeded(verdict: Verdict): Verdict {
  return { ...verdict, valid: false, code: 'USES_EXCEEDED', message: validationMessages.USES_EXCEEDED };
}

/** Same facts, same verdict. */
export function judge(facts: Facts): Verdict {
  const warnings: Notice[] = [];
  let failure: Notice | undefined;
  for (const rule of rules) {
    const outcome = rule.judge(facts);
    if (outcome.kind === 'warn') warnings.push({ code: outcome.code, message: outcome.message });
    if (outcome.kind === 'fail') failure ??= { code: outcome.code, message: outcome.message };
  }
  const decisive = failure ?? warnings[0] ?? { code: 'VALID', message: validationMessages.VALID };
  return { valid: failure === undefined, ...decisive, warnings };
}

function startVerdict({ license, now }: Facts): Outcome {
  if (license.startsAt === null) return skip;
  return now < license.startsAt ? fail('NOT_STARTED') : pass;
}

function requiredScopeVerdict({ policy, request }: Facts): Outcome {
  if (policy.requiredScopes.length === 0) return skip;
  const sent = {
    product: request.product !== undefined,
    policy: request.policy !== undefined,
    fingerprint: request.fingerprints.length > 0,
    user: request.userEmail !== undefined,
    version: request.version !== undefined,
  };
  const missing = policy.requiredScopes.find((scope) => !sent[scope]);
  return missing === undefined ? pass : fail('SCOPE_REQUIRED', `The policy requires ${missing} to be sent.`);
}

function productVerdict({ license, productCode, request }: Facts): Outcome {
  if (request.product === undefined) return skip;
  const wanted = request.product.toLowerCase();
  return wanted === license.productId || wanted === productCode.toLowerCase() ? pass : fail('PRODUCT_MISMATCH');
}

function policyVerdict({ license, request }: Facts): Outcome {
  if (request.policy === undefined) return skip;
  return request.policy.toLowerCase() === license.policyId ? pass : fail('POLICY_MISMATCH');
}

function userVerdict({ license, request }: Facts): Outcome {
  if (request.userEmail === undefined) return skip;
  return request.userEmail.toLowerCase() === license.userEmail?.toLowerCase() ? pass : fail('USER_MISMATCH');
}

function versionVerdict({ license, request }: Facts): Outcome {
  if (license.allowedVersions === null || request.version === undefined) return skip;
  return coversVersion(license.allowedVersions, request.version) ? pass : fail('VERSION_NOT_ALLOWED');
}

function expiryVerdict({ license, policy, now }: Facts): Outcome {
  switch (expiryState(license, policy, now)) {
    case 'perpetual':
      return skip;
    case 'running':
      return pass;
    case 'grace':
      return warn('IN_GRACE_PERIOD');
    case 'expired':
      return policy.expirationStrategy === 'ALLOW_ACCESS' ? warn('EXPIRED') : fail('EXPIRED');
  }
}

/** When the next check-in is due; null when none is. Before the first it counts from the start, else from creation. */
export function nextCheckInAt(
  license: { lastCheckInAt: Date | null; startsAt: Date | null; createdAt: Date },
  policy: Pick<PolicyRules, 'requireCheckIn' | 'checkInIntervalDays'>,
): Date | null {
  if (!policy.requireCheckIn || policy.checkInIntervalDays === null) return null;
  const last = license.lastCheckInAt ?? license.startsAt ?? license.createdAt;
  return new Date(last.getTime() + policy.checkInIntervalDays * DAY_MS);
}

function checkInVerdict({ license, policy, now }: Facts): Outcome {
  const due = nextCheckInAt(license, policy);
  if (due === null) return skip;
  return now < due ? pass : fail('CHECK_IN_OVERDUE');
}

function fingerprintGivenVerdict({ policy, request }: Facts): Outcome {
  if (!policy.requireFingerprint) return skip;
  return request.fingerprints.length === 0 ? fail('FINGERPRINT_REQUIRED') : pass;
}

/** How many of `sent` fingerprints must be active. */
const matchesNeeded: Record<FingerprintMatching, (sent: number) => number> = {
  ANY: () => 1,
  TWO: (sent) => Math.min(2, sent),
  MOST: (sent) => Math.ceil(sent / 2),
  ALL: (sent) => sent,
};

function fingerprintActiveVerdict({ license, policy, request, machines }: Facts): Outcome {
  const sent = request.fingerprints.length;
  if (sent === 0) return skip;
  if (license.machineCount === 0) return fail('NOT_ACTIVATED');
  return machines.length >= matchesNeeded[policy.fingerprintMatching](sent) ? pass : fail('FINGERPRINT_NOT_FOUND');
}

/** The living among the matched machines must be as many as the policy's matching asks for. */
function heartbeatVerdict({ policy, request, machines, now }: Facts): Outcome {
  if (!policy.requireHeartbeat || machines.length === 0) return skip;
  const statuses = machines.map((machine) => machineStatus(machine, policy, now));
  const living = statuses.filter((status) => status === 'active').length;
  // Machines that are not there are the rule before this one's matter.
  const needed = Math.min(machines.length, matchesNeeded[policy.fingerprintMatching](request.fingerprints.length));
  if (living >= needed) return pass;
  return statuses.includes('dead') ? fail('HEARTBEAT_DEAD') : fail('HEARTBEAT_REQUIRED');
}

function machineLimitVerdict({ license, policy }: Facts, limit: MachineLimit): Outcome {
  const verdict = machineLimitVerdicts(license, license, policy).find((candidate) => candidate.limit === limit);
  if (verdict === undefined || verdict.allowed.max === null) return skip;
  if (verdict.usage === 'within') return pass;
  return verdict.usage === 'overage' ? warn(limit.code) : fail(limit.code);
}

function entitlementVerdict(facts: Facts): Outcome {
  if (facts.request.entitlements.length === 0) return skip;
  const held = new Set(entitlementsOf(facts).map(({ code }) => code));
  const missing = facts.request.entitlements.filter((code) => !held.has(code));
  return missing.length === 0 ? pass : fail('ENTITLEMENTS_MISSING', `The license lacks the entitlement ${missing.join(', ')}.`);
}

function usesVerdict({ license, policy, request }: Facts): Outcome {
  const limit = limitOf(license.maxUsesOverride, policy.maxUses, 'NO_OVERAGE');
  if (limit.max === null) return skip;
  const uses = license.usesCount + (request.increment ?? 0);
  return usageOf(uses, limit) === 'within' ? pass : fail('USES_EXCEEDED');
}

/** The entitlements in force for the license. */
export function entitlementsOf(facts: Pick<Facts, 'inheritedEntitlements' | 'ownEntitlements' | 'now'>): Entitlement[] {
  return entitlementsInForce(facts.inheritedEntitlements, facts.ownEntitlements, facts.now);
}
