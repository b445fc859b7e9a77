import { v7 as uuidv7 } from 'uuid';
import type { Db } from '../core/database.js';
import { insertMany } from '../core/insert.js';
import { isMeantFor } from '../domain/events.js';

/** An event that has got its position. */
export interface PlacedEvent {
  id: string;
  position: bigint;
  environmentId: string;
  type: string;
  resourceId: string;
  licenseId: string | null;
  segmentId: string | null;
}

/** Whether anything waits in the outbox. */
export async function somethingWaits(db: Db): Promise<boolean> {
  const found = await db.$queryRaw<unknown[]>`SELECT 1 FROM event_outbox LIMIT 1`;
  return found.length > 0;
}

/**
 * Take the first events out of the outbox and give them the next positions of the feed, in one statement. Only for whoever
 * has the turn until the end of the transaction: positions must become visible in their order.
 */
export function placeEvents(db: Db, count: number): Promise<PlacedEvent[]> {
  return db.$queryRaw<PlacedEvent[]>`
    WITH taken AS (
      DELETE FROM event_outbox
       WHERE place IN (SELECT place FROM event_outbox ORDER BY place LIMIT ${count}::int)
      RETURNING place, environment_id, event_id
    ), placed AS (
      INSERT INTO event_feed (environment_id, event_id)
      SELECT environment_id, event_id FROM taken ORDER BY place
      RETURNING position, event_id
    )
    SELECT event.id, placed.position, event.environment_id AS "environmentId", event.type, event.resource_id AS "resourceId",
           event.license_id AS "licenseId", event.segment_id AS "segmentId"
      FROM placed JOIN event ON event.id = placed.event_id
     ORDER BY placed.position`;
}

/** One delivery for each event and endpoint that is told of it, due at once; answers how many. */
export async function fanOut(db: Db, events: readonly PlacedEvent[]): Promise<number> {
  const environmentIds = [...new Set(events.map(({ environmentId }) => environmentId))];
  const endpoints = await db.webhookEndpoint.findMany({
    where: { environmentId: { in: environmentIds }, deletedAt: null, isEnabled: true },
    select: { id: true, environmentId: true, events: true, isEnabled: true, segmentId: true },
  });
  const now = new Date();
  const deliveries = events.flatMap((event) =>
    endpoints
      .filter((endpoint) => endpoint.environmentId === event.environmentId && isMeantFor(endpoint, event))
      .map((endpoint) => ({
        id: uuidv7(),
        environmentId: endpoint.environmentId,
        endpointId: endpoint.id,
        segmentId: endpoint.segmentId,
        eventId: event.id,
        eventType: event.type,
        position: event.position,
        licenseId: event.licenseId,
        nextAttemptAt: now,
      })),
  );
  await insertMany(db, 'webhook_delivery', deliveries);
  return deliveries.length;
}
