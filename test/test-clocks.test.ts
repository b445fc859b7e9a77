import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { type Reply, withKey } from './support/client.js';
import { sharedServer } from './support/shared-server.js';
import { testDatabaseUrl } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

/**
 * A license on a test clock lives in that clock's time, all of it; turning the clock brings about what falls due, in
 * order, before it answers (contract: resources.md, "Test clocks").
 */

const DAY_MS = 86_400_000;
const START = '2031-01-01T00:00:00.000Z';
/** So many days after the beginning of the clocks. */
const day = (days: number): string => new Date(Date.parse(START) + days * DAY_MS).toISOString();

describe('a test clock', () => {
  const server = sharedServer();
  let database: pg.Client;

  beforeAll(async () => {
    database = new pg.Client({ connectionString: testDatabaseUrl() });
    await database.connect();
  });
  afterAll(async () => {
    await database.end();
  });

  /** A vendor with a clock that shows START, and what is done to it. */
  async function setUp() {
    const vendor = await Vendor.signUp(server.url);
    const api = vendor.testApi;
    const clock = expectStatus(await api.post('/test-clocks', { frozenAt: START }), 201).body.data;
    const licenseUnder = (rules: Record<string, unknown>, fields: object = {}) =>
      vendor.licenseUnder({ requireFingerprint: false, ...rules }, { testClockId: clock.id, ...fields }, api);
    const get = async (path: string) => expectStatus(await api.get(path), 200).body.data;
    const advance = (days: number, id: string = clock.id): Promise<Reply> => api.post(`/test-clocks/${id}/advance`, { to: day(days) });
    const advanceTo = async (days: number) => expectStatus(await advance(days), 200).body.data;
    return { vendor, api, clock, licenseUnder, get, advance, advanceTo };
  }

  /** Types and days of what happened to the license and its machines, in the order in which it was told. */
  async function eventsOf(...licenses: { id: string }[]): Promise<[string, number | null][]> {
    const { rows } = await database.query<{ type: string; occurred_at: Date | null }>(
      'SELECT type, occurred_at FROM event WHERE license_id = ANY($1) ORDER BY id',
      [licenses.map(({ id }) => id)],
    );
    return rows.map(({ type, occurred_at: at }) => [type, at === null ? null : (at.getTime() - Date.parse(START)) / DAY_MS]);
  }

  async function objectsOf(license: { id: string }, type: string): Promise<Record<string, unknown>[]> {
    const { rows } = await database.query<{ data: { object: Record<string, unknown> } }>(
      'SELECT data FROM event WHERE license_id = $1 AND type = $2 ORDER BY id',
      [license.id, type],
    );
    return rows.map(({ data }) => data.object);
  }

  it('leads a license through its year: valid, overdue, announced, in grace, expired, renewed', async () => {
    const { vendor, api, clock, licenseUnder, get, advanceTo } = await setUp();
    const license = await licenseUnder({ durationDays: 90, gracePeriodDays: 7, requireCheckIn: true, checkInIntervalDays: 30 });
    const act = async (action: string) => expectStatus(await api.post(`/licenses/${license.id}/${action}`), 200).body.data;
    expect(license).toMatchObject({
      testClockId: clock.id,
      createdAt: START,
      updatedAt: START,
      expiresAt: day(90),
      nextCheckInAt: day(30),
    });
    expect(await vendor.validate(license)).toMatchObject({ code: 'VALID' });

    expect(await advanceTo(31)).toMatchObject({ id: clock.id, environment: 'test', frozenAt: day(31) });
    expect(await vendor.validate(license)).toMatchObject({ code: 'CHECK_IN_OVERDUE' });
    expect(await act('check-in')).toMatchObject({ lastCheckInAt: day(31), nextCheckInAt: day(61), updatedAt: day(31) });
    expect(await vendor.validate(license)).toMatchObject({ code: 'VALID' });

    await advanceTo(88);
    await act('check-in');
    await advanceTo(92);
    expect(await vendor.validate(license)).toMatchObject({ valid: true, code: 'IN_GRACE_PERIOD' });
    expect(await get(`/licenses/${license.id}`)).toMatchObject({ status: 'active' });
    await advanceTo(97);
    expect(await vendor.validate(license)).toMatchObject({ valid: false, code: 'EXPIRED' });
    expect(await get(`/licenses/${license.id}`)).toMatchObject({ status: 'expired' });

    expect(await act('renew')).toMatchObject({ status: 'active', expiresAt: day(180), updatedAt: day(97) });
    expect(await vendor.validate(license)).toMatchObject({ code: 'VALID' });
    await advanceTo(365);
    expect(await eventsOf(license)).toEqual([
      ['license.created', 0],
      ['license.activated', 0],
      ['license.checked_in', 31],
      ['license.expiring', 87],
      ['license.checked_in', 88],
      ['license.expired', 97],
      ['license.renewed', 97],
      ['license.expiring', 177],
      ['license.expired', 187],
    ]);
    expect((await objectsOf(license, 'license.expired')).map(({ status, expiresAt }) => [status, expiresAt])).toEqual([
      ['expired', day(90)],
      ['expired', day(180)],
    ]);
    const { rows } = await database.query<{ previous: unknown }>(
      "SELECT data->'previous' AS previous FROM event WHERE license_id = $1 AND type = 'license.expired' AND abs(extract(epoch FROM clock_timestamp() - created_at)) < 60",
      [license.id],
    );
    expect(rows).toEqual([{ previous: { status: 'active' } }, { previous: { status: 'active' } }]);
  });

  it('lets silent machines die and be removed, and their seats be taken again', async () => {
    const { vendor, api, licenseUnder, get, advance, advanceTo } = await setUp();
    const license = await licenseUnder({
      durationDays: 30,
      maxMachines: 2,
      maxCores: 8,
      requireHeartbeat: true,
      heartbeatIntervalMinutes: 2 * 1440,
      heartbeatResurrectionMinutes: 3 * 1440,
    });
    const [laptop, tower] = [
      await vendor.activate(license, 'laptop-1', { cores: 2 }),
      await vendor.activate(license, 'tower-01', { cores: 6 }),
    ];
    const beat = async (machine: { id: string }): Promise<Reply> => api.post(`/machines/${machine.id}/heartbeat`);
    expect(laptop).toMatchObject({ createdAt: START, updatedAt: START, nextHeartbeatAt: day(2) });

    await advanceTo(1);
    expect(expectStatus(await beat(tower), 200).body.data).toMatchObject({
      lastHeartbeatAt: day(1),
      nextHeartbeatAt: day(3),
      status: 'active',
    });
    const renamed = await api.patch(`/machines/${tower.id}`, { name: 'Tower' });
    expect(renamed.body.data).toMatchObject({ createdAt: START, updatedAt: day(1) });
    await advanceTo(4);
    expect(await get(`/machines/${laptop.id}`)).toMatchObject({ status: 'dead' });
    expectStatus(await beat(tower), 200);
    expect((await vendor.app(license).post('/machines', { fingerprint: 'laptop-2' })).body.code).toBe('MACHINE_LIMIT_EXCEEDED');

    await advanceTo(5);
    expect((await api.get(`/machines/${laptop.id}`)).status).toBe(404);
    expect(await get(`/licenses/${license.id}`)).toMatchObject({ machineCount: 1, updatedAt: START });
    expect((await vendor.app(license).post('/machines', { fingerprint: 'laptop-2', cores: 3 })).body.code).toBe('CORE_LIMIT_EXCEEDED');
    const again = await vendor.activate(license, 'laptop-2', { cores: 2 });

    expect((await advance(100)).status).toBe(200);
    expect(await eventsOf(license)).toEqual([
      ['license.created', 0],
      ['machine.activated', 0],
      ['machine.activated', 0],
      ['machine.updated', 1],
      ['machine.dead', 2],
      ['machine.dead', 3],
      ['machine.resurrected', 4],
      ['license.limit_reached', 4],
      ['machine.deactivated', 5],
      ['license.limit_reached', 5],
      ['machine.activated', 5],
      ['machine.dead', 6],
      ['machine.dead', 7],
      ['machine.deactivated', 9],
      ['machine.deactivated', 10],
      ['license.expiring', 27],
      ['license.expired', 30],
    ]);
    expect((await objectsOf(license, 'machine.deactivated')).map(({ id, status }) => [id, status])).toEqual([
      [laptop.id, 'dead'],
      [tower.id, 'dead'],
      [again.id, 'dead'],
    ]);
    expect((await objectsOf(license, 'license.expired')).map(({ machineCount }) => machineCount)).toEqual([0]);
    const countAt = async (time: number): Promise<unknown> => (await get(`/licenses/${license.id}?at=${day(time)}`)).machineCount;
    expect(await Promise.all([4, 5, 8, 9, 9.5, 10, 50].map(countAt))).toEqual([2, 2, 2, 1, 1, 0, 0]);
    const { rows } = await database.query<{ fingerprint: string; deleted_at: Date }>(
      'SELECT fingerprint, deleted_at FROM machine WHERE license_id = $1 ORDER BY deleted_at',
      [license.id],
    );
    expect(rows.map((row) => [row.fingerprint, row.deleted_at.toISOString()])).toEqual([
      ['laptop-1', day(5)],
      ['tower-01', day(9)],
      ['laptop-2', day(10)],
    ]);
    // What the license was is kept with the time until which it was so.
    const kept = await database.query<{ until: Date; machines: number }>(
      "SELECT until, (state->>'machine_count')::int AS machines FROM former_state WHERE owner_id = $1 AND until > $2 ORDER BY id",
      [license.id, day(6)],
    );
    expect(kept.rows.map(({ until, machines }) => [until.toISOString(), machines])).toEqual([
      [day(9), 2],
      [day(10), 1],
    ]);
  });

  it('has the happenings of all its licenses in the order of their instants, and no other clock', async () => {
    const { vendor, api, licenseUnder, advanceTo, get } = await setUp();
    const other = expectStatus(await api.post('/test-clocks', { frozenAt: START, metadata: { of: 'others' } }), 201).body.data;
    const first = await licenseUnder({ durationDays: 20, expirationStrategy: 'REVOKE' });
    const second = await licenseUnder({ durationDays: 19 });
    const elsewhere = await vendor.licenseUnder({ durationDays: 19 }, { testClockId: other.id }, api);
    const realTime = await vendor.licenseUnder({ durationDays: 19 }, {}, api);
    await advanceTo(40);
    expect((await eventsOf(first, second)).slice(2)).toEqual([
      ['license.expiring', 16],
      ['license.expiring', 17],
      ['license.expired', 19],
      ['license.expired', 20],
      ['license.revoked', 20],
    ]);
    expect(await eventsOf(elsewhere)).toEqual([['license.created', 0]]);
    expect(await eventsOf(realTime)).toEqual([['license.created', null]]);
    expect(await get(`/test-clocks/${other.id}`)).toEqual(other);
    expect(await get(`/licenses/${first.id}`)).toMatchObject({ status: 'revoked' });
    expect(await get(`/licenses/${elsewhere.id}`)).toMatchObject({ status: 'active' });
    const { data, pagination } = (await api.get('/test-clocks?limit=1')).body;
    expect([data, pagination.hasMore]).toEqual([[other], true]);
  });

  it('tells of an expiry when what stood before it is lifted', async () => {
    const { api, licenseUnder, advanceTo } = await setUp();
    const license = await licenseUnder({ durationDays: 10 });
    expectStatus(await api.post(`/licenses/${license.id}/suspend`), 200);
    await advanceTo(20);
    expectStatus(await api.post(`/licenses/${license.id}/reinstate`), 200);
    await advanceTo(21);
    expect((await eventsOf(license)).slice(1)).toEqual([
      ['license.suspended', 0],
      ['license.reinstated', 20],
      ['license.expired', 20],
    ]);
  });

  it('goes forward only, belongs to the test environment only, and stays while a license is attached', async () => {
    const { vendor, api, clock, licenseUnder, advance } = await setUp();
    const license = await licenseUnder({});
    for (const [reply, path] of [
      [await vendor.api.post('/test-clocks', { frozenAt: START }), ''],
      [await advance(0), 'to'],
      [await advance(-1), 'to'],
      [await api.post(`/test-clocks/${clock.id}/advance`, { to: '9000-01-01T00:00:00Z' }), 'to'],
      [await api.post('/test-clocks', { frozenAt: '9000-01-01T00:00:00Z' }), 'frozenAt'],
    ] as const) {
      expect(reply).toMatchObject({ status: 400, body: { code: 'VALIDATION_ERROR', details: { issues: [{ path }] } } });
    }
    expect((await vendor.api.get(`/test-clocks/${clock.id}`)).status).toBe(404);
    expect((await vendor.api.get('/test-clocks')).body.data).toEqual([]);
    const live = await vendor.licenseUnder({});
    expect(await vendor.api.patch(`/licenses/${live.id}`, { testClockId: clock.id })).toMatchObject({ status: 404 });

    const refused = await api.delete(`/test-clocks/${clock.id}`);
    expect(refused).toMatchObject({ status: 422, body: { code: 'TEST_CLOCK_HAS_LICENSES', details: { licensesCount: 1 } } });
    expectStatus(await api.patch(`/licenses/${license.id}`, { testClockId: null }), 200);
    expectStatus(await advance(1), 200);
    expectStatus(await api.delete(`/test-clocks/${clock.id}`), 204);
    expect((await advance(9)).status).toBe(404);
    const { data } = expectStatus(await api.get(`/audit-logs?resource=test_clock:${clock.id}`), 200).body;
    expect(data.map((entry: Record<string, unknown>) => [entry.action, entry.before, entry.after])).toMatchObject([
      ['test_clock.deleted', { frozenAt: day(1) }, null],
      ['test_clock.advanced', { frozenAt: START }, { frozenAt: day(1) }],
      ['test_clock.created', null, { frozenAt: START }],
    ]);
    expect((await api.patch(`/licenses/${license.id}`, { testClockId: clock.id })).body).toMatchObject({
      code: 'NOT_FOUND',
      details: { field: 'testClockId' },
    });
  });

  it('takes licenses of its own segment only: whoever turns it acts on them', async () => {
    const { vendor, api, clock } = await setUp();
    const key = expectStatus(
      await api.post('/api-keys', { name: 'part [segment]', scopes: ['licenses:write', 'licenses:read', 'test-clocks:write'] }),
      201,
    );
    const segment = withKey(server.url, key.body.data.key);
    const { productId, id: policyId } = await vendor.policy({ durationDays: 5 }, api);
    const own = expectStatus(await segment.post('/test-clocks', { frozenAt: START }), 201).body.data;
    expect((await segment.post('/licenses', { productId, policyId, testClockId: clock.id })).status).toBe(404);
    expect(await api.post('/licenses', { productId, policyId, testClockId: own.id })).toMatchObject({ status: 400 });
    const license = expectStatus(await segment.post('/licenses', { productId, policyId, testClockId: own.id }), 201).body.data;
    expect(await api.patch(`/licenses/${license.id}`, { testClockId: clock.id })).toMatchObject({ status: 400 });
    expect((await segment.post(`/test-clocks/${clock.id}/advance`, { to: day(9) })).status).toBe(404);
    expectStatus(await segment.post(`/test-clocks/${own.id}/advance`, { to: day(9) }), 200);
    expect((await eventsOf(license)).slice(1)).toEqual([
      ['license.expiring', 2],
      ['license.expired', 5],
    ]);
    expect((await segment.get(`/licenses/${license.id}`)).body.data.status).toBe('expired');
    const { rows } = await database.query('SELECT DISTINCT segment_id IS NOT NULL AS own FROM event WHERE license_id = $1', [license.id]);
    expect(rows).toEqual([{ own: true }]);
  });

  it('changes nothing when it fails in the middle of what falls due', async () => {
    const { vendor, api, clock, licenseUnder, get, advance } = await setUp();
    const rules = { durationDays: 10, requireHeartbeat: true, heartbeatIntervalMinutes: 1440 };
    const license = await licenseUnder(rules);
    await vendor.activate(license, 'machine-1');
    const name = `fails_${uuidv7().replaceAll('-', '')}`;
    await database.query(`CREATE FUNCTION ${name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'broken'; END $$`);
    await database.query(
      `CREATE TRIGGER ${name} BEFORE INSERT ON event FOR EACH ROW
         WHEN (NEW.license_id = '${license.id}' AND NEW.type = 'license.expired') EXECUTE FUNCTION ${name}()`,
    );
    const stateOf = async (): Promise<unknown> => [
      await eventsOf(license),
      await get(`/test-clocks/${clock.id}`),
      await get(`/licenses/${license.id}`),
      (await api.get(`/machines?licenseId=${license.id}`)).body.data,
      (await api.get(`/audit-logs?resource=test_clock:${clock.id}`)).body.data,
    ];
    const before = await stateOf();
    expect((await advance(20)).status).toBe(500);
    expect(await stateOf()).toEqual(before);
    await database.query(`DROP FUNCTION ${name} CASCADE`);
    expect((await advance(20)).status).toBe(200);
    expect((await eventsOf(license)).slice(2)).toEqual([
      ['machine.dead', 1],
      ['machine.deactivated', 1],
      ['license.expiring', 7],
      ['license.expired', 10],
    ]);
  });

  it('turned by twenty at once ends at the latest time, and nothing happens twice', async () => {
    const { clock, licenseUnder, get, advance } = await setUp();
    const licenses = await Promise.all([10, 11, 12].map((durationDays) => licenseUnder({ durationDays })));
    const replies = await Promise.all(Array.from({ length: 20 }, (_, index) => advance(1 + ((index * 7) % 20))));
    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200, 400]));
    expect(await get(`/test-clocks/${clock.id}`)).toMatchObject({ frozenAt: day(20) });
    const events = (await eventsOf(...licenses)).slice(3);
    expect(events).toEqual([
      ['license.expiring', 7],
      ['license.expiring', 8],
      ['license.expiring', 9],
      ['license.expired', 10],
      ['license.expired', 11],
      ['license.expired', 12],
    ]);
  });

  it('is never half turned for those who act on its licenses meanwhile', async () => {
    const { vendor, api, licenseUnder, get, advance } = await setUp();
    const license = await licenseUnder({ requireHeartbeat: true, heartbeatIntervalMinutes: 1440, maxMachines: 1 });
    const machine = await vendor.activate(license, 'machine-0');
    const [advanced, ...others] = await Promise.all([
      advance(2),
      ...Array.from({ length: 8 }, (_, index) => vendor.app(license).post('/machines', { fingerprint: `machine-${String(index + 1)}` })),
      ...Array.from({ length: 4 }, () => api.post(`/machines/${machine.id}/heartbeat`)),
    ]);
    expect(advanced.status).toBe(200);
    const activated = others.slice(0, 8).filter(({ status }) => status === 201);
    expect(activated.length).toBeLessThanOrEqual(1);
    // Only after the dead machine is gone is there a seat; and by then it is the clock's new time.
    for (const { body } of activated) expect(body.data.createdAt).toBe(day(2));
    for (const { status, body } of others.slice(8))
      expect([status, body.data?.lastHeartbeatAt ?? null]).toEqual(status === 200 ? [200, START] : [404, null]);
    expect(await get(`/licenses/${license.id}`)).toMatchObject({ machineCount: activated.length });
    expect((await eventsOf(license)).filter(([type]) => type === 'machine.dead')).toEqual([['machine.dead', 1]]);
  });
});
