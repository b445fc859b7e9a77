import type { EnvironmentName } from './api-key.js';
import { entitlementsInForce, type Entitlement } from './entitlements.js';
import { clockStartedBy, type TermColumns } from './expiry.js';
import type { Pulse } from './heartbeat.js';
import type { LicenseStateFacts } from './license-state.js';
import type { MatchedMachine } from './matching.js';
import type { Metadata } from './metadata.js';
import type { PolicyRules } from './policy.js';
import type { ProcessCount } from './processes.js';
import type { MachineLimitOverrides, MachineTotals } from './seats.js';
import { rules } from './validation-rules.js';

/**
 * The decision "may this copy run?" (contract: validation.md). One list of rules (validation-rules.ts), each a pure
 * function of the facts; the first failure decides, else the first warning, else VALID. No rule hides a later one.
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
  PROCESS_LIMIT_EXCEEDED: 'The license has more processes running than it allows.',
  ENTITLEMENTS_MISSING: 'The license lacks an entitlement.',
  USES_EXCEEDED: 'The license has no uses left.',
} as const;

export type ValidationCode = keyof typeof validationMessages;

export interface ValidationRequest {
  /** De-duplicated; empty = none was sent. */
  fingerprints: string[];
  /** Absent = none were asked for; an empty list asks for nothing, and passes. */
  entitlements?: string[];
  /** Id or code. */
  product?: string;
  policy?: string;
  version?: string;
  userEmail?: string;
  increment?: number;
}

export interface ValidationMachine extends MatchedMachine, Pulse {}

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
  /** The license's machines that sent fingerprints lead to, their own or those of components. */
  machines: ValidationMachine[];
  /**
   * What of the license's totals its dead machines have, where that decides: seats float, heartbeats are required, and a
   * limit is passed. Else nothing.
   */
  deadTotals: MachineTotals;
  /** As the policy counts process leases; none are counted where nothing limits them. */
  processes: ProcessCount[];
}

export interface Facts extends LicenseFacts {
  request: ValidationRequest;
  now: Date;
}

export type Outcome =
  | { kind: 'pass' }
  /** The rule does not apply: nothing that it looks at was sent or set. */
  | { kind: 'skip'; why: string }
  /** `message` where there is more to say than what the code always says. */
  | { kind: 'fail' | 'warn'; code: ValidationCode; message?: string };

export interface Notice {
  code: ValidationCode;
  message: string;
}

export interface Verdict extends Notice {
  valid: boolean;
  warnings: Notice[];
}

/** What one rule says, and why. */
export interface Explanation {
  rule: string;
  outcome: Outcome['kind'];
  /** Of a failure or warning. */
  code: ValidationCode | null;
  /** For people. */
  detail: string;
  /** The values that were compared. */
  facts: Record<string, unknown>;
}

/** What rule 1, `exists`, says of an unknown key, a deleted license and a made-up key alike. */
export const notFoundVerdict: Verdict = { valid: false, code: 'NOT_FOUND', message: validationMessages.NOT_FOUND, warnings: [] };

/** Same facts, same verdict. */
export function judge(facts: Facts): Verdict {
  return verdictOf(rules.map((rule) => rule.judge(facts)));
}

/** The verdict, and what every rule had to say. Gathering that costs more than judging: only for who asks. */
export function explain(facts: Facts): { verdict: Verdict; rules: Explanation[] } {
  const outcomes = rules.map((rule) => rule.judge(facts));
  const explanations = rules.map(({ name, passes, compared }, index) => {
    const outcome = outcomes[index] ?? { kind: 'pass' };
    return { rule: name, outcome: outcome.kind, ...toldBy(outcome, passes), facts: compared(facts) };
  });
  return { verdict: verdictOf(outcomes), rules: explanations };
}

function verdictOf(outcomes: readonly Outcome[]): Verdict {
  const warnings: Notice[] = [];
  let failure: Notice | undefined;
  for (const outcome of outcomes) {
    if (outcome.kind === 'warn') warnings.push(noticeOf(outcome));
    if (outcome.kind === 'fail') failure ??= noticeOf(outcome);
  }
  const decisive = failure ?? warnings[0] ?? { code: 'VALID', message: validationMessages.VALID };
  return { valid: failure === undefined, ...decisive, warnings };
}

function noticeOf({ code, message = validationMessages[code] }: { code: ValidationCode; message?: string }): Notice {
  return { code, message };
}

function toldBy(outcome: Outcome, passes: string): Pick<Explanation, 'code' | 'detail'> {
  switch (outcome.kind) {
    case 'pass':
      return { code: null, detail: passes };
    case 'skip':
      return { code: null, detail: outcome.why };
    case 'fail':
    case 'warn': {
      const { code, message } = noticeOf(outcome);
      return { code, detail: message };
    }
  }
}

/** The columns of the license that a success writes. */
export type Traces = Partial<TermColumns & { firstValidatedAt: Date; usesCount: number }>;

/**
 * What a success leaves on the license, null = nothing: the first starts its life, `increment` counts, and either may be
 * what its clock waits for (contract: validation.md, "Side effects").
 */
export function tracesOf({ license, policy, request, now }: Facts): Traces | null {
  const { increment = 0 } = request;
  const term =
    clockStartedBy('FROM_FIRST_VALIDATION', license, policy, now) ??
    (increment > 0 ? clockStartedBy('FROM_FIRST_USE', license, policy, now) : null);
  const isFirst = license.firstValidatedAt === null;
  if (!isFirst && term === null && increment === 0) return null;
  return {
    ...(isFirst ? { firstValidatedAt: now } : {}),
    ...term,
    ...(increment > 0 ? { usesCount: license.usesCount + increment } : {}),
  };
}

/** The facts as they are once the verdict has left its traces: what is answered. */
export function settled(facts: Facts, verdict: Verdict): Facts {
  const traces = verdict.valid ? tracesOf(facts) : null;
  return traces === null ? facts : { ...facts, license: { ...facts.license, ...traces } };
}

/** The entitlements in force for the license. */
export function entitlementsOf(facts: Pick<Facts, 'inheritedEntitlements' | 'ownEntitlements' | 'now'>): Entitlement[] {
  return entitlementsInForce(facts.inheritedEntitlements, facts.ownEntitlements, facts.now);
}
