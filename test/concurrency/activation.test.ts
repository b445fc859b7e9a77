import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import type { Reply } from '../support/client.js';
import { ServerProcess } from '../support/server.js';
import { testDatabaseUrl, testEnvironment } from '../support/settings.js';
import { expectStatus, Vendor } from '../support/vendor.js';
import { isWholeRun } from '../support/whole-run.js';

/** Machines that want the same few seats. */
const MANY = isWholeRun ? 10_000 : 3000;
/** Requests that are on their way at once: more only wait in the client. */
const IN_FLIGHT = 64;

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

  const through = (index: number): Vendor => vendor.through(servers[index % servers.length]!.url);
  const fingerprints = (count: number): string[] => Array.from({ length: count }, (_, index) => `fingerprint-${index}`);
  const machineCountOf = async (license: { id: string }): Promise<number> =>
    (await vendor.api.get(`/licenses/${license.id}`)).body.data.machineCount;

  it(`gives out exactly 5 seats to ${MANY} machines, and counts them right`, async () => {
    const license = await vendor.licenseUnder({ maxMachines: 5 });
    const replies = await inFlight(fingerprints(MANY), (fingerprint, index) =>
      fetch(`${servers[index % servers.length]!.url}/api/v1/machines`, {
        method: 'POST',
        headers: { authorization: `License ${license.key}`, 'content-type': 'application/json' },
        body: JSON.stringify({ fingerprint }),
      }).then(async (reply) => `${reply.status} ${((await reply.json()) as { code?: string }).code ?? ''}`.trim()),
    );
    expect(counted(replies)).toEqual({ '201': 5, '422 MACHINE_LIMIT_EXCEEDED': MANY - 5 });
    expect(await machinesOf(license)).toHaveLength(5);
    expect(await machineCountOf(license)).toBe(5);
  }, 120_000);

  describe('where a fingerprint is unique in the account', () => {
    it('lets exactly one of 100 licenses have it, however many ask at once', async () => {
      const policy = await vendor.policy({ fingerprintUniqueness: 'PER_ACCOUNT' });
      const { productId, id: policyId } = policy;
      const made = expectStatus(await vendor.api.post('/licenses/bulk', { licenses: Array(100).fill({ productId, policyId }) }), 201);
      const licenses: { id: string; key: string }[] = made.body.data;
      const replies = await Promise.all(
        licenses.map((license, index) => through(index).app(license).post('/machines', { fingerprint: 'one-for-all' })),
      );
      expect([count(replies, 201), count(replies, 422, 'FINGERPRINT_TAKEN')]).toEqual([1, 99]);
      expect((await vendor.api.get('/machines?fingerprint=one-for-all')).body.data).toHaveLength(1);
    });
  });

  describe('where machines may be replaced', () => {
    it('lets exactly one of 100 successors have the seat of a machine', async () => {
      const license = await vendor.licenseUnder({ maxMachines: 2, allowMachineTransfer: true });
      const [replaced, stays] = [await vendor.activate(license, 'machine-replaced'), await vendor.activate(license, 'machine-stays')];
      const replies = await Promise.all(
        fingerprints(100).map((fingerprint, index) =>
          through(index).app(license).post('/machines', { fingerprint, replaces: replaced.id }),
        ),
      );
      expect([count(replies, 201), count(replies, 404)]).toEqual([1, 99]);
      const successor = replies.find(({ status }) => status === 201)!.body.data;
      expect((await machinesOf(license)).map(({ id }) => id).sort()).toEqual([stays.id, successor.id].sort());
      expect(await machineCountOf(license)).toBe(2);
    });
  });

  describe('where seats are leases', () => {
    it('lets exactly as many take over as there are dead machines', async () => {
      const rules = {
        floating: true,
        requireHeartbeat: true,
        heartbeatIntervalMinutes: 10,
        heartbeatCullStrategy: 'KEEP_DEAD',
        maxMachines: 2,
      };
      const license = await vendor.licenseUnder(rules);
      const dead = [await vendor.activate(license, 'dead-a-machine'), await vendor.activate(license, 'dead-b-machine')];
      await aged(dead, 11);
      const replies = await activateAll(license, fingerprints(50));
      expect([count(replies, 201), count(replies, 422, 'MACHINE_LIMIT_EXCEEDED')]).toEqual([2, 48]);
      const taken = replies.filter(({ status }) => status === 201).map(({ body }) => body.data.id);
      expect((await machinesOf(license)).map(({ id }) => id).sort()).toEqual(taken.sort());
      expect(await machineCountOf(license)).toBe(2);
    });
  });
});

/** What each item came to, no more than IN_FLIGHT at a time. */
async function inFlight<Item, Result>(items: readonly Item[], work: (item: Item, index: number) => Promise<Result>): Promise<Result[]> {
  const results: Result[] = [];
  const waiting = items.entries();
  const takeTurns = async (): Promise<void> => {
    for (const [index, item] of waiting) results[index] = await work(item, index);
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, takeTurns));
  return results;
}

function counted(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

/** As if everything about the machines had happened so much earlier. */
async function aged(machines: { id: string }[], minutes: number): Promise<void> {
  const database = new pg.Client({ connectionString: testDatabaseUrl() });
  await database.connect();
  await database.query('UPDATE machine_pulse SET activated_at = activated_at - make_interval(mins => $2) WHERE machine_id = ANY($1)', [
    machines.map(({ id }) => id),
    minutes,
  ]);
  await database.end();
}
