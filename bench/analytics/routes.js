import pg from 'pg';
import { LOOKUP_ROLE } from '../../dist/core/database.js';
import { askOver } from '../support/connection.js';
import { percentilesOf } from '../support/load.js';
import { lineOf, nodesOf } from '../support/plan.js';
import { median, say } from '../support/report.js';

/** Calls of one turn, over one connection. */
const CALLS = 30;
/** Contract: resources.md, "Analytics". */
const MOST_GROWTH = 1.5;
const MOST_BESIDE_TRIVIAL = 10;
const OVERVIEW = '/analytics';
const TRIVIAL = '/api-keys/current';

/** Every route, and those of its questions that are answered in different ways. */
function pathsOf() {
  const ago = (days) => encodeURIComponent(new Date(Date.now() - days * 86_400_000).toISOString());
  const series = (metric, more = '') => `/analytics/timeseries?metric=${metric}${more}`;
  return [
    OVERVIEW,
    series('validations'),
    series('validations', `&interval=hour&from=${ago(30)}`),
    series('validations', `&interval=day&from=${ago(364)}`),
    series('validations', `&interval=week&from=${ago(364)}`),
    series('validations', `&interval=month&from=${ago(364)}`),
    ...['code', 'productId', 'policyId', 'platform', 'version'].map((groupBy) => series('validations', `&groupBy=${groupBy}`)),
    ...['activations', 'deactivations', 'licenses_created', 'licenses_expired', 'active_machines'].map((metric) => series(metric)),
    series('active_machines', `&interval=day&from=${ago(364)}&groupBy=policyId`),
    ...['licenses', 'products', 'ips', 'versions', 'platforms', 'fingerprints'].map((by) => `/analytics/top?by=${by}`),
    '/analytics/top?by=licenses&limit=100',
    '/analytics/expirations',
    '/analytics/seats',
    '/analytics/retention',
    '/analytics/anomalies',
  ];
}

/** How long each route takes at both sizes, in turns with the trivial one; answers what is slower than it may be. */
export async function measureRoutes(url, [small, large], rounds) {
  const problems = [];
  say(`p50 of ${CALLS} calls over one connection, ms; median of ${rounds} rounds in turns (least–most)\n`);
  say(`${''.padEnd(102)}${small.slug.padStart(20)}${large.slug.padStart(20)}${TRIVIAL.padStart(20)}   growth  ÷ trivial`);
  for (const path of pathsOf()) {
    const times = { small: [], large: [], trivial: [] };
    for (let round = 0; round <= rounds; round += 1) {
      const turn = {
        small: await p50(url, small.key, path),
        large: await p50(url, large.key, path),
        trivial: await p50(url, large.key, TRIVIAL),
      };
      // The first warms up.
      if (round > 0) for (const name of Object.keys(turn)) times[name].push(turn[name]);
    }
    const growth = median(times.large.map((time, round) => time / times.small[round]));
    const besideTrivial = median(times.large.map((time, round) => time / times.trivial[round]));
    if (growth > MOST_GROWTH) problems.push(`${path} takes ${growth.toFixed(2)} times as long with more licenses`);
    if (path === OVERVIEW && besideTrivial > MOST_BESIDE_TRIVIAL)
      problems.push(`${path} takes ${besideTrivial.toFixed(1)} times as long as ${TRIVIAL}`);
    const figures = [times.small, times.large, times.trivial].map((all) => spread(all).padStart(20)).join('');
    say(`${decodeURIComponent(path).padEnd(102)}${figures}${growth.toFixed(2).padStart(9)}${besideTrivial.toFixed(1).padStart(11)}`);
  }
  return problems;
}

/** How PostgreSQL answers each route for the vendor, with the statements and the role of the server `url`, which is this process. */
export async function explainRoutes(client, vendor) {
  for (const path of pathsOf()) {
    const sent = await recorded(() => vendor.call('GET', path));
    say(`\n${decodeURIComponent(path)}`);
    await client.query('BEGIN');
    await client.query(`SET LOCAL ROLE ${LOOKUP_ROLE}`);
    for (const { text, values } of sent) {
      if (text.includes('set_config')) await client.query(text, values);
      else {
        const { rows } = await client.query(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${text}`, values);
        const [explained] = rows[0]['QUERY PLAN'];
        const { Plan: plan } = explained;
        say(
          `  planning ${explained['Planning Time'].toFixed(2)} ms, execution ${explained['Execution Time'].toFixed(2)} ms, buffers ${plan['Shared Hit Blocks']} hit, ${plan['Shared Read Blocks']} read`,
        );
        const reads = nodesOf(plan, 0).filter(({ node }) => node['Relation Name'] !== undefined || node['Index Name'] !== undefined);
        for (const { node } of reads.filter((read) => read.node['Actual Loops'] > 0)) say(`    ${lineOf(node)}`);
      }
    }
    await client.query('ROLLBACK');
  }
}

async function p50(url, key, path) {
  const { hostname, port, host } = new URL(url);
  const times = [];
  let failure = null;
  const next = () => ({ method: 'GET', path: `/api/v1${path}`, headers: { authorization: `Bearer ${key}` } });
  const onFailure = (why) => {
    failure = new Error(`${path}: ${why}`);
  };
  const onAnswer = (status, body, took) => {
    if (status !== 200) onFailure(`${status} ${body}`);
    times.push(took);
  };
  const isOver = () => failure !== null || times.length >= CALLS;
  await askOver({ hostname, port, host }, next, { isOver, onAnswer, onFailure });
  if (failure !== null) throw failure;
  return percentilesOf(times).p50;
}

/** What is sent to PostgreSQL about analytics while `work` goes on. */
async function recorded(work) {
  const { query } = pg.Client.prototype;
  const sent = [];
  pg.Client.prototype.query = function (...args) {
    const [{ text, values }] = args;
    const isOurs =
      /set_config|_tally|tally_change|activity_count|_month|sighting/.test(text ?? '') && values?.includes('latchkey_system') !== true;
    if (isOurs && !/INSERT|DELETE/.test(text)) sent.push({ text, values });
    return query.apply(this, args);
  };
  await work().finally(() => {
    pg.Client.prototype.query = query;
  });
  return sent;
}

function spread(times) {
  const figure = (time) => time.toFixed(2);
  return `${figure(median(times))} (${figure(Math.min(...times))}–${figure(Math.max(...times))})`;
}
