import type pg from 'pg';
import { eventually } from './eventually.js';

/** When all that has happened to the account has its place in the feed, and whoever is told of it has a delivery. */
export async function eventsArePassedOn(database: pg.Client, accountId: string): Promise<void> {
  const waiting = async () => {
    const { rows } = await database.query<{ count: string }>(
      'SELECT count(*) FROM event_outbox WHERE environment_id IN (SELECT id FROM environment WHERE account_id = $1)',
      [accountId],
    );
    return Number(rows[0]!.count);
  };
  await eventually(waiting, (count) => count === 0);
}
