import type { Db, Tenant } from '../core/database.js';
import type { FingerprintMatching, LeasingStrategy, PolicyRules, RequirableScope } from '../domain/policy.js';
import { LEASE_INTERVALS } from '../domain/processes.js';
import { overageFactors } from '../domain/seats.js';
import type { ValidationCode } from '../domain/validation.js';
import { Prisma } from '../generated/prisma/client.js';

/** How many licenses of each change are named. */
const MAX_SAMPLES = 20;

/** Licenses whose verdict goes from one code to another, and how many active machines they have together. */
export interface VerdictChange {
  from: ValidationCode;
  to: ValidationCode;
  count: number;
  machines: number;
  /** Ids, newest first. */
  samples: string[];
}

const sql = Prisma.sql;

/**
 * What each license of the policy that the caller sees would answer to a validation under either set of rules, in one
 * statement: those whose code differs, the most frequent change first. The request is one without scopes but the license's
 * own active fingerprints; the time is that of each license's clock.
 */
export function verdictChanges(
  db: Db,
  tenant: Tenant,
  policyId: string,
  { current, proposed, now }: { current: PolicyRules; proposed: PolicyRules; now: Date },
): Promise<VerdictChange[]> {
  const mine = tenant.segmentId === null ? Prisma.empty : sql`AND license.segment_id = ${tenant.segmentId}::uuid`;
  // Materialised: the codes are computed once, not again to compare them and to group by them.
  return db.$queryRaw<VerdictChange[]>`
    WITH verdict AS MATERIALIZED (
      SELECT license.id, license.created_at, license.machine_count, ${codeUnder(current)} AS "from", ${codeUnder(proposed)} AS "to"
        FROM license
        LEFT JOIN test_clock ON test_clock.id = license.test_clock_id
       CROSS JOIN LATERAL (SELECT COALESCE(test_clock.frozen_at, ${now}::timestamptz) AS now) AS clock
       WHERE license.policy_id = ${policyId}::uuid AND license.deleted_at IS NULL ${mine}
    ), changed AS (
      SELECT *, row_number() OVER (PARTITION BY "from", "to" ORDER BY created_at DESC, id DESC) AS position
        FROM verdict
       WHERE "from" <> "to"
    )
    SELECT "from", "to", count(*)::int AS count, sum(machine_count)::int AS machines,
           array_agg(id::text ORDER BY position) FILTER (WHERE position <= ${MAX_SAMPLES}::int) AS samples
      FROM changed
     GROUP BY "from", "to"
     ORDER BY count(*) DESC, "from", "to"`;
}

/**
 * The code of a license under these rules: the rules of src/domain/validation.ts in their order, those on what the request
 * sends left out because it sends nothing. What fails comes first, then what warns.
 */
function codeUnder(rules: PolicyRules): Prisma.Sql {
  const { expirationStrategy: atExpiry } = rules;
  const checkInOverdue = atOrAfter(
    sql`COALESCE(license.last_check_in_at, license.starts_at, license.created_at)`,
    (rules.checkInIntervalDays ?? 0) * DAY_HOURS,
  );
  const failures = [
    when(sql`license.banned_at IS NOT NULL`, 'BANNED'),
    when(sql`license.revoked_at IS NOT NULL`, 'REVOKED'),
    atExpiry === 'REVOKE' && when(isOver(rules), 'REVOKED'),
    when(sql`license.suspended_at IS NOT NULL`, 'SUSPENDED'),
    when(sql`clock.now < license.starts_at`, 'NOT_STARTED'),
    rules.requiredScopes.some((scope) => neverSent.includes(scope)) && when(sql`true`, 'SCOPE_REQUIRED'),
    rules.requiredScopes.includes('fingerprint') && when(hasNoMachine, 'SCOPE_REQUIRED'),
    atExpiry === 'RESTRICT_ACCESS' && when(isOver(rules), 'EXPIRED'),
    rules.requireCheckIn && rules.checkInIntervalDays !== null && when(checkInOverdue, 'CHECK_IN_OVERDUE'),
    rules.requireFingerprint && when(hasNoMachine, 'FINGERPRINT_REQUIRED'),
    rules.requireHeartbeat && heartbeatCode(rules),
    ...limitsOf(rules).map((limit) => overageFactors[rules.overageStrategy] < Infinity && when(isOverEffective(limit, rules), limit.code)),
    when(sql`license.uses_count > COALESCE(license.max_uses_override, ${rules.maxUses}::int)`, 'USES_EXCEEDED'),
  ];
  const warnings = [
    atExpiry === 'ALLOW_ACCESS' && when(isOver(rules), 'EXPIRED'),
    when(sql`clock.now >= license.expires_at AND NOT (${isOver(rules)})`, 'IN_GRACE_PERIOD'),
    ...limitsOf(rules).map((limit) => when(sql`${limit.used} > ${limit.max}`, limit.code)),
  ];
  const applying = [...failures, ...warnings].filter((rule) => rule !== false);
  return sql`COALESCE(${Prisma.join(applying)}, 'VALID')`;
}

/** A rule: its code where the condition holds, null where it does not or where nothing is known. */
function when(condition: Prisma.Sql, code: ValidationCode): Prisma.Sql {
  return sql`CASE WHEN ${condition} THEN ${code} END`;
}

const DAY_HOURS = 24;
const neverSent: RequirableScope[] = ['product', 'policy', 'user', 'version'];
const hasNoMachine = sql`license.machine_count = 0`;

function atOrAfter(time: Prisma.Sql, hoursLater: number): Prisma.Sql {
  return sql`clock.now >= ${time} + make_interval(hours => ${hoursLater}::int)`;
}

/** Expired, grace included (`expiryState`). */
function isOver({ gracePeriodDays }: PolicyRules): Prisma.Sql {
  return atOrAfter(sql`license.expires_at`, gracePeriodDays * DAY_HOURS);
}

interface SumLimit {
  code: ValidationCode;
  /** Null where it is known to be within the limit. */
  used: Prisma.Sql;
  /** The license's own, else the policy's; null = no limit. */
  max: Prisma.Sql;
}

/** In order of precedence. */
function limitsOf(rules: PolicyRules): SumLimit[] {
  const { maxMachines, maxCores, maxMemoryMb, maxDiskMb, maxProcesses } = rules;
  const limit = (code: ValidationCode, used: string, override: string, max: number | null): SumLimit => ({
    code,
    used: Prisma.raw(`license.${used}`),
    max: sql`COALESCE(${Prisma.raw(`license.${override}`)}, ${max}::int)`,
  });
  /** Of seats that are leases the dead ones do not count (`deadOf`); nobody asks for them while all are within the limit. */
  const machines = (code: ValidationCode, total: string, each: string, override: string, max: number | null): SumLimit => {
    const all = limit(code, total, override, max);
    if (!rules.floating || !rules.requireHeartbeat) return all;
    const living = sql`${all.used} - (SELECT COALESCE(sum(${Prisma.raw(each)}), 0) FROM ${machinesOfLicense} AND ${isDead(rules)})`;
    return { ...all, used: sql`CASE WHEN ${all.used} > ${all.max} THEN ${living} END` };
  };
  const processes = limit('PROCESS_LIMIT_EXCEEDED', '', 'max_processes_override', maxProcesses);
  return [
    machines('MACHINE_LIMIT_EXCEEDED', 'machine_count', '1', 'max_machines_override', maxMachines),
    machines('CORE_LIMIT_EXCEEDED', 'cores_total', 'machine.cores', 'max_cores_override', maxCores),
    machines('MEMORY_LIMIT_EXCEEDED', 'memory_mb_total', 'machine.memory_mb', 'max_memory_mb_override', maxMemoryMb),
    machines('DISK_LIMIT_EXCEEDED', 'disk_mb_total', 'machine.disk_mb', 'max_disk_mb_override', maxDiskMb),
    { ...processes, used: sql`CASE WHEN ${processes.max} IS NOT NULL THEN ${runningProcesses(rules)} END` },
  ];
}

/** What leases count together by (`leaseGroupOf`). */
const leasedBy: Record<LeasingStrategy, Prisma.Sql> = {
  PER_LICENSE: sql`process.license_id`,
  PER_MACHINE: sql`machine.id`,
  PER_USER: sql`lower(machine.user_email)`,
};

/** Leases in force, of the largest group: all of the license's machines are named. Read where something limits them. */
function runningProcesses({ leasingStrategy, heartbeatIntervalMinutes }: PolicyRules): Prisma.Sql {
  return sql`(
    SELECT max(counted.running)
      FROM (SELECT count(*) AS running
              FROM machine_process AS process JOIN machine ON machine.id = process.machine_id
             WHERE process.license_id = license.id
               AND process.last_heartbeat_at > clock.now - ${LEASE_INTERVALS}::int * make_interval(mins => ${heartbeatIntervalMinutes}::int)
             GROUP BY ${leasedBy[leasingStrategy]}) AS counted)`;
}

/** Over what the overage strategy tolerates (`limitOf`). */
function isOverEffective({ used, max }: SumLimit, { overageStrategy }: PolicyRules): Prisma.Sql {
  return sql`${used} > floor(${max} * ${overageFactors[overageStrategy]}::float8)`;
}

/** How many of a license's machines must live when all of them are sent. */
const livingNeeded: Record<FingerprintMatching, Prisma.Sql> = {
  ANY: sql`LEAST(1, count(*))`,
  TWO: sql`LEAST(2, count(*))`,
  MOST: sql`ceil(count(*) / 2.0)`,
  ALL: sql`count(*)`,
};

/** The machines that hold the license's seats, with their signs of life: what follows FROM, to be gone on with AND. */
const machinesOfLicense = sql`
  machine JOIN machine_pulse AS pulse ON pulse.environment_id = machine.environment_id AND pulse.machine_id = machine.id
  WHERE machine.license_id = license.id AND machine.deleted_at IS NULL`;

/** When a machine is dead unless it beats before; null while its first beat is awaited (`nextHeartbeatAt`). */
function deadline({ heartbeatBasis, heartbeatIntervalMinutes }: PolicyRules): Prisma.Sql {
  const firstBeat = heartbeatBasis === 'FROM_ACTIVATION' ? sql`pulse.activated_at` : sql`NULL::timestamptz`;
  return sql`COALESCE(pulse.last_heartbeat_at, ${firstBeat}) + make_interval(mins => ${heartbeatIntervalMinutes}::int)`;
}

function isDead(rules: PolicyRules): Prisma.Sql {
  return sql`clock.now >= ${deadline(rules)}`;
}

/** The rule on heartbeats (`heartbeatVerdict`). It reads the machines of a license, if no rule before it has failed. */
function heartbeatCode(rules: PolicyRules): Prisma.Sql {
  const living = sql`clock.now < ${deadline(rules)}`;
  return sql`(
    SELECT CASE WHEN count(*) FILTER (WHERE ${living}) >= ${livingNeeded[rules.fingerprintMatching]} THEN NULL
                WHEN count(*) FILTER (WHERE ${isDead(rules)}) > 0 THEN 'HEARTBEAT_DEAD'
                ELSE 'HEARTBEAT_REQUIRED' END
      FROM ${machinesOfLicense})`;
}
