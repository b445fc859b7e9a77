import { createHash } from 'node:crypto';
import { v7 as uuidv7 } from 'uuid';
import { generateLicenseKey, parseLicenseKey } from '../../dist/domain/license-key.js';
import { policyFromTemplate, policyRuleNames } from '../../dist/domain/policy.js';

const BATCH = 5000;
const PRODUCTS = ['editor', 'viewer'];
const ENTITLEMENTS = ['cloud-sync', 'export', 'plugins'];
/** One license in so many had another key before, and each environment has so many test clocks. */
const ROTATED_EVERY = 10;
const CLOCKS = 5;
const CORES_OF_MACHINE = 8;
const MEMORY_MB_OF_MACHINE = 16_384;
const LICENSES_PER_OWN_ENTITLEMENT = 4;

/** The policies of every product: an ordinary one, and one that makes the rules work (heartbeats, cores, grace). */
const policies = (machines) => [
  { name: 'Standard', rules: policyFromTemplate({ template: 'desktop_app', maxMachines: machines }) },
  {
    name: 'Fleet',
    rules: policyFromTemplate({
      template: 'cli_tool',
      maxMachines: machines,
      maxCores: machines * CORES_OF_MACHINE,
      requireHeartbeat: true,
      heartbeatIntervalMinutes: 10_080,
      gracePeriodDays: 7,
    }),
  },
];

/**
 * Fill the empty database with vendors and their licenses, in the state that a license in daily use is in: validated
 * before (the first validation is another, rarer path), last an hour ago (so `lastValidatedAt` is due to be written).
 * @returns for each license its key and the fingerprints of its machines
 */
export async function plantDataset(client, masterKey, { accounts, licenses, machines }) {
  await beginPlanting(client);
  await plantVendors(client, accounts, policies(machines));
  const planted = await plantLicenses(client, masterKey, await homesOf(client), { licenses, machines });
  await plantOwnEntitlements(client);
  await plantFormerKeysAndClocks(client);
  await plantProcesses(client);
  await client.query(`UPDATE product SET licenses_count = (SELECT count(*) FROM license WHERE license.product_id = product.id)`);
  await settle(client);
  return planted.map(({ id, key }) => ({
    key,
    fingerprints: Array.from({ length: machines }, (_, index) => fingerprintOf(id, index + 1)),
  }));
}

/**
 * Superuser's shortcut: what is planted is consistent, and checking each foreign key would take most of the time. Only a
 * machine's own triggers go on, which make what belongs to it.
 */
export async function beginPlanting(client) {
  await client.query('SET session_replication_role = replica');
  await client.query('SET synchronous_commit = off');
  const { rows } = await client.query(
    `SELECT quote_ident(tgname) AS name FROM pg_trigger WHERE tgrelid = 'machine'::regclass AND NOT tgisinternal`,
  );
  for (const { name } of rows) await client.query(`ALTER TABLE machine ENABLE ALWAYS TRIGGER ${name}`);
}

/** Everything as it was, statistics for the planner, and the load's own write-back now instead of in the middle of a measurement. */
export async function settle(client) {
  await client.query('ALTER TABLE machine ENABLE TRIGGER USER');
  await client.query('RESET session_replication_role');
  await client.query('VACUUM (ANALYZE)');
  await client.query('CHECKPOINT');
}

/** Where licenses can be: the policies, or those of one name in live environments. */
export async function homesOf(client, policyName = null) {
  const { rows } = await client.query(
    `SELECT policy.id AS "policyId", product.id AS "productId", product.key_prefix AS "keyPrefix", policy.environment_id AS "environmentId"
       FROM policy JOIN product ON product.id = policy.product_id JOIN environment ON environment.id = policy.environment_id
      WHERE $1::text IS NULL OR (policy.name = $1 AND environment.name = 'live')
      ORDER BY policy.id`,
    [policyName],
  );
  return rows;
}

/** Licenses, spread over the homes, with so many machines each; as they were made, with their keys. */
export async function plantLicenses(client, masterKey, homes, { licenses, machines }) {
  const planted = [];
  while (planted.length < licenses) {
    const first = planted.length;
    const batch = Array.from({ length: Math.min(BATCH, licenses - first) }, (_, index) =>
      makeLicense(masterKey, homes[(first + index) % homes.length]),
    );
    await insertLicenses(client, masterKey, batch, machines);
    planted.push(...batch);
  }
  return planted;
}

/** Accounts with their two environments, and products, policies and entitlements in each. */
export async function plantVendors(client, accounts, policies) {
  await client.query(
    `INSERT INTO account (id, name, slug, owner_email, updated_at)
     SELECT uuidv7(), 'Vendor ' || n, 'vendor-' || n, 'owner@vendor-' || n || '.example', now() FROM generate_series(1, $1) AS n`,
    [accounts],
  );
  await client.query(`
    INSERT INTO environment (id, account_id, name)
    SELECT uuidv7(), account.id, environment_name FROM account CROSS JOIN unnest(enum_range(NULL::environment_name)) AS environment_name`);
  await client.query(
    `INSERT INTO product (id, environment_id, name, code, key_prefix, updated_at)
     SELECT uuidv7(), environment.id, initcap(code), code, upper(code), now() FROM environment CROSS JOIN unnest($1::text[]) AS code`,
    [PRODUCTS],
  );
  await client.query(
    `INSERT INTO entitlement (id, environment_id, code, name, updated_at)
     SELECT uuidv7(), environment.id, code, initcap(code), now() FROM environment CROSS JOIN unnest($1::text[]) AS code`,
    [ENTITLEMENTS],
  );
  for (const policy of policies) await plantPolicy(client, policy);
  // All but the first, which is there for licenses to have of their own.
  await client.query(
    `INSERT INTO policy_entitlement (environment_id, policy_id, entitlement_id)
     SELECT policy.environment_id, policy.id, entitlement.id
       FROM policy JOIN entitlement ON entitlement.environment_id = policy.environment_id AND entitlement.code <> $1`,
    [ENTITLEMENTS[0]],
  );
}

/** The same policy for every product. */
async function plantPolicy(client, { name, rules }) {
  const columns = policyRuleNames.map(snake);
  const row = Object.fromEntries(policyRuleNames.map((rule) => [snake(rule), rules[rule]]));
  await client.query(
    `INSERT INTO policy (id, environment_id, product_id, name, ${columns.join(', ')}, updated_at)
     SELECT uuidv7(), product.environment_id, product.id, $1, ${columns.map((column) => `rules.${column}`).join(', ')}, now()
       FROM product CROSS JOIN jsonb_populate_record(NULL::policy, $2::jsonb) AS rules`,
    [name, JSON.stringify(row)],
  );
}

/** A license with a real key, made as the service makes them (src/licenses/licenses.service.ts). */
function makeLicense(masterKey, home) {
  const key = generateLicenseKey(home.keyPrefix, masterKey.licenseKeyTagSecret);
  return { ...home, id: uuidv7(), key, body: parseLicenseKey(key, masterKey.licenseKeyTagSecret).body };
}

async function insertLicenses(client, masterKey, batch, machines) {
  await client.query(
    `INSERT INTO license (id, environment_id, product_id, policy_id, key_origin, key_digest, key_sealed, pepper_id, name, user_email, user_name,
                          expires_at, machine_count, cores_total, memory_mb_total, first_validated_at, first_activated_at, last_validated_at, metadata, updated_at)
     SELECT id, environment_id, product_id, policy_id, 'generated', decode(digest, 'hex'), decode(sealed, 'hex'), $7,
            'License ' || id, 'user-' || id || '@example.com', 'User ' || id, now() + interval '1 year', $8, $8::int * $9::int, $8::int * $10::int,
            now() - interval '30 days', now() - interval '30 days', now() - interval '1 hour', jsonb_build_object('orderId', 'A-' || id), now()
       FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[])
         AS new (id, environment_id, product_id, policy_id, digest, sealed)`,
    [
      batch.map(({ id }) => id),
      batch.map(({ environmentId }) => environmentId),
      batch.map(({ productId }) => productId),
      batch.map(({ policyId }) => policyId),
      batch.map(({ body }) => hex(masterKey.digestGeneratedKey(body))),
      batch.map(({ key, id }) => hex(masterKey.seal(key, id))),
      masterKey.pepperId,
      machines,
      CORES_OF_MACHINE,
      MEMORY_MB_OF_MACHINE,
    ],
  );
  await client.query(
    `INSERT INTO machine (id, environment_id, license_id, fingerprint, platform, hostname, cores, memory_mb, components, updated_at)
     SELECT uuidv7(), environment_id, license_id, md5(license_id || ':' || n), 'linux', 'host-' || n, $4, $5,
            CASE n WHEN 1 THEN jsonb_build_array(jsonb_build_object('kind', 'disk', 'fingerprint', md5(license_id || ':disk'))) ELSE '[]' END, now()
       FROM unnest($1::uuid[], $2::uuid[]) AS owner (license_id, environment_id) CROSS JOIN generate_series(1, $3) AS n`,
    [batch.map(({ id }) => id), batch.map(({ environmentId }) => environmentId), machines, CORES_OF_MACHINE, MEMORY_MB_OF_MACHINE],
  );
}

/** Some licenses have an entitlement on top of their policy's. */
async function plantOwnEntitlements(client) {
  await client.query(
    `INSERT INTO license_entitlement (environment_id, license_id, entitlement_id, expires_at, quantity)
     SELECT license.environment_id, license.id, entitlement.id, license.expires_at, 5
       FROM (SELECT id, environment_id, expires_at, row_number() OVER () AS n FROM license) AS license
       JOIN entitlement ON entitlement.environment_id = license.environment_id AND entitlement.code = $1
      WHERE license.n % $2 = 0`,
    [ENTITLEMENTS[0], LICENSES_PER_OWN_ENTITLEMENT],
  );
}

/** Some keys were rotated, and each environment has a few test clocks. */
async function plantFormerKeysAndClocks(client) {
  await client.query(
    `INSERT INTO former_license_key (id, environment_id, license_id, key_digest, pepper_id, valid_until)
     SELECT uuidv7(), environment_id, id, sha256(id::text::bytea), pepper_id, now() + interval '1 day'
       FROM (SELECT *, row_number() OVER () AS n FROM license) AS license
      WHERE n % $1 = 0`,
    [ROTATED_EVERY],
  );
  await client.query(
    `INSERT INTO test_clock (id, environment_id, frozen_at, updated_at)
     SELECT uuidv7(), environment.id, now(), now() FROM environment CROSS JOIN generate_series(1, $1)`,
    [CLOCKS],
  );
}

/** The first machine of each license runs a process. */
async function plantProcesses(client) {
  await client.query(
    `INSERT INTO machine_process (id, environment_id, license_id, machine_id, pid, last_heartbeat_at)
     SELECT uuidv7(), environment_id, license_id, id, '4711', now() FROM machine WHERE hostname = 'host-1'`,
  );
}

/** As the statement that inserts machines computes it. */
export function fingerprintOf(licenseId, number) {
  return createHash('md5').update(`${licenseId}:${number}`).digest('hex');
}

function hex(bytes) {
  return Buffer.from(bytes).toString('hex');
}

function snake(name) {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
