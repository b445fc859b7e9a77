import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { offlineRequest } from './support/offline-request.js';
import { anyone, Client, type Reply, send, withLicense } from './support/client.js';
import { eventsArePassedOn } from './support/outbox.js';
import { ROLL_UPS, rollUpsAreKept } from './support/roll-ups.js';
import { sharedServer } from './support/shared-server.js';
import { testDatabaseUrl } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

/**
 * Nothing in one environment can see, name, count or affect a row of another (contract: README.md). What is asked of each
 * route is made from the OpenAPI document, so that a new route is covered without anyone remembering: it either passes,
 * or this file says what it has to be told about the route.
 */

interface Schema {
  $ref?: string;
  type?: string | string[];
  format?: string;
  properties?: Record<string, Schema>;
  items?: Schema;
}

interface Operation {
  method: string;
  path: string;
  security?: Record<string, string[]>[];
  parameters: { in: string; name: string; schema: Schema }[];
  requestBody?: { content: Record<string, { schema: Schema }> };
  responses: Record<string, { content?: Record<string, { schema: Schema }> }>;
}

/** One of every resource in one environment, by what a path or body calls it. */
interface World {
  apiKey: string;
  product: string;
  policy: string;
  entitlement: string;
  license: string;
  machine: string;
  /** A lease of the machine, and what the machine calls its process. */
  process: string;
  pid: string;
  testClock: string;
  user: string;
  userKey: string;
  /** The entitlement's code: attached to the policy and to the license. */
  code: string;
  productCode: string;
  licenseKey: string;
  fingerprint: string;
  userEmail: string;
  memberEmail: string;
  auditEntry: string;
  /** That the license was created. */
  event: string;
  /** An address that is told of events, to which nothing is ever sent; and that it was once told of the event. */
  webhook: string;
  delivery: string;
}

/** Which resource an id names, by the collection that it stands behind. */
const resourceOfCollection: Record<string, keyof World> = {
  'api-keys': 'apiKey',
  products: 'product',
  policies: 'policy',
  entitlements: 'entitlement',
  licenses: 'license',
  machines: 'machine',
  'test-clocks': 'testClock',
  users: 'user',
  keys: 'userKey',
  'audit-logs': 'auditEntry',
  events: 'event',
  webhooks: 'webhook',
  deliveries: 'delivery',
};

/** What lists of other names than a collection's have. */
const resourceOfList: Record<string, keyof World> = { history: 'event', processes: 'process' };

/** What belongs to an account, and so to both of its environments; no other account has any part in it. */
const sharedByEnvironments: (keyof World)[] = ['user', 'userKey', 'memberEmail'];

/** Which resource a field of a body or query names. */
const resourceOfField: Record<string, keyof World> = {
  productId: 'product',
  policyId: 'policy',
  policy: 'policy',
  licenseId: 'license',
  replaces: 'machine',
  testClockId: 'testClock',
};

/** Fields that name rows without being ids. */
const referringTexts: Record<string, keyof World> = {
  codes: 'code',
  entitlements: 'code',
  entitlement: 'code',
  code: 'code',
  key: 'licenseKey',
  fingerprint: 'fingerprint',
  userEmail: 'userEmail',
  email: 'memberEmail',
  q: 'productCode',
};

/** Fields that may name what is foreign: to work for several vendors a user hands over nothing but their id. */
const openReferences = ['POST /api/v1/users userId'];

/** A body that each route takes, when what it names is there. */
const validBodies: Record<string, (world: World) => object> = {
  'PATCH /api/v1/account': () => ({ metadata: { touched: true } }),
  'POST /api/v1/api-keys': () => ({ name: 'made by a test' }),
  'PATCH /api/v1/api-keys/{id}': () => ({ name: 'touched' }),
  'POST /api/v1/api-keys/{id}/rotate': () => ({ overlapSeconds: 60 }),
  'POST /api/v1/products': () => ({ name: 'Editor', code: unique('p') }),
  'PATCH /api/v1/products/{id}': () => ({ name: 'touched' }),
  'POST /api/v1/policies': ({ product }) => ({ productId: product, name: 'Pro' }),
  'PATCH /api/v1/policies/{id}': () => ({ name: 'touched', maxMachines: 7 }),
  'POST /api/v1/policies/{id}/preview': () => ({ maxMachines: 1 }),
  'POST /api/v1/policies/{id}/entitlements': ({ code }) => ({ codes: [code] }),
  'POST /api/v1/entitlements': () => ({ code: unique('e'), name: 'Export' }),
  'PATCH /api/v1/entitlements/{id}': () => ({ name: 'touched' }),
  'POST /api/v1/licenses': ({ product, policy, code }) => ({ productId: product, policyId: policy, entitlements: [code] }),
  'POST /api/v1/licenses/bulk': ({ product, policy, code }) => ({
    licenses: [{ productId: product, policyId: policy, entitlements: [code] }],
  }),
  'PATCH /api/v1/licenses/{id}': () => ({ name: 'touched' }),
  'POST /api/v1/licenses/{id}/entitlements': ({ code }) => ({ codes: [code] }),
  'POST /api/v1/licenses/{id}/validate': ({ code, policy }) => ({ entitlements: [code], policy }),
  'POST /api/v1/licenses/{id}/explain': ({ code, policy }) => ({ entitlements: [code], policy }),
  'POST /api/v1/licenses/{id}/transfer': ({ policy }) => ({ policyId: policy }),
  'POST /api/v1/licenses/{id}/usage': () => ({ increment: 1 }),
  'POST /api/v1/licenses/{id}/rotate-key': () => ({ overlapSeconds: 60 }),
  'POST /api/v1/licenses/{id}/check-out': () => ({ ttlSeconds: 3600 }),
  'POST /api/v1/machines': ({ license }) => ({ licenseId: license, fingerprint: unique('fingerprint') }),
  'POST /api/v1/machines/offline-requests': ({ licenseKey }) => ({ request: offlineRequest(licenseKey) }),
  'POST /api/v1/machines/{id}/check-out': () => ({ ttlSeconds: 3600 }),
  'PATCH /api/v1/machines/{id}': () => ({ name: 'touched' }),
  'POST /api/v1/machines/{id}/processes': () => ({ pid: unique('pid') }),
  'POST /api/v1/signing-keys/rotate': () => ({ revokePrevious: false }),
  'POST /api/v1/test-clocks': () => ({ frozenAt: '2026-01-01T00:00:00Z' }),
  'POST /api/v1/test-clocks/{id}/advance': () => ({ to: `${String(Math.min(8999, 2050 + (advances += 1)))}-01-01T00:00:00Z` }),
  'POST /api/v1/users': () => ({ email: `${unique('user')}@example.com`, name: 'Ada', role: 'support' }),
  'PATCH /api/v1/users/{id}': () => ({ name: 'touched' }),
  'POST /api/v1/users/{id}/keys': () => ({ name: 'laptop' }),
  'POST /api/v1/webhooks': () => ({ url: 'https://1.1.1.1/x', enabled: false }),
  'PATCH /api/v1/webhooks/{id}': () => ({ description: 'touched' }),
  'POST /api/v1/webhooks/{id}/rotate-secret': () => ({ overlapSeconds: 0 }),
  'POST /api/v1/webhooks/{id}/replay': () => ({ from: '2026-01-01T00:00:00Z', to: '2999-01-01T00:00:00Z' }),
};

/** Routes whose body is held against their license, and names nothing that is looked for: the answer is a verdict. */
const verdicts = ['POST /api/v1/licenses/{id}/validate', 'POST /api/v1/licenses/{id}/explain'];

/** Tables of which no role of ours may change a row, be it its own or not: rows come, and at most go. */
const appendOnly = [
  'tally_change',
  'audit_entry',
  'event',
  'former_state',
  'license_term',
  'machine_component',
  'event_outbox',
  'event_feed',
  'webhook_attempt',
];
/** Of which a tenant's work changes some columns, and never whose a row is. */
const fixedInPlace = ['signing_key', 'webhook_secret', 'webhook_delivery'];
/** To which a tenant's work adds nothing. */
const readOnly = ['event_feed', 'webhook_attempt'];
/** Which a tenant's work does not read: rows are there for a moment, until they are taken away across tenants. */
const passing = ['event_outbox', 'tally_change'];
/** Which are kept across tenants, and a tenant's work reads at most. */
const rollUps = ROLL_UPS;
/** Which a tenant's work has nothing to do with; here without rows. */
const unread = ['sighting'];

/** Routes whose body belongs to no tenant. */
const tenantless = [
  'POST /api/v1/auth/token',
  'POST /api/v1/accounts',
  'POST /api/v1/api-keys/verify-leak',
  'POST /api/v1/licenses/validate-key',
];

/** Clocks go forward only. */
let advances = 0;

const unique = (what: string): string => `${what}-${uuidv7()}`;
const nameOf = ({ method, path }: Operation): string => `${method} ${path}`;

describe('tenancy', () => {
  const server = sharedServer();
  let database: pg.Client;
  let operations: Operation[];
  let schemas: Record<string, Schema>;
  let a: Vendor;
  let b: Vendor;
  let own: World;
  /** The worlds that A's live key must not reach. */
  let foreign: { of: string; world: World }[];
  let environments: { own: string; foreign: string[] };
  let foreignRowsBefore: Record<string, unknown[]>;

  beforeAll(async () => {
    database = new pg.Client({ connectionString: testDatabaseUrl() });
    await database.connect();
    const { body: document } = expectStatus(await send(server.url, 'GET', '/openapi.json'), 200);
    schemas = document.components.schemas;
    operations = operationsOf(document.paths);
    [a, b] = [await Vendor.signUp(server.url), await Vendor.signUp(server.url)];
    own = await makeWorld(a.api, await environmentOf(a, 'live'));
    // Two of everything, so that their lists have a second page.
    await makeWorld(b.api, await environmentOf(b, 'live'));
    await makeWorld(a.testApi, await environmentOf(a, 'test'));
    foreign = [
      { of: "another vendor's", world: await makeWorld(b.api, await environmentOf(b, 'live')) },
      { of: "the vendor's own test environment's", world: await makeWorld(a.testApi, await environmentOf(a, 'test')) },
    ];
    environments = {
      own: await environmentOf(a, 'live'),
      foreign: [await environmentOf(b, 'live'), await environmentOf(b, 'test'), await environmentOf(a, 'test')],
    };
    await eventsArePassedOn(database, a.account.id, b.account.id);
    await rollUpsAreKept(database, a.account.id, b.account.id);
    foreignRowsBefore = await rowsOf(environments.foreign);
  });
  afterAll(async () => {
    await database.end();
  });

  async function environmentOf(vendor: Vendor, name: 'live' | 'test'): Promise<string> {
    const { rows } = await database.query<{ id: string }>('SELECT id FROM environment WHERE account_id = $1 AND name = $2', [
      vendor.account.id,
      name,
    ]);
    return rows[0]!.id;
  }

  async function makeWorld(api: Client, environmentId: string): Promise<World> {
    const create = async (path: string, body: object): Promise<{ id: string; key: string }> =>
      expectStatus(await api.post(path, body), 201).body.data;
    const [code, productCode, fingerprint] = [unique('code'), unique('p'), unique('fingerprint')];
    const userEmail = `${unique('user')}@example.com`;
    const entitlement = await create('/entitlements', { code, name: 'Export' });
    const product = await create('/products', { name: 'Editor', code: productCode });
    const policy = await create('/policies', { productId: product.id, name: 'Pro', maxMachines: 5 });
    expectStatus(await api.post(`/policies/${policy.id}/entitlements`, { codes: [code] }), 200);
    const { id } = await create('/licenses', { productId: product.id, policyId: policy.id, entitlements: [code], userEmail });
    const license = expectStatus(await api.post(`/licenses/${id}/rotate-key`, { overlapSeconds: 3600 }), 200).body.data;
    const machine = await create('/machines', { licenseId: license.id, fingerprint, components: [{ kind: 'board', fingerprint }] });
    const pid = unique('pid');
    const process = await create(`/machines/${machine.id}/processes`, { pid });
    const apiKey = await create('/api-keys', { name: 'one of them' });
    const memberEmail = `${unique('member')}@example.com`;
    const user = await create('/users', { email: memberEmail, name: 'Ada', role: 'owner' });
    const userKey = await create(`/users/${user.id}/keys`, { name: 'laptop' });
    // There is one as soon as anyone asks.
    expectStatus(await api.get('/account/signing-keys'), 200);
    // No route makes one in the live environment.
    const testClock = uuidv7();
    await database.query('INSERT INTO test_clock (id, environment_id, frozen_at, updated_at) VALUES ($1, $2, now(), now())', [
      testClock,
      environmentId,
    ]);
    const auditEntry = uuidv7();
    await database.query(
      `INSERT INTO audit_entry (id, environment_id, action, actor_type, resource_type, resource_id) VALUES ($1, $2, 'test.noted', 'system', 'license', $3)`,
      [auditEntry, environmentId, license.id],
    );
    const { rows: events } = await database.query<{ id: string }>('SELECT id FROM event WHERE resource_id = $1', [license.id]);
    const webhook = await create('/webhooks', { url: 'https://1.1.1.1/x', events: ['webhook.disabled'] });
    await addRollUps(environmentId, policy.id, license.id);
    return {
      auditEntry,
      event: events[0]!.id,
      webhook: webhook.id,
      delivery: await aDelivery(webhook.id, events[0]!.id),
      apiKey: apiKey.id,
      product: product.id,
      policy: policy.id,
      entitlement: entitlement.id,
      license: license.id,
      machine: machine.id,
      process: process.id,
      pid,
      testClock,
      user: user.id,
      userKey: userKey.id,
      code,
      productCode,
      licenseKey: license.key,
      fingerprint,
      userEmail,
      memberEmail,
    };
  }

  /** Roll-ups of what does not happen here: deaths, and months of validations. */
  async function addRollUps(environmentId: string, policyId: string, licenseId: string): Promise<void> {
    const [segment, month] = ['00000000-0000-0000-0000-000000000000', '2190-01-01T00:00:00Z'];
    await database.query('INSERT INTO dead_machine_tally VALUES ($1, $2, $3, 1)', [environmentId, segment, policyId]);
    await database.query('INSERT INTO license_month (environment_id, month, license_id, validations) VALUES ($1, $2, $3, 1)', [
      environmentId,
      month,
      licenseId,
    ]);
    await database.query("INSERT INTO name_month VALUES ($1, $2, $3, 'fingerprint', $4, 1)", [environmentId, segment, month, licenseId]);
  }

  /** That failed, after one try; and a stream of the environment that is open for ever. */
  async function aDelivery(endpointId: string, eventId: string): Promise<string> {
    const id = uuidv7();
    await database.query("UPDATE webhook_endpoint SET resting_until = '2999-01-01' WHERE id = $1", [endpointId]);
    await database.query(
      `INSERT INTO webhook_delivery (id, environment_id, endpoint_id, event_id, event_type, position, status, next_attempt_at)
       SELECT $1, environment_id, id, $3, 'license.created', 0, 'failed', now() FROM webhook_endpoint WHERE id = $2`,
      [id, endpointId, eventId],
    );
    await database.query(
      `INSERT INTO webhook_attempt (id, environment_id, endpoint_id, delivery_id, started_at, duration_ms)
       SELECT gen_random_uuid(), environment_id, endpoint_id, id, now(), 1 FROM webhook_delivery WHERE id = $1`,
      [id],
    );
    await database.query(
      `INSERT INTO event_interest (id, environment_id, types, until)
       SELECT gen_random_uuid(), environment_id, '{}', '2999-01-01' FROM webhook_endpoint WHERE id = $1`,
      [endpointId],
    );
    return id;
  }

  /** Rows of these environments (and of the accounts that only they belong to), exactly as they are stored. */
  async function rowsOf(environmentIds: string[]): Promise<Record<string, unknown[]>> {
    const rows: Record<string, unknown[]> = {};
    for (const table of await tenantTables()) {
      const found = await database.query<{ row: unknown }>(
        // But for the last use of keys: others go on using theirs.
        `SELECT to_jsonb(${table}) - 'last_used_at' - 'last_used_ip' AS row FROM ${table} WHERE environment_id = ANY($1) ORDER BY to_jsonb(${table})::text`,
        [environmentIds],
      );
      rows[table] = found.rows.map(({ row }) => row).filter((row) => !rollUps.includes(table) || !cameToNothing(row as object));
    }
    for (const [table, column] of [
      ['account', 'id'],
      ['membership', 'account_id'],
      ['user_key', 'account_id'],
    ] as const) {
      const found = await database.query<{ row: unknown }>(
        `SELECT to_jsonb(${table}) AS row FROM ${table} WHERE ${column} = $1 ORDER BY to_jsonb(${table})::text`,
        [b.account.id],
      );
      rows[table] = found.rows;
    }
    return rows;
  }

  /** How many rows each of these environments has, table by table. */
  async function rowCounts(environmentIds: string[]): Promise<Record<string, number>> {
    await eventsArePassedOn(database, a.account.id, b.account.id);
    await rollUpsAreKept(database, a.account.id, b.account.id);
    return Object.fromEntries(Object.entries(await rowsOf(environmentIds)).map(([table, rows]) => [table, rows.length]));
  }

  /** A sum of a roll-up that came to zero: a server removes it when it finds time. */
  function cameToNothing(row: object): boolean {
    return ['licenses', 'machines', 'value'].some((sum) => (row as Record<string, unknown>)[sum] === 0);
  }

  async function tenantTables(): Promise<string[]> {
    const { rows } = await database.query<{ name: string }>(
      `SELECT table_name AS name FROM information_schema.columns
        WHERE table_schema = 'public' AND column_name = 'environment_id' ORDER BY 1`,
    );
    return rows.map(({ name }) => name);
  }

  const bodyFor = (operation: Operation, world: World): object | undefined => {
    if (operation.requestBody === undefined) return undefined;
    const body = validBodies[nameOf(operation)];
    if (body === undefined) throw new Error(`${nameOf(operation)} takes a body that this test does not know: add one to validBodies`);
    return body(world);
  };

  /** With one request id for all, answers to the same question are the same to the byte. */
  const ask = (client: Client, operation: Operation, path: string, body: object | undefined): Promise<Reply> =>
    client.call(operation.method, path.replace('/api/v1', ''), { headers: { 'x-request-id': 'tenancy' }, body });

  const answerOf = ({ status, headers, text }: Reply): object => ({ status, headers: { ...headers, date: undefined }, text });

  /** Those of a tenant: the operator's are told of every account. */
  const withIdInPath = (): Operation[] =>
    operations.filter(({ path, security = [] }) => path.includes('{') && !takesPlatform({ security }));
  const takesLicenseKey = ({ security = [] }: Operation): boolean => security.some((scheme) => 'license' in scheme);
  const takesApiKey = ({ security = [] }: Operation): boolean => security.some((scheme) => 'apiKey' in scheme);
  const takesPlatform = ({ security = [] }: Pick<Operation, 'security'>): boolean => security.some((scheme) => 'platform' in scheme);
  /** The worlds that may not be reached at what this resource is a part of. */
  const foreignTo = (resource: keyof World): { of: string; world: World }[] =>
    sharedByEnvironments.includes(resource) ? foreign.slice(0, 1) : foreign;
  const isTenantsList = (operation: Operation): boolean => isList(operation) && takesApiKey(operation);
  const isList = ({ responses }: Operation): boolean =>
    responses['200']?.content?.['application/json']?.schema.properties?.pagination !== undefined;

  /** The fields of an operation's body, with their schemas. */
  const fieldsOf = ({ requestBody }: Operation): [string, Schema][] => {
    const name = requestBody?.content['application/json']?.schema.$ref?.split('/').at(-1) ?? '';
    return Object.entries(schemas[name]?.properties ?? {});
  };

  it('covers every kind of resource that paths name', () => {
    const named = new Set(withIdInPath().map(({ path }) => collectionOf(path)));
    for (const operation of withIdInPath()) if (operation.path.includes('{keyId}')) named.add('keys');
    expect([...named].sort()).toEqual(Object.keys(resourceOfCollection).sort());
  });

  it("reaches everything of one's own: the control without which a 404 says nothing", async () => {
    const refused: string[] = [];
    const shared = await makeWorld(a.api, environments.own);
    const spoils = /^DELETE |\/(suspend|ban|revoke|reset-machines)$/;
    for (const operation of withIdInPath()) {
      const world = spoils.test(nameOf(operation)) ? await makeWorld(a.api, environments.own) : shared;
      const reply = await ask(a.api, operation, pathTo(operation, world), bodyFor(operation, world));
      if (![200, 201, 202, 204, 409, 422].includes(reply.status)) refused.push(`${nameOf(operation)}: ${reply.text}`);
    }
    expect(refused).toEqual([]);
  });

  it('answers to a foreign id as to one that does not exist, on every route', async () => {
    const problems: string[] = [];
    for (const operation of withIdInPath()) {
      const missing = await ask(a.api, operation, pathTo(operation, { ...own, ...strangers() }), bodyFor(operation, own));
      if (missing.status !== 404 || missing.body?.code !== 'NOT_FOUND') problems.push(`${nameOf(operation)}, unknown: ${missing.text}`);
      for (const { of, world } of foreignTo(resourceOf(collectionOf(operation.path)))) {
        const reply = await ask(a.api, operation, pathTo(operation, world), bodyFor(operation, own));
        expect({ route: nameOf(operation), of, ...answerOf(reply) }).toEqual({ route: nameOf(operation), of, ...answerOf(missing) });
      }
    }
    expect(problems).toEqual([]);
  });

  it('answers 404 to a path id that is no UUID, on every route', async () => {
    const problems: string[] = [];
    const texts = ['1', 'null', 'not-a-uuid', `${uuidv7()}0`, '%00', '%ED%A0%80', '..%2F..%2Faccount', 'x'.repeat(2000)];
    for (const operation of withIdInPath()) {
      for (const text of texts) {
        const path = operation.path
          .replace(/\{id\}/, text)
          .replace(/\{code\}/, own.code)
          .replace(/\{pid\}/, own.pid)
          .replace(/\{keyId\}/, own.userKey);
        const reply = await ask(a.api, operation, path, bodyFor(operation, own));
        if (reply.status !== 404 || reply.body?.code !== 'NOT_FOUND') problems.push(`${operation.method} ${path}: ${reply.text}`);
      }
    }
    expect(problems).toEqual([]);
  });

  it('keeps a license key to its own license, on every route that takes one', async () => {
    const app = withLicense(server.url, own.licenseKey);
    const sibling = await makeWorld(a.api, environments.own);
    const routes = withIdInPath().filter(takesLicenseKey);
    expect(routes.map(nameOf)).toEqual(expect.arrayContaining(['DELETE /api/v1/machines/{id}', 'POST /api/v1/machines/{id}/heartbeat']));
    for (const operation of routes) {
      const missing = await ask(app, operation, pathTo(operation, { ...own, ...strangers() }), bodyFor(operation, own));
      expect({ route: nameOf(operation), status: missing.status }).toEqual({ route: nameOf(operation), status: 404 });
      for (const { of, world } of [...foreign, { of: "another license's", world: sibling }]) {
        const reply = await ask(app, operation, pathTo(operation, world), bodyFor(operation, own));
        expect({ route: nameOf(operation), of, ...answerOf(reply) }).toEqual({ route: nameOf(operation), of, ...answerOf(missing) });
      }
    }
    for (const world of [sibling, ...foreign.map((other) => other.world)]) {
      const activation = { licenseId: world.license, fingerprint: unique('fingerprint') };
      expect((await app.post('/machines', activation)).status).toBe(404);
      expect((await app.get(`/machines?licenseId=${world.license}`)).body.data).toEqual([]);
    }
    const listed = expectStatus(await app.get('/machines'), 200).body.data;
    expect(listed.map((machine: { id: string }) => machine.id)).toEqual([own.machine]);
  });

  it('lists no foreign row, on any page, in any list', async () => {
    const lists = operations.filter(isTenantsList);
    expect(lists.length).toBeGreaterThanOrEqual(6);
    for (const operation of lists) {
      const name = operation.path.split('/').at(-1)!;
      const resource = resourceOfList[name] ?? resourceOf(name);
      const foreignIds = new Set(foreignTo(resource).flatMap(({ world }) => Object.values(world)));
      const seen = await everyPage(a.api, pathTo(operation, own));
      const ids = seen.map((row) => row.id);
      expect({ route: nameOf(operation), foreign: ids.filter((id) => foreignIds.has(id)) }).toEqual({
        route: nameOf(operation),
        foreign: [],
      });
      // By the collection, and not by accident an empty list.
      expect(ids).toContain(own[resource]);
      expect(JSON.stringify(seen)).not.toContain(foreign[0]!.world.code);
    }
  });

  it('finds nothing by what others have: filters answer as for what does not exist', async () => {
    const filtered: string[] = [];
    for (const operation of operations.filter(isTenantsList)) {
      for (const { name, schema } of operation.parameters.filter((parameter) => parameter.in === 'query')) {
        const resource = schema.format === 'uuid' ? resourceOfField[name] : referringTexts[name];
        if (schema.format === 'uuid' && resource === undefined) throw new Error(`${nameOf(operation)} filters by an unknown ${name}`);
        if (resource === undefined) continue;
        for (const { world } of foreignTo(resource)) {
          const reply = expectStatus(await a.api.get(`${operation.path.replace('/api/v1', '')}?${name}=${world[resource]}`), 200);
          expect({ route: nameOf(operation), name, ...reply.body }).toEqual({
            route: nameOf(operation),
            name,
            data: [],
            pagination: { nextCursor: null, hasMore: false },
          });
        }
        filtered.push(name);
      }
    }
    expect(filtered).toEqual(expect.arrayContaining(['productId', 'policyId', 'licenseId', 'key', 'code', 'fingerprint', 'email']));
  });

  it("goes on in one's own list from a cursor of another's", async () => {
    for (const [client, path] of [
      [b.api, '/entitlements'],
      [a.testApi, '/licenses'],
    ] as const) {
      const { nextCursor } = expectStatus(await client.get(`${path}?limit=1`), 200).body.pagination;
      const foreignIds = (await everyPage(client, `/api/v1${path}`)).map(({ id }) => id);
      const reply = expectStatus(await a.api.get(`${path}?limit=100&cursor=${nextCursor}`), 200);
      expect(reply.body.data.filter(({ id }: { id: string }) => foreignIds.includes(id))).toEqual([]);
    }
  });

  it('refuses every reference to a foreign row, and writes nothing', async () => {
    const everywhere = [environments.own, ...environments.foreign];
    const before = await rowCounts(everywhere);
    const tried: string[] = [];
    const accepted: string[] = [];
    for (const operation of operations.filter((candidate) => candidate.requestBody !== undefined && takesApiKey(candidate))) {
      if (verdicts.includes(nameOf(operation))) continue;
      for (const [name, schema] of fieldsOf(operation)) {
        if (openReferences.includes(`${nameOf(operation)} ${name}`)) continue;
        const resource = schema.format === 'uuid' ? resourceOfField[name] : ['codes', 'entitlements'].includes(name) ? 'code' : undefined;
        if (schema.format === 'uuid' && resource === undefined) throw new Error(`${nameOf(operation)} names an unknown ${name}`);
        if (resource === undefined) continue;
        for (const { of, world } of foreign) {
          const value = resource === 'code' ? [own.code, world.code] : world[resource];
          const reply = await ask(a.api, operation, pathTo(operation, own), { ...bodyFor(operation, own), [name]: value });
          const unknown = resource === 'code' ? [own.code, unique('code')] : uuidv7();
          const missing = await ask(a.api, operation, pathTo(operation, own), { ...bodyFor(operation, own), [name]: unknown });
          if (reply.status < 400 || reply.status >= 500) accepted.push(`${nameOf(operation)} ${name} of ${of}: ${reply.text}`);
          expect({ route: nameOf(operation), name, ...answerOf(reply) }).toEqual({ route: nameOf(operation), name, ...answerOf(missing) });
        }
        tried.push(`${nameOf(operation)} ${name}`);
      }
    }
    expect(accepted).toEqual([]);
    expect(tried.sort()).toEqual([
      'PATCH /api/v1/licenses/{id} testClockId',
      'POST /api/v1/licenses entitlements',
      'POST /api/v1/licenses policyId',
      'POST /api/v1/licenses productId',
      'POST /api/v1/licenses testClockId',
      'POST /api/v1/licenses/{id}/entitlements codes',
      'POST /api/v1/licenses/{id}/transfer policyId',
      'POST /api/v1/machines licenseId',
      'POST /api/v1/machines replaces',
      'POST /api/v1/policies productId',
      'POST /api/v1/policies/{id}/entitlements codes',
    ]);
    // What stands deeper in a body, or in a file.
    for (const { world } of foreign) {
      for (const [field, value] of [
        ['productId', world.product],
        ['policyId', world.policy],
        ['testClockId', world.testClock],
        ['entitlements', [world.code]],
      ] as const) {
        const license = { productId: own.product, policyId: own.policy, [field]: value };
        const bulk = await a.api.post('/licenses/bulk', { licenses: [license] });
        expect([field, bulk.status, bulk.body.details.field]).toEqual([field, 404, expect.stringMatching(`^licenses\\[0\\]\\.${field}`)]);
        const file = { raw: JSON.stringify(license), headers: { 'content-type': 'application/x-ndjson' } };
        const { data } = expectStatus(await a.api.call('POST', '/licenses/import', file), 200).body;
        expect([field, data.created, data.rows[0].issues[0].path]).toEqual([field, 0, expect.stringMatching(`^${field}`)]);
      }
    }
    expect(await rowCounts(everywhere)).toEqual(before);
  });

  it('detaches nothing by a foreign code', async () => {
    for (const { world } of foreign) {
      expect((await a.api.delete(`/policies/${own.policy}/entitlements/${world.code}`)).status).toBe(404);
      expect((await a.api.delete(`/licenses/${own.license}/entitlements/${world.code}`)).status).toBe(404);
    }
  });

  it('shares the users of an account between its environments, and with no other account', async () => {
    const idsOf = async (api: Client): Promise<string[]> => (await everyPage(api, '/api/v1/users')).map(({ id }) => id);
    const [theirs, test] = [foreign[0]!.world, foreign[1]!.world];
    expect(await idsOf(a.api)).toEqual(await idsOf(a.testApi));
    expect(await idsOf(a.api)).toEqual(expect.arrayContaining([own.user, test.user]));
    expect(await idsOf(a.api)).not.toContain(theirs.user);
    // Who is added by id is what this account calls them; their own account notices nothing.
    const c = await Vendor.signUp(server.url);
    const before = [await b.api.get(`/users/${theirs.user}`), await b.api.get(`/users/${theirs.user}/keys`)].map(({ text }) => text);
    const body = { userId: theirs.user, email: `${unique('user')}@example.com`, name: 'Ours', role: 'support' };
    const added = expectStatus(await c.api.post('/users', body), 201);
    expect(added.body.data).toMatchObject({ id: theirs.user, email: body.email, name: 'Ours', role: 'support', metadata: {} });
    expect((await c.api.get(`/users/${theirs.user}/keys`)).body.data).toEqual([]);
    expect((await c.api.delete(`/users/${theirs.user}/keys/${theirs.userKey}`)).status).toBe(404);
    expectStatus(await c.api.delete(`/users/${theirs.user}`), 204);
    expect([await b.api.get(`/users/${theirs.user}`), await b.api.get(`/users/${theirs.user}/keys`)].map(({ text }) => text)).toEqual(
      before,
    );
  });

  it('knows every body that belongs to no tenant', () => {
    const known = [...Object.keys(validBodies), ...tenantless];
    const taking = operations.filter(({ requestBody }) => requestBody?.content['application/json'] !== undefined).map(nameOf);
    expect(taking.filter((name) => !known.includes(name))).toEqual([]);
    expect(known.filter((name) => !taking.includes(name))).toEqual([]);
  });

  it('tells a validation nothing about what others have', async () => {
    const byKey = (fields: object): Promise<Reply> =>
      anyone(server.url).post('/licenses/validate-key', { key: own.licenseKey, fingerprint: own.fingerprint, ...fields });
    const byId = (action: string) => (fields: object) =>
      a.api.post(`/licenses/${own.license}/${action}`, { fingerprint: own.fingerprint, ...fields });
    for (const ask of [byKey, byId('validate'), byId('explain')]) {
      /** What is said of it, whatever was sent, and when. */
      const said = async (field: string, value: string): Promise<string> => {
        const { text } = expectStatus(await ask({ [field]: field === 'entitlements' ? [value] : value }), 200);
        return text.replaceAll(value, '(sent)').replaceAll(/"(now|checkedAt)":"[^"]*"/g, '');
      };
      const code = unique('code');
      for (const { world } of foreign) {
        expect(await said('product', world.product)).toEqual(await said('product', uuidv7()));
        expect(await said('product', world.productCode)).toEqual(await said('product', 'no-such-product'));
        expect(await said('policy', world.policy)).toEqual(await said('policy', uuidv7()));
        expect(await said('fingerprint', world.fingerprint)).toEqual(await said('fingerprint', 'no-such-fingerprint'));
        expect(await said('entitlements', world.code)).toEqual(await said('entitlements', code));
      }
      expect(await said('entitlements', code)).toContain('ENTITLEMENTS_MISSING');
    }
    for (const account of [b.account.id, b.account.slug, uuidv7()]) {
      expect((await byKey({ account })).body.data).toMatchObject({ valid: false, code: 'NOT_FOUND', license: null });
    }
  });

  it("lets no vendor shadow, probe or block another's own keys", async () => {
    const key = unique('VENDOR-CHOSEN');
    const make = async (vendor: Vendor): Promise<{ id: string }> => vendor.licenseUnder({ requireFingerprint: false }, { key });
    const [c, d] = [await Vendor.signUp(server.url), await Vendor.signUp(server.url)];
    const [ofC, ofD] = [await make(c), await make(d)];
    const find = async (account?: string): Promise<string | undefined> =>
      (await anyone(server.url).post('/licenses/validate-key', { key, account })).body.data.license?.id;
    expect([await find(), await find(a.account.slug), await find(c.account.id), await find(d.account.slug)]).toEqual([
      undefined,
      undefined,
      ofC.id,
      ofD.id,
    ]);
    expect((await withLicense(server.url, key, c.account.id).get('/licenses/me')).body.data.id).toBe(ofC.id);
    expect((await withLicense(server.url, key, a.account.id).get('/licenses/me')).status).toBe(401);
    expect((await withLicense(server.url, key).get('/licenses/me')).status).toBe(401);
    expect((await a.api.get(`/licenses?key=${key}`)).body.data).toEqual([]);
  });

  it('takes tenant and environment from the credential, and refuses a request that names others', async () => {
    for (const elsewhere of <Record<string, string>[]>[
      { 'x-account-id': b.account.id },
      { 'x-account-id': b.account.slug },
      { 'x-environment': 'test' },
      { 'x-account-id': uuidv7() },
    ]) {
      for (const path of ['/products?limit=100', `/products/${foreign[0]!.world.product}`, '/account'])
        expect([elsewhere, (await a.api.call('GET', path, { headers: elsewhere })).status]).toEqual([elsewhere, 401]);
    }
    const same = { 'x-account-id': a.account.slug, 'x-environment': 'live', 'x-environment-id': environments.foreign[0]! };
    const reply = await a.api.call('GET', '/products?limit=100', { headers: same });
    expect(reply.body.data.map(({ id }: { id: string }) => id)).toContain(own.product);
    expect((await a.api.call('GET', `/products/${foreign[0]!.world.product}`, { headers: same })).status).toBe(404);
    const smuggled = { name: 'Editor', code: unique('p'), environmentId: environments.foreign[0] };
    expect((await a.api.post('/products', smuggled)).body.code).toBe('VALIDATION_ERROR');
  });

  it('has left every foreign row as it was', async () => {
    const after = await rowsOf(environments.foreign);
    for (const table of await tenantTables())
      expect([table, (after[table] ?? []).length > 0]).toEqual([table, ![...passing, ...unread].includes(table)]);
    expect(after).toEqual(foreignRowsBefore);
  });

  describe('in the database', () => {
    /** One statement as the tenants' role, rolled back; the SQLSTATE when it is refused. */
    async function asRole(
      role: string,
      settings: Record<string, string>,
      text: string,
      values: unknown[] = [],
    ): Promise<pg.QueryResult<Record<string, string>> & { refusal?: string }> {
      await database.query('BEGIN');
      try {
        await database.query(`SET LOCAL ROLE ${role}`);
        for (const [name, value] of Object.entries(settings)) await database.query('SELECT set_config($1, $2, true)', [name, value]);
        return await database.query<Record<string, string>>(text, values);
      } catch (error) {
        if (!(error instanceof pg.DatabaseError)) throw error;
        return { rows: [], rowCount: 0, command: '', oid: 0, fields: [], refusal: `${error.code ?? ''} ${error.message}` };
      } finally {
        await database.query('ROLLBACK');
      }
    }
    const asTenant = (text: string, values: unknown[] = []) =>
      asRole('latchkey_tenant', { 'app.environment_id': environments.own, 'app.account_id': a.account.id }, text, values);

    const readTables = async (): Promise<string[]> => (await tenantTables()).filter((table) => ![...passing, ...unread].includes(table));

    it('has row security enabled and forced on every table', async () => {
      const { rows } = await database.query<{ name: string }>(
        `SELECT relname AS name FROM pg_class
          WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND relname <> '_prisma_migrations'
            AND NOT (relrowsecurity AND relforcerowsecurity)`,
      );
      expect(rows).toEqual([]);
      const tables = await database.query(`SELECT 1 FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')`);
      expect(tables.rowCount).toBeGreaterThanOrEqual(12);
    });

    it('gives no role of ours a way around it', async () => {
      const { rows } = await database.query(
        `SELECT rolname FROM pg_roles WHERE rolname LIKE 'latchkey\\_%'
            AND (rolsuper OR rolbypassrls OR rolcanlogin OR rolcreaterole OR EXISTS (SELECT FROM pg_class WHERE relowner = pg_roles.oid))`,
      );
      expect(rows).toEqual([]);
    });

    it("shows a tenant its own environment's rows in every table", async () => {
      for (const table of await readTables()) {
        const { rows } = await asTenant(`SELECT DISTINCT environment_id AS id FROM ${table}`);
        expect({ table, rows }).toEqual({ table, rows: [{ id: environments.own }] });
      }
      expect((await asTenant('SELECT id FROM account')).rows).toEqual([{ id: a.account.id }]);
      expect((await asTenant('SELECT DISTINCT account_id AS id FROM environment')).rows).toEqual([{ id: a.account.id }]);
    });

    it('shows nothing to one that does not say whose rows it wants', async () => {
      for (const settings of <Record<string, string>[]>[{}, { 'app.environment_id': '', 'app.account_id': '' }]) {
        for (const table of [...(await readTables()), 'account', 'environment']) {
          const { rows, refusal } = await asRole('latchkey_tenant', settings, `SELECT count(*) FROM ${table}`);
          expect({ table, rows, refusal }).toEqual({ table, rows: [{ count: '0' }], refusal: undefined });
        }
      }
    });

    it("shows a tenant its own account's users and keys of users, and lets it touch no other's", async () => {
      for (const table of ['membership', 'user_key']) {
        expect((await asTenant(`SELECT DISTINCT account_id AS id FROM ${table}`)).rows).toEqual([{ id: a.account.id }]);
        const moved = await asTenant(`UPDATE ${table} SET account_id = $1`, [b.account.id]);
        expect({ table, refusal: moved.refusal }).toEqual({ table, refusal: expect.stringMatching(/^42501 /) });
        const touched = await asTenant(`UPDATE ${table} SET updated_at = updated_at WHERE account_id = $1`, [b.account.id]);
        expect({ table, count: touched.rowCount, refusal: touched.refusal }).toEqual({ table, count: 0, refusal: undefined });
      }
      expect((await asTenant('DELETE FROM membership WHERE account_id = $1', [b.account.id])).rowCount).toBe(0);
      // A row of these opens other accounts: a tenant makes none, widens none, and removes none.
      const copy =
        'INSERT INTO user_key SELECT (jsonb_populate_record(key, jsonb_build_object($$all_accounts$$, true))).* FROM user_key AS key';
      for (const text of ['DELETE FROM user_key', 'UPDATE user_key SET all_accounts = true', copy])
        expect([text, (await asTenant(text)).refusal]).toEqual([text, expect.stringMatching(/^42501 permission denied/)]);
      const users = (await asTenant('SELECT id FROM vendor_user')).rows.map(({ id }) => id);
      expect(users).toEqual(expect.arrayContaining([own.user]));
      expect(users).not.toContain(foreign[0]!.world.user);
      for (const text of ['UPDATE vendor_user SET created_at = created_at', 'DELETE FROM vendor_user']) {
        expect((await asTenant(text)).refusal).toMatch(/^42501 permission denied/);
      }
      for (const settings of <Record<string, string>[]>[{}, { 'app.account_id': '' }]) {
        for (const table of ['membership', 'user_key', 'vendor_user']) {
          expect((await asRole('latchkey_tenant', settings, `SELECT count(*) FROM ${table}`)).rows).toEqual([{ count: '0' }]);
        }
      }
    });

    it('writes into no other environment', async () => {
      for (const table of await tenantTables()) {
        const elsewhere = environments.foreign[0];
        const isKept = [...appendOnly, ...fixedInPlace, ...rollUps].includes(table);
        const [denied, hidden] = [/^42501 permission denied/, /^42501 .*row-level security/];
        const refusal = isKept ? denied : hidden;
        const moved = await asTenant(`UPDATE ${table} SET environment_id = $1`, [elsewhere]);
        expect({ table, refusal: moved.refusal }).toEqual({ table, refusal: expect.stringMatching(refusal) });
        const copied = await asTenant(
          `INSERT INTO ${table} SELECT (jsonb_populate_record(row, jsonb_build_object('environment_id', $1::text))).* FROM ${table} AS row LIMIT 1`,
          [elsewhere],
        );
        const isClosed = [...readOnly, ...passing, ...rollUps].includes(table);
        expect({ table, refusal: copied.refusal }).toEqual({ table, refusal: expect.stringMatching(isClosed ? denied : hidden) });
        if (isKept) continue;
        const touched = await asTenant(`UPDATE ${table} SET environment_id = environment_id WHERE environment_id = $1`, [elsewhere]);
        expect({ table, count: touched.rowCount, refusal: touched.refusal }).toEqual({ table, count: 0, refusal: undefined });
      }
      const put = 'INSERT INTO event_outbox (environment_id, event_id) VALUES ($1, gen_random_uuid())';
      expect((await asTenant(put, [environments.foreign[0]])).refusal).toMatch(/^42501 .*row-level security/);
      expect((await asTenant(put, [environments.own])).refusal).toBeUndefined();
      const renamed = await asTenant('UPDATE account SET name = name WHERE id = $1', [b.account.id]);
      expect([renamed.rowCount, renamed.refusal]).toEqual([0, undefined]);
    });

    it('removes no foreign attachment, and no row for good', async () => {
      for (const table of await tenantTables()) {
        const { rowCount, refusal } = await asTenant(`DELETE FROM ${table} WHERE environment_id = $1`, [environments.foreign[0]]);
        if (refusal === undefined)
          expect([table, rowCount]).toEqual([
            expect.stringMatching(/_entitlement$|^former_license_key$|^license_term$|^machine_|^webhook_secret$|^event_interest$/),
            0,
          ]);
        else expect([table, refusal]).toEqual([table, expect.stringMatching(/^42501 permission denied/)]);
      }
    });

    it('ties no row to a row of another environment, whoever asks', async () => {
      const other = foreign[0]!.world;
      const references: [string, string][] = [
        [`UPDATE policy SET product_id = '${other.product}' WHERE id = '${own.policy}'`, 'policy'],
        [`UPDATE license SET product_id = '${other.product}' WHERE id = '${own.license}'`, 'license'],
        [`UPDATE license SET policy_id = '${other.policy}' WHERE id = '${own.license}'`, 'license'],
        [`UPDATE license SET test_clock_id = '${other.testClock}' WHERE id = '${own.license}'`, 'license'],
        [`UPDATE machine SET license_id = '${other.license}' WHERE id = '${own.machine}'`, 'machine'],
        [`UPDATE policy_entitlement SET entitlement_id = '${other.entitlement}' WHERE policy_id = '${own.policy}'`, 'policy_entitlement'],
        [
          `UPDATE license_entitlement SET entitlement_id = '${other.entitlement}' WHERE license_id = '${own.license}'`,
          'license_entitlement',
        ],
      ];
      for (const [text] of references) {
        expect({ text, refusal: (await asTenant(text)).refusal }).toEqual({ text, refusal: expect.stringMatching(/^23503 /) });
        await expect(database.query(text)).rejects.toMatchObject({ code: '23503' });
      }
      // Of these a tenant's work cannot even change what they belong to.
      for (const text of [
        `UPDATE webhook_secret SET endpoint_id = '${other.webhook}' WHERE endpoint_id = '${own.webhook}'`,
        `UPDATE webhook_delivery SET endpoint_id = '${other.webhook}' WHERE endpoint_id = '${own.webhook}'`,
        `UPDATE webhook_attempt SET delivery_id = '${other.delivery}' WHERE delivery_id = '${own.delivery}'`,
      ]) {
        expect({ text, refusal: (await asTenant(text)).refusal }).toEqual({
          text,
          refusal: expect.stringMatching(/^42501 permission denied/),
        });
        await expect(database.query(text)).rejects.toMatchObject({ code: '23503' });
      }
      // Every reference between tenants' tables carries the environment with it; people may belong to many accounts.
      const { rows } = await database.query<{ name: string }>(
        `SELECT conname AS name FROM pg_constraint
          WHERE contype = 'f' AND connamespace = 'public'::regnamespace AND cardinality(conkey) < 2
            AND confrelid NOT IN ('environment'::regclass, 'account'::regclass, 'vendor_user'::regclass)`,
      );
      expect(rows).toEqual([]);
    });

    it('lets the hot paths read, and read no sealed key; whoever seals keys anew writes nothing else of a license', async () => {
      for (const table of await tenantTables()) {
        for (const text of [`UPDATE ${table} SET environment_id = environment_id`, `DELETE FROM ${table}`]) {
          expect((await asRole('latchkey_lookup', {}, text)).refusal).toMatch(/^42501 permission denied/);
        }
      }
      expect((await asRole('latchkey_lookup', {}, 'SELECT key_sealed FROM license')).refusal).toMatch(/^42501 permission denied/);
      for (const column of ['key_digest', 'pepper_id', 'environment_id', 'policy_id', 'expires_at', 'suspended_at'])
        expect((await asRole('latchkey_system', {}, `UPDATE license SET ${column} = ${column}`)).refusal).toMatch(
          /^42501 permission denied/,
        );
    });
  });

  it('crosses tenants only where it must', () => {
    expect(callersAcrossTenants()).toEqual(Object.keys(allowedAcrossTenants).sort());
  });

  /** A path with the ids of a world. Fails for a collection that nobody told this file about. */
  function pathTo({ path }: Operation, world: World): string {
    return path.replace(/([^/]+)\/\{(\w+)\}/g, (_, collection: string, name: string) => {
      if (collection === 'entitlements' && name === 'code') return `${collection}/${world.code}`;
      if (collection === 'keys' && name === 'keyId') return `${collection}/${world.userKey}`;
      if (collection === 'processes' && name === 'pid') return `${collection}/${encodeURIComponent(world.pid)}`;
      if (name !== 'id') throw new Error(`${path}: what {${name}} names is not known here`);
      return `${collection}/${world[resourceOf(collection)]}`;
    });
  }

  async function everyPage(client: Client, path: string): Promise<{ id: string }[]> {
    const rows: { id: string }[] = [];
    for (let cursor: string | null = ''; cursor !== null;) {
      const page: string = cursor === '' ? '' : `&cursor=${cursor}`;
      const { data, pagination } = expectStatus(await client.get(`${path.replace('/api/v1', '')}?limit=5${page}`), 200).body;
      rows.push(...data);
      cursor = pagination.nextCursor;
    }
    return rows;
  }
});

/** Ids that nobody has. */
function strangers(): Record<
  | 'apiKey'
  | 'product'
  | 'policy'
  | 'entitlement'
  | 'license'
  | 'machine'
  | 'testClock'
  | 'auditEntry'
  | 'event'
  | 'user'
  | 'userKey'
  | 'webhook'
  | 'delivery',
  string
> {
  return {
    apiKey: uuidv7(),
    product: uuidv7(),
    policy: uuidv7(),
    entitlement: uuidv7(),
    license: uuidv7(),
    machine: uuidv7(),
    testClock: uuidv7(),
    user: uuidv7(),
    userKey: uuidv7(),
    auditEntry: uuidv7(),
    event: uuidv7(),
    webhook: uuidv7(),
    delivery: uuidv7(),
  };
}

function operationsOf(paths: Record<string, Record<string, Omit<Operation, 'method' | 'path'>>>): Operation[] {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ ...operation, method: method.toUpperCase(), path })),
  );
}

function resourceOf(collection: string): keyof World {
  const resource = resourceOfCollection[collection];
  if (resource === undefined) throw new Error(`${collection} is a collection that this test does not know: add it to World and makeWorld`);
  return resource;
}

/** The collection that a path's first id stands behind. */
function collectionOf(path: string): string {
  return /([^/]+)\/\{/.exec(path)?.[1] ?? '';
}

/** Each place that reads or writes beyond one tenant, by what it says that it does, and why it may. */
const allowedAcrossTenants: Record<string, string> = {
  'accounts/accounts.service.ts: create an account': 'its environments are not there yet',
  'accounts/accounts.service.ts: list accounts': 'for the operator: the platform token or the command line',
  'accounts/accounts.service.ts: suspend or reinstate an account': 'for the operator: the platform token or the command line',
  'analytics/freshness.ts: FIND_OLDEST_WAITING': 'a time and nothing else: what a process has validated waits in rows of many tenants',
  'analytics/rebuild.service.ts: clear the roll-ups of an environment':
    'of the environment that the operator named, which no tenant writes',
  'analytics/rebuild.service.ts: find environments without roll-ups': 'their ids, of everyone; each is then rebuilt by itself',
  'analytics/rebuild.service.ts: hold the turn to rebuild roll-ups': 'touches no row: a lock of the database',
  'analytics/rebuild.service.ts: rebuild the roll-ups of an environment': 'sums of rows that were read within that environment',
  'analytics/rebuild.service.ts: wait for the turn to rebuild roll-ups': 'touches no row: a lock of the database',
  'analytics/roll-up-retention.worker.ts: forget processes that are gone': 'of servers, by nothing but their age',
  'analytics/roll-up-retention.worker.ts: remove analytics that are kept no longer':
    'of everyone, by nothing but their age, or that they are zero',
  'analytics/roll-up-retention.worker.ts: walk through environments': 'their ids alone',
  'analytics/roll-up.worker.ts: FIND_WHAT_WAITS': 'whether anything waits, of anyone: yes or no',
  'analytics/roll-up.worker.ts: count validations in the roll-ups':
    'what processes have validated, of every tenant, each folded into rows of its own environment',
  'analytics/roll-up.worker.ts: keep the roll-ups of analytics': 'changes of every tenant, each folded into rows of its own environment',
  'licenses/validation-counts.ts: KEEP_BATCH':
    'what a process has validated, of many tenants: each count names its environment; can only insert',
  'api-keys/current-key.service.ts: show a user key to itself': 'its own row, by its own id; it may have been made in another account',
  'api-keys/leak-check.service.ts: record that a key leaked': 'whoever finds a key knows no account: the tenant is what is asked for',
  'audit/audit-chain.worker.ts: find entries to link into the audit chains': 'chains of every tenant are extended by the same worker',
  'audit/audit-chain.worker.ts: link entries into an audit chain': 'each time one chain: entries of its tenant, named by its id',
  'audit/audit.service.ts: count failures of authentication for the operator': 'the platform token sees those of all tenants and of none',
  'auth/authenticator.ts: FIND_API_KEY': 'whose key is this: the tenant is what is asked for',
  'auth/authenticator.ts: FIND_API_KEY_OF_TOKEN': 'whose token is this: the same, by the id in what we have signed',
  'auth/authenticator.ts: FIND_LICENSE': 'whose license key is this: the tenant is what is asked for',
  'auth/authenticator.ts: FIND_USER_KEY': 'whose key is this, and which accounts does it open',
  'auth/authenticator.ts: FIND_USER_KEY_OF_TOKEN': 'the same, by the id in what we have signed',
  'auth/key-use.worker.ts: keep the last use of keys': 'times of many keys in one statement; can write nothing else',
  'service/watch.ts: FIND_ROLL_UPS_AGE': 'an age and nothing else, of whichever tenant the oldest is',
  'core/readiness.ts: FIND_OWN_KEY': 'whether the master key of this process was rotated out, of no tenant',
  'core/readiness.ts: see how long events have waited': 'an age and nothing else, of whichever tenant the oldest is',
  'events/retention.worker.ts: remove events that are kept no longer': 'of everyone, by nothing but their age',
  'events/retention.worker.ts: remove what ended with its time': 'of everyone, by nothing but their end',
  'auth/license-keys.ts: FIND_ACCOUNT': 'from an id or slug to an id, to compare it with the account of a credential',
  'auth/standing.ts: FIND_API_KEYS': 'of all who have streams open: whose keys are these now',
  'auth/standing.ts: FIND_USER_KEYS': 'the same, and which accounts do they open',
  'events/feed.worker.ts: pass on events and make their deliveries':
    'of all tenants, in one order; deliveries only to endpoints of the same environment',
  'events/feed-reader.ts: tell open streams of events':
    'of all environments with open streams, in one order; each is told of its own alone',
  'core/auth-failures.ts: write failures of authentication': 'rows of many tenants and of none in one statement; can only insert',
  'cli/session.ts: FIND_ENVIRONMENT': 'from the account that the operator names to its environment',
  'core/interests.ts: END_LEASES': "leases of this process's streams, by their ids, and those that ran out",
  'core/interests.ts: FIND_INTERESTS': 'who listens to types of high volume, of all tenants: ids of environments and types alone',
  'core/interests.ts: KEEP_LEASES': 'of streams of many tenants in one statement, each with its environment',
  'core/idempotency.ts: claim an idempotency key': 'kept answers belong to credentials; the digest has whose it is, and which environment',
  'core/idempotency.ts: keep the first answer to an idempotency key': 'the same; sealed, and found by that digest alone',
  'core/idempotency.worker.ts: delete expired idempotency keys': 'of everyone, by nothing but their age',
  'demo.ts: see whether there is an account yet': 'a demo account is made only in an empty installation',
  'licenses/keys.query.ts: FIND_FORMER_KEY_IN_FORCE': 'a former key is unique in its account, which has two environments',
  'licenses/expiry.worker.ts: find licenses whose expiry is to be announced':
    'of all tenants, by their expiry alone; each is then announced within its own',
  'licenses/creation.service.ts: TAKEN_KEYS': 'whether a key is free: in every environment, and no more than that is told',
  'licenses/offline-digest.worker.ts: find licenses without an offline digest':
    'of all tenants, by nothing but that they have none; each is then made within its own',
  'licenses/last-validated.worker.ts: keep lastValidatedAt of licenses': 'times of many licenses in one statement; can write nothing else',
  'licenses/validation-events.service.ts: FIND_REST_OF_LICENSES': 'licenses of many tenants in one statement, each validated by its own',
  'licenses/validation-events.service.ts: KEEP_EVENTS': 'events of those, each with the environment of its license; can only insert',
  'licenses/validation.service.ts: FIND_VALIDATION_FACTS': 'validate-key: the key itself says whose license it is',
  'machines/sweep.worker.ts: find leases of processes that lapsed': 'of all tenants, by their last beat; each is then ended within its own',
  'machines/sweep.worker.ts: find machines that are to be swept': 'of all tenants, by their last beat; each is then swept within its own',
  'machines/sweep.worker.ts: find policies under which machines die': 'their ids alone, to walk through their machines',
  'machines/activation.service.ts: FIND_OFFERED': 'machines of a license that was found for its caller, in their environment',
  'machines/activation.service.ts: FIND_SEATS': "a license of the caller's environment and segment, and nothing of any other",
  'machines/heartbeats.service.ts: FIND_BEATING':
    "machines of many callers in one statement, each by its license's key or within its caller's environment",
  'machines/heartbeats.service.ts: KEEP_AND_TELL_BEATS':
    'the same with their events, each of the environment in which its machine was found',
  'machines/heartbeats.service.ts: KEEP_BEATS':
    'times of many machines in one statement, each with its environment; can write nothing else',
  'service/watch.ts: count the seats in use': 'for the operator: one sum of all tenants',
  'service/watch.ts: count what waits to be passed on and to be delivered': 'for the operator: sums of all tenants',
  'signing/keys-in-use.ts: ADD_FIRST_KEY': 'the first key of the environment that is signed for; kept whatever becomes of the request',
  'signing/keys-in-use.ts: FIND_KEY_IN_USE': 'of that environment alone',
  'signing/keys-in-use.ts: KEEP_KEY_PUBLISHED': 'the key that was found there, by its id; can only say that it is published for longer',
  'signing/signing-keys.service.ts: FIND_ENVIRONMENT': "for the key set, which is everyone's: from the account to its environment",
  'signing/signing-keys.service.ts: FIND_PUBLISHED_KEYS': 'the public halves of the keys of that environment',
  'webhooks/delivery.worker.ts: claim deliveries that are due, with what they consist of':
    'of all tenants, in turns between their endpoints; events and secrets are joined by their tenant too',
  'core/seal-anew.ts: count what each master key has sealed': 'for the operator, when the master key is replaced: numbers alone',
  'core/seal-anew.ts: look whether what names no known master key opens': 'the same: what opens is thrown away, and a number is left',
  'core/seal-anew.ts: seal anew what another master key has sealed':
    'what is at rest, of every tenant: each value is put back into the row that it came from, by its key and only if it is still the same',
  'webhooks/delivery.worker.ts: give back deliveries that were claimed': 'the same ones, by their ids',
  'webhooks/outcomes.ts: keep what came of deliveries':
    'of many tenants in one transaction: each row gets the tenant of its delivery, and a disabled endpoint is told of within its own',
  'users/user-keys.service.ts: make a key of a user': 'whether the user works for other accounts too decides what the key opens',
  'users/users.service.ts: add a user of another account': 'whether there is a user with the id that was handed over',
};

function callersAcrossTenants(): string[] {
  const source = fileURLToPath(new URL('../src', import.meta.url));
  const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
  return files
    .flatMap((file) => {
      const text = readFileSync(join(source, file), 'utf8');
      // Names of hosts are looked up too, by others. Its first argument: the reason in words, or the name of the statement.
      return [...text.matchAll(/(?<!\bdns|\bguard)\.(?:acrossTenants|lookup|stamp)\b[^(]*\(\s*(?:'([^']*)'|([^,\s]+))/g)].map(
        ([, reason, statement]) => `${file}: ${reason ?? statement ?? ''}`,
      );
    })
    .sort();
}
