import type { Issue } from './errors.js';

/** The rules that licenses follow, and how they are put together (contract: resources.md, "Policies"). */

export const policyTemplateNames = ['desktop_app', 'cli_tool', 'saas', 'trial', 'custom'] as const;
export const expirationStrategies = ['RESTRICT_ACCESS', 'ALLOW_ACCESS', 'REVOKE'] as const;
export const expirationBases = ['FROM_CREATION', 'FROM_FIRST_VALIDATION', 'FROM_FIRST_ACTIVATION', 'FROM_FIRST_USE'] as const;
export const renewalBases = ['FROM_EXPIRY', 'FROM_NOW', 'FROM_NOW_IF_EXPIRED'] as const;
export const transferStrategies = ['KEEP_EXPIRY', 'RESET_EXPIRY'] as const;
export const overageStrategies = ['NO_OVERAGE', 'ALLOW_1_25X', 'ALLOW_1_5X', 'ALLOW_2X', 'ALWAYS_ALLOW'] as const;
export const leasingStrategies = ['PER_LICENSE', 'PER_MACHINE', 'PER_USER'] as const;
export const fingerprintUniquenesses = ['PER_LICENSE', 'PER_POLICY', 'PER_PRODUCT', 'PER_ACCOUNT'] as const;
export const fingerprintMatchings = ['ANY', 'TWO', 'MOST', 'ALL'] as const;
export const heartbeatBases = ['FROM_ACTIVATION', 'FROM_FIRST_BEAT'] as const;
export const heartbeatCullStrategies = ['DEACTIVATE_DEAD', 'KEEP_DEAD'] as const;
export const requirableScopes = ['product', 'policy', 'fingerprint', 'user', 'version'] as const;
export const policyAuthentications = ['LICENSE', 'API_KEY', 'BOTH', 'NONE'] as const;

export type PolicyTemplate = (typeof policyTemplateNames)[number];
export type ExpirationStrategy = (typeof expirationStrategies)[number];
export type ExpirationBasis = (typeof expirationBases)[number];
export type RenewalBasis = (typeof renewalBases)[number];
export type TransferStrategy = (typeof transferStrategies)[number];
export type OverageStrategy = (typeof overageStrategies)[number];
export type LeasingStrategy = (typeof leasingStrategies)[number];
export type FingerprintUniqueness = (typeof fingerprintUniquenesses)[number];
export type FingerprintMatching = (typeof fingerprintMatchings)[number];
export type HeartbeatBasis = (typeof heartbeatBases)[number];
export type HeartbeatCullStrategy = (typeof heartbeatCullStrategies)[number];
export type RequirableScope = (typeof requirableScopes)[number];
export type PolicyAuthentication = (typeof policyAuthentications)[number];

export interface PolicyRules {
  template: PolicyTemplate;
  durationDays: number | null;
  durationCalendarMonths: number | null;
  expirationStrategy: ExpirationStrategy;
  expirationBasis: ExpirationBasis;
  renewalBasis: RenewalBasis;
  transferStrategy: TransferStrategy;
  gracePeriodDays: number;
  isTrial: boolean;
  trialDurationDays: number | null;
  maxMachines: number | null;
  maxUses: number | null;
  maxCores: number | null;
  maxMemoryMb: number | null;
  maxDiskMb: number | null;
  maxProcesses: number | null;
  overageStrategy: OverageStrategy;
  floating: boolean;
  leasingStrategy: LeasingStrategy;
  requireFingerprint: boolean;
  fingerprintUniqueness: FingerprintUniqueness;
  fingerprintMatching: FingerprintMatching;
  requireHeartbeat: boolean;
  heartbeatIntervalMinutes: number;
  heartbeatBasis: HeartbeatBasis;
  heartbeatCullStrategy: HeartbeatCullStrategy;
  heartbeatResurrectionMinutes: number | null;
  requireCheckIn: boolean;
  checkInIntervalDays: number | null;
  allowMachineTransfer: boolean;
  offlineAllowed: boolean;
  offlineMaxDays: number;
  requiredScopes: RequirableScope[];
  authentication: PolicyAuthentication;
}

const defaults: PolicyRules = {
  template: 'custom',
  durationDays: null,
  durationCalendarMonths: null,
  expirationStrategy: 'RESTRICT_ACCESS',
  expirationBasis: 'FROM_CREATION',
  renewalBasis: 'FROM_EXPIRY',
  transferStrategy: 'KEEP_EXPIRY',
  gracePeriodDays: 0,
  isTrial: false,
  trialDurationDays: null,
  maxMachines: 1,
  maxUses: null,
  maxCores: null,
  maxMemoryMb: null,
  maxDiskMb: null,
  maxProcesses: null,
  overageStrategy: 'NO_OVERAGE',
  floating: false,
  leasingStrategy: 'PER_LICENSE',
  requireFingerprint: true,
  fingerprintUniqueness: 'PER_LICENSE',
  fingerprintMatching: 'ANY',
  requireHeartbeat: false,
  heartbeatIntervalMinutes: 60,
  heartbeatBasis: 'FROM_ACTIVATION',
  heartbeatCullStrategy: 'DEACTIVATE_DEAD',
  heartbeatResurrectionMinutes: 0,
  requireCheckIn: false,
  checkInIntervalDays: null,
  allowMachineTransfer: false,
  offlineAllowed: true,
  offlineMaxDays: 14,
  requiredScopes: [],
  authentication: 'BOTH',
};

/** The names of all rules. */
export const policyRuleNames = Object.keys(defaults) as (keyof PolicyRules)[];

const templates: Record<PolicyTemplate, Partial<PolicyRules>> = {
  desktop_app: { maxMachines: 2, requireFingerprint: true, offlineAllowed: true, offlineMaxDays: 14 },
  cli_tool: { maxMachines: 3, requireFingerprint: true, offlineAllowed: true, offlineMaxDays: 7 },
  saas: {
    maxMachines: null,
    requireFingerprint: false,
    offlineAllowed: false,
    floating: true,
    requireHeartbeat: true,
    heartbeatIntervalMinutes: 1440,
    durationDays: 30,
  },
  trial: { maxMachines: 1, requireFingerprint: true, offlineAllowed: false, isTrial: true, trialDurationDays: 14 },
  custom: {},
};

/** What a request may say about the rules; absent fields come from the template, then from the defaults. */
export type PolicyRequest = Partial<PolicyRules> & {
  /** Must be true in the same request that sets `maxMachines` to null, so that no limit is never a slip. */
  allowUnlimitedActivations?: boolean;
};

/** The rules of a new policy. */
export function policyFromTemplate(request: PolicyRequest): PolicyRules {
  const template = templates[request.template ?? 'custom'];
  // A term in months stands instead of the template's days; only days that were asked for beside it contradict it.
  const inMonths = typeof request.durationCalendarMonths === 'number' ? { durationDays: null } : {};
  return { ...defaults, ...template, ...inMonths, ...rulesOf(request) };
}

/** The rules of a policy after a change: absent fields stay. */
export function changedPolicy(current: PolicyRules, request: PolicyRequest): PolicyRules {
  return { ...current, ...rulesOf(request) };
}

/** Only the rules of a larger object (a request, a row), and only those that are there. */
export function rulesOf(source: object): Partial<PolicyRules> {
  const given = source as Partial<Record<string, unknown>>;
  return Object.fromEntries(policyRuleNames.filter((name) => given[name] !== undefined).map((name) => [name, given[name]]));
}

/** What is wrong with the rules taken together, each at the field that the vendor would change. */
export function policyIssues(request: PolicyRequest, rules: PolicyRules): Issue[] {
  const issues: Issue[] = [];
  const refuse = (when: boolean, path: keyof PolicyRules, message: string): void => {
    if (when) issues.push({ path, message });
  };
  /** Of two that contradict each other the first is named, unless only the second was sent. */
  const refuseTogether = (when: boolean, [first, second]: [keyof PolicyRules, keyof PolicyRules], message: string): void => {
    refuse(when, request[first] === undefined && request[second] !== undefined ? second : first, message);
  };
  refuse(
    request.maxMachines === null && request.allowUnlimitedActivations !== true,
    'maxMachines',
    'null means no limit, and needs allowUnlimitedActivations: true in the same request',
  );
  refuseTogether(
    rules.durationDays !== null && rules.durationCalendarMonths !== null,
    ['durationCalendarMonths', 'durationDays'],
    'durationDays and durationCalendarMonths cannot be combined: set the other to null',
  );
  refuseTogether(
    rules.gracePeriodDays > 0 && rules.expirationStrategy === 'REVOKE',
    ['gracePeriodDays', 'expirationStrategy'],
    'gracePeriodDays cannot be combined with expirationStrategy REVOKE',
  );
  // Named even when it was not sent: it is what is missing.
  refuse(rules.requireCheckIn && rules.checkInIntervalDays === null, 'checkInIntervalDays', 'is required with requireCheckIn');
  refuseTogether(
    rules.heartbeatResurrectionMinutes === null && rules.heartbeatCullStrategy !== 'KEEP_DEAD',
    ['heartbeatResurrectionMinutes', 'heartbeatCullStrategy'],
    'heartbeatResurrectionMinutes null (always) needs heartbeatCullStrategy KEEP_DEAD',
  );
  return issues;
}
