import { LatchkeyError, invalid } from './errors.js';
import { type EventType, eventTypes, listensTo } from './events.js';

/** What may be done with the addresses that are told of events (contract: webhooks.md, "Endpoints"). */

/** `failing`: it is told of events, and its last try failed. */
export const webhookStatuses = ['enabled', 'failing', 'disabled'] as const;
export type WebhookStatus = (typeof webhookStatuses)[number];

export const deliveryStatuses = ['pending', 'succeeded', 'failed'] as const;
export type DeliveryStatus = (typeof deliveryStatuses)[number];

/** Of an environment: what each of its events may cost is bounded by it. */
export const MAX_ENDPOINTS = 100;
/** That sign at the same time, the newest among them: all their signatures stand in one header. */
export const MAX_SECRETS = 5;
/** Events of one replay: what a database under load still queues well within the time that a statement may take. */
export const MAX_REPLAYED = 50_000;
/** As long as a try is under way at most: what is pending for no longer is being tried, or will be without being asked. */
const SOON_MS = 30_000;
const MS_PER_SECOND = 1000;

interface Health {
  isEnabled: boolean;
  failingSince: Date | null;
}

export function webhookStatus({ isEnabled, failingSince }: Health): WebhookStatus {
  if (!isEnabled) return 'disabled';
  return failingSince === null ? 'enabled' : 'failing';
}

/**
 * For what would send something.
 * @throws 409 with `details.status` for a disabled endpoint
 */
export function requireEnabled({ isEnabled }: Pick<Health, 'isEnabled'>): void {
  if (!isEnabled) throw new LatchkeyError('CONFLICT', 'The webhook endpoint is disabled.', { status: 'disabled' satisfies WebhookStatus });
}

/** @throws 422 WEBHOOK_LIMIT_EXCEEDED when the environment has as many as it may have */
export function requireRoom(endpointsCount: number): void {
  if (endpointsCount < MAX_ENDPOINTS) return;
  const message = `An environment has at most ${String(MAX_ENDPOINTS)} webhook endpoints.`;
  throw new LatchkeyError('WEBHOOK_LIMIT_EXCEEDED', message, { limit: MAX_ENDPOINTS });
}

/** What its past failures have led to; none of it outlasts a vendor who has mended something. */
const forgotten = { failingSince: null, consecutiveFailures: 0, restingUntil: null };

/**
 * What becomes of an endpoint when its vendor enables or disables it, or gives it another address. Enabling forgets its
 * failures also when it is enabled already: it is tried again at once. Another address is as good as new, and as disabled
 * as the one before. Disabling keeps the note of why Latchkey did it first.
 */
export function healthAfter({ isEnabled }: Pick<Health, 'isEnabled'>, change: { enabled?: boolean; isOtherUrl: boolean }, now: Date) {
  if (change.enabled === true) return { ...forgotten, isEnabled: true, disabledReason: null, disabledAt: null };
  return {
    ...(change.isOtherUrl ? forgotten : {}),
    ...(change.enabled === false && isEnabled ? { isEnabled: false, disabledReason: null, disabledAt: now } : {}),
  };
}

interface Signing {
  id: string;
  /** Null = the endpoint's own. */
  endsAt: Date | null;
}

/**
 * When the secrets of an endpoint end that gets a new one: none of them outlasts the overlap, so that an overlap of 0 leaves
 * the new one alone. Those that have ended are not among them.
 * @throws 409 with `details.endsAt` when too many would sign at once: that is when the first of them ends
 */
export function overlappingSecrets(secrets: readonly Signing[], overlapSeconds: number, now: Date): { id: string; endsAt: Date }[] {
  const overlapEnd = new Date(now.getTime() + overlapSeconds * MS_PER_SECOND);
  const overlapping = secrets
    .map(({ id, endsAt }) => ({ id, endsAt: endsAt !== null && endsAt < overlapEnd ? endsAt : overlapEnd }))
    .filter(({ endsAt }) => endsAt > now);
  if (overlapping.length < MAX_SECRETS) return overlapping;
  const endsAt = overlapping.map((secret) => secret.endsAt).reduce((a, b) => (b < a ? b : a));
  throw new LatchkeyError(
    'CONFLICT',
    `The endpoint has ${String(MAX_SECRETS)} secrets that sign. Wait for the end of one, or rotate without an overlap.`,
    {
      status: 'rotating',
      endsAt,
    },
  );
}

/** Of a delivery that is to be tried again: whether that changes anything, or it is being tried or soon will be. */
export function isRetriedLater(delivery: { status: DeliveryStatus; nextAttemptAt: Date }, now: Date): boolean {
  return delivery.status !== 'pending' || delivery.nextAttemptAt.getTime() > now.getTime() + SOON_MS;
}

/**
 * The types of events that a replay asks for, by the patterns of its own or else those of the endpoint. A test is for one
 * moment.
 * @throws 400 when there is none
 */
export function replayedTypes(patterns: readonly string[]): EventType[] {
  const types = eventTypes.filter((type) => type !== 'webhook.test' && listensTo(patterns, type));
  if (types.length === 0) throw invalid([{ path: 'types', message: 'must name events that can be replayed: tests cannot' }]);
  return types;
}

/** @throws 400 for a time that ends before it begins */
export function requireRange({ from, to }: { from: Date; to: Date }): void {
  if (from >= to) throw invalid([{ path: 'to', message: 'must be later than from' }]);
}

/** @throws 400 for more events than one replay takes */
export function requireReplayable(eventsCount: number): void {
  if (eventsCount <= MAX_REPLAYED) return;
  throw invalid([{ path: 'to', message: `must take in at most ${String(MAX_REPLAYED)} events: replay a shorter time, or fewer types` }]);
}
