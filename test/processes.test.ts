import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { type Client, type Reply } from './support/client.js';
import { sharedServer } from './support/shared-server.js';
import { testDatabaseUrl } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

/** Process leases (contract: resources.md, "Machines"): a limit on what runs at once, given back by who just stops. */

const MINUTE_MS = 60_000;

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

interface Place {
  api: Client;
  machine: { id: string };
}

const pathOf = ({ machine }: Place, pid: string, rest = ''): string =>
  `/machines/${machine.id}/processes/${encodeURIComponent(pid)}${rest}`;
const start = ({ api, machine }: Place, pid: string, fields: object = {}): Promise<Reply> =>
  api.post(`/machines/${machine.id}/processes`, { pid, ...fields });
const started = async (place: Place, pid: string) => expectStatus(await start(place, pid), 201).body.data;
const beat = (place: Place, pid: string): Promise<Reply> => place.api.post(pathOf(place, pid, '/heartbeat'));
const end = (place: Place, pid: string): Promise<Reply> => place.api.delete(pathOf(place, pid));
const running = async ({ api, machine }: Place): Promise<string[]> =>
  expectStatus(await api.get(`/machines/${machine.id}/processes`), 200).body.data.map(({ pid }: { pid: string }) => pid);
const codeOf = ({ status, body }: Reply): [number, string] => [status, body.code];
const OVER = [422, 'PROCESS_LIMIT_EXCEEDED'];

/** As if the process had beaten that much earlier. */
const age = ({ machine }: Place, pid: string, minutes: number): Promise<unknown> =>
  database.query(
    'UPDATE machine_process SET last_heartbeat_at = last_heartbeat_at - make_interval(secs => $3) WHERE machine_id = $1 AND pid = $2',
    [machine.id, pid, minutes * 60],
  );

/** A license with these rules, and the app on one of its machines. */
async function placeUnder(rules: object): Promise<Place & { license: { id: string; key: string } }> {
  const license = await vendor.licenseUnder({ maxMachines: 5, ...rules });
  return { license, api: vendor.app(license), machine: await vendor.activate(license, 'fingerprint-a') };
}

describe('a process', () => {
  it('has a lease from its start, shown with when it ends', async () => {
    const { license, ...place } = await placeUnder({ heartbeatIntervalMinutes: 10 });
    const reply = expectStatus(await start(place, 'worker 1/2', { metadata: { shift: 'night' } }), 201);
    const { data } = reply.body;
    expect(data).toEqual({
      id: expect.any(String),
      environment: 'live',
      licenseId: license.id,
      machineId: place.machine.id,
      pid: 'worker 1/2',
      metadata: { shift: 'night' },
      createdAt: data.lastHeartbeatAt,
      updatedAt: data.createdAt,
      lastHeartbeatAt: expect.any(String),
      nextHeartbeatAt: new Date(Date.parse(data.lastHeartbeatAt) + 20 * MINUTE_MS).toISOString(),
    });
    expect(reply.headers.location).toBe(`/api/v1/machines/${place.machine.id}/processes/worker%201%2F2`);
    expect(expectStatus(await vendor.api.get(`/machines/${place.machine.id}/processes`), 200).body).toEqual({
      data: [data],
      pagination: { nextCursor: null, hasMore: false },
    });
  });

  it('that starts again while its lease is in force has the same one, beaten', async () => {
    const place = await placeUnder({ maxProcesses: 1 });
    const first = await started(place, '1');
    await age(place, '1', 60);
    const again = expectStatus(await start(place, '1', { metadata: { ignored: true } }), 200).body.data;
    expect(again).toMatchObject({ id: first.id, createdAt: first.createdAt, metadata: {} });
    expect(again.lastHeartbeatAt >= first.lastHeartbeatAt).toBe(true);
    expect(await running(place)).toEqual(['1']);
  });

  it('lives by its own beats, and no machine lives by them', async () => {
    const place = await placeUnder({ heartbeatIntervalMinutes: 10 });
    await started(place, '1');
    await age(place, '1', 19.9);
    const beaten = expectStatus(await beat(place, '1'), 200).body.data;
    expect(Date.parse(beaten.nextHeartbeatAt) - Date.parse(beaten.lastHeartbeatAt)).toBe(20 * MINUTE_MS);
    expect((await vendor.api.get(`/machines/${place.machine.id}`)).body.data.lastHeartbeatAt).toBeNull();
    await age(place, '1', 20);
    for (const reply of [await beat(place, '1'), await end(place, '1'), await beat(place, '2'), await end(place, '2')])
      expect(codeOf(reply)).toEqual([404, 'NOT_FOUND']);
    expect(await running(place)).toEqual([]);
    const { id } = await started(place, '1');
    expect(id).not.toBe(beaten.id);
  });

  it('keeps what was acknowledged, whatever it is called', async () => {
    const place = await placeUnder({ maxProcesses: 9 });
    const pids = ['1', 'a/b', 'ü€😀', '%2F', '?x=#y', '"\'--', 'x'.repeat(64), '😀'.repeat(64)];
    for (const pid of pids) {
      await started(place, pid);
      expect([pid, expectStatus(await beat(place, pid), 200).body.data.pid]).toEqual([pid, pid]);
    }
    expect((await running(place)).sort()).toEqual([...pids].sort());
    for (const pid of pids) expectStatus(await end(place, pid), 204);
    expect(await running(place)).toEqual([]);
  });

  it.each(['', 'x'.repeat(65), 'a\tb', 'a\u007fb', '.', '..'])('is not called %j', async (pid) => {
    const place = await placeUnder({});
    const replies = [
      await start(place, pid), // Clients take dots for steps along the path.
      ...(['', '.', '..'].includes(pid) ? [] : [await beat(place, pid), await end(place, pid)]),
    ];
    for (const { status, body } of replies) {
      expect([status, body.code, body.details.issues.map(({ path }: { path: string }) => path)]).toEqual([
        400,
        'VALIDATION_ERROR',
        ['pid'],
      ]);
    }
  });

  it('is listed in pages, newest first', async () => {
    const place = await placeUnder({});
    for (const pid of ['1', '2', '3']) await started(place, pid);
    const path = `/machines/${place.machine.id}/processes?limit=2`;
    const { data, pagination } = (await place.api.get(path)).body;
    const rest = (await place.api.get(`${path}&cursor=${pagination.nextCursor}`)).body;
    expect([...data, ...rest.data].map(({ pid }) => pid)).toEqual(['3', '2', '1']);
    expect([pagination.hasMore, rest.pagination.hasMore]).toEqual([true, false]);
  });

  it('is gone with its machine, and starts on no dead one', async () => {
    const place = await placeUnder({
      requireHeartbeat: true,
      heartbeatIntervalMinutes: 10,
      heartbeatCullStrategy: 'KEEP_DEAD',
      maxProcesses: 1,
    });
    await started(place, '1');
    const other = { ...place, machine: await vendor.activate(place.license, 'fingerprint-b') };
    expect(codeOf(await start(other, '1'))).toEqual(OVER);
    expectStatus(await place.api.delete(`/machines/${place.machine.id}`), 204);
    for (const reply of [await start(place, '1'), await beat(place, '1'), await end(place, '1')]) expect(reply.status).toBe(404);
    await started(other, '1');
    await database.query(`UPDATE machine_pulse SET activated_at = activated_at - interval '10 minutes' WHERE machine_id = $1`, [
      other.machine.id,
    ]);
    expect((await start(other, '1')).status).toBe(200);
    expect(codeOf(await start(other, '2'))).toEqual([422, 'MACHINE_DEAD']);
  });

  it("is no other license's", async () => {
    const place = await placeUnder({});
    await started(place, '1');
    const stranger = { ...place, api: vendor.app(await vendor.licenseUnder({})) };
    const list = stranger.api.get(`/machines/${place.machine.id}/processes`);
    for (const reply of [await start(stranger, '2'), await beat(stranger, '1'), await end(stranger, '1'), await list])
      expect(codeOf(reply)).toEqual([404, 'NOT_FOUND']);
    expect(await running(place)).toEqual(['1']);
  });
});

describe('a limit on processes', () => {
  it('refuses one more with those that run, and counts none that ended', async () => {
    const place = await placeUnder({ maxProcesses: 2, heartbeatIntervalMinutes: 10 });
    await started(place, '1');
    const { lastHeartbeatAt } = await started(place, '2');
    const refused = await start(place, '3');
    expect(codeOf(refused)).toEqual(OVER);
    const machineId = place.machine.id;
    expect(refused.body.details).toEqual({
      limit: 2,
      max: 2,
      used: 2,
      processes: [
        { machineId, pid: '2', lastHeartbeatAt },
        { machineId, pid: '1', lastHeartbeatAt: expect.any(String) },
      ],
    });
    // Nobody sweeps: what ended makes room at once.
    await age(place, '1', 20);
    await started(place, '3');
    expect(await running(place)).toEqual(['3', '2']);
    expectStatus(await end(place, '2'), 204);
    await started(place, '4');
  });

  it.each<[string, number]>([
    ['NO_OVERAGE', 2],
    ['ALLOW_1_5X', 3],
    ['ALLOW_2X', 4],
    ['ALWAYS_ALLOW', 6],
  ])('under %s lets %i of six start', async (overageStrategy, expected) => {
    const place = await placeUnder({ maxProcesses: 2, overageStrategy });
    const replies = [];
    for (const pid of ['1', '2', '3', '4', '5', '6']) replies.push((await start(place, pid)).status);
    expect(replies.filter((status) => status === 201)).toHaveLength(expected);
  });

  it("is the license's own where it has one", async () => {
    const license = await vendor.licenseUnder({ maxProcesses: 1 }, { maxProcessesOverride: 2 });
    const place = { api: vendor.app(license), machine: await vendor.activate(license, 'fingerprint-a') };
    expect([await start(place, '1'), await start(place, '2'), await start(place, '3')].map(({ status }) => status)).toEqual([
      201, 201, 422,
    ]);
  });

  it.each<[string, number[]]>([
    ['PER_LICENSE', [201, 422, 422, 422, 422]],
    ['PER_MACHINE', [201, 201, 201, 201, 201]],
    ['PER_USER', [201, 422, 201, 201, 422]],
  ])('counts %s', async (leasingStrategy, expected) => {
    const license = await vendor.licenseUnder({ maxMachines: 5, maxProcesses: 1, leasingStrategy });
    const users = ['ada@example.com', 'Ada@Example.com', 'grace@example.com', null, null];
    const statuses = [];
    for (const [index, userEmail] of users.entries()) {
      const place = { api: vendor.app(license), machine: await vendor.activate(license, `fingerprint-${index}`, { userEmail }) };
      const reply = await start(place, '1');
      statuses.push(reply.status);
      if (reply.status === 201) expect(codeOf(await start(place, '2'))).toEqual(OVER);
    }
    expect(statuses).toEqual(expected);
  });

  it('holds against a beat that comes as the lease ends: it is either kept or it makes room', async () => {
    const place = await placeUnder({ maxProcesses: 1, heartbeatIntervalMinutes: 10 });
    await started(place, '1');
    await age(place, '1', 20);
    // Removed for who starts, but not yet for good, when the beat comes by what it saw before.
    await database.query('BEGIN');
    await database.query('SELECT 1 FROM machine_process WHERE machine_id = $1 FOR UPDATE', [place.machine.id]);
    const starting = start(place, '2');
    await someoneWaits();
    await database.query('UPDATE machine_process SET last_heartbeat_at = now() WHERE machine_id = $1', [place.machine.id]);
    await database.query('COMMIT');
    expect(codeOf(await starting)).toEqual(OVER);
    expect(await running(place)).toEqual(['1']);
  });

  async function someoneWaits(): Promise<void> {
    const waiting = `SELECT 1 FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))`;
    while ((await database.query(waiting)).rowCount === 0);
  }
});

describe('on a test clock', () => {
  it("a lease lives by the clock's time: it ends at the instant, and room is made then", async () => {
    const api = vendor.testApi;
    const clock = expectStatus(await api.post('/test-clocks', { frozenAt: '2031-01-01T00:00:00.000Z' }), 201).body.data;
    const rules = { maxMachines: 2, maxProcesses: 1, heartbeatIntervalMinutes: 10 };
    const license = await vendor.licenseUnder(rules, { testClockId: clock.id }, api);
    const place = { api, machine: await vendor.activate(license, 'fingerprint-a') };
    const advance = async (to: string) => expectStatus(await api.post(`/test-clocks/${clock.id}/advance`, { to }), 200);
    expect(await started(place, '1')).toMatchObject({
      createdAt: '2031-01-01T00:00:00.000Z',
      lastHeartbeatAt: '2031-01-01T00:00:00.000Z',
      nextHeartbeatAt: '2031-01-01T00:20:00.000Z',
    });
    await advance('2031-01-01T00:19:59.999Z');
    expect(codeOf(await start(place, '2'))).toEqual(OVER);
    expect(expectStatus(await beat(place, '1'), 200).body.data.nextHeartbeatAt).toBe('2031-01-01T00:39:59.999Z');
    await advance('2031-01-01T00:39:59.999Z');
    expect((await beat(place, '1')).status).toBe(404);
    await started(place, '2');
    expect(await running(place)).toEqual(['2']);
  });
});

describe('validation', () => {
  it('says of what runs whether the license allows it, wherever it counts', async () => {
    const rules = { maxProcesses: 4, heartbeatIntervalMinutes: 10, leasingStrategy: 'PER_MACHINE' };
    const { license, ...place } = await placeUnder(rules);
    const other = { ...place, machine: await vendor.activate(license, 'fingerprint-b') };
    for (const pid of ['1', '2', '3']) await started(place, pid);
    await started(other, '1');
    await age(place, '1', 20);
    const { policyId } = expectStatus(await vendor.api.get(`/licenses/${license.id}`), 200).body.data;
    const under = async (change: object, fingerprints: string[]) => {
      expectStatus(await vendor.api.patch(`/policies/${policyId}`, change), 200);
      const body = { fingerprints };
      const { rules: explained, ...said } = expectStatus(await vendor.api.post(`/licenses/${license.id}/explain`, body), 200).body.data;
      expect(await vendor.validate(license, body)).toMatchObject({ valid: said.valid, code: said.code, message: said.message });
      const { outcome, facts } = explained.find(({ rule }: { rule: string }) => rule === 'processes');
      return [outcome, said.code, facts.used, facts.machineId];
    };
    const [a, b] = ['fingerprint-a', 'fingerprint-b'];
    const code = 'PROCESS_LIMIT_EXCEEDED';
    expect(await under({}, [a, b])).toEqual(['pass', 'VALID', 2, place.machine.id]);
    expect(await under({ maxProcesses: 1 }, [a, b])).toEqual(['fail', code, 2, place.machine.id]);
    expect(await under({}, [b])).toEqual(['pass', 'VALID', 1, other.machine.id]);
    expect(await under({ overageStrategy: 'ALLOW_2X' }, [a])).toEqual(['warn', code, 2, place.machine.id]);
    expect(await under({ leasingStrategy: 'PER_LICENSE', overageStrategy: 'NO_OVERAGE', maxProcesses: 2 }, [b])).toEqual([
      'fail',
      code,
      3,
      null,
    ]);
    expect(await under({ leasingStrategy: 'PER_USER' }, [b])).toEqual(['fail', code, 3, other.machine.id]);
    expect(await under({ leasingStrategy: 'PER_USER', requireFingerprint: false, maxProcesses: 3 }, [b])).toEqual([
      'pass',
      'VALID',
      3,
      other.machine.id,
    ]);
    expect(await under({ maxProcesses: null }, [a])).toEqual(['skip', 'VALID', 0, place.machine.id]);
  });
});

describe('a validation', () => {
  it('counts leases until the very instant at which they end, and users whatever the case of their address', async () => {
    const clock = expectStatus(await vendor.testApi.post('/test-clocks', { frozenAt: '2031-01-01T00:00:00.000Z' }), 201).body.data;
    const rules = { maxMachines: 2, maxProcesses: 2, heartbeatIntervalMinutes: 10, leasingStrategy: 'PER_USER' };
    const policy = await vendor.policy(rules, vendor.testApi);
    const license = await vendor.license({ productId: policy.productId, policyId: policy.id, testClockId: clock.id }, vendor.testApi);
    for (const [fingerprint, userEmail] of [
      ['fingerprint-a', 'ada@example.com'],
      ['fingerprint-b', 'ADA@example.com'],
    ] as const) {
      const machine = await vendor.activate(license, fingerprint, { userEmail });
      await started({ api: vendor.app(license), machine }, '1');
    }
    expectStatus(await vendor.testApi.patch(`/policies/${policy.id}`, { maxProcesses: 1 }), 200);
    const verdictAt = async (time: string) => {
      expectStatus(await vendor.testApi.post(`/test-clocks/${clock.id}/advance`, { to: `2031-01-01T00:${time}Z` }), 200);
      return (await vendor.validate(license, { fingerprint: 'fingerprint-a' })).code;
    };
    expect([await verdictAt('19:59.999'), await verdictAt('20:00.000')]).toEqual(['PROCESS_LIMIT_EXCEEDED', 'VALID']);
  });
});
