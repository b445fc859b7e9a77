import type { Db } from '../core/database.js';
import type { Found, Slice } from '../core/page.js';
import { all, findSlice, loadSlice } from '../core/slice.js';
import { LatchkeyError } from '../domain/errors.js';
import type { EventType } from '../domain/events.js';
import { type DeliveryStatus, deliveryStatuses, MAX_REPLAYED } from '../domain/webhook-endpoint.js';
import { Prisma, type WebhookAttempt, type WebhookDelivery, type WebhookEndpoint } from '../generated/prisma/client.js';
import { type DeliveriesQuery, type DeliveryRow, MAX_ATTEMPTS_SHOWN } from './deliveries.dto.js';

/** As long as queueing a replay takes, about. */
const RETRY_AFTER_SECONDS = 5;

/** In words that the planner can hold against the index of each status. */
const hasStatus: Record<DeliveryStatus, Prisma.Sql> = {
  pending: Prisma.sql`status = 'pending'`,
  succeeded: Prisma.sql`status = 'succeeded'`,
  failed: Prisma.sql`status = 'failed'`,
};

/**
 * A slice of what an endpoint was told of. One way for each status, because each has an index of its own; the type is its
 * last column, so that no row is looked at for being of another.
 */
export async function findDeliveries(
  db: Db,
  endpointId: string,
  { status, eventType }: DeliveriesQuery,
  slice: Slice,
): Promise<Found<DeliveryRow>[]> {
  const ofType = eventType === undefined ? [] : [Prisma.sql`event_type = ${eventType}`];
  const way = (one: DeliveryStatus) => all([Prisma.sql`endpoint_id = ${endpointId}::uuid`, hasStatus[one], ...ofType]);
  const ways = (status === undefined ? deliveryStatuses : [status]).map(way);
  const positions = await findSlice(db, 'webhook_delivery', ways, slice);
  return loadSlice(positions, async (where) => withDetails(db, await db.webhookDelivery.findMany({ where })));
}

/** Deliveries with the times of their events and their tries. */
export async function withDetails(db: Db, deliveries: readonly WebhookDelivery[]): Promise<DeliveryRow[]> {
  const eventIds = deliveries.map(({ eventId }) => eventId);
  const events = await db.event.findMany({ where: { id: { in: eventIds } }, select: { id: true, createdAt: true } });
  const times = new Map(events.map(({ id, createdAt }) => [id, createdAt]));
  const attempts = await attemptsOf(
    db,
    deliveries.map(({ id }) => id),
  );
  return deliveries.map((delivery) => ({
    ...delivery,
    eventCreatedAt: times.get(delivery.eventId) ?? null,
    attempts: attempts.filter(({ deliveryId }) => deliveryId === delivery.id),
  }));
}

type AttemptRow = DeliveryRow['attempts'][number] & Pick<WebhookAttempt, 'deliveryId'>;

/** The newest tries of each, oldest first. */
function attemptsOf(db: Db, deliveryIds: readonly string[]): Promise<AttemptRow[]> {
  return db.$queryRaw<AttemptRow[]>`
    SELECT newest.delivery_id AS "deliveryId", newest.started_at AS "startedAt", newest.duration_ms AS "durationMs",
           newest.response_code AS "responseCode", newest.error, newest.response_body AS "responseBody"
      FROM unnest(${deliveryIds}::uuid[]) AS delivery (id)
     CROSS JOIN LATERAL (
           SELECT * FROM webhook_attempt WHERE delivery_id = delivery.id ORDER BY started_at DESC LIMIT ${MAX_ATTEMPTS_SHOWN}::int) AS newest
     ORDER BY newest.started_at, newest.id`;
}

/** Of what an endpoint that is there was told: null for what there is not. */
export async function findDelivery(db: Db, id: string): Promise<(WebhookDelivery & { endpoint: WebhookEndpoint }) | null> {
  return db.webhookDelivery.findFirst({ where: { id, endpoint: { deletedAt: null } }, include: { endpoint: true } });
}

/**
 * Queue what happened in a time for an endpoint, in the order in which everybody was told of it, and nothing that waits
 * there already. Answers how many events there are, and how many of them are queued now: none when there are more than a
 * replay takes. One replay of an environment at a time, so that none queues what another does, and a vendor's replays take
 * one connection at most.
 *
 * What waits is left out by sorting it in between the events: its cost does not depend on what the planner believes to know
 * of tables that grow by the thousand.
 * @throws 429 while another one is being queued
 */
export async function queueReplay(
  db: Db,
  { id: endpointId, environmentId, segmentId }: WebhookEndpoint,
  { from, to, types }: { from: Date; to: Date; types: readonly EventType[] },
  now: Date,
): Promise<{ found: number; queued: number }> {
  const [turn] = await db.$queryRaw<{ isOurs: boolean }[]>`
    SELECT pg_try_advisory_xact_lock(hashtextextended(${`replay in ${environmentId}`}, 0)) AS "isOurs"`;
  if (turn?.isOurs !== true) throw anotherReplay();
  const ofSegment = segmentId === null ? Prisma.empty : Prisma.sql`AND event.segment_id = ${segmentId}::uuid`;
  const [row] = await db.$queryRaw<{ found: bigint; queued: bigint }[]>`
    WITH found AS MATERIALIZED (
      SELECT event.id, event.type, event.license_id, event_feed.position
        FROM event JOIN event_feed ON event_feed.event_id = event.id
       WHERE event.environment_id = ${environmentId}::uuid AND event.type = ANY(${types}::text[]) ${ofSegment}
         AND event.created_at >= ${from}::timestamptz AND event.created_at < ${to}::timestamptz
       LIMIT ${MAX_REPLAYED + 1}::int
    ), counted AS (
      SELECT count(*) AS count FROM found
    ), chosen AS (
      SELECT id, type, license_id, position
        FROM (SELECT *, bool_or(id IS NULL) OVER (PARTITION BY position) AS waits
                FROM (SELECT id, type, license_id, position FROM found
                      UNION ALL
                      SELECT NULL, NULL, NULL, position FROM webhook_delivery
                       WHERE endpoint_id = ${endpointId}::uuid AND status = 'pending') AS candidate) AS judged
       WHERE NOT waits AND (SELECT count FROM counted) <= ${MAX_REPLAYED}::int
    ), numbered AS (
      -- UUIDs v7 whose order is that of the positions (RFC 9562, section 6.2, "Fixed Bit-Length Dedicated Counter"): 48 bits of
      -- milliseconds and 12 of a counter that carries into them, the rest random. PostgreSQL makes none before version 18.
      SELECT *, lpad(to_hex((${now.getTime()}::bigint << 12) + row_number() OVER (ORDER BY position)), 15, '0') AS digits FROM chosen
    ), queued AS (
      INSERT INTO webhook_delivery (id, environment_id, endpoint_id, segment_id, event_id, event_type, position, license_id,
                                    next_attempt_at, is_replay, created_at)
      SELECT concat(substr(digits, 1, 8), '-', substr(digits, 9, 4), '-7', substr(digits, 13, 3), '-',
                    substr(gen_random_uuid()::text, 20))::uuid,
             ${environmentId}::uuid, ${endpointId}::uuid, ${segmentId}::uuid, id, type, position, license_id,
             ${now}::timestamptz, true, ${now}::timestamptz
        FROM numbered
       ORDER BY position
      RETURNING 1
    )
    SELECT (SELECT count FROM counted) AS found, (SELECT count(*) FROM queued) AS queued`;
  return { found: Number(row?.found ?? 0), queued: Number(row?.queued ?? 0) };
}

function anotherReplay(): LatchkeyError {
  const details = { policy: 'replay', limit: 1, retryAfterSeconds: RETRY_AFTER_SECONDS };
  return new LatchkeyError('RATE_LIMITED', 'Another replay of this environment is being queued. Try again shortly.', details);
}
