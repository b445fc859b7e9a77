import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import pg from 'pg';
import { Prisma } from '../src/generated/prisma/client.js';
import { type Client, withKey } from './support/client.js';
import { sharedServer } from './support/shared-server.js';
import { testDatabaseUrl } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

/** What happened to a license, and what it was at any time (contract: resources.md, "Licenses"). */

const server = sharedServer();
let vendor: Vendor;
let database: pg.Client;
beforeAll(async () => {
  database = new pg.Client({ connectionString: testDatabaseUrl() });
  await database.connect();
});
afterAll(async () => {
  await database.end();
});
beforeEach(async () => {
  vendor = await Vendor.signUp(server.url);
});

// Views are whatever the server says.
/* eslint-disable @typescript-eslint/no-explicit-any */
const get = async (api: Client, path: string): Promise<any> => expectStatus(await api.get(path), 200).body.data;
const at = (api: Client, { id }: { id: string }, time: Date): Promise<any> => get(api, `/licenses/${id}?at=${time.toISOString()}`);

/** A time that comes after what was done and before what is done next. */
async function moment(): Promise<Date> {
  const now = new Date();
  while (Date.now() <= now.getTime()) await delay(1);
  return now;
}

/** The last validation is known only as far as it still is the last. */
const comparable = (view: any): object => ({ ...view, lastValidatedAt: null });

async function makeTestClock(frozenAt: Date): Promise<string> {
  const id = randomUUID();
  await database.query(
    `INSERT INTO test_clock (id, environment_id, frozen_at, updated_at)
     SELECT $1, id, $2, now() FROM environment WHERE account_id = $3 AND name = 'test'`,
    [id, frozenAt, vendor.account.id],
  );
  return id;
}

interface Scene {
  api: Client;
  license: any;
  policy: any;
}

/** What can be done to a license, its machines and its policy; what its state does not allow changes nothing. */
const actions: Record<string, (scene: Scene) => Promise<unknown>> = {
  rename: ({ api, license }) => api.patch(`/licenses/${license.id}`, { name: randomUUID(), metadata: { n: 1, s: null, t: 'x' } }),
  'set its limits': ({ api, license }) =>
    api.patch(`/licenses/${license.id}`, { maxMachinesOverride: 9, maxUsesOverride: 5, allowedVersions: '>=1' }),
  'let it expire': ({ api, license }) => api.patch(`/licenses/${license.id}`, { expiresAt: '2020-01-31T00:00:00.000Z' }),
  renew: ({ api, license }) => api.post(`/licenses/${license.id}/renew`),
  suspend: ({ api, license }) => api.post(`/licenses/${license.id}/suspend`),
  reinstate: ({ api, license }) => api.post(`/licenses/${license.id}/reinstate`),
  ban: ({ api, license }) => api.post(`/licenses/${license.id}/ban`),
  unban: ({ api, license }) => api.post(`/licenses/${license.id}/unban`),
  'check in': ({ api, license }) => api.post(`/licenses/${license.id}/check-in`),
  attach: ({ api, license }) => api.post(`/licenses/${license.id}/entitlements`, { codes: ['own', 'both'] }),
  'attach with terms': ({ api, license }) =>
    api.post(`/licenses/${license.id}/entitlements`, { codes: ['own'], quantity: 5, expiresAt: '2098-01-01T00:00:00.000Z' }),
  detach: ({ api, license }) => api.delete(`/licenses/${license.id}/entitlements/own`),
  use: ({ license }) => vendor.validate(license, { increment: 1 }),
  activate: ({ api, license }) => api.post('/machines', { licenseId: license.id, fingerprint: randomUUID(), cores: 2 }),
  deactivate: async ({ api, license }) => {
    const [machine] = await get(api, `/machines?licenseId=${license.id}`);
    if (machine !== undefined) await api.delete(`/machines/${machine.id}`);
  },
};
const policyActions: typeof actions = {
  'give grace': ({ api, policy }) => api.patch(`/policies/${policy.id}`, { gracePeriodDays: 36_500 }),
  'allow what is expired': ({ api, policy }) =>
    api.patch(`/policies/${policy.id}`, { gracePeriodDays: 0, expirationStrategy: 'ALLOW_ACCESS' }),
  'revoke what expires': ({ api, policy }) => api.patch(`/policies/${policy.id}`, { gracePeriodDays: 0, expirationStrategy: 'REVOKE' }),
  'require check-ins': ({ api, policy }) => api.patch(`/policies/${policy.id}`, { requireCheckIn: true, checkInIntervalDays: 3 }),
  'require none': ({ api, policy }) => api.patch(`/policies/${policy.id}`, { requireCheckIn: false }),
  inherit: ({ api, policy }) => api.post(`/policies/${policy.id}/entitlements`, { codes: ['both', 'inherited'] }),
  disinherit: ({ api, policy }) => api.delete(`/policies/${policy.id}/entitlements/both`),
  'forget an entitlement': async ({ api }) => {
    const [own] = await get(api, '/entitlements?code=own');
    expectStatus(await api.delete(`/entitlements/${own.id}`), 204);
    await vendor.entitlement('own', api);
  },
};

async function makeScene(api: Client, fields: object): Promise<Scene> {
  for (const code of ['own', 'both', 'inherited']) {
    if ((await get(api, `/entitlements?code=${code}`)).length === 0) await vendor.entitlement(code, api);
  }
  const policy = await vendor.policy({ maxMachines: 5, durationDays: 30, requireFingerprint: false }, api);
  return { api, policy, license: await vendor.license({ productId: policy.productId, policyId: policy.id, ...fields }, api) };
}

describe('a license as it was', () => {
  it('is what it was then, whatever was done to it and to its policy since', async () => {
    const all = { ...actions, ...policyActions };
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom(...Object.keys(all)), { minLength: 14, maxLength: 14 }), async (walk) => {
        const scene = await makeScene(vendor.api, {});
        const seen: { time: Date; view: any }[] = [];
        for (const step of ['', ...walk]) {
          await all[step]?.(scene);
          seen.push({ view: await get(scene.api, `/licenses/${scene.license.id}`), time: await moment() });
        }
        for (const { time, view } of seen) expect(comparable(await at(scene.api, scene.license, time))).toEqual(comparable(view));
      }),
      { numRuns: 4, endOnFailure: true },
    );
  });

  it('is so by the time of its test clock', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom(...Object.keys(actions)), { minLength: 8, maxLength: 8 }), async (walk) => {
        let now = new Date('2031-01-31T12:00:00.000Z');
        const testClockId = await makeTestClock(now);
        const scene = await makeScene(vendor.testApi, { testClockId });
        const seen: { time: Date; view: any }[] = [];
        for (const step of ['', ...walk]) {
          await actions[step]?.(scene);
          seen.push({ view: await get(scene.api, `/licenses/${scene.license.id}`), time: now });
          now = new Date(now.getTime() + 7 * 86_400_000);
          await database.query('UPDATE test_clock SET frozen_at = $2 WHERE id = $1', [testClockId, now]);
        }
        for (const { time, view } of seen) {
          expect(comparable(await at(scene.api, scene.license, time))).toEqual(comparable(view));
          // Until the clock is turned nothing else happens by it.
          const later = await at(scene.api, scene.license, new Date(time.getTime() + 1000));
          expect({ ...later, status: view.status }).toEqual(
            expect.objectContaining({ name: view.name, updatedAt: view.updatedAt, usesCount: view.usesCount }),
          );
        }
        const refusal = await scene.api.get(`/licenses/${scene.license.id}?at=${new Date(now.getTime() + 1).toISOString()}`);
        expect([refusal.status, refusal.body.details.issues[0].path]).toEqual([400, 'at']);
      }),
      { numRuns: 2, endOnFailure: true },
    );
  });

  it('begins with its creation, ends with the present, and is what it became at the time of a change itself', async () => {
    const { api, license } = await makeScene(vendor.api, { name: 'old' });
    expect((await at(api, license, new Date(license.createdAt))).name).toBe('old');
    await moment();
    const renamed = expectStatus(await api.patch(`/licenses/${license.id}`, { name: 'new' }), 200).body.data;
    expect((await at(api, license, new Date(renamed.updatedAt))).name).toBe('new');
    expect((await at(api, license, new Date(Date.parse(renamed.updatedAt) - 1))).name).toBe('old');
    const before = new Date(Date.parse(license.createdAt) - 1).toISOString();
    const [early, unknown] = [
      await api.get(`/licenses/${license.id}?at=${before}`),
      await api.get(`/licenses/${randomUUID()}?at=${before}`),
    ];
    expect([early.status, early.body.detail]).toEqual([404, unknown.body.detail]);
    const future = await api.get(`/licenses/${license.id}?at=${new Date(Date.now() + 60_000).toISOString()}`);
    expect([future.status, future.body.details.issues[0].path]).toEqual([400, 'at']);
    expect((await api.get(`/licenses/${license.id}?at=yesterday`)).status).toBe(400);
    expectStatus(await api.delete(`/licenses/${license.id}`), 204);
    expect((await api.get(`/licenses/${license.id}?at=${renamed.updatedAt}`)).status).toBe(404);
  });

  it('is of its time where two servers do not agree what time it is', async () => {
    const { api, license } = await makeScene(vendor.api, { name: 'first' });
    const time = await moment();
    await moment();
    expectStatus(await api.patch(`/licenses/${license.id}`, { name: 'second' }), 200);
    // The next change is one of a server that is behind.
    await database.query('UPDATE license SET name = $2, updated_at = $3 WHERE id = $1', [
      license.id,
      'third',
      new Date(time.getTime() + 1),
    ]);
    expect((await at(api, license, time)).name).toBe('first');
    expect((await at(api, license, await moment())).name).toBe('third');
    const policy = await vendor.policy({ maxUses: 1 });
    expectStatus(await api.patch(`/policies/${policy.id}`, { maxUses: 2 }), 200);
    await database.query('UPDATE policy SET max_uses = 3, updated_at = created_at WHERE id = $1', [policy.id]);
    const { rows } = await database.query<{ until: Date }>('SELECT until FROM former_state WHERE owner_id = $1 ORDER BY id', [policy.id]);
    expect(rows[1]!.until.getTime()).toBeGreaterThanOrEqual(rows[0]!.until.getTime());
  });

  it('has its key only while that was the present one, and its last validation only while that was the last', async () => {
    const { api, license } = await makeScene(vendor.api, {});
    const before = await moment();
    // As a rotation does; the sealed key stands for the new one.
    await database.query(`UPDATE license SET key_digest = sha256(key_digest), updated_at = now() WHERE id = $1`, [license.id]);
    const after = await moment();
    await database.query('UPDATE license SET last_validated_at = $2 WHERE id = $1', [license.id, after]);
    expectStatus(await api.patch(`/licenses/${license.id}`, { name: 'later' }), 200);
    expect(await at(api, license, before)).toMatchObject({ key: null, lastValidatedAt: null });
    expect(await at(api, license, after)).toMatchObject({ key: license.key, lastValidatedAt: after.toISOString(), name: null });
  });

  it('knows on a clock only what it was on that clock', async () => {
    const { api, license } = await makeScene(vendor.testApi, { name: 'without' });
    const frozenAt = new Date(Date.now() + 86_400_000);
    expectStatus(await api.patch(`/licenses/${license.id}`, { testClockId: await makeTestClock(frozenAt), name: 'with' }), 200);
    expect(await at(api, license, new Date(license.createdAt))).toMatchObject({ name: 'with' });
    expectStatus(await api.patch(`/licenses/${license.id}`, { name: 'later' }), 200);
    expect(await at(api, license, new Date(frozenAt.getTime() - 1))).toMatchObject({ name: 'with' });
    expect(await at(api, license, frozenAt)).toMatchObject({ name: 'later' });
  });

  it('is kept whole: every column but the key and what says nothing of it', async () => {
    const { api, license, policy } = await makeScene(vendor.api, {});
    expectStatus(await api.patch(`/licenses/${license.id}`, { name: 'other' }), 200);
    expectStatus(await api.patch(`/policies/${policy.id}`, { name: 'other' }), 200);
    const keysOf = async (id: string): Promise<string[]> => {
      const { rows } = await database.query<{ state: object }>('SELECT state FROM former_state WHERE owner_id = $1', [id]);
      return Object.keys(rows[0]!.state).sort();
    };
    const columns = (fields: object): string[] =>
      Object.values(fields).map((field: string) => field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`));
    const apart = [
      'key_digest',
      'offline_digest',
      'key_sealed',
      'pepper_id',
      'last_validated_at',
      'expiring_announced_for',
      'expired_announced_for',
    ];
    expect(await keysOf(license.id)).toEqual(
      [...columns(Prisma.LicenseScalarFieldEnum).filter((column) => !apart.includes(column)), 'entitlements', 'key_mark'].sort(),
    );
    expect(await keysOf(policy.id)).toEqual([...columns(Prisma.PolicyScalarFieldEnum), 'entitlements'].sort());
  });

  it("is shown to who may see it now, and to its segment's key as to everyone", async () => {
    const reseller = withKey(server.url, expectStatus(await vendor.api.post('/api-keys', { name: 'a [segment]' }), 201).body.data.key);
    const own = await makeScene(reseller, { name: 'old' });
    const time = await moment();
    expectStatus(await reseller.patch(`/licenses/${own.license.id}`, { name: 'new' }), 200);
    expect((await at(reseller, own.license, time)).name).toBe('old');
    expect((await at(vendor.api, own.license, time)).name).toBe('old');
    const theirs = await makeScene(vendor.api, {});
    for (const path of [`/licenses/${theirs.license.id}?at=${time.toISOString()}`, `/licenses/${theirs.license.id}/history`]) {
      expect((await reseller.get(path)).status).toBe(404);
    }
  });
});

describe('the history of a license', () => {
  it('is its events and those of its machines, newest first, without its key', async () => {
    const { api, license } = await makeScene(vendor.api, {});
    const other = await makeScene(vendor.api, {});
    const machine = await vendor.activate(license, 'fingerprint-a');
    expectStatus(await api.post(`/licenses/${license.id}/suspend`), 200);
    expectStatus(await api.post(`/licenses/${license.id}/reinstate`), 200);
    expectStatus(await api.post(`/licenses/${license.id}/entitlements`, { codes: ['own'] }), 200);
    expectStatus(await api.delete(`/machines/${machine.id}`), 204);
    const reply = expectStatus(await api.get(`/licenses/${license.id}/history`), 200);
    const types = [
      'machine.deactivated',
      'entitlement.attached',
      'license.reinstated',
      'license.suspended',
      'machine.activated',
      'license.created',
    ];
    const events: any[] = reply.body.data;
    expect(events.map(({ type }) => type)).toEqual(types);
    expect(reply.text).not.toContain(license.key);
    expect(events[3]).toEqual({
      id: expect.any(String),
      type: 'license.suspended',
      createdAt: expect.any(String),
      occurredAt: events[3].createdAt,
      environment: 'live',
      data: {
        object: expect.objectContaining({ id: license.id, status: 'suspended' }),
        previous: expect.objectContaining({ status: 'active' }),
      },
      actor: { type: 'api_key', id: expect.any(String) },
      requestId: expect.any(String),
    });
    expect(events[4]).toMatchObject({ actor: { type: 'license', id: license.id }, data: { object: { id: machine.id } } });

    const filtered = async (type: string): Promise<string[]> =>
      (await get(api, `/licenses/${license.id}/history?type=${type}`)).map((event: { type: string }) => event.type);
    expect(await filtered('machine.*')).toEqual(['machine.deactivated', 'machine.activated']);
    expect(await filtered('license.suspended')).toEqual(['license.suspended']);
    expect(await filtered('usage.*')).toEqual([]);
    expect((await api.get(`/licenses/${license.id}/history?type=license.*,x`)).status).toBe(400);

    const paged: string[] = [];
    let cursor: string | null = null;
    do {
      const from: string = cursor === null ? '' : `&cursor=${cursor}`;
      const { body } = expectStatus(await api.get(`/licenses/${license.id}/history?limit=2${from}`), 200);
      paged.push(...body.data.map((event: { type: string }) => event.type));
      cursor = body.pagination.nextCursor;
    } while (cursor !== null);
    expect(paged).toEqual(types);
    expect((await get(api, `/licenses/${other.license.id}/history`)).map(({ type }: any) => type)).toEqual(['license.created']);

    const stranger = await Vendor.signUp(server.url);
    const unknown = await api.get(`/licenses/${randomUUID()}/history`);
    for (const client of [stranger.api, vendor.testApi]) {
      const refusal = await client.get(`/licenses/${license.id}/history`);
      expect([refusal.status, refusal.body.detail]).toEqual([404, unknown.body.detail]);
    }
    expectStatus(await api.delete(`/licenses/${license.id}`), 204);
    expect((await api.get(`/licenses/${license.id}/history`)).status).toBe(404);
  });

  it('has both times of what happens on a test clock', async () => {
    const frozenAt = '2031-05-01T00:00:00.000Z';
    const { api, license } = await makeScene(vendor.testApi, { testClockId: await makeTestClock(new Date(frozenAt)) });
    const [created] = await get(api, `/licenses/${license.id}/history`);
    expect(created).toMatchObject({ occurredAt: frozenAt, environment: 'test' });
    expect(Date.parse(created.createdAt)).toBeLessThan(Date.parse(frozenAt));
  });
});
