import { LatchkeyError } from './errors.js';
import type { ExpiryPolicy } from './expiry.js';
import { isRevoked, licenseStatus, type LicenseStateFacts, type LicenseStatus } from './license-state.js';

/**
 * Everything that can be done to a license, and in which of its states (contract: resources.md, "State rules"). One table:
 * the states are what a vendor sets; whether the term is over matters only where that revokes.
 */

/** What a vendor sets and lifts, each with the column that says since when. */
const columns = { suspended: 'suspendedAt', banned: 'bannedAt', revoked: 'revokedAt' } as const;
type Mark = keyof typeof columns;

interface ActionRule {
  /** The action of the audit log, and the event's type; null = what it leaves has records of its own, or it leaves none. */
  recordedAs: string | null;
  /** Whether a revoked license takes it: reads, deletion and what gives seats back. */
  whenRevoked: boolean;
  /** The state that it sets, and which it is refused in. */
  sets?: Mark;
  /** The state that it lifts, and which it needs. */
  lifts?: Mark;
}

const change = <Action extends string | null>(recordedAs: Action) => ({ recordedAs, whenRevoked: false }) as const;
const sets = <Action extends string>(recordedAs: Action, mark: Mark) => ({ ...change(recordedAs), sets: mark }) as const;
const lifts = <Action extends string>(recordedAs: Action, mark: Mark) => ({ ...change(recordedAs), lifts: mark }) as const;
const always = { recordedAs: null, whenRevoked: true } as const;

/** By the name that refusals give them. Adding an action means adding a line here and a row in the spec. */
export const licenseActions = {
  suspend: sets('license.suspended', 'suspended'),
  reinstate: lifts('license.reinstated', 'suspended'),
  ban: sets('license.banned', 'banned'),
  unban: lifts('license.unbanned', 'banned'),
  revoke: sets('license.revoked', 'revoked'),
  renew: change('license.renewed'),
  transfer: change('license.transferred'),
  'check-in': change('license.checked_in'),
  usage: change('usage.incremented'),
  'usage/reset': change('license.updated'),
  'rotate-key': change('license.key_rotated'),
  'changing it': change('license.updated'),
  'attaching entitlements': change(null),
  'detaching entitlements': change(null),
  'reset-machines': always,
  'deactivating a machine': always,
  deleting: always,
  reading: always,
} as const satisfies Record<string, ActionRule>;

export type LicenseAction = keyof typeof licenseActions;

/** The moves that set or lift a state; each is one column of the license. */
export type StateAction = 'suspend' | 'reinstate' | 'ban' | 'unban' | 'revoke';

/**
 * Whether the license takes the action now. A state set twice, or lifted where it is not, is illegal; suspended and banned
 * stand beside each other, and each is lifted only by its own; a revoked license takes nothing that changes it.
 * @throws 409 CONFLICT naming the state
 */
export function requireAllowed(license: LicenseStateFacts, policy: ExpiryPolicy, action: LicenseAction, now: Date): void {
  const rule: ActionRule = licenseActions[action];
  if (!rule.whenRevoked && isRevoked(license, policy, now)) throw illegal('revoked', action);
  const isSetAlready = rule.sets !== undefined && license[columns[rule.sets]] !== null;
  const isNotSet = rule.lifts !== undefined && license[columns[rule.lifts]] === null;
  if (isSetAlready || isNotSet) throw illegal(licenseStatus(license, policy, now), action);
}

/**
 * The change that a move makes.
 * @throws 409 CONFLICT naming the state
 */
export function transition(
  license: LicenseStateFacts,
  policy: ExpiryPolicy,
  action: StateAction,
  now: Date,
): Partial<Pick<LicenseStateFacts, 'suspendedAt' | 'bannedAt' | 'revokedAt'>> {
  requireAllowed(license, policy, action, now);
  const rule = licenseActions[action];
  return 'sets' in rule ? { [columns[rule.sets]]: now } : { [columns[rule.lifts]]: null };
}

function illegal(status: LicenseStatus, action: LicenseAction): LatchkeyError {
  return new LatchkeyError('CONFLICT', `The license is ${status}: ${action} is not possible.`, { status });
}
