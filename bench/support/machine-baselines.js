import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import pg from 'pg';
import { UNCOUNTED } from './fleet.js';
import { percentilesOf } from './load.js';

/**
 * What machines are held against; run as a process: `node machine-baselines.js update|insert`. It answers
 * `POST /one/<value>/<value>…` with one statement of these values, prepared, and nothing else: no authentication, no
 * rules, no history. `POST /alone/<connections>/<seconds>` leaves HTTP out: it runs the statement itself, so many callers
 * over as many connections (10 at most), and answers the figures.
 */

const HOST = '127.0.0.1';
/** As many as Latchkey's default has in all. */
const POOL_SIZE = 10;
const SAMPLE = 100_000;

const baselines = {
  update: {
    text: 'UPDATE machine_pulse SET last_heartbeat_at = now() WHERE environment_id = $1 AND machine_id = $2',
    sample: `SELECT environment_id, machine_id FROM machine_pulse ORDER BY random() LIMIT ${SAMPLE}`,
    valuesOf: (row) => [row.environment_id, row.machine_id],
  },
  insert: {
    text: 'INSERT INTO machine (id, environment_id, license_id, fingerprint, updated_at) VALUES (uuidv7(), $1, $2, $3, now())',
    sample: `SELECT license.environment_id, license.id FROM license JOIN policy ON policy.id = license.policy_id WHERE policy.name = '${UNCOUNTED}'`,
    valuesOf: (row) => [row.environment_id, row.id, randomBytes(16).toString('hex')],
  },
};
const { text, sample, valuesOf } = baselines[process.argv[2]];

const poolOf = (max) => new pg.Pool({ connectionString: process.env.DATABASE_URL, max });
const run = async (pool, values) => {
  const { rowCount } = await pool.query({ name: 'statement', text, values });
  if (rowCount !== 1) throw new Error(`${rowCount} rows were written`);
};

const shared = poolOf(POOL_SIZE);
let rows;

async function alone(callers, seconds) {
  rows ??= (await shared.query(sample)).rows;
  const pool = poolOf(Math.min(callers, POOL_SIZE));
  const took = [];
  const startedAt = performance.now();
  const endsAt = startedAt + seconds * 1000;
  const call = async () => {
    while (performance.now() < endsAt) {
      const askedAt = performance.now();
      await run(pool, valuesOf(rows[Math.floor(Math.random() * rows.length)]));
      took.push(performance.now() - askedAt);
    }
  };
  await Promise.all(Array.from({ length: callers }, call));
  const elapsed = (performance.now() - startedAt) / 1000;
  await pool.end();
  return { requests: took.length, requestsPerSecond: took.length / elapsed, ...percentilesOf(took) };
}

const routes = {
  one: async (values) => {
    await run(shared, values);
    return { data: { stored: true } };
  },
  alone: ([callers, seconds]) => alone(Number(callers), Number(seconds)),
};

const server = createServer((request, response) => {
  const [, route, ...values] = request.url.split('/');
  const send = (status, answer) => {
    const body = Buffer.from(JSON.stringify(answer));
    response.writeHead(status, { 'Content-Type': 'application/json; charset=utf-8', 'Content-Length': body.length }).end(body);
  };
  routes[route](values).then(
    (answer) => send(200, answer),
    (error) => send(500, { error: String(error) }),
  );
});
await new Promise((listening) => server.listen(0, HOST, listening));
process.on('SIGTERM', () => process.exit(0));
process.stdout.write(`The baseline is ready at http://${HOST}:${server.address().port}\n`);
