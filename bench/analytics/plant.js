import { foldChanges, foldValidations } from '../../dist/analytics/fold.query.js';

/**
 * A vendor's year, as the roll-ups see it: rows of licenses, and the changes and batches that made them, folded by the server's
 * own statements. Machines are there as changes alone: no analytics read their rows.
 */

const POLICIES = [
  { name: 'Pro', maxMachines: 5 },
  { name: 'Team', maxMachines: 20, gracePeriodDays: 7 },
  { name: 'Floating', maxMachines: null, allowUnlimitedActivations: true },
  { name: 'Yearly', maxMachines: 3, expirationStrategy: 'REVOKE' },
  { name: 'Trial', maxMachines: 1, isTrial: true, requireHeartbeat: true },
];
const PRODUCTS = ['editor', 'viewer'];
const DAYS = 365;
/** Kept in hours (src/domain/roll-ups.ts). */
const HOURS_KEPT = '90 days';
/** Rows that one statement takes: more than a server does at once, and little enough to stay in memory. */
const CHANGES_AT_ONCE = 50_000;
const BATCHES_AT_ONCE = 25;
const SORTS_IN_BATCH = 2000;
/** Licenses that are validated in every hour of the year; all are in this month. */
const BUSY = 50;

/** A vendor with its products and policies; `call` is its client. */
export async function signUp(operator, clientOf, slug) {
  const { data } = await operator('POST', '/accounts', { name: slug, slug, ownerEmail: 'owner@example.com' });
  const key = data.apiKeys.live.key;
  const call = clientOf(key);
  const policies = [];
  for (const code of PRODUCTS) {
    const product = (await call('POST', '/products', { name: code, code })).data;
    for (const policy of POLICIES) policies.push((await call('POST', '/policies', { ...policy, productId: product.id })).data);
  }
  return { slug, key, call, accountId: data.account.id, policies };
}

/** Answers the environment's id, and how many changes and sorts were folded in how many milliseconds. */
export async function plant(client, database, vendor, count, say) {
  const { rows } = await client.query(`SELECT id FROM environment WHERE account_id = $1 AND name = 'live'`, [vendor.accountId]);
  const environmentId = rows[0].id;
  // Superuser's shortcut: foreign keys are consistent. Triggers are away too: what they leave is left below.
  await client.query('SET session_replication_role = replica');
  await client.query('SET synchronous_commit = off');
  await plantLicenses(client, environmentId, vendor.policies, count);
  await client.query('RESET session_replication_role');
  await client.query('ANALYZE license');
  await leaveChanges(client, environmentId);
  const changes = await foldedAll(database, foldChanges, CHANGES_AT_ONCE);
  say(`  ${vendor.slug}: ${rateOf(changes)} changes folded`);
  await leaveValidations(client, environmentId);
  const batches = await foldedAll(database, foldValidations, BATCHES_AT_ONCE);
  say(`  ${vendor.slug}: ${rateOf(batches)} batches of up to ${SORTS_IN_BATCH} sorts folded`);
  await client.query(
    `DELETE FROM activity_count WHERE environment_id = $1 AND unit = 'hour' AND bucket < now() - interval '${HOURS_KEPT}'`,
    [environmentId],
  );
  return environmentId;
}

/** Created over two years and expiring over one, half of it gone; one in a hundred or fewer is in each of the rare states. */
async function plantLicenses(client, environmentId, policies, count) {
  await client.query(
    `INSERT INTO license (id, environment_id, product_id, policy_id, key_origin, key_digest, key_sealed, pepper_id, name, expires_at,
                          max_machines_override, machine_count, suspended_at, banned_at, revoked_at, expired_announced_for, began_as_trial,
                          converted_at, first_renewed_at, created_at, updated_at)
     SELECT id, $1, product_id, policy_id, 'generated', sha256(id::text::bytea), '\\x00', 'bench', 'License ' || n, expires_at,
            CASE WHEN n % 20 = 0 THEN n % 7 + 1 END, n % 5, CASE WHEN n % 100 = 2 THEN now() END, CASE WHEN n % 1000 = 3 THEN now() END,
            CASE WHEN n % 500 = 4 THEN now() END, CASE WHEN expires_at < now() THEN expires_at END, n % 4 = 0,
            CASE WHEN n % 12 = 0 THEN now() END, CASE WHEN n % 5 = 0 THEN now() END, now() - (n::float8 / $3) * interval '730 days', now()
       FROM (SELECT n, uuidv7() AS id, policy.id AS policy_id, policy.product_id,
                    CASE WHEN n % 10 <> 0 THEN now() + ((n::float8 / $3) - 0.5) * interval '${DAYS} days' END AS expires_at
               FROM generate_series(1, $3::int) AS n
               JOIN unnest($2::uuid[]) WITH ORDINALITY AS given (id, place) ON given.place = n % cardinality($2::uuid[]) + 1
               JOIN policy ON policy.id = given.id) AS made`,
    [environmentId, policies.map(({ id }) => id), count],
  );
}

/** As the migration leaves what there was before, and a machine's change for each seat that is counted: over a year, one in ten gone. */
async function leaveChanges(client, environmentId) {
  await client.query(
    `INSERT INTO tally_change (environment_id, kind, after) SELECT environment_id, 'license', tallied(license) FROM license WHERE environment_id = $1`,
    [environmentId],
  );
  await client.query(
    `INSERT INTO tally_change (environment_id, kind, after)
     SELECT environment_id, 'machine', jsonb_build_object(
              'segment', NULL, 'product', product_id, 'policy', policy_id,
              'platform', (ARRAY['macos', 'windows', 'linux', 'docker'])[seat % 4 + 1],
              'createdAt', now() - random() * interval '${DAYS} days',
              'deletedAt', CASE WHEN random() < 0.1 THEN now() - random() * interval '1 day' END)
       FROM license CROSS JOIN LATERAL generate_series(1, machine_count) AS seat WHERE environment_id = $1`,
    [environmentId],
  );
}

/**
 * Every hour of a year a few licenses with codes, versions and addresses; and this month every license on a machine or two, one
 * in a thousand on far more than it has seats for.
 */
async function leaveValidations(client, environmentId) {
  await leaveBatches(
    client,
    environmentId,
    `SELECT license.*, hour, CASE WHEN hour_number % 7 = 0 THEN 'EXPIRED' ELSE 'VALID' END AS code, hour_number % 7 <> 0 AS valid,
            'busy-' || license.n AS fingerprint, '10.0.0.' || license.n AS ip, '1.' || (hour_number / 700) || '.' || license.n % 4 AS version,
            1 + hour_number % 9 AS count
       FROM generate_series(1, ${DAYS} * 24) AS hour_number
      CROSS JOIN LATERAL (SELECT date_trunc('hour', now()) - hour_number * interval '1 hour' AS hour) AS at
       JOIN license ON license.n % ${BUSY} IN (hour_number % ${BUSY}, (hour_number + 7) % ${BUSY}) AND license.n <= ${BUSY}`,
  );
  await leaveBatches(
    client,
    environmentId,
    `SELECT license.*, date_trunc('hour', now()) AS hour, 'VALID' AS code, true AS valid, 'machine-' || license.n || '-' || seen AS fingerprint,
            '10.' || license.n / 65536 % 256 || '.' || license.n / 256 % 256 || '.' || license.n % 256 AS ip,
            '2.' || license.n % 10 || '.0' AS version, 1 + license.n % 20 AS count
       FROM license CROSS JOIN LATERAL generate_series(1, CASE WHEN license.n % 1000 = 0 THEN 100 ELSE 1 END) AS seen`,
  );
}

/** `sorts` reads `license`: id, product_id, policy_id and a number n. As a process would leave them, of a process of its own. */
function leaveBatches(client, environmentId, sorts) {
  return client.query(
    `INSERT INTO validation_batch (process_id, sequence, counts, counted_at)
     WITH license AS (
       SELECT id, product_id, policy_id, row_number() OVER (ORDER BY created_at DESC, id)::int AS n FROM license WHERE environment_id = $1
     ), sort AS (SELECT *, (row_number() OVER () - 1) / ${SORTS_IN_BATCH} AS batch FROM (${sorts}) AS sort), process AS (SELECT gen_random_uuid() AS id)
     SELECT process.id, batch + 1, jsonb_agg(jsonb_build_object(
              'environmentId', $1::uuid, 'licenseId', sort.id, 'productId', product_id, 'policyId', policy_id, 'hour', hour, 'code', code,
              'valid', valid, 'machineId', NULL, 'fingerprint', fingerprint, 'ip', ip, 'version', version, 'count', count)), now()
       FROM sort CROSS JOIN process GROUP BY process.id, batch`,
    [environmentId],
  );
}

async function foldedAll(database, fold, atOnce) {
  const startedAt = performance.now();
  let folded = 0;
  for (let taken = atOnce; taken === atOnce; folded += taken) {
    taken = await database.acrossTenants('plant the roll-ups of a bench', (db) => fold(db, atOnce));
  }
  return { folded, milliseconds: performance.now() - startedAt };
}

function rateOf({ folded, milliseconds }) {
  const rate = Math.round((folded / milliseconds) * 1000);
  return `${folded.toLocaleString('en')} in ${(milliseconds / 1000).toFixed(1)} s (${rate.toLocaleString('en')}/s)`;
}
