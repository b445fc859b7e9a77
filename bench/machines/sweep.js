import { setTimeout as wait } from 'node:timers/promises';
import { withClient } from '../support/database.js';
import { fingerprintOf } from '../support/dataset.js';
import { beatOf, LEASE_SEATS, LEASES, miscounted, plantMore } from '../support/fleet.js';
import { drive, percentilesOf, validationOf } from '../support/load.js';
import { peakMemoryMb } from '../support/memory.js';
import { say } from '../support/report.js';
import { startServer } from '../support/targets.js';

/** Of each license all machines but one are dead. */
const DEAD_OF_LICENSE = LEASE_SEATS - 1;
/** Half of them ask validate-key, half beat. */
const CONNECTIONS = 8;
const LOOK_MS = 250;
/** The server sweeps every minute: after this long without a sign of it there is none. And what takes longer than half an hour is too slow. */
const STALLED_MS = 90_000;
const LONGEST_MS = 1_800_000;
/** p99 while it sweeps, beside before and after. */
const GOAL = 2;

/** How long dead machines take to go, what the server needs for it, and what those with a license notice meanwhile. */
export async function sweep({ settings, masterKey, cleanup, options }) {
  const { databaseUrl } = settings;
  const count = Math.ceil(options.dead / DEAD_OF_LICENSE);
  const licenses = await plantMore(databaseUrl, masterKey, LEASES, { licenses: count, machines: LEASE_SEATS });
  const server = await startServer(settings, cleanup);
  const load = startLoad(server, licenses);
  // Calm before and after: the first measurement's length is the warm-up.
  const calmMs = options.seconds * options.rounds * 1000;
  await wait(options.seconds * 1000);
  const times = { calmFrom: performance.now() };
  await wait(calmMs);
  times.calmTo = performance.now();
  const memoryBefore = peakMemoryMb(server.pid);
  const outcome = await withClient(databaseUrl, async (client) => {
    await age(client, licenses);
    return watch(client, licenses);
  });
  const memoryAfter = peakMemoryMb(server.pid);
  await wait(LOOK_MS + (outcome.isDone ? calmMs : 0));
  times.end = performance.now();
  const loads = await load.stop();
  await server.stop();
  const dead = count * DEAD_OF_LICENSE;
  if (!outcome.isDone)
    return [
      `${outcome.left} of ${dead} dead machines were left after ${outcome.waited} s; the last change came after ${outcome.changed} s`,
    ];

  const seconds = (outcome.endedAt - outcome.beganAt) / 1000;
  const memory = memoryBefore === null ? '' : `; peak memory ${memoryBefore.toFixed(0)} → ${memoryAfter.toFixed(0)} MB`;
  say(`Sweeping ${dead.toLocaleString('en')} dead machines: ${seconds.toFixed(1)} s, ${Math.round(dead / seconds)} a second${memory}`);
  const problems = loads.flatMap((one) => judge(one, { ...times, ...outcome }));
  return [...problems, ...(await withClient(databaseUrl, (client) => check(client, licenses)))];
}

/** Validations and beats of the living machines of the same licenses, until stopped. */
function startLoad(server, licenses) {
  const living = licenses.map(({ id, key, machines }) => ({
    key,
    machines: machines.slice(DEAD_OF_LICENSE),
    fingerprints: [fingerprintOf(id, LEASE_SEATS)],
  }));
  let stop;
  const until = new Promise((resolve) => {
    stop = resolve;
  });
  const kinds = [
    { name: 'validate-key', question: validationOf(living) },
    { name: 'heartbeat', question: beatOf(living) },
  ];
  const running = Promise.all(
    kinds.map(async ({ name, question }) => ({
      name,
      ...(await drive(server, question, { connections: CONNECTIONS / kinds.length, until })),
    })),
  );
  return {
    stop: () => {
      stop();
      return running;
    },
  };
}

async function age(client, licenses) {
  const dead = licenses.flatMap(({ machines }) => machines.slice(0, DEAD_OF_LICENSE));
  const { rowCount } = await client.query(
    `UPDATE machine_pulse SET activated_at = activated_at - interval '1 day' WHERE machine_id = ANY($1)`,
    [dead],
  );
  if (rowCount !== dead.length) throw new Error(`${rowCount} machines were aged`);
}

/** Looks until all the dead are gone, or nothing has happened for long. Times of the first and of the last change. */
async function watch(client, licenses) {
  const policyIds = [...new Set(licenses.map(({ policyId }) => policyId))];
  const look = async () => {
    const { rows } = await client.query(
      `SELECT count(*)::int AS held, count(*) FILTER (WHERE death_announced)::int AS announced FROM machine_pulse WHERE policy_id = ANY($1)`,
      [policyIds],
    );
    return { ...rows[0], at: performance.now() };
  };
  let last = await look();
  const first = last;
  let [beganAt, changedAt] = [null, first.at];
  const left = () => last.held - licenses.length;
  while (left() > 0 && last.at - changedAt < STALLED_MS && last.at - first.at < LONGEST_MS) {
    await wait(LOOK_MS);
    const now = await look();
    if (now.held !== last.held || now.announced !== last.announced) {
      beganAt ??= last.at;
      changedAt = now.at;
    }
    last = now;
  }
  const secondsTo = (time) => Math.round((time - first.at) / 1000);
  return { isDone: left() <= 0, left: left(), beganAt, endedAt: changedAt, waited: secondsTo(last.at), changed: secondsTo(changedAt) };
}

/** Print one kind's times; answers what is wrong with them. */
function judge({ name, answers, failures, examples }, { calmFrom, calmTo, beganAt, endedAt, end }) {
  const within = (...spans) =>
    percentilesOf(answers.flatMap(({ at, took }) => (spans.some(([from, to]) => at >= from && at < to) ? [took] : [])));
  const calm = within([calmFrom, calmTo], [endedAt, end]);
  const swept = within([beganAt, endedAt]);
  const ratio = swept.p99 / calm.p99;
  say(
    `${name.padEnd(13)} p50 ${calm.p50.toFixed(1)} → ${swept.p50.toFixed(1)} ms, p99 ${calm.p99.toFixed(1)} → ${swept.p99.toFixed(1)} ms: ` +
      `${ratio.toFixed(2)} × meanwhile (goal: at most ${GOAL.toFixed(2)} ×)`,
  );
  return [
    ...(failures === 0 ? [] : [`${failures} answers to ${name} were wrong during the sweep: ${examples.join('\n')}`]),
    ...(ratio <= GOAL ? [] : [`p99 of ${name} during the sweep is ${ratio.toFixed(2)} × what it is without; the goal is ${GOAL} ×`]),
  ];
}

/** Every death and removal was told once, nothing was told of the living, and the seats are counted. */
async function check(client, licenses) {
  const { rows } = await client.query(
    `SELECT count(*) FILTER (WHERE dead <> 1 OR deactivated <> 1)::int AS wrong, count(*)::int AS gone
       FROM (SELECT machine.id, count(*) FILTER (WHERE event.type = 'machine.dead') AS dead,
                    count(*) FILTER (WHERE event.type = 'machine.deactivated') AS deactivated
               FROM machine LEFT JOIN event ON event.resource_id = machine.id
              WHERE machine.license_id = ANY($1) AND machine.deleted_at IS NOT NULL
              GROUP BY machine.id) AS told`,
    [licenses.map(({ id }) => id)],
  );
  const [{ wrong, gone }] = rows;
  const wrongly = await miscounted(client, licenses);
  const expected = licenses.length * DEAD_OF_LICENSE;
  say(`Told once each: ${(gone - wrong).toLocaleString('en')} deaths and removals\n`);
  return [
    ...(gone === expected ? [] : [`${gone} machines are gone, not the ${expected} dead ones`]),
    ...(wrong === 0 ? [] : [`${wrong} machines have not exactly one machine.dead and one machine.deactivated`]),
    ...(wrongly === 0 ? [] : [`${wrongly} licenses count other machines than they have`]),
  ];
}
