/** What can happen, as others are told of it (contract: webhooks.md, "Events"). */

const happenings = {
  license: [
    'created', 'activated', 'updated', 'suspended', 'reinstated', 'banned', 'unbanned', 'revoked', 'renewed', 'transferred',
    'checked_in', 'checked_out', 'expiring', 'expired', 'deleted', 'limit_reached', 'key_rotated',
  ],
  machine: ['activated', 'deactivated', 'updated', 'heartbeat', 'dead', 'resurrected', 'checked_out'],
  validation: ['success', 'failed'],
  product: ['created', 'updated', 'deleted'],
  policy: ['created', 'updated', 'deleted'],
  entitlement: ['created', 'updated', 'deleted', 'attached', 'detached'],
  usage: ['incremented'],
  api_key: ['created', 'rotated', 'revoked', 'leaked'],
  webhook: ['disabled'],
} as const; // prettier-ignore

type Happenings = typeof happenings;
export type EventType = { [Subject in keyof Happenings]: `${Subject}.${Happenings[Subject][number]}` }[keyof Happenings];

/** Every type that there is. */
export const eventTypes = Object.entries(happenings).flatMap(([subject, names]) =>
  names.map((name) => `${subject}.${name}`),
) as EventType[];

const known = new Set<string>(eventTypes);

/** Whether something that is written into the audit log is told to others as well. */
export function isEventType(action: string): action is EventType {
  return known.has(action);
}
