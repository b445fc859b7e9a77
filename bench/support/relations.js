import { setTimeout as wait } from 'node:timers/promises';

const LOOK_MS = 100;
const LAST_REPORT_MS = 1000;

/** Sessions report what they did when they end: once no other one is left, the statistics are complete. */
export async function statisticsOf(client) {
  for (let others = 1; others > 0; await wait(LOOK_MS)) {
    const { rows } = await client.query(
      `SELECT count(*)::int AS others FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()`,
    );
    others = rows[0].others;
  }
  await wait(LAST_REPORT_MS);
  const { rows } = await client.query(
    `SELECT n_tup_upd::int AS updates, n_tup_hot_upd::int AS hot, n_dead_tup::int AS dead, autovacuum_count::int AS autovacuums
       FROM pg_stat_user_tables WHERE relname = 'machine_pulse'`,
  );
  return rows[0];
}

/** Bytes of the pulses and of each of their indexes. */
export async function sizesOf(client) {
  const { rows } = await client.query(
    `SELECT relname AS name, pg_relation_size(oid)::float8 AS bytes FROM pg_class
      WHERE oid = 'machine_pulse'::regclass OR oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = 'machine_pulse'::regclass)
      ORDER BY relkind DESC, relname`,
  );
  return rows;
}

/** Share of the updates between the two that touched no index. */
export function hotShareOf(before, after) {
  return (after.hot - before.hot) / (after.updates - before.updates);
}
