import { randomBytes } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import autocannon from 'autocannon';
import { MasterKey } from '../dist/core/master-key.js';
import { startDatabase, withClient } from './support/database.js';
import { plantDataset } from './support/dataset.js';
import { measure, validationOf } from './support/load.js';
import { median } from './support/report.js';
import { run } from './support/run.js';
import { startServer } from './support/targets.js';

/**
 * `node bench/flood.js` (after `npm run build`): what do those with a license notice while one address guesses keys?
 * Known keys are validated without and with a flood of unknown ones beside them, in turns. Exit code 1 when a known key
 * is ever refused, or a guess beyond the limit ever answered.
 */

const DATASET = { licenses: 2000, machines: 2, accounts: 10 };
const ACCOUNT = 'vendor-1';
const ROUNDS = 3;
const SECONDS = 3;
const CUSTOMERS = 8;
const GUESSES_A_SECOND = 100;
const GUESS_LIMIT = 20;
const SETTLE_MS = 500;

const say = (text) => process.stdout.write(`${text}\n`);

/** Guess from one address until stopped; answers how many guesses there were and which statuses came back. */
function flood(url) {
  const statuses = new Map();
  const run = autocannon({
    url,
    method: 'POST',
    connections: 8,
    overallRate: GUESSES_A_SECOND,
    duration: 600,
    headers: { 'content-type': 'application/json', 'x-forwarded-for': '198.51.100.1' },
    // As a vendor's own key, which has no check digits: the dearest guess, each costs its look-ups.
    requests: [
      { setupRequest: (request) => ({ ...request, body: JSON.stringify({ key: randomBytes(12).toString('hex'), account: ACCOUNT }) }) },
    ],
  });
  run.on('response', (_client, status) => statuses.set(status, (statuses.get(status) ?? 0) + 1));
  return async () => {
    run.stop();
    await run;
    return statuses;
  };
}

async function bench(cleanup) {
  const secret = randomBytes(32);
  const masterKey = new MasterKey(secret);
  const { directory, url: databaseUrl } = await startDatabase(masterKey, cleanup);
  const licenses = await withClient(databaseUrl, (client) => plantDataset(client, masterKey, DATASET));
  const limits = { TRUSTED_PROXIES: '127.0.0.1', LIMIT_VALIDATE_UNKNOWN_PER_MINUTE: String(GUESS_LIMIT) };
  const server = await startServer({ databaseUrl, directory, masterKey: secret.toString('base64') }, cleanup, limits);

  const problems = [];
  const rounds = [];
  const askKnown = async () => {
    const figures = await measure(server, validationOf(licenses), { connections: CUSTOMERS, seconds: SECONDS });
    if (figures.failures > 0) problems.push(`${figures.failures} known keys were refused: ${figures.examples.join(' ')}`);
    await wait(SETTLE_MS);
    return figures;
  };
  await askKnown();
  for (let round = 1; round <= ROUNDS; round += 1) {
    const calm = await askKnown();
    const stop = flood(server.url);
    const flooded = await askKnown();
    const statuses = await stop();
    const answered = statuses.get(200) ?? 0;
    // The first round's begin its minute, which lasts for all rounds.
    if (answered > GUESS_LIMIT) problems.push(`${answered} guesses were answered in round ${round}; the limit is ${GUESS_LIMIT}`);
    rounds.push({ calm, flooded });
    say(
      `round ${round}: p50 ${calm.p50.toFixed(1)} → ${flooded.p50.toFixed(1)} ms, p99 ${calm.p99.toFixed(1)} → ${flooded.p99.toFixed(1)} ms; ` +
        `guesses: ${answered} answered, ${statuses.get(429) ?? 0} refused`,
    );
  }
  for (const name of ['p50', 'p99'])
    say(
      `${name} of known keys with the flood ÷ without: ${median(rounds.map(({ calm, flooded }) => flooded[name] / calm[name])).toFixed(2)} ×`,
    );
  return problems;
}

process.exit(await run(bench));
