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

describe('activating', () => {
  it('tells that a limit was reached: once a minute, however many are refused, and nothing else of them', async () => {
    const license = await vendor.licenseUnder({ maxMachines: 1 });
    await vendor.activate(license, 'fingerprint-a');
    const refused = await Promise.all(
      Array.from({ length: 6 }, (_, index) => vendor.app(license).post('/machines', { fingerprint: `fingerprint-b${index}` })),
    );
    expect(refused.map(({ status }) => status)).toEqual(Array(6).fill(422));
    const told = async () =>
      (await vendor.api.get(`/licenses/${license.id}/history`)).body.data.filter(
        ({ type }: { type: string }) => type === 'license.limit_reached',
      );
    expect(await told()).toMatchObject([
      { data: { object: { id: license.id, machineCount: 1 } }, actor: { type: 'license', id: license.id } },
    ]);
    await database.query("UPDATE event SET created_at = created_at - interval '1 minute' WHERE license_id = $1", [license.id]);
    expectStatus(await vendor.app(license).post('/machines', { fingerprint: 'fingerprint-c' }), 422);
    expect(await told()).toHaveLength(2);
  });

  it('offers what could be freed when no seat is left, and takes the seat that was', async () => {
    const license = await vendor.licenseUnder({ maxMachines: 1, overageStrategy: 'ALLOW_2X' });
    const first = await vendor.activate(license, 'fingerprint-a', { name: 'old', platform: 'windows' });
    const second = await vendor.activate(license, 'fingerprint-b');
    const full = await vendor.app(license).post('/machines', { fingerprint: 'fingerprint-c' });
    expect(full.body).toMatchObject({ code: 'MACHINE_LIMIT_EXCEEDED', details: { limit: 2, max: 1, used: 2 } });
    expect(full.body.details.machines).toEqual([
      { id: second.id, name: null, platform: null, lastHeartbeatAt: null },
      { id: first.id, name: 'old', platform: 'windows', lastHeartbeatAt: null },
    ]);
    expectStatus(await vendor.app(license).delete(`/machines/${first.id}`), 204);
    await vendor.activate(license, 'fingerprint-c');
  });

  it.each([
    ['maxCores', 'cores', 'CORE_LIMIT_EXCEEDED'],
    ['maxMemoryMb', 'memoryMb', 'MEMORY_LIMIT_EXCEEDED'],
    ['maxDiskMb', 'diskMb', 'DISK_LIMIT_EXCEEDED'],
  ])('holds %s over the sum of all machines, also when one grows', async (limit, field, code) => {
    const license = await vendor.licenseUnder({ maxMachines: 9, [limit]: 10 });
    const machine = await vendor.activate(license, 'fingerprint-a', { [field]: 6 });
    expect((await vendor.app(license).post('/machines', { fingerprint: 'fingerprint-b', [field]: 5 })).body).toMatchObject({
      code,
      details: { limit: 10, used: 6 },
    });
    await vendor.activate(license, 'fingerprint-b', { [field]: 4 });
    expect((await vendor.api.patch(`/machines/${machine.id}`, { [field]: 7 })).body.code).toBe(code);
    expectStatus(await vendor.api.patch(`/machines/${machine.id}`, { [field]: 2, name: 'smaller' }), 200);
    await vendor.activate(license, 'fingerprint-c', { [field]: 4 });
  });

  it('gives room to what shrinks, also on a license that is over its limits', async () => {
    const license = await vendor.licenseUnder({ maxMachines: 9, maxCores: 10 });
    const machine = await vendor.activate(license, 'fingerprint-a', { cores: 10 });
    expectStatus(await vendor.api.patch(`/policies/${license.policyId}`, { maxCores: 2 }), 200);
    expectStatus(await vendor.api.patch(`/machines/${machine.id}`, { cores: 8 }), 200);
    expectStatus(await vendor.api.patch(`/machines/${machine.id}`, { name: 'unchanged in size' }), 200);
  });

  it.each([
    ['LICENSE', 201, 403],
    ['API_KEY', 403, 201],
    ['BOTH', 201, 201],
    ['NONE', 403, 403],
  ])('is for those whom the policy lets: %s', async (authentication, withLicense, withKey) => {
    const license = await vendor.licenseUnder({ maxMachines: 2, authentication });
    expect((await vendor.app(license).post('/machines', { fingerprint: 'fingerprint-a' })).status).toBe(withLicense);
    const byKey = await vendor.api.post('/machines', { licenseId: license.id, fingerprint: 'fingerprint-b' });
    expect(byKey.status).toBe(withKey);
    if (withKey === 403) expect(byKey.body.code).toBe('AUTHENTICATION_NOT_ALLOWED');
  });

  it('counts the same fingerprint sent twice to a validation once', async () => {
    const license = await vendor.licenseUnder({ fingerprintMatching: 'TWO', maxMachines: 2 });
    await vendor.activate(license, 'fingerprint-a');
    expect(
      await vendor.validate(license, { fingerprint: 'fingerprint-a', fingerprints: ['fingerprint-a', 'fingerprint-a'] }),
    ).toMatchObject({
      valid: true,
      machine: { fingerprint: 'fingerprint-a' },
    });
  });
});
