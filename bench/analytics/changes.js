import { setTimeout as wait } from 'node:timers/promises';
import { foldChanges, foldValidations } from '../../dist/analytics/fold.query.js';
import { ValidationCounts } from '../../dist/licenses/validation-counts.js';
import { measure } from '../support/load.js';
import { anyOf } from '../support/random.js';
import { median, say } from '../support/report.js';

/** What it costs to leave what the roll-ups are made of, and how much of it one server folds. */

const CONNECTIONS = 4;
const SETTLE_MS = 250;
const LICENSES = 200;
const NOTES = 500_000;
const SORTS = 2000;
const PORTIONS = 20;
/** As the worker takes them. */
const CHANGES = 5000;
const BATCHES = 10;
const TRIGGERS = [
  ['license', 'license_is_tallied'],
  ['machine', 'machine_is_tallied'],
];

/** Licenses made and machines activated with the triggers, and without them, in turns. The server folds nothing meanwhile. */
export async function measureTriggers(client, server, vendor, { rounds, seconds }) {
  const [, , policy] = vendor.policies;
  const made = { productId: policy.productId, policyId: policy.id };
  const { licenses } = await licensesOf(vendor, made);
  const headers = { authorization: `Bearer ${vendor.key}`, 'content-type': 'application/json' };
  let next = 0;
  const questions = {
    'POST /licenses': () => ({ path: '/api/v1/licenses', headers, body: JSON.stringify(made) }),
    'POST /machines': () => ({
      path: '/api/v1/machines',
      headers,
      body: JSON.stringify({ licenseId: anyOf(licenses), fingerprint: `fingerprint-${String((next += 1))}`, platform: 'linux' }),
    }),
  };
  say(`\nWhat changes cost over ${CONNECTIONS} connections: median of ${rounds} rounds of ${seconds} s in turns (least–most)`);
  for (const [name, question] of Object.entries(questions)) {
    const turns = { with: [], without: [] };
    for (let round = 0; round <= rounds; round += 1) {
      for (const kind of ['with', 'without']) {
        await setTriggers(client, kind === 'with');
        const figures = await measure(server, { status: 201, expected: '"id"', next: question }, { connections: CONNECTIONS, seconds });
        if (figures.failures > 0) throw new Error(`${name}: ${figures.examples.join('\n')}`);
        if (round > 0) turns[kind].push(figures);
        await wait(SETTLE_MS);
      }
    }
    await setTriggers(client, true);
    for (const [kind, all] of Object.entries(turns)) {
      say(
        `  ${name.padEnd(16)} ${kind.padEnd(8)} triggers: ${spread(all, 'requestsPerSecond', 0)} requests/s, p50 ${spread(all, 'p50')} ms, ` +
          `CPU of the database ${spread(all, 'databaseCpu')} ms a request, of the server ${spread(all, 'serverCpu')}`,
      );
    }
  }
}

/** CPU time that a validation spends on being counted: `note`, with sorts that come again and again. */
export function measureNotes() {
  const counts = new ValidationCounts({ stamp: () => Promise.resolve([]) }, { error: () => undefined, warn: () => undefined });
  const now = new Date();
  const decisions = Array.from({ length: SORTS }, (_, index) => ({
    verdict: { valid: index % 5 > 0, code: index % 5 > 0 ? 'VALID' : 'EXPIRED' },
    facts: {
      environmentId: '01890000-0000-7000-8000-000000000000',
      license: { id: `01890000-0000-7000-8000-${String(index).padStart(12, '0')}`, productId: 'product', policyId: 'policy' },
      request: { fingerprints: [`fingerprint-${index}`], version: '1.4.2' },
      machines: [{ id: `machine-${index}`, fingerprint: `fingerprint-${index}`, components: [] }],
      now,
    },
  }));
  const noteAll = () => {
    const before = process.cpuUsage();
    for (let note = 0; note < NOTES; note += 1) counts.note(decisions[note % SORTS], '192.0.2.1');
    const { user, system } = process.cpuUsage(before);
    return (user + system) / NOTES;
  };
  noteAll();
  const rounds = Array.from({ length: 5 }, noteAll);
  say(
    `\nCounting a validation (note): ${median(rounds).toFixed(2)} µs of CPU (${Math.min(...rounds).toFixed(2)}–${Math.max(...rounds).toFixed(2)})`,
  );
}

/**
 * How much one server folds in its own portions, with roll-ups that are large: changes of licenses that were renewed, and
 * validations of licenses all over the month.
 */
export async function measureFolding(client, database, environmentId) {
  await client.query('BEGIN');
  await client.query(
    `INSERT INTO tally_change (environment_id, kind, before, after)
     SELECT environment_id, 'license', tallied(license), jsonb_set(tallied(license), '{expiresAt}', to_jsonb(expires_at + interval '1 year'))
       FROM license WHERE environment_id = $1 AND expires_at IS NOT NULL ORDER BY random() LIMIT $2`,
    [environmentId, PORTIONS * 5000],
  );
  await client.query('COMMIT');
  const changes = await counted(client, 'SELECT count(*)::int AS count FROM tally_change');
  const changesMs = await foldAll(database);
  await client.query(
    `INSERT INTO validation_batch (process_id, sequence, counts, counted_at)
     SELECT $2, batch, jsonb_agg(jsonb_build_object(
              'environmentId', environment_id, 'licenseId', id, 'productId', product_id, 'policyId', policy_id,
              'hour', date_trunc('hour', now()), 'code', 'VALID', 'valid', true, 'machineId', NULL, 'fingerprint', 'again-' || id, 'ip', '10.1.2.3',
              'version', '2.1.0', 'count', 3)), now()
       FROM (SELECT *, row_number() OVER () / ${SORTS} AS batch
               FROM (SELECT * FROM license WHERE environment_id = $1 ORDER BY random() LIMIT $3) AS chosen) AS license
      GROUP BY batch`,
    [environmentId, '01890000-0000-7000-8000-000000000001', PORTIONS * SORTS],
  );
  const sorts = await counted(client, 'SELECT sum(jsonb_array_length(counts))::int AS count FROM validation_batch');
  const sortsMs = await foldAll(database);
  const rate = (count, milliseconds) => Math.round((count / milliseconds) * 1000).toLocaleString('en');
  say(
    `\nFolding, one server: ${rate(changes, changesMs)} changes a second (${changes.toLocaleString('en')} renewals); ` +
      `${rate(sorts, sortsMs)} sorts of validations a second (${sorts.toLocaleString('en')}, each of another license; alike ones are one)`,
  );
}

async function foldAll(database) {
  const startedAt = performance.now();
  const fold = async (db) => (await foldChanges(db, CHANGES)) + (await foldValidations(db, BATCHES));
  while ((await database.acrossTenants('fold what a bench left', fold)) > 0);
  return performance.now() - startedAt;
}

async function counted(client, text) {
  const { rows } = await client.query(text);
  return rows[0].count ?? 0;
}

async function licensesOf(vendor, made) {
  const { data } = await vendor.call('POST', '/licenses/bulk', { licenses: Array.from({ length: LICENSES }, () => made) });
  const licenses = (data.results ?? data).map((row) => (row.license ?? row.data ?? row).id);
  return { licenses };
}

async function setTriggers(client, areOn) {
  for (const [table, trigger] of TRIGGERS) await client.query(`ALTER TABLE ${table} ${areOn ? 'ENABLE' : 'DISABLE'} TRIGGER ${trigger}`);
}

function spread(turns, name, digits = 2) {
  const figures = turns.map((turn) => turn[name]);
  const figure = (number) => number.toFixed(digits);
  return `${figure(median(figures))} (${figure(Math.min(...figures))}–${figure(Math.max(...figures))})`;
}
