import { beforeEach, describe, expect, it } from '@jest/globals';
import { v7 as uuidv7 } from 'uuid';
import type { Reply } from './support/client.js';
import { sharedServer } from './support/shared-server.js';
import { expectStatus, Vendor } from './support/vendor.js';

/** Many licenses at once: all of them or none (contract: resources.md, "Licenses"). */
describe('bulk creation', () => {
  const server = sharedServer();
  let vendor: Vendor;
  let ids: { productId: string; policyId: string };
  beforeEach(async () => {
    vendor = await Vendor.signUp(server.url);
    const policy = await vendor.policy({ durationDays: 30 });
    ids = { productId: policy.productId, policyId: policy.id };
  });

  const bulk = (licenses: object[]): Promise<Reply> => vendor.api.post('/licenses/bulk', { licenses });
  const count = async (): Promise<number> => (await vendor.api.get(`/products/${ids.productId}`)).body.data.licensesCount;

  it('makes what as many single requests would make, in their order', async () => {
    await vendor.entitlement('pro');
    const other = await vendor.policy();
    const fields = [
      { ...ids, name: 'first', key: `KEY-${uuidv7()}` },
      { productId: other.productId.toUpperCase(), policyId: other.id.toUpperCase(), entitlements: ['pro'], metadata: { seat: 1 } },
      { ...ids, expiresAt: null, maxMachinesOverride: 3 },
    ];
    const { data } = expectStatus(await bulk(fields), 201).body;
    const withoutTimes = (view: object): object => ({ ...view, id: 0, key: 0, createdAt: 0, updatedAt: 0, expiresAt: 0 });
    for (const [index, body] of fields.entries()) {
      const single = await vendor.license({ ...body, ...('key' in body ? { key: `KEY-${uuidv7()}` } : {}) });
      expect(withoutTimes(data[index])).toEqual(withoutTimes(single));
      expect((await vendor.api.get(`/licenses/${data[index].id}`)).body.data).toEqual(data[index]);
    }
    expect(await vendor.validate(data[1])).toMatchObject({ license: { id: data[1].id } });
    expect(await count()).toBe(4);
  });

  it('makes a thousand in one request, and records each', async () => {
    const startedAt = performance.now();
    const { data } = expectStatus(await bulk(Array.from({ length: 1000 }, (_, index) => ({ ...ids, name: `license ${index}` }))), 201).body;
    process.stdout.write(`1,000 licenses in ${Math.round(performance.now() - startedAt)} ms\n`);
    expect(data.map(({ name }: { name: string }) => name)).toEqual(Array.from({ length: 1000 }, (_, index) => `license ${index}`));
    expect(new Set(data.map(({ key }: { key: string }) => key)).size).toBe(1000);
    expect(await count()).toBe(1000);
    const entries = await vendor.api.get(`/audit-logs?resource=license:${data[999].id}`);
    expect(entries.body.data.map(({ action }: { action: string }) => action)).toEqual(['license.created']);
    const over = await bulk(Array.from({ length: 1001 }, () => ids));
    expect([over.status, over.body.details.issues]).toEqual([400, [{ path: 'licenses', message: 'must have at most 1000 items' }]]);
  });

  it('names everything that is wrong, and makes none', async () => {
    const reply = await bulk([ids, { policyId: 'x' }, ids, { ...ids, nam: 'x', metadata: { a: [] }, entitlements: [''] }]);
    expect([reply.status, reply.body.details.issues.map(({ path }: { path: string }) => path).sort()]).toEqual([
      400,
      ['licenses[1].policyId', 'licenses[1].productId', 'licenses[3].entitlements', 'licenses[3].metadata', 'licenses[3].nam'],
    ]);
    const generated = (await vendor.license(ids)).key;
    const other = await vendor.policy();
    const foreign = await bulk([ids, { ...ids, key: generated }, { ...ids, policyId: other.id }]);
    expect(foreign.body.details.issues).toEqual([
      { path: 'licenses[1].key', message: 'must not look like a generated key' },
      { path: 'licenses[2].policyId', message: 'must be a policy of the product' },
    ]);
    expect(await count()).toBe(1);
  });

  it('names the reference that is unknown, and the key that is taken: by others, in the same request, or meanwhile', async () => {
    const key = `KEY-${uuidv7()}`;
    await vendor.license({ ...ids, key });
    for (const [license, status, field] of [
      [{ ...ids, productId: uuidv7() }, 404, 'licenses[3].productId'],
      [{ ...ids, policyId: uuidv7() }, 404, 'licenses[3].policyId'],
      [{ ...ids, testClockId: uuidv7() }, 404, 'licenses[3].testClockId'],
      [{ ...ids, entitlements: ['nothing'] }, 404, 'licenses[3].entitlements[0]'],
      [{ ...ids, key }, 409, 'licenses[3].key'],
      [{ ...ids, key: 'TWICE-IN-ONE-REQUEST' }, 409, 'licenses[3].key'],
    ] as const) {
      const reply = await bulk([ids, { ...ids, key: 'TWICE-IN-ONE-REQUEST' }, ids, license]);
      expect([reply.status, reply.body.details]).toEqual([status, { field }]);
    }
    expect(await count()).toBe(1);
    // What a license says, and the keys that are generated beside it, must not decide in which order keys are taken.
    for (const round of [1, 2, 3, 4, 5]) {
      const [first, second] = [`A-${round}-${key}`, `B-${round}-${key}`];
      const racing = await Promise.all(
        Array.from({ length: 6 }, () => bulk([ids, { ...ids, key: first, name: 'named' }, { ...ids, key: second }])),
      );
      expect(racing.map(({ status }) => status).sort()).toEqual([201, 409, 409, 409, 409, 409]);
      expect(await count()).toBe(1 + 3 * round);
    }
  });

  it('takes 4 MiB, and no other route takes as much', async () => {
    const metadata = { text: 'x'.repeat(4000) };
    expect((await bulk(Array.from({ length: 900 }, () => ({ ...ids, metadata })))).status).toBe(201);
    const raw = JSON.stringify({ licenses: [{ ...ids, name: 'x'.repeat(4 * 1024 * 1024) }] });
    for (const path of ['/licenses/bulk', '/licenses/bulk/', '/Licenses/Bulk']) {
      const reply = await vendor.api.call('POST', path, { raw });
      expect([reply.status, reply.body.code, reply.body.message]).toEqual([413, 'PAYLOAD_TOO_LARGE', 'The body is larger than 4 MiB.']);
    }
    const single = await vendor.api.post('/licenses', { ...ids, name: 'x'.repeat(300_000) });
    expect([single.status, single.body.message]).toEqual([413, 'The body is larger than 256 KiB.']);
  });
});
