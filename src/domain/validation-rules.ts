import { nextCheckInAt } from './check-in.js';
import { entitlementsInForce } from './entitlements.js';
import { expiryState } from './expiry.js';
import { machineStatus, type MachineStatus, nextHeartbeatAt } from './heartbeat.js';
import { isRevoked } from './license-state.js';
import { matchesNeeded, matchesOf } from './matching.js';
import type { LeasingStrategy } from './policy.js';
import { countedProcesses, processLimit } from './processes.js';
import { limitOf, machineLimits, usageOf, type Limit, type MachineLimit } from './seats.js';
import type { Facts, Outcome, ValidationCode } from './validation.js';
import { MAX_USES } from './usage.js';
import { coversVersion } from './versions.js';

export interface Rule {
  /** Stable: as in the contract's table. */
  name: string;
  judge: (facts: Facts) => Outcome;
  /** What it means that it passes, for people. */
  passes: string;
  /** The values that it holds against each other: only asked for when somebody wants an explanation. */
  compared: (facts: Facts) => Record<string, unknown>;
}

const pass: Outcome = { kind: 'pass' };
const skip = (why: string): Outcome => ({ kind: 'skip', why });
const fail = (code: ValidationCode, message?: string): Outcome => ({ kind: 'fail', code, message });
const warn = (code: ValidationCode, message?: string): Outcome => ({ kind: 'warn', code, message });

const machineLimitNames: Record<MachineLimit['code'], string> = {
  MACHINE_LIMIT_EXCEEDED: 'seats',
  CORE_LIMIT_EXCEEDED: 'cores',
  MEMORY_LIMIT_EXCEEDED: 'memory',
  DISK_LIMIT_EXCEEDED: 'disk',
};

/** In order of precedence (validation.md, "The decision"). A new rule is an entry here and a row in the spec. */
export const rules: readonly Rule[] = [
  {
    name: 'exists',
    // Where there is none, there are no facts to judge: `notFoundVerdict`.
    judge: () => pass,
    passes: 'There is such a license.',
    compared: ({ license }) => ({ licenseId: license.id }),
  },
  {
    name: 'not banned',
    judge: ({ license }) => (license.bannedAt === null ? pass : fail('BANNED')),
    passes: 'The license is not banned.',
    compared: ({ license }) => ({ bannedAt: license.bannedAt }),
  },
  {
    name: 'not revoked',
    judge: ({ license, policy, now }) => (isRevoked(license, policy, now) ? fail('REVOKED') : pass),
    passes: 'The license was not revoked, by the vendor or by its expiry.',
    compared: (facts) => ({ revokedAt: facts.license.revokedAt, ...expiryFacts(facts) }),
  },
  {
    name: 'not suspended',
    judge: ({ license }) => (license.suspendedAt === null ? pass : fail('SUSPENDED')),
    passes: 'The license is not suspended.',
    compared: ({ license }) => ({ suspendedAt: license.suspendedAt }),
  },
  {
    name: 'has started',
    judge: startVerdict,
    passes: 'The license has started.',
    compared: ({ license, now }) => ({ startsAt: license.startsAt, now }),
  },
  {
    name: 'required scopes are sent',
    judge: requiredScopeVerdict,
    passes: 'All that the policy requires was sent.',
    compared: (facts) => ({ requiredScopes: facts.policy.requiredScopes, missing: missingScopes(facts) }),
  },
  {
    name: 'product',
    judge: productVerdict,
    passes: 'The license is for this product.',
    compared: ({ license, productCode, request }) => ({ sent: request.product ?? null, productId: license.productId, productCode }),
  },
  {
    name: 'policy',
    judge: policyVerdict,
    passes: 'The license follows this policy.',
    compared: ({ license, request }) => ({ sent: request.policy ?? null, policyId: license.policyId }),
  },
  {
    name: 'user',
    judge: userVerdict,
    passes: 'The license belongs to this user.',
    compared: ({ license, request }) => ({ sent: request.userEmail ?? null, userEmail: license.userEmail }),
  },
  {
    name: 'version',
    judge: versionVerdict,
    passes: 'The license covers this version.',
    compared: ({ license, request }) => ({ sent: request.version ?? null, allowedVersions: license.allowedVersions }),
  },
  {
    name: 'not expired',
    judge: expiryVerdict,
    passes: 'The license has not expired.',
    compared: (facts) => ({ clockPending: facts.license.clockPending, ...expiryFacts(facts) }),
  },
  {
    name: 'checked in',
    judge: checkInVerdict,
    passes: 'The next check-in is not due yet.',
    compared: ({ license, policy, now }) => ({
      requireCheckIn: policy.requireCheckIn,
      checkInIntervalDays: policy.checkInIntervalDays,
      lastCheckInAt: license.lastCheckInAt,
      nextCheckInAt: nextCheckInAt(license, policy),
      now,
    }),
  },
  {
    name: 'fingerprint given',
    judge: fingerprintGivenVerdict,
    passes: 'A fingerprint was sent.',
    compared: ({ policy, request }) => ({ requireFingerprint: policy.requireFingerprint, sent: request.fingerprints.length }),
  },
  {
    name: 'fingerprint active',
    judge: fingerprintActiveVerdict,
    passes: 'Enough of the sent fingerprints are active.',
    compared: ({ license, policy, request, machines }) => ({
      ...matchingFacts({ policy, request }),
      active: matchesOf(request.fingerprints, machines).map(({ fingerprint }) => fingerprint),
      machines: machines.map(({ id, fingerprint, components }) => ({ id, fingerprint, components })),
      machineCount: license.machineCount,
    }),
  },
  {
    name: 'heartbeat',
    judge: heartbeatVerdict,
    passes: 'Enough of the fingerprints belong to machines that are alive.',
    compared: (facts) => ({
      requireHeartbeat: facts.policy.requireHeartbeat,
      heartbeatIntervalMinutes: facts.policy.heartbeatIntervalMinutes,
      ...matchingFacts(facts),
      alive: matchStatuses(facts).flatMap(({ fingerprint, status }) => (status === 'active' ? [fingerprint] : [])),
      machines: facts.machines.map((machine) => ({
        fingerprint: machine.fingerprint,
        status: machineStatus(machine, facts.policy, facts.now),
        lastHeartbeatAt: machine.lastHeartbeatAt,
        nextHeartbeatAt: nextHeartbeatAt(machine, facts.policy),
      })),
      now: facts.now,
    }),
  },
  ...machineLimits.map(machineLimitRule),
  {
    name: 'processes',
    judge: processVerdict,
    passes: 'The processes that run are within the limit.',
    compared: (facts) => {
      const { machineId = null, running = null } = countedProcesses(facts.policy, facts.machines, facts.processes) ?? {};
      const { leasingStrategy } = facts.policy;
      return { leasingStrategy, machineId, ...limitFacts(facts, running, processLimit(facts.license, facts.policy)) };
    },
  },
  {
    name: 'entitlements',
    judge: entitlementVerdict,
    passes: 'The license has all entitlements that were asked for.',
    compared: (facts) => ({ sent: facts.request.entitlements ?? null, held: heldCodes(facts), missing: missingEntitlements(facts) }),
  },
  {
    name: 'uses',
    judge: usesVerdict,
    passes: 'The license has uses left.',
    compared: ({ license, policy, request }) => ({
      usesCount: license.usesCount,
      increment: request.increment ?? null,
      maxUses: license.maxUsesOverride ?? policy.maxUses,
    }),
  },
];

function expiryFacts({ license, policy, now }: Facts): Record<string, unknown> {
  const { expirationStrategy, gracePeriodDays } = policy;
  return { expiresAt: license.expiresAt, gracePeriodDays, expirationStrategy, now };
}

function startVerdict({ license, now }: Facts): Outcome {
  if (license.startsAt === null) return skip('The license has no start.');
  return now < license.startsAt ? fail('NOT_STARTED') : pass;
}

function missingScopes({ policy, request }: Facts): string[] {
  const sent = {
    product: request.product !== undefined,
    policy: request.policy !== undefined,
    fingerprint: request.fingerprints.length > 0,
    user: request.userEmail !== undefined,
    version: request.version !== undefined,
  };
  return policy.requiredScopes.filter((scope) => !sent[scope]);
}

function requiredScopeVerdict(facts: Facts): Outcome {
  if (facts.policy.requiredScopes.length === 0) return skip('The policy requires nothing to be sent.');
  const missing = missingScopes(facts);
  return missing.length === 0 ? pass : fail('SCOPE_REQUIRED', `The policy requires ${missing.join(' and ')} to be sent.`);
}

function productVerdict({ license, productCode, request }: Facts): Outcome {
  if (request.product === undefined) return skip('No product was sent.');
  const wanted = request.product.toLowerCase();
  return wanted === license.productId || wanted === productCode.toLowerCase() ? pass : fail('PRODUCT_MISMATCH');
}

function policyVerdict({ license, request }: Facts): Outcome {
  if (request.policy === undefined) return skip('No policy was sent.');
  return request.policy.toLowerCase() === license.policyId ? pass : fail('POLICY_MISMATCH');
}

function userVerdict({ license, request }: Facts): Outcome {
  if (request.userEmail === undefined) return skip('No user was sent.');
  return request.userEmail.toLowerCase() === license.userEmail?.toLowerCase() ? pass : fail('USER_MISMATCH');
}

function versionVerdict({ license, request }: Facts): Outcome {
  if (license.allowedVersions === null) return skip('The license covers every version.');
  if (request.version === undefined) return skip('No version was sent.');
  return coversVersion(license.allowedVersions, request.version) ? pass : fail('VERSION_NOT_ALLOWED');
}

function expiryVerdict({ license, policy, now }: Facts): Outcome {
  switch (expiryState(license, policy, now)) {
    case 'perpetual':
      return skip(license.clockPending ? 'The clock of the license has not started.' : 'The license is perpetual.');
    case 'running':
      return pass;
    case 'grace':
      return warn('IN_GRACE_PERIOD');
    case 'expired':
      return policy.expirationStrategy === 'ALLOW_ACCESS' ? warn('EXPIRED') : fail('EXPIRED');
  }
}

function checkInVerdict({ license, policy, now }: Facts): Outcome {
  const due = nextCheckInAt(license, policy);
  if (due === null) return skip('No check-in is required.');
  return now < due ? pass : fail('CHECK_IN_OVERDUE');
}

function fingerprintGivenVerdict({ policy, request }: Facts): Outcome {
  if (!policy.requireFingerprint) return skip('No fingerprint is required.');
  return request.fingerprints.length === 0 ? fail('FINGERPRINT_REQUIRED') : pass;
}

function matchingFacts({ policy: { fingerprintMatching }, request }: Pick<Facts, 'policy' | 'request'>): Record<string, unknown> {
  const sent = request.fingerprints.length;
  return { fingerprintMatching, sent, needed: matchesNeeded(fingerprintMatching, sent) };
}

/** Sent fingerprints are counted, not machines: each part of a machine says that it is that machine. */
function fingerprintActiveVerdict({ license, policy, request, machines }: Facts): Outcome {
  const sent = request.fingerprints.length;
  if (sent === 0) return skip('No fingerprint was sent.');
  if (license.machineCount === 0) return fail('NOT_ACTIVATED');
  const active = matchesOf(request.fingerprints, machines).length;
  return active >= matchesNeeded(policy.fingerprintMatching, sent) ? pass : fail('FINGERPRINT_NOT_FOUND');
}

/** Of each sent fingerprint that is active: alive where one of the machines that it stands for is. */
function matchStatuses({ policy, request, machines, now }: Facts): { fingerprint: string; status: MachineStatus }[] {
  return matchesOf(request.fingerprints, machines).map((match) => {
    const statuses = match.machines.map((machine) => machineStatus(machine, policy, now));
    const status = (['active', 'dead'] as const).find((one) => statuses.includes(one)) ?? 'not_started';
    return { fingerprint: match.fingerprint, status };
  });
}

/** Of the active fingerprints, as many must belong to living machines as the policy's matching asks for. */
function heartbeatVerdict(facts: Facts): Outcome {
  const { policy, request } = facts;
  if (!policy.requireHeartbeat) return skip('No heartbeat is required.');
  const statuses = matchStatuses(facts).map(({ status }) => status);
  if (statuses.length === 0) return skip('None of the machines was named.');
  const living = statuses.filter((status) => status === 'active').length;
  // Fingerprints that are not active are the rule before this one's matter.
  const needed = Math.min(statuses.length, matchesNeeded(policy.fingerprintMatching, request.fingerprints.length));
  if (living >= needed) return pass;
  return statuses.includes('dead') ? fail('HEARTBEAT_DEAD') : fail('HEARTBEAT_REQUIRED');
}

function machineLimitRule(limit: MachineLimit): Rule {
  const allowed = ({ license, policy }: Facts): Limit => limitOf(license[limit.override], policy[limit.max], policy.overageStrategy);
  const used = (facts: Facts): number => facts.license[limit.total] - deadOf(facts, limit);
  return {
    name: machineLimitNames[limit.code],
    judge: (facts) => limitVerdict(used(facts), allowed(facts), limit.code),
    passes: `The ${limit.what} are within the limit.`,
    compared: (facts) => ({ ...limitFacts(facts, used(facts), allowed(facts)), dead: deadOf(facts, limit) }),
  };
}

/** What dead machines have that does not count: they keep their seats until they are culled, unless seats are leases. */
function deadOf({ policy, deadTotals }: Facts, limit: MachineLimit): number {
  return policy.floating && policy.requireHeartbeat ? deadTotals[limit.total] : 0;
}

function limitVerdict(used: number, allowed: Limit, code: ValidationCode, message?: string): Outcome {
  if (allowed.max === null) return skip('There is no limit.');
  switch (usageOf(used, allowed)) {
    case 'within':
      return pass;
    case 'overage':
      return warn(code, message);
    case 'exceeded':
      return fail(code, message);
  }
}

/** `limit` is how far `max` may be passed; null = without end. */
function limitFacts({ policy }: Facts, used: number | null, { max, effective }: Limit): Record<string, unknown> {
  return { used, max, limit: effective, overageStrategy: policy.overageStrategy };
}

const whereProcessesRun: Record<LeasingStrategy, string> = {
  PER_LICENSE: 'under the license',
  PER_MACHINE: 'on the machine',
  PER_USER: "for the machine's user",
};

function processVerdict(facts: Facts): Outcome {
  const { license, policy } = facts;
  const allowed = processLimit(license, policy);
  const counted = countedProcesses(facts.policy, facts.machines, facts.processes);
  if (allowed.max !== null && counted === null) return skip('Processes are limited per machine or user, and no machine was named.');
  const running = counted?.running ?? 0;
  const message = `${String(running)} processes run ${whereProcessesRun[policy.leasingStrategy]}, of ${String(allowed.max)} that the license allows.`;
  return limitVerdict(running, allowed, 'PROCESS_LIMIT_EXCEEDED', message);
}

function heldCodes({ inheritedEntitlements, ownEntitlements, now }: Facts): string[] {
  return entitlementsInForce(inheritedEntitlements, ownEntitlements, now).map(({ code }) => code);
}

function missingEntitlements(facts: Facts): string[] {
  const held = new Set(heldCodes(facts));
  return (facts.request.entitlements ?? []).filter((code) => !held.has(code));
}

function entitlementVerdict(facts: Facts): Outcome {
  if (facts.request.entitlements === undefined) return skip('No entitlement was asked for.');
  const missing = missingEntitlements(facts);
  return missing.length === 0 ? pass : fail('ENTITLEMENTS_MISSING', `The license lacks the entitlement ${missing.join(', ')}.`);
}

function usesVerdict({ license, policy, request }: Facts): Outcome {
  const max = license.maxUsesOverride ?? policy.maxUses;
  if (license.usesCount + (request.increment ?? 0) > (max ?? MAX_USES)) return fail('USES_EXCEEDED');
  return max === null ? skip('Uses are not limited.') : pass;
}
