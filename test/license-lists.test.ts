import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { MasterKey } from '../src/core/master-key.js';
import { licenseStatuses } from '../src/domain/license-state.js';
import { machineStatuses } from '../src/domain/heartbeat.js';
import type { Client } from './support/client.js';
import { sharedServer } from './support/shared-server.js';
import { testDatabaseUrl, testMasterKey } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

/** What lists of licenses and machines hold whatever their rows: tests turn time with test clocks, and write states straight into rows. */

const DAY_MS = 86_400_000;
const EPOCH = Date.UTC(2030, 0, 1);

const server = sharedServer();
let vendor: Vendor;
let database: pg.Client;
const masterKey = new MasterKey(Buffer.from(testMasterKey(), 'base64'));
beforeAll(async () => {
  database = new pg.Client({ connectionString: testDatabaseUrl() });
  await database.connect();
  vendor = await Vendor.signUp(server.url);
});
afterAll(async () => {
  await database.end();
});

interface Listed {
  id: string;
  status: string;
}

/** Every row of a list, page by page. */
async function walk<Row extends Listed>(
  api: Client,
  path: string,
  limit = 100,
  between: () => Promise<unknown> = () => Promise.resolve(),
): Promise<Row[]> {
  const rows: Row[] = [];
  let cursor: string | null = '';
  while (cursor !== null) {
    const { body } = expectStatus(await api.get(`${path}limit=${limit}${cursor === '' ? '' : `&cursor=${cursor}`}`), 200);
    rows.push(...(body.data as Row[]));
    cursor = body.pagination.nextCursor as string | null;
    await between();
  }
  return rows;
}

/** Another license like this one but for these columns, straight into the table: lists are asked about any state and time. */
async function plant(sample: { id: string }, columns: Record<string, unknown>): Promise<string> {
  const id = uuidv7();
  const own = { key_digest: createHash('sha256').update(id).digest(), key_sealed: masterKey.seal('ACME-0000', id), ...columns };
  const names = Object.keys(own);
  await database.query(
    `INSERT INTO license (id, environment_id, product_id, key_origin, pepper_id, updated_at, ${names.join(', ')})
     SELECT $2::uuid, environment_id, product_id, 'vendor', pepper_id, now(), ${names.map((_, index) => `$${index + 3}`).join(', ')}
       FROM license WHERE id = $1`,
    [sample.id, id, ...Object.values(own)],
  );
  return id;
}

async function turnedClock(frozenAt: Date): Promise<string> {
  const { rows } = await database.query<{ id: string }>(
    `INSERT INTO test_clock (id, environment_id, frozen_at, updated_at)
     SELECT $1, environment.id, $2, now() FROM environment WHERE account_id = $3 AND name = 'test' RETURNING id`,
    [uuidv7(), frozenAt, vendor.account.id],
  );
  return rows[0]?.id ?? '';
}

/** Every row is in the list of the status that it shows, and in no other. */
async function expectPartition(path: string, statuses: readonly string[]): Promise<void> {
  const everything = await walk<Listed>(vendor.testApi, `/${path}?`);
  for (const status of statuses) {
    const listed = await walk<Listed>(vendor.testApi, `/${path}?status=${status}&`);
    expect([status, listed.map(({ id }) => id)]).toEqual([status, everything.filter((one) => one.status === status).map(({ id }) => id)]);
    expect(listed.every((one) => one.status === status)).toBe(true);
  }
}

describe('status filters say what every row shows', () => {
  it('for licenses under any policy, in any state, at any instant of their clocks, the very ends of terms and graces among them', async () => {
    const policies = await Promise.all(
      [
        { expirationStrategy: 'RESTRICT_ACCESS', gracePeriodDays: 0 },
        { expirationStrategy: 'RESTRICT_ACCESS', gracePeriodDays: 3 },
        { expirationStrategy: 'ALLOW_ACCESS', gracePeriodDays: 3 },
        { expirationStrategy: 'ALLOW_ACCESS', gracePeriodDays: 7 },
        { expirationStrategy: 'REVOKE', gracePeriodDays: 0 },
      ].map((rules) => vendor.policy(rules, vendor.testApi)),
    );
    const instant = fc.constantFrom(...[0, 3, 7, 10].flatMap((days) => [-1, 0, 1].map((offsetMs) => EPOCH + days * DAY_MS + offsetMs)));
    const made = await vendor.license({ productId: policies[0].productId, policyId: policies[0].id }, vendor.testApi);
    const license = fc.record({
      policy: fc.constantFrom(...policies),
      expiresAt: fc.option(instant),
      clock: fc.nat({ max: 3 }),
      states: fc.subarray(['suspended_at', 'banned_at', 'revoked_at']),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(license, { minLength: 20, maxLength: 50 }),
        fc.tuple(instant, instant, instant),
        async (licenses, times) => {
          // The last of them are in real time, long before the clocks'.
          const clocks: (string | null)[] = [...(await Promise.all(times.map((time) => turnedClock(new Date(time))))), null];
          await database.query(
            `UPDATE license SET deleted_at = now() WHERE environment_id = (SELECT environment_id FROM license WHERE id = $1)`,
            [made.id],
          );
          for (const { policy, expiresAt, clock, states } of licenses) {
            await plant(made, {
              policy_id: policy.id,
              test_clock_id: clocks[clock],
              expires_at: expiresAt === null ? null : new Date(expiresAt),
              ...Object.fromEntries(states.map((state) => [state, new Date()])),
            });
          }
          await expectPartition('licenses', licenseStatuses);
        },
      ),
      { numRuns: 5 },
    );
  });

  it('for machines, which live in the time of their licenses', async () => {
    const clocks = await Promise.all([-1, 0, 1].map((offsetMs) => turnedClock(new Date(EPOCH + 10 * 60_000 + offsetMs))));
    for (const testClockId of [...clocks, null]) {
      for (const heartbeatBasis of ['FROM_ACTIVATION', 'FROM_FIRST_BEAT']) {
        const rules = {
          requireHeartbeat: true,
          heartbeatIntervalMinutes: 10,
          heartbeatBasis,
          heartbeatCullStrategy: 'KEEP_DEAD',
          maxMachines: 5,
        };
        const license = await vendor.licenseUnder(rules, { testClockId }, vendor.testApi);
        for (const beatenAt of [new Date(EPOCH), null]) {
          const machine = await vendor.activate(license, `fingerprint-${uuidv7()}`);
          await database.query('UPDATE machine_pulse SET activated_at = $2, last_heartbeat_at = $3 WHERE machine_id = $1', [
            machine.id,
            new Date(EPOCH),
            beatenAt,
          ]);
        }
      }
    }
    await expectPartition('machines', machineStatuses);
    const statuses = (await walk<Listed>(vendor.testApi, '/machines?')).map(({ status }) => status);
    expect(new Set(statuses)).toEqual(new Set(machineStatuses));
  });
});

describe('pages', () => {
  it.each(['createdAt', '-createdAt', 'expiresAt', '-expiresAt', 'lastValidatedAt', '-lastValidatedAt'])(
    'of sort=%s put together are the whole list, each license once, however many tie and however many come in between',
    async (sort) => {
      const lister = await Vendor.signUp(server.url);
      const policy = await lister.policy();
      const sold = await lister.license({ productId: policy.productId, policyId: policy.id });
      const field = sort.replace('-', '');
      const column = { createdAt: 'created_at', expiresAt: 'expires_at', lastValidatedAt: 'last_validated_at' }[field] ?? '';
      const times = field === 'createdAt' ? [0, 1] : [0, 1, 2, null, null];
      const add = (time: number | null): Promise<string> =>
        plant(sold, { policy_id: policy.id, [column]: time === null ? null : new Date(EPOCH + time) });
      const made = [sold.id];
      for (let index = 0; index < 40; index += 1) made.push(await add(times[(index * 7) % times.length] ?? null));
      let added = 0;
      const rows = await walk<Listed & Record<string, string | null>>(lister.api, `/licenses?sort=${sort}&`, 7, async () => {
        if ((added += 1) < 5) await add(times[added % times.length] ?? null);
      });
      const ids = rows.map(({ id }) => id);
      expect(new Set(ids).size).toBe(ids.length);
      expect(ids.filter((id) => made.includes(id)).sort()).toEqual([...made].sort());
      const sign = sort.startsWith('-') ? -1 : 1;
      const rank = (time: string | null | undefined): number => (time == null ? Infinity : sign * Date.parse(time));
      expect(rows.map((row) => rank(row[field]))).toEqual(rows.map((row) => rank(row[field])).sort((a, b) => a - b));
    },
  );
});
