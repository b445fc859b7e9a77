import type { Db } from '../core/database.js';

/** Before every event. */
export const FIRST = '00000000-0000-0000-0000-000000000000';

/**
 * Remove events behind `after` that were written before `until`, with their places in the feed, their deliveries and the tries
 * of those, whatever state they are in; at most `count` are looked at. One that has no place yet is still to be passed on, and
 * stays. Their ids begin with the time (UUID v7, RFC 9562), so that they are found by the primary key alone. Answers the last one
 * that was looked at; null = there was none.
 */
export async function removeEvents(db: Db, after: string, until: Date, count: number): Promise<string | null> {
  const seen = await db.$queryRaw<{ id: string; isOld: boolean }[]>`
    SELECT id, created_at < ${until}::timestamptz AND EXISTS (SELECT FROM event_feed WHERE event_id = event.id) AS "isOld"
      FROM event
     WHERE id > ${after}::uuid AND id < ${firstIdAt(until)}::uuid
     ORDER BY id
     LIMIT ${count}::int`;
  const ids = seen.filter(({ isOld }) => isOld).map(({ id }) => id);
  if (ids.length > 0) {
    // The tries go with their deliveries, by the foreign key.
    await db.$executeRaw`DELETE FROM webhook_delivery WHERE event_id = ANY(${ids}::uuid[])`;
    await db.$executeRaw`DELETE FROM event_feed WHERE event_id = ANY(${ids}::uuid[])`;
    await db.$executeRaw`DELETE FROM event WHERE id = ANY(${ids}::uuid[])`;
  }
  return seen.at(-1)?.id ?? null;
}

/** Secrets whose overlap is over, and what streams wanted that are open no longer. Both are few. */
export async function removeEnded(db: Db, now: Date): Promise<void> {
  await db.$executeRaw`DELETE FROM webhook_secret WHERE ends_at <= ${now}::timestamptz`;
  await db.$executeRaw`DELETE FROM event_interest WHERE until <= ${now}::timestamptz`;
}

/** No UUID v7 that was made at this millisecond or later comes before it. */
function firstIdAt(time: Date): string {
  const milliseconds = time.getTime().toString(16).padStart(12, '0');
  return `${milliseconds.slice(0, 8)}-${milliseconds.slice(8)}-0000-0000-000000000000`;
}
