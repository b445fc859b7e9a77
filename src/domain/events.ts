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
  webhook: ['disabled', 'test'],
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

/** `license.*` and the like. */
export const eventFamilies = Object.keys(happenings).map((subject) => `${subject}.*`);

/** The types that a filter of a list stands for: one, or with `.*` at the end every one that begins like it. */
export function typesOf(filter: string): EventType[] {
  return eventTypes.filter((type) => type === filter || (filter.endsWith('.*') && type.startsWith(filter.slice(0, -1))));
}

/** Kinds of resources that events are about. */
export const eventResources = ['license', 'machine', 'product', 'policy', 'entitlement', 'api_key', 'webhook'] as const;
export type EventResource = (typeof eventResources)[number];

/** The types of events that may be about a resource of this kind. */
export function typesAbout(resource: EventResource): EventType[] {
  return eventTypes.filter((type) => resourcesOf(type).includes(resource));
}

/** Most are about what they are named after. */
function resourcesOf(type: EventType): readonly string[] {
  if (type === 'entitlement.attached' || type === 'entitlement.detached') return ['license', 'policy'];
  const subject = type.slice(0, type.indexOf('.'));
  return subject === 'validation' || subject === 'usage' ? ['license'] : [subject];
}

/** Made so often that they are only made when somebody listens who names them (contract: webhooks.md, "Events"). */
const highVolume = ['validation.success', 'validation.failed', 'machine.heartbeat'] as const satisfies EventType[];
export type HighVolumeEventType = (typeof highVolume)[number];

/** What an endpoint or stream can list to be told of any of those; the migration of the index on such endpoints repeats it. */
export const highVolumePatterns: readonly string[] = [...highVolume, 'validation.*'];

const EVERYTHING = '*';

/**
 * What is wrong with one item of an endpoint's `events` or a stream's `types`, to follow the field's name; null = nothing.
 * Allowed are a type, `*`, and a prefix like `license.*`.
 */
export function patternIssue(pattern: string): string | null {
  return eventTypes.some((type) => matches(pattern, type)) || pattern === EVERYTHING
    ? null
    : 'must be a type of event like license.created, all of a kind like license.*, or *';
}

/** Whether somebody who listens to these patterns is told of events of this type. */
export function listensTo(patterns: readonly string[], type: string): boolean {
  return patterns.some((pattern) => (pattern === EVERYTHING ? !isHighVolume(type) : matches(pattern, type)));
}

/** Those of the types made only for listeners that these patterns name. */
export function highVolumeTypesOf(patterns: readonly string[]): HighVolumeEventType[] {
  return highVolume.filter((type) => listensTo(patterns, type));
}

/** A prefix names a type of high volume only when it is for nothing else: `validation.*` does, `machine.*` does not. */
function matches(pattern: string, type: string): boolean {
  if (pattern === type) return true;
  if (!pattern.endsWith('.*')) return false;
  const prefix = pattern.slice(0, -1);
  const isForThoseAlone = eventTypes.filter((known) => known.startsWith(prefix)).every(isHighVolume);
  return type.startsWith(prefix) && (!isHighVolume(type) || isForThoseAlone);
}

function isHighVolume(type: string): boolean {
  return highVolume.some((known) => known === type);
}

/** Whom an event is told to: what is needed of an endpoint to say so. */
interface Listening {
  id: string;
  events: readonly string[];
  isEnabled: boolean;
  /** Null = everything of its environment. */
  segmentId: string | null;
}

/** What is needed of an event to say whom it is told to. */
interface Happened {
  type: string;
  resourceId: string;
  segmentId: string | null;
}

/** Whether an endpoint is told of an event of its environment. A test is for the endpoint that is tested. */
export function isMeantFor(endpoint: Listening, event: Happened): boolean {
  if (!endpoint.isEnabled || (endpoint.segmentId !== null && endpoint.segmentId !== event.segmentId)) return false;
  return event.type === 'webhook.test' ? event.resourceId === endpoint.id : listensTo(endpoint.events, event.type);
}
