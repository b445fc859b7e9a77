import type { Db, Tenant } from '../core/database.js';
import { Prisma } from '../generated/prisma/client.js';
import { StreamedEvent } from './stream-line.js';

/** Events as they stand in the feed, for streams. */

/** A piece of the feed. */
export interface FeedSlice {
  events: StreamedEvent[];
  /** Everything up to here was looked at. */
  until: bigint;
}

interface Placed {
  position: bigint;
  /** Null = looked at, and not wanted. */
  eventId: string | null;
}

/** The newest position; 0 = there is none. */
export async function lastPosition(db: Db): Promise<bigint> {
  const [found] = await db.$queryRaw<{ position: bigint | null }[]>`SELECT max(position) AS position FROM event_feed`;
  return found?.position ?? 0n;
}

/** The next events of these environments behind a position and up to another, for all who listen there. */
export async function readFeed(
  db: Db,
  environments: ReadonlyMap<string, Pick<Tenant, 'environment'>>,
  { after, until, take }: { after: bigint; until: bigint; take: number },
): Promise<FeedSlice> {
  const placed = await db.$queryRaw<Placed[]>`
    SELECT position, event_id AS "eventId" FROM event_feed
     WHERE position > ${after} AND position <= ${until} AND environment_id = ANY(${[...environments.keys()]}::uuid[])
     ORDER BY position LIMIT ${take}`;
  const events = await load(db, placed, (environmentId) => environments.get(environmentId)?.environment ?? 'live');
  return { events, until: placed.length === take ? (placed.at(-1)?.position ?? until) : until };
}

/** The same for one who has missed them, of these types. Looks at no more than `take`, wanted or not. */
export async function readBacklog(
  db: Db,
  tenant: Tenant,
  { after, until, types, take }: { after: bigint; until: bigint; types: readonly string[]; take: number },
): Promise<FeedSlice> {
  const mine = tenant.segmentId === null ? Prisma.empty : Prisma.sql`AND event.segment_id = ${tenant.segmentId}::uuid`;
  const placed = await db.$queryRaw<Placed[]>`
    WITH next AS (
      SELECT position, event_id FROM event_feed
       WHERE environment_id = ${tenant.environmentId}::uuid AND position > ${after} AND position <= ${until}
       ORDER BY position LIMIT ${take})
    SELECT next.position, event.id AS "eventId"
      FROM next LEFT JOIN event ON event.id = next.event_id AND event.type = ANY(${types}) ${mine}
     ORDER BY next.position`;
  const events = await load(db, placed, () => tenant.environment);
  return { events, until: placed.length === take ? (placed.at(-1)?.position ?? until) : until };
}

/** Where an event of the tenant stands: `pending` = it has no position yet; null = the tenant has no such event (any more). */
export async function positionOf(db: Db, tenant: Tenant, eventId: string): Promise<bigint | 'pending' | null> {
  const mine = tenant.segmentId === null ? Prisma.empty : Prisma.sql`AND event.segment_id = ${tenant.segmentId}::uuid`;
  const [found] = await db.$queryRaw<{ position: bigint | null }[]>`
    SELECT event_feed.position FROM event LEFT JOIN event_feed ON event_feed.event_id = event.id
     WHERE event.id = ${eventId}::uuid AND event.environment_id = ${tenant.environmentId}::uuid ${mine}`;
  return found === undefined ? null : (found.position ?? 'pending');
}

async function load(db: Db, placed: readonly Placed[], environmentOf: (id: string) => Tenant['environment']): Promise<StreamedEvent[]> {
  const ids = placed.flatMap(({ eventId }) => eventId ?? []);
  if (ids.length === 0) return [];
  const rows = new Map((await db.event.findMany({ where: { id: { in: ids } } })).map((row) => [row.id, row]));
  return placed.flatMap(({ position, eventId }) => {
    const row = rows.get(eventId ?? '');
    return row === undefined ? [] : [new StreamedEvent(position, row, environmentOf(row.environmentId))];
  });
}
