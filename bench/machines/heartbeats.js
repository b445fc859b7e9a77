import { prepareDatabase } from '../../dist/core/migrate.js';
import { withClient } from '../support/database.js';
import { beatOf, plantFleet } from '../support/fleet.js';
import { measure } from '../support/load.js';
import { anyOf } from '../support/random.js';
import { hotShareOf, statisticsOf } from '../support/relations.js';
import { median, say, summarise, tableOf } from '../support/report.js';
import { startBenchApplication, startMachineBaseline, startServer } from '../support/targets.js';
import { alone, asked, inTurns } from '../support/turns.js';

const CONNECTIONS = [1, 8, 64];
const MANY = 64;
/**
 * At 64 connections, beside this application with one UPDATE per request. Beside a bare node:http server that knows no one
 * and answers a constant it is told, and promised nothing.
 */
const GOAL = 3;
const HOT_GOAL = 0.95;
const FEW_MACHINES = 10_000;
const GROWTH_GOAL = 1.2;

/** Heartbeats beside one UPDATE per request, with HTTP and without; and what share of them touches no index. */
export async function heartbeats(world) {
  const { settings, fleet, cleanup, options } = world;
  const subject = await startServer({ ...settings, name: 'heartbeat (Latchkey)' }, cleanup);
  const inFramework = await startBenchApplication('this application, one UPDATE per request', settings, cleanup);
  const overHttp = await startMachineBaseline('node:http, one UPDATE per request', 'update', settings, cleanup);
  const byItself = await startMachineBaseline('that UPDATE without HTTP', 'update', settings, cleanup);
  const contestants = [
    asked(subject, beatOf(fleet)),
    asked(inFramework, benchBeatOf(fleet)),
    asked(overHttp, updateOf(fleet)),
    alone(byItself),
  ];
  let ratio;
  for (const connections of CONNECTIONS) {
    const summaries = summarise(await inTurns(contestants, { ...options, connections }));
    say(`Heartbeats of random machines, connections: ${connections}\n${tableOf(summaries, 'heartbeat')}\n`);
    ratio = median(summaries[1].ratios);
  }
  for (const target of [subject, inFramework, overHttp, byItself]) await target.stop();
  say(
    `Goal at ${MANY} connections: at least ${GOAL.toFixed(2)} × this application with one UPDATE per request. Measured: ${ratio.toFixed(2)} ×.`,
  );
  const problems = ratio >= GOAL ? [] : [`heartbeats are only ${ratio.toFixed(2)} × one UPDATE per request; the goal is ${GOAL} ×`];
  return [...problems, ...(await heapOnly(world))];
}

/** After everything that was written before, on pages that are in daily use. */
async function heapOnly({ settings, fleet, cleanup, options }) {
  return withClient(settings.databaseUrl, async (client) => {
    const before = await statisticsOf(client);
    const server = await startServer(settings, cleanup);
    const { requests } = await measure(server, beatOf(fleet), { connections: MANY, seconds: options.seconds * options.rounds });
    await server.stop();
    const after = await statisticsOf(client);
    const share = hotShareOf(before, after);
    say(
      `Heap-only updates: ${(share * 100).toFixed(2)} % of ${(after.updates - before.updates).toLocaleString('en')} (${requests.toLocaleString('en')} beats)\n`,
    );
    return share >= HOT_GOAL
      ? []
      : [`only ${(share * 100).toFixed(2)} % of the beats' updates are heap-only; the goal is ${HOT_GOAL * 100} %`];
  });
}

/** The same server on a small database and on the large one, in turns. */
export async function growth({ settings, masterKey, fleet, cleanup, options }) {
  const { url, licenses } = await plantSmall(settings.databaseUrl, masterKey, options);
  const small = await startServer({ ...settings, databaseUrl: url, name: `${FEW_MACHINES.toLocaleString('en')} machines` }, cleanup);
  const large = await startServer({ ...settings, name: `${options.machines.toLocaleString('en')} machines` }, cleanup);
  const contestants = [asked(small, beatOf(licenses)), asked(large, beatOf(fleet))];
  const summaries = summarise(await inTurns(contestants, { ...options, connections: MANY }));
  for (const target of [small, large]) await target.stop();
  const ratio = median(summaries[1].ratios);
  say(`Heartbeats by the size of the fleet, connections: ${MANY}\n${tableOf(summaries, small.name)}`);
  say(`Goal: a beat takes at most ${GROWTH_GOAL.toFixed(2)} × as long in the larger. Measured: ${ratio.toFixed(2)} ×.\n`);
  return ratio <= GROWTH_GOAL ? [] : [`a beat takes ${ratio.toFixed(2)} × as long in the larger fleet; the goal is ${GROWTH_GOAL} ×`];
}

async function plantSmall(databaseUrl, masterKey, { accounts }) {
  const url = new URL('/small', databaseUrl).href;
  await withClient(databaseUrl, (client) => client.query('CREATE DATABASE small'));
  await prepareDatabase(url, masterKey);
  const licenses = await withClient(url, (client) => plantFleet(client, masterKey, { accounts, machines: FEW_MACHINES }));
  return { url, licenses };
}

/** The same question as `beatOf` asks, of the bench's own route. */
function benchBeatOf(licenses) {
  const { next, ...question } = beatOf(licenses);
  return { ...question, expected: '"stored":true', next: () => withPath(next()) };
}

function withPath(request) {
  return { ...request, path: request.path.replace(/^.*\/machines\/(.*)\/heartbeat$/, '/bench/beat/$1') };
}

/** Of a random machine, by its environment and its id. */
function updateOf(licenses) {
  const next = () => {
    const { environmentId, machines } = anyOf(licenses);
    return { path: `/one/${environmentId}/${anyOf(machines)}` };
  };
  return { status: 200, expected: '"stored":true', next };
}
