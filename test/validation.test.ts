import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { withKey } from './support/client.js';
import { sharedServer } from './support/shared-server.js';
import { testDatabaseUrl } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

/** One decision, asked by the key, by the id, or for its reasons (contract: validation.md). */

const DAY_MS = 86_400_000;
const NOW = Date.parse('2026-06-15T12:00:00.000Z');
const daysFromNow = (days: number): string => new Date(NOW + days * DAY_MS).toISOString();

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

const ask = async (license: { id: string }, action: 'validate' | 'explain', body?: object, api = vendor.api) =>
  expectStatus(await api.post(`/licenses/${license.id}/${action}`, body), 200).body.data;
const validate = (license: { id: string }, body?: object, api = vendor.api) => ask(license, 'validate', body, api);
const explain = (license: { id: string }, body?: object, api = vendor.api) => ask(license, 'explain', body, api);
const reload = async (license: { id: string }) => expectStatus(await vendor.api.get(`/licenses/${license.id}`), 200).body.data;

interface Row {
  type: string;
  data: { object: Record<string, unknown>; previous: Record<string, unknown> };
  actor: [type: string, id: string | null];
  occurredAt: Date | null;
}

/** What others are told about the license since it was created, oldest first. */
async function eventsOf(license: { id: string }): Promise<Row[]> {
  const { rows } = await database.query<Row>(
    `SELECT type, data, ARRAY[actor_type, actor_id] AS actor, occurred_at AS "occurredAt"
       FROM event WHERE license_id = $1 AND type NOT IN ('license.created', 'machine.activated') ORDER BY id`,
    [license.id],
  );
  return rows;
}

/** A clock that stands still; and licenses that live by it. */
async function testClock(at: string): Promise<string> {
  const id = uuidv7();
  await database.query(
    `INSERT INTO test_clock (id, environment_id, frozen_at, updated_at)
     SELECT $1, id, $3, now() FROM environment WHERE account_id = $2 AND name = 'test'`,
    [id, vendor.account.id, at],
  );
  return id;
}

describe('validating by id', () => {
  it('answers what validate-key answers, and leaves what it leaves', async () => {
    const license = await vendor.licenseUnder({ durationDays: 30, expirationBasis: 'FROM_FIRST_VALIDATION', maxUses: 2 });
    expect(await validate(license)).toMatchObject({ valid: false, code: 'FINGERPRINT_REQUIRED', nonce: null });
    expect(await reload(license)).toMatchObject({ firstValidatedAt: null, expiresAt: null });
    await vendor.activate(license, 'fingerprint-a');
    const verdict = await validate(license, { fingerprint: 'fingerprint-a', increment: 2, nonce: 'n' });
    expect(verdict).toMatchObject({ valid: true, code: 'VALID', nonce: 'n', license: { id: license.id, usesCount: 2 } });
    expect(Date.parse(verdict.license.expiresAt) - Date.parse(verdict.checkedAt)).toBe(30 * DAY_MS);
    const { expiresAt } = verdict.license;
    expect(await reload(license)).toMatchObject({ firstValidatedAt: verdict.checkedAt, usesCount: 2, expiresAt });
    expect(await validate(license, { fingerprint: 'fingerprint-a', increment: 1 })).toMatchObject({ valid: false, code: 'USES_EXCEEDED' });
    expect((await reload(license)).usesCount).toBe(2);
  });

  it('finds no license that is deleted, and takes no key', async () => {
    const license = await vendor.licenseUnder({ requireFingerprint: false });
    expect((await vendor.api.post(`/licenses/${license.id}/validate`, { key: license.key })).body.code).toBe('VALIDATION_ERROR');
    expectStatus(await vendor.api.delete(`/licenses/${license.id}`), 204);
    for (const action of ['validate', 'explain']) {
      expect([action, (await vendor.api.post(`/licenses/${license.id}/${action}`, {})).status]).toEqual([action, 404]);
    }
  });

  it('tells a segment of its own licenses alone, and keeps what is told about them for it', async () => {
    const key = expectStatus(await vendor.api.post('/api-keys', { name: 'reseller [segment]' }), 201).body.data.key;
    const reseller = withKey(server.url, key);
    const other = await vendor.licenseUnder({ requireFingerprint: false });
    expect((await reseller.post(`/licenses/${other.id}/validate`, {})).status).toBe(404);
    const own = await vendor.licenseUnder({ requireFingerprint: false }, {}, reseller);
    await vendor.activate(own, 'fingerprint-a');
    expect(await validate(own, { fingerprint: 'fingerprint-a' }, reseller)).toMatchObject({ valid: true, machine: { status: 'active' } });
    await vendor.validate(own, { increment: 1 });
    const { rows } = await database.query<{ type: string; isTold: boolean }>(
      `SELECT event.type, event.segment_id = license.segment_id AS "isTold" FROM event JOIN license ON license.id = event.license_id
        WHERE license.id = $1 AND event.type IN ('license.activated', 'usage.incremented') ORDER BY event.id`,
      [own.id],
    );
    expect(rows).toEqual([
      { type: 'license.activated', isTold: true },
      { type: 'usage.incremented', isTold: true },
    ]);
  });
});

describe('the parts of a machine', () => {
  const part = (fingerprint: string) => ({ kind: 'part', fingerprint });
  const fingerprints = ['board-0001', 'disk-0001', 'card-0001'];

  it('stand for it as the policy says, from its activation to its end', async () => {
    const license = await vendor.licenseUnder({ fingerprintMatching: 'TWO' });
    const components = [part('board-0001'), part('disk-0001'), part('disk-0001')];
    const machine = await vendor.activate(license, 'fingerprint-a', { components });
    const code = async (...sent: string[]) => (await vendor.validate(license, { fingerprints: sent })).code;
    expect(await code('board-0001')).toBe('VALID');
    expect(await code('card-0001', 'board-0001')).toBe('FINGERPRINT_NOT_FOUND');
    expect(await vendor.validate(license, { fingerprints })).toMatchObject({
      code: 'VALID',
      machine: { id: machine.id, fingerprint: 'fingerprint-a' },
    });
    // Its parts are replaced, one by one, and the machine stays the same.
    expectStatus(await vendor.api.patch(`/machines/${machine.id}`, { components: [part('card-0001')] }), 200);
    expect(await code(...fingerprints)).toBe('FINGERPRINT_NOT_FOUND');
    expect(await code('fingerprint-a', ...fingerprints)).toBe('VALID');
    expectStatus(await vendor.app(license).delete(`/machines/${machine.id}`), 204);
    await vendor.activate(license, 'fingerprint-b');
    expect(await code('card-0001')).toBe('FINGERPRINT_NOT_FOUND');
  });

  it('are those of its own license only', async () => {
    const policy = await vendor.policy();
    const make = () => vendor.license({ productId: policy.productId, policyId: policy.id });
    const [license, other] = [await make(), await make()];
    await vendor.activate(license, 'fingerprint-a');
    await vendor.activate(other, 'fingerprint-b', { components: [part('board-0001')] });
    expect(await vendor.validate(license, { fingerprint: 'board-0001' })).toMatchObject({ code: 'FINGERPRINT_NOT_FOUND', machine: null });
  });

  it('are explained: which fingerprints led to which machine', async () => {
    const license = await vendor.licenseUnder({ fingerprintMatching: 'MOST' });
    const machine = await vendor.activate(license, 'fingerprint-a', { components: [part('board-0001')] });
    const { rules } = await explain(license, { fingerprint: 'fingerprint-a', fingerprints });
    expect(rules.find(({ rule }: { rule: string }) => rule === 'fingerprint active')).toMatchObject({
      outcome: 'pass',
      facts: {
        fingerprintMatching: 'MOST',
        sent: 4,
        needed: 2,
        active: ['fingerprint-a', 'board-0001'],
        machines: [{ id: machine.id, fingerprint: 'fingerprint-a', components: ['board-0001'] }],
      },
    });
  });

  it('that every machine of a fleet has lead to the one that names itself, and to no more than a few', async () => {
    const license = await vendor.licenseUnder({ maxMachines: 100, fingerprintMatching: 'ALL' });
    const machine = await vendor.activate(license, 'fingerprint-a', { components: [part('board-0001')] });
    await database.query(
      `INSERT INTO machine (id, environment_id, license_id, fingerprint, components, updated_at)
       SELECT gen_random_uuid(), environment_id, license_id, 'of-the-fleet-' || n, components, now()
         FROM machine CROSS JOIN generate_series(1, 40) AS n WHERE id = $1`,
      [machine.id],
    );
    const answer = await explain(license, { fingerprints: ['board-0001', 'fingerprint-a'] });
    expect(answer).toMatchObject({ code: 'VALID', machine: { id: machine.id } });
    const { facts } = answer.rules.find(({ rule }: { rule: string }) => rule === 'fingerprint active');
    expect(facts.machines.length).toBeLessThanOrEqual(11);
  });
});

describe('seats that are leases', () => {
  const rules = { floating: true, requireHeartbeat: true, heartbeatIntervalMinutes: 60, heartbeatCullStrategy: 'KEEP_DEAD' };
  const alone = { ...rules, requireFingerprint: false, maxMachines: 3, maxCores: 30 };

  /** Three machines of ten cores, the first two of which are dead; then the license has one seat, or nine cores. */
  async function halfDead(policy: object, limit: object) {
    const license = await vendor.licenseUnder({ ...alone, ...policy });
    for (const [index, beat] of [daysFromNow(-9), daysFromNow(-9), new Date().toISOString()].entries()) {
      const { id } = await vendor.activate(license, `fingerprint-${String(index)}`, { cores: 10 });
      await database.query('UPDATE machine_pulse SET last_heartbeat_at = $2 WHERE machine_id = $1', [id, beat]);
    }
    expectStatus(await vendor.api.patch(`/licenses/${license.id}`, limit), 200);
    return license;
  }

  it.each([
    { what: 'the living are within the limit', policy: {}, limit: { maxMachinesOverride: 1 }, code: 'VALID' },
    { what: 'the living are over it', policy: {}, limit: { maxCoresOverride: 9 }, code: 'CORE_LIMIT_EXCEEDED' },
    { what: 'their cores too', policy: {}, limit: { maxCoresOverride: 10 }, code: 'VALID' },
    { what: 'no leases', policy: { floating: false }, limit: { maxMachinesOverride: 1 }, code: 'MACHINE_LIMIT_EXCEEDED' },
    { what: 'nothing dies', policy: { requireHeartbeat: false }, limit: { maxMachinesOverride: 1 }, code: 'MACHINE_LIMIT_EXCEEDED' },
  ])('are not held by the dead ($what): $code', async ({ policy, limit, code }) => {
    const license = await halfDead(policy, limit);
    const verdict = await vendor.validate(license);
    // What is stored stays: the dead are there, and give way to who comes.
    expect(verdict).toMatchObject({ code, valid: code === 'VALID', license: { machineCount: 3 } });
    expect(await validate(license)).toMatchObject({ code });
  });

  it('are explained: how many count, and how many are dead', async () => {
    const license = await halfDead({}, { maxMachinesOverride: 1 });
    const { rules } = await explain(license);
    const of = (name: string) => rules.find(({ rule }: { rule: string }) => rule === name);
    expect(of('seats')).toMatchObject({ outcome: 'pass', facts: { used: 1, dead: 2, max: 1, limit: 1 } });
    expect(of('cores')).toMatchObject({ outcome: 'pass', facts: { used: 10, dead: 20, max: 30 } });
  });
});

describe('what is told about a validation', () => {
  it('is the first success, once, with the clock that it starts; and each count', async () => {
    const license = await vendor.licenseUnder({ durationDays: 30, expirationBasis: 'FROM_FIRST_VALIDATION', requireFingerprint: false });
    const { checkedAt, license: seen } = await vendor.validate(license, { increment: 3 });
    await vendor.validate(license);
    await validate(license, { increment: 1 });
    const [activated, counted, again, ...more] = await eventsOf(license);
    expect(activated).toMatchObject({
      type: 'license.activated',
      actor: ['anonymous', null],
      data: { object: { id: license.id, firstValidatedAt: checkedAt, expiresAt: seen.expiresAt, usesCount: 0 } },
    });
    expect(activated!.data.previous).toEqual({ firstValidatedAt: null, expiresAt: null, termAnchorAt: null, clockPending: true });
    expect(counted).toMatchObject({ type: 'usage.incremented', data: { object: { usesCount: 3 } }, actor: ['anonymous', null] });
    expect(counted!.data.previous).toEqual({ usesCount: 0 });
    expect(again).toMatchObject({ type: 'usage.incremented', data: { object: { usesCount: 4 }, previous: { usesCount: 3 } } });
    expect(again!.actor[0]).toBe('api_key');
    expect(more).toEqual([]);
    expect(JSON.stringify(await eventsOf(license))).not.toContain(license.key);
  });

  it('is nothing of a failure', async () => {
    const license = await vendor.licenseUnder({ maxUses: 1, requireFingerprint: false });
    expect(await vendor.validate(license, { increment: 2 })).toMatchObject({ code: 'USES_EXCEEDED' });
    expect(await vendor.validate(license, { increment: 1, product: 'another' })).toMatchObject({ code: 'PRODUCT_MISMATCH' });
    expect(await eventsOf(license)).toEqual([]);
    expect(await reload(license)).toMatchObject({ usesCount: 0, firstValidatedAt: null });
  });

  it('a clock that waits for the first use starts with the first that is counted', async () => {
    const license = await vendor.licenseUnder({ durationDays: 30, expirationBasis: 'FROM_FIRST_USE', requireFingerprint: false });
    expect((await vendor.validate(license)).license.expiresAt).toBeNull();
    const used = await vendor.validate(license, { increment: 1 });
    expect(Date.parse(used.license.expiresAt) - Date.parse(used.checkedAt)).toBe(30 * DAY_MS);
    const events = await eventsOf(license);
    expect(events.map(({ type }) => type)).toEqual(['license.activated', 'license.updated', 'usage.incremented']);
    expect(events[1]!.data).toMatchObject({ object: { expiresAt: used.license.expiresAt }, previous: { expiresAt: null } });
  });

  it('has the time of the test clock that the license lives by', async () => {
    const at = '2031-02-03T04:05:06.000Z';
    const rules = { durationDays: 30, expirationBasis: 'FROM_FIRST_VALIDATION', requireFingerprint: false };
    const license = await vendor.licenseUnder(rules, { testClockId: await testClock(at) }, vendor.testApi);
    const verdict = await vendor.validate(license);
    expect(verdict).toMatchObject({ checkedAt: at, license: { expiresAt: '2031-03-05T04:05:06.000Z' } });
    expect(await eventsOf(license)).toMatchObject([
      { type: 'license.activated', occurredAt: new Date(at), data: { object: { firstValidatedAt: at } } },
    ]);
  });

  it('counts nothing for a license that is suspended or deleted between the look and the count', async () => {
    for (const [change, code] of [
      ['suspended_at = now()', 'SUSPENDED'],
      ['deleted_at = now()', 'NOT_FOUND'],
    ]) {
      const license = await vendor.licenseUnder({ requireFingerprint: false });
      // Whoever counts waits for this, having looked.
      await database.query('BEGIN');
      await database.query(`UPDATE license SET ${change!} WHERE id = $1`, [license.id]);
      const counting = vendor.validate(license, { increment: 1 });
      await someoneWaits();
      await database.query('COMMIT');
      expect(await counting).toMatchObject({ valid: false, code });
      const { rows } = await database.query('SELECT uses_count, first_validated_at FROM license WHERE id = $1', [license.id]);
      expect(rows).toEqual([{ uses_count: 0, first_validated_at: null }]);
      expect(await eventsOf(license)).toEqual([]);
    }
  });

  async function someoneWaits(): Promise<void> {
    const waiting = `SELECT 1 FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))`;
    while ((await database.query(waiting)).rowCount === 0);
  }
});

describe('an explanation', () => {
  it('writes nothing: counts nothing, starts nothing, tells nobody', async () => {
    const license = await vendor.licenseUnder({ durationDays: 30, expirationBasis: 'FROM_FIRST_VALIDATION', requireFingerprint: false });
    const state = async () => {
      const { rows } = await database.query(
        `SELECT to_jsonb(license) AS license, (SELECT count(*) FROM event WHERE environment_id = license.environment_id) AS events,
                (SELECT count(*) FROM audit_entry WHERE environment_id = license.environment_id) AS entries,
                (SELECT count(*) FROM former_state WHERE environment_id = license.environment_id) AS former
           FROM license WHERE id = $1`,
        [license.id],
      );
      return rows;
    };
    const before = await state();
    const explained = await explain(license, { increment: 5, nonce: 'n' });
    expect(explained).toMatchObject({ valid: true, code: 'VALID', nonce: 'n', license: { usesCount: 5, expiresAt: expect.any(String) } });
    for (const body of [{}, undefined, { product: 'another' }]) await explain(license, body);
    expect(await state()).toEqual(before);
    // What is written behind answers would have been written with this.
    const marker = await vendor.licenseUnder({ requireFingerprint: false });
    await vendor.validate(marker);
    while ((await reload(marker)).lastValidatedAt === null);
    expect((await state())[0].license).toEqual(before[0].license);
  });

  it('has every rule in order, with what it compared', async () => {
    const license = await vendor.licenseUnder({ maxMachines: 1, overageStrategy: 'ALLOW_2X', maxUses: 3, gracePeriodDays: 7 });
    await vendor.activate(license, 'fingerprint-a');
    await vendor.activate(license, 'fingerprint-b');
    const expiresAt = new Date(Date.now() - DAY_MS).toISOString();
    expectStatus(await vendor.api.patch(`/licenses/${license.id}`, { expiresAt }), 200);
    const { rules, ...verdict } = await explain(license, { fingerprint: 'fingerprint-a', increment: 4, userEmail: 'ada@example.com' });
    expect(verdict).toMatchObject({ valid: false, code: 'USER_MISMATCH' });
    expect(rules.map(({ rule }: { rule: string }) => rule)).toEqual([
      'exists', 'not banned', 'not revoked', 'not suspended', 'has started', 'required scopes are sent', 'product', 'policy', 'user', 'version',
      'not expired', 'checked in', 'fingerprint given', 'fingerprint active', 'heartbeat', 'seats', 'cores', 'memory', 'disk', 'processes',
      'entitlements', 'uses',
    ]); // prettier-ignore
    const of = (name: string) => rules.find(({ rule }: { rule: string }) => rule === name);
    expect(of('not banned')).toMatchObject({ outcome: 'pass', code: null, facts: { bannedAt: null } });
    expect(of('product')).toMatchObject({ outcome: 'skip', code: null });
    expect(of('not expired')).toMatchObject({ outcome: 'warn', code: 'IN_GRACE_PERIOD', facts: { expiresAt, gracePeriodDays: 7 } });
    expect(of('seats')).toMatchObject({ outcome: 'warn', code: 'MACHINE_LIMIT_EXCEEDED', facts: { used: 2, max: 1, limit: 2 } });
    expect(of('uses')).toMatchObject({ outcome: 'fail', code: 'USES_EXCEEDED', facts: { usesCount: 0, increment: 4, maxUses: 3 } });
  });
});

describe('any license', () => {
  const few = fc.integer({ min: 1, max: 3 });
  const some = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined, freq: 1 });
  const rulesOf = fc.record(
    {
      requireFingerprint: fc.boolean(),
      fingerprintMatching: fc.constantFrom('ANY', 'TWO', 'MOST', 'ALL'),
      expirationStrategy: fc.constantFrom('RESTRICT_ACCESS', 'ALLOW_ACCESS', 'REVOKE'),
      expirationBasis: fc.constantFrom('FROM_CREATION', 'FROM_FIRST_VALIDATION', 'FROM_FIRST_USE'),
      durationDays: fc.integer({ min: 1, max: 30 }),
      gracePeriodDays: fc.constantFrom(0, 5),
      overageStrategy: fc.constantFrom('NO_OVERAGE', 'ALLOW_1_5X', 'ALWAYS_ALLOW'),
      maxUses: fc.integer({ min: 0, max: 6 }),
      maxProcesses: few,
      leasingStrategy: fc.constantFrom('PER_LICENSE', 'PER_MACHINE', 'PER_USER'),
      requireHeartbeat: fc.boolean(),
      floating: fc.boolean(),
      heartbeatBasis: fc.constantFrom('FROM_ACTIVATION', 'FROM_FIRST_BEAT'),
      requireCheckIn: fc.boolean(),
      requiredScopes: fc.subarray(['product', 'version'], { maxLength: 1 }),
    },
    { requiredKeys: [] },
  );
  /** How it stands in the database: what years of use would have made of it. */
  const stateOf = fc.record(
    {
      starts_at: fc.constantFrom(daysFromNow(-3), daysFromNow(0), daysFromNow(1)),
      expires_at: fc.constantFrom(daysFromNow(-10), daysFromNow(-2), daysFromNow(0), daysFromNow(9)),
      uses_count: fc.integer({ min: 0, max: 5 }),
      max_machines_override: few,
      last_check_in_at: fc.constantFrom(daysFromNow(-9), daysFromNow(-1)),
      allowed_versions: fc.constantFrom('>=1.0.0', '^2.0.0'),
    },
    { requiredKeys: [] },
  );
  const move = fc.constantFrom(
    {},
    {},
    {},
    {},
    {},
    {},
    ...['suspended_at', 'banned_at', 'revoked_at'].map((at) => ({ [at]: daysFromNow(-1) })),
  );
  const fingerprints = ['fingerprint-a', 'fingerprint-b', 'fingerprint-c'];
  const requestOf = fc.record(
    {
      fingerprints: fc.subarray(fingerprints, { minLength: 1 }),
      entitlements: fc.subarray(['pro', 'sync']),
      product: fc.constantFrom('EDITOR', 'viewer'),
      version: fc.constantFrom('1.2.0', '2.1.0'),
      userEmail: fc.constantFrom('Ada@example.com', 'grace@example.com'),
      increment: few,
    },
    { requiredKeys: [] },
  );
  const machineOf = fc.record({
    cores: some(few),
    userEmail: fc.constantFrom(null, 'ada@example.com'),
    lastHeartbeatAt: fc.constantFrom(null, daysFromNow(-1), daysFromNow(0)),
    /** When each of its processes beat last: two intervals of an hour are a twelfth of a day. */
    beats: fc.array(fc.constantFrom(daysFromNow(0), daysFromNow(-1 / 24), daysFromNow(-1 / 12)), { maxLength: 4 }),
  });
  const generated = fc.record({
    rules: rulesOf,
    state: fc.tuple(stateOf, move).map(([state, moved]) => ({ ...state, ...moved })),
    machines: fc.array(machineOf, { maxLength: 2 }),
    hasEntitlement: fc.boolean(),
    requests: fc.array(requestOf, { minLength: 2, maxLength: 2 }),
  });

  type Generated = typeof generated extends fc.Arbitrary<infer Value> ? Value : never;

  /** Sold under a new policy with the rules, and brought into its state behind the scenes. */
  async function sold({ rules, state, machines, hasEntitlement }: Omit<Generated, 'requests'>, productId: string, testClockId: string) {
    const api = vendor.testApi;
    const fields = {
      ...rules,
      ...(rules.expirationStrategy === 'REVOKE' ? { gracePeriodDays: 0 } : {}),
      ...(rules.requireCheckIn === true ? { checkInIntervalDays: 7 } : {}),
      maxMachines: 3,
    };
    const { id: policyId } = await vendor.policy({ ...fields, productId }, api);
    const entitlements = hasEntitlement ? ['pro'] : [];
    const license = await vendor.license({ productId, policyId, userEmail: 'ada@example.com', testClockId, entitlements }, api);
    for (const [index, { cores, userEmail, lastHeartbeatAt, beats }] of machines.entries()) {
      const { id } = await vendor.activate(license, fingerprints[index]!, { cores, userEmail });
      await database.query(
        `INSERT INTO machine_process (id, environment_id, license_id, machine_id, pid, last_heartbeat_at)
         SELECT gen_random_uuid(), environment_id, license_id, id, n, beat
           FROM machine CROSS JOIN unnest($2::timestamptz[]) WITH ORDINALITY AS process (beat, n) WHERE machine.id = $1`,
        [id, beats],
      );
      await database.query('UPDATE machine_pulse SET last_heartbeat_at = $2 WHERE machine_id = $1', [id, lastHeartbeatAt]);
    }
    const columns = Object.entries({ ...state, ...('expires_at' in state ? { clock_pending: false } : {}) });
    if (columns.length > 0) {
      const assignments = columns.map(([column], index) => `${column} = $${index + 2}`).join(', ');
      await database.query(`UPDATE license SET ${assignments} WHERE id = $1`, [license.id, ...columns.map(([, value]) => value)]);
    }
    return license;
  }

  it('is said the same of by its key, by its id, and with its reasons', async () => {
    for (const code of ['pro', 'sync']) await vendor.entitlement(code, vendor.testApi);
    const testClockId = await testClock(daysFromNow(0));
    const { id: productId } = await vendor.product({ code: 'editor' }, vendor.testApi);
    const validateById = (license: { id: string }, request: object) => validate(license, request, vendor.testApi);
    const validateByKey = (license: { key: string }, request: object) => vendor.validate(license, request);
    const codes = new Set<string>();
    await fc.assert(
      fc.asyncProperty(generated, async ({ requests, ...rest }) => {
        const license = await sold(rest, productId, testClockId);
        for (const request of requests) {
          // Each leaves what it leaves, so each is held against what was foretold of it just before.
          for (const say of [validateById, validateByKey]) {
            const { rules, ...foretold } = await explain(license, request, vendor.testApi);
            expect(await say(license, request)).toEqual(foretold);
            const first = (outcome: string) => rules.find((one: { outcome: string }) => one.outcome === outcome);
            const decisive = first('fail') ?? first('warn') ?? { code: 'VALID' };
            expect(foretold).toMatchObject({ valid: first('fail') === undefined, code: decisive.code });
            codes.add(foretold.code);
          }
        }
      }),
      { numRuns: 30 },
    );
    // Else the generator has dried up, and the test says nothing.
    expect(codes.size).toBeGreaterThan(5);
  });
});
