import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { sharedServer } from './support/shared-server.js';
import { testDatabaseUrl } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

const DAY_MS = 86_400_000;
const daysFromNow = (days: number): string => new Date(Date.now() + days * DAY_MS).toISOString();

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

const act = (license: { id: string }, action: string, body?: object) => vendor.api.post(`/licenses/${license.id}/${action}`, body);
const reload = async (license: { id: string }) => expectStatus(await vendor.api.get(`/licenses/${license.id}`), 200).body.data;

describe('a license', () => {
  it('follows its policy live: a change of the policy is a change of the verdict', async () => {
    const license = await vendor.licenseUnder({ maxMachines: 2 });
    await vendor.activate(license, 'fingerprint-a');
    await vendor.activate(license, 'fingerprint-b');
    expect(await vendor.validate(license, { fingerprint: 'fingerprint-a' })).toMatchObject({ valid: true, code: 'VALID' });
    expectStatus(await vendor.api.patch(`/policies/${license.policyId}`, { maxMachines: 1 }), 200);
    expect(await vendor.validate(license, { fingerprint: 'fingerprint-a' })).toMatchObject({
      valid: false,
      code: 'MACHINE_LIMIT_EXCEEDED',
    });
    expectStatus(await vendor.api.patch(`/policies/${license.policyId}`, { overageStrategy: 'ALLOW_2X' }), 200);
    expect(await vendor.validate(license, { fingerprint: 'fingerprint-a' })).toMatchObject({
      valid: true,
      code: 'MACHINE_LIMIT_EXCEEDED',
      warnings: [{ code: 'MACHINE_LIMIT_EXCEEDED' }],
    });
  });

  it('moves between its states, and says which one stands in the way', async () => {
    const license = await vendor.licenseUnder({ requireFingerprint: false });
    expect((await act(license, 'suspend')).body.data.status).toBe('suspended');
    expect((await act(license, 'suspend')).body).toMatchObject({ code: 'CONFLICT', details: { status: 'suspended' } });
    expect((await act(license, 'ban')).body.data.status).toBe('banned');
    expect(await vendor.validate(license)).toMatchObject({ valid: false, code: 'BANNED' });
    expect((await act(license, 'unban')).body.data.status).toBe('suspended');
    expect((await act(license, 'reinstate')).body.data.status).toBe('active');
    expect((await act(license, 'revoke')).body.data.status).toBe('revoked');
    for (const action of ['reinstate', 'suspend', 'renew', 'revoke', 'check-in']) {
      expect([action, (await act(license, action)).status]).toEqual([action, 409]);
    }
    expect((await vendor.api.patch(`/licenses/${license.id}`, { name: 'x' })).status).toBe(409);
    expect((await vendor.api.delete(`/licenses/${license.id}`)).status).toBe(204);
    expect(await vendor.validate(license)).toMatchObject({ valid: false, code: 'NOT_FOUND', license: null });
  });

  it('ends, has its grace, and is renewed by one term', async () => {
    const license = await vendor.licenseUnder({ durationDays: 30, gracePeriodDays: 5, requireFingerprint: false });
    expect(Date.parse(license.expiresAt) - Date.parse(license.createdAt)).toBe(30 * DAY_MS);
    expectStatus(await vendor.api.patch(`/licenses/${license.id}`, { expiresAt: daysFromNow(-1) }), 200);
    expect(await vendor.validate(license)).toMatchObject({ valid: true, code: 'IN_GRACE_PERIOD', license: { status: 'active' } });
    const { expiresAt } = expectStatus(await vendor.api.patch(`/licenses/${license.id}`, { expiresAt: daysFromNow(-6) }), 200).body.data;
    expect(await vendor.validate(license)).toMatchObject({ valid: false, code: 'EXPIRED', license: { status: 'expired' } });
    const renewed = expectStatus(await act(license, 'renew'), 200).body.data;
    expect(Date.parse(renewed.expiresAt) - Date.parse(expiresAt)).toBe(30 * DAY_MS);
    expect(await vendor.validate(license)).toMatchObject({ valid: true, code: 'VALID' });
    expectStatus(await vendor.api.patch(`/licenses/${license.id}`, { expiresAt: null }), 200);
    expect((await act(license, 'renew')).body.code).toBe('NOT_RENEWABLE');
  });

  it('starts its clock with its first machine where the policy says so, and with no failed validation', async () => {
    const license = await vendor.licenseUnder({ durationDays: 10, expirationBasis: 'FROM_FIRST_ACTIVATION' });
    expect(await vendor.validate(license, { fingerprint: 'fingerprint-a' })).toMatchObject({ code: 'NOT_ACTIVATED' });
    expect(await reload(license)).toMatchObject({ expiresAt: null, firstActivatedAt: null, firstValidatedAt: null });
    const machine = await vendor.activate(license, 'fingerprint-a');
    const started = await reload(license);
    expect(started.firstActivatedAt).toBe(machine.createdAt);
    expect(Date.parse(started.expiresAt) - Date.parse(machine.createdAt)).toBe(10 * DAY_MS);
  });

  it('has what its policy and itself are entitled to, while it lasts', async () => {
    for (const code of ['basic', 'pro', 'trial']) await vendor.entitlement(code);
    const license = await vendor.licenseUnder({ requireFingerprint: false });
    expectStatus(await vendor.api.post(`/policies/${license.policyId}/entitlements`, { codes: ['basic'] }), 200);
    expectStatus(await act(license, 'entitlements', { codes: ['pro'], quantity: 5 }), 200);
    expectStatus(await act(license, 'entitlements', { codes: ['trial'], expiresAt: daysFromNow(-1) }), 200);
    expect((await vendor.validate(license, { entitlements: ['basic', 'pro'] })).entitlements).toEqual([
      { code: 'basic', expiresAt: null, quantity: null },
      { code: 'pro', expiresAt: null, quantity: 5 },
    ]);
    const verdict = await vendor.validate(license, { entitlements: ['pro', 'trial'] });
    expect(verdict).toMatchObject({ valid: false, code: 'ENTITLEMENTS_MISSING', message: expect.stringContaining('trial') });
    expect((await vendor.api.delete(`/licenses/${license.id}/entitlements/pro`)).status).toBe(204);
    expect((await vendor.api.delete(`/licenses/${license.id}/entitlements/basic`)).status).toBe(404);
    expect((await reload(license)).entitlements.map(({ code }: { code: string }) => code)).toEqual(['basic']);
  });

  it('is counted by its product, which cannot be deleted under it', async () => {
    const license = await vendor.licenseUnder({});
    const product = `/products/${license.productId}`;
    expect((await vendor.api.get(product)).body.data.licensesCount).toBe(1);
    expect((await vendor.api.delete(product)).body.code).toBe('PRODUCT_HAS_LICENSES');
    expect((await vendor.api.delete(`/policies/${license.policyId}`)).body.code).toBe('POLICY_HAS_LICENSES');
    expectStatus(await vendor.api.delete(`/licenses/${license.id}`), 204);
    expect((await vendor.api.delete(product)).status).toBe(204);
  });

  it('keeps when it was last validated, behind the answers', async () => {
    const license = await vendor.licenseUnder({});
    const { checkedAt } = await vendor.validate(license);
    let seen: string | null = null;
    while (seen === null) seen = (await reload(license)).lastValidatedAt;
    expect(seen).toBe(checkedAt);
  });
});

describe('counting uses', () => {
  it('never says valid without having counted, also where nothing limits the count', async () => {
    const license = await vendor.licenseUnder({ requireFingerprint: false });
    await database.query('UPDATE license SET uses_count = 2147483647 - 1 WHERE id = $1', [license.id]);
    expect(await vendor.validate(license, { increment: 1 })).toMatchObject({ valid: true, license: { usesCount: 2147483647 } });
    expect(await vendor.validate(license, { increment: 1 })).toMatchObject({ valid: false, code: 'USES_EXCEEDED' });
    expect(await vendor.validate(license)).toMatchObject({ valid: true });
  });

  it('counts nothing for a validation that fails', async () => {
    const license = await vendor.licenseUnder({ maxUses: 5 });
    expect(await vendor.validate(license, { increment: 1 })).toMatchObject({ valid: false, code: 'FINGERPRINT_REQUIRED' });
    expect((await reload(license)).usesCount).toBe(0);
  });
});

describe('the list of licenses', () => {
  const idsOf = async (query: string): Promise<string[]> => {
    const { body } = expectStatus(await vendor.api.get(`/licenses?limit=100&${query}`), 200);
    return body.data.map(({ id }: { id: string }) => id);
  };

  it('filters by exactly the status that every license shows', async () => {
    const strategies = ['RESTRICT_ACCESS', 'ALLOW_ACCESS', 'REVOKE'];
    for (const expirationStrategy of strategies) {
      for (const gracePeriodDays of expirationStrategy === 'REVOKE' ? [0] : [0, 3]) {
        const policy = await vendor.policy({ expirationStrategy, gracePeriodDays });
        for (const expiresAt of [null, daysFromNow(1), daysFromNow(-2), daysFromNow(-5)]) {
          for (const actions of [[], ['suspend'], ['ban'], ['suspend', 'ban'], ['revoke']]) {
            const license = await vendor.license({ productId: policy.productId, policyId: policy.id });
            for (const action of actions) expectStatus(await act(license, action), 200);
            // Straight into the row: a revoked license takes no change.
            await database.query('UPDATE license SET expires_at = $2 WHERE id = $1', [license.id, expiresAt]);
          }
        }
      }
    }
    const all: { id: string; status: string }[] = (await vendor.api.get('/licenses?limit=100')).body.data;
    expect(all).toHaveLength(100);
    expect(new Set(all.map(({ status }) => status)).size).toBe(5);
    for (const status of ['active', 'expired', 'suspended', 'revoked', 'banned']) {
      expect([status, await idsOf(`status=${status}`)]).toEqual([status, all.filter((one) => one.status === status).map(({ id }) => id)]);
    }
  });

  it('takes what it is asked for literally, whatever its case', async () => {
    const policy = await vendor.policy();
    const sold = (fields: object) => vendor.license({ productId: policy.productId, policyId: policy.id, ...fields });
    const exact = await sold({ userEmail: 'a_b@example.com', name: '50% off', metadata: { seats: 5, 'order-id': 'A-1' } });
    await sold({ userEmail: 'axb@example.com', name: '500 off', metadata: { seats: 6 } });
    expect(await idsOf('userEmail=A_B@example.com')).toEqual([exact.id]);
    expect(await idsOf('userEmail=%25')).toEqual([]);
    expect(await idsOf('userEmail=%5C')).toEqual([]);
    expect(await idsOf('q=50%25')).toEqual([exact.id]);
    expect(await idsOf('q=_b@')).toEqual([exact.id]);
    expect(await idsOf('metadata[seats]=5')).toEqual([exact.id]);
    expect(await idsOf('metadata[order-id]=A-1&metadata[seats]=5')).toEqual([exact.id]);
    expect(await idsOf('metadata[seats]=6&metadata[order-id]=A-1')).toEqual([]);
    expect(await idsOf(`key=${exact.key.toLowerCase()}`)).toEqual([exact.id]);
    await vendor.product({ code: 'abc_def' });
    expect((await vendor.api.get('/products?code=ABC_def')).body.data).toHaveLength(1);
    expect((await vendor.api.get('/products?code=abc%5C')).body.data).toEqual([]);
  });

  it('pages through times that are not set without a gap or a repeat, both ways', async () => {
    const policy = await vendor.policy();
    for (const expiresAt of [null, daysFromNow(1), null, daysFromNow(2), daysFromNow(3), null]) {
      await vendor.license({ productId: policy.productId, policyId: policy.id, expiresAt });
    }
    for (const sort of ['expiresAt', '-expiresAt']) {
      const seen: { id: string; expiresAt: string | null }[] = [];
      let cursor = '';
      do {
        const { body } = expectStatus(await vendor.api.get(`/licenses?limit=2&sort=${sort}${cursor}`), 200);
        seen.push(...body.data);
        cursor = body.pagination.nextCursor === null ? '' : `&cursor=${body.pagination.nextCursor}`;
      } while (cursor !== '');
      expect(new Set(seen.map(({ id }) => id)).size).toBe(6);
      const times = seen.map(({ expiresAt }) => expiresAt).filter((time) => time !== null);
      expect(times).toEqual(sort === 'expiresAt' ? [...times].sort() : [...times].sort().reverse());
      expect(seen.slice(3).every(({ expiresAt }) => expiresAt === null)).toBe(true);
    }
  });
});
