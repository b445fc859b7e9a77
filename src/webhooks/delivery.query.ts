import type { Db } from '../core/database.js';
import type { EnvironmentName } from '../domain/api-key.js';
import { FAILURES_BEFORE_REST } from '../domain/endpoint-health.js';
import { type EventView, toEventView } from '../events/events.dto.js';
import type { Event } from '../generated/prisma/client.js';

/**
 * The table of deliveries as the queue that it is (docs/decisions/0017-webhooks.md, "Delivering"). All across tenants: every
 * row says whose it is, and what belongs together is joined by that as well.
 */

/** An endpoint that something waits for. */
export interface Waiting {
  endpointId: string;
  /** When the first of it may be sent: it is due, and the endpoint does not rest. */
  dueAt: Date;
}

/** A delivery that is this process's to try, until its claim ends. */
export interface Claimed {
  id: string;
  environmentId: string;
  endpointId: string;
  eventId: string;
  licenseId: string | null;
  /** Of the event in the feed. */
  position: bigint;
  /** Tries that had ended when it was claimed: an outcome counts only for who claimed it. */
  attemptCount: number;
  /** When it was due, to be given back with. */
  dueAt: Date;
  /** Then it is due again, for anybody. */
  claimedUntil: Date;
  url: string;
}

/**
 * Endpoints that are enabled and that something waits for, by when it is due. A step of `webhook_delivery_due_idx` for each
 * endpoint with anything pending, however much that is.
 */
export function findWaiting(db: Db): Promise<Waiting[]> {
  return db.$queryRaw<Waiting[]>`
    WITH RECURSIVE first AS (
      (SELECT endpoint_id, next_attempt_at FROM webhook_delivery
        WHERE status = 'pending' ORDER BY endpoint_id, next_attempt_at LIMIT 1)
      UNION ALL
      SELECT following.endpoint_id, following.next_attempt_at
        FROM first CROSS JOIN LATERAL (
          SELECT endpoint_id, next_attempt_at FROM webhook_delivery
           WHERE status = 'pending' AND endpoint_id > first.endpoint_id ORDER BY endpoint_id, next_attempt_at LIMIT 1) AS following
    )
    SELECT first.endpoint_id AS "endpointId", GREATEST(first.next_attempt_at, endpoint.resting_until) AS "dueAt"
      FROM first JOIN webhook_endpoint AS endpoint ON endpoint.id = first.endpoint_id
     WHERE endpoint.is_enabled AND endpoint.deleted_at IS NULL
     ORDER BY "dueAt"`;
}

/**
 * Claim up to so many due deliveries of each of these endpoints, in the order in which they are due: until `claimedUntil`
 * nobody else sees them as due. An endpoint on trial gets one, and rests for everybody else meanwhile. Nothing is waited for
 * that others are claiming.
 */
export function claimDue(db: Db, shares: ReadonlyMap<string, number>, now: Date, claimedUntil: Date): Promise<Claimed[]> {
  const endpointIds = [...shares.keys()];
  return db.$queryRaw<Claimed[]>`
    WITH share AS (
      SELECT * FROM unnest(${endpointIds}::uuid[], ${[...shares.values()]}::int[]) AS share (endpoint_id, claims)
    ), awake AS (
      SELECT endpoint.id, endpoint.url, endpoint.consecutive_failures >= ${FAILURES_BEFORE_REST}::int AS is_on_trial, share.claims
        FROM share JOIN webhook_endpoint AS endpoint ON endpoint.id = share.endpoint_id
       WHERE endpoint.is_enabled AND endpoint.deleted_at IS NULL
         AND (endpoint.resting_until IS NULL OR endpoint.resting_until <= ${now}::timestamptz)
    ), trial AS (
      UPDATE webhook_endpoint SET resting_until = ${claimedUntil}::timestamptz
       WHERE id IN (
         SELECT id FROM webhook_endpoint
          WHERE id IN (SELECT id FROM awake WHERE is_on_trial)
            AND (resting_until IS NULL OR resting_until <= ${now}::timestamptz)
            FOR NO KEY UPDATE SKIP LOCKED)
      RETURNING id
    ), due AS MATERIALIZED (
      SELECT awake.url, next.id, next.next_attempt_at
        FROM awake CROSS JOIN LATERAL (
          SELECT id, next_attempt_at FROM webhook_delivery
           WHERE endpoint_id = awake.id AND status = 'pending' AND next_attempt_at <= ${now}::timestamptz
           ORDER BY next_attempt_at, position
           LIMIT CASE WHEN awake.is_on_trial THEN 1 ELSE awake.claims END
             FOR UPDATE SKIP LOCKED) AS next
       WHERE NOT awake.is_on_trial OR awake.id IN (SELECT id FROM trial)
    )
    UPDATE webhook_delivery AS delivery SET next_attempt_at = ${claimedUntil}::timestamptz
      FROM due WHERE delivery.id = due.id
    RETURNING delivery.id, delivery.environment_id AS "environmentId", delivery.endpoint_id AS "endpointId", delivery.event_id AS "eventId",
              delivery.license_id AS "licenseId", delivery.position, delivery.attempt_count AS "attemptCount",
              delivery.next_attempt_at AS "claimedUntil", due.next_attempt_at AS "dueAt", due.url`;
}

/** Make claims due again as they were, where nobody has done anything about them meanwhile. */
export async function giveBack(db: Db, claims: readonly Claimed[]): Promise<void> {
  await db.$executeRaw`
    UPDATE webhook_delivery AS delivery SET next_attempt_at = claim.due_at
      FROM unnest(${claims.map(({ id }) => id)}::uuid[], ${claims.map(({ attemptCount }) => attemptCount)}::int[],
                  ${claims.map(({ dueAt }) => dueAt)}::timestamptz[], ${claims.map(({ claimedUntil }) => claimedUntil)}::timestamptz[])
           AS claim (id, attempt_count, due_at, claimed_until)
     WHERE delivery.id = claim.id AND delivery.status = 'pending' AND delivery.attempt_count = claim.attempt_count
       AND delivery.next_attempt_at = claim.claimed_until`;
}

/** Of what belongs to a claim: ids are only ever looked up together with whose they are. */
export function keyOf({ environmentId }: { environmentId: string }, id: string): string {
  return `${environmentId} ${id}`;
}

/** An event to deliver. */
export interface LoadedEvent {
  /** As everybody is told of it. */
  view: EventView;
  /** Where in which trace it was written; told to nobody. */
  traceContext: string | null;
}

/** The events of the claims; by `keyOf`. Those that are no longer kept are not there. */
export async function loadEvents(db: Db, claims: readonly Claimed[]): Promise<Map<string, LoadedEvent>> {
  const rows = await db.$queryRaw<(Event & { environment: EnvironmentName })[]>`
    SELECT event.id, event.environment_id AS "environmentId", event.segment_id AS "segmentId", event.type,
           event.resource_type AS "resourceType", event.resource_id AS "resourceId", event.license_id AS "licenseId", event.data,
           event.actor_type AS "actorType", event.actor_id AS "actorId", event.request_id AS "requestId", event.trace_context AS "traceContext",
           event.occurred_at AS "occurredAt", event.created_at AS "createdAt", environment.name AS environment
      FROM event JOIN environment ON environment.id = event.environment_id
     WHERE event.id = ANY(${[...new Set(claims.map(({ eventId }) => eventId))]}::uuid[])`;
  return new Map(rows.map((row) => [keyOf(row, row.id), { view: toEventView(row, row.environment), traceContext: row.traceContext }]));
}

/** A secret as it lies in the database. */
export interface SealedSecret {
  id: string;
  environmentId: string;
  endpointId: string;
  sealed: Uint8Array;
}

/** What the claims are to be signed with, the newest secret of each endpoint first. */
export function loadSecrets(db: Db, claims: readonly Claimed[], now: Date): Promise<SealedSecret[]> {
  return db.$queryRaw<SealedSecret[]>`
    SELECT id, environment_id AS "environmentId", endpoint_id AS "endpointId", sealed
      FROM webhook_secret
     WHERE endpoint_id = ANY(${[...new Set(claims.map(({ endpointId }) => endpointId))]}::uuid[])
       AND (ends_at IS NULL OR ends_at > ${now}::timestamptz)
     ORDER BY endpoint_id, created_at DESC, id DESC`;
}

/** A try that has ended, and what becomes of its delivery. */
export interface KeptTry {
  /** Made with the try: written twice, it is there once. */
  id: string;
  deliveryId: string;
  attemptCount: number;
  startedAt: Date;
  durationMs: number;
  /** Null = there was no answer. */
  responseCode: number | null;
  error: string | null;
  responseBody: string | null;
  status: 'pending' | 'succeeded' | 'failed';
  /** Of one that is tried again. */
  nextAttemptAt: Date | null;
  endedAt: Date;
}

/**
 * Write down tries and what they did to their deliveries, in one statement. A delivery is changed only where it is as it was
 * when it was claimed, or when what was sent has arrived: that is true whatever anybody else believes.
 */
export async function keepTries(db: Db, tries: readonly KeptTry[]): Promise<void> {
  await db.$executeRaw`
    WITH ended AS (
      SELECT * FROM jsonb_to_recordset(${JSON.stringify(tries)}::jsonb) AS ended (
        "id" uuid, "deliveryId" uuid, "attemptCount" int, "startedAt" timestamptz, "durationMs" int, "responseCode" int, "error" text,
        "responseBody" text, "status" webhook_delivery_status, "nextAttemptAt" timestamptz, "endedAt" timestamptz)
    ), changed AS (
      UPDATE webhook_delivery AS delivery
         SET status = ended.status, attempt_count = delivery.attempt_count + 1,
             next_attempt_at = COALESCE(ended."nextAttemptAt", delivery.next_attempt_at),
             finished_at = CASE WHEN ended.status = 'pending' THEN NULL ELSE ended."endedAt" END
        FROM ended
       WHERE delivery.id = ended."deliveryId"
         AND (delivery.status = 'pending' AND delivery.attempt_count = ended."attemptCount"
              OR delivery.status <> 'succeeded' AND ended.status = 'succeeded')
    )
    INSERT INTO webhook_attempt (id, environment_id, endpoint_id, delivery_id, started_at, duration_ms, response_code, error, response_body)
    SELECT ended.id, delivery.environment_id, delivery.endpoint_id, delivery.id, ended."startedAt", ended."durationMs", ended."responseCode", ended.error,
           ended."responseBody"
      FROM ended JOIN webhook_delivery AS delivery ON delivery.id = ended."deliveryId"
    ON CONFLICT (id) DO NOTHING`;
}
