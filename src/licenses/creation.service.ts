import { Injectable } from '@nestjs/common';
import { type Change, recordChanges } from '../core/audit.js';
import { Clock } from '../core/clock.js';
import { insertFree, insertMany } from '../core/insert.js';
import { Database, type Db, type Tenant } from '../core/database.js';
import { MasterKey } from '../core/master-key.js';
import type { License } from '../generated/prisma/client.js';
import { type MachineRow, toMachineView } from '../machines/machines.dto.js';
import { keyTaken, type NewLicense, type Plan, type PastBeat, planLicense, type PlannedLicense } from './creation.plan.js';
import { countMore, holdReferences, TAKEN_KEYS } from './creation.query.js';
import { type LicenseRow, toLicenseEntry } from './licenses.dto.js';

/** How licenses are made, be it one or many: with as many statements for a thousand as for one. */
@Injectable()
export class CreationService {
  constructor(
    private readonly database: Database,
    private readonly masterKey: MasterKey,
    private readonly clock: Clock,
  ) {}

  /**
   * What would be written for each of these licenses, or why it cannot be made. What they refer to is held until the end
   * of the work. `keysInUse` has the digests of keys that others of the same request take, and gets those of these.
   */
  async plan(
    db: Db,
    tenant: Tenant,
    licenses: readonly NewLicense[],
    { takesBackKeys = false, keysInUse = new Set<string>() } = {},
  ): Promise<Plan[]> {
    const named = licenses.map(inCanonicalForm);
    const references = await holdReferences(db, named);
    const keys = { tenant, masterKey: this.masterKey, takesBackKeys };
    const plans = named.map((license) => planLicense(license, references, keys, (testClock) => this.clock.now(testClock)));
    const given = new Set(plans.filter((plan, index) => 'planned' in plan && named[index]?.key !== undefined));
    const taken = await this.takenAmong([...given]);
    return plans.map((plan) => {
      if (!('planned' in plan) || !given.has(plan)) return plan;
      const digest = textOf(plan.planned.columns.keyDigest);
      if (taken.has(digest) || keysInUse.has(digest)) return { problems: [keyTaken] };
      keysInUse.add(digest);
      return plan;
    });
  }

  /**
   * Write and record them. Null for one whose key somebody else has taken since: nothing of it is written, and the others
   * are, so that whoever wants all or nothing fails the work. `countedLater` collects by product what is then to be counted
   * at the end of a long transaction: until its end nobody else could make a license of the product.
   */
  async save(
    db: Db,
    tenant: Tenant,
    licenses: readonly PlannedLicense[],
    countedLater?: Map<string, number>,
  ): Promise<(LicenseRow | null)[]> {
    // In the order of what is unique: two that want the same keys wait for each other, and never in a circle.
    const inOrder = [...licenses].sort((a, b) => Buffer.compare(a.columns.keyDigest, b.columns.keyDigest));
    const ids = await insertFree(
      db,
      'license',
      inOrder.map(({ columns }) => columns),
    );
    const rows = byId(await db.license.findMany({ where: { id: { in: ids } } }));
    const made = licenses.filter(({ columns }) => rows.has(columns.id));
    const machines = await attachBelongings(db, made);
    const counts = countedLater ?? new Map<string, number>();
    for (const { columns } of made) counts.set(columns.productId, (counts.get(columns.productId) ?? 0) + 1);
    if (countedLater === undefined) await countMore(db, counts);
    const saved = licenses.map((license) => {
      const row = rows.get(license.columns.id);
      return row === undefined ? null : toRow(row, license);
    });
    await recordChanges(
      db,
      saved.flatMap((row, index) =>
        row === null ? [] : recordsOf(row, licenses[index]?.now ?? row.createdAt, tenant, machines.get(row.id) ?? []),
      ),
    );
    return saved;
  }

  /** Also those of other environments, whose rows nobody here may see: that a key is taken is all that is told. */
  private async takenAmong(plans: readonly Plan[]): Promise<Set<string>> {
    const digests = plans.flatMap((plan) => ('planned' in plan ? [Buffer.from(plan.planned.columns.keyDigest)] : []));
    if (digests.length === 0) return new Set();
    const rows = await this.database.lookup<{ digest: Buffer }>(TAKEN_KEYS, [digests]);
    return new Set(rows.map(({ digest }) => textOf(digest)));
  }
}

/** What hangs on the licenses; answers their machines by license. */
async function attachBelongings(db: Db, made: readonly PlannedLicense[]): Promise<Map<string, MachineRow[]>> {
  const attached = made.flatMap(({ columns, entitlements, now }) =>
    entitlements.map(({ entitlementId, expiresAt, quantity }) => ({
      licenseId: columns.id,
      entitlementId,
      expiresAt,
      quantity,
      createdAt: now,
    })),
  );
  await insertMany(db, 'license_entitlement', attached);
  const machines = made.flatMap((license) => license.machines);
  await insertMany(db, 'machine', machines);
  const where = { id: { in: machines.map(({ id }) => id) } };
  const beats = made.flatMap((license) => license.beats);
  if (beats.length > 0) await keepBeats(db, beats);
  const rows = machines.length === 0 ? [] : await db.machine.findMany({ where, orderBy: { id: 'asc' }, include: { pulse: true } });
  const byLicense = new Map<string, MachineRow[]>();
  for (const row of rows) byLicense.set(row.licenseId, [...(byLicense.get(row.licenseId) ?? []), row]);
  return byLicense;
}

/** The machines' pulses are there already: they begin with them. */
async function keepBeats(db: Db, beats: readonly PastBeat[]): Promise<void> {
  const [ids, times] = [beats.map(({ machineId }) => machineId), beats.map(({ lastHeartbeatAt }) => lastHeartbeatAt)];
  await db.$executeRaw`
    UPDATE machine_pulse SET last_heartbeat_at = beat.at
      FROM unnest(${ids}::uuid[], ${times}::timestamptz[]) AS beat (machine_id, at)
     WHERE machine_pulse.machine_id = beat.machine_id
       AND machine_pulse.environment_id = current_setting('app.environment_id')::uuid`;
}

function toRow(row: License, { policy, testClock, entitlements }: PlannedLicense): LicenseRow {
  const own = entitlements.map(({ code, expiresAt, quantity }) => ({ expiresAt, quantity, entitlement: { code } }));
  return { ...row, policy, testClock, entitlements: own };
}

function recordsOf(row: LicenseRow, now: Date, tenant: Tenant, machines: readonly MachineRow[]): Change[] {
  const about = { licenseId: row.id, occurredAt: row.testClock?.frozenAt };
  const resource = (type: string, id: string) => ({ type, id, segmentId: row.segmentId });
  return [
    { ...about, action: 'license.created', resource: resource('license', row.id), after: toLicenseEntry(row, tenant.environment, now) },
    ...machines.map((machine) => ({
      ...about,
      action: 'machine.activated',
      resource: resource('machine', machine.id),
      after: toMachineView(machine, row.policy, tenant.environment, now),
    })),
  ];
}

/** Ids as the database spells them. */
function inCanonicalForm(license: NewLicense): NewLicense {
  const { productId, policyId, testClockId } = license;
  return { ...license, productId: productId.toLowerCase(), policyId: policyId.toLowerCase(), testClockId: testClockId?.toLowerCase() };
}

function textOf(digest: Uint8Array): string {
  return Buffer.from(digest).toString('base64');
}

function byId<Row extends { id: string }>(rows: readonly Row[]): Map<string, Row> {
  return new Map(rows.map((row) => [row.id, row]));
}
