import { LatchkeyError, notFound } from './errors.js';
import { type HeartbeatPolicy, machineStatus, nextHeartbeatAt, type Pulse } from './heartbeat.js';
import { type LicenseStateFacts, requireUsable } from './license-state.js';
import type { ExpiryPolicy } from './expiry.js';
import type { PolicyAuthentication, PolicyRules } from './policy.js';
import {
  type LimitVerdict,
  type MachineLimitOverrides,
  type MachineLimitPolicy,
  type MachineSize,
  type MachineTotals,
  passedLimit,
  totalsWith,
} from './seats.js';

/** Who gets a seat, and what has to go for it (contract: resources.md, "Machines"). */

export type Credential = 'license' | 'apiKey';

/**
 * Who may activate machines (contract: resources.md, `authentication`).
 * @throws 403 AUTHENTICATION_NOT_ALLOWED
 */
export function requireMayActivate(credential: Credential, authentication: PolicyAuthentication): void {
  if (authentication === 'BOTH' || authentication === (credential === 'license' ? 'LICENSE' : 'API_KEY')) return;
  const what = credential === 'license' ? 'a license key' : 'an API key';
  throw new LatchkeyError('AUTHENTICATION_NOT_ALLOWED', `The policy does not let ${what} activate machines.`, { authentication });
}

/**
 * Who may put a machine in the place of another (contract: resources.md, `allowMachineTransfer`): the vendor always.
 * @throws 403 TRANSFER_NOT_ALLOWED
 */
function requireMayReplace(credential: Credential, { allowMachineTransfer }: Pick<PolicyRules, 'allowMachineTransfer'>): void {
  if (credential === 'apiKey' || allowMachineTransfer) return;
  throw new LatchkeyError('TRANSFER_NOT_ALLOWED', 'The policy does not let a license key replace a machine.');
}

export function fingerprintTaken(): LatchkeyError {
  return new LatchkeyError('FINGERPRINT_TAKEN', 'This fingerprint is active elsewhere.', { field: 'fingerprint' });
}

export type ActivationPolicy = MachineLimitPolicy &
  HeartbeatPolicy &
  ExpiryPolicy &
  Pick<PolicyRules, 'authentication' | 'floating' | 'allowMachineTransfer'>;

/** A machine of the license that has a seat, or had one. */
export interface Seated extends MachineSize {
  id: string;
  deletedAt: Date | null;
}

/** One that may have lost its seat to the next, with its signs of life. */
export interface SeatedPulse extends MachineSize, Pulse {
  id: string;
}

export interface ActivationFacts {
  credential: Credential;
  license: LicenseStateFacts & MachineLimitOverrides;
  totals: MachineTotals;
  policy: ActivationPolicy;
  /** The machine that has the fingerprint and a seat of this license. */
  existing: Seated | null;
  /** That of this license which is to be replaced: null = it is none of this license, undefined = none was named. */
  replaced: Seated | null | undefined;
  /** Whether the fingerprint is active elsewhere, where the policy wants it to be active once. */
  isTakenElsewhere: boolean;
  size: MachineSize;
  now: Date;
}

/** What becomes of an activation that is allowed. */
export type Activation =
  /** The machine has its seat. `replaced` goes: its totals are what is left. */
  | { outcome: 'existing'; replaced: string | null; totals: MachineTotals }
  /** A new seat; `replaced` and the dead go, and then these are the totals. */
  | { outcome: 'granted'; replaced: string | null; takenOver: string[]; totals: MachineTotals }
  | { outcome: 'refused'; passed: LimitVerdict };

/**
 * Decide. `others` are the machines of the license of which dead ones may be taken over; they are only looked at when a
 * limit would be passed, and none is when the policy is not `floating`.
 * @throws 403 for who may not, 404 for what is not there to be replaced, 422 FINGERPRINT_TAKEN
 */
export function decideActivation(facts: ActivationFacts, others: readonly SeatedPulse[]): Activation {
  const { credential, license, policy, existing, now } = facts;
  requireMayActivate(credential, policy.authentication);
  requireUsable(license, policy, now);
  if (facts.replaced !== undefined) requireMayReplace(credential, policy);
  const replaced = replacedIn(facts);
  const left = replaced === null ? facts.totals : totalsWith(facts.totals, replaced, -1);
  if (existing !== null) return { outcome: 'existing', replaced: replaced?.id ?? null, totals: left };
  if (facts.isTakenElsewhere) throw fingerprintTaken();

  const next = totalsWith(left, facts.size, 1);
  const passed = passedLimit(facts.totals, next, license, policy);
  if (passed === null) return { outcome: 'granted', replaced: replaced?.id ?? null, takenOver: [], totals: next };
  const candidates = policy.floating ? others.filter(({ id }) => id !== replaced?.id) : [];
  const takenOver = deadToTakeOver(
    candidates,
    policy,
    now,
    // As if they had gone before: on a license that is over its limits their seats are no room for the next.
    (gone) => passedLimit(without(facts.totals, gone), without(next, gone), license, policy) === null,
  );
  if (takenOver === null) return { outcome: 'refused', passed };
  return {
    outcome: 'granted',
    replaced: replaced?.id ?? null,
    takenOver: takenOver.map(({ id }) => id),
    totals: without(next, takenOver),
  };
}

/** The machine that has to go; null = none, because none was named, or it is the very one, or a repeat finds it gone. */
function replacedIn({ replaced, existing }: ActivationFacts): Seated | null {
  if (replaced === undefined) return null;
  if (replaced === null || (replaced.deletedAt !== null && existing === null)) throw notFound('machine', 'replaces');
  return replaced.deletedAt !== null || replaced.id === existing?.id ? null : replaced;
}

/**
 * The dead whose seats are taken over: the longest dead first, and only as many as it takes until it `fits`; null when
 * all of them are not enough.
 */
export function deadToTakeOver<Machine extends SeatedPulse>(
  machines: readonly Machine[],
  policy: HeartbeatPolicy,
  now: Date,
  fits: (gone: readonly Machine[]) => boolean,
): Machine[] | null {
  const dead = machines.filter((machine) => machineStatus(machine, policy, now) === 'dead').sort(byDeath(policy));
  if (dead.length === 0 || !fits(dead)) return null;
  let enough = 1;
  while (!fits(dead.slice(0, enough))) enough += 1;
  let chosen = dead.slice(0, enough);
  // One that is small may have been passed over by what only a large one after it could give.
  for (const machine of [...chosen].reverse()) {
    const spared = chosen.filter((one) => one !== machine);
    if (fits(spared)) chosen = spared;
  }
  return chosen;
}

function byDeath(policy: HeartbeatPolicy) {
  const diedAt = (machine: SeatedPulse): number => nextHeartbeatAt(machine, policy)?.getTime() ?? Infinity;
  return (one: SeatedPulse, other: SeatedPulse): number => diedAt(one) - diedAt(other) || (one.id < other.id ? -1 : 1);
}

function without(totals: MachineTotals, gone: readonly MachineSize[]): MachineTotals {
  return gone.reduce((left, machine) => totalsWith(left, machine, -1), totals);
}
