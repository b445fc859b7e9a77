import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { availableParallelism, loadavg } from 'node:os';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { MasterKey } from '../dist/core/master-key.js';
import { startDatabase, withClient } from './support/database.js';
import { plantDataset } from './support/dataset.js';
import { validationOf } from './support/load.js';
import { readOptionsOrTell } from './support/options.js';
import { median, say, summarise, tableOf } from './support/report.js';
import { run } from './support/run.js';
import { startServer } from './support/targets.js';
import { asked, inTurns } from './support/turns.js';

/**
 * `npm run bench:signing`: what does a signed answer of POST /licenses/validate-key cost the server in CPU, beside the same
 * answer unsigned in the same minutes? Exit code 1 above GOAL_US, or when an answer is wrong or does not verify.
 */

const GOAL_US = 150;

const OPTIONS = {
  command: 'npm run bench:signing',
  numbers: {
    licenses: { initial: 2000, help: 'licenses in the database' },
    machines: { initial: 2, help: 'machines of each license' },
    accounts: { initial: 5, help: 'accounts that the licenses are spread over, each with its own key' },
    connections: { initial: 16, help: 'connections that ask at the same time' },
    seconds: { initial: 3, help: 'length of one measurement' },
    rounds: { initial: 5, help: 'measurements of each kind' },
  },
  texts: { 'cpu-prof': { help: 'directory for a CPU profile of the server' } },
};

async function bench(options, cleanup) {
  const secret = randomBytes(32);
  const masterKey = new MasterKey(secret);
  const database = await startDatabase(masterKey, cleanup);
  const licenses = await withClient(database.url, (client) => plantDataset(client, masterKey, options));
  const settings = { databaseUrl: database.url, directory: database.directory, masterKey: secret.toString('base64') };
  const target = await startServer({ ...settings, profileDir: options['cpu-prof'] }, cleanup);

  const unsigned = validationOf(licenses);
  await checkSigned(target, unsigned, await withClient(database.url, accountsOf));
  const contestants = [
    { ...asked(target, { ...unsigned, expected: '"token":null' }), name: 'without a nonce' },
    { ...asked(target, { ...unsigned, expected: '"token":"ey', next: () => withNonce(unsigned.next()) }), name: 'with one: signed' },
    { ...asked(target, { ...unsigned, expected: '"token":null' }), name: 'without a nonce, again' },
  ];
  say(
    `${options.connections} connections, ${options.rounds} rounds of ${options.seconds} s, ${availableParallelism()} cores (load before: ${loadavg()[0].toFixed(1)}), Node ${process.versions.node}\n`,
  );
  return judge(await inTurns(contestants, options));
}

function withNonce({ body, ...request }) {
  return { ...request, body: JSON.stringify({ ...JSON.parse(body), nonce: randomUUID() }) };
}

/** What is measured is the real thing: a stranger can verify it. */
async function checkSigned(target, question, accounts) {
  const { path, headers, body } = withNonce(question.next());
  const reply = await fetch(new URL(path, target.url), { method: 'POST', headers, body });
  const { data } = await reply.json();
  const [, payload] = data.token.split('.');
  const { aud, environment } = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'));
  assert.ok(accounts.includes(aud));
  const keys = new URL(`/.well-known/jwks.json?account=${aud}&environment=${environment}`, target.url);
  await jwtVerify(data.token, createRemoteJWKSet(keys), { issuer: 'latchkey', audience: aud, typ: 'latchkey-validation+jwt' });
}

async function accountsOf(client) {
  return (await client.query('SELECT id FROM account')).rows.map(({ id }) => id);
}

/** The server's CPU alone: round by round, the signed answers beside the unsigned ones before and after them. */
function judge(results) {
  say(`POST /api/v1/licenses/validate-key: medians of the rounds\n\n${tableOf(summarise(results, results[0]), 'without')}\n`);
  const [before, signed, after] = results.map(({ rounds }) => rounds.map(({ serverCpu }) => serverCpu * 1000));
  const cost = median(signed.map((microseconds, round) => microseconds - (before[round] + after[round]) / 2));
  const apart = median(before.map((microseconds, round) => Math.abs(microseconds - after[round])));
  if (Number.isNaN(cost)) return ['the system does not tell the CPU time of a process'];
  say(`A signature costs ${cost.toFixed(0)} µs of CPU an answer (the same kind measured twice: ${apart.toFixed(0)} µs apart).`);
  say(`Goal: at most ${GOAL_US} µs.`);
  return cost <= GOAL_US ? [] : [`a signed answer costs ${cost.toFixed(0)} µs more; the goal is ${GOAL_US} µs`];
}

async function main() {
  const options = readOptionsOrTell(OPTIONS);
  if (options === null) return process.exitCode ?? 0;
  return run((cleanup) => bench(options, cleanup));
}

process.exit(await main());
