import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import pg from 'pg';
import {
  expirationStrategies,
  fingerprintMatchings,
  heartbeatBases,
  leasingStrategies,
  overageStrategies,
  type PolicyRequest,
  type RequirableScope,
} from '../src/domain/policy.js';
import { withKey } from './support/client.js';
import { sharedServer } from './support/shared-server.js';
import { testDatabaseUrl } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

/** A preview says what validations will say once the change is made (contract: resources.md, "Policies"). */

const server = sharedServer();
let vendor: Vendor;
let database: pg.Client;
beforeAll(async () => {
  database = new pg.Client({ connectionString: testDatabaseUrl() });
  await database.connect();
});
afterAll(async () => {
  await database.end();
});
beforeEach(async () => {
  vendor = await Vendor.signUp(server.url);
});

const HOUR_MS = 3_600_000;
const DAY_HOURS = 24;
const hoursFromNow = (hours: number): Date => new Date(Date.now() + hours * HOUR_MS);

interface MachineState {
  activatedHour: number;
  lastBeatHour: number | null;
  cores: number;
  memoryMb: number;
  diskMb: number;
  userEmail?: string | null;
  /** When each of its processes beat last. */
  beatHours?: number[];
}

/** All of a license that verdicts depend on; hours are counted from its clock's time. */
interface LicenseState {
  onTestClock: boolean;
  createdHour: number;
  startsHour: number | null;
  expiresHour: number | null;
  lastCheckInHour: number | null;
  banned: boolean;
  revoked: boolean;
  suspended: boolean;
  usesCount: number;
  maxMachinesOverride: number | null;
  maxCoresOverride: number | null;
  maxUsesOverride: number | null;
  maxProcessesOverride: number | null;
  machines: MachineState[];
}

const ordinary: LicenseState = {
  onTestClock: false,
  createdHour: -1000,
  startsHour: null,
  expiresHour: null,
  lastCheckInHour: null,
  banned: false,
  revoked: false,
  suspended: false,
  usesCount: 0,
  maxMachinesOverride: null,
  maxCoresOverride: null,
  maxUsesOverride: null,
  maxProcessesOverride: null,
  machines: [],
};
const machine: MachineState = { activatedHour: -100, lastBeatHour: null, cores: 2, memoryMb: 100, diskMb: 10 };

interface Subject {
  id: string;
  key: string;
  fingerprints: string[];
}

/** Give the license this state, however it could have come to it. */
async function put(subject: { id: string; key: string }, state: LicenseState, clock: { id: string; frozenAt: Date }): Promise<Subject> {
  // By a test clock times are met exactly; the real time must not pass one of them during the test.
  const base = state.onTestClock ? clock.frozenAt : hoursFromNow(0.5);
  const at = (hour: number | null): Date | null => (hour === null ? null : new Date(base.getTime() + hour * HOUR_MS));
  const sum = (size: 'cores' | 'memoryMb' | 'diskMb'): number => state.machines.reduce((total, one) => total + one[size], 0);
  await database.query('DELETE FROM machine WHERE license_id = $1', [subject.id]);
  await database.query(
    `UPDATE license SET test_clock_id = $2, created_at = $3, starts_at = $4, expires_at = $5, last_check_in_at = $6,
            banned_at = $7, revoked_at = $8, suspended_at = $9, uses_count = $10, max_machines_override = $11,
            max_cores_override = $12, max_uses_override = $13, max_processes_override = $14,
            machine_count = $15, cores_total = $16, memory_mb_total = $17, disk_mb_total = $18
      WHERE id = $1`,
    [
      subject.id,
      state.onTestClock ? clock.id : null,
      ...[state.createdHour, state.startsHour, state.expiresHour, state.lastCheckInHour].map(at),
      ...[state.banned, state.revoked, state.suspended].map((is) => (is ? at(-1) : null)),
      ...[state.usesCount, state.maxMachinesOverride, state.maxCoresOverride, state.maxUsesOverride],
      state.maxProcessesOverride,
      ...[state.machines.length, sum('cores'), sum('memoryMb'), sum('diskMb')],
    ],
  );
  const fingerprints: string[] = [];
  for (const one of state.machines) {
    const fingerprint = `fingerprint-${randomUUID()}`;
    await database.query(
      `INSERT INTO machine (id, environment_id, license_id, fingerprint, created_at, cores, memory_mb, disk_mb, user_email, updated_at)
       SELECT gen_random_uuid(), environment_id, id, $2, $3, $4, $5, $6, $7, now() FROM license WHERE id = $1`,
      [subject.id, fingerprint, at(one.activatedHour), one.cores, one.memoryMb, one.diskMb, one.userEmail],
    );
    await database.query(
      'UPDATE machine_pulse SET last_heartbeat_at = $3 WHERE machine_id = (SELECT id FROM machine WHERE license_id = $1 AND fingerprint = $2)',
      [subject.id, fingerprint, at(one.lastBeatHour)],
    );
    await database.query(
      `INSERT INTO machine_process (id, environment_id, license_id, machine_id, pid, last_heartbeat_at)
       SELECT gen_random_uuid(), environment_id, license_id, id, n, beat
         FROM machine CROSS JOIN unnest($3::timestamptz[]) WITH ORDINALITY AS process (beat, n) WHERE license_id = $1 AND fingerprint = $2`,
      [subject.id, fingerprint, (one.beatHours ?? []).map(at)],
    );
    fingerprints.push(fingerprint);
  }
  // One that was deactivated is nobody's any more.
  await database.query(
    `INSERT INTO machine (id, environment_id, license_id, fingerprint, updated_at, deleted_at)
     SELECT gen_random_uuid(), environment_id, id, 'fingerprint-gone', now(), now() FROM license WHERE id = $1`,
    [subject.id],
  );
  return { ...subject, fingerprints };
}

/** What validation says to what a preview assumes. */
async function codesOf(subjects: Subject[]): Promise<string[]> {
  const validations = await Promise.all(
    subjects.map((subject) => vendor.validate(subject, subject.fingerprints.length === 0 ? {} : { fingerprints: subject.fingerprints })),
  );
  return validations.map(({ code }) => code);
}

async function makeTestClock(): Promise<{ id: string; frozenAt: Date }> {
  const [id, frozenAt] = [randomUUID(), new Date('2031-03-31T12:00:00.000Z')];
  await database.query(
    `INSERT INTO test_clock (id, environment_id, frozen_at, updated_at)
     SELECT $1, id, $2, now() FROM environment WHERE account_id = $3 AND name = 'test'`,
    [id, frozenAt, vendor.account.id],
  );
  return { id, frozenAt };
}

interface Preview {
  licenses: number;
  machines: number;
  changes: { from: string; to: string; count: number; samples: string[] }[];
}

/** A change after which every license tells its code before: what stands behind this rule becomes it. */
const scoped: PolicyRequest = { requiredScopes: ['version'] };
const underScopes = (code: string): string => (['BANNED', 'REVOKED', 'SUSPENDED', 'NOT_STARTED'].includes(code) ? code : 'SCOPE_REQUIRED');

/** What a preview must answer when validations say this before and that after. */
function previewOf(subjects: Subject[], before: string[], after: string[]): Preview {
  const changes = new Map<string, Preview['changes'][number]>();
  let machines = 0;
  for (const [index, { id, fingerprints }] of subjects.entries()) {
    const [from, to] = [before[index]!, after[index]!];
    if (from === to) continue;
    const change = changes.get(`${from} ${to}`) ?? { from, to, count: 0, samples: [] };
    changes.set(`${from} ${to}`, { ...change, count: change.count + 1, samples: [...change.samples, id] });
    machines += fingerprints.length;
  }
  const all = [...changes.values()];
  return inOrder({ licenses: all.reduce((sum, { count }) => sum + count, 0), machines, changes: all });
}

/** The same, whatever the order of changes and samples. */
function inOrder({ changes, ...rest }: Preview): Preview {
  const sorted = changes.map((change) => ({ ...change, samples: [...change.samples].sort() }));
  return { ...rest, changes: sorted.sort((a, b) => (`${a.from} ${a.to}` < `${b.from} ${b.to}` ? -1 : 1)) };
}

// Not at the ends of the range, which are tried more often than what lies between.
const rarely = fc.integer({ min: 0, max: 19 }).map((n) => n === 7);
const seldom = fc.integer({ min: 0, max: 7 }).map((n) => n === 3 || n === 4);
const maybe = <T>(values: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(values, { nil: null, freq: 2 });
const hours = fc.integer({ min: -3 * DAY_HOURS, max: 2 * DAY_HOURS });
const past = fc.integer({ min: -3 * DAY_HOURS, max: 0 });
const few = fc.integer({ min: 1, max: 4 });

const anyMachine: fc.Arbitrary<MachineState> = fc.record({
  activatedHour: past,
  lastBeatHour: maybe(past),
  cores: fc.nat({ max: 3 }),
  memoryMb: fc.nat({ max: 3 }),
  diskMb: fc.nat({ max: 3 }),
  userEmail: fc.constantFrom(null, 'ada@example.com', 'Ada@Example.com', 'grace@example.com'),
  beatHours: fc.array(past, { maxLength: 3 }),
});
const anyLicense: fc.Arbitrary<LicenseState> = fc.record({
  onTestClock: fc.boolean(),
  createdHour: past,
  startsHour: maybe(fc.integer({ min: -3 * DAY_HOURS, max: 2 })),
  expiresHour: maybe(hours),
  lastCheckInHour: maybe(past),
  banned: rarely,
  revoked: rarely,
  suspended: rarely,
  usesCount: fc.nat({ max: 3 }),
  maxMachinesOverride: fc.option(few, { nil: null, freq: 2 }),
  maxCoresOverride: fc.option(few, { nil: null, freq: 2 }),
  maxUsesOverride: fc.option(few, { nil: null, freq: 2 }),
  maxProcessesOverride: fc.option(few, { nil: null, freq: 2 }),
  machines: fc.array(anyMachine, { maxLength: 4 }),
});
const ruleValues = {
  expirationStrategy: fc.constantFrom(...expirationStrategies),
  gracePeriodDays: fc.constantFrom(0, 0, 1, 2),
  maxMachines: few,
  maxUses: maybe(fc.nat({ max: 3 })),
  maxCores: maybe(fc.integer({ min: 1, max: 8 })),
  maxMemoryMb: maybe(fc.integer({ min: 1, max: 8 })),
  maxDiskMb: maybe(fc.integer({ min: 1, max: 8 })),
  maxProcesses: maybe(few),
  overageStrategy: fc.constantFrom(...overageStrategies),
  leasingStrategy: fc.constantFrom(...leasingStrategies),
  requireFingerprint: seldom,
  fingerprintMatching: fc.constantFrom(...fingerprintMatchings),
  requireHeartbeat: seldom,
  floating: fc.boolean(),
  heartbeatIntervalMinutes: fc.integer({ min: 1, max: 72 }).map((count) => count * 60),
  heartbeatBasis: fc.constantFrom(...heartbeatBases),
  requireCheckIn: seldom,
  checkInIntervalDays: fc.integer({ min: 1, max: 3 }),
  requiredScopes: fc.oneof(
    { weight: 14, arbitrary: fc.constant<RequirableScope[]>([]) },
    { weight: 2, arbitrary: fc.constant<RequirableScope[]>(['fingerprint']) },
    { weight: 1, arbitrary: fc.constantFrom<RequirableScope[]>(['version'], ['user', 'product'], ['policy']) },
  ),
  // What changes no verdict on what is there.
  durationDays: maybe(few),
};
const wholeRules: fc.Arbitrary<PolicyRequest> = fc.record(ruleValues);
const someRules: fc.Arbitrary<PolicyRequest> = fc.record(ruleValues, { requiredKeys: [] });

describe('a preview', () => {
  it('says of every license what validation says before and after the change that it is a preview of', async () => {
    const clock = await makeTestClock();
    const api = vendor.testApi;
    // Nothing is taken away between a look and the next: the machines of these histories are long dead.
    const policy = await vendor.policy({ heartbeatCullStrategy: 'KEEP_DEAD' }, api);
    const make = () => vendor.license({ productId: policy.productId, policyId: policy.id, expiresAt: null }, api);
    const made: { id: string; key: string }[] = [];
    for (let count = 0; count < 16; count += 1) made.push(await make());
    const deleted = await make();
    expectStatus(await api.delete(`/licenses/${deleted.id}`), 204);
    const seen = new Set<string>();

    await fc.assert(
      fc.asyncProperty(
        wholeRules,
        someRules,
        fc.array(anyLicense, { minLength: made.length, maxLength: made.length }),
        async (rules, change, states) => {
          const start = await api.patch(`/policies/${policy.id}`, rules);
          fc.pre(start.status === 200);
          const subjects: Subject[] = [];
          for (const [index, state] of states.entries()) subjects.push(await put(made[index]!, state, clock));

          /** The preview of this change answers what these codes before and after it say. */
          const expectPreview = async (change: PolicyRequest, before: string[], after: string[]): Promise<void> => {
            const { data } = expectStatus(await api.post(`/policies/${policy.id}/preview`, change), 200).body;
            expect(inOrder(data)).toEqual(previewOf(subjects, before, after));
          };
          const before = await codesOf(subjects);
          const preview = await api.post(`/policies/${policy.id}/preview`, change);
          await expectPreview(scoped, before, before.map(underScopes));
          const changed = await api.patch(`/policies/${policy.id}`, change);
          if (changed.status !== 200) {
            expect([preview.status, preview.body.details]).toEqual([changed.status, changed.body.details]);
            return;
          }
          const after = await codesOf(subjects);
          expect(inOrder(expectStatus(preview, 200).body.data)).toEqual(previewOf(subjects, before, after));
          await expectPreview(scoped, after, after.map(underScopes));
          after.forEach((code) => seen.add(code));
        },
      ),
      { numRuns: 12, endOnFailure: true },
    );
    // Each run has sixteen licenses: what is met this rarely would not be tested at all.
    expect(seen.size).toBeGreaterThan(6);
  });

  const expired = { ...ordinary, expiresHour: -DAY_HOURS };
  const onThree = { ...ordinary, machines: [machine, machine, machine] };
  const free = { requireFingerprint: false };
  // Of four processes one has ended under a daily interval, and most under an hourly one.
  const daily = { maxMachines: 3, heartbeatIntervalMinutes: DAY_HOURS * 60 };
  const running = {
    ...ordinary,
    machines: [
      { ...machine, userEmail: 'ada@example.com', beatHours: [-4, -2 * DAY_HOURS - 2] },
      { ...machine, userEmail: 'Ada@example.com', beatHours: [-1, -40] },
    ],
  };
  const beating = { requireHeartbeat: true, heartbeatIntervalMinutes: 24 * 60 };
  const beatenJustNow = { ...machine, lastBeatHour: -1 };
  const lowered: [string, string] = ['VALID', 'MACHINE_LIMIT_EXCEEDED'];
  it.each<{ rules: PolicyRequest; state: LicenseState; change: object; codes: [from: string, to: string] | null }>([
    { rules: free, state: expired, change: { expirationStrategy: 'REVOKE' }, codes: ['EXPIRED', 'REVOKED'] },
    { rules: free, state: expired, change: { gracePeriodDays: 2 }, codes: ['EXPIRED', 'IN_GRACE_PERIOD'] },
    // By its clock exactly a day ago: at the end of its grace it is over.
    { rules: free, state: { ...expired, onTestClock: true }, change: { gracePeriodDays: 1 }, codes: null },
    {
      rules: { ...free, expirationStrategy: 'ALLOW_ACCESS' },
      state: expired,
      change: { expirationStrategy: 'RESTRICT_ACCESS' },
      codes: null,
    },
    { rules: free, state: ordinary, change: { requiredScopes: ['version'] }, codes: ['VALID', 'SCOPE_REQUIRED'] },
    { rules: free, state: ordinary, change: { requiredScopes: ['fingerprint'] }, codes: ['VALID', 'SCOPE_REQUIRED'] },
    { rules: { maxMachines: 3 }, state: onThree, change: { requiredScopes: ['fingerprint'] }, codes: null },
    { rules: free, state: ordinary, change: { requireFingerprint: true }, codes: ['VALID', 'FINGERPRINT_REQUIRED'] },
    { rules: free, state: ordinary, change: { requireCheckIn: true, checkInIntervalDays: 7 }, codes: ['VALID', 'CHECK_IN_OVERDUE'] },
    { rules: { maxMachines: 3 }, state: onThree, change: { requireHeartbeat: true }, codes: ['VALID', 'HEARTBEAT_DEAD'] },
    {
      rules: { maxMachines: 3 },
      state: onThree,
      change: { requireHeartbeat: true, heartbeatBasis: 'FROM_FIRST_BEAT' },
      codes: ['VALID', 'HEARTBEAT_REQUIRED'],
    },
    { rules: { maxMachines: 3 }, state: onThree, change: { maxMachines: 2 }, codes: ['VALID', 'MACHINE_LIMIT_EXCEEDED'] },
    {
      rules: { maxMachines: 3 },
      state: onThree,
      change: { maxMachines: 2, overageStrategy: 'ALLOW_1_5X' },
      codes: ['VALID', 'MACHINE_LIMIT_EXCEEDED'],
    },
    ...[
      { floating: false, lastBeatHour: -50, codes: lowered },
      { floating: true, lastBeatHour: -50, codes: null },
      { floating: true, lastBeatHour: -1, codes: lowered },
    ].map(({ floating, lastBeatHour, codes }) => ({
      rules: { ...beating, maxMachines: 3, floating },
      state: { ...ordinary, machines: [{ ...machine, lastBeatHour }, beatenJustNow, beatenJustNow] },
      change: { maxMachines: 2 },
      codes,
    })),
    { rules: { maxMachines: 3 }, state: { ...onThree, maxMachinesOverride: 3 }, change: { maxMachines: 2 }, codes: null },
    { rules: { maxMachines: 3 }, state: onThree, change: { maxCores: 5 }, codes: ['VALID', 'CORE_LIMIT_EXCEEDED'] },
    { rules: { maxMachines: 3 }, state: onThree, change: { maxMemoryMb: 299 }, codes: ['VALID', 'MEMORY_LIMIT_EXCEEDED'] },
    { rules: { maxMachines: 3 }, state: onThree, change: { maxDiskMb: 29 }, codes: ['VALID', 'DISK_LIMIT_EXCEEDED'] },
    { rules: daily, state: running, change: { maxProcesses: 2 }, codes: ['VALID', 'PROCESS_LIMIT_EXCEEDED'] },
    { rules: daily, state: running, change: { maxProcesses: 3 }, codes: null },
    { rules: daily, state: running, change: { maxProcesses: 2, overageStrategy: 'ALLOW_2X' }, codes: ['VALID', 'PROCESS_LIMIT_EXCEEDED'] },
    { rules: daily, state: running, change: { maxProcesses: 2, leasingStrategy: 'PER_MACHINE' }, codes: null },
    {
      rules: daily,
      state: running,
      change: { maxProcesses: 1, leasingStrategy: 'PER_MACHINE' },
      codes: ['VALID', 'PROCESS_LIMIT_EXCEEDED'],
    },
    {
      rules: daily,
      state: running,
      change: { maxProcesses: 2, leasingStrategy: 'PER_USER' },
      codes: ['VALID', 'PROCESS_LIMIT_EXCEEDED'],
    },
    {
      rules: { ...daily, maxProcesses: 2 },
      state: running,
      change: { heartbeatIntervalMinutes: 60 },
      codes: ['PROCESS_LIMIT_EXCEEDED', 'VALID'],
    },
    {
      rules: free,
      state: { ...ordinary, usesCount: 3 },
      change: { maxUses: 2, overageStrategy: 'ALLOW_2X' },
      codes: ['VALID', 'USES_EXCEEDED'],
    },
    { rules: free, state: { ...ordinary, banned: true, revoked: true }, change: { requiredScopes: ['user'] }, codes: null },
    { rules: free, state: { ...ordinary, suspended: true, startsHour: 1 }, change: { requiredScopes: ['user'] }, codes: null },
    { rules: free, state: { ...ordinary, startsHour: 1 }, change: { requiredScopes: ['user'] }, codes: null },
    {
      rules: { ...free, durationDays: 30 },
      state: { ...ordinary, expiresHour: 1 },
      change: { durationDays: 1, isTrial: true },
      codes: null,
    },
  ])('of $change: $codes', async ({ rules, state, change, codes }) => {
    const clock = await makeTestClock();
    const license = await vendor.licenseUnder(rules, { expiresAt: null }, vendor.testApi);
    await put(license, state, clock);
    const { data } = expectStatus(await vendor.testApi.post(`/policies/${license.policyId}/preview`, change), 200).body;
    expect(data.changes).toEqual(codes === null ? [] : [{ from: codes[0], to: codes[1], count: 1, samples: [license.id] }]);
    expect([data.licenses, data.machines]).toEqual(codes === null ? [0, 0] : [1, state.machines.length]);
  });

  it('names the twenty newest of a change, the most frequent change first', async () => {
    const policy = await vendor.policy({ requireFingerprint: false });
    const ids: string[] = [];
    for (let count = 0; count < 22; count += 1)
      ids.unshift((await vendor.license({ productId: policy.productId, policyId: policy.id })).id);
    expectStatus(await vendor.api.post(`/licenses/${ids[3]}/suspend`), 200);
    await vendor.license({ productId: policy.productId, policyId: policy.id, expiresAt: hoursFromNow(-1).toISOString() });
    const { data } = expectStatus(
      await vendor.api.post(`/policies/${policy.id}/preview`, { requireFingerprint: true, expirationStrategy: 'REVOKE' }),
      200,
    ).body;
    expect(data.licenses).toBe(22);
    expect(data.changes.map(({ from, to, count }: Record<string, unknown>) => [from, to, count])).toEqual([
      ['VALID', 'FINGERPRINT_REQUIRED', 21],
      ['EXPIRED', 'REVOKED', 1],
    ]);
    expect(data.changes[0].samples).toEqual(ids.filter((_, index) => index !== 3).slice(0, 20));
  });

  it("tells a segment key of its segment's licenses only", async () => {
    const made = await vendor.api.post('/api-keys', { name: 'reseller [segment]' });
    const reseller = withKey(server.url, expectStatus(made, 201).body.data.key);
    const policy = await vendor.policy({ requireFingerprint: false }, reseller);
    const fields = { productId: policy.productId, policyId: policy.id };
    const own = await vendor.license(fields, reseller);
    await vendor.license(fields);
    const change = { requireFingerprint: true };
    const { data } = expectStatus(await reseller.post(`/policies/${policy.id}/preview`, change), 200).body;
    expect(data).toMatchObject({ licenses: 1, changes: [{ samples: [own.id] }] });
    expect((await vendor.api.post(`/policies/${policy.id}/preview`, change)).body.data.licenses).toBe(2);
    expect((await reseller.post(`/policies/${(await vendor.policy()).id}/preview`, change)).status).toBe(404);
  });

  it('is for who may read both policies and licenses', async () => {
    const policy = await vendor.policy();
    for (const scopes of [['policies:read'], ['licenses:read'], ['policies:write', 'licenses:write']]) {
      expect((await (await vendor.keyWith(...scopes)).post(`/policies/${policy.id}/preview`, {})).status).toBe(403);
    }
    const reader = await vendor.keyWith('policies:read', 'licenses:read');
    expect(expectStatus(await reader.post(`/policies/${policy.id}/preview`, {}), 200).body).toEqual({
      data: { licenses: 0, machines: 0, changes: [] },
    });
  });

  it.each([
    [{ maxMachines: null }, 'maxMachines'],
    [{ durationCalendarMonths: 1 }, 'durationCalendarMonths'],
    [{ expirationStrategy: 'REVOKE' }, 'expirationStrategy'],
    [{ name: 'Renamed' }, 'name'],
    [{ maxMachines: 0 }, 'maxMachines'],
  ])('refuses %j at %s', async (change, path) => {
    const policy = await vendor.policy({ durationDays: 30, gracePeriodDays: 1 });
    const reply = await vendor.api.post(`/policies/${policy.id}/preview`, change);
    expect([reply.status, reply.body.details.issues.map((issue: { path: string }) => issue.path)]).toEqual([400, [path]]);
    const unlimited = { maxMachines: null, allowUnlimitedActivations: true };
    expectStatus(await vendor.api.post(`/policies/${policy.id}/preview`, unlimited), 200);
  });
});
