import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { availableParallelism, loadavg } from 'node:os';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { MasterKey } from '../dist/core/master-key.js';
import { startDatabase, withClient } from './support/database.js';
import { plantDataset } from './support/dataset.js';
import { validationOf } from './support/load.js';
import { readOptionsOrTell } from './support/options.js';
import { say, summarise, tableOf } from './support/report.js';
import { run } from './support/run.js';
import { startTimedSigner } from './support/targets.js';
import { asked, inTurns } from './support/turns.js';

/**
 * `npm run bench:signing`: what does signing cost an answer of POST /licenses/validate-key? The median of what it takes within
 * the answering server (bench/support/timed-signer.js), and for comparison the CPU of whole answers with a token and without;
 * where no nonce is sent, nothing may be signed. Exit code 1 above GOAL_US, or when an answer is wrong or does not verify.
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
  const target = await startTimedSigner({ ...settings, profileDir: options['cpu-prof'] }, cleanup);

  const question = validationOf(licenses);
  await checkSigned(target, question, await withClient(database.url, accountsOf));
  const plain = { ...asked(target, { ...question, expected: '"token":null' }), name: 'without a nonce' };
  const signed = { ...asked(target, { ...question, expected: '"token":"ey', next: () => withNonce(question.next()) }), name: 'with one' };
  say(
    `${options.connections} connections, ${options.rounds} rounds of ${options.seconds} s, ${availableParallelism()} cores (load before: ${loadavg()[0].toFixed(1)}), Node ${process.versions.node}\n`,
  );
  const results = await inTurns([plain, signed], options);
  const signing = await target.told('SIGUSR2', 'signed');
  await plain.run(options);
  return judge(results, signing, await target.told('SIGUSR2', 'signed'));
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

function judge(results, signing, idle) {
  say(`POST /api/v1/licenses/validate-key: medians of the rounds\n\n${tableOf(summarise(results, results[0]), 'without')}\n`);
  const figures = [signing.median, signing.p25, signing.p75].map((microseconds) => microseconds.toFixed(0));
  say(
    `Signing took ${figures[0]} µs an answer (median of ${signing.count.toLocaleString('en')}; quartiles ${figures[1]} and ${figures[2]}).`,
  );
  say(`Goal: at most ${GOAL_US} µs. Signed where no nonce was sent: ${idle.count}.`);
  return [
    ...(signing.median > GOAL_US ? [`signing takes ${figures[0]} µs; the goal is ${GOAL_US} µs`] : []),
    ...(idle.count > 0 ? [`${idle.count} answers were signed to which no nonce was sent`] : []),
  ];
}

async function main() {
  const options = readOptionsOrTell(OPTIONS);
  if (options === null) return process.exitCode ?? 0;
  return run((cleanup) => bench(options, cleanup));
}

process.exit(await main());
