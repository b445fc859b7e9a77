import { randomBytes } from 'node:crypto';
import { availableParallelism, loadavg } from 'node:os';
import { MasterKey } from '../dist/core/master-key.js';
import { activations } from './machines/activations.js';
import { bloat } from './machines/bloat.js';
import { growth, heartbeats } from './machines/heartbeats.js';
import { sweep } from './machines/sweep.js';
import { startDatabase, withClient } from './support/database.js';
import { plantFleet } from './support/fleet.js';
import { readOptionsOrTell } from './support/options.js';
import { say } from './support/report.js';
import { run } from './support/run.js';

/**
 * `npm run bench:machines`: what a fleet of a million machines on one small database costs. Heartbeats beside a server
 * that writes one row per request, by the size of the fleet, and what they leave in the database; activations; sweeping
 * the dead. Exit code 1 when a promise of these is broken, or any answer is wrong.
 */

const SECTIONS = { heartbeats, growth, bloat, activations, sweep };
const OPTIONS = {
  command: 'npm run bench:machines',
  numbers: {
    machines: { initial: 1_000_000, help: 'machines of the fleet' },
    accounts: { initial: 20, help: 'accounts that they are spread over' },
    beats: { initial: 1_000_000, help: 'beats whose traces are looked at' },
    dead: { initial: 100_000, help: 'dead machines that are swept' },
    seconds: { initial: 2, help: 'length of one measurement' },
    rounds: { initial: 3, help: 'measurements of each target' },
  },
  texts: { only: { help: `comma list of ${Object.keys(SECTIONS).join(', ')}; the others are left out` } },
};

/** The sections to run. */
function chosen(only) {
  const names = only?.split(',') ?? Object.keys(SECTIONS);
  const unknown = names.filter((name) => !Object.hasOwn(SECTIONS, name));
  if (unknown.length > 0) throw new Error(`--only knows ${Object.keys(SECTIONS).join(', ')}, not ${unknown.join(', ')}`);
  return names.map((name) => SECTIONS[name]);
}

async function bench(options, cleanup) {
  const sections = chosen(options.only);
  say(
    `Rounds: ${options.rounds} of ${options.seconds} s, ${availableParallelism()} cores (load before: ${loadavg()[0].toFixed(1)}), Node ${process.versions.node}`,
  );
  const secret = randomBytes(32);
  const masterKey = new MasterKey(secret);
  const { directory, url: databaseUrl } = await startDatabase(masterKey, cleanup);
  const startedAt = performance.now();
  const fleet = await withClient(databaseUrl, (client) => plantFleet(client, masterKey, options));
  const count = (number) => number.toLocaleString('en');
  say(
    `${count(options.machines)} machines of ${count(fleet.length)} licenses, ${count(options.accounts)} accounts, planted in ${Math.round((performance.now() - startedAt) / 1000)} s\n`,
  );
  const settings = { databaseUrl, directory, masterKey: secret.toString('base64') };
  const problems = [];
  for (const section of sections) problems.push(...(await section({ settings, masterKey, fleet, cleanup, options })));
  return problems;
}

const options = readOptionsOrTell(OPTIONS);
process.exit(options === null ? (process.exitCode ?? 0) : await run((cleanup) => bench(options, cleanup)));
