import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { setTimeout as wait } from 'node:timers/promises';
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import type { Running } from '../src/boot.js';
import { Clock } from '../src/core/clock.js';
import { Database } from '../src/core/database.js';
import { TURNS } from '../src/core/recurring.js';
import { FIRST, walkProcesses, walkPulses } from '../src/machines/sweep.query.js';
import { SweepWorker } from '../src/machines/sweep.worker.js';
import { withKey } from './support/client.js';
import { startServer } from './support/server.js';
import { testDatabaseUrl } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

/**
 * In real time, deaths of machines are told once each, and seats of those that are dead for good come back, whichever server
 * sweeps (contract: resources.md, "Machines").
 */

type Machine = { id: string };
const MORTAL = { requireHeartbeat: true, heartbeatIntervalMinutes: 60, maxMachines: 20 };
const BOTH = ['machine.dead', 'machine.deactivated'];

let servers: [Running, Running];
let database: pg.Client;
let vendor: Vendor;

beforeAll(async () => {
  servers = await Promise.all([startServer(), startServer()]);
  database = new pg.Client({ connectionString: testDatabaseUrl(), options: '-c timezone=UTC' });
  await database.connect();
  vendor = await Vendor.signUp(servers[0].url);
});
afterAll(async () => {
  await database.end();
  await Promise.all(servers.map((server) => server.stop()));
});

/** As if this many minutes had passed since their last sign of life. */
async function age(minutes: number, ...machines: Machine[]): Promise<void> {
  await database.query(
    `UPDATE machine_pulse SET activated_at = now() - make_interval(mins => $1), last_heartbeat_at = last_heartbeat_at - make_interval(mins => $1)
      WHERE machine_id = ANY($2)`,
    [minutes, machines.map(({ id }) => id)],
  );
}

async function eventsOf(...machines: Machine[]): Promise<string[]> {
  const { rows } = await database.query<{ type: string }>(
    `SELECT type FROM event WHERE resource_id = ANY($1) AND type IN ('machine.dead', 'machine.deactivated') ORDER BY id`,
    [machines.map(({ id }) => id)],
  );
  return rows.map(({ type }) => type);
}

/** Until it is as it should be: another server of this run may be the one that sweeps. */
async function sweepUntil(isDone: () => Promise<boolean>): Promise<void> {
  for (;;) {
    await Promise.all(servers.map(({ app }) => app.get(SweepWorker).sweep()));
    if (await isDone()) return;
    await wait(50);
  }
}

async function sweepUntilTold(count: number, ...machines: Machine[]): Promise<string[]> {
  await sweepUntil(async () => (await eventsOf(...machines)).length >= count);
  return eventsOf(...machines);
}

/** A round that has found everything: policies are looked at in the order of their making, and one made for it was swept. */
async function sweepAll(): Promise<void> {
  const machine = await vendor.activate(await vendor.licenseUnder(MORTAL), 'canary-1');
  await age(61, machine);
  await sweepUntilTold(2, machine);
}

async function machineUnder(rules: object, of = vendor) {
  const license = await of.licenseUnder({ ...MORTAL, ...rules });
  return { license, machine: await of.activate(license, 'machine-1') };
}

describe('machines that are dead for good', () => {
  it('are told of once and give their seats back, with two servers sweeping at once', async () => {
    const policy = await vendor.policy({ ...MORTAL, maxMachines: 4, maxCores: 100 });
    const licenses = await Promise.all([1, 2, 3].map(() => vendor.license({ productId: policy.productId, policyId: policy.id })));
    const activate = (license: { key: string }, n: number) =>
      vendor.activate(license, `machine-${String(n)}`, { cores: n, memoryMb: 10 * n, diskMb: 100 * n });
    const machines = (
      await Promise.all(
        licenses.map(async (license) => [
          await activate(license, 1),
          await activate(license, 2),
          await activate(license, 3),
          await activate(license, 4),
        ]),
      )
    ).flat();
    const survivors = machines.filter((_, index) => index % 4 === 3);
    const dead = machines.filter((machine) => !survivors.includes(machine));
    await age(60, ...dead);
    await sweepUntilTold(2 * dead.length, ...dead);
    await sweepAll();
    for (const machine of dead) {
      expect(await eventsOf(machine)).toEqual(BOTH);
      expect((await vendor.api.get(`/machines/${machine.id}`)).status).toBe(404);
    }
    expect(await eventsOf(...survivors)).toEqual([]);
    for (const { id } of licenses) {
      const { rows } = await database.query(
        'SELECT machine_count, cores_total, memory_mb_total, disk_mb_total FROM license WHERE id = $1',
        [id],
      );
      expect(rows).toEqual([{ machine_count: 1, cores_total: '4', memory_mb_total: '40', disk_mb_total: '400' }]);
    }
    await activate(licenses[0], 5);
  });

  it('are in the log and in the history of their license as what the system did', async () => {
    const { license, machine } = await machineUnder({});
    await age(61, machine);
    await sweepUntilTold(2, machine);
    const log = expectStatus(await vendor.api.get(`/audit-logs?resource=machine:${machine.id}`), 200).body.data;
    const told = log.map((entry: { action: string; actor: { type: string } }) => [entry.action, entry.actor.type]);
    expect(told.filter(([, actor]: string[]) => actor === 'system')).toEqual([
      ['machine.deactivated', 'system'],
      ['machine.dead', 'system'],
    ]);
    const { rows } = await database.query(
      `SELECT type, license_id, occurred_at, data->'object'->>'status' AS status, data->'previous'->>'status' AS previous
         FROM event WHERE resource_id = $1 AND actor_type = 'system' ORDER BY id`,
      [machine.id],
    );
    expect(rows).toEqual([
      { type: 'machine.dead', license_id: license.id, occurred_at: null, status: 'dead', previous: 'active' },
      { type: 'machine.deactivated', license_id: license.id, occurred_at: null, status: 'dead', previous: null },
    ]);
  });

  it('are so whatever state their license is in, and in whosever segment', async () => {
    const suspended = await machineUnder({});
    expectStatus(await vendor.api.post(`/licenses/${suspended.license.id}/suspend`), 200);
    const expired = await machineUnder({ durationDays: 1 });
    expectStatus(await vendor.api.patch(`/licenses/${expired.license.id}`, { expiresAt: new Date(Date.now() - 1000).toISOString() }), 200);
    const { body } = expectStatus(await vendor.api.post('/api-keys', { name: 'reseller [segment]' }), 201);
    const policy = await vendor.policy(MORTAL);
    const reseller = withKey(servers[0].url, body.data.key);
    const theirs = await vendor.license({ productId: policy.productId, policyId: policy.id }, reseller);
    const machines = [suspended.machine, expired.machine, await vendor.activate(theirs, 'machine-1')];
    await age(61, ...machines);
    await sweepUntilTold(6, ...machines);
    await sweepAll();
    for (const machine of machines) expect(await eventsOf(machine)).toEqual(BOTH);
    const { rows } = await database.query<{ isTheirs: boolean }>(
      `SELECT event.segment_id IS NOT NULL AND event.segment_id = license.segment_id AS "isTheirs"
         FROM event JOIN license ON license.id = event.license_id
        WHERE event.license_id = $1 AND event.actor_type = 'system' AND event.type LIKE 'machine.%'`,
      [theirs.id],
    );
    expect(rows).toEqual([{ isTheirs: true }, { isTheirs: true }]);
  });

  it('die at the next sweep when their policy shortens the interval', async () => {
    const { license, machine } = await machineUnder({});
    await age(30, machine);
    await sweepAll();
    expect(await eventsOf(machine)).toEqual([]);
    expectStatus(await vendor.api.patch(`/policies/${license.policyId}`, { heartbeatIntervalMinutes: 15 }), 200);
    expect(await sweepUntilTold(2, machine)).toEqual(BOTH);
  });
});

describe('machines that may come back', () => {
  it('keep their seats until their window has passed; each death is told', async () => {
    const { machine } = await machineUnder({ heartbeatResurrectionMinutes: 60 });
    await age(90, machine);
    expect(await sweepUntilTold(1, machine)).toEqual(['machine.dead']);
    await sweepAll();
    expect((await vendor.api.get(`/machines/${machine.id}`)).body.data).toMatchObject({ status: 'dead' });
    expectStatus(await vendor.api.post(`/machines/${machine.id}/heartbeat`), 200);
    await age(90, machine);
    expect(await sweepUntilTold(2, machine)).toEqual(['machine.dead', 'machine.dead']);
    await age(30, machine);
    expect(await sweepUntilTold(3, machine)).toEqual(['machine.dead', 'machine.dead', 'machine.deactivated']);
  });

  it('keep them for ever where the dead are kept, and are told of once', async () => {
    const { license, machine } = await machineUnder({ heartbeatCullStrategy: 'KEEP_DEAD', heartbeatResurrectionMinutes: null });
    await age(10_000, machine);
    await sweepUntilTold(1, machine);
    await sweepAll();
    expect(await eventsOf(machine)).toEqual(['machine.dead']);
    expect((await vendor.api.get(`/licenses/${license.id}`)).body.data).toMatchObject({ machineCount: 1 });
  });
});

describe('nobody is swept', () => {
  it('who lives, need not beat, has not begun to, or lives in the time of a test clock', async () => {
    const clock = expectStatus(await vendor.testApi.post('/test-clocks', { frozenAt: new Date().toISOString() }), 201).body.data;
    const onClock = await vendor.licenseUnder(MORTAL, { testClockId: clock.id }, vendor.testApi);
    const living = (await machineUnder({})).machine;
    const old = [
      (await machineUnder({ requireHeartbeat: false })).machine,
      (await machineUnder({ heartbeatBasis: 'FROM_FIRST_BEAT' })).machine,
      await vendor.activate(onClock, 'machine-1'),
    ];
    await age(59, living);
    await age(10_000, ...old);
    await sweepAll();
    expect(await eventsOf(living, ...old)).toEqual([]);
  });

  it('whose license a request holds, or whose vendor cannot be told; others are, and they are by the next sweep', async () => {
    const other = await Vendor.signUp(servers[0].url);
    const third = await Vendor.signUp(servers[0].url);
    const [held, failing, fine] = [await machineUnder({}), await machineUnder({}, other), await machineUnder({}, third)];
    const name = `broken_${uuidv7().replaceAll('-', '')}`;
    await database.query(`CREATE FUNCTION ${name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'broken'; END $$`);
    await database.query(
      `CREATE TRIGGER ${name} BEFORE INSERT ON event FOR EACH ROW WHEN (NEW.license_id = '${failing.license.id}') EXECUTE FUNCTION ${name}()`,
    );
    const request = new pg.Client({ connectionString: testDatabaseUrl() });
    await request.connect();
    await request.query('BEGIN');
    await request.query('SELECT 1 FROM license WHERE id = $1 FOR NO KEY UPDATE', [held.license.id]);
    try {
      await age(61, held.machine, failing.machine, fine.machine);
      await sweepUntilTold(2, fine.machine);
      await sweepAll();
      expect(await eventsOf(held.machine, failing.machine)).toEqual([]);
      expect((await other.api.get(`/licenses/${failing.license.id}`)).body.data).toMatchObject({ machineCount: 1 });
    } finally {
      await request.end();
      await database.query(`DROP FUNCTION ${name} CASCADE`);
    }
    expect(await sweepUntilTold(2, held.machine)).toEqual(BOTH);
    expect(await sweepUntilTold(2, failing.machine)).toEqual(BOTH);
  });

  it('whose beat is being written: it is not waited for, and it counts', async () => {
    const { license, machine } = await machineUnder({});
    await age(30, machine);
    const beat = new pg.Client({ connectionString: testDatabaseUrl() });
    await beat.connect();
    try {
      await beat.query('BEGIN');
      await beat.query('UPDATE machine_pulse SET last_heartbeat_at = now() WHERE machine_id = $1', [machine.id]);
      expectStatus(await vendor.api.patch(`/policies/${license.policyId}`, { heartbeatIntervalMinutes: 15 }), 200);
      await sweepAll();
      await beat.query('COMMIT');
      await sweepAll();
      expect(await eventsOf(machine)).toEqual([]);
    } finally {
      await beat.end();
    }
  });

  it('whose beat was acknowledged, however close it came', async () => {
    const license = await vendor.licenseUnder(MORTAL);
    for (let round = 0; round < 6; round += 1) {
      const machines: Machine[] = await Promise.all(
        Array.from({ length: 8 }, (_, n) => vendor.activate(license, `machine-${String(round)}-${String(n)}`)),
      );
      // They die one after the other while their beats arrive.
      await database.query(
        `UPDATE machine_pulse SET activated_at = clock_timestamp() - interval '1 hour' + dying.n * interval '4 milliseconds'
           FROM unnest($1::uuid[]) WITH ORDINALITY AS dying (id, n) WHERE machine_id = dying.id`,
        [machines.map(({ id }) => id)],
      );
      const [, ...beats] = await Promise.all([
        Promise.all(servers.map(({ app }) => app.get(SweepWorker).sweep())),
        ...machines.map(({ id }) => vendor.app(license).post(`/machines/${id}/heartbeat`)),
      ]);
      const dead = machines.filter((_, n) => beats[n]?.status !== 200);
      await sweepUntilTold(2 * dead.length, ...dead);
      for (const [n, machine] of machines.entries()) {
        const status = beats[n]?.status ?? 0;
        expect([200, 404, 422]).toContain(status);
        expect([status, await eventsOf(machine)]).toEqual([status, status === 200 ? [] : BOTH]);
      }
      expectStatus(await vendor.api.post(`/licenses/${license.id}/reset-machines`), 200);
    }
  });
});

it('leases of processes end two intervals after their last beat', async () => {
  const { license, machine } = await machineUnder({ requireHeartbeat: false });
  const clock = expectStatus(await vendor.testApi.post('/test-clocks', { frozenAt: new Date().toISOString() }), 201).body.data;
  const onClock = await vendor.licenseUnder({}, { testClockId: clock.id }, vendor.testApi);
  const turned = await vendor.activate(onClock, 'machine-1');
  const leases = [
    [license.id, machine.id, 'lapsed', 120],
    [license.id, machine.id, 'living', 119],
    [onClock.id, turned.id, 'on a test clock', 10_000],
  ];
  for (const [licenseId, machineId, pid, minutes] of leases) {
    await database.query(
      `INSERT INTO machine_process (id, environment_id, license_id, machine_id, pid, last_heartbeat_at)
       SELECT $1, environment_id, $2, id, $4, now() - make_interval(mins => $5) FROM machine WHERE id = $3`,
      [uuidv7(), licenseId, machineId, pid, minutes],
    );
  }
  const left = async (): Promise<string[]> => {
    const { rows } = await database.query<{ pid: string }>('SELECT pid FROM machine_process WHERE machine_id = ANY($1) ORDER BY pid', [
      [machine.id, turned.id],
    ]);
    return rows.map(({ pid }) => pid);
  };
  await sweepUntil(async () => !(await left()).includes('lapsed'));
  await sweepAll();
  expect(await left()).toEqual(['living', 'on a test clock']);
});

describe('however many machines there are', () => {
  const MACHINES = 10_000;

  it('a step reads its share of an index, changes nothing, and comes to everyone', async () => {
    const { license } = await machineUnder({ heartbeatCullStrategy: 'KEEP_DEAD' });
    const other = await machineUnder({});
    for (const { id } of [license, other.license]) await fill(id, MACHINES);
    await database.query('ANALYZE machine_pulse, machine, machine_process, license, policy');
    const dead: Machine[] = (
      await database.query<Machine>('SELECT id FROM machine WHERE license_id = $1 ORDER BY id OFFSET 5000 LIMIT 700', [license.id])
    ).rows;
    await age(61, ...dead);
    const [found, now] = [new Set<string>(), servers[0].app.get(Clock).now()];
    const scans = await plansOf(async () => {
      for (let cursors = [{ policyId: license.policyId, after: FIRST }]; cursors.length > 0;) {
        const walked = await servers[0].app
          .get(Database)
          .acrossTenants('walk as the sweeper does', (db) => walkPulses(db, cursors, now, 4000, 500));
        for (const { machineId } of walked.candidates) found.add(machineId);
        cursors = walked.unfinished;
      }
    });
    expect([...found].filter((id) => !dead.some((one) => one.id === id))).toEqual([]);
    expect(found.size).toBe(dead.length);
    expect(scans).toEqual([]);
    const leases = await plansOf(async () => {
      await servers[0].app.get(Database).acrossTenants('walk as the sweeper does', (db) => walkProcesses(db, FIRST, now, 10_000, 500));
    });
    expect(leases).toEqual([]);
  });

  function fill(licenseId: string, count: number): Promise<unknown> {
    return database.query(
      `INSERT INTO machine (id, environment_id, license_id, fingerprint, updated_at)
       SELECT made.id, license.environment_id, license.id, 'filled-' || made.id, now()
         FROM license CROSS JOIN unnest($2::uuid[]) AS made (id) WHERE license.id = $1`,
      [licenseId, Array.from({ length: count }, () => uuidv7())],
    );
  }

  /** Tables that are read from end to end by the statements that look for machines or leases while `work` goes on. */
  async function plansOf(work: () => Promise<void>): Promise<string[]> {
    const spy = jest.spyOn(pg.Client.prototype, 'query');
    const sent: { text: string; values: unknown[] }[] = [];
    try {
      await work();
      for (const [query] of spy.mock.calls as unknown as [{ text?: string; values?: unknown[] }][])
        if (/AS walked/.test(query.text ?? '')) sent.push({ text: query.text ?? '', values: query.values ?? [] });
    } finally {
      spy.mockRestore();
    }
    expect(sent.length).toBeGreaterThan(0);
    const tables: string[] = [];
    await database.query('BEGIN');
    await database.query('SET LOCAL ROLE latchkey_system');
    for (const { text, values } of sent) {
      const { rows } = await database.query(`EXPLAIN (ANALYZE, FORMAT JSON) ${text}`, values);
      tables.push(...scansOf(rows[0]['QUERY PLAN'][0].Plan));
    }
    await database.query('ROLLBACK');
    // The others are small here, and are read as the small tables that they are.
    return tables.filter((table) => ['machine', 'machine_pulse'].includes(table));
  }

  interface Node {
    'Node Type': string;
    'Relation Name'?: string;
    Plans?: Node[];
  }
  function scansOf(node: Node): string[] {
    const own = node['Node Type'] === 'Seq Scan' ? [node['Relation Name'] ?? ''] : [];
    return [...own, ...(node.Plans ?? []).flatMap(scansOf)];
  }
});

it('leaves everything to the server whose turn it is', async () => {
  const license = await vendor.licenseUnder(MORTAL);
  const machine = await vendor.activate(license, 'fingerprint-a');
  await age(61, machine);
  const other = new pg.Client({ connectionString: testDatabaseUrl() });
  await other.connect();
  // Waits for one that another server of this run may have.
  await other.query('SELECT pg_advisory_lock($1)', [TURNS.machines]);
  await Promise.all(servers.map(({ app }) => app.get(SweepWorker).sweep()));
  expect(await eventsOf(machine)).toEqual([]);
  await other.end();
  await sweepUntil(async () => (await eventsOf(machine)).length === 2);
});

it.each([
  ['is deactivated', (_license: Machine, machine: Machine) => vendor.api.delete(`/machines/${machine.id}`)],
  [
    'is replaced',
    (license: Machine, machine: Machine) =>
      vendor.api.post('/machines', { licenseId: license.id, fingerprint: 'fingerprint-b', replaces: machine.id }),
  ],
  ["goes with all of its license's", (license: Machine) => vendor.api.post(`/licenses/${license.id}/reset-machines`)],
])('the death of a machine that %s before anyone sweeps is told all the same, once', async (_, remove) => {
  const license = await vendor.licenseUnder({ ...MORTAL, heartbeatResurrectionMinutes: 5000 });
  const machine = await vendor.activate(license, 'fingerprint-a');
  await age(61, machine);
  expect((await remove(license, machine)).status).toBeLessThan(300);
  expect(await eventsOf(machine)).toEqual(BOTH);
});
