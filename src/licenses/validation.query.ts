import { licenseOfKey } from '../auth/credentials.query.js';
import type { Db } from '../core/database.js';
import type { EnvironmentName } from '../domain/api-key.js';
import type { Metadata } from '../domain/metadata.js';
import { policyRuleNames, type PolicyRules } from '../domain/policy.js';
import { LEASE_INTERVALS } from '../domain/processes.js';
import { type MachineTotals, totalsOfNone } from '../domain/seats.js';
import type { LicenseFacts, ValidationLicense } from '../domain/validation.js';
import type { License } from '../generated/prisma/client.js';

const LICENSE_COLUMNS = [
  'id', 'name', 'productId', 'policyId', 'userEmail', 'userName', 'startsAt', 'expiresAt', 'clockPending', 'createdAt', 'suspendedAt', 'bannedAt',
  'revokedAt', 'firstValidatedAt', 'lastValidatedAt', 'lastCheckInAt', 'allowedVersions', 'usesCount', 'machineCount', 'maxMachinesOverride',
  'maxUsesOverride', 'maxCoresOverride', 'maxMemoryMbOverride', 'maxDiskMbOverride', 'maxProcessesOverride', 'metadata',
] as const satisfies (keyof ValidationLicense)[]; // prettier-ignore

/**
 * How many machines the fingerprint of a component leads to, the newest ones: parts that say nothing ("To be filled by
 * O.E.M.") are in every machine of a fleet. A machine whose own fingerprint is sent is always among those looked at.
 */
const MACHINES_OF_COMPONENT = 10;

/** The machines of `license` that the fingerprints $2 lead to, own and components', some of them twice. */
const MATCHED_MACHINES = `
  SELECT environment_id, id, fingerprint
    FROM machine
   WHERE license_id = license.id AND fingerprint = ANY($2::text[]) AND deleted_at IS NULL
   UNION ALL
  SELECT whole.environment_id, whole.id, whole.fingerprint
    FROM unnest($2::text[]) AS sent (fingerprint)
   CROSS JOIN LATERAL (SELECT machine_id FROM machine_component
                        WHERE license_id = license.id AND machine_component.fingerprint = sent.fingerprint
                        ORDER BY machine_id DESC LIMIT ${String(MACHINES_OF_COMPONENT)}) AS part
    JOIN machine AS whole ON whole.id = part.machine_id`;

/** Newest first. */
const MACHINES = `
  SELECT json_agg(json_build_array(machine.id, machine.fingerprint, pulse.activated_at, pulse.last_heartbeat_at,
                                   ARRAY(SELECT part.fingerprint FROM machine_component AS part
                                          WHERE part.license_id = license.id AND part.fingerprint = ANY($2::text[])
                                            AND part.machine_id = machine.id)) ORDER BY machine.id DESC)
    FROM (${MATCHED_MACHINES}) AS machine
    JOIN machine_pulse AS pulse ON pulse.environment_id = machine.environment_id AND pulse.machine_id = machine.id`;

/**
 * What the dead of the license's machines sum to at $3, or by the license's clock (`machineStatus`). It walks through all
 * of its machines, so only where that decides: seats are leases, and one of the limits is passed.
 */
const DEAD_TOTALS = `
  CASE WHEN policy.floating AND policy.require_heartbeat
        AND (license.machine_count > COALESCE(license.max_machines_override, policy.max_machines)
             OR license.cores_total > COALESCE(license.max_cores_override, policy.max_cores)
             OR license.memory_mb_total > COALESCE(license.max_memory_mb_override, policy.max_memory_mb)
             OR license.disk_mb_total > COALESCE(license.max_disk_mb_override, policy.max_disk_mb))
       THEN (SELECT json_build_object('machineCount', count(*), 'coresTotal', COALESCE(sum(machine.cores), 0),
                                      'memoryMbTotal', COALESCE(sum(machine.memory_mb), 0), 'diskMbTotal', COALESCE(sum(machine.disk_mb), 0))
               FROM machine
               JOIN machine_pulse AS pulse ON pulse.environment_id = machine.environment_id AND pulse.machine_id = machine.id
              WHERE machine.license_id = license.id AND machine.deleted_at IS NULL
                AND COALESCE(test_clock.frozen_at, $3::timestamptz)
                    >= COALESCE(pulse.last_heartbeat_at, CASE policy.heartbeat_basis WHEN 'FROM_ACTIVATION' THEN pulse.activated_at END)
                       + make_interval(mins => policy.heartbeat_interval_minutes))
  END`;

const LEASE_IN_FORCE = `process.last_heartbeat_at
  > COALESCE(test_clock.frozen_at, $3::timestamptz) - ${String(LEASE_INTERVALS)} * make_interval(mins => policy.heartbeat_interval_minutes)`;

/**
 * Leases in force, counted as the policy's strategy says (domain/processes.ts, `leaseGroupOf`): with all of the license's, or
 * with those of each machine that is named. Where nothing limits processes no lease is read.
 */
const PROCESSES = `
  CASE WHEN COALESCE(license.max_processes_override, policy.max_processes) IS NULL THEN NULL
       WHEN policy.leasing_strategy = 'PER_LICENSE' THEN (
         SELECT json_build_array(json_build_array(NULL, count(*)))
           FROM machine_process AS process WHERE process.license_id = license.id AND ${LEASE_IN_FORCE})
       WHEN policy.leasing_strategy = 'PER_MACHINE' THEN (
         SELECT json_agg(json_build_array(counted.machine_id, counted.running))
           FROM (SELECT process.machine_id, count(*) AS running FROM machine_process AS process
                  WHERE process.machine_id = ANY(ARRAY(SELECT matched.id FROM (${MATCHED_MACHINES}) AS matched)) AND ${LEASE_IN_FORCE}
                  GROUP BY process.machine_id) AS counted)
       ELSE (
         SELECT json_agg(json_build_array(named.id, counted.running))
           FROM (SELECT lower(holder.user_email) AS user_email, count(*) AS running
                   FROM machine_process AS process JOIN machine AS holder ON holder.id = process.machine_id
                  WHERE process.license_id = license.id AND ${LEASE_IN_FORCE}
                  GROUP BY lower(holder.user_email)) AS counted
           JOIN machine AS named ON lower(named.user_email) IS NOT DISTINCT FROM counted.user_email
          WHERE named.id = ANY(ARRAY(SELECT matched.id FROM (${MATCHED_MACHINES}) AS matched)))
       END`;

/**
 * All that a validation depends on, in one statement: $2 the fingerprints that were sent, $3 the time; what leads to the
 * license by $1 says which key did, and joins its clock and environment. Every table is reached through an index; the plan
 * is the same for ten licenses and ten million (bench/validate.js).
 */
const factsOf = (license: string): string => `
    SELECT ${LICENSE_COLUMNS.map((column) => `license.${snake(column)} AS "${column}"`).join(', ')},
           license.cores_total::float8 AS "coresTotal", license.memory_mb_total::float8 AS "memoryMbTotal",
           license.disk_mb_total::float8 AS "diskMbTotal",
           ${policyRuleNames.map((rule) => `policy.${snake(rule)} AS "policy.${rule}"`).join(', ')},
           ${PROCESSES} AS processes,
           product.code AS "productCode", environment.id AS "environmentId", environment.name AS environment,
           environment.account_id AS "accountId", key.valid_until AS "keyValidUntil", test_clock.frozen_at AS "frozenAt",
           ARRAY(SELECT entitlement.code
                   FROM policy_entitlement JOIN entitlement ON entitlement.id = policy_entitlement.entitlement_id
                  WHERE policy_entitlement.policy_id = license.policy_id) AS inherited,
           (SELECT json_agg(json_build_array(entitlement.code, license_entitlement.expires_at, license_entitlement.quantity))
              FROM license_entitlement JOIN entitlement ON entitlement.id = license_entitlement.entitlement_id
             WHERE license_entitlement.license_id = license.id) AS own,
           (${MACHINES}) AS machines,
           ${DEAD_TOTALS} AS dead
      ${license}
      JOIN policy ON policy.id = license.policy_id
      JOIN product ON product.id = license.product_id
     WHERE license.deleted_at IS NULL`;

/** For validate-key: $1 is the key's digest. */
export const FIND_VALIDATION_FACTS = { name: 'find_validation_facts', text: factsOf(licenseOfKey) };

/** Of a license of the tenant, $1 its id. Row-level security says whose it may be, so this runs within a unit of work. */
const FACTS_OF_LICENSE = factsOf(`
      FROM (SELECT $1::uuid AS id, NULL::timestamptz AS valid_until) AS key
      JOIN license ON license.id = key.id
      LEFT JOIN test_clock ON test_clock.id = license.test_clock_id
      JOIN environment ON environment.id = license.environment_id`);

/** What a license is shown with that no verdict depends on: that of the licenses $1, of whichever environments. */
export const FIND_REST_OF_LICENSES = {
  name: 'find_rest_of_licenses',
  text: `
    SELECT id, segment_id AS "segmentId", test_clock_id AS "testClockId", term_anchor_at AS "termAnchorAt",
           first_activated_at AS "firstActivatedAt", updated_at AS "updatedAt"
      FROM license WHERE id = ANY($1::uuid[])`,
};

export type RestOfLicense = Pick<License, 'id' | 'segmentId' | 'testClockId' | 'termAnchorAt' | 'firstActivatedAt' | 'updatedAt'>;

/** Null when there is no such license, or it is not the tenant's. `now` is real time, for licenses that live by it. */
export async function loadFacts(db: Db, id: string, fingerprints: string[], now: Date): Promise<LicenseFacts | null> {
  const [row] = await db.$queryRawUnsafe<ValidationFactsRow[]>(FACTS_OF_LICENSE, id, fingerprints, now);
  return row === undefined ? null : toLicenseFacts(row);
}

/** Held until the end of the work: who waited for others and loads the facts then reads what they left. */
export async function holdLicense(db: Db, id: string): Promise<void> {
  await db.$queryRaw`SELECT 1 FROM license WHERE id = ${id}::uuid FOR NO KEY UPDATE`;
}

type LicenseColumns = Omit<ValidationLicense, 'metadata'> & { metadata: Metadata };

type MatchedMachineRow = [id: string, fingerprint: string, activatedAt: string, lastHeartbeatAt: string | null, components: string[]];

/** As PostgreSQL sends it: what is in lists is JSON, so times in it are text. */
export interface ValidationFactsRow extends LicenseColumns {
  [policyRule: `policy.${string}`]: unknown;
  productCode: string;
  environmentId: string;
  environment: EnvironmentName;
  accountId: string;
  keyValidUntil: Date | null;
  frozenAt: Date | null;
  inherited: string[];
  own: [code: string, expiresAt: string | null, quantity: number | null][] | null;
  processes: [machineId: string | null, running: number][] | null;
  machines: MatchedMachineRow[] | null;
  dead: MachineTotals | null;
}

export function toLicenseFacts(row: ValidationFactsRow): LicenseFacts {
  return {
    license: row,
    policy: Object.fromEntries(policyRuleNames.map((rule) => [rule, row[`policy.${rule}`]])) as unknown as PolicyRules,
    productCode: row.productCode,
    environmentId: row.environmentId,
    environment: row.environment,
    accountId: row.accountId,
    keyValidUntil: row.keyValidUntil,
    testClock: row.frozenAt === null ? null : { frozenAt: row.frozenAt },
    inheritedEntitlements: row.inherited,
    ownEntitlements: (row.own ?? []).map(([code, expiresAt, quantity]) => ({ code, expiresAt: timeOf(expiresAt), quantity })),
    processes: (row.processes ?? []).map(([machineId, running]) => ({ machineId, running })),
    machines: onceEach(row.machines ?? []).map(([id, fingerprint, activatedAt, lastHeartbeatAt, components]) => ({
      id,
      fingerprint,
      activatedAt: new Date(activatedAt),
      lastHeartbeatAt: timeOf(lastHeartbeatAt),
      components,
    })),
    deadTotals: row.dead ?? totalsOfNone,
  };
}

/** Several fingerprints may lead to one machine. */
function onceEach(machines: MatchedMachineRow[]): MatchedMachineRow[] {
  return machines.length < 2 ? machines : [...new Map(machines.map((machine) => [machine[0], machine])).values()];
}

function timeOf(text: string | null): Date | null {
  return text === null ? null : new Date(text);
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
