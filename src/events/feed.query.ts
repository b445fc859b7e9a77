import { v7 as uuidv7 } from 'uuid';
import type { Db } from '../core/database.js';
import { insertMany } from '../core/insert.js';
import { isMeantFor } from '../domain/events.js';

/** A committed event that has no position yet. */
export interface WaitingEvent {
  /** In the outbox. */
  place: bigint;
  id: string;
  environmentId: string;
  type: string;
  resourceId: string;
  licenseId: string | null;
  segmentId: string | null;
  /** Where in which trace it was written. */
  traceContext: string | null;
}

/** Whether anything waits in the outbox. */
export async function somethingWaits(db: Db): Promise<boolean> {
  const found = await db.$queryRaw<unknown[]>`SELECT 1 FROM event_outbox LIMIT 1`;
  return found.length > 0;
}

/** The first events of the outbox, in the order in which they were written. */
export function findFirst(db: Db, count: number): Promise<WaitingEvent[]> {
  return db.$queryRaw<WaitingEvent[]>`
    SELECT event_outbox.place, event.id, event.environment_id AS "environmentId", event.type, event.resource_id AS "resourceId",
           event.license_id AS "licenseId", event.segment_id AS "segmentId", event.trace_context AS "traceContext"
      FROM (SELECT place, event_id FROM event_outbox ORDER BY place LIMIT ${count}::int) AS event_outbox
      JOIN event ON event.id = event_outbox.event_id
     ORDER BY event_outbox.place`;
}

/** An event and the endpoints that are told of it. */
export interface ToldTo {
  event: WaitingEvent;
  endpoints: { id: string; segmentId: string | null }[];
}

/** Who is told of each of these events. */
export async function findEndpoints(db: Db, events: readonly WaitingEvent[]): Promise<ToldTo[]> {
  const environmentIds = [...new Set(events.map(({ environmentId }) => environmentId))];
  const endpoints = await db.webhookEndpoint.findMany({
    where: { environmentId: { in: environmentIds }, deletedAt: null, isEnabled: true },
    select: { id: true, environmentId: true, events: true, isEnabled: true, segmentId: true },
  });
  return events.map((event) => ({
    event,
    endpoints: endpoints.filter((endpoint) => endpoint.environmentId === event.environmentId && isMeantFor(endpoint, event)),
  }));
}

/**
 * Take events out of the outbox, give them the next positions of the feed in their order, and make their deliveries, due at
 * once. Only for whoever has the turn until the end of the transaction: positions must become visible in their order.
 */
export async function pass(db: Db, told: readonly ToldTo[]): Promise<void> {
  const placed = await db.$queryRaw<{ id: string; position: bigint }[]>`
    WITH taken AS (
      DELETE FROM event_outbox WHERE place = ANY(${told.map(({ event }) => event.place)}::bigint[])
      RETURNING place, environment_id, event_id
    )
    INSERT INTO event_feed (environment_id, event_id)
    SELECT environment_id, event_id FROM taken ORDER BY place
    RETURNING event_id AS id, position`;
  const positions = new Map(placed.map(({ id, position }) => [id, position]));
  const now = new Date();
  const deliveries = told.flatMap(({ event, endpoints }) =>
    endpoints.map((endpoint) => ({
      id: uuidv7(),
      environmentId: event.environmentId,
      endpointId: endpoint.id,
      segmentId: endpoint.segmentId,
      eventId: event.id,
      eventType: event.type,
      position: positions.get(event.id),
      licenseId: event.licenseId,
      nextAttemptAt: now,
    })),
  );
  await insertMany(db, 'webhook_delivery', deliveries);
}
