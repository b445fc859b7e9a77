import { withClient } from '../support/database.js';
import { anyOf } from '../support/random.js';
import { hotShareOf, sizesOf, statisticsOf } from '../support/relations.js';
import { say } from '../support/report.js';

/** Beats that are written together, and how many writers do so at once. */
const GROUP = 64;
const WRITERS = 4;
const MIB = 2 ** 20;

const BEAT = {
  name: 'beat',
  text: `UPDATE machine_pulse SET last_heartbeat_at = GREATEST(last_heartbeat_at, $3::timestamptz)
           FROM unnest($1::uuid[], $2::uuid[]) AS beaten (environment_id, machine_id)
          WHERE machine_pulse.environment_id = beaten.environment_id AND machine_pulse.machine_id = beaten.machine_id`,
};

/** What so many beats leave behind, written in groups by SQL alone; autovacuum does as it does by default. */
export async function bloat({ settings, fleet, options }) {
  return withClient(settings.databaseUrl, async (client) => {
    await client.query('CREATE EXTENSION IF NOT EXISTS pgstattuple');
    const before = { sizes: await sizesOf(client), statistics: await statisticsOf(client) };
    const startedAt = performance.now();
    // Each writer has machines of its own: groups that overlap would wait for each other.
    const share = Math.ceil(fleet.length / WRITERS);
    const writers = Array.from({ length: WRITERS }, (_, index) => fleet.slice(index * share, (index + 1) * share));
    await Promise.all(
      writers.map((licenses) => withClient(settings.databaseUrl, (writer) => write(writer, licenses, options.beats / WRITERS))),
    );
    const seconds = (performance.now() - startedAt) / 1000;
    const after = { sizes: await sizesOf(client), statistics: await statisticsOf(client) };
    const { rows } = await client.query(`SELECT dead_tuple_percent, free_percent FROM pgstattuple('machine_pulse')`);
    say(`After ${options.beats.toLocaleString('en')} beats, written by SQL in groups of ${GROUP} in ${seconds.toFixed(0)} s`);
    for (const [index, { name, bytes }] of after.sizes.entries()) {
      say(`${name.padEnd(26)} ${megabytes(before.sizes[index].bytes)} → ${megabytes(bytes)}`);
    }
    say(
      `${(hotShareOf(before.statistics, after.statistics) * 100).toFixed(2)} % heap-only; dead rows ${after.statistics.dead.toLocaleString('en')} ` +
        `(${rows[0].dead_tuple_percent} % of the table), free ${rows[0].free_percent} %; ` +
        `autovacuum came ${after.statistics.autovacuums - before.statistics.autovacuums} times\n`,
    );
    return [];
  });
}

async function write(client, licenses, beats) {
  for (let written = 0; written < beats; written += GROUP) {
    const machines = new Map(
      Array.from({ length: GROUP }, () => {
        const { environmentId, machines: ids } = anyOf(licenses);
        return [anyOf(ids), environmentId];
      }),
    );
    const { rowCount } = await client.query({ ...BEAT, values: [[...machines.values()], [...machines.keys()], new Date()] });
    if (rowCount !== machines.size) throw new Error(`${rowCount} of ${machines.size} beats were written`);
  }
}

function megabytes(bytes) {
  return `${(bytes / MIB).toFixed(1)} MiB`;
}
