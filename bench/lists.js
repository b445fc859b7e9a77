import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { boot } from '../dist/boot.js';
import { loadConfig } from '../dist/core/config.js';
import { MasterKey } from '../dist/core/master-key.js';
import { startDatabase, withClient } from './support/database.js';
import { median } from './support/report.js';
import { run } from './support/run.js';
import { unlimited } from './support/targets.js';

/**
 * `npm run bench:lists -- [licenses]`: what does a page of GET /licenses cost in a tenant of a million, by filter and order,
 * at its beginning and deep inside, beside the plain first page in the same minutes? Exit code 1 when PostgreSQL reads the
 * whole table for any of them.
 */

const LICENSES = Number(process.argv[2] ?? 1_000_000);
const NEIGHBOURS = Math.ceil(LICENSES / 10);
const BATCH = 5000;
const ROUNDS = 5;
const VALIDATED_AT_ONCE = 1000;
const PLATFORM_TOKEN = 'platform-token-of-the-bench-0123456789';

const say = (text) => process.stdout.write(`${text}\n`);

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

/** A vendor with two policies and three entitlements: attached to half of its licenses, to a few, and to the rarer policy. */
async function signUp(url, slug) {
  const operator = caller(url, PLATFORM_TOKEN);
  const { data } = await operator('POST', '/accounts', { name: slug, slug, ownerEmail: 'owner@example.com' });
  const call = caller(url, data.apiKeys.live.key);
  const create = async (path, body) => (await call('POST', path, body)).data;
  const product = await create('/products', { name: 'Editor', code: 'editor' });
  const policy = await create('/policies', { productId: product.id, name: 'Pro', gracePeriodDays: 3 });
  const few = await create('/policies', { productId: product.id, name: 'Few', expirationStrategy: 'ALLOW_ACCESS', gracePeriodDays: 7 });
  const [common, rare, inherited] = await Promise.all(
    ['common', 'rare', 'inherited'].map((code) => create('/entitlements', { code, name: code })),
  );
  await call('POST', `/policies/${few.id}/entitlements`, { codes: ['inherited'] });
  return { call, accountId: data.account.id, product, policy, few, common, rare, inherited };
}

/** In the order of their making the older half is over, as in life; one in 10,000 is in each of the rare states. */
async function plant(client, masterKey, vendor, count) {
  // Superuser's shortcut: foreign keys are consistent, and the terms come at the end in one statement.
  await client.query('SET session_replication_role = replica');
  await client.query('SET synchronous_commit = off');
  const { rows } = await client.query(`SELECT id FROM environment WHERE account_id = $1 AND name = 'live'`, [vendor.accountId]);
  const environmentId = rows[0].id;
  for (let first = 0; first < count; first += BATCH) {
    const ids = Array.from({ length: Math.min(BATCH, count - first) }, () => uuidv7());
    const sealed = ids.map((id) => Buffer.from(masterKey.seal('ACME-0000-0000-0000-0000-0000-0000', id)).toString('hex'));
    await client.query(
      `INSERT INTO license (id, environment_id, product_id, policy_id, key_origin, key_digest, key_sealed, pepper_id, name, user_name, user_email,
                            expires_at, last_validated_at, suspended_at, banned_at, revoked_at, metadata, created_at, updated_at)
       SELECT id, $1, $2, CASE WHEN n % 10000 = 1 THEN $4::uuid ELSE $3::uuid END, 'generated', sha256(id::text::bytea), decode(sealed, 'hex'), $5,
              'License ' || n, 'User ' || n, 'User-' || n || '@example.com',
              CASE WHEN n % 10 = 0 THEN NULL ELSE now() + (n - $6::int / 2) * interval '1 minute' END,
              CASE WHEN n % 3 = 0 THEN NULL ELSE now() - n * interval '1 second' END,
              CASE WHEN n % 10000 = 2 THEN now() END, CASE WHEN n % 10000 = 3 THEN now() END, CASE WHEN n % 10000 = 4 THEN now() END,
              jsonb_build_object('orderId', 'A-' || n, 'seats', n % 7), now() - ($6::int - n) * interval '1 minute', now()
         FROM (SELECT id, sealed, ordinal + $7::int AS n FROM unnest($8::uuid[], $9::text[]) WITH ORDINALITY AS made (id, sealed, ordinal)) AS made`,
      [environmentId, vendor.product.id, vendor.policy.id, vendor.few.id, masterKey.pepperId, count, first, ids, sealed],
    );
  }
  await client.query(
    `INSERT INTO license_term SELECT environment_id, term, id FROM license CROSS JOIN LATERAL license_terms(user_email, metadata) AS terms (term)
      WHERE environment_id = $1`,
    [environmentId],
  );
  await client.query(
    `INSERT INTO license_entitlement (environment_id, license_id, entitlement_id)
     SELECT environment_id, id, entitlement_id
       FROM (SELECT *, row_number() OVER (ORDER BY created_at) AS n FROM license WHERE environment_id = $1) AS license
       CROSS JOIN (VALUES ($2::uuid, 2), ($3::uuid, 20000)) AS attached (entitlement_id, every) WHERE n % every = 0`,
    [environmentId, vendor.common.id, vendor.rare.id],
  );
  await client.query('RESET session_replication_role');
  return environmentId;
}

/** What is asked for, by name; the first is what all others are held against. */
function queriesOf({ product, policy, few }, half) {
  const in_ = (minutes) => encodeURIComponent(new Date(Date.now() + minutes * 60_000).toISOString());
  const filters = {
    '': '',
    'status=active': 'status=active',
    'status=expired': 'status=expired',
    'status=suspended': 'status=suspended',
    'status=banned': 'status=banned',
    'status=revoked': 'status=revoked',
    'productId (all)': `productId=${product.id}`,
    'policyId (all but few)': `policyId=${policy.id}`,
    'policyId (few)': `policyId=${few.id}`,
    userEmail: `userEmail=USER-${half}@example.com`,
    'entitlement (half)': 'entitlement=common',
    'entitlement (few)': 'entitlement=rare',
    'entitlement (by policy)': 'entitlement=inherited',
    'expiresAfter, expiresBefore': `expiresAfter=${in_(0)}&expiresBefore=${in_(60)}`,
    'metadata (one)': `metadata[orderId]=A-${half}`,
    'metadata (a seventh)': 'metadata[seats]=5',
    'q (many)': 'q=license',
    'q (none)': 'q=nobody-has-this',
  };
  const sorts = ['-createdAt', 'createdAt', 'expiresAt', '-expiresAt', 'lastValidatedAt', '-lastValidatedAt'];
  return Object.entries(filters).flatMap(([name, filter]) =>
    sorts.map((sort) => ({ name, sort, path: `/licenses?${filter}&sort=${sort}` })),
  );
}

/** The statements that looked for licenses, explained as they were sent. */
async function explain(client, sent) {
  const nodes = [];
  await client.query('BEGIN');
  for (const { text, values } of sent) {
    if (text.includes('set_config')) await client.query(text, values);
    else {
      const { rows } = await client.query(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${text}`, values);
      nodes.push(...nodesOf(rows[0]['QUERY PLAN'][0].Plan));
    }
  }
  await client.query('ROLLBACK');
  const scans = nodes.filter((node) => node['Relation Name']?.startsWith('license') === true && node['Index Name'] !== 'license_pkey');
  return {
    scans: [...new Set(scans.map((node) => node['Index Name'] ?? `${node['Node Type']} on ${node['Relation Name']}`))].join(', '),
    isWhole: scans.some((node) => node['Node Type'] === 'Seq Scan' && node['Relation Name'] === 'license'),
  };
}

function nodesOf(node) {
  return [node, ...(node.Plans ?? []).flatMap(nodesOf)];
}

/** What the server sends to PostgreSQL while `work` goes on. */
async function recorded(work) {
  const { query } = pg.Client.prototype;
  const sent = [];
  pg.Client.prototype.query = function (...args) {
    const [{ text, values }] = args;
    const isOurs =
      typeof text === 'string' && /set_config|FROM "?(public"\.")?license\b/.test(text) && values?.includes('latchkey_system') !== true;
    if (isOurs) sent.push({ text, values });
    return query.apply(this, args);
  };
  await work().finally(() => {
    pg.Client.prototype.query = query;
  });
  return sent;
}

async function milliseconds(work) {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

/** Where a page in the middle of the list begins, as its cursor says it. */
async function middleOf(client, environmentId, sort) {
  const column = sort.replace('-', '').replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  const { rows } = await client.query(
    `SELECT id, ${column} AS at FROM license WHERE environment_id = $1 AND ${column} IS NOT NULL ORDER BY ${column}, id OFFSET $2 LIMIT 1`,
    [environmentId, Math.floor(LICENSES / 3)],
  );
  return Buffer.from(JSON.stringify(['licenses', sort, rows[0].at.toISOString(), rows[0].id])).toString('base64url');
}

async function measure(client, vendor, environmentId) {
  const problems = [];
  const queries = queriesOf(vendor, Math.floor(LICENSES / 2));
  const cursors = {};
  for (const { sort } of queries.slice(0, 6)) cursors[sort] = await middleOf(client, environmentId, sort);
  const baseline = '/licenses?';
  for (let round = 0; round < ROUNDS; round += 1) await vendor.call('GET', baseline);
  say(`p50 of ${ROUNDS} calls in turns, ms: the page, one deep inside, and the plain first page beside them\n`);
  for (const { name, sort, path } of queries) {
    const times = { first: [], deep: [], plain: [] };
    for (let round = 0; round < (name === 'q (none)' ? 3 : ROUNDS); round += 1) {
      times.first.push(await milliseconds(() => vendor.call('GET', path)));
      times.deep.push(await milliseconds(() => vendor.call('GET', `${path}&cursor=${cursors[sort]}`)));
      times.plain.push(await milliseconds(() => vendor.call('GET', baseline)));
    }
    const { scans, isWhole } = await explain(client, await recorded(() => vendor.call('GET', path)));
    if (isWhole) problems.push(`${name} ${sort} reads the whole table`);
    const figure = (all) => median(all).toFixed(1).padStart(8);
    say(`${name.padEnd(28)} ${sort.padEnd(17)}${figure(times.first)}${figure(times.deep)}${figure(times.plain)}   ${scans}`);
  }
  return problems;
}

/** What the indexes cost when a minute's validations are written. */
async function measureWrites(client, environmentId) {
  const { rows } = await client.query('SELECT id FROM license WHERE environment_id = $1 ORDER BY random() LIMIT $2', [
    environmentId,
    VALIDATED_AT_ONCE * ROUNDS * 2,
  ]);
  const write = (from) =>
    milliseconds(() =>
      client.query('UPDATE license SET last_validated_at = now() WHERE id = ANY($1::uuid[])', [
        rows.slice(from, from + VALIDATED_AT_ONCE).map(({ id }) => id),
      ]),
    );
  const times = { with: [], without: [] };
  for (let round = 0; round < ROUNDS; round += 1) times.with.push(await write(round * VALIDATED_AT_ONCE));
  await client.query('DROP INDEX license_last_validated_at_idx');
  for (let round = 0; round < ROUNDS; round += 1) times.without.push(await write((ROUNDS + round) * VALIDATED_AT_ONCE));
  say(
    `\nlastValidatedAt of ${VALIDATED_AT_ONCE} licenses, written at once: ${median(times.with).toFixed(0)} ms; ${median(times.without).toFixed(0)} ms without its index`,
  );
}

async function bench(cleanup) {
  const secret = randomBytes(32);
  const masterKey = new MasterKey(secret);
  const database = await startDatabase(masterKey, cleanup);
  const environment = { DATABASE_URL: database.url, MASTER_KEY: secret.toString('base64'), PLATFORM_TOKEN, PORT: '0', LOG_LEVEL: 'silent' };
  const server = await boot(loadConfig({ ...environment, ...unlimited }));
  cleanup.add(() => server.stop());
  const vendor = await signUp(server.url, 'big');
  const neighbour = await signUp(server.url, 'small');
  return withClient(database.url, async (client) => {
    const seconds = (await milliseconds(() => plant(client, masterKey, neighbour, NEIGHBOURS))) / 1000;
    const startedAt = performance.now();
    const environmentId = await plant(client, masterKey, vendor, LICENSES);
    await client.query('VACUUM (ANALYZE)');
    const { rows } = await client.query(
      `SELECT pg_size_pretty(pg_table_size('license')) AS rows, pg_size_pretty(pg_indexes_size('license')) AS indexes,
              pg_size_pretty(pg_total_relation_size('license_term')) AS terms`,
    );
    say(
      `${LICENSES.toLocaleString('en')} licenses beside ${NEIGHBOURS.toLocaleString('en')} of another tenant: ${rows[0].rows}, indexes ${rows[0].indexes}, terms ${rows[0].terms}; planted in ${Math.round(seconds + (performance.now() - startedAt) / 1000)} s\n`,
    );
    const problems = await measure(client, vendor, environmentId);
    await measureWrites(client, environmentId);
    return problems;
  });
}

process.exit(await run(bench));
