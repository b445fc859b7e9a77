import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Reply } from '../support/client.js';
import { ServerProcess } from '../support/server.js';
import { testEnvironment } from '../support/settings.js';
import { Vendor } from '../support/vendor.js';

/** Two server processes on one database, as in production: no lock inside a process can make these pass. */
describe('seats, from two server processes at once', () => {
  let servers: ServerProcess[];
  let vendor: Vendor;

  beforeAll(async () => {
    servers = await Promise.all([ServerProcess.start(testEnvironment()), ServerProcess.start(testEnvironment())]);
  });
  afterAll(async () => {
    await Promise.all(servers.map((server) => server.stop()));
  });
  beforeEach(async () => {
    vendor = await Vendor.signUp(servers[0]!.url);
  });

  const activateAll = (license: { key: string }, fingerprints: string[]): Promise<Reply[]> =>
    Promise.all(
      fingerprints.map((fingerprint, index) =>
        vendor
          .through(servers[index % servers.length]!.url)
          .app(license)
          .post('/machines', { fingerprint, cores: 4 }),
      ),
    );
  const count = (replies: Reply[], status: number, code?: string): number =>
    replies.filter((reply) => reply.status === status && (code === undefined || reply.body.code === code)).length;
  const machinesOf = async (license: { id: string }): Promise<{ id: string; fingerprint: string }[]> =>
    (await vendor.api.get(`/machines?licenseId=${license.id}&limit=100`)).body.data;

  it('never gives out more than the policy allows, however many apps ask at once', async () => {
    const license = await vendor.licenseUnder({ maxMachines: 5 });
    const replies = await activateAll(
      license,
      Array.from({ length: 200 }, (_, index) => `fingerprint-${index}`),
    );
    expect(count(replies, 201)).toBe(5);
    expect(count(replies, 422, 'MACHINE_LIMIT_EXCEEDED')).toBe(195);
    expect(await machinesOf(license)).toHaveLength(5);
    expect((await vendor.api.get(`/licenses/${license.id}`)).body.data.machineCount).toBe(5);
  });

  it('gives one machine one seat, however many of its processes ask at once', async () => {
    const license = await vendor.licenseUnder({ maxMachines: 5 });
    const replies = await activateAll(license, Array<string>(200).fill('one-and-the-same'));
    expect(count(replies, 201)).toBe(1);
    expect(count(replies, 200)).toBe(199);
    expect(new Set(replies.map((reply) => reply.body.data.id)).size).toBe(1);
    expect(await machinesOf(license)).toHaveLength(1);
    expect((await vendor.api.get(`/licenses/${license.id}`)).body.data.machineCount).toBe(1);
  });

  it('holds the sum of cores as exactly as the seats', async () => {
    const license = await vendor.licenseUnder({ maxMachines: 100, maxCores: 10 });
    const replies = await activateAll(
      license,
      Array.from({ length: 40 }, (_, index) => `fingerprint-${index}`),
    );
    expect(count(replies, 201)).toBe(2);
    expect(count(replies, 422, 'CORE_LIMIT_EXCEEDED')).toBe(38);
  });

  it('frees a seat once, however often a machine is deactivated at once', async () => {
    const license = await vendor.licenseUnder({ maxMachines: 2 });
    const machine = await vendor.activate(license, 'fingerprint-a');
    await vendor.activate(license, 'fingerprint-b');
    const replies = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        vendor
          .through(servers[index % 2]!.url)
          .app(license)
          .delete(`/machines/${machine.id}`),
      ),
    );
    expect(count(replies, 204)).toBe(1);
    expect(count(replies, 404)).toBe(19);
    expect((await vendor.api.get(`/licenses/${license.id}`)).body.data.machineCount).toBe(1);
  });

  it('never leaves a license under a product or policy that was deleted at the same moment', async () => {
    for (let round = 0; round < 10; round += 1) {
      const policy = await vendor.policy();
      const [created, policyGone] = await Promise.all([
        vendor.api.post('/licenses', { productId: policy.productId, policyId: policy.id }),
        vendor.through(servers[1]!.url).api.delete(`/policies/${policy.id}`),
      ]);
      expect([created.status, policyGone.status]).toEqual(created.status === 201 ? [201, 422] : [404, 204]);
    }
  });
});
