import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { type MemberRole, memberRoles, roles } from '../src/domain/roles.js';
import { allScopes, effectiveScopes, isFullAccess, type Scope } from '../src/domain/scopes.js';
import { Client, type Reply, withKey } from './support/client.js';
import { sharedServer } from './support/shared-server.js';
import { TEST_PLATFORM_TOKEN, testDatabaseUrl } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

/** The people of an account and their keys (contract: auth.md, "Users and user keys"). */

const server = sharedServer();
let database: pg.Client;
let vendor: Vendor;
beforeAll(async () => {
  database = await connect();
});
afterAll(async () => {
  await database.end();
});
beforeEach(async () => {
  vendor = await Vendor.signUp(server.url);
});

interface User {
  id: string;
  email: string;
  role: MemberRole;
}

const ada = (fields: object = {}): object => ({ email: `ada-${randomUUID()}@example.com`, name: 'Ada', role: 'support', ...fields });
const addUser = async (api: Client, fields: object = {}): Promise<User> =>
  expectStatus(await api.post('/users', ada(fields)), 201).body.data;
const addKey = async (
  api: Client,
  { id }: { id: string },
  fields: object = {},
): Promise<{ id: string; key: string; allAccounts: boolean }> =>
  expectStatus(await api.post(`/users/${id}/keys`, { name: 'laptop', ...fields }), 201).body.data;
const outcome = ({ status, body }: Reply): unknown[] => [status, body?.code, body?.details];
const refused = (...scopes: Scope[]): unknown[] => [403, 'INSUFFICIENT_SCOPE', { requiredScopes: scopes }];

async function connect(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: testDatabaseUrl() });
  await client.connect();
  return client;
}

/** What the audit log says of these actions, oldest first. */
async function entries(...actions: string[]): Promise<Record<string, unknown>[]> {
  const { rows } = await database.query<Record<string, unknown>>(
    `SELECT action, resource_type, resource_id, before, after FROM audit_entry JOIN environment ON environment.id = environment_id
      WHERE account_id = $1 AND action = ANY($2) ORDER BY audit_entry.id`,
    [vendor.account.id, actions],
  );
  return rows;
}

/** Resolves when this many sessions wait for a lock on rows of the table. */
async function untilWaiting(count: number, table: string): Promise<void> {
  const waiting = `SELECT count(*)::int AS count FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1`;
  for (;;) {
    const { rows } = await database.query<{ count: number }>(waiting, [`%${table}%FOR UPDATE%`]);
    if ((rows[0]?.count ?? 0) >= count) return;
  }
}

describe('the users of an account', () => {
  it('are added, found, changed and removed, in both environments alike', async () => {
    const created = expectStatus(await vendor.api.post('/users', ada({ email: 'Ada@Example.com', metadata: { team: 'core' } })), 201);
    const user = created.body.data;
    expect(user).toEqual({
      id: expect.any(String),
      email: 'Ada@Example.com',
      name: 'Ada',
      role: 'support',
      metadata: { team: 'core' },
      createdAt: expect.any(String),
      updatedAt: expect.any(String),
    });
    expect(created.headers.location).toBe(`/api/v1/users/${user.id}`);
    const other = await addUser(vendor.testApi, { name: 'Grace', role: 'developer' });
    for (const api of [vendor.api, vendor.testApi]) {
      expect((await api.get(`/users/${user.id}`)).body.data).toEqual(user);
      expect((await api.get('/users')).body.data.map(({ id }: User) => id)).toEqual([other.id, user.id]);
      for (const query of ['email=ada@example.COM', 'role=support', 'q=ADA@', 'q=ada']) {
        expect([query, (await api.get(`/users?${query}`)).body.data.map(({ id }: User) => id)]).toEqual([
          query,
          query === 'q=ada' ? expect.arrayContaining([user.id]) : [user.id],
        ]);
      }
    }
    const changed = await vendor.testApi.patch(`/users/${user.id}`, { role: 'admin', email: 'countess@example.com' });
    expect(expectStatus(changed, 200).body.data).toMatchObject({ id: user.id, role: 'admin', email: 'countess@example.com', name: 'Ada' });
    expectStatus(await vendor.api.delete(`/users/${user.id}`), 204);
    for (const reply of [
      await vendor.api.get(`/users/${user.id}`),
      await vendor.api.patch(`/users/${user.id}`, { name: 'x' }),
      await vendor.api.delete(`/users/${user.id}`),
      await vendor.api.post(`/users/${user.id}/keys`, { name: 'x' }),
      await vendor.api.get(`/users/${user.id}/keys`),
    ]) {
      expect(outcome(reply)).toEqual([404, 'NOT_FOUND', undefined]);
    }
    expect((await vendor.api.get('/users')).body.data.map(({ id }: User) => id)).toEqual([other.id]);
  });

  it('have addresses of their own, whatever the case', async () => {
    const [first, second] = [await addUser(vendor.api, { email: 'ada@example.com' }), await addUser(vendor.api)];
    for (const reply of [
      await vendor.api.post('/users', ada({ email: 'ADA@example.com' })),
      await vendor.api.patch(`/users/${second.id}`, { email: 'Ada@Example.com' }),
    ]) {
      expect(outcome(reply)).toEqual([409, 'CONFLICT', { field: 'email' }]);
    }
    expectStatus(await vendor.api.patch(`/users/${first.id}`, { email: 'ADA@EXAMPLE.COM' }), 200);
    expectStatus(await vendor.api.delete(`/users/${first.id}`), 204);
    expectStatus(await vendor.api.patch(`/users/${second.id}`, { email: 'ada@example.com' }), 200);
  });

  it('are strangers to another account that invites the same address', async () => {
    const [mine, theirs] = [vendor, await Vendor.signUp(server.url)];
    const email = `ada-${randomUUID()}@example.com`;
    const [here, there] = [await addUser(mine.api, { email }), await addUser(theirs.api, { email, name: 'Another' })];
    expect(here.id).not.toBe(there.id);
    expect((await mine.api.get('/users')).body.data.map(({ id }: User) => id)).toEqual([here.id]);
    expect(outcome(await mine.api.get(`/users/${there.id}`))).toEqual([404, 'NOT_FOUND', undefined]);
  });

  it('work for another account when it adds them by id, and are called there what it calls them', async () => {
    const other = await Vendor.signUp(server.url);
    const user = await addUser(vendor.api, { email: 'ada@example.com', role: 'owner', metadata: { secret: 'project' } });
    const added = expectStatus(await other.api.post('/users', { userId: user.id.toUpperCase(), ...ada({ email: 'ada@other.com' }) }), 201);
    expect(added.body.data).toMatchObject({ id: user.id, email: 'ada@other.com', role: 'support', metadata: {} });
    expectStatus(await other.api.patch(`/users/${user.id}`, { name: 'Countess' }), 200);
    expect((await vendor.api.get(`/users/${user.id}`)).body.data).toEqual(user);

    const taken = await addUser(other.api);
    const third = await addUser(vendor.api);
    for (const [body, expected] of [
      [{ userId: user.id, ...ada() }, [409, 'CONFLICT', { field: 'userId' }]],
      [{ userId: uuidv7(), ...ada() }, [404, 'NOT_FOUND', { field: 'userId' }]],
      [{ userId: third.id, ...ada({ email: taken.email }) }, [409, 'CONFLICT', { field: 'email' }]],
    ] as const) {
      expect(outcome(await other.api.post('/users', body))).toEqual(expected);
    }
    expectStatus(await other.api.delete(`/users/${user.id}`), 204);
    expect((await vendor.api.get(`/users/${user.id}`)).status).toBe(200);
    // Somebody who left can come back.
    expectStatus(await other.api.post('/users', { userId: user.id, ...ada() }), 201);
  });

  it('are added once, however many add them at the same time', async () => {
    const other = await Vendor.signUp(server.url);
    const { id: userId } = await addUser(other.api);
    const byId = await Promise.all(Array.from({ length: 6 }, () => vendor.api.post('/users', { userId, ...ada() })));
    const byAddress = await Promise.all(Array.from({ length: 6 }, () => vendor.api.post('/users', ada({ email: 'same@example.com' }))));
    for (const [replies, field] of [
      [byId, 'userId'],
      [byAddress, 'email'],
    ] as const) {
      const outcomes = replies.map(({ status, body }) => [status, body.details]).sort();
      expect(outcomes).toEqual([[201, undefined], ...Array.from({ length: 5 }, () => [409, { field }])]);
    }
  });

  it('are in the audit log with what changed, and nothing else', async () => {
    const user = await addUser(vendor.api, { email: 'ada@example.com' });
    expectStatus(await vendor.api.patch(`/users/${user.id}`, { role: 'developer' }), 200);
    expectStatus(await vendor.api.patch(`/users/${user.id}`, { role: 'developer' }), 200);
    const key = await addKey(vendor.api, user);
    expectStatus(await vendor.api.delete(`/users/${user.id}`), 204);
    const logged = await entries('user.created', 'user.updated', 'user.deleted', 'user_key.created', 'user_key.revoked');
    const [ofUser, ofKey] = [
      { resource_type: 'user', resource_id: user.id },
      { resource_type: 'user_key', resource_id: key.id },
    ];
    expect(logged).toEqual([
      { action: 'user.created', ...ofUser, before: null, after: expect.objectContaining({ role: 'support', email: 'ada@example.com' }) },
      { action: 'user.updated', ...ofUser, before: { role: 'support' }, after: { role: 'developer' } },
      { action: 'user_key.created', ...ofKey, before: null, after: expect.objectContaining({ name: 'laptop', allAccounts: true }) },
      { action: 'user_key.revoked', ...ofKey, before: { status: 'active' }, after: { status: 'revoked' } },
      { action: 'user.deleted', ...ofUser, before: expect.objectContaining({ role: 'developer' }), after: null },
    ]);
    expect(JSON.stringify(logged)).not.toContain(key.key);
  });
});

describe('a role', () => {
  it.each<[string, string[] | MemberRole, MemberRole[]]>([
    ['a full-access key', [], [...memberRoles]],
    ['a key with every scope', [...allScopes], ['admin', 'developer', 'support', 'read-only']],
    ['a key of support that may write users', [...roles.support, 'users:write'], ['support']],
    ['a key for nothing but users', ['users:read', 'users:write'], []],
    ['an owner', 'owner', [...memberRoles]],
    ['an admin', 'admin', ['admin', 'developer', 'support', 'read-only']],
  ])('is given, changed and taken by %s only when it may do no more', async (_who, held, within) => {
    const isUser = typeof held === 'string';
    const api = isUser
      ? withKey(server.url, (await addKey(vendor.api, await addUser(vendor.api, { role: held }))).key)
      : isFullAccess(held)
        ? vendor.api
        : await vendor.keyWith(...held);
    // A role opens both environments, from anywhere: an API key that is held to less than that gives none.
    const gives = isUser || isFullAccess(held);
    for (const role of memberRoles) {
      const may = within.includes(role);
      const user = await addUser(vendor.api, { role });
      const simple = await addUser(vendor.api, { role: within[0] ?? 'support' });
      const statuses = {
        give: (await api.post('/users', ada({ role }))).status,
        promote: (await api.patch(`/users/${simple.id}`, { role })).status,
        rename: (await api.patch(`/users/${user.id}`, { name: 'Renamed' })).status,
        take: (await api.delete(`/users/${user.id}`)).status,
      };
      expect({ role, ...statuses }).toEqual({
        role,
        give: may && gives ? 201 : 403,
        promote: may && (gives || role === within[0]) ? 200 : 403,
        rename: may ? 200 : 403,
        take: may ? 204 : 403,
      });
      expect((await vendor.api.get(`/users/${user.id}`)).body.data?.name).toBe(may ? undefined : 'Ada');
    }
  });

  it('is given by no API key that is held to some addresses, a rate or a segment, nor from the other environment', async () => {
    const user = await addUser(vendor.api, { role: 'read-only' });
    const made = async (fields: object): Promise<Client> =>
      withKey(server.url, expectStatus(await vendor.api.post('/api-keys', { name: 'x', ...fields }), 201).body.data.key);
    const test = expectStatus(await vendor.testApi.post('/api-keys', { name: 'x', scopes: allScopes }), 201).body.data.key;
    for (const api of [
      await made({ allowedIps: ['127.0.0.0/8', '::1'] }),
      await made({ rateLimitPerMinute: 1000 }),
      await made({ name: 'x[segment]' }),
      withKey(server.url, test),
    ]) {
      expect((await api.post('/users', ada({ role: 'support' }))).status).toBe(403);
      expect([403, 404]).toContain((await api.patch(`/users/${user.id}`, { role: 'support' })).status);
    }
    expect((await vendor.api.get(`/users/${user.id}`)).body.data.role).toBe('read-only');
  });

  it('says what the caller lacks', async () => {
    const api = await vendor.keyWith('users:write', ...roles.support.filter((scope) => scope !== 'machines:write'));
    expect(outcome(await api.post('/users', ada()))).toEqual(refused('machines:write'));
    expect(outcome(await api.post('/users', ada({ role: 'owner' })))).toEqual(refused());
    expect(outcome(await (await vendor.keyWith('users:read')).post('/users', ada()))).toEqual(refused('users:write'));
    expect(outcome(await (await vendor.keyWith('users:write')).get('/users'))).toEqual(refused('users:read'));
  });

  it('never ends with somebody to whom its maker could not have given it, whatever happened before', async () => {
    const grants: string[][] = [
      [],
      [...allScopes],
      [...roles.developer, 'users:write'],
      [...roles.support, 'users:write'],
      ['users:write'],
    ];
    const grantOf = fc.nat(grants.length - 1);
    const role = fc.constantFrom(...memberRoles);
    const whom = fc.nat(3);
    const step = fc.oneof(
      fc.record({ does: fc.constant('invite' as const), by: grantOf, role }),
      fc.record({ does: fc.constant('change' as const), by: grantOf, role, whom }),
      fc.record({ does: fc.constant('remove' as const), by: grantOf, whom }),
      fc.record({ does: fc.constant('key' as const), by: grantOf, whom }),
    );
    const covers = (grant: string[], wanted: MemberRole): boolean =>
      isFullAccess(grant) || (wanted !== 'owner' && effectiveScopes(roles[wanted]).every((scope) => grant.includes(scope)));
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 15 }), async (steps) => {
        const account = await Vendor.signUp(server.url);
        const keys: Client[] = [];
        for (const scopes of grants) keys.push(isFullAccess(scopes) ? account.api : await account.keyWith(...scopes));
        const madeBy = new Map<string, string[]>();
        for (const taken of steps) {
          const [api, grant] = [keys[taken.by]!, grants[taken.by]!];
          const ids = [...madeBy.keys()];
          const id = 'whom' in taken ? ids[taken.whom % ids.length] : undefined;
          if (taken.does === 'invite') {
            const reply = await api.post('/users', ada({ role: taken.role }));
            if (reply.status === 201) madeBy.set(reply.body.data.id, grant);
          } else if (id !== undefined && taken.does === 'change') {
            if ((await api.patch(`/users/${id}`, { role: taken.role })).status === 200) madeBy.set(id, grant);
          } else if (id !== undefined && taken.does === 'remove') {
            if ((await api.delete(`/users/${id}`)).status === 204) madeBy.delete(id);
          } else if (id !== undefined) {
            expect((await api.post(`/users/${id}/keys`, { name: 'x' })).status).toBe(isFullAccess(grant) ? 201 : 403);
          }
        }
        const users: User[] = (await account.api.get('/users?limit=100')).body.data;
        expect(users.map(({ id }) => id).sort()).toEqual([...madeBy.keys()].sort());
        for (const user of users) expect([user.role, covers(madeBy.get(user.id)!, user.role)]).toEqual([user.role, true]);
      }),
      { numRuns: 12 },
    );
  });
});

describe('a key of a user', () => {
  it('is shown once and kept as a digest; it is listed without its secret, and revoked', async () => {
    const user = await addUser(vendor.api);
    const created = expectStatus(
      await vendor.api.post(`/users/${user.id}/keys`, { name: 'laptop', expiresAt: '2099-01-01T00:00:00Z' }),
      201,
    );
    const { key, ...view } = created.body.data;
    expect(key).toMatch(/^lk_user_[0-9A-Za-z]{38}$/);
    expect(view).toEqual({
      id: expect.any(String),
      name: 'laptop',
      allAccounts: true,
      expiresAt: '2099-01-01T00:00:00.000Z',
      maskedKey: `${key.slice(0, 12)}…${key.slice(-4)}`,
      status: 'active',
      createdAt: expect.any(String),
      updatedAt: expect.any(String),
    });
    const { rows } = await database.query('SELECT user_key::text AS text, digest FROM user_key WHERE id = $1', [view.id]);
    expect(rows[0].digest).toHaveLength(32);
    expect(rows[0].text).not.toContain(key.slice(12, -4));

    const listed = expectStatus(await vendor.api.get(`/users/${user.id}/keys`), 200);
    expect(listed.body.data).toEqual([view]);
    expectStatus(await vendor.api.delete(`/users/${user.id}/keys/${view.id}`), 204);
    expectStatus(await vendor.api.delete(`/users/${user.id}/keys/${view.id}`), 204);
    expect((await vendor.api.get(`/users/${user.id}/keys`)).body.data[0]).toMatchObject({ id: view.id, status: 'revoked' });
  });

  it('is made with full access alone, read with users:read, revoked with users:write and all of the role', async () => {
    const [user, owner] = [await addUser(vendor.api), await addUser(vendor.api, { role: 'owner' })];
    const [own, owners] = [await addKey(vendor.api, user), await addKey(vendor.api, owner)];
    const every = await vendor.keyWith(...allScopes);
    expect(outcome(await every.post(`/users/${user.id}/keys`, { name: 'x' }))).toEqual(refused());
    // The same for who is not there: what may not be asked is not answered.
    expect(outcome(await every.post(`/users/${uuidv7()}/keys`, { name: 'x' }))).toEqual(refused());
    expect((await (await vendor.keyWith('users:read')).get(`/users/${user.id}/keys`)).status).toBe(200);
    expect(outcome(await (await vendor.keyWith('users:write')).get(`/users/${user.id}/keys`))).toEqual(refused('users:read'));
    expect(outcome(await (await vendor.keyWith('users:read')).delete(`/users/${user.id}/keys/${own.id}`))).toEqual(refused('users:write'));
    expect((await (await vendor.keyWith('users:write')).delete(`/users/${user.id}/keys/${own.id}`)).status).toBe(403);
    expect(outcome(await every.delete(`/users/${owner.id}/keys/${owners.id}`))).toEqual(refused());
    expect((await every.delete(`/users/${user.id}/keys/${own.id}`)).status).toBe(204);
    expect((await vendor.api.get(`/users/${owner.id}/keys`)).body.data[0].status).toBe('active');
  });

  it('is found behind its own user only, and in the account where it was made', async () => {
    const other = await Vendor.signUp(server.url);
    const [user, neighbour] = [await addUser(vendor.api), await addUser(vendor.api)];
    const key = await addKey(vendor.api, user);
    expectStatus(await other.api.post('/users', { userId: user.id, ...ada({ role: 'owner' }) }), 201);
    expect((await other.api.get(`/users/${user.id}/keys`)).body.data).toEqual([]);
    for (const [api, id] of [
      [vendor.api, neighbour.id],
      [other.api, user.id],
    ] as const) {
      const missing = await api.delete(`/users/${id}/keys/${uuidv7()}`);
      expect(outcome(missing)).toEqual([404, 'NOT_FOUND', undefined]);
      expect(outcome(await api.delete(`/users/${id}/keys/${key.id}`))).toEqual(outcome(missing));
    }
    expect((await vendor.api.get(`/users/${user.id}/keys`)).body.data[0].status).toBe('active');
  });

  it('that an owner makes opens all accounts only while there is one', async () => {
    const other = await Vendor.signUp(server.url);
    const user = await addUser(vendor.api);
    expect((await addKey(vendor.api, user)).allAccounts).toBe(true);
    expectStatus(await other.api.post('/users', { userId: user.id, ...ada() }), 201);
    expect((await addKey(vendor.api, user)).allAccounts).toBe(false);
    expect((await addKey(other.api, user)).allAccounts).toBe(false);
    expectStatus(await vendor.api.delete(`/users/${user.id}`), 204);
    expect((await addKey(other.api, user)).allAccounts).toBe(true);
  });

  it.each([
    ['COMMIT', false],
    ['ROLLBACK', true],
  ])('waits for an account that is just adding its user: %s', async (end, allAccounts) => {
    const [other, user] = [await Vendor.signUp(server.url), await addUser(vendor.api)];
    const elsewhere = await connect();
    try {
      await elsewhere.query('BEGIN');
      await elsewhere.query(
        `INSERT INTO membership (id, account_id, user_id, email, name, role, updated_at) VALUES ($1, $2, $3, 'ada@example.com', 'Ada', 'owner', now())`,
        [uuidv7(), other.account.id, user.id],
      );
      const making = addKey(vendor.api, user);
      await untilWaiting(1, 'vendor_user');
      await elsewhere.query(end);
      expect((await making).allAccounts).toBe(allAccounts);
    } finally {
      await elsewhere.end();
    }
  });

  it('that was made here ends with the membership, and does not come back with it; those of elsewhere stay', async () => {
    const other = await Vendor.signUp(server.url);
    const user = await addUser(vendor.api);
    const key = await addKey(vendor.api, user);
    expectStatus(await other.api.post('/users', { userId: user.id, ...ada() }), 201);
    const theirs = await addKey(other.api, user);
    expectStatus(await vendor.api.delete(`/users/${user.id}`), 204);
    expectStatus(await vendor.api.post('/users', { userId: user.id, ...ada() }), 201);
    expect((await vendor.api.get(`/users/${user.id}/keys`)).body.data).toMatchObject([{ id: key.id, status: 'revoked' }]);
    expect((await other.api.get(`/users/${user.id}/keys`)).body.data).toMatchObject([{ id: theirs.id, status: 'active' }]);
  });

  it('that is being made while its user is removed ends too', async () => {
    const user = await addUser(vendor.api);
    const elsewhere = await connect();
    try {
      await elsewhere.query('BEGIN');
      await elsewhere.query('SELECT 1 FROM vendor_user WHERE id = $1 FOR UPDATE', [user.id]);
      const making = addKey(vendor.api, user);
      await untilWaiting(1, 'vendor_user');
      const removing = vendor.api.delete(`/users/${user.id}`);
      await untilWaiting(1, 'membership');
      await elsewhere.query('COMMIT');
      const { id } = await making;
      expectStatus(await removing, 204);
      const { rows } = await database.query('SELECT revoked_at IS NOT NULL AS revoked FROM user_key WHERE id = $1', [id]);
      expect(rows).toEqual([{ revoked: true }]);
    } finally {
      await elsewhere.end();
    }
  });
});

describe('with a user key', () => {
  /** The user's own key, in an account and environment. */
  const as = ({ key }: { key: string }, { account }: Vendor, environment = 'live'): Client =>
    new Client(server.url, { authorization: `Bearer ${key}`, 'x-account-id': account.id, 'x-environment': environment });

  it('may do what the role allows, as long as it does', async () => {
    const user = await addUser(vendor.api, { role: 'read-only' });
    const api = as(await addKey(vendor.api, user), vendor);
    expect((await api.get('/users')).body.data.map(({ id }: User) => id)).toEqual([user.id]);
    expect((await api.post('/users', ada())).status).toBe(403);
    expectStatus(await vendor.api.patch(`/users/${user.id}`, { role: 'admin' }), 200);
    expectStatus(await api.post('/users', ada({ role: 'admin' })), 201);
    expect(outcome(await api.post('/users', ada({ role: 'owner' })))).toEqual(refused());
    expect(outcome(await api.patch(`/users/${user.id}`, { role: 'owner' }))).toEqual(refused());
    expectStatus(await vendor.api.delete(`/users/${user.id}`), 204);
    expect((await api.get('/users')).status).toBe(401);
  });

  it("makes, lists and revokes the user's own keys, whatever the role, and nobody else's", async () => {
    const [user, neighbour] = [await addUser(vendor.api, { role: 'support' }), await addUser(vendor.api, { role: 'support' })];
    const first = await addKey(vendor.api, user);
    const api = as(first, vendor);
    const second = await addKey(api, user);
    expect(second.allAccounts).toBe(true);
    expect((await api.get(`/users/${user.id}/keys`)).body.data.map(({ id }: User) => id)).toEqual([second.id, first.id]);
    expectStatus(await as(second, vendor).delete(`/users/${user.id}/keys/${first.id}`), 204);
    expect((await api.get('/account')).status).toBe(401);

    const theirs = await addKey(vendor.api, neighbour);
    expect(outcome(await as(second, vendor).post(`/users/${neighbour.id}/keys`, { name: 'x' }))).toEqual(refused());
    expect(outcome(await as(second, vendor).get(`/users/${neighbour.id}/keys`))).toEqual(refused('users:read'));
    expect(outcome(await as(second, vendor).delete(`/users/${neighbour.id}/keys/${theirs.id}`))).toEqual(refused('users:write'));
    expect((await as(second, vendor).delete(`/users/${user.id}/keys/${theirs.id}`)).status).toBe(404);
  });

  it('opens the accounts that its key was made for: an owner mints no way into another vendor', async () => {
    const other = await Vendor.signUp(server.url);
    const user = await addUser(vendor.api, { role: 'owner' });
    const everywhere = await addKey(vendor.api, user);
    expectStatus(await other.api.post('/users', { userId: user.id, ...ada({ role: 'owner' }) }), 201);
    for (const { account } of [vendor, other]) {
      expect((await as(everywhere, { account } as Vendor).get('/account')).body.data.id).toBe(account.id);
    }
    const minted = await addKey(vendor.api, user);
    expect((await as(minted, vendor).get('/account')).status).toBe(200);
    expect((await as(minted, other).get('/account')).status).toBeGreaterThanOrEqual(401);
    // Nor does what it makes for itself, with or without full access.
    const heir = await addKey(as(minted, vendor), user);
    expect(heir.allAccounts).toBe(false);
    expect((await as(heir, other).get('/account')).status).toBeGreaterThanOrEqual(401);
    // The user's own key passes on what it opens, wherever it is used.
    expect((await addKey(as(everywhere, other), user)).allAccounts).toBe(true);
    // An owner is an owner in their own account only.
    const stranger = await addUser(vendor.api);
    expect((await as(everywhere, other).post(`/users/${stranger.id}/keys`, { name: 'x' })).status).toBe(404);
  });

  it('works in the account where its key was made when it names none, whoever else adds the user', async () => {
    const [other, third] = [await Vendor.signUp(server.url), await Vendor.signUp(server.url)];
    const user = await addUser(vendor.api, { role: 'support' });
    const unnamed = withKey(server.url, (await addKey(vendor.api, user)).key);
    const accountOf = async (): Promise<unknown> => (await unnamed.get('/account')).body.data?.id;
    expect(await accountOf()).toBe(vendor.account.id);
    for (const { api } of [other, third]) expectStatus(await api.post('/users', { userId: user.id, ...ada() }), 201);
    expect(await accountOf()).toBe(vendor.account.id);
  });

  it('makes no key that outlives it', async () => {
    const user = await addUser(vendor.api);
    const expiresAt = '2099-01-01T00:00:00.000Z';
    const api = as(await addKey(vendor.api, user, { expiresAt }), vendor);
    expect(await addKey(api, user)).toMatchObject({ expiresAt });
    for (const later of [null, '2099-01-01T00:00:00.001Z']) {
      const reply = await api.post(`/users/${user.id}/keys`, { name: 'x', expiresAt: later });
      expect(outcome(reply)).toEqual([403, 'INSUFFICIENT_SCOPE', { requiredScopes: [], field: 'expiresAt' }]);
    }
  });

  it('is worth no more as a token: what a token makes opens the account that it was used in, and less than the role makes nothing', async () => {
    const user = await addUser(vendor.api, { role: 'owner' });
    const { key } = await addKey(vendor.api, user);
    const tokenFor = async (fields: object): Promise<Client> => {
      const reply = await new Client(server.url, {}).post('/auth/token', { uid: user.id, secret: key, ...fields });
      return as({ key: expectStatus(reply, 200).body.access_token }, vendor);
    };
    expect((await addKey(await tokenFor({}), user)).allAccounts).toBe(false);
    const narrow = await tokenFor({ scopes: [...allScopes] });
    expect(outcome(await narrow.post(`/users/${user.id}/keys`, { name: 'x' }))).toEqual(refused());
  });

  it('is refused by an account that is suspended, and by no other', async () => {
    const other = await Vendor.signUp(server.url);
    const user = await addUser(vendor.api, { role: 'owner' });
    const key = await addKey(vendor.api, user);
    expectStatus(await other.api.post('/users', { userId: user.id, ...ada() }), 201);
    expectStatus(await withKey(server.url, TEST_PLATFORM_TOKEN).post(`/accounts/${vendor.account.id}/suspend`), 200);
    expect(outcome(await as(key, vendor).get('/account'))).toEqual([403, 'ACCOUNT_SUSPENDED', undefined]);
    expect((await as(key, other).get('/account')).status).toBe(200);
  });
});
