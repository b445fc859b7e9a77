import type { Db, Lookup } from '../core/database.js';
import { WHOLE } from '../domain/roll-ups.js';

/** What waits, of all tenants: numbers and ages, and nothing of anybody's. */
export interface Waiting {
  /** At most `COUNTED`. */
  events: number;
  /** Age of the oldest of them; 0 = none waits. */
  oldestEventSeconds: number;
  /** At most `COUNTED`; also those that wait for their next try, or for their endpoint to be enabled. */
  deliveries: number;
}

/** So far is counted: by an index alone, a tenth of a second at most, however much waits. */
export const COUNTED = 100_000;

/**
 * How long the oldest has waited that is to be folded into the roll-ups: a change of what is tallied, or what a process has
 * validated. 0 = nothing waits. An age and nothing else, read by the role of the hot paths. Changes are found by their place;
 * batches of validations are few unless nobody folds, and then all are read.
 */
export const FIND_ROLL_UPS_AGE = {
  name: 'find_age_of_what_waits_for_roll_ups',
  text: `
    SELECT GREATEST(0, extract(epoch FROM clock_timestamp() - LEAST(
             (SELECT changed_at FROM tally_change ORDER BY place LIMIT 1),
             (SELECT min(counted_at) FROM validation_batch))))::float8 AS seconds`,
} satisfies Lookup;

/** Machines that hold a seat, of all tenants: from the roll-up of seats, whose rows are many licenses each. */
export async function countSeats(db: Db): Promise<number> {
  const [seats] = await db.$queryRaw<{ inUse: number }[]>`
    SELECT COALESCE(sum(machine_count * licenses), 0)::float8 AS "inUse" FROM seat_tally WHERE segment_id = ${WHOLE}::uuid`;
  return seats?.inUse ?? 0;
}

export async function countWaiting(db: Db): Promise<Waiting> {
  const [waiting] = await db.$queryRaw<Waiting[]>`
    SELECT (SELECT count(*) FROM (SELECT place FROM event_outbox ORDER BY place LIMIT ${COUNTED}::int) AS event)::int AS events,
           COALESCE((
             SELECT GREATEST(0, extract(epoch FROM clock_timestamp() - event.created_at))
               FROM (SELECT event_id FROM event_outbox ORDER BY place LIMIT 1) AS oldest JOIN event ON event.id = oldest.event_id
           ), 0)::float8 AS "oldestEventSeconds",
           (SELECT count(*) FROM (
              SELECT endpoint_id FROM webhook_delivery WHERE status = 'pending' LIMIT ${COUNTED}::int) AS delivery)::int AS deliveries`;
  if (waiting === undefined) throw new Error('No row of numbers.');
  return waiting;
}
