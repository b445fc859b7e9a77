import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { type Reply, withLicense } from './support/client.js';
import { sharedServer } from './support/shared-server.js';
import { testDatabaseUrl } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

/** What can be done to a license, in each of its states (contract: resources.md, "Licenses": actions and state rules). */

const DAY_MS = 86_400_000;
const daysFromNow = (days: number): string => new Date(Date.now() + days * DAY_MS).toISOString();
const unique = (what: string): string => `${what}-${uuidv7()}`;

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

const act = (license: { id: string }, action: string, body?: object): Promise<Reply> =>
  vendor.api.post(`/licenses/${license.id}/${action}`, body);
const reload = async (license: { id: string }) => expectStatus(await vendor.api.get(`/licenses/${license.id}`), 200).body.data;

/** The license's events, oldest first. */
async function eventsOf(license: { id: string }) {
  const { rows } = await database.query<{ type: string; data: { object: Record<string, unknown>; previous?: object } }>(
    'SELECT type, data FROM event WHERE license_id = $1 ORDER BY id',
    [license.id],
  );
  return rows;
}
const typesOf = async (license: { id: string }): Promise<string[]> => (await eventsOf(license)).map(({ type }) => type);

/** A test clock of the vendor's test environment. */
async function testClock(frozenAt: string): Promise<string> {
  const id = uuidv7();
  await database.query(
    `INSERT INTO test_clock (id, environment_id, frozen_at, updated_at)
     SELECT $1, id, $2, now() FROM environment WHERE account_id = $3 AND name = 'test'`,
    [id, frozenAt, vendor.account.id],
  );
  return id;
}

describe('every action in every state', () => {
  interface State {
    rules?: object;
    /** By default ahead. */
    expiresAt?: string;
    marks?: string[];
  }
  const expiresAt = daysFromNow(-1);
  const states: Record<string, State> = {
    active: {},
    expired: { expiresAt },
    grace: { expiresAt, rules: { gracePeriodDays: 3 } },
    suspended: { marks: ['suspended_at'] },
    banned: { marks: ['banned_at'] },
    both: { marks: ['suspended_at', 'banned_at'] },
    revoked: { marks: ['revoked_at'] },
    by_expiry: { expiresAt, rules: { expirationStrategy: 'REVOKE' } },
  };
  const post = (action: string, body?: object) => (license: { id: string }) => act(license, action, body);
  const actions: Record<string, (license: { id: string; machine: string; target: string }) => Promise<Reply>> = {
    suspend: post('suspend'),
    reinstate: post('reinstate'),
    ban: post('ban'),
    unban: post('unban'),
    revoke: post('revoke'),
    renew: post('renew'),
    transfer: (license) => act(license, 'transfer', { policyId: license.target }),
    'check-in': post('check-in'),
    usage: post('usage', { increment: 1 }),
    'usage/reset': post('usage/reset'),
    'rotate-key': post('rotate-key', {}),
    update: ({ id }) => vendor.api.patch(`/licenses/${id}`, { name: 'Renamed' }),
    attach: post('entitlements', { codes: ['pro'] }),
    detach: ({ id }) => vendor.api.delete(`/licenses/${id}/entitlements/held`),
    deactivate: ({ machine }) => vendor.api.delete(`/machines/${machine}`),
    'reset-machines': post('reset-machines'),
    read: ({ id }) => vendor.api.get(`/licenses/${id}`),
    delete: ({ id }) => vendor.api.delete(`/licenses/${id}`),
  };
  /** + is done; anything else is refused with 409, which names that state. */
  const outcomes = `
                   active expired grace  suspended banned both   revoked by_expiry
    suspend        +      +       +      suspended +      banned revoked revoked
    reinstate      active expired active +         banned +      revoked revoked
    ban            +      +       +      +         banned banned revoked revoked
    unban          active expired active suspended +      +      revoked revoked
    revoke         +      +       +      +         +      +      revoked revoked
    renew          +      +       +      +         +      +      revoked revoked
    transfer       +      +       +      +         +      +      revoked revoked
    check-in       +      +       +      +         +      +      revoked revoked
    usage          +      +       +      +         +      +      revoked revoked
    usage/reset    +      +       +      +         +      +      revoked revoked
    rotate-key     +      +       +      +         +      +      revoked revoked
    update         +      +       +      +         +      +      revoked revoked
    attach         +      +       +      +         +      +      revoked revoked
    detach         +      +       +      +         +      +      revoked revoked
    deactivate     +      +       +      +         +      +      +       +
    reset-machines +      +       +      +         +      +      +       +
    read           +      +       +      +         +      +      +       +
    delete         +      +       +      +         +      +      +       +`;

  it('is done or refused as the contract says', async () => {
    for (const code of ['held', 'pro']) await vendor.entitlement(code);
    const target = (await vendor.policy()).id as string;
    /** One license a state, with a machine; before each action its row is brought into the state again. */
    const licenseIn = async (policy: { id: string; productId: string }) => {
      const made = await vendor.license({ productId: policy.productId, policyId: policy.id, entitlements: ['held'] });
      const machine = await vendor.activate(made, 'fingerprint');
      return { ...made, machine: machine.id as string, target };
    };
    const bring = (id: string, { expiresAt = daysFromNow(1), marks = [] }: State, policyId: string) => {
      const columns = ['suspended_at', 'banned_at', 'revoked_at'].map((name) => `${name} = ${marks.includes(name) ? 'now()' : 'NULL'}`);
      return database.query(`UPDATE license SET expires_at = $2, policy_id = $3, ${columns.join(', ')} WHERE id = $1`, [
        id,
        expiresAt,
        policyId,
      ]);
    };
    const lines = outcomes.trim().split('\n');
    const [header = [], ...rows] = lines.map((line) => line.trim().split(/\s+/));
    expect(header).toEqual(Object.keys(states));
    expect(rows.map(([action]) => action)).toEqual(Object.keys(actions));
    for (const [column, name] of header.entries()) {
      const state = states[name]!;
      const policy = await vendor.policy({ durationDays: 30, ...state.rules });
      const license = await licenseIn(policy);
      for (const [action = '', ...expected] of rows) {
        await bring(license.id, state, policy.id);
        const reply = await actions[action]!(license);
        const got = reply.status < 300 ? '+' : `${String(reply.status)} ${reply.body.code} ${reply.body.details?.status}`;
        expect({ name, action, got }).toEqual({ name, action, got: expected[column] === '+' ? '+' : `409 CONFLICT ${expected[column]}` });
      }
    }
  });
});

describe('a transfer', () => {
  it('moves a license to a policy of another product, which counts it from then on, and tells of it', async () => {
    const license = await vendor.licenseUnder({ durationDays: 30, maxMachines: 1 });
    const policy = await vendor.policy({ durationDays: 365, maxMachines: 9 });
    const moved = expectStatus(await act(license, 'transfer', { policyId: policy.id }), 200).body.data;
    expect(moved).toEqual({ ...license, policyId: policy.id, productId: policy.productId, updatedAt: moved.updatedAt });
    const counts = async (): Promise<number[]> =>
      Promise.all([license, policy].map(async ({ productId }) => (await vendor.api.get(`/products/${productId}`)).body.data.licensesCount));
    expect(await counts()).toEqual([0, 1]);
    const [, event] = await eventsOf(license);
    expect(event).toMatchObject({
      type: 'license.transferred',
      data: {
        object: { policyId: policy.id, productId: policy.productId },
        previous: { policyId: license.policyId, productId: license.productId },
      },
    });
    expect(await vendor.validate(license, { fingerprint: 'fingerprint', product: policy.productId })).toMatchObject({
      code: 'NOT_ACTIVATED',
    });
    // What it left can go, and what it came to cannot.
    expect((await vendor.api.delete(`/products/${license.productId}`)).status).toBe(204);
    expect((await vendor.api.delete(`/policies/${policy.id}`)).body.code).toBe('POLICY_HAS_LICENSES');
  });

  it('begins a new term, or waits for its event, where the new policy resets', async () => {
    const license = await vendor.licenseUnder({ durationDays: 30 });
    const reset = { productId: license.productId, durationDays: 10, transferStrategy: 'RESET_EXPIRY' };
    const moveTo = async (rules: object) => {
      const policy = await vendor.policy({ ...reset, ...rules });
      return expectStatus(await act(license, 'transfer', { policyId: policy.id }), 200).body.data;
    };
    const begun = await moveTo({});
    expect(Date.parse(begun.expiresAt) - Date.parse(begun.updatedAt)).toBe(10 * DAY_MS);
    expect((await moveTo({ expirationBasis: 'FROM_FIRST_ACTIVATION' })).expiresAt).toBeNull();
    // A clock that waits goes on waiting where the expiry is kept, and the event that ends that is the new policy's.
    expect((await moveTo({ transferStrategy: 'KEEP_EXPIRY', expirationBasis: 'FROM_FIRST_USE' })).expiresAt).toBeNull();
    const used = expectStatus(await act(license, 'usage', { increment: 1 }), 200).body.data;
    expect(Date.parse(used.expiresAt) - Date.parse(used.updatedAt)).toBe(10 * DAY_MS);
    // A first use that was is not waited for again.
    const again = await moveTo({ durationDays: 5, expirationBasis: 'FROM_FIRST_USE' });
    expect(Date.parse(again.expiresAt) - Date.parse(again.updatedAt)).toBe(5 * DAY_MS);
  });

  it('refuses a policy that is unknown, deleted, of a deleted product, or followed already, and changes nothing', async () => {
    const license = await vendor.licenseUnder({});
    const [deleted, orphan] = [await vendor.policy(), await vendor.policy()];
    expectStatus(await vendor.api.delete(`/policies/${deleted.id}`), 204);
    expectStatus(await vendor.api.delete(`/products/${orphan.productId}`), 204);
    for (const policyId of [uuidv7(), deleted.id, orphan.id])
      expect((await act(license, 'transfer', { policyId })).body).toMatchObject({ code: 'NOT_FOUND', details: { field: 'policyId' } });
    const same = await act(license, 'transfer', { policyId: license.policyId.toUpperCase() });
    expect(same.body).toMatchObject({ code: 'CONFLICT', details: { status: 'active', field: 'policyId' } });
    expect(await reload(license)).toEqual(license);
    expect((await vendor.api.get(`/products/${license.productId}`)).body.data.licensesCount).toBe(1);
  });

  it('ends, whoever moves where at the same time, and loses count of nothing', async () => {
    const [one, two] = [await vendor.licenseUnder({}), await vendor.licenseUnder({})];
    for (let round = 0; round < 5; round += 1) {
      const moves = [one, two].map(async (license) => {
        const to = [one, two].find(({ policyId }) => policyId !== license.policyId)!;
        return act(license, 'transfer', { policyId: round % 2 === 0 ? to.policyId : license.policyId });
      });
      expect((await Promise.all(moves)).map(({ status }) => status)).toEqual([200, 200]);
    }
    for (const { productId } of [one, two]) expect((await vendor.api.get(`/products/${productId}`)).body.data.licensesCount).toBe(1);
  });
});

describe('uses', () => {
  it('are counted up and down between zero and the limit, and tell what stood in the way', async () => {
    const license = await vendor.licenseUnder({ maxUses: 5 });
    expect((await act(license, 'usage', { increment: 4 })).body.data.usesCount).toBe(4);
    expect((await act(license, 'usage', { increment: 2 })).body).toMatchObject({ code: 'USES_EXCEEDED', details: { limit: 5, used: 4 } });
    expect((await act(license, 'usage', { increment: -5 })).body).toMatchObject({ code: 'USES_BELOW_ZERO', details: { used: 4 } });
    expect((await act(license, 'usage', { increment: -1 })).body.data.usesCount).toBe(3);
    expectStatus(await vendor.api.patch(`/licenses/${license.id}`, { maxUsesOverride: 2 }), 200);
    expect((await act(license, 'usage', { increment: 1 })).body).toMatchObject({ code: 'USES_EXCEEDED', details: { limit: 2, used: 3 } });
    expect((await act(license, 'usage', { increment: -1 })).body.data.usesCount).toBe(2);
    expect((await act(license, 'usage/reset')).body.data.usesCount).toBe(0);
    expect((await act(license, 'usage', { increment: 0 })).body).toMatchObject({ details: { issues: [{ path: 'increment' }] } });
    expect((await act({ id: uuidv7() }, 'usage', { increment: 1 })).status).toBe(404);
    const counted = (await eventsOf(license)).filter(({ type }) => type === 'usage.incremented');
    expect(counted.map(({ data }) => data.previous)).toEqual([{ usesCount: 0 }, { usesCount: 4 }, { usesCount: 3 }]);
  });

  it('tell of the whole license as it is then, with when it was changed, and never of its key', async () => {
    const license = await vendor.licenseUnder({});
    const counted = expectStatus(await act(license, 'usage', { increment: 2 }), 200).body.data;
    const [, told] = await eventsOf(license);
    expect(told).toMatchObject({ type: 'usage.incremented', data: { previous: { usesCount: 0 } } });
    const { key, ...view } = counted;
    expect(told?.data.object).toMatchObject(view);
    expect(JSON.stringify(told)).not.toContain(key);
  });

  it('that wait for a clock to be turned are judged by the time that it then shows', async () => {
    const testClockId = await testClock('2030-01-01T00:00:00.000Z');
    const rules = { durationDays: 1, expirationStrategy: 'REVOKE' };
    const license = await vendor.licenseUnder(rules, { testClockId }, vendor.testApi);
    await database.query('BEGIN');
    let counting: Promise<Reply>;
    try {
      await database.query('SELECT FROM license WHERE id = $1 FOR UPDATE', [license.id]);
      counting = vendor.testApi.post(`/licenses/${license.id}/usage`, { increment: 1 });
      const waiting = 'SELECT FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))';
      while ((await database.query(waiting)).rowCount === 0);
      await database.query("UPDATE test_clock SET frozen_at = '2030-02-01T00:00:00.000Z' WHERE id = $1", [testClockId]);
    } finally {
      await database.query('COMMIT');
    }
    const { status, body } = await counting;
    expect([status, body.details]).toEqual([409, { status: 'revoked' }]);
    expect((await vendor.testApi.get(`/licenses/${license.id}`)).body.data.usesCount).toBe(0);
  });

  it('are counted up by the license itself, while it may run, and by no other', async () => {
    const license = await vendor.licenseUnder({});
    const other = await vendor.licenseUnder({});
    const count = (increment: number, to = license): Promise<Reply> => vendor.app(license).post(`/licenses/${to.id}/usage`, { increment });
    expect((await count(3)).body.data).toMatchObject({ id: license.id, usesCount: 3 });
    expect((await count(-1)).body).toMatchObject({ code: 'VALIDATION_ERROR', details: { issues: [{ path: 'increment' }] } });
    expect((await count(1, other)).status).toBe(404);
    for (const [state, lift] of [
      ['suspend', 'reinstate'],
      ['ban', 'unban'],
    ] as const) {
      expectStatus(await act(license, state), 200);
      expect((await count(1)).body.code).toBe(state === 'ban' ? 'LICENSE_BANNED' : 'LICENSE_SUSPENDED');
      expectStatus(await act(license, lift), 200);
    }
    expectStatus(await vendor.api.patch(`/licenses/${license.id}`, { expiresAt: daysFromNow(-1) }), 200);
    expect((await count(1)).body).toMatchObject({ code: 'LICENSE_EXPIRED' });
    expectStatus(await vendor.api.patch(`/policies/${license.policyId}`, { expirationStrategy: 'ALLOW_ACCESS' }), 200);
    expect((await count(1)).body.data.usesCount).toBe(4);
    expectStatus(await act(license, 'revoke'), 200);
    expect((await count(1)).body.code).toBe('LICENSE_REVOKED');
    expect((await vendor.app(license).post(`/licenses/${license.id}/usage/reset`)).body.code).toBe('INSUFFICIENT_SCOPE');
    expect((await reload(license)).usesCount).toBe(4);
  });

  it('go by the test clock of the license: it decides whether the term is over, and when it began', async () => {
    const testClockId = await testClock('2030-01-31T00:00:00.000Z');
    const rules = { durationCalendarMonths: 1, expirationBasis: 'FROM_FIRST_USE', expirationStrategy: 'REVOKE' };
    const license = await vendor.licenseUnder(rules, { testClockId }, vendor.testApi);
    const count = (): Promise<Reply> => vendor.testApi.post(`/licenses/${license.id}/usage`, { increment: 1 });
    expect((await count()).body.data).toMatchObject({ usesCount: 1, expiresAt: '2030-02-28T00:00:00.000Z' });
    const moveClock = (to: string) => database.query('UPDATE test_clock SET frozen_at = $2 WHERE id = $1', [testClockId, to]);
    await moveClock('2030-02-27T23:59:59.999Z');
    expect((await count()).body.data.usesCount).toBe(2);
    await moveClock('2030-02-28T00:00:00.000Z');
    expect((await count()).body).toMatchObject({ code: 'CONFLICT', details: { status: 'revoked' } });
    const { rows } = await database.query('SELECT type, data, occurred_at FROM event WHERE license_id = $1 ORDER BY id', [license.id]);
    expect(rows.slice(1)).toMatchObject([
      { type: 'usage.incremented', data: { previous: { usesCount: 0 } }, occurred_at: new Date('2030-01-31T00:00:00.000Z') },
      { type: 'license.updated', data: { previous: { expiresAt: null, clockPending: true } } },
      { type: 'usage.incremented', data: { previous: { usesCount: 1 } }, occurred_at: new Date('2030-02-27T23:59:59.999Z') },
    ]);
  });
});

describe('a rotated key', () => {
  const codeOf = async (key: string, account?: string): Promise<string> => (await vendor.validate({ key }, { account })).code as string;
  const me = (key: string): Promise<Reply> => withLicense(server.url, key, vendor.account.id).get('/licenses/me');

  it('works beside its successor until the overlap ends, which only the vendor and the new key are shown', async () => {
    const license = await vendor.licenseUnder({ requireFingerprint: false });
    const rotated = expectStatus(await act(license, 'rotate-key', { overlapSeconds: 3600 }), 200).body.data;
    expect(rotated.key).toMatch(/^LIC(-[0-9A-Z]{4}){6}$/);
    expect(rotated).toEqual({ ...license, key: rotated.key, updatedAt: rotated.updatedAt });
    expect(rotated.key).not.toBe(license.key);
    expect(await Promise.all([license, rotated].map(({ key }) => codeOf(key)))).toEqual(['VALID', 'VALID']);
    expect((await reload(license)).key).toBe(rotated.key);
    expect((await me(rotated.key)).body.data).toMatchObject({ id: license.id, key: rotated.key });
    expect((await me(license.key)).body.data).toMatchObject({ id: license.id, key: null });

    const twice = expectStatus(await act(license, 'rotate-key', { overlapSeconds: 0 }), 200).body.data;
    expect(await Promise.all([license, rotated, twice].map(({ key }) => codeOf(key)))).toEqual(['VALID', 'NOT_FOUND', 'VALID']);
    expect([(await me(license.key)).status, (await me(rotated.key)).status, (await me(twice.key)).status]).toEqual([200, 401, 200]);
    const events = (await eventsOf(license)).filter(({ type }) => type === 'license.key_rotated');
    expect(events).toHaveLength(2);
    for (const { key } of [license, rotated, twice]) expect(JSON.stringify(events)).not.toContain(key);
    expectStatus(await vendor.api.delete(`/licenses/${license.id}`), 204);
    expect(await Promise.all([license, twice].map(({ key }) => codeOf(key)))).toEqual(['NOT_FOUND', 'NOT_FOUND']);
  });

  it("ends by the license's clock, and what is over is kept no longer", async () => {
    const testClockId = await testClock('2030-01-01T00:00:00.000Z');
    const license = await vendor.licenseUnder({ requireFingerprint: false }, { testClockId }, vendor.testApi);
    const rotate = () => vendor.testApi.post(`/licenses/${license.id}/rotate-key`, { overlapSeconds: 60 });
    expectStatus(await rotate(), 200);
    const moveClock = (to: string) => database.query('UPDATE test_clock SET frozen_at = $2 WHERE id = $1', [testClockId, to]);
    await moveClock('2030-01-01T00:00:59.999Z');
    expect(await codeOf(license.key)).toBe('VALID');
    await moveClock('2030-01-01T00:01:00.000Z');
    expect(await codeOf(license.key)).toBe('NOT_FOUND');
    expectStatus(await rotate(), 200);
    const { rows } = await database.query('SELECT valid_until FROM former_license_key WHERE license_id = $1', [license.id]);
    expect(rows).toEqual([{ valid_until: new Date('2030-01-01T00:02:00.000Z') }]);
  });

  it('is nobody else’s until then, in neither environment, and may be its license’s again', async () => {
    const key = unique('CHOSEN');
    const account = vendor.account.id;
    const license = await vendor.licenseUnder({ requireFingerprint: false }, { key });
    const generated = expectStatus(await act(license, 'rotate-key', {}), 200).body.data;
    const [policy, testPolicy] = [await vendor.policy(), await vendor.policy({}, vendor.testApi)];
    const take = (of: typeof policy, api = vendor.api): Promise<Reply> =>
      api.post('/licenses', { productId: of.productId, policyId: of.id, key });
    for (const reply of [await take(policy), await take(testPolicy, vendor.testApi)])
      expect(reply.body).toMatchObject({ code: 'CONFLICT', details: { field: 'key' } });
    const other = await vendor.license({ productId: policy.productId, policyId: policy.id });
    expect((await act(other, 'rotate-key', { key })).body).toMatchObject({ code: 'CONFLICT', details: { field: 'key' } });
    expect((await vendor.api.get(`/products/${policy.productId}`)).body.data.licensesCount).toBe(1);

    expect(expectStatus(await act(license, 'rotate-key', { key }), 200).body.data.key).toBe(key);
    expect((await act(license, 'rotate-key', { key })).body).toMatchObject({ code: 'CONFLICT', details: { field: 'key' } });
    expect([await codeOf(key, account), await codeOf(generated.key)]).toEqual(['VALID', 'VALID']);
    expect((await me(key)).body.data.key).toBe(key);
    expectStatus(await act(license, 'rotate-key', { overlapSeconds: 0 }), 200);
    expect(await codeOf(key, account)).toBe('NOT_FOUND');
    expect((await take(policy)).status).toBe(201);
    expect((await act(license, 'rotate-key', { key: 'LIC-AAAA-AAAA-AAAA-AAAA-AAAA-AAAA' })).body.details.issues).toMatchObject([
      { path: 'key' },
    ]);
  });

  it('is shown to nobody who sent the one before it, however close behind', async () => {
    const license = await vendor.licenseUnder({});
    let known = license.key as string;
    for (let turn = 0; turn < 5; turn += 1) {
      const holder = withLicense(server.url, known);
      const asking = Promise.all(Array.from({ length: 8 }, () => holder.get('/licenses/me')));
      const rotated = expectStatus(await vendor.api.post(`/licenses/${license.id}/rotate-key`, { overlapSeconds: 0 }), 200).body.data.key;
      for (const { status, body } of await asking) {
        if (status === 200) expect([known, null]).toContain(body.data.key);
      }
      known = rotated;
    }
  });

  it('is shown to whoever rotates it, also without licenses:read', async () => {
    const license = await vendor.licenseUnder({});
    const writer = await vendor.keyWith('licenses:write');
    const { key } = expectStatus(await writer.post(`/licenses/${license.id}/rotate-key`, {}), 200).body.data;
    expect(await vendor.validate({ key }, { fingerprint: 'fingerprint' })).toMatchObject({ license: { id: license.id } });
  });

  it('of a deleted license stands in the way of nobody else', async () => {
    const policy = await vendor.policy({ requireFingerprint: false });
    const ids = { productId: policy.productId, policyId: policy.id };
    const key = unique('CHOSEN');
    const first = await vendor.license({ ...ids, key });
    expectStatus(await vendor.api.post(`/licenses/${first.id}/rotate-key`, { overlapSeconds: 2_592_000 }), 200);
    expectStatus(await vendor.api.delete(`/licenses/${first.id}`), 204);
    const second = await vendor.license({ ...ids, key });
    expectStatus(await vendor.api.post(`/licenses/${second.id}/rotate-key`, { overlapSeconds: 3600 }), 200);
    expect(await vendor.validate({ key }, { account: vendor.account.slug })).toMatchObject({ valid: true, license: { id: second.id } });
  });

  it('is refused at once when the clock of its license has passed its end', async () => {
    const clock = expectStatus(await vendor.testApi.post('/test-clocks', { frozenAt: '2026-01-01T00:00:00Z' }), 201).body.data;
    const license = await vendor.licenseUnder({}, { testClockId: clock.id }, vendor.testApi);
    expectStatus(await vendor.testApi.post(`/licenses/${license.id}/rotate-key`, { overlapSeconds: 60 }), 200);
    const holder = vendor.app(license);
    expectStatus(await holder.get('/licenses/me'), 200);
    expectStatus(await vendor.testApi.post(`/test-clocks/${clock.id}/advance`, { to: '2026-01-01T00:01:00Z' }), 200);
    expect((await holder.post('/machines', { fingerprint: 'fingerprint' })).status).toBe(401);
  });
});

describe('a change of a license', () => {
  it('that says of the expiry what is so already keeps the wait for its event, and the day of the month', async () => {
    const waiting = await vendor.licenseUnder({ durationDays: 30, expirationBasis: 'FROM_FIRST_VALIDATION', requireFingerprint: false });
    expectStatus(await vendor.api.patch(`/licenses/${waiting.id}`, { name: 'x', expiresAt: waiting.expiresAt }), 200);
    expect((await vendor.validate(waiting)).license.expiresAt).not.toBeNull();

    const clock = expectStatus(await vendor.testApi.post('/test-clocks', { frozenAt: '2026-01-31T10:00:00Z' }), 201).body.data;
    const monthly = await vendor.licenseUnder({ durationCalendarMonths: 1 }, { testClockId: clock.id }, vendor.testApi);
    expectStatus(await vendor.testApi.patch(`/licenses/${monthly.id}`, { expiresAt: monthly.expiresAt }), 200);
    const renewed = expectStatus(await vendor.testApi.post(`/licenses/${monthly.id}/renew`), 200).body.data;
    expect([monthly.expiresAt, renewed.expiresAt]).toEqual(['2026-02-28T10:00:00.000Z', '2026-03-31T10:00:00.000Z']);
  });

  it('of its policy to count from creation ends the wait with the next success, whose answer does not contradict itself', async () => {
    const clock = expectStatus(await vendor.testApi.post('/test-clocks', { frozenAt: '2026-01-01T00:00:00Z' }), 201).body.data;
    const rules = { durationDays: 3, expirationBasis: 'FROM_FIRST_ACTIVATION', requireFingerprint: false };
    const license = await vendor.licenseUnder(rules, { testClockId: clock.id }, vendor.testApi);
    expectStatus(await vendor.testApi.post(`/test-clocks/${clock.id}/advance`, { to: '2026-02-01T00:00:00Z' }), 200);
    expectStatus(await vendor.testApi.patch(`/policies/${license.policyId}`, { expirationBasis: 'FROM_CREATION' }), 200);
    const expected = { valid: true, code: 'VALID', license: { status: 'active', expiresAt: '2026-02-04T00:00:00.000Z' } };
    expect([await vendor.validate(license), await vendor.validate(license)]).toMatchObject([expected, expected]);
  });
});

describe('machines', () => {
  it('all give their seats back at once, and each is told of', async () => {
    const license = await vendor.licenseUnder({ maxMachines: 3, maxCores: 12 });
    const machines = [];
    for (const fingerprint of ['fingerprint-a', 'fingerprint-b', 'fingerprint-c'])
      machines.push(await vendor.activate(license, fingerprint, { cores: 4 }));
    expectStatus(await act(license, 'revoke'), 200);
    expect((await act(license, 'reset-machines')).body.data).toMatchObject({ status: 'revoked', machineCount: 0 });
    expect((await vendor.api.get(`/machines?licenseId=${license.id}`)).body.data).toEqual([]);
    const gone = (await eventsOf(license)).filter(({ type }) => type === 'machine.deactivated');
    expect(gone.map(({ data }) => data.object.id)).toEqual(machines.map(({ id }) => id));
    const { rows } = await database.query('SELECT cores_total FROM license WHERE id = $1', [license.id]);
    expect(rows).toEqual([{ cores_total: '0' }]);
    expect((await act(license, 'reset-machines')).body.data.machineCount).toBe(0);
  });

  it('that begin a term tell of the expiry too', async () => {
    const license = await vendor.licenseUnder({ durationDays: 10, expirationBasis: 'FROM_FIRST_ACTIVATION', maxMachines: 2 });
    await vendor.activate(license, 'fingerprint-a');
    await vendor.activate(license, 'fingerprint-b');
    expect(await typesOf(license)).toEqual(['license.created', 'machine.activated', 'license.updated', 'machine.activated']);
    const { expiresAt } = await reload(license);
    expect((await eventsOf(license))[2]?.data).toMatchObject({ object: { expiresAt }, previous: { expiresAt: null, clockPending: true } });
  });
});
