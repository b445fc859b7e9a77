import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { setTimeout as wait } from 'node:timers/promises';
import pg from 'pg';
import type { Running } from '../src/boot.js';
import { ExpiryWorker } from '../src/licenses/expiry.worker.js';
import { ServerProcess, startServer } from './support/server.js';
import { testDatabaseUrl, testEnvironment } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

/** In real time, what expires is announced: once for each expiry, by whichever server (contract: webhooks.md, "Events"). */

const DAY_MS = 86_400_000;
const fromNow = (days: number): string => new Date(Date.now() + days * DAY_MS).toISOString();
const JUST_NOW = -1 / 86_400;

describe('expiries in real time', () => {
  let server: Running;
  let database: pg.Client;
  let vendor: Vendor;

  beforeAll(async () => {
    server = await startServer();
    database = new pg.Client({ connectionString: testDatabaseUrl() });
    await database.connect();
    vendor = await Vendor.signUp(server.url);
  });
  afterAll(async () => {
    await database.end();
    await server.stop();
  });

  async function eventsOf(...licenses: { id: string }[]): Promise<string[]> {
    const { rows } = await database.query<{ type: string }>(
      "SELECT type FROM event WHERE license_id = ANY($1) AND type IN ('license.expiring', 'license.expired', 'license.revoked') ORDER BY id",
      [licenses.map(({ id }) => id)],
    );
    return rows.map(({ type }) => type);
  }

  /** Until there are as many: another server of this run may be the one that announces. */
  async function sweepUntil(count: number, ...licenses: { id: string }[]): Promise<string[]> {
    for (;;) {
      await server.app.get(ExpiryWorker).sweep();
      const events = await eventsOf(...licenses);
      if (events.length >= count) return events;
      await wait(50);
    }
  }

  /** A round that has found everything: an expiry made for it was announced. */
  async function sweepAll(): Promise<void> {
    await sweepUntil(1, await vendor.licenseUnder({}, { expiresAt: fromNow(2) }));
  }

  const licenseThatExpired = async (rules: object = {}) => {
    const license = await vendor.licenseUnder({ durationDays: 1, ...rules });
    return expectStatus(await vendor.api.patch(`/licenses/${license.id}`, { expiresAt: fromNow(JUST_NOW) }), 200).body.data;
  };

  it('are announced once, by two servers at once', async () => {
    const rules = await vendor.policy({ durationDays: 30 });
    const licenses = await Promise.all(
      Array.from({ length: 12 }, async () => {
        const { id } = await vendor.license({ productId: rules.productId, policyId: rules.id });
        return expectStatus(await vendor.api.patch(`/licenses/${id}`, { expiresAt: fromNow(JUST_NOW) }), 200).body.data;
      }),
    );
    const servers = await Promise.all([ServerProcess.start(testEnvironment()), ServerProcess.start(testEnvironment())]);
    expect(await sweepUntil(12, ...licenses)).toHaveLength(12);
    await sweepAll();
    expect(await eventsOf(...licenses)).toEqual(Array.from({ length: 12 }, () => 'license.expired'));
    expect(await Promise.all(servers.map((one) => one.stop()))).toEqual([0, 0]);
  });

  it('are announced anew after a renewal', async () => {
    const license = await licenseThatExpired();
    await sweepUntil(1, license);
    expectStatus(await vendor.api.post(`/licenses/${license.id}/renew`), 200);
    expect(await sweepUntil(2, license)).toEqual(['license.expired', 'license.expiring']);
    expectStatus(await vendor.api.patch(`/licenses/${license.id}`, { expiresAt: fromNow(JUST_NOW) }), 200);
    expect(await sweepUntil(3, license)).toEqual(['license.expired', 'license.expiring', 'license.expired']);
    const { rows } = await database.query<{ status: string; actor_type: string; occurred_at: Date | null }>(
      "SELECT data->'object'->>'status' AS status, actor_type, occurred_at FROM event WHERE license_id = $1 AND type = 'license.expired'",
      [license.id],
    );
    expect(rows).toEqual([1, 2].map(() => ({ status: 'expired', actor_type: 'system', occurred_at: null })));
  });

  it('are no news before their time: in the grace, far ahead, on a test clock, taken over as expired', async () => {
    const clock = expectStatus(await vendor.testApi.post('/test-clocks', { frozenAt: fromNow(-10) }), 201).body.data;
    const quiet = [
      await licenseThatExpired({ gracePeriodDays: 1 }),
      await vendor.licenseUnder({}, { expiresAt: fromNow(3.1) }),
      await vendor.licenseUnder({}, { expiresAt: fromNow(-5) }),
      await vendor.licenseUnder({}, { expiresAt: fromNow(-5), testClockId: clock.id }, vendor.testApi),
      await vendor.licenseUnder({}),
    ];
    await sweepAll();
    expect(await eventsOf(...quiet)).toEqual([]);
    expectStatus(await vendor.api.patch(`/policies/${quiet[0].policyId}`, { gracePeriodDays: 0 }), 200);
    expect(await sweepUntil(1, quiet[0])).toEqual(['license.expired']);
  });

  it('of suspended licenses are announced when that is lifted, of those that are revoked by it at once', async () => {
    const make = async (rules: object) => {
      const license = await vendor.licenseUnder({ durationDays: 30, ...rules });
      expectStatus(await vendor.api.post(`/licenses/${license.id}/suspend`), 200);
      return expectStatus(await vendor.api.patch(`/licenses/${license.id}`, { expiresAt: fromNow(JUST_NOW) }), 200).body.data;
    };
    const [suspended, revoked] = [await make({}), await make({ expirationStrategy: 'REVOKE' })];
    expect(await sweepUntil(2, revoked)).toEqual(['license.expired', 'license.revoked']);
    await sweepAll();
    expect(await eventsOf(suspended)).toEqual([]);
    expectStatus(await vendor.api.post(`/licenses/${suspended.id}/reinstate`), 200);
    expect(await sweepUntil(1, suspended)).toEqual(['license.expired']);
  });
});
