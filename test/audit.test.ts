import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import type { Running } from '../src/boot.js';
import { type Change, recordChange } from '../src/core/audit.js';
import { Database, type Tenant } from '../src/core/database.js';
import { type Actor, onBehalfOf } from '../src/core/request-context.js';
import { generateApiKey } from '../src/domain/api-key.js';
import { anyone, Client, type Reply, withKey } from './support/client.js';
import { logFile } from './support/run-record.js';
import { startServer } from './support/server.js';
import { TEST_PLATFORM_TOKEN, testDatabaseUrl } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

/** Who did what to which resource when, and who was refused (contract: auth.md, "Failures are evidence"). */
describe('the audit log', () => {
  const log = logFile();
  let server: Running;
  let database: pg.Client;
  let vendor: Vendor;
  let tenant: Tenant;

  beforeAll(async () => {
    server = await startServer({ TRUSTED_PROXIES: '127.0.0.1/32' }, log);
    database = new pg.Client({ connectionString: testDatabaseUrl() });
    await database.connect();
    [vendor, tenant] = await newTenant();
  });
  afterAll(async () => {
    await database.end();
    await server.stop();
  });

  /** A vendor whose log is empty, whatever signing up writes into it. */
  async function newTenant(): Promise<[Vendor, Tenant]> {
    const newcomer = await Vendor.signUp(server.url);
    const { rows } = await database.query<{ id: string }>(`SELECT id FROM environment WHERE account_id = $1 AND name = 'live'`, [
      newcomer.account.id,
    ]);
    const environmentId = rows[0]!.id;
    await database.query('BEGIN');
    // No server links meanwhile.
    await database.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [`audit chain ${environmentId}`]);
    for (const [table, column] of Object.entries({ audit_pending: 'chain_id', audit_link: 'chain_id', audit_entry: 'environment_id' })) {
      await database.query(`DELETE FROM ${table} WHERE ${column} = $1`, [environmentId]);
    }
    await database.query('COMMIT');
    return [newcomer, { accountId: newcomer.account.id, environmentId, environment: 'live', segmentId: null }];
  }

  /** The change, written as a service of a request does. */
  async function record(change: Partial<Change> = {}, by: { actor?: Actor; ip?: string; in?: Tenant } = {}): Promise<void> {
    const { actor = { type: 'api_key', id: uuidv7() }, ip = '198.51.100.1', in: whose = tenant } = by;
    const request = { requestId: 'a-request', ip, actor, credential: null, environmentId: whose.environmentId, segmentId: whose.segmentId };
    await onBehalfOf({ ...request, accountId: whose.accountId, keyPrefix: null, response: null }, () =>
      server.app
        .get(Database)
        .within(whose, (db) =>
          recordChange(db, { action: 'product.created', resource: { type: 'product', id: uuidv7() }, after: { name: 'x' }, ...change }),
        ),
    );
  }

  const platform = (): Client => withKey(server.url, TEST_PLATFORM_TOKEN);
  const from = (ip: string, client: Client): Client => new Client(server.url, { ...client.headers, 'x-forwarded-for': ip });
  const verify = async (client = vendor.api): Promise<Record<string, unknown>> =>
    expectStatus(await client.get('/audit-logs/verify'), 200).body.data;
  const entriesOf = async (environmentId: string): Promise<number> =>
    (await database.query('SELECT FROM audit_entry WHERE environment_id = $1', [environmentId])).rowCount ?? 0;
  const failuresOf = async (environmentId: string): Promise<{ count: number; ip: string | null }[]> =>
    (await database.query(`SELECT count, ip FROM audit_entry WHERE environment_id = $1 AND action = 'auth.failed'`, [environmentId])).rows;
  const codeOf = ({ status, body }: Reply): [number, string | undefined] => [status, body?.code];
  const loggedLines = (): Record<string, unknown>[] =>
    readFileSync(log, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));

  describe('as a list', () => {
    it('says who did what to which resource when, with what changed', async () => {
      const [mine, here] = await newTenant();
      const [actorId, id] = [uuidv7(), uuidv7()];
      const change = { action: 'license.renamed', resource: { type: 'license', id } };
      const view = { name: 'old', key: 'never-to-be-kept', metadata: { a: 1 }, updatedAt: new Date(0) };
      await record(
        { ...change, before: view, after: { ...view, name: 'new', updatedAt: new Date(1) } },
        { actor: { type: 'user', id: actorId }, in: here },
      );
      await record({ ...change, before: view, after: view }, { in: here });
      const { data } = expectStatus(await mine.api.get('/audit-logs'), 200).body;
      const expected = {
        id: expect.any(String),
        environment: 'live',
        action: 'license.renamed',
        actor: { type: 'user', id: actorId },
        ip: '198.51.100.1',
        requestId: 'a-request',
        resource: { type: 'license', id },
        before: { name: 'old' },
        after: { name: 'new' },
        code: null,
        route: null,
        keyPrefix: null,
        count: 1,
        createdAt: expect.stringMatching(/^20.*Z$/),
      };
      expect(data).toEqual([expected]);
      expect((await mine.api.get(`/audit-logs/${data[0].id}`)).body.data).toEqual(data[0]);
      expect(codeOf(await vendor.api.get(`/audit-logs/${data[0].id}`))).toEqual([404, 'NOT_FOUND']);
      expect(codeOf(await mine.testApi.get(`/audit-logs/${data[0].id}`))).toEqual([404, 'NOT_FOUND']);
    });

    it('is newest first, page by page, and found by every filter', async () => {
      const [mine, here] = await newTenant();
      const [key, license] = [uuidv7(), uuidv7()];
      const days = ['2026-01-01', '2026-01-02', '2026-01-03', '2026-01-04'];
      await record(
        { action: 'license.created', resource: { type: 'license', id: license } },
        { actor: { type: 'api_key', id: key }, in: here },
      );
      await record({ action: 'license.suspended', resource: { type: 'license', id: license } }, { in: here, ip: '2001:db8::1' });
      await record(
        { action: 'licenses.imported', resource: { type: 'licenses', id: uuidv7() } },
        { actor: { type: 'user', id: key }, in: here },
      );
      await record(
        { action: 'api_key.revoked', resource: { type: 'license', id: uuidv7() } },
        { actor: { type: 'system', id: null }, in: here },
      );
      const { rows } = await database.query<{ id: string }>('SELECT id FROM audit_entry WHERE environment_id = $1 ORDER BY id', [
        here.environmentId,
      ]);
      for (const [index, { id }] of rows.entries())
        await database.query('UPDATE audit_entry SET created_at = $2 WHERE id = $1', [id, days[index]]);
      const found = async (query: string): Promise<number[]> => {
        const { data } = expectStatus(await mine.api.get(`/audit-logs?${query}`), 200).body;
        return data.map(({ id }: { id: string }) => rows.findIndex((row) => row.id === id) + 1);
      };
      for (const [query, expected] of <[string, number[]][]>[
        ['', [4, 3, 2, 1]],
        [`actor=api_key`, [2, 1]],
        [`actor=api_key:${key}`, [1]],
        [`actor=user:${key}`, [3]],
        ['actor=system', [4]],
        [`actor=license:${key}`, []],
        ['action=license.created', [1]],
        ['action=license.*', [2, 1]],
        ['action=api_key.*', [4]],
        ['action=api-key.*', []],
        ['action=license', []],
        ['resource=license', [4, 2, 1]],
        [`resource=license:${license}`, [2, 1]],
        [`resource=product:${license}`, []],
        ['ip=198.51.100.1', [4, 3, 1]],
        ['ip=2001:db8::1', [2]],
        ['from=2026-01-02T00:00:00Z', [4, 3, 2]],
        ['to=2026-01-02T00:00:00Z', [1]],
        ['from=2026-01-02T00:00:00Z&to=2026-01-04T00:00:00Z', [3, 2]],
        [`resource=license&ip=198.51.100.1&action=license.*&actor=api_key:${key}&to=2026-01-02T00:00:00Z`, [1]],
      ]) {
        expect([query, await found(query)]).toEqual([query, expected]);
      }
      const first = expectStatus(await mine.api.get('/audit-logs?limit=3'), 200).body;
      const second = expectStatus(await mine.api.get(`/audit-logs?limit=3&cursor=${first.pagination.nextCursor}`), 200).body;
      expect([...first.data, ...second.data].map(({ id }: { id: string }) => id)).toEqual(rows.map(({ id }) => id).reverse());
      expect(second.pagination).toEqual({ nextCursor: null, hasMore: false });
    });

    it('finds nothing by what others did', async () => {
      const resource = { type: 'license', id: uuidv7() };
      const [other, there] = await newTenant();
      const actor: Actor = { type: 'api_key', id: uuidv7() };
      await record({ action: 'license.created', resource }, { actor, ip: '198.51.100.77', in: there });
      for (const query of [`resource=license:${resource.id}`, `actor=api_key:${actor.id}`, 'ip=198.51.100.77']) {
        expect((await other.api.get(`/audit-logs?${query}`)).body.data).toHaveLength(1);
        expect((await vendor.api.get(`/audit-logs?${query}`)).body.data).toEqual([]);
        expect((await other.testApi.get(`/audit-logs?${query}`)).body.data).toEqual([]);
      }
    });

    it('is for audit:read alone, every route of it', async () => {
      const [reader, writer] = [await vendor.keyWith('audit:read'), await vendor.keyWith('licenses:read')];
      for (const path of ['', '/verify', '/auth-failures']) {
        expect([path, (await reader.get(`/audit-logs${path}`)).status]).toEqual([path, 200]);
        const refused = await writer.get(`/audit-logs${path}`);
        expect([path, ...codeOf(refused), refused.body.details]).toEqual([
          path,
          403,
          'INSUFFICIENT_SCOPE',
          { requiredScopes: ['audit:read'] },
        ]);
      }
      for (const path of ['', '/verify']) expect(codeOf(await platform().get(`/audit-logs${path}`))).toEqual([403, 'INSUFFICIENT_SCOPE']);
    });

    it('shows a key that sees only its own segment the entries of that segment', async () => {
      const segmentId = uuidv7();
      const [own, other] = [uuidv7(), uuidv7()];
      await record({ resource: { type: 'product', id: own } }, { in: { ...tenant, segmentId } });
      await record({ resource: { type: 'product', id: other } }, { in: { ...tenant, segmentId: uuidv7() } });
      const seen = await server.app.get(Database).within({ ...tenant, segmentId }, (db) => db.auditEntry.findMany());
      expect(seen.map(({ resourceId }) => resourceId)).toEqual([own]);
    });
  });

  describe('in the database', () => {
    it.each(['latchkey_tenant', 'latchkey_system', 'latchkey_lookup'])(
      'lets %s neither change nor delete what it says, nor its chain',
      async (role) => {
        await record();
        await verify();
        for (const [table, column] of [
          ['audit_entry', 'action'],
          ['audit_link', 'hash'],
        ] as const) {
          for (const text of [`UPDATE ${table} SET ${column} = ${column}`, `DELETE FROM ${table}`, `TRUNCATE ${table}`]) {
            await database.query('BEGIN');
            await database.query(`SET LOCAL ROLE ${role}`);
            await expect(database.query(text)).rejects.toMatchObject({
              code: '42501',
              message: expect.stringMatching(/^permission denied/),
            });
            await database.query('ROLLBACK');
          }
        }
      },
    );
  });

  describe('as a chain', () => {
    it('of nothing is valid, and covers whatever was committed before it is asked', async () => {
      const [mine, here] = await newTenant();
      expect(await verify(mine.api)).toEqual({ valid: true, entries: 0, head: null, brokenAt: null });
      const heads = new Set<unknown>();
      for (let entries = 1; entries <= 3; entries += 1) {
        await record({}, { in: here });
        const proof = await verify(mine.api);
        expect(proof).toEqual({ valid: true, entries, head: expect.stringMatching(/^[0-9a-f]{64}$/), brokenAt: null });
        heads.add(proof.head);
      }
      expect(heads.size).toBe(3);
      // A refused request is an entry too.
      expect((await (await mine.keyWith('licenses:read')).get('/audit-logs')).status).toBe(403);
      expect(await verify(mine.api)).toMatchObject({ valid: true, entries: await entriesOf(here.environmentId) });
      expect(await failuresOf(here.environmentId)).toHaveLength(1);
    });

    it('goes on over more entries than are in memory at once', async () => {
      const [mine, here] = await newTenant();
      await database.query(
        `INSERT INTO audit_entry (id, environment_id, action, actor_type, before, created_at)
         SELECT gen_random_uuid(), $1, 'license.created', 'system', jsonb_build_object('n', n), now() FROM generate_series(1, 2500) AS n`,
        [here.environmentId],
      );
      expect(await verify(mine.api)).toMatchObject({ valid: true, entries: 2500 });
    });

    /** Five linked entries, tampered with as only a superuser can. */
    async function tampered(change: (entries: { id: string }[], environmentId: string) => [string, unknown[]?][]): Promise<object> {
      const [mine, here] = await newTenant();
      for (let index = 0; index < 5; index += 1) {
        const change = { before: { number: index, text: 'x' }, after: { number: index + 1, text: 'x', list: [{ a: 1 }] } };
        await record(change, { in: { ...here, segmentId: uuidv7() } });
      }
      const before = await verify(mine.api);
      expect(before).toMatchObject({ valid: true, entries: 5 });
      const { rows } = await database.query<{ id: string }>('SELECT entry_id AS id FROM audit_link WHERE chain_id = $1 ORDER BY position', [
        here.environmentId,
      ]);
      await database.query('BEGIN');
      for (const [text, values] of change(rows, here.environmentId)) await database.query(text, values);
      await database.query('COMMIT');
      const proof = await verify(mine.api);
      expect(proof.valid).toBe(false);
      return proof;
    }

    it('proves every column of every entry', async () => {
      const { rows: columns } = await database.query<{ name: string; type: string }>(
        `SELECT column_name AS name, data_type AS type FROM information_schema.columns WHERE table_name = 'audit_entry'`,
      );
      expect(columns.length).toBeGreaterThanOrEqual(17);
      const others: Record<string, string> = {
        uuid: 'gen_random_uuid()',
        text: `'other'`,
        integer: 'count + 1',
        jsonb: `'{"number": 7}'`,
        'timestamp with time zone': `created_at + interval '1 millisecond'`,
      };
      const [{ environmentId: elsewhere }] = [(await newTenant())[1]];
      for (const { name, type } of columns) {
        const other = name === 'environment_id' ? `'${elsewhere}'` : others[type];
        const isMoved = ['id', 'environment_id'].includes(name);
        const proof = await tampered(([, , entry]) => [[`UPDATE audit_entry SET ${name} = ${other!} WHERE id = $1`, [entry!.id]]]);
        expect({ name, ...proof }).toMatchObject({
          name,
          entries: 2,
          brokenAt: { problem: isMoved ? 'entry_missing' : 'hash_differs', position: 3 },
        });
      }
    });

    it.each<[string, (entries: { id: string }[], environmentId: string) => [string, unknown[]?][], object]>([
      [
        'a value inside of what is kept',
        ([entry]) => [[`UPDATE audit_entry SET after = jsonb_set(after, '{list,0,a}', '2') WHERE id = $1`, [entry!.id]]],
        { entries: 0, head: null, brokenAt: { problem: 'hash_differs', position: 1 } },
      ],
      [
        'a deleted entry',
        ([, entry]) => [['DELETE FROM audit_entry WHERE id = $1', [entry!.id]]],
        { entries: 1, brokenAt: { problem: 'entry_missing', position: 2 } },
      ],
      [
        'a deleted link',
        ([, entry]) => [['DELETE FROM audit_link WHERE entry_id = $1', [entry!.id]]],
        { entries: 1, brokenAt: { problem: 'link_missing', position: 2, entryId: null } },
      ],
      [
        'the last link deleted',
        ([, , , , last]) => [['DELETE FROM audit_link WHERE entry_id = $1', [last!.id]]],
        { entries: 4, brokenAt: { problem: 'not_linked', position: null } },
      ],
      [
        'the whole chain deleted',
        (_, environmentId) => [['DELETE FROM audit_link WHERE chain_id = $1', [environmentId]]],
        { entries: 0, head: null, brokenAt: { problem: 'not_linked' } },
      ],
      [
        'two links in each other’s place',
        (_, environmentId) => [
          ['UPDATE audit_link SET position = -2 WHERE chain_id = $1 AND position = 2', [environmentId]],
          ['UPDATE audit_link SET position = 2 WHERE chain_id = $1 AND position = 3', [environmentId]],
          ['UPDATE audit_link SET position = 3 WHERE chain_id = $1 AND position = -2', [environmentId]],
        ],
        { entries: 1, brokenAt: { problem: 'hash_differs', position: 2 } },
      ],
      [
        'two entries behind each other’s links',
        ([, one, other], environmentId) => [
          ['UPDATE audit_link SET entry_id = $1 WHERE chain_id = $2 AND position = 2', [uuidv7(), environmentId]],
          ['UPDATE audit_link SET entry_id = $1 WHERE chain_id = $2 AND position = 3', [one!.id, environmentId]],
          ['UPDATE audit_link SET entry_id = $1 WHERE chain_id = $2 AND position = 2', [other!.id, environmentId]],
        ],
        { entries: 1, brokenAt: { problem: 'hash_differs', position: 2 } },
      ],
      [
        'another hash',
        ([entry]) => [[`UPDATE audit_link SET hash = sha256('x') WHERE entry_id = $1`, [entry!.id]]],
        { entries: 0, brokenAt: { problem: 'hash_differs', position: 1 } },
      ],
      [
        'an entry put in past the trigger',
        (_, environmentId) => [
          ['SET LOCAL session_replication_role = replica'],
          [`INSERT INTO audit_entry (id, environment_id, action, actor_type) VALUES (gen_random_uuid(), $1, 'x', 'user')`, [environmentId]],
        ],
        { entries: 5, brokenAt: { problem: 'not_linked', position: null } },
      ],
      [
        'an entry put in beside the chain',
        (_, environmentId) => [
          [`INSERT INTO audit_entry (id, environment_id, action, actor_type) VALUES ($2, $1, 'x', 'user')`, [environmentId, environmentId]],
          ['DELETE FROM audit_pending WHERE entry_id = $1', [environmentId]],
          [`INSERT INTO audit_link (chain_id, position, entry_id, hash) VALUES ($1, 0, $1, sha256('x'))`, [environmentId]],
        ],
        { entries: 5, brokenAt: { problem: 'not_linked' } },
      ],
      [
        'an entry deleted before it was linked',
        (_, environmentId) => [
          [`INSERT INTO audit_entry (id, environment_id, action, actor_type) VALUES ($2, $1, 'x', 'user')`, [environmentId, environmentId]],
          ['DELETE FROM audit_entry WHERE id = $1', [environmentId]],
        ],
        { entries: 5, brokenAt: { problem: 'entry_missing', position: null } },
      ],
    ])('is broken by %s', async (_what, change, expected) => {
      expect(await tampered(change)).toMatchObject(expected);
    });

    it('goes on behind a break without hiding it', async () => {
      const [mine, here] = await newTenant();
      await record({}, { in: here });
      await verify(mine.api);
      await database.query(`UPDATE audit_entry SET action = 'other' WHERE environment_id = $1`, [here.environmentId]);
      await record({}, { in: here });
      expect(await verify(mine.api)).toMatchObject({ valid: false, entries: 0, brokenAt: { position: 1 } });
    });

    it('links what is committed by itself, within seconds', async () => {
      const [, here] = await newTenant();
      await record({}, { in: here });
      const linked = async (): Promise<number> =>
        (await database.query('SELECT FROM audit_link WHERE chain_id = $1', [here.environmentId])).rowCount ?? 0;
      while ((await linked()) === 0) await new Promise((resolve) => setTimeout(resolve, 50));
      expect((await database.query('SELECT FROM audit_pending WHERE chain_id = $1', [here.environmentId])).rowCount).toBe(0);
    });
  });

  describe('of failures of authentication', () => {
    /** A key of the vendor's that was revoked: its failures can be attributed. */
    async function revokedKeyOf(owner: Vendor): Promise<{ id: string; key: string; client: Client }> {
      const { id, key } = expectStatus(await owner.api.post('/api-keys', { name: 'to be revoked' }), 201).body.data;
      expectStatus(await owner.api.delete(`/api-keys/${id}`), 204);
      const client = withKey(server.url, key);
      for (let status = 0; status !== 401;) status = (await client.get('/api-keys/current')).status;
      await owner.api.get('/audit-logs/auth-failures');
      return { id, key, client };
    }
    const failuresBy = async (field: string, client = vendor.api, query = ''): Promise<Record<string, unknown>[]> =>
      expectStatus(await client.get(`/audit-logs/auth-failures?groupBy=${field}&limit=100${query}`), 200).body.data;

    it('has every 401 and 403 in the log and as an entry: who, from where, for what', async () => {
      const [mine] = await newTenant();
      const { id, key, client } = await revokedKeyOf(mine);
      const license = await mine.licenseUnder({});
      expectStatus(await mine.api.post(`/licenses/${license.id}/suspend`), 200);
      const requests: [Client, string, string, unknown, [number, string], string, object][] = [
        [client, 'GET', `/licenses/${license.id}`, undefined, [401, 'API_KEY_REVOKED'], '/api/v1/licenses/:id', { type: 'api_key', id }],
        [
          mine.app(license),
          'PATCH',
          `/policies/${uuidv7()}`,
          {},
          [403, 'INSUFFICIENT_SCOPE'],
          '/api/v1/policies/:id',
          { type: 'license', id: license.id },
        ],
        // Refused by a service, not by the guard.
        [
          mine.app(license),
          'POST',
          '/machines',
          { fingerprint: 'fingerprint-1' },
          [403, 'LICENSE_SUSPENDED'],
          '/api/v1/machines',
          { type: 'license', id: license.id },
        ],
      ];
      for (const [caller, method, path, body, expected, route, actor] of requests) {
        const requestId = `audit-${uuidv7()}`;
        const reply = await from('203.0.113.9', caller).call(method, path, { headers: { 'x-request-id': requestId }, body });
        expect(codeOf(reply)).toEqual(expected);
        await failuresBy('code', mine.api);
        const [entry] = expectStatus(await mine.api.get('/audit-logs?action=auth.failed&limit=1'), 200).body.data;
        const keyPrefix = caller === client ? key.slice(0, 12) : null;
        const said = { code: expected[1], ip: '203.0.113.9', route, requestId };
        expect(entry).toMatchObject({
          ...said,
          keyPrefix,
          action: 'auth.failed',
          actor,
          resource: null,
          before: null,
          after: null,
          count: 1,
        });
        const lines = loggedLines().filter((line) => line.event === 'AUTH_FAILED' && line.requestId === requestId);
        expect(lines).toEqual([expect.objectContaining({ ...said, level: 40, method, ...(keyPrefix !== null && { keyPrefix }) })]);
      }
    });

    it('has nothing of requests that failed for another reason', async () => {
      const [mine, here] = await newTenant();
      const product = await mine.product();
      expect((await mine.api.get(`/products/${uuidv7()}`)).status).toBe(404);
      expect((await mine.api.post('/products', {})).status).toBe(400);
      expect((await mine.api.post('/products', { name: 'x', code: product.code })).status).toBe(409);
      await mine.api.get('/audit-logs/auth-failures');
      expect(await failuresOf(here.environmentId)).toEqual([]);
    });

    it('counts by address, code or key, most first, what the caller just caused included', async () => {
      const [mine] = await newTenant();
      const [first, second] = [await revokedKeyOf(mine), await revokedKeyOf(mine)];
      const since = `&from=${new Date().toISOString()}`;
      for (const ip of ['203.0.113.1', '203.0.113.2', '203.0.113.2']) await from(ip, first.client).get('/products');
      await from('2001:db8::7', second.client).get('/products');
      await from('2001:db8::7', mine.app(await mine.licenseUnder({}))).get('/products');
      expect(await failuresBy('ip', mine.api, since)).toEqual([
        { ip: '2001:db8::7', count: 2, lastAt: expect.any(String) },
        { ip: '203.0.113.2', count: 2, lastAt: expect.any(String) },
        { ip: '203.0.113.1', count: 1, lastAt: expect.any(String) },
      ]);
      expect(await failuresBy('code', mine.api, since)).toEqual([
        { code: 'API_KEY_REVOKED', count: 4, lastAt: expect.any(String) },
        { code: 'INSUFFICIENT_SCOPE', count: 1, lastAt: expect.any(String) },
      ]);
      expect(await failuresBy('keyPrefix', mine.api, since)).toEqual([
        { keyPrefix: first.key.slice(0, 12), count: 3, lastAt: expect.any(String) },
        { keyPrefix: null, count: 1, lastAt: expect.any(String) },
        { keyPrefix: second.key.slice(0, 12), count: 1, lastAt: expect.any(String) },
      ]);
      expect((await mine.api.get('/audit-logs/auth-failures')).body.data).toEqual(await failuresBy('ip', mine.api));
      expect((await mine.api.get(`/audit-logs/auth-failures?limit=1${since}`)).body.data).toHaveLength(1);
      expect(await failuresBy('ip', mine.api, '&from=2099-01-01T00:00:00Z')).toEqual([]);
      expect(await failuresBy('ip', vendor.api, since)).toEqual([]);
      expect(await failuresBy('ip', mine.testApi)).toEqual([]);
    });

    it('shows the platform those of all tenants and of none, and tenants none that is not theirs', async () => {
      const [mine] = await newTenant();
      const { client } = await revokedKeyOf(mine);
      const ip = '2001:db8::dead:beef';
      await from(ip, client).get('/products');
      await from(ip, anyone(server.url)).get('/products');
      await from(ip, withKey(server.url, generateApiKey('live'))).get('/products');
      const of = async (caller: Client): Promise<unknown> => (await failuresBy('ip', caller)).find((group) => group.ip === ip)?.count;
      expect([await of(mine.api), await of(vendor.api), await of(platform())]).toEqual([1, undefined, 3]);
    });

    it('keeps the exact count of a flood from one address in few rows', async () => {
      const [mine, here] = await newTenant();
      const { client } = await revokedKeyOf(mine);
      const counted = (await failuresBy('code', mine.api))[0]!.count as number;
      await Promise.all(Array.from({ length: 500 }, () => from('203.0.113.66', client).get('/products')));
      expect(await failuresBy('ip', mine.api)).toContainEqual({ ip: '203.0.113.66', count: 500, lastAt: expect.any(String) });
      expect(await failuresBy('code', mine.api)).toEqual([{ code: 'API_KEY_REVOKED', count: counted + 500, lastAt: expect.any(String) }]);
      expect((await failuresOf(here.environmentId)).filter(({ ip }) => ip === '203.0.113.66').length).toBeLessThanOrEqual(5);
    });

    it('keeps the exact count of a flood from as many addresses, in a bounded number of rows', async () => {
      const [mine, here] = await newTenant();
      const { client } = await revokedKeyOf(mine);
      const counted = (await failuresBy('code', mine.api))[0]!.count as number;
      const addresses = Array.from({ length: 2000 }, (_, index) => `10.9.${index >> 8}.${index & 255}`);
      for (let start = 0; start < addresses.length; start += 250) {
        await Promise.all(addresses.slice(start, start + 250).map((ip) => from(ip, client).get('/products')));
      }
      expect(await failuresBy('code', mine.api)).toEqual([{ code: 'API_KEY_REVOKED', count: counted + 2000, lastAt: expect.any(String) }]);
      const rows = await failuresOf(here.environmentId);
      expect(rows.reduce((sum, { count }) => sum + count, 0)).toBe(counted + 2000);
      expect(rows.length).toBeLessThanOrEqual(500);
      const [most] = await failuresBy('ip', mine.api);
      expect(most).toMatchObject({ ip: null });
      expect(await verify(mine.api)).toMatchObject({ valid: true, entries: await entriesOf(here.environmentId) });
    });
  });
});
