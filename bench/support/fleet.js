import { policyFromTemplate } from '../../dist/domain/policy.js';
import { withClient } from './database.js';
import { beginPlanting, homesOf, plantLicenses, plantVendors, settle } from './dataset.js';
import { anyOf } from './random.js';

/** Machines of a license of the fleet, and of one of the leases: neither has a seat beyond them. */
export const FLEET_SEATS = 10;
export const LEASE_SEATS = FLEET_SEATS + 1;
/** Policies whose licenses have room; those of the second get machines behind the server's back. */
export const ROOM = 'Room';
export const UNCOUNTED = 'Uncounted';
export const LEASES = 'Leases';
const DAY_MINUTES = 1440;

const custom = (rules) => policyFromTemplate({ template: 'custom', ...rules });

/** Of a fleet that beats and stays; of licenses that have room; of machines whose seats come back when they are dead. */
const POLICIES = [
  {
    name: 'Fleet',
    rules: custom({
      maxMachines: FLEET_SEATS,
      requireHeartbeat: true,
      heartbeatIntervalMinutes: DAY_MINUTES,
      heartbeatCullStrategy: 'KEEP_DEAD',
    }),
  },
  { name: ROOM, rules: custom({ maxMachines: 1_000_000 }) },
  { name: UNCOUNTED, rules: custom({ maxMachines: 1_000_000 }) },
  { name: LEASES, rules: custom({ maxMachines: LEASE_SEATS, requireHeartbeat: true, heartbeatIntervalMinutes: DAY_MINUTES / 2 }) },
];

/**
 * Fill the empty database with vendors and a fleet of so many machines, ten of each license, all of which have beaten.
 * @returns the licenses, as `licensesWithMachines` answers them
 */
export async function plantFleet(client, masterKey, { accounts, machines }) {
  await beginPlanting(client);
  await plantVendors(client, accounts, POLICIES);
  const licenses = Math.ceil(machines / FLEET_SEATS);
  const planted = await plantLicenses(client, masterKey, await homesOf(client, 'Fleet'), { licenses, machines: FLEET_SEATS });
  await client.query('UPDATE machine_pulse SET last_heartbeat_at = activated_at');
  await settle(client);
  // As the rows would lie had each been written once.
  await client.query('VACUUM (FULL, ANALYZE) machine_pulse');
  return licensesWithMachines(client, planted);
}

/** Further licenses, of the policy of this name, with so many machines each. */
export async function plantMore(url, masterKey, policyName, { licenses, machines }) {
  return withClient(url, async (client) => {
    await beginPlanting(client);
    const planted = await plantLicenses(client, masterKey, await homesOf(client, policyName), { licenses, machines });
    await settle(client);
    return licensesWithMachines(client, planted);
  });
}

/** Each with its id, its key, its environment's and policy's id, and the ids of its machines, the first made first. */
async function licensesWithMachines(client, planted) {
  const licenses = new Map(planted.map(({ id, key, environmentId, policyId }) => [id, { id, key, environmentId, policyId, machines: [] }]));
  const { rows } = await client.query(
    `SELECT license_id AS id, array_agg(id::text ORDER BY id) AS machines FROM machine WHERE license_id = ANY($1) GROUP BY license_id`,
    [[...licenses.keys()]],
  );
  for (const { id, machines } of rows) licenses.get(id).machines = machines;
  return [...licenses.values()];
}

/** A beat of a random machine of these licenses. */
export function beatOf(licenses) {
  const next = () => {
    const { key, machines } = anyOf(licenses);
    return { path: `/api/v1/machines/${anyOf(machines)}/heartbeat`, headers: { authorization: `License ${key}` } };
  };
  return { status: 200, expected: '"status":"active"', next };
}

/** How many of these licenses count other machines, cores or memory than they have. */
export async function miscounted(client, licenses) {
  const { rows } = await client.query(
    `SELECT count(*)::int AS wrong
       FROM license
      CROSS JOIN LATERAL (SELECT count(*) AS machines, COALESCE(sum(cores), 0) AS cores, COALESCE(sum(memory_mb), 0) AS memory
                            FROM machine WHERE machine.license_id = license.id AND machine.deleted_at IS NULL) AS had
      WHERE license.id = ANY($1) AND (machine_count <> had.machines OR cores_total <> had.cores OR memory_mb_total <> had.memory)`,
    [licenses.map(({ id }) => id)],
  );
  return rows[0].wrong;
}
