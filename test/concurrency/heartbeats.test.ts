import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { type QuietDatabase, quietDatabase } from '../support/quiet-database.js';
import { ServerProcess } from '../support/server.js';
import { testEnvironment } from '../support/settings.js';
import { expectStatus, Vendor } from '../support/vendor.js';

type View = Awaited<ReturnType<Vendor['license']>>;

/** Two server processes on one database, as in production: no lock inside a process can make these pass. */
describe('heartbeats, from two server processes at once', () => {
  let servers: ServerProcess[];
  let quiet: QuietDatabase;
  let database: pg.Client;
  let vendor: Vendor;

  const onQuiet = (): Record<string, string> => testEnvironment({ DATABASE_URL: quiet.url });
  beforeAll(async () => {
    quiet = await quietDatabase();
    servers = await Promise.all([ServerProcess.start(onQuiet()), ServerProcess.start(onQuiet())]);
    database = new pg.Client({ connectionString: quiet.url });
    await database.connect();
  });
  afterAll(async () => {
    await database.end();
    await Promise.all(servers.map((server) => server.stop()));
    await quiet.end();
  });
  beforeEach(async () => {
    vendor = await Vendor.signUp(servers[0]!.url);
  });

  const rules = { requireHeartbeat: true, heartbeatIntervalMinutes: 10, maxMachines: 100 };
  const beat = (through: { url: string }, license: View, machine: View) =>
    vendor.through(through.url).app(license).post(`/machines/${machine.id}/heartbeat`);
  const activateMany = (license: View, count: number) =>
    Promise.all(Array.from({ length: count }, (_, index) => vendor.activate(license, `fingerprint-${String(index)}`)));
  const lastBeatOf = async (machine: View): Promise<number> => {
    const { rows } = await database.query('SELECT last_heartbeat_at FROM machine_pulse WHERE machine_id = $1', [machine.id]);
    return rows[0].last_heartbeat_at.getTime();
  };

  it('every acknowledged one is stored, also when the server is killed in the middle', async () => {
    const doomed = await ServerProcess.start(onQuiet());
    const license = await vendor.licenseUnder(rules);
    const machines = await activateMany(license, 20);
    let acknowledged = 0;
    const lastAcknowledged = await Promise.all(
      machines.map(async (machine) => {
        let last = 0;
        // Until the connection breaks.
        for (;;) {
          const reply = await beat(doomed, license, machine).catch(() => null);
          if (reply === null) return last;
          last = Date.parse(expectStatus(reply, 200).body.data.lastHeartbeatAt);
          acknowledged += 1;
          if (acknowledged === 200) void doomed.stop('SIGKILL');
        }
      }),
    );
    expect(acknowledged).toBeGreaterThanOrEqual(200);
    for (const [index, machine] of machines.entries()) expect(await lastBeatOf(machine)).toBeGreaterThanOrEqual(lastAcknowledged[index]!);
  });

  it('of one machine all count, and the latest stays', async () => {
    const license = await vendor.licenseUnder(rules);
    const [machine] = await activateMany(license, 1);
    const replies = await Promise.all(Array.from({ length: 60 }, (_, index) => beat(servers[index % 2]!, license, machine)));
    const times = replies.map((reply) => Date.parse(expectStatus(reply, 200).body.data.lastHeartbeatAt));
    expect(await lastBeatOf(machine)).toBe(Math.max(...times));
  });

  it('wait for nobody but whoever holds their own machine', async () => {
    const license = await vendor.licenseUnder(rules);
    const [held, ...others] = await activateMany(license, 10);
    const holder = new pg.Client({ connectionString: quiet.url });
    await holder.connect();
    await holder.query('BEGIN');
    await holder.query('SELECT 1 FROM machine_pulse WHERE machine_id = $1 FOR UPDATE', [held!.id]);
    let isAnswered = false;
    const waiting = Promise.all(servers.map((server) => beat(server, license, held))).finally(() => {
      isAnswered = true;
    });
    // More than there are connections: none of them is stuck.
    for (let round = 0; round < 3; round += 1) {
      const replies = await Promise.all(others.flatMap((machine) => servers.map((server) => beat(server, license, machine))));
      expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200]));
    }
    expect(isAnswered).toBe(false);
    await holder.query('ROLLBACK');
    await holder.end();
    for (const reply of await waiting) expectStatus(reply, 200);
  });

  it('win or lose against the sweeper, never both: a machine is brought back, or gone', async () => {
    const license = await vendor.licenseUnder({ ...rules, heartbeatResurrectionMinutes: 60 });
    const machines = await activateMany(license, 20);
    const ids = machines.map(({ id }) => id as string);
    await database.query("UPDATE machine_pulse SET activated_at = activated_at - interval '11 minutes' WHERE machine_id = ANY($1)", [ids]);
    const sweeper = new pg.Client({ connectionString: quiet.url });
    await sweeper.connect();
    const sweep = async (): Promise<string[]> => {
      await sweeper.query('BEGIN');
      const { rows } = await sweeper.query<{ id: string }>(
        `SELECT machine_id AS id FROM machine_pulse WHERE machine_id = ANY($1) AND last_heartbeat_at IS NULL FOR UPDATE SKIP LOCKED`,
        [ids],
      );
      await sweeper.query('UPDATE machine SET deleted_at = now() WHERE id = ANY($1)', [rows.map(({ id }) => id)]);
      await sweeper.query('COMMIT');
      return rows.map(({ id }) => id);
    };
    const beats = Promise.all(machines.map((machine, index) => beat(servers[index % 2]!, license, machine)));
    const removed: string[] = [];
    for (let round = 0; round < 5; round += 1) removed.push(...(await sweep()));
    const replies = await beats;
    await sweeper.end();
    for (const [index, { status }] of replies.entries())
      expect([ids[index], status]).toEqual([ids[index], removed.includes(ids[index]!) ? 404 : 200]);
    const { rows } = await database.query<{ id: string; types: string[] }>(
      `SELECT resource_id AS id, array_agg(type ORDER BY id) AS types FROM event
        WHERE resource_id = ANY($1) AND type <> 'machine.activated' GROUP BY resource_id`,
      [ids],
    );
    const revived = ids.filter((id) => !removed.includes(id));
    expect(rows.map(({ id }) => id).sort()).toEqual(revived.sort());
    for (const { types } of rows) expect(types).toEqual(['machine.dead', 'machine.resurrected']);
  });
});
