import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { availableParallelism, loadavg } from 'node:os';
import { resolve } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { MasterKey } from '../dist/core/master-key.js';
import { startDatabase, withClient } from './support/database.js';
import { plantDataset } from './support/dataset.js';
import { ask, measure, validationOf } from './support/load.js';
import { readOptionsOrTell } from './support/options.js';
import { explainFacts } from './support/plan.js';
import { median, summarise, tableOf } from './support/report.js';
import { run } from './support/run.js';
import { startBaseline, startServer } from './support/targets.js';

/**
 * `npm run bench`: how fast is POST /licenses/validate-key on a full database, beside what the machine, the framework
 * and a naive implementation do in the same minutes? Exit code 1 when it is not GOAL times the naive one, when any
 * answer is wrong, or when PostgreSQL reads a whole table to find one license.
 */

const GOAL = 3;
/** Answers of the naive route that are compared with validate-key's: a baseline that does less would prove nothing. */
const COMPARED_ANSWERS = 20;
/** Latchkey writes `lastValidatedAt` a second behind its answers; the next target should not pay for that. */
const SETTLE_MS = 2000;

const OPTIONS = {
  command: 'npm run bench',
  numbers: {
    licenses: { initial: 200_000, help: 'licenses in the database' },
    machines: { initial: 2, help: 'machines of each license' },
    accounts: { initial: 250, help: 'accounts, each with 8 policies, that the licenses are spread over' },
    connections: { initial: 32, help: 'connections that ask at the same time' },
    seconds: { initial: 8, help: 'length of one measurement' },
    'warm-up': { initial: 4, help: 'seconds of load before the first measurement' },
    rounds: { initial: 3, help: 'measurements of each target' },
  },
  texts: { 'cpu-prof': { help: "directory for CPU profiles of validate-key's and the naive server" } },
};

/** What else the machine was doing: on a busy one every rate is low, and the CPU times are the better figures. */
const loadBefore = loadavg()[0].toFixed(1);

const say = (text) => process.stdout.write(`${text}\n`);

/** Everything; answers what is wrong with the outcome. */
async function bench(options, cleanup) {
  const secret = randomBytes(32);
  const masterKey = new MasterKey(secret);
  const database = await startDatabase(masterKey, cleanup);
  const licenses = await withClient(database.url, (client) => plant(client, masterKey, options));
  const planProblems = await withClient(database.url, (client) => checkPlan(client, masterKey, licenses[0]));

  const { directory, url: databaseUrl } = database;
  const settings = { databaseUrl, directory, masterKey: secret.toString('base64'), profileDir: options['cpu-prof'] };
  const targets = await startTargets(settings, licenses, cleanup);
  await compareAnswers(targets.subject, targets.naive, licenses);
  const results = await measureInTurns(targets, licenses, options);
  return [...planProblems, ...judgeResults(results)];
}

async function plant(client, masterKey, options) {
  const startedAt = performance.now();
  const licenses = await plantDataset(client, masterKey, options);
  const { rows } = await client.query(
    `SELECT count(*)::int AS machines, pg_size_pretty(pg_database_size(current_database())) AS size FROM machine`,
  );
  const seconds = Math.round((performance.now() - startedAt) / 1000);
  const count = (number) => number.toLocaleString('en');
  say(
    `${count(licenses.length)} licenses, ${count(rows[0].machines)} machines, ${count(options.accounts)} accounts: ${rows[0].size}, planted in ${seconds} s\n`,
  );
  return licenses;
}

async function checkPlan(client, masterKey, license) {
  const plans = await explainFacts(client, masterKey, license);
  say(`The facts of one license, EXPLAIN (ANALYZE, BUFFERS) as latchkey_lookup\n${plans.map(({ text }) => text).join('\n')}\n`);
  const tables = new Set(plans.flatMap(({ sequentialScans }) => sequentialScans));
  return tables.size === 0 ? [] : [`The facts query reads whole tables: ${[...tables].join(', ')}`];
}

/** The subject and its three baselines, each in a process of its own. */
async function startTargets(settings, licenses, cleanup) {
  const subject = await startServer(settings, cleanup);
  const naive = await startBaseline('naive Prisma route', 'naive-prisma', settings, cleanup);
  const constant = { ...settings, profileDir: undefined, answer: await ask(subject.url, licenses[0]) };
  return {
    subject,
    naive,
    nest: await startBaseline('bare Nest + Express route', 'nest', constant, cleanup),
    nodeHttp: await startBaseline('bare node:http server', 'node-http', constant, cleanup),
  };
}

/** Both must say the same of the same license, but for the time. */
async function compareAnswers(subject, naive, licenses) {
  for (let index = 0; index < COMPARED_ANSWERS; index += 1) {
    const { key, fingerprints } = licenses[Math.floor((index / COMPARED_ANSWERS) * licenses.length)];
    const license = { key, fingerprints: fingerprints.slice(0, 1) };
    const [expected, actual] = (await Promise.all([ask(subject.url, license), ask(naive.url, license)])).map(
      (text) => JSON.parse(text).data,
    );
    assert.deepEqual({ ...actual, checkedAt: null }, { ...expected, checkedAt: null }, 'the naive route answers something else');
  }
}

/**
 * A warm-up and then round after round through all targets, so that a slow minute of the machine hits them all.
 * The subject comes after the naive route and before those that use no database: its writes are behind its answers.
 */
async function measureInTurns({ subject, naive, nest, nodeHttp }, licenses, options) {
  const results = [subject, naive, nest, nodeHttp].map((target) => ({ name: target.name, target, rounds: [] }));
  const question = validationOf(licenses);
  const turns = [naive, subject, nest, nodeHttp].map((target) => results.find((result) => result.target === target));
  say(
    `${options.connections} connections, ${options.rounds} rounds of ${options.seconds} s, ${availableParallelism()} cores (load before: ${loadBefore}), Node ${process.versions.node}`,
  );
  for (let round = 0; round <= options.rounds; round += 1) {
    const isWarmUp = round === 0;
    for (const { name, target, rounds } of turns) {
      const figures = await measure(target, question, { ...options, seconds: isWarmUp ? options['warm-up'] : options.seconds });
      if (figures.failures > 0 || figures.requests === 0) throw new Error(failureOf(target, figures));
      if (!isWarmUp) rounds.push(figures);
      say(
        `  ${isWarmUp ? 'warm-up' : `round ${round}`}: ${name.padEnd(26)} ${Math.round(figures.requestsPerSecond).toLocaleString('en').padStart(7)} requests/s`,
      );
      await wait(SETTLE_MS);
    }
  }
  return results;
}

function failureOf({ name, output }, { requests, failures, examples }) {
  return `${failures} of ${requests} answers of ${name} were not valid, for example:\n${examples.join('\n')}\nIt printed:\n${output}`;
}

/** Print the table; answers whether the goal was missed. */
function judgeResults(results) {
  const summaries = summarise(results, results[0]);
  say(`\nPOST /api/v1/licenses/validate-key: medians of the rounds\n\n${tableOf(summaries, 'validate-key')}\n`);
  const ratio = median(summaries[1].ratios);
  say(`Goal: at least ${GOAL.toFixed(2)} × the naive Prisma route. Measured: ${ratio.toFixed(2)} ×.`);
  return ratio >= GOAL ? [] : [`validate-key is only ${ratio.toFixed(2)} × the naive Prisma route; the goal is ${GOAL.toFixed(2)} ×`];
}

async function main() {
  const options = readOptionsOrTell(OPTIONS);
  if (options === null) return process.exitCode ?? 0;
  const profileDir = options['cpu-prof'];
  if (profileDir !== undefined) {
    options['cpu-prof'] = resolve(profileDir);
    await mkdir(options['cpu-prof'], { recursive: true });
  }
  return run((cleanup) => bench(options, cleanup));
}

process.exit(await main());
