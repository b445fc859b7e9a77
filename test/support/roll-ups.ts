import type pg from 'pg';
import { eventually } from './eventually.js';

/**
 * When every change of the accounts' licenses and machines, and every batch of validations that had been written by now, is in
 * the roll-ups. `accounts` are ids or slugs. A process keeps what it validated for up to half a second before it writes it.
 */
export async function rollUpsAreKept(database: pg.Client, ...accounts: string[]): Promise<void> {
  const { rows: batches } = await database.query<{ batch: string }>(`SELECT process_id || ' ' || sequence AS batch FROM validation_batch`);
  const waiting = async () => {
    const { rows } = await database.query<{ changes: string; batches: string }>(
      `SELECT (SELECT count(*) FROM tally_change JOIN environment ON environment.id = environment_id JOIN account ON account.id = account_id
                WHERE account.id::text = ANY($1) OR slug = ANY($1)) AS changes,
              (SELECT count(*) FROM validation_batch WHERE process_id || ' ' || sequence = ANY($2)) AS batches`,
      [accounts, batches.map(({ batch }) => batch)],
    );
    return Number(rows[0]!.changes) + Number(rows[0]!.batches);
  };
  await eventually(waiting, (count) => count === 0);
}
