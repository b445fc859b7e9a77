import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import type { Running } from '../src/boot.js';
import { startServer } from './support/server.js';
import { testDatabaseUrl } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

let server: Running;
let vendor: Vendor;
let database: pg.Client;
beforeAll(async () => {
  server = await startServer();
  database = new pg.Client({ connectionString: testDatabaseUrl() });
  await database.connect();
});
afterAll(async () => {
  await database.end();
  await server.stop();
});
beforeEach(async () => {
  vendor = await Vendor.signUp(server.url);
});

/** As if everything about the machine had happened so much earlier. */
const age = (machine: { id: string }, minutes: number) =>
  database.query(
    `UPDATE machine_pulse SET activated_at = activated_at - make_interval(mins => $2), last_heartbeat_at = last_heartbeat_at - make_interval(mins => $2)
      WHERE machine_id = $1`,
    [machine.id, minutes],
  );

describe('a heartbeat', () => {
  const rules = { requireHeartbeat: true, heartbeatIntervalMinutes: 10, maxMachines: 5 };

  it('keeps a machine alive, and says when the next is due', async () => {
    const license = await vendor.licenseUnder(rules);
    const machine = await vendor.activate(license, 'fingerprint-a');
    await age(machine, 9);
    const beaten = expectStatus(await vendor.app(license).post(`/machines/${machine.id}/heartbeat`), 200).body.data;
    expect(Date.parse(beaten.nextHeartbeatAt) - Date.parse(beaten.lastHeartbeatAt)).toBe(600_000);
    await age(machine, 9);
    expect(await vendor.validate(license, { fingerprint: 'fingerprint-a' })).toMatchObject({ valid: true });
    await age(machine, 1);
    expect(await vendor.validate(license, { fingerprint: 'fingerprint-a' })).toMatchObject({
      code: 'HEARTBEAT_DEAD',
      machine: { status: 'dead' },
    });
    expect((await vendor.app(license).post(`/machines/${machine.id}/heartbeat`)).body.code).toBe('MACHINE_DEAD');
  });

  it('revives within the window that the policy gives, and must come first where the policy says so', async () => {
    const license = await vendor.licenseUnder({ ...rules, heartbeatBasis: 'FROM_FIRST_BEAT', heartbeatResurrectionMinutes: 5 });
    const machine = await vendor.activate(license, 'fingerprint-a');
    await age(machine, 60);
    expect(await vendor.validate(license, { fingerprint: 'fingerprint-a' })).toMatchObject({ code: 'HEARTBEAT_REQUIRED' });
    expectStatus(await vendor.app(license).post(`/machines/${machine.id}/heartbeat`), 200);
    await age(machine, 14);
    expect(await vendor.validate(license, { fingerprint: 'fingerprint-a' })).toMatchObject({ code: 'HEARTBEAT_DEAD' });
    expectStatus(await vendor.app(license).post(`/machines/${machine.id}/heartbeat`), 200);
    expect(await vendor.validate(license, { fingerprint: 'fingerprint-a' })).toMatchObject({ valid: true });
  });

  it('decides the status that lists filter by', async () => {
    for (const heartbeatBasis of ['FROM_ACTIVATION', 'FROM_FIRST_BEAT']) {
      for (const requireHeartbeat of [true, false]) {
        const license = await vendor.licenseUnder({ ...rules, heartbeatBasis, requireHeartbeat });
        const machines = [];
        for (const name of ['fresh', 'old', 'beaten', 'silent']) machines.push(await vendor.activate(license, `fingerprint-${name}`));
        for (const machine of machines.slice(2)) expectStatus(await vendor.app(license).post(`/machines/${machine.id}/heartbeat`), 200);
        await age(machines[1], 11);
        await age(machines[3], 11);
      }
    }
    const all: { id: string; status: string }[] = (await vendor.api.get('/machines?limit=100')).body.data;
    expect(all).toHaveLength(16);
    expect(new Set(all.map(({ status }) => status)).size).toBe(3);
    for (const status of ['active', 'dead', 'not_started']) {
      const found = (await vendor.api.get(`/machines?limit=100&status=${status}`)).body.data;
      expect([status, found.map(({ id }: { id: string }) => id)]).toEqual([
        status,
        all.filter((one) => one.status === status).map(({ id }) => id),
      ]);
    }
  });
});
