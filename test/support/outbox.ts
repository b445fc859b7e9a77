import type pg from 'pg';
import { eventually } from './eventually.js';

/**
 * When all that has happened to the accounts, by their ids or slugs, has its place in the feed, and whoever is told of it has
 * a delivery.
 */
export async function eventsArePassedOn(database: pg.Client, ...accounts: string[]): Promise<void> {
  const waiting = async () => {
    const { rows } = await database.query<{ count: string }>(
      `SELECT count(*) FROM event_outbox JOIN environment ON environment.id = environment_id JOIN account ON account.id = account_id
        WHERE account.id::text = ANY($1) OR slug = ANY($1)`,
      [accounts],
    );
    return Number(rows[0]!.count);
  };
  await eventually(waiting, (count) => count === 0);
}
