import type pg from 'pg';

/**
 * Roll-ups as the rows say that they are, computed one row at a time by nothing but their definitions (docs/decisions/0022-roll-ups.md);
 * and as they are. Each a sum by name; what comes to nothing is left out.
 */

export type Sums = Record<string, number>;

const WHOLE = '00000000-0000-0000-0000-000000000000';
/** Tables of sums: their columns of identity, and the columns that are sums. */
const tables: Record<string, [string[], string[]]> = {
  license_tally: [['segment_id', 'unit', 'policy_id', 'test_clock_id', 'held', 'expires_in'], ['licenses']],
  seat_tally: [['segment_id', 'policy_id', 'max_machines_override', 'machine_count'], ['licenses']],
  dead_machine_tally: [['segment_id', 'policy_id'], ['machines']],
  cohort_tally: [
    ['segment_id', 'created_in'],
    ['licenses', 'trials', 'converted', 'due', 'renewed'],
  ],
  activity_count: [['segment_id', 'metric', 'dimension', 'unit', 'bucket', 'name'], ['value']],
};

/** As they are stored; validations apart, which no row tells of. */
export async function storedRollUps(database: pg.Client, environmentId: string): Promise<Sums> {
  const sums: Sums = {};
  for (const [table, [identity, columns]] of Object.entries(tables)) {
    const { rows } = await database.query<Record<string, string>>(
      `SELECT to_jsonb(${table}) AS row FROM ${table} WHERE environment_id = $1 ${table === 'activity_count' ? "AND metric <> 'validations'" : ''}`,
      [environmentId],
    );
    for (const { row } of rows as unknown as { row: Record<string, string | number> }[])
      for (const column of columns) add(sums, Number(row[column]), table, column, ...identity.map((name) => textOf(name, row[name]!)));
  }
  return tidied(sums);
}

interface LicenseRow {
  id: string;
  segment_id: string | null;
  product_id: string;
  policy_id: string;
  test_clock_id: string | null;
  expires_at: Date | null;
  banned_at: Date | null;
  revoked_at: Date | null;
  suspended_at: Date | null;
  deleted_at: Date | null;
  created_at: Date;
  max_machines_override: number | null;
  machine_count: number;
  began_as_trial: boolean;
  converted_at: Date | null;
  first_renewed_at: Date | null;
  expired_announced_for: Date | null;
}
interface MachineRow {
  id: string;
  license_id: string;
  segment_id: string | null;
  platform: string | null;
  created_at: Date;
  deleted_at: Date | null;
  dead: boolean | null;
}
/** An expiry, as it was told of: under what its license was then. */
export interface Expiry {
  at: Date;
  segmentId: string | null;
  productId: string;
  policyId: string;
}

/** By definition, of the rows of an environment and the expiries that were told of. */
export async function bruteRollUps(database: pg.Client, environmentId: string, expiries: readonly Expiry[]): Promise<Sums> {
  const { rows: licenses } = await database.query<LicenseRow>('SELECT * FROM license WHERE environment_id = $1', [environmentId]);
  const { rows: machines } = await database.query<MachineRow>(
    `SELECT machine.*, machine.platform::text AS platform, pulse.death_announced AS dead FROM machine
       LEFT JOIN machine_pulse AS pulse ON pulse.machine_id = machine.id WHERE machine.environment_id = $1`,
    [environmentId],
  );
  const byId = new Map(licenses.map((license) => [license.id, license]));
  const sums: Sums = {};
  const happened = (metric: string, at: Date, segment: string | null, names: Record<string, string | null>, by = 1): void => {
    for (const seen of segmentsOf(segment))
      for (const [dimension, name] of Object.entries<string | null>({ all: '', ...names }))
        for (const unit of ['all', 'day', 'hour'] as const) {
          const bucket = unit === 'all' ? '1970-01-01T00:00:00.000Z' : startOf(unit, at);
          if (name !== null) add(sums, by, 'activity_count', 'value', seen, metric, dimension, unit, bucket, name);
        }
  };
  for (const license of licenses) {
    const { product_id: productId, policy_id: policyId, segment_id: segment } = license;
    happened('licenses_created', license.created_at, segment, { productId, policyId });
    if (license.deleted_at === null) for (const seen of segmentsOf(segment)) addLiving(sums, license, seen);
  }
  for (const machine of machines) {
    const license = byId.get(machine.license_id)!;
    const names = { productId: license.product_id, policyId: license.policy_id, platform: machine.platform };
    happened('activations', machine.created_at, machine.segment_id, names);
    happened('active_machines', machine.created_at, machine.segment_id, names);
    if (machine.deleted_at !== null) {
      happened('deactivations', machine.deleted_at, machine.segment_id, names);
      happened('active_machines', machine.deleted_at, machine.segment_id, names, -1);
    }
    if (machine.dead === true)
      for (const seen of segmentsOf(machine.segment_id)) add(sums, 1, 'dead_machine_tally', 'machines', seen, license.policy_id);
  }
  for (const { at, segmentId, productId, policyId } of expiries) happened('licenses_expired', at, segmentId, { productId, policyId });
  return tidied(sums);
}

function addLiving(sums: Sums, license: LicenseRow, seen: string): void {
  const { policy_id: policy, expires_at: end, machine_count: machines, max_machines_override: override } = license;
  const held = license.banned_at ? 'banned' : license.revoked_at ? 'revoked' : license.suspended_at ? 'suspended' : 'none';
  for (const unit of ['month', 'day', 'hour', 'minute'] as const)
    add(
      sums,
      1,
      'license_tally',
      'licenses',
      seen,
      unit,
      policy,
      license.test_clock_id ?? WHOLE,
      held,
      end === null ? 'infinity' : startOf(unit, end),
    );
  add(sums, 1, 'seat_tally', 'licenses', seen, policy, String(override ?? -1), String(machines));
  const cohort = startOf('month', license.created_at);
  const renewed = license.first_renewed_at !== null;
  for (const [column, counts] of Object.entries({
    licenses: true,
    trials: license.began_as_trial,
    converted: license.converted_at !== null,
    due: renewed || license.expired_announced_for !== null,
    renewed,
  }))
    if (counts) add(sums, 1, 'cohort_tally', column, seen, cohort);
}

const segmentsOf = (segment: string | null): string[] => (segment === null ? [WHOLE] : [WHOLE, segment]);

function startOf(unit: 'month' | 'day' | 'hour' | 'minute', at: Date): string {
  const kept = { month: 7, day: 10, hour: 13, minute: 16 }[unit];
  return at.toISOString().slice(0, kept) + '0000-01-01T00:00:00.000Z'.slice(kept);
}

function textOf(column: string, value: string | number): string {
  return /^(bucket|\w+_in)$/.test(column) && value !== 'infinity' ? new Date(value).toISOString() : String(value);
}

function add(sums: Sums, by: number, ...names: string[]): void {
  const name = names.join(' ');
  sums[name] = (sums[name] ?? 0) + by;
}

function tidied(sums: Sums): Sums {
  return Object.fromEntries(
    Object.entries(sums)
      .filter(([, sum]) => sum !== 0)
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}
