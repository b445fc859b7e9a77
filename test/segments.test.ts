import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { type Client, type Reply, send, withKey } from './support/client.js';
import { sharedServer } from './support/shared-server.js';
import { testDatabaseUrl } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

/**
 * A key with the flair `segment` sees and changes only what it made, and may name products, policies and entitlements of
 * others when it creates (contract: auth.md, "API keys"). What is asked of each route is made from the OpenAPI document.
 * Limits and unique values are about everyone's rows all the same.
 */

interface Operation {
  method: string;
  /** Under /api/v1. */
  path: string;
  parameters?: { in: string; name: string }[];
}

/** One of every resource, by what a path, body or filter calls it. */
type World = Record<
  (typeof collections)[number] | 'deliveries' | 'code' | 'pid' | 'productCode' | 'key' | 'fingerprint' | 'userEmail',
  string
>;

const collections = ['products', 'policies', 'entitlements', 'licenses', 'machines', 'webhooks'] as const;

/** A body that each route takes. */
const bodies: Record<string, (world: World) => object> = {
  'PATCH /products/{id}': () => ({ name: 'touched' }),
  'PATCH /policies/{id}': () => ({ name: 'touched' }),
  'POST /policies/{id}/preview': () => ({ maxMachines: 1 }),
  'POST /policies/{id}/entitlements': ({ code }) => ({ codes: [code] }),
  'PATCH /entitlements/{id}': () => ({ name: 'touched' }),
  'PATCH /licenses/{id}': () => ({ name: 'touched' }),
  'POST /licenses/{id}/entitlements': ({ code }) => ({ codes: [code] }),
  'POST /licenses/{id}/validate': ({ fingerprint, code }) => ({ fingerprint, entitlements: [code] }),
  'POST /licenses/{id}/explain': ({ fingerprint, code }) => ({ fingerprint, entitlements: [code] }),
  'POST /licenses/{id}/transfer': ({ policies }) => ({ policyId: policies }),
  'POST /licenses/{id}/usage': () => ({ increment: 1 }),
  'POST /licenses/{id}/rotate-key': () => ({ overlapSeconds: 60 }),
  'POST /licenses/{id}/check-out': () => ({ ttlSeconds: 3600 }),
  'POST /machines/{id}/check-out': () => ({ ttlSeconds: 3600 }),
  'PATCH /machines/{id}': () => ({ name: 'touched' }),
  'POST /machines/{id}/processes': () => ({ pid: unique('pid') }),
  'PATCH /webhooks/{id}': () => ({ description: 'touched' }),
  'POST /webhooks/{id}/rotate-secret': () => ({ overlapSeconds: 0 }),
  'POST /webhooks/{id}/replay': () => ({ from: '2026-01-01T00:00:00Z', to: '2999-01-01T00:00:00Z' }),
};
const bodiless =
  /^(GET|DELETE) |^POST \/licenses\/\{id\}\/(suspend|reinstate|ban|unban|revoke|renew|check-in|usage\/reset|reset-machines)$|^POST \/machines\/\{id\}\/(processes\/\{pid\}\/)?heartbeat$|^POST \/webhooks\/(\{id\}\/test|deliveries\/\{id\}\/retry)$/;

/** What a filter names, by the list and its name; null = nothing that belongs to anyone. */
const filters: Record<string, keyof World | null> = {
  'products code': 'productCode',
  'products q': 'productCode',
  'policies productId': 'products',
  'policies q': null,
  'entitlements code': 'code',
  'entitlements q': 'code',
  'licenses productId': 'products',
  'licenses policyId': 'policies',
  'licenses userEmail': 'userEmail',
  'licenses key': 'key',
  'licenses entitlement': 'code',
  'licenses q': 'userEmail',
  'licenses status': null,
  'licenses expiresBefore': null,
  'licenses expiresAfter': null,
  'licenses metadata': null,
  'licenses sort': null,
  'machines licenseId': 'licenses',
  'machines fingerprint': 'fingerprint',
  'machines q': 'fingerprint',
  'machines status': null,
  'machines platform': null,
};

const unique = (what: string): string => `${what}-${uuidv7()}`;

const server = sharedServer();
let database: pg.Client;
let operations: Operation[];
let vendor: Vendor;
/** The key that sees everything, and two resellers'. */
let full: Client;
let own: Client;
let other: Client;

beforeAll(async () => {
  database = new pg.Client({ connectionString: testDatabaseUrl() });
  await database.connect();
  const { paths } = expectStatus(await send(server.url, 'GET', '/openapi.json'), 200).body as {
    paths: Record<string, Record<string, Omit<Operation, 'method' | 'path'>>>;
  };
  operations = Object.entries(paths)
    .flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({
        ...operation,
        method: method.toUpperCase(),
        path: path.replace('/api/v1', ''),
      })),
    )
    .filter(({ path }) => collections.some((collection) => path.startsWith(`/${collection}`)));
});
afterAll(async () => {
  await database.end();
});
beforeEach(async () => {
  vendor = await Vendor.signUp(server.url);
  full = vendor.api;
  [own, other] = [await segmentKey('reseller A [segment]'), await segmentKey('[Segment] reseller B')];
});

async function segmentKey(name: string): Promise<Client> {
  return withKey(server.url, expectStatus(await full.post('/api-keys', { name }), 201).body.data.key);
}

async function makeWorld(api: Client): Promise<World> {
  const [code, productCode, fingerprint, userEmail] = [unique('c'), unique('p'), unique('fingerprint'), `${unique('u')}@example.com`];
  const entitlement = await vendor.entitlement(code, api);
  const product = await vendor.product({ code: productCode }, api);
  const policy = await vendor.policy({ productId: product.id, durationDays: 30, maxMachines: 5 }, api);
  expectStatus(await api.post(`/policies/${policy.id}/entitlements`, { codes: [code] }), 200);
  const license = await vendor.license({ productId: product.id, policyId: policy.id, userEmail, entitlements: [code] }, api);
  const machine = expectStatus(await api.post('/machines', { licenseId: license.id, fingerprint }), 201).body.data;
  // Long enough to be in no answer by chance.
  const pid = unique('pid');
  expectStatus(await api.post(`/machines/${machine.id}/processes`, { pid }), 201);
  const webhook = expectStatus(await api.post('/webhooks', { url: 'https://1.1.1.1/x', events: ['webhook.disabled'] }), 201).body.data;
  return {
    webhooks: webhook.id,
    deliveries: await aDelivery(webhook.id, product.id),
    products: product.id,
    policies: policy.id,
    entitlements: entitlement.id,
    licenses: license.id,
    machines: machine.id,
    code,
    pid,
    productCode,
    key: license.key,
    fingerprint,
    userEmail,
  };
}

/** Of the product's event; nothing is ever sent to the endpoint. */
async function aDelivery(endpointId: string, productId: string): Promise<string> {
  await database.query("UPDATE webhook_endpoint SET resting_until = '2999-01-01' WHERE id = $1", [endpointId]);
  const { rows } = await database.query<{ id: string }>(
    `INSERT INTO webhook_delivery (id, environment_id, segment_id, endpoint_id, event_id, event_type, position, status, next_attempt_at)
     SELECT gen_random_uuid(), endpoint.environment_id, endpoint.segment_id, endpoint.id, event.id, event.type, 0, 'failed', now()
       FROM webhook_endpoint AS endpoint, event WHERE endpoint.id = $1 AND event.resource_id = $2 AND event.type = 'product.created'
     RETURNING id`,
    [endpointId, productId],
  );
  return rows[0]!.id;
}

const nameOf = ({ method, path }: Operation): string => `${method} ${path}`;
const withIdInPath = (): Operation[] => operations.filter(({ path }) => path.includes('{id}'));
const lists = (): [Operation, (typeof collections)[number]][] =>
  operations.flatMap((operation) =>
    collections
      .filter((collection) => nameOf(operation) === `GET /${collection}`)
      .map((collection): [Operation, (typeof collections)[number]] => [operation, collection]),
  );

function bodyFor(operation: Operation, world: World): object | undefined {
  const body = bodies[nameOf(operation)];
  if (body === undefined && !bodiless.test(nameOf(operation))) throw new Error(`${nameOf(operation)}: this test knows no body for it`);
  return body?.(world);
}

/** With one request id for all, answers to the same question are the same to the byte. */
async function ask(client: Client, operation: Operation, world: World, named: World = world): Promise<Reply> {
  const collection = (/([^/]+)\/\{id\}/.exec(operation.path)?.[1] ?? '') as (typeof collections)[number] | 'deliveries';
  const path = operation.path.replace('{id}', world[collection]).replace('{code}', named.code).replace('{pid}', named.pid);
  return client.call(operation.method, path, { headers: { 'x-request-id': 'segments' }, body: bodyFor(operation, named) });
}

const answerOf = ({ status, headers, text }: Reply): object => ({ status, headers: { ...headers, date: undefined }, text });
const ids = (reply: Reply): string[] => expectStatus(reply, 200).body.data.map(({ id }: { id: string }) => id);
const one = async (client: Client, path: string) => expectStatus(await client.get(path), 200).body.data;

/** The environment's rows, exactly as they are stored. */
async function rowsOf(...tables: string[]): Promise<unknown[]> {
  const found = await Promise.all(
    tables.map((table) =>
      database.query<{ row: unknown }>(
        `SELECT to_jsonb(${table}) AS row FROM ${table} JOIN environment ON environment.id = environment_id
          WHERE account_id = $1 ORDER BY to_jsonb(${table})::text`,
        [vendor.account.id],
      ),
    ),
  );
  return found.map(({ rows }) => rows.map(({ row }) => row));
}

describe('a segment key', () => {
  it('reaches what it made on every route, and so does the key that sees all', async () => {
    const refused: string[] = [];
    for (const client of [own, full]) {
      const shared = await makeWorld(own);
      for (const operation of withIdInPath()) {
        const spoils = /^DELETE |\/(suspend|ban|revoke|reset-machines)$/.test(nameOf(operation));
        const reply = await ask(client, operation, spoils ? await makeWorld(own) : shared);
        if (![200, 201, 202, 204, 409, 422].includes(reply.status)) refused.push(`${nameOf(operation)}: ${reply.text}`);
      }
    }
    expect(refused).toEqual([]);
  });

  it("finds others' ids as unknown as unknown ones, on every route, and changes nothing there", async () => {
    const worlds = { mine: await makeWorld(own), theirs: await makeWorld(other), everyones: await makeWorld(full) };
    const nobodys = { ...worlds.mine, ...Object.fromEntries([...collections, 'deliveries'].map((collection) => [collection, uuidv7()])) };
    const tables = [
      'product',
      'policy',
      'entitlement',
      'policy_entitlement',
      'license',
      'license_entitlement',
      'machine',
      'machine_process',
      'audit_entry',
      'webhook_endpoint',
      'webhook_secret',
      'webhook_delivery',
    ];
    const before = await rowsOf(...tables);
    for (const operation of withIdInPath()) {
      const unknown = await ask(own, operation, nobodys, worlds.mine);
      expect({ route: nameOf(operation), status: unknown.status }).toEqual({ route: nameOf(operation), status: 404 });
      for (const world of [worlds.theirs, worlds.everyones]) {
        for (const named of [worlds.mine, world]) {
          const hidden = await ask(own, operation, world, named);
          expect({ route: nameOf(operation), ...answerOf(hidden) }).toEqual({ route: nameOf(operation), ...answerOf(unknown) });
        }
      }
    }
    expect(await rowsOf(...tables)).toEqual(before);
  });

  it('lists what it made and nothing else; the key that sees all lists all', async () => {
    const [mine, theirs, everyones] = [await makeWorld(own), await makeWorld(other), await makeWorld(full)];
    expect(lists()).toHaveLength(collections.length);
    for (const [{ path }, collection] of lists()) {
      const listed = { own: ids(await own.get(path)), other: ids(await other.get(path)), full: ids(await full.get(path)) };
      expect({ path, ...listed }).toEqual({
        path,
        own: [mine[collection]],
        other: [theirs[collection]],
        full: [everyones[collection], theirs[collection], mine[collection]],
      });
    }
  });

  it('finds nothing by what others have, and its own by the same filters', async () => {
    const [mine, theirs, everyones] = [await makeWorld(own), await makeWorld(other), await makeWorld(full)];
    for (const [{ path, parameters = [] }, collection] of lists()) {
      for (const { name } of parameters.filter((parameter) => parameter.in === 'query' && !['limit', 'cursor'].includes(parameter.name))) {
        const filter = `${collection} ${name}`;
        const field = filters[filter];
        if (field === undefined) throw new Error(`${filter}: this test does not know what it names`);
        if (field === null) continue;
        const found = async (client: Client, world: World): Promise<string[]> => ids(await client.get(`${path}?${name}=${world[field]}`));
        expect({ filter, mine: await found(own, mine), others: [await found(own, theirs), await found(own, everyones)] }).toEqual({
          filter,
          mine: [mine[collection]],
          others: [[], []],
        });
        expect({ filter, full: await found(full, mine) }).toEqual({ filter, full: [mine[collection]] });
      }
    }
  });

  it("goes on in its own list from a cursor of another's", async () => {
    for (const client of [own, other, full]) await makeWorld(client);
    for (const [{ path }, collection] of lists()) {
      const { nextCursor } = expectStatus(await full.get(`${path}?limit=1`), 200).body.pagination;
      const mine = await one(own, `/${collection}`);
      expect(ids(await own.get(`${path}?cursor=${nextCursor}`))).toEqual(mine.map(({ id }: { id: string }) => id));
    }
  });

  it("names others' products, policies and entitlements when it creates, and what it creates is its own", async () => {
    const theirs = await makeWorld(full);
    const policy = await vendor.policy({ productId: theirs.products }, own);
    expectStatus(await own.post(`/policies/${policy.id}/entitlements`, { codes: [theirs.code] }), 200);
    const license = await vendor.license({ productId: theirs.products, policyId: theirs.policies, entitlements: [theirs.code] }, own);
    expectStatus(await own.post(`/licenses/${license.id}/entitlements`, { codes: [theirs.code], quantity: 2 }), 200);
    expect(ids(await own.get('/policies'))).toEqual([policy.id]);
    expect(ids(await own.get(`/licenses?policyId=${theirs.policies}`))).toEqual([license.id]);
    expect(ids(await own.get('/products'))).toEqual([]);
    expect(ids(await other.get(`/licenses?productId=${theirs.products}`))).toEqual([]);
    expect(ids(await full.get(`/licenses?productId=${theirs.products}`))).toEqual([license.id, theirs.licenses]);
    // Naming is not having.
    expect((await own.patch(`/policies/${theirs.policies}`, { maxMachines: 99 })).status).toBe(404);
    expect((await own.post(`/policies/${theirs.policies}/entitlements`, { codes: [theirs.code] })).status).toBe(404);
  });

  it("activates on no license of others', named in the body", async () => {
    const theirs = await makeWorld(other);
    const activate = (licenseId: string): Promise<Reply> =>
      own.call('POST', '/machines', { headers: { 'x-request-id': 'segments' }, body: { licenseId, fingerprint: theirs.fingerprint } });
    const unknown = await activate(uuidv7());
    expect(unknown).toMatchObject({ status: 404, body: { details: { field: 'licenseId' } } });
    expect(answerOf(await activate(theirs.licenses))).toEqual(answerOf(unknown));
  });

  it("filters by status under others' policies", async () => {
    const policy = await vendor.policy({ gracePeriodDays: 3, requireHeartbeat: true, heartbeatBasis: 'FROM_FIRST_BEAT' });
    const yesterday = new Date(Date.now() - 86_400_000).toISOString();
    const fields = { productId: policy.productId, policyId: policy.id };
    const inGrace = await vendor.license({ ...fields, expiresAt: yesterday }, own);
    const over = await vendor.license({ ...fields, expiresAt: '2020-01-01T00:00:00.000Z' }, own);
    await vendor.license({ ...fields, expiresAt: yesterday });
    expect(ids(await own.get('/licenses?status=active'))).toEqual([inGrace.id]);
    expect(ids(await own.get('/licenses?status=expired'))).toEqual([over.id]);
    const machine = await vendor.activate(inGrace, 'fingerprint-a');
    expect(ids(await own.get('/machines?status=not_started'))).toEqual([machine.id]);
    expect(ids(await other.get('/machines?status=not_started'))).toEqual([]);
  });
});

describe('what is about everyone', () => {
  it('counts: a segment key is told of its own, the rule counts all', async () => {
    const product = await vendor.product({}, own);
    const policy = await vendor.policy({ productId: product.id }, own);
    const make = (api: Client) => vendor.license({ productId: product.id, policyId: policy.id }, api);
    const [mine, theirs] = [await make(own), await make(other)];
    await make(full);
    const counted = async (api: Client): Promise<number[]> => [
      (await one(api, `/products/${product.id}`)).licensesCount,
      (await one(api, `/products?code=${product.code}`))[0].licensesCount,
      expectStatus(await api.patch(`/products/${product.id}`, { name: 'Renamed' }), 200).body.data.licensesCount,
      (await api.delete(`/products/${product.id}`)).body.details.licensesCount,
    ];
    expect(await counted(own)).toEqual([1, 1, 1, 1]);
    expect(await counted(full)).toEqual([3, 3, 3, 3]);

    expectStatus(await own.delete(`/licenses/${mine.id}`), 204);
    expect(await own.delete(`/products/${product.id}`)).toMatchObject({
      status: 422,
      body: { code: 'PRODUCT_HAS_LICENSES', details: { licensesCount: 0 } },
    });
    expect(await counted(own)).toEqual([0, 0, 0, 0]);
    expectStatus(await other.delete(`/licenses/${theirs.id}`), 204);
    expect(await counted(full)).toEqual([1, 1, 1, 1]);
  });

  it("keeps a policy that others' licenses follow, and does not say how many", async () => {
    const policy = await vendor.policy({}, own);
    const license = await vendor.license({ productId: policy.productId, policyId: policy.id }, other);
    const refusal = await own.delete(`/policies/${policy.id}`);
    expect(refusal).toMatchObject({ status: 422, body: { code: 'POLICY_HAS_LICENSES' } });
    expect(refusal.body).not.toHaveProperty('details');
    expect(refusal.text).not.toContain(license.id);
    expect(await vendor.validate(license)).toMatchObject({ code: expect.not.stringMatching('NOT_FOUND') });
    expectStatus(await other.delete(`/licenses/${license.id}`), 204);
    expectStatus(await own.delete(`/policies/${policy.id}`), 204);
  });

  it('takes a deleted entitlement from whoever had it', async () => {
    const [mine, theirs] = [await makeWorld(own), await makeWorld(full)];
    expectStatus(await full.post(`/policies/${theirs.policies}/entitlements`, { codes: [mine.code] }), 200);
    const { productId, id } = await vendor.policy({}, other);
    const license = await vendor.license({ productId, policyId: id, entitlements: [mine.code] }, other);
    expectStatus(await own.delete(`/entitlements/${mine.entitlements}`), 204);
    expect((await one(full, `/policies/${theirs.policies}`)).entitlements).toEqual([theirs.code]);
    expect((await one(other, `/licenses/${license.id}`)).entitlements).toEqual([]);
    expect(await vendor.validate(theirs, { fingerprint: theirs.fingerprint, entitlements: [mine.code] })).toMatchObject({
      code: 'ENTITLEMENTS_MISSING',
    });
  });

  it('refuses codes and keys that others have taken, and tells nothing of them', async () => {
    const theirs = await makeWorld(other);
    const { productId, id } = await vendor.policy();
    const key = unique('CHOSEN');
    await vendor.license({ productId, policyId: id, key }, other);
    const refusals = [
      await own.post('/products', { name: 'Twin', code: theirs.productCode }),
      await own.post('/entitlements', { name: 'Twin', code: theirs.code }),
      await own.post('/licenses', { productId, policyId: id, key }),
    ];
    for (const refusal of refusals) {
      expect(refusal).toMatchObject({ status: 409, body: { code: 'CONFLICT', details: { field: expect.stringMatching(/^(code|key)$/) } } });
      for (const value of Object.values(theirs)) expect(refusal.text).not.toContain(value);
    }
    expect((await one(full, `/products/${productId}`)).licensesCount).toBe(1);
  });

  it('answers validations whoever made the license', async () => {
    for (const api of [own, other, full]) {
      const { key, fingerprint, licenses } = await makeWorld(api);
      expect(await vendor.validate({ key }, { fingerprint, increment: 1 })).toMatchObject({ valid: true, license: { id: licenses } });
      expect((await one(api, `/licenses/${licenses}`)).usesCount).toBe(1);
    }
  });
});

describe('machines', () => {
  it("belong to their license's segment, whoever activates them; the limit counts all", async () => {
    const license = await vendor.licenseUnder({ maxMachines: 3 }, {}, own);
    const byApp = await vendor.activate(license, 'fingerprint-a');
    const activate = (api: Client, fingerprint: string): Promise<Reply> => api.post('/machines', { licenseId: license.id, fingerprint });
    const byFull = expectStatus(await activate(full, 'fingerprint-b'), 201).body.data;
    const byOwn = expectStatus(await activate(own, 'fingerprint-c'), 201).body.data;
    const all = [byOwn.id, byFull.id, byApp.id];
    expect(ids(await own.get('/machines'))).toEqual(all);
    expect(ids(await full.get('/machines'))).toEqual(all);
    expect(ids(await vendor.app(license).get('/machines'))).toEqual(all);
    expect(ids(await other.get('/machines'))).toEqual([]);
    // A seat that another holds is found again, and a full license says who is in the way.
    expect(await activate(own, 'fingerprint-a')).toMatchObject({ status: 200, body: { data: { id: byApp.id } } });
    for (const api of [own, full]) {
      const { status, body } = await activate(api, 'fingerprint-d');
      const offered = body.details.machines.map(({ id }: { id: string }) => id);
      expect([status, body.details.used, offered]).toEqual([422, 3, [...all].reverse()]);
    }
    expectStatus(await own.delete(`/machines/${byApp.id}`), 204);
    expectStatus(await vendor.app(license).post(`/machines/${byOwn.id}/heartbeat`), 200);
    expect(await one(vendor.app(license), '/licenses/me')).toMatchObject({ machineCount: 2 });
  });
});

describe('the audit log', () => {
  it("has what anyone does to a segment's resource in that segment, and nothing else", async () => {
    const mine = await makeWorld(own);
    await makeWorld(other);
    for (const operation of withIdInPath().filter(({ method }) => method === 'PATCH')) expectStatus(await ask(full, operation, mine), 200);
    const theirs = await makeWorld(full);
    for (const collection of ['policies', 'licenses'] as const) {
      expectStatus(await full.post(`/${collection}/${mine[collection]}/entitlements`, { codes: [theirs.code] }), 200);
      expectStatus(await full.delete(`/${collection}/${mine[collection]}/entitlements/${theirs.code}`), 204);
    }
    const app = vendor.app({ key: mine.key });
    const machine = expectStatus(await app.post('/machines', { fingerprint: unique('fingerprint') }), 201).body.data;
    expectStatus(await app.delete(`/machines/${machine.id}`), 204);
    for (const collection of ['webhooks', 'machines', 'licenses', 'policies', 'entitlements', 'products'] as const)
      expectStatus(await full.delete(`/${collection}/${mine[collection]}`), 204);

    const { rows } = await database.query<{ resource: string; segment: string | null }>(
      `SELECT resource_id AS resource, (SELECT name FROM api_key WHERE lineage_id = audit_entry.segment_id) AS segment
         FROM audit_entry JOIN environment ON environment.id = environment_id WHERE account_id = $1 AND resource_type <> 'api_key'`,
      [vendor.account.id],
    );
    const touched = [...collections.map((collection) => mine[collection]), machine.id];
    const ofMine = rows.filter(({ segment }) => segment === 'reseller A [segment]');
    expect(new Set(ofMine.map(({ resource }) => resource))).toEqual(new Set(touched));
    expect(rows.filter(({ resource }) => touched.includes(resource))).toEqual(ofMine);
    expect(rows.filter(({ segment }) => segment === null).map(({ resource }) => resource)).toContain(theirs.licenses);
  });
});

/** Each rule that looks at rows which a segment key does not see, and why it must. */
const allowedAcrossSegments: Record<string, string> = {
  'entitlements/entitlements.service.ts: the licenses and policies that lose an entitlement':
    'they lose it, are told so, and what they were with it is kept, whoever made them',
  'policies/policies.service.ts: whether anyone has licenses of a policy':
    'a license without its rules could not be judged, whoever made it',
  'webhooks/webhooks.service.ts: how many webhook endpoints there are': 'what an event may cost is bounded by how many are told of it',
};

it('sees past a segment only where a rule must', () => {
  const source = fileURLToPath(new URL('../src', import.meta.url));
  const texts = readdirSync(source, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file): [string, string] => [file, readFileSync(join(source, file), 'utf8')]);
  const callers = texts.flatMap(([file, text]) =>
    [...text.matchAll(/\bacrossSegments\(\s*[\w.]+,\s*[\w.]+,\s*(?:'([^']*)'|([^,]+))/g)].map(
      ([, reason, name]) => `${file}: ${reason ?? name ?? ''}`,
    ),
  );
  expect([...new Set(callers)]).toEqual(Object.keys(allowedAcrossSegments));
  const setters = texts.filter(([file, text]) => !file.startsWith('generated') && text.includes("set_config('app.segment_id'"));
  expect(setters.map(([file]) => file).sort()).toEqual(['core/database.ts', 'core/segment.ts']);
});
