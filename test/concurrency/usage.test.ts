import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import type { Reply } from '../support/client.js';
import { ServerProcess } from '../support/server.js';
import { testDatabaseUrl, testEnvironment } from '../support/settings.js';
import { expectStatus, Vendor } from '../support/vendor.js';

/** Two server processes on one database: the counter is held by one statement, and contention reaches nobody. */
describe('uses, from two server processes at once', () => {
  let servers: ServerProcess[];
  let database: pg.Client;
  let vendor: Vendor;

  beforeAll(async () => {
    servers = await Promise.all([ServerProcess.start(testEnvironment()), ServerProcess.start(testEnvironment())]);
    database = new pg.Client({ connectionString: testDatabaseUrl() });
    await database.connect();
  });
  afterAll(async () => {
    await database.end();
    await Promise.all(servers.map((server) => server.stop()));
  });
  beforeEach(async () => {
    vendor = await Vendor.signUp(servers[0]!.url);
  });

  const countAll = (license: { id: string }, increments: number[]): Promise<Reply[]> =>
    Promise.all(
      increments.map((increment, index) =>
        vendor.through(servers[index % servers.length]!.url).api.post(`/licenses/${license.id}/usage`, { increment }),
      ),
    );
  /** How many answers were what: `200`, or a status with its code. */
  const tally = (replies: Reply[]): Record<string, number> => {
    const counts: Record<string, number> = {};
    for (const { status, body } of replies) {
      const outcome = status === 200 ? '200' : `${String(status)} ${body.code}`;
      counts[outcome] = (counts[outcome] ?? 0) + 1;
    }
    return counts;
  };
  const usesOf = async (license: { id: string }): Promise<number> => (await vendor.api.get(`/licenses/${license.id}`)).body.data.usesCount;
  const eventsOf = async (license: { id: string }, type: string) =>
    (
      await database.query<{ data: { previous: Record<string, unknown> } }>('SELECT data FROM event WHERE license_id = $1 AND type = $2', [
        license.id,
        type,
      ])
    ).rows.map(({ data }) => data.previous);

  it('never pass the limit and lose none: every answer of success is counted, and every count is told of', async () => {
    const license = await vendor.licenseUnder({ maxUses: 60 });
    const replies = await countAll(license, Array<number>(100).fill(1));
    expect(tally(replies)).toEqual({ '200': 60, '422 USES_EXCEEDED': 40 });
    expect(await usesOf(license)).toBe(60);
    const told = (await eventsOf(license, 'usage.incremented')).map(({ usesCount }) => usesCount as number);
    expect(told.sort((one, other) => one - other)).toEqual(Array.from({ length: 60 }, (_, index) => index));
    const answered = replies.filter(({ status }) => status === 200).map(({ body }) => body.data.usesCount as number);
    expect(new Set(answered).size).toBe(60);
  });

  it('never fall below zero, and end where the answers say', async () => {
    const license = await vendor.licenseUnder({ maxUses: 10 });
    expectStatus((await countAll(license, [5]))[0]!, 200);
    const increments = Array.from({ length: 60 }, (_, index) => [3, -4, 1, -2][index % 4]!);
    const replies = await countAll(license, increments);
    expect(Object.keys(tally(replies)).filter((outcome) => !/^200$|^422 USES_(EXCEEDED|BELOW_ZERO)$/.test(outcome))).toEqual([]);
    const counted = increments.filter((_, index) => replies[index]?.status === 200).reduce((sum, one) => sum + one, 5);
    expect(await usesOf(license)).toBe(counted);
    expect(counted).toBeGreaterThanOrEqual(0);
    expect(counted).toBeLessThanOrEqual(10);
  });

  it('go on while the license moves between policies, by the limit of whichever it follows', async () => {
    const license = await vendor.licenseUnder({ maxUses: 1000 });
    const other = await vendor.policy({ maxUses: 1000 });
    const transfers = async (): Promise<Reply[]> => {
      const replies: Reply[] = [];
      for (const policyId of [other.id, license.policyId, other.id, license.policyId, other.id])
        replies.push(await vendor.api.post(`/licenses/${license.id}/transfer`, { policyId }));
      return replies;
    };
    const [moved, counted] = await Promise.all([transfers(), countAll(license, Array<number>(60).fill(1))]);
    expect([tally(moved), tally(counted)]).toEqual([{ '200': 5 }, { '200': 60 }]);
    expect(await usesOf(license)).toBe(60);
  });

  it('begin the term of a license once', async () => {
    const license = await vendor.licenseUnder({ durationDays: 30, expirationBasis: 'FROM_FIRST_USE' });
    const replies = await countAll(license, Array<number>(50).fill(1));
    expect(tally(replies)).toEqual({ '200': 50 });
    expect(new Set(replies.map(({ body }) => body.data.expiresAt as string)).size).toBe(1);
    expect(await eventsOf(license, 'license.updated')).toMatchObject([{ expiresAt: null, clockPending: true }]);
  });
});
