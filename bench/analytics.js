import { randomBytes } from 'node:crypto';
import { availableParallelism, loadavg } from 'node:os';
import { boot } from '../dist/boot.js';
import { loadConfig } from '../dist/core/config.js';
import { Database } from '../dist/core/database.js';
import { MasterKey } from '../dist/core/master-key.js';
import { measureFolding, measureNotes, measureTriggers } from './analytics/changes.js';
import { plant, signUp } from './analytics/plant.js';
import { explainRoutes, measureRoutes } from './analytics/routes.js';
import { startDatabase, withClient } from './support/database.js';
import { readOptionsOrTell } from './support/options.js';
import { say } from './support/report.js';
import { run } from './support/run.js';
import { startServer, unlimited } from './support/targets.js';

/**
 * `npm run bench:analytics`: what analytics cost a vendor of a million licenses beside one of ten thousand, with a year of
 * buckets each, and beside a trivial route; how PostgreSQL answers; what it costs to keep the roll-ups. Exit code 1 when an
 * answer takes longer with more licenses, or longer beside the trivial one, than it may.
 */

const PLATFORM_TOKEN = 'platform-token-of-the-bench-0123456789';
const OPTIONS = {
  command: 'npm run bench:analytics',
  numbers: {
    small: { initial: 10_000, help: 'licenses of the smaller vendor' },
    large: { initial: 1_000_000, help: 'licenses of the larger vendor' },
    seconds: { initial: 2, help: 'length of one measurement of changes' },
    rounds: { initial: 5, help: 'measurements of each' },
  },
  texts: {},
};

/** A client of the API; a refusal throws. */
const caller = (url, token) => async (method, path, body) => {
  const reply = await fetch(new URL(`/api/v1${path}`, url), {
    method,
    headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await reply.text();
  if (!reply.ok) throw new Error(`${method} ${path}: ${String(reply.status)} ${text}`);
  return JSON.parse(text);
};

async function bench(options, cleanup) {
  const secret = randomBytes(32);
  const masterKey = new MasterKey(secret);
  const { url: databaseUrl, directory } = await startDatabase(masterKey, cleanup);
  const settings = { databaseUrl, directory, masterKey: secret.toString('base64'), name: 'Latchkey' };
  // Nobody folds but the bench.
  const changes = { ROLE: 'api', PLATFORM_TOKEN };
  const database = new Database(databaseUrl, 10);
  cleanup.add(() => database.close());
  const server = await startServer(settings, cleanup, changes);
  const operator = caller(server.url, PLATFORM_TOKEN);
  const clientOf = (key) => caller(server.url, key);
  say(`${availableParallelism()} cores (load before: ${loadavg()[0].toFixed(1)}), Node ${process.versions.node}; planting`);
  const small = await signUp(operator, clientOf, `of-${options.small}`);
  const large = await signUp(operator, clientOf, `of-${options.large}`);
  return withClient(databaseUrl, async (client) => {
    const startedAt = performance.now();
    await plant(client, database, small, options.small, say);
    const environmentId = await plant(client, database, large, options.large, say);
    await client.query('VACUUM (ANALYZE)');
    await client.query('CHECKPOINT');
    say(`  planted in ${Math.round((performance.now() - startedAt) / 1000)} s\n${await sizesOf(client)}\n`);
    const problems = await measureRoutes(server.url, [small, large], options.rounds);
    await measureTriggers(client, server, large, options);
    measureNotes();
    await measureFolding(client, database, environmentId);
    // What was measured is asked in this process, where the statements can be seen.
    const environment = {
      DATABASE_URL: databaseUrl,
      MASTER_KEY: settings.masterKey,
      PORT: '0',
      LOG_LEVEL: 'silent',
      ...unlimited,
      ...changes,
    };
    const own = await boot(loadConfig(environment));
    cleanup.add(() => own.stop());
    say(`\nHow PostgreSQL answers ${large.slug}`);
    await explainRoutes(client, { ...large, call: caller(own.url, large.key) });
    return problems;
  });
}

async function sizesOf(client) {
  const { rows } = await client.query(
    `SELECT relname, reltuples::bigint AS rows, pg_size_pretty(pg_total_relation_size(oid)) AS size FROM pg_class
      WHERE relname = ANY($1) ORDER BY pg_total_relation_size(oid) DESC`,
    [['license', 'license_tally', 'seat_tally', 'cohort_tally', 'activity_count', 'license_month', 'name_month', 'sighting']],
  );
  return rows.map(({ relname, rows: count, size }) => `  ${relname}: ${Number(count).toLocaleString('en')} rows, ${size}`).join('\n');
}

const options = readOptionsOrTell(OPTIONS);
process.exit(options === null ? (process.exitCode ?? 0) : await run((cleanup) => bench(options, cleanup)));
