import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { ServerProcess } from '../support/server.js';
import { testEnvironment } from '../support/settings.js';
import { expectStatus, Vendor } from '../support/vendor.js';

/** Two server processes on one database: no lock inside a process can make this pass. */
let servers: ServerProcess[];
beforeAll(async () => {
  servers = await Promise.all([ServerProcess.start(testEnvironment()), ServerProcess.start(testEnvironment())]);
});
afterAll(async () => {
  await Promise.all(servers.map((server) => server.stop()));
});

it('never gives out more process leases than the policy allows, however many processes start at once', async () => {
  const vendor = await Vendor.signUp(servers[0]!.url);
  const license = await vendor.licenseUnder({ maxMachines: 2, maxProcesses: 5 });
  const machines = [await vendor.activate(license, 'fingerprint-a'), await vendor.activate(license, 'fingerprint-b')];
  const listed = async () =>
    (await Promise.all(machines.map(({ id }) => vendor.api.get(`/machines/${id}/processes`)))).flatMap(({ body }) => body.data);
  const startAll = (length: number, pidOf: (index: number) => string) =>
    Promise.all(
      Array.from({ length }, (_, index) => {
        const { url } = servers[index % servers.length]!;
        const { id } = machines[(index >> 1) % machines.length]!;
        return vendor
          .through(url)
          .app(license)
          .post(`/machines/${id}/processes`, { pid: pidOf(index) });
      }),
    );
  const statuses = async (replies: Promise<{ status: number }[]>) => {
    const counted: Record<number, number> = {};
    for (const { status } of await replies) counted[status] = (counted[status] ?? 0) + 1;
    return counted;
  };
  expect(await statuses(startAll(200, (index) => `process-${index}`))).toEqual({ 201: 5, 422: 195 });
  expect(await listed()).toHaveLength(5);
  // One process that starts over and over has one lease on each machine.
  for (const { machineId, pid } of await listed()) expectStatus(await vendor.api.delete(`/machines/${machineId}/processes/${pid}`), 204);
  expect(await statuses(startAll(40, () => 'one-and-the-same'))).toEqual({ 201: 2, 200: 38 });
  expect(await listed()).toHaveLength(2);
});
