import type pg from 'pg';
import { eventually } from './eventually.js';

/** Tables that analytics are answered from: kept across tenants, a moment behind what they are a sum of. */
export const ROLL_UPS = [
  'activity_count',
  'cohort_tally',
  'dead_machine_tally',
  'license_month',
  'license_tally',
  'name_month',
  'seat_tally',
  'sighting',
];

/** Those, and what waits to be folded into them: their rows come and go while nobody asks for anything. */
export const KEPT_BEHIND = [...ROLL_UPS, 'tally_change'];

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
