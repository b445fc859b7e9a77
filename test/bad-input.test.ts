import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { anyone, Client, type Reply, send, type Sending, withLicense } from './support/client.js';
import { eventsArePassedOn } from './support/outbox.js';
import { KEPT_BEHIND } from './support/roll-ups.js';
import { sharedServer } from './support/shared-server.js';
import { TEST_PLATFORM_TOKEN, testDatabaseUrl } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

/**
 * What is wrong with a request is the caller's to mend: always a 4xx that names the field, never a 500, and nothing is
 * written (contract: http.md, "Errors"). Every operation of the OpenAPI document gets the same hostile requests; tables
 * below have what is special to a field.
 */

interface Schema {
  $ref?: string;
  type?: string | string[];
  format?: string;
  enum?: string[];
  pattern?: string;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  properties?: Record<string, Schema>;
  required?: string[];
}

interface Operation {
  method: string;
  path: string;
  security?: Record<string, string[]>[];
  parameters: { in: string; name: string; required?: boolean; schema: Schema }[];
  requestBody?: { content: Record<string, { schema: Schema }> };
}

/** What an operation is called with: its path below /api/v1 filled in, and a caller whom it lets in. */
interface Target {
  name: string;
  operation: Operation;
  call: (sending?: Sending & { query?: string }) => Promise<Reply>;
}

const BODY_LIMIT = 256 * 1024;
/** Where more is taken. */
const LARGER_LIMITS: Record<string, number> = { 'POST /api/v1/licenses/bulk': 4 * 1024 * 1024 };
const NDJSON = 'application/x-ndjson';
const MARK = uuidv7();

const takesFile = ({ requestBody }: Pick<Operation, 'requestBody'>): boolean => requestBody?.content[NDJSON] !== undefined;
const emptyFile: Sending = { raw: '\n', headers: { 'content-type': NDJSON } };

describe('bad input', () => {
  const server = sharedServer();
  let database: pg.Client;
  let vendor: Vendor;
  let schemas: Record<string, Schema>;
  let targets: Target[];
  let own: Record<
    | 'product'
    | 'otherPolicy'
    | 'policy'
    | 'entitlement'
    | 'license'
    | 'machine'
    | 'apiKey'
    | 'auditEntry'
    | 'event'
    | 'user'
    | 'userKey'
    | 'testClock'
    | 'webhook'
    | 'delivery',
    string
  >;
  let ownUserKey: string;
  let code: string;
  const pid = `pid of ${MARK}`;
  let productCode: string;
  let before: unknown;

  beforeAll(async () => {
    database = new pg.Client({ connectionString: testDatabaseUrl() });
    await database.connect();
    vendor = await Vendor.signUp(server.url);
    code = `code-${MARK}`;
    productCode = `p-${MARK}`;
    const entitlement = await vendor.entitlement(code);
    const product = await vendor.product({ code: productCode });
    const policy = await vendor.policy({ productId: product.id, maxMachines: 3 });
    const otherPolicy = await vendor.policy();
    const license = await vendor.license({ productId: product.id, policyId: policy.id, key: `KEY-${MARK}` });
    const machine = expectStatus(await vendor.api.post('/machines', { licenseId: license.id, fingerprint: 'fingerprint-1' }), 201).body
      .data;
    expectStatus(await vendor.api.post(`/machines/${machine.id}/processes`, { pid }), 201);
    const apiKey = expectStatus(await vendor.api.post('/api-keys', { name: 'one' }), 201).body.data;
    const user = expectStatus(await vendor.api.post('/users', { email: `ada-${MARK}@example.com`, name: 'Ada', role: 'support' }), 201);
    const userKey = expectStatus(await vendor.api.post(`/users/${user.body.data.id}/keys`, { name: 'laptop' }), 201);
    ownUserKey = userKey.body.data.key;
    const webhook = expectStatus(await vendor.api.post('/webhooks', { url: 'https://1.1.1.1/x', events: ['webhook.disabled'] }), 201).body
      .data;
    own = {
      webhook: webhook.id,
      delivery: await aDelivery(webhook.id),
      product: product.id,
      policy: policy.id,
      otherPolicy: otherPolicy.id,
      entitlement: entitlement.id,
      license: license.id,
      machine: machine.id,
      apiKey: apiKey.id,
      user: user.body.data.id,
      userKey: userKey.body.data.id,
      auditEntry: await anAuditEntry(),
      event: (await vendor.api.get('/events?limit=1')).body.data[0].id,
      testClock: await aTestClock(),
    };
    const { body: document } = expectStatus(await send(server.url, 'GET', '/openapi.json'), 200);
    schemas = document.components.schemas;
    targets = targetsOf(document.paths);
    await eventsArePassedOn(database, vendor.account.id);
    before = await everything();
  });
  afterAll(async () => {
    await database.end();
  });

  async function anAuditEntry(): Promise<string> {
    const { rows } = await database.query<{ id: string }>(
      `INSERT INTO audit_entry (id, environment_id, action, actor_type)
       SELECT gen_random_uuid(), id, 'test.noted', 'system' FROM environment WHERE account_id = $1 AND name = 'live' RETURNING id`,
      [vendor.account.id],
    );
    return rows[0]!.id;
  }

  /** Nothing is ever sent to the endpoint. */
  async function aDelivery(endpointId: string): Promise<string> {
    await database.query("UPDATE webhook_endpoint SET resting_until = '2999-01-01' WHERE id = $1", [endpointId]);
    const { rows } = await database.query<{ id: string }>(
      `INSERT INTO webhook_delivery (id, environment_id, endpoint_id, event_id, event_type, position, status, next_attempt_at)
       SELECT gen_random_uuid(), environment_id, id, gen_random_uuid(), 'license.created', 0, 'failed', now()
         FROM webhook_endpoint WHERE id = $1 RETURNING id`,
      [endpointId],
    );
    return rows[0]!.id;
  }

  /** No route makes one in the live environment. */
  async function aTestClock(): Promise<string> {
    const { rows } = await database.query<{ id: string }>(
      `INSERT INTO test_clock (id, environment_id, frozen_at, updated_at)
       SELECT gen_random_uuid(), id, now(), now() FROM environment WHERE account_id = $1 AND name = 'live' RETURNING id`,
      [vendor.account.id],
    );
    return rows[0]!.id;
  }

  /** Every row that the vendor has, and every account that a request of this file could have made. */
  async function everything(): Promise<Record<string, unknown[]>> {
    const { rows: tables } = await database.query<{ name: string }>(
      `SELECT table_name AS name FROM information_schema.columns WHERE table_schema = 'public' AND column_name = 'environment_id'`,
    );
    const found: Record<string, unknown[]> = {};
    for (const { name } of tables) {
      if (KEPT_BEHIND.includes(name)) continue;
      const { rows } = await database.query(
        // Sending a request is a use of the key; that is no more than it says.
        `SELECT to_jsonb(${name}) - 'last_used_at' - 'last_used_ip' AS row FROM ${name} JOIN environment ON environment.id = environment_id
          WHERE account_id = $1 ORDER BY to_jsonb(${name})::text`,
        [vendor.account.id],
      );
      found[name] = rows;
    }
    for (const name of ['membership', 'user_key']) {
      const { rows } = await database.query(
        `SELECT to_jsonb(${name}) - 'last_used_at' - 'last_used_ip' AS row FROM ${name} WHERE account_id = $1 ORDER BY to_jsonb(${name})::text`,
        [vendor.account.id],
      );
      found[name] = rows;
    }
    const accounts = await database.query('SELECT to_jsonb(account) AS row FROM account WHERE id = $1 OR slug LIKE $2 OR name LIKE $2', [
      vendor.account.id,
      `%${MARK}%`,
    ]);
    return { ...found, accounts: accounts.rows };
  }

  function targetsOf(paths: Record<string, Record<string, Omit<Operation, 'method' | 'path'>>>): Target[] {
    const ids: Record<string, string> = {
      'api-keys': own.apiKey,
      products: own.product,
      policies: own.policy,
      entitlements: own.entitlement,
      licenses: own.license,
      machines: own.machine,
      'test-clocks': own.testClock,
      users: own.user,
      keys: own.userKey,
      accounts: vendor.account.id,
      'audit-logs': own.auditEntry,
      events: own.event,
      webhooks: own.webhook,
      deliveries: own.delivery,
    };
    return Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => {
        const filled = path.replace(/([^/]+)\/\{(\w+)\}/g, (_, collection: string, parameter: string) => {
          const value = { code, pid: encodeURIComponent(pid) }[parameter] ?? ids[collection];
          if (value === undefined) throw new Error(`${path}: this test does not know the collection ${collection}`);
          return `${collection}/${value}`;
        });
        const caller = callerOf(operation.security ?? []);
        // Without it the key set would be refused for that alone.
        const needed = path.endsWith('/jwks.json') ? `account=${vendor.account.slug}` : null;
        return {
          name: `${method.toUpperCase()} ${path}`,
          operation: { ...operation, method: method.toUpperCase(), path },
          call: ({ query = '', ...given } = {}) => {
            const sending = takesFile(operation) && given.raw === undefined ? emptyFile : given;
            return send(server.url, method.toUpperCase(), filled + (needed === null ? query : `${query || '?'}&${needed}`), {
              ...sending,
              headers: { ...caller.headers, ...framed(sending) },
            });
          },
        };
      }),
    );
  }

  function callerOf(security: Record<string, string[]>[]): Client {
    const takes = (scheme: string): boolean => security.some((alternative) => scheme in alternative);
    if (takes('apiKey')) return vendor.api;
    if (takes('userKey')) return new Client(server.url, { authorization: `Bearer ${ownUserKey}` });
    if (takes('license')) return withLicense(server.url, `KEY-${MARK}`, vendor.account.id);
    return takes('platform') ? new Client(server.url, { authorization: `Bearer ${TEST_PLATFORM_TOKEN}` }) : anyone(server.url);
  }

  /** With one in JSON. */
  const withBody = (): Target[] => targets.filter(({ operation }) => operation.requestBody?.content['application/json'] !== undefined);
  const schemaOf = ({ operation }: Target): Required<Pick<Schema, 'properties' | 'required'>> => {
    const name = operation.requestBody?.content['application/json']?.schema.$ref?.split('/').at(-1) ?? '';
    return { properties: schemas[name]?.properties ?? {}, required: schemas[name]?.required ?? [] };
  };
  const pathsOf = (reply: Reply): string[] =>
    ((reply.body?.details?.issues ?? []) as { path: string; message: string }[]).map(({ path }) => path).sort();

  /** Asserts for each of these operations that it refuses the request, and with what. */
  async function expectRefusals(
    of: Target[],
    request: (target: Target) => Sending & { query?: string },
    expected: { status: number; code: string; paths?: (target: Target) => string[] },
    shorten = (path: string): string => path,
  ): Promise<void> {
    expect(of.length).toBeGreaterThan(0);
    for (const target of of) {
      const reply = await target.call(request(target));
      const outcome = {
        route: target.name,
        status: reply.status,
        code: reply.body?.code,
        ...(expected.paths && { paths: [...new Set(pathsOf(reply).map(shorten))] }),
      };
      expect(outcome).toEqual({
        route: target.name,
        status: expected.status,
        code: expected.code,
        ...(expected.paths && { paths: expected.paths(target).sort() }),
      });
    }
  }

  const invalid = (...paths: string[]) => ({ status: 400, code: 'VALIDATION_ERROR', paths: () => paths });

  describe('on every operation with a body', () => {
    it.each<[string, string | Buffer]>([
      ['broken JSON', '{"name": '],
      ['a comma too many', '{"name": "x",}'],
      ['a comment', '{"name": "x"} // name'],
      ['a string', '"name"'],
      ['null', 'null'],
      ['a number', '1'],
      ['white space', '   '],
      ['NaN', '{"name": NaN}'],
      ['invalid UTF-8 in a value', Buffer.from([...Buffer.from('{"name":"'), 0xff, ...Buffer.from('"}')])],
      ['invalid UTF-8 in a key', Buffer.from([...Buffer.from('{"'), 0xc3, 0x28, ...Buffer.from('":1}')])],
      ['a surrogate encoded as UTF-8', Buffer.from([...Buffer.from('{"name":"'), 0xed, 0xa0, 0x80, ...Buffer.from('"}')])],
    ])('%s is MALFORMED_JSON', async (_what, raw) => {
      await expectRefusals(withBody(), () => ({ raw }), { status: 400, code: 'MALFORMED_JSON' });
    });

    it('a list instead of an object is refused as a whole', async () => {
      for (const raw of ['[]', '[{}]', '[null]']) await expectRefusals(withBody(), () => ({ raw }), invalid(''));
    });

    it('every required field that is missing is named', async () => {
      const requiring = withBody().filter((target) => schemaOf(target).required.length > 0);
      for (const sending of [{ body: {} }, {}, { headers: { 'content-type': 'application/json' }, raw: '' }]) {
        await expectRefusals(requiring, () => sending, {
          status: 400,
          code: 'VALIDATION_ERROR',
          paths: (target) => schemaOf(target).required,
        });
      }
    });

    it('an unknown field is named, beside everything else that is wrong', async () => {
      await expectRefusals(withBody(), () => ({ body: { noSuchField: 1, nam: 'x', environmentId: uuidv7() } }), {
        status: 400,
        code: 'VALIDATION_ERROR',
        paths: (target) => ['noSuchField', 'nam', 'environmentId', ...schemaOf(target).required],
      });
    });

    it('fields that only the server sets are unknown', async () => {
      const body = { id: uuidv7(), createdAt: '2026-01-01T00:00:00.000Z', updatedAt: '2026-01-01T00:00:00.000Z', deletedAt: null };
      await expectRefusals(withBody(), () => ({ body }), {
        status: 400,
        code: 'VALIDATION_ERROR',
        paths: (target) => [...Object.keys(body), ...schemaOf(target).required],
      });
    });

    it.each(['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty'])('%s is no field', async (name) => {
      for (const value of ['1', '{"isAdmin":true}', 'null']) {
        await expectRefusals(withBody(), () => ({ raw: `{${JSON.stringify(name)}:${value}}` }), {
          status: 400,
          code: 'VALIDATION_ERROR',
          paths: (target) => [name, ...schemaOf(target).required],
        });
      }
    });

    it.each<[string, (schema: Schema) => unknown]>([
      ['wrong type', wrongType],
      ['wrong kind of nothing', (schema) => (isNullable(schema) ? wrongType(schema) : null)],
      ['object', (schema) => (typesOf(schema).includes('object') ? [] : { value: 'x' })],
      ['list of lists', () => [[]]],
      ['value too large', tooLarge],
      ['value too small', tooSmall],
      ['null byte', () => 'null\0byte'],
      ['lone surrogate', () => 'lone\ud800surrogate'],
    ])('every field with a %s is named, all at once', async (_what, wrong) => {
      await expectRefusals(
        withBody(),
        (target) => ({
          body: Object.fromEntries(Object.entries(schemaOf(target).properties).map(([name, schema]) => [name, wrong(schema)])),
        }),
        {
          status: 400,
          code: 'VALIDATION_ERROR',
          paths: (target) => Object.keys(schemaOf(target).properties),
        },
        (path) => path.replace(/[.[].*/, ''),
      );
    });

    it('keys that cannot be stored are refused', async () => {
      for (const raw of ['{"a\\u0000b":1}', '{"\\ud800":1}']) {
        await expectRefusals(withBody(), () => ({ raw }), {
          status: 400,
          code: 'VALIDATION_ERROR',
          paths: (target) => ['', ...schemaOf(target).required],
        });
      }
    });

    it('100,000 levels of nesting are refused by name, wherever they are', async () => {
      const deep = '['.repeat(100_000) + ']'.repeat(100_000);
      for (const name of ['name', 'metadata', 'noSuchField']) {
        await expectRefusals(withBody(), () => ({ raw: `{"${name}":${deep}}` }), invalid(name));
      }
      const objects = '{"a":'.repeat(40_000) + '1' + '}'.repeat(40_000);
      await expectRefusals(withBody(), () => ({ raw: objects }), invalid('a'));
    });

    it('more than the limit, which is 256 KiB nearly everywhere, is 413, also when it comes compressed or in pieces', async () => {
      const tooMuch = ({ name }: Target): string => JSON.stringify({ name: 'x'.repeat((LARGER_LIMITS[name] ?? BODY_LIMIT) + 1) });
      for (const sendingOf of <((raw: string) => Sending)[]>[
        (raw) => ({ raw }),
        (raw) => ({ raw, headers: { 'transfer-encoding': 'chunked' } }),
        (raw) => ({ raw: gzipSync(raw), headers: { 'content-encoding': 'gzip' } }),
      ]) {
        await expectRefusals(withBody(), (target) => sendingOf(tooMuch(target)), { status: 413, code: 'PAYLOAD_TOO_LARGE' });
      }
    });

    it('another content type is 415', async () => {
      const types = ['text/plain', 'application/x-www-form-urlencoded', 'application/xml', 'application/json; charset=latin1', 'json', ''];
      for (const type of types) {
        const taking = withBody().filter(({ operation }) => operation.requestBody?.content[type] === undefined);
        await expectRefusals(taking, () => ({ raw: '{}', headers: { 'content-type': type } }), {
          status: 415,
          code: 'UNSUPPORTED_MEDIA_TYPE',
        });
      }
      const encoded = { raw: '{}', headers: { 'content-encoding': 'zip' } };
      await expectRefusals(withBody(), () => encoded, { status: 415, code: 'UNSUPPORTED_MEDIA_TYPE' });
    });

    it('broken compression is MALFORMED_JSON', async () => {
      const headers = { 'content-encoding': 'gzip' };
      await expectRefusals(withBody(), () => ({ raw: '{"name":"x"}', headers }), { status: 400, code: 'MALFORMED_JSON' });
      const cut = gzipSync('{"name":"x"}').subarray(0, 20);
      await expectRefusals(withBody(), () => ({ raw: cut, headers }), { status: 400, code: 'MALFORMED_JSON' });
    });
  });

  describe('on every operation', () => {
    const documented = (): Target[] => targets;
    // Public routes say what is missing after they have seen that nothing is wrong.
    const missing = ({ operation: { security = [], parameters } }: Target): string[] =>
      parameters
        .filter((parameter) => parameter.in === 'query' && parameter.required === true && security.length > 0)
        .map(({ name }) => name);
    const required = (target: Target): string[] => (target.operation.requestBody === undefined ? [] : schemaOf(target).required);

    it('an unknown query parameter is named', async () => {
      const names = ['noSuchParameter', 'environmentId', 'deletedAt', 'constructor'];
      const query = `?${names.map((name) => `${name}=1`).join('&')}`;
      // Of a route that takes both, whichever of query and body is wrong is named first.
      const bodyFor = (target: Target) => (target.name === 'POST /api/v1/machines' ? { fingerprint: 'fingerprint-1' } : {});
      await expectRefusals(documented(), (target) => ({ query, ...(required(target).length > 0 ? { body: bodyFor(target) } : {}) }), {
        ...invalid(),
        paths: (target) => [...names, ...missing(target)].sort(),
      });
    });

    it('a null byte in a query is refused', async () => {
      for (const query of ['?no%00such=1', '?noSuchParameter=%00']) {
        for (const target of documented()) {
          const reply = await target.call({ query });
          expect([target.name, reply.status, reply.body?.code]).toEqual([target.name, 400, 'VALIDATION_ERROR']);
        }
      }
    });

    it('a body where none is taken is refused by its fields', async () => {
      const without = targets.filter(({ operation }) => operation.requestBody === undefined && operation.method !== 'GET');
      await expectRefusals(without, () => ({ body: { noSuchField: 1, name: 'x' } }), invalid('noSuchField', 'name'));
      await expectRefusals(without, () => ({ raw: '{' }), { status: 400, code: 'MALFORMED_JSON' });
      await expectRefusals(without, () => ({ raw: 'a=1', headers: { 'content-type': 'text/plain' } }), {
        status: 415,
        code: 'UNSUPPORTED_MEDIA_TYPE',
      });
      await expectRefusals(without, () => ({ raw: ' '.repeat(300 * 1024) }), { status: 413, code: 'PAYLOAD_TOO_LARGE' });
    });

    it('a path that cannot be decoded is 404', async () => {
      for (const { operation } of targets) {
        for (const text of ['%', '%ED%A0%80', '%ff', '%00']) {
          const path = operation.path.includes('{')
            ? operation.path.replace(/\{\w+\}/g, text)
            : `${operation.path.replace(/\/$/, '')}/${text}`;
          const reply = await callerOf(operation.security ?? []).call(
            operation.method,
            `/..${path}`.replace('/..', '').replace('/api/v1', ''),
          );
          expect([path, reply.status, reply.body?.code]).toEqual([path, 404, 'NOT_FOUND']);
        }
      }
    });
  });

  describe('on every list', () => {
    const lists = (): Target[] => targets.filter(({ operation }) => operation.parameters.some(({ name }) => name === 'cursor'));

    it.each(['0', '101', '-1', 'abc', '1.5', '', '1e1', '0x10', ' 5', '99999999999999999999', 'NaN', 'null', '٣'])(
      'limit=%s is refused',
      async (limit) => {
        await expectRefusals(lists(), () => ({ query: `?limit=${encodeURIComponent(limit)}` }), invalid('limit'));
      },
    );

    it('a repeated parameter is refused by name', async () => {
      await expectRefusals(lists(), () => ({ query: '?limit=1&limit=2' }), invalid('limit'));
      await expectRefusals(lists(), () => ({ query: '?limit[max]=1&cursor[]=x' }), invalid('cursor', 'limit'));
      await expectRefusals(lists(), () => ({ query: '?cursor=a&cursor=b' }), invalid('cursor'));
    });

    it('a cursor that no list gave is INVALID_CURSOR', async () => {
      const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
      const time = '2026-01-01T00:00:00.000Z';
      const garbage = [
        'x',
        '%25',
        'AAAA',
        uuidv7(),
        encode(null),
        encode({}),
        encode([]),
        encode(['-createdAt', time, uuidv7()]),
        encode(['products', '-createdAt', time, "' OR 1=1 --"]),
        encode(['products', '-createdAt', '2026-13-45T99:00:00.000Z', uuidv7()]),
        encode(['products', '-createdAt', 5, uuidv7()]),
        encode(['products', 'name', time, uuidv7()]),
        encode(['products', '-createdAt', null, uuidv7()]),
        encode('['.repeat(100)),
      ];
      for (const cursor of garbage) {
        await expectRefusals(lists(), () => ({ query: `?cursor=${cursor}` }), { status: 400, code: 'INVALID_CURSOR' });
      }
      await expectRefusals(lists(), () => ({ query: `?cursor=${'x'.repeat(501)}` }), invalid('cursor'));
      await expectRefusals(lists(), () => ({ query: '?cursor=' }), invalid('cursor'));
      await expectRefusals(lists(), () => ({ query: '?cursor=%00' }), invalid('cursor'));
    });

    it('a cursor of another list or order is INVALID_CURSOR', async () => {
      const cursorOf = async (path: string): Promise<string> => expectStatus(await vendor.api.get(path), 200).body.pagination.nextCursor;
      const [ofPolicies, ofKeys] = [await cursorOf('/policies?limit=1'), await cursorOf('/api-keys?limit=1')];
      expect((await vendor.api.get(`/policies?cursor=${ofPolicies}`)).status).toBe(200);
      for (const path of [`/products?cursor=${ofPolicies}`, `/policies?cursor=${ofKeys}`, `/licenses?sort=expiresAt&cursor=${ofKeys}`]) {
        const reply = await vendor.api.get(path);
        expect([path, reply.status, reply.body.code]).toEqual([path, 400, 'INVALID_CURSOR']);
      }
    });

    it.each([
      ['/licenses?sort=name', 'sort'],
      ['/licenses?sort=createdAt&sort=expiresAt', 'sort'],
      ['/licenses?status=gone', 'status'],
      ['/licenses?status=', 'status'],
      ['/licenses?productId=x', 'productId'],
      ['/licenses?policyId[not]=x', 'policyId'],
      ['/licenses?expiresBefore=tomorrow', 'expiresBefore'],
      ['/licenses?expiresAfter=2026-02-30T00:00:00Z', 'expiresAfter'],
      ['/licenses?metadata=x', 'metadata'],
      ['/licenses?metadata[a][b]=x', 'metadata'],
      ['/licenses?metadata[a]=x&metadata[a]=y', 'metadata'],
      [`/licenses?metadata[${'k'.repeat(65)}]=x`, 'metadata'],
      ['/licenses?metadata[constructor]=x', 'metadata.constructor'],
      ['/licenses?metadata[a]=%00', 'metadata.a'],
      ['/licenses?q=', 'q'],
      [`/licenses?q=${'x'.repeat(256)}`, 'q'],
      ['/licenses?q[contains]=x', 'q'],
      ['/licenses?entitlement[]=x', 'entitlement'],
      [`/licenses?key=${'x'.repeat(301)}`, 'key'],
      ['/machines?platform=amiga', 'platform'],
      ['/machines?status=alive', 'status'],
      ['/machines?licenseId=null', 'licenseId'],
      ['/policies?productId=1', 'productId'],
      ['/products?code[]=x', 'code'],
      ['/users?role=boss', 'role'],
      ['/users?role=constructor', 'role'],
      ['/users?email=', 'email'],
      ['/users?q[]=x', 'q'],
      ['/analytics/timeseries?metric=sales', 'metric'],
      ['/analytics/timeseries?metric[]=validations', 'metric'],
      ['/analytics/timeseries?metric=validations&interval=minute', 'interval'],
      ['/analytics/timeseries?metric=validations&groupBy=constructor', 'groupBy'],
      ['/analytics/timeseries?metric=validations&from=2026-02-30T00:00:00Z', 'from'],
      ['/analytics/timeseries?metric=validations&to=now', 'to'],
      ['/analytics/expirations?from=2026-02-30', 'from'],
      ['/analytics/expirations?to[]=2026-02-01', 'to'],
      ['/analytics/retention?from=2026-1', 'from'],
      ['/analytics/retention?to=0000-00', 'to'],
      ['/audit-logs?actor=somebody', 'actor'],
      ['/audit-logs?action=*', 'action'],
      ['/audit-logs?action[]=x', 'action'],
      ['/audit-logs?resource=:', 'resource'],
      ['/audit-logs?ip=here', 'ip'],
      ['/audit-logs?from=1', 'from'],
      ['/audit-logs?to=2026-02-30T00:00:00Z', 'to'],
      ['/events?type=license', 'type'],
      ['/events?type=license.*,', 'type'],
      ['/events?type=license.*,license.sold', 'type'],
      ['/events?type=*', 'type'],
      ['/events?type[]=license.created', 'type'],
      ['/events?resource=user', 'resource'],
      ['/events?resource=license:1', 'resource'],
      ['/events?from=1', 'from'],
      ['/events?to=2026-02-30T00:00:00Z', 'to'],
      ['/audit-logs/auth-failures?groupBy=route', 'groupBy'],
      ['/analytics/top?by=constructor', 'by'],
      ['/analytics/top?by=ips&month=0000-01', 'month'],
      ['/analytics/anomalies?month[]=2026-01', 'month'],
      ['/audit-logs/auth-failures?limit=101', 'limit'],
      ['/audit-logs/auth-failures?from=x', 'from'],
      ['/webhooks?status=enabled', 'status'],
    ])('%s is refused at %s', async (path, field) => {
      const reply = await vendor.api.get(path);
      expect([reply.status, reply.body.code, pathsOf(reply)]).toEqual([400, 'VALIDATION_ERROR', [field]]);
    });

    it.each([
      ['status=gone', 'status'],
      ['status=', 'status'],
      ['eventType=license.*', 'eventType'],
      ['eventType[]=license.created', 'eventType'],
      ['sort=createdAt', 'sort'],
    ])('the deliveries of a webhook with %s are refused at %s', async (query, field) => {
      const reply = await vendor.api.get(`/webhooks/${own.webhook}/deliveries?${query}`);
      expect([reply.status, reply.body.code, pathsOf(reply)]).toEqual([400, 'VALIDATION_ERROR', [field]]);
    });

    it.each([
      'metadata[orderId]=007',
      'metadata[orderId]=-0',
      'metadata[orderId]=1e999',
      `metadata[orderId]=${'9'.repeat(400)}`,
      'metadata[orderId]=1.',
      'metadata[a.b]=x',
      "metadata[a'b]=x",
      'metadata[$ne]=x',
      'q=%25',
      "q='%20OR%201=1%20--",
      'q=_',
      'q=%5C',
      'userEmail=%25@example.com',
      'key=x',
      'entitlement=PRO',
    ])('GET /licenses?%s finds nothing, and breaks nothing', async (query) => {
      const reply = await vendor.api.get(`/licenses?${query}`);
      expect([reply.status, reply.body.data]).toEqual([200, []]);
    });
  });

  describe('in particular fields', () => {
    const product = (): object => ({ name: 'Editor', code: `x-${MARK}` });
    const policy = (): object => ({ name: 'Pro', productId: own.product });
    const license = (): object => ({ productId: own.product, policyId: own.policy });
    const machine = (): object => ({ licenseId: own.license, fingerprint: 'fingerprint-2' });
    const entitlement = (): object => ({ code: `x-${MARK}`, name: 'X' });
    const account = (): object => ({ name: `X ${MARK}`, slug: `x-${MARK.slice(0, 8)}`, ownerEmail: 'owner@example.com' });
    const webhook = (): object => ({ url: 'https://1.1.1.1/x' });
    const replay = (): object => ({ from: '2026-01-01T00:00:00Z', to: '2026-02-01T00:00:00Z' });
    const user = (): object => ({ email: `x-${MARK}@example.com`, name: 'X', role: 'support' });
    const many = (count: number): string[] => Array.from({ length: count }, (_, index) => `code-${index}`);

    const metadata: [string, unknown][] = [
      ['a list', []],
      ['a text', 'x'],
      ['a nested object', { a: {} }],
      ['a nested list', { a: [] }],
      ['51 keys', Object.fromEntries(many(51).map((key) => [key, 1]))],
      ['a key of 65 characters', { ['k'.repeat(65)]: 1 }],
      ['an empty key', { '': 1 }],
      ['more than 16 KiB', { a: 'x'.repeat(16 * 1024) }],
      ['more than 16 KiB as UTF-8', { a: '€'.repeat(6 * 1024) }],
      ['null', null],
    ];

    it.each(metadata)('metadata that is %s is refused on every resource', async (_what, value) => {
      const taking = withBody().filter((target) => 'metadata' in schemaOf(target).properties);
      expect(taking.length).toBeGreaterThanOrEqual(12);
      await expectRefusals(taking, () => ({ body: { metadata: value } }), {
        status: 400,
        code: 'VALIDATION_ERROR',
        paths: (target) => ['metadata', ...schemaOf(target).required],
      });
    });

    it('a number that no JSON answer could repeat is refused in metadata', async () => {
      const reply = await vendor.api.call('PATCH', `/products/${own.product}`, { raw: '{"metadata":{"n":1e999}}' });
      expect([reply.status, pathsOf(reply)]).toEqual([400, ['metadata']]);
    });

    it('metadata keys that would be dropped in silence are refused, by their path', async () => {
      for (const key of ['__proto__', 'constructor', 'prototype']) {
        const reply = await vendor.api.call('PATCH', `/products/${own.product}`, { raw: `{"metadata":{"${key}":"x"}}` });
        expect([reply.status, pathsOf(reply)]).toEqual([400, [`metadata.${key}`]]);
      }
    });

    it.each<[string, () => object, Record<string, unknown>, string[]]>([
      ['/products', product, { code: 'two words' }, ['code']],
      ['/products', product, { code: 'ümlaut' }, ['code']],
      ['/products', product, { code: '' }, ['code']],
      ['/products', product, { name: '' }, ['name']],
      ['/products', product, { keyPrefix: 'acme' }, ['keyPrefix']],
      ['/products', product, { keyPrefix: 'A' }, ['keyPrefix']],
      ['/products', product, { keyPrefix: 'ACME1' }, ['keyPrefix']],
      ['/products', product, { keyPrefix: null }, ['keyPrefix']],
      ['/products', product, { url: 'javascript:alert(1)' }, ['url']],
      ['/products', product, { url: 'ftp://example.com' }, ['url']],
      ['/products', product, { url: '//example.com' }, ['url']],
      ['/products', product, { url: 'x', code: '#', keyPrefix: 7, metadata: [] }, ['code', 'keyPrefix', 'metadata', 'url']],
      ['/entitlements', entitlement, { code: 'PRO' }, ['code']],
      ['/entitlements', entitlement, { code: 'x'.repeat(101) }, ['code']],
      ['/policies', policy, { maxMachines: null }, ['maxMachines']],
      ['/policies', policy, { maxMachines: null, allowUnlimitedActivations: false }, ['maxMachines']],
      ['/policies', policy, { maxMachines: 0 }, ['maxMachines']],
      ['/policies', policy, { maxMachines: 2 ** 31 }, ['maxMachines']],
      ['/policies', policy, { maxMachines: 1e308 }, ['maxMachines']],
      ['/policies', policy, { maxMachines: '2' }, ['maxMachines']],
      ['/policies', policy, { durationDays: 30, durationCalendarMonths: 1 }, ['durationCalendarMonths']],
      ['/policies', policy, { durationDays: 0 }, ['durationDays']],
      ['/policies', policy, { durationDays: 1.5 }, ['durationDays']],
      ['/policies', policy, { gracePeriodDays: 1, expirationStrategy: 'REVOKE' }, ['gracePeriodDays']],
      ['/policies', policy, { gracePeriodDays: -1 }, ['gracePeriodDays']],
      ['/policies', policy, { requireCheckIn: true }, ['checkInIntervalDays']],
      ['/policies', policy, { heartbeatResurrectionMinutes: null }, ['heartbeatResurrectionMinutes']],
      ['/policies', policy, { requiredScopes: ['product', 'product'] }, ['requiredScopes']],
      ['/policies', policy, { requiredScopes: ['everything'] }, ['requiredScopes']],
      ['/policies', policy, { template: 'game', overageStrategy: 'allow_2x' }, ['overageStrategy', 'template']],
      [
        '/policies',
        policy,
        { requireCheckIn: true, maxMachines: null, durationDays: 1, durationCalendarMonths: 1 },
        ['checkInIntervalDays', 'durationCalendarMonths', 'maxMachines'],
      ],
      ['/licenses', license, { key: 'short' }, ['key']],
      ['/licenses', license, { key: ' padded-key ' }, ['key']],
      ['/licenses', license, { key: 'schlüssel-1' }, ['key']],
      ['/licenses', license, { key: 'line\nbreak-in-key' }, ['key']],
      ['/licenses', license, { key: 'x'.repeat(256) }, ['key']],
      ['/licenses', license, { key: 'LIC-AAAA-AAAA-AAAA-AAAA-AAAA-AAAA' }, ['key']],
      ['/licenses', license, { key: 'lic aaaa aaaa aaaa aaaa aaaa aaaa' }, ['key']],
      ['/licenses', license, { expiresAt: '2026-02-30T00:00:00Z' }, ['expiresAt']],
      ['/licenses', license, { expiresAt: '2026-01-15T10:30:00' }, ['expiresAt']],
      ['/licenses', license, { expiresAt: '2026-01-15' }, ['expiresAt']],
      ['/licenses', license, { expiresAt: '+010000-01-01T00:00:00Z' }, ['expiresAt']],
      ['/licenses', license, { expiresAt: '9999-12-31T23:59:59-01:00' }, ['expiresAt']],
      ['/licenses', license, { expiresAt: '0001-01-01T00:00:00+01:00' }, ['expiresAt']],
      ['/licenses', license, { expiresAt: 1_800_000_000_000 }, ['expiresAt']],
      ['/licenses', license, { expiresAt: '', startsAt: 'now' }, ['expiresAt', 'startsAt']],
      ['/licenses', license, { allowedVersions: 'latest and greatest' }, ['allowedVersions']],
      ['/licenses', license, { userEmail: 'nobody' }, ['userEmail']],
      ['/licenses', license, { userEmail: `${'x'.repeat(250)}@example.com` }, ['userEmail']],
      ['/licenses', license, { entitlements: ['a', 'a'] }, ['entitlements']],
      ['/licenses', license, { entitlements: many(101) }, ['entitlements']],
      ['/licenses', license, { entitlements: 'pro' }, ['entitlements']],
      ['/licenses', license, { maxMachinesOverride: 0, maxUsesOverride: -1 }, ['maxMachinesOverride', 'maxUsesOverride']],
      ['/licenses', license, { status: 'active', usesCount: 0, machineCount: 0 }, ['machineCount', 'status', 'usesCount']],
      ['/machines', machine, { fingerprint: '1234567' }, ['fingerprint']],
      ['/machines', machine, { fingerprint: 'x'.repeat(257) }, ['fingerprint']],
      ['/machines', machine, { fingerprint: 'finger\tprint' }, ['fingerprint']],
      ['/machines', machine, { fingerprint: 'fingerprünt' }, ['fingerprint']],
      ['/machines', machine, { licenseId: undefined }, ['licenseId']],
      ['/machines', machine, { licenseId: null }, ['licenseId']],
      ['/machines', machine, { cores: 0, memoryMb: -1, diskMb: 0.5 }, ['cores', 'diskMb', 'memoryMb']],
      ['/machines', machine, { platform: 'Linux' }, ['platform']],
      ['/machines', machine, { ip: '203.0.113.7' }, ['ip']],
      ['/machines', machine, { components: Array(21).fill({ kind: 'board', fingerprint: 'fingerprint' }) }, ['components']],
      ['/machines', machine, { components: [{}] }, ['components[0].fingerprint', 'components[0].kind']],
      ['/machines', machine, { components: [{ kind: 'a', fingerprint: '12345678', serial: 1 }] }, ['components[0].serial']],
      [
        '/machines',
        machine,
        { components: [{ kind: 'a', fingerprint: 'a\0b' }, { kind: 7 }] },
        ['components[0].fingerprint', 'components[1].fingerprint', 'components[1].kind'],
      ],
      ['/machines', machine, { components: [null] }, ['components[0]']],
      ['/machines', machine, { components: ['board'] }, ['components[0]']],
      ['/machines', machine, { components: [[{ kind: 'a', fingerprint: '12345678' }]] }, ['components']],
      ['/machines', machine, { components: { kind: 'a', fingerprint: '12345678' } }, ['components']],
      ['/api-keys', () => ({ name: 'x' }), { scopes: ['licenses:everything'] }, ['scopes']],
      ['/api-keys', () => ({ name: 'x' }), { scopes: ['licenses:read', 'licenses:read'] }, ['scopes']],
      ['/api-keys', () => ({ name: 'x' }), { scopes: [], preset: 'full' }, ['preset']],
      ['/api-keys', () => ({ name: 'x' }), { preset: 'constructor' }, ['preset']],
      ['/api-keys', () => ({ name: 'x' }), { environment: 'production' }, ['environment']],
      ['/api-keys', () => ({ name: 'x' }), { key: 'lk_live_mine', expiresAt: 'never' }, ['expiresAt', 'key']],
      ['/api-keys', () => ({ name: 'x' }), { allowedIps: ['10.0.0.0/33'] }, ['allowedIps']],
      ['/api-keys', () => ({ name: 'x' }), { allowedIps: ['10.0.0.0/8', '010.0.0.1'] }, ['allowedIps']],
      ['/api-keys', () => ({ name: 'x' }), { allowedIps: ['fe80::1%eth0'] }, ['allowedIps']],
      ['/api-keys', () => ({ name: 'x' }), { allowedIps: [null] }, ['allowedIps']],
      ['/api-keys', () => ({ name: 'x' }), { allowedIps: ['f'.repeat(100_000)] }, ['allowedIps']],
      ['/api-keys', () => ({ name: 'x' }), { allowedIps: many(101).map((_, index) => `10.0.0.${index}`) }, ['allowedIps']],
      ['/api-keys', () => ({ name: 'x' }), { rateLimitPerMinute: 0 }, ['rateLimitPerMinute']],
      ['/api-keys', () => ({ name: 'x' }), { rateLimitPerMinute: 1_000_001 }, ['rateLimitPerMinute']],
      ['/api-keys', () => ({ name: 'x' }), { kind: 'service' }, ['serviceName']],
      ['/api-keys', () => ({ name: 'x' }), { kind: 'service', serviceName: null }, ['serviceName']],
      ['/api-keys', () => ({ name: 'x' }), { serviceName: 'export' }, ['serviceName']],
      ['/api-keys', () => ({ name: 'x' }), { kind: 'account', serviceName: 'export' }, ['serviceName']],
      ['/api-keys', () => ({ name: 'x' }), { scopes: [], preset: 'full', kind: 'service' }, ['preset', 'serviceName']],
      ['/api-keys/verify-leak', () => ({ key: 'x' }), { key: 'x'.repeat(1001) }, ['key']],
      ['/licenses/validate-key', () => ({ key: 'x' }), { increment: 0 }, ['increment']],
      ['/licenses/validate-key', () => ({ key: 'x' }), { increment: 2 ** 31 }, ['increment']],
      ['/licenses/validate-key', () => ({ key: 'x' }), { key: '' }, ['key']],
      ['/licenses/validate-key', () => ({ key: 'x' }), { key: 'x'.repeat(301) }, ['key']],
      ['/licenses/validate-key', () => ({ key: 'x' }), { key: ['x'] }, ['key']],
      ['/licenses/validate-key', () => ({ key: 'x' }), { account: 'a\0b' }, ['account']],
      ['/licenses/validate-key', () => ({ key: 'x' }), { fingerprints: [] }, ['fingerprints']],
      ['/licenses/validate-key', () => ({ key: 'x' }), { fingerprints: ['short'] }, ['fingerprints']],
      [
        '/licenses/validate-key',
        () => ({ key: 'x' }),
        { version: 'one', policy: 'pro', nonce: 'x'.repeat(129) },
        ['nonce', 'policy', 'version'],
      ],
      ['/licenses/{id}/validate', () => ({}), { increment: 0, key: 'x', account: 'acme' }, ['account', 'increment', 'key']],
      ['/licenses/{id}/explain', () => ({}), { fingerprints: [], version: 'one' }, ['fingerprints', 'version']],
      ['/webhooks', webhook, { url: 'http://example.com/x' }, ['url']],
      ['/webhooks', webhook, { url: 'http://127.0.0.1/x' }, ['url']],
      ['/webhooks', webhook, { url: 'https://127.0.0.1/x' }, ['url']],
      ['/webhooks', webhook, { url: 'https://localhost/x' }, ['url']],
      ['/webhooks', webhook, { url: 'https://[::ffff:10.0.0.1]/x' }, ['url']],
      ['/webhooks', webhook, { url: 'https://169.254.169.254/x' }, ['url']],
      ['/webhooks', webhook, { url: 'https://ada@example.com/x' }, ['url']],
      ['/webhooks', webhook, { url: 'javascript:alert(1)' }, ['url']],
      ['/webhooks', webhook, { url: null }, ['url']],
      ['/webhooks', webhook, { events: [] }, ['events']],
      ['/webhooks', webhook, { events: ['license.created', 'license.created'] }, ['events']],
      ['/webhooks', webhook, { events: ['license.nothing'] }, ['events']],
      ['/webhooks', webhook, { events: ['nothing.*'] }, ['events']],
      ['/webhooks', webhook, { events: ['license*', 'license.*'] }, ['events']],
      ['/webhooks', webhook, { events: [['license.*']] }, ['events']],
      ['/webhooks', webhook, { events: Array.from({ length: 51 }, (_, n) => `license.${n}`) }, ['events']],
      ['/webhooks', webhook, { events: 'license.*', enabled: 'yes' }, ['enabled', 'events']],
      ['/webhooks', webhook, { secret: 'whsec_mine', status: 'enabled', lastDelivery: null }, ['lastDelivery', 'secret', 'status']],
      ['/signing-keys/rotate', () => ({}), { revokePrevious: 'true' }, ['revokePrevious']],
      ['/signing-keys/rotate', () => ({}), { revokePrevious: null, kid: 'x' }, ['kid', 'revokePrevious']],
      ['/webhooks/{id}/rotate-secret', () => ({}), { overlapSeconds: -1 }, ['overlapSeconds']],
      ['/webhooks/{id}/rotate-secret', () => ({}), { overlapSeconds: 2_592_001 }, ['overlapSeconds']],
      ['/webhooks/{id}/replay', replay, { from: 'yesterday' }, ['from']],
      ['/webhooks/{id}/replay', replay, { from: '2026-02-01T00:00:00Z' }, ['to']],
      ['/webhooks/{id}/replay', replay, { types: [] }, ['types']],
      ['/webhooks/{id}/replay', replay, { types: ['webhook.test'] }, ['types']],
      ['/webhooks/{id}/replay', replay, { types: ['nothing'], limit: 5 }, ['limit', 'types']],
      ['/users', user, { email: 'ada' }, ['email']],
      ['/users', user, { email: 'ada@example.com, grace@example.com' }, ['email']],
      ['/users', user, { role: 'Owner' }, ['role']],
      ['/users', user, { role: 'constructor' }, ['role']],
      ['/users', user, { role: ['owner'], name: '' }, ['name', 'role']],
      ['/users', user, { userId: 'ada' }, ['userId']],
      ['/users', user, { userId: null, scopes: [] }, ['scopes', 'userId']],
      ['/users/{id}/keys', () => ({ name: 'x' }), { expiresAt: 'never' }, ['expiresAt']],
      ['/users/{id}/keys', () => ({ name: 'x' }), { allAccounts: true, key: 'lk_user_mine' }, ['allAccounts', 'key']],
      ['/accounts', account, { slug: 'Acme' }, ['slug']],
      ['/accounts', account, { slug: '-acme' }, ['slug']],
      ['/accounts', account, { slug: 'a' }, ['slug']],
      ['/accounts', account, { slug: uuidv7() }, ['slug']],
      ['/accounts', account, { slug: 'x'.repeat(64), ownerEmail: 'owner' }, ['ownerEmail', 'slug']],
    ])('POST %s refuses what is wrong: %#', async (path, valid, wrong, fields) => {
      const target = targets.find(({ name }) => name === `POST /api/v1${path}`);
      const reply = await target!.call({ body: { ...valid(), ...wrong } });
      expect([reply.status, reply.body.code, pathsOf(reply)]).toEqual([400, 'VALIDATION_ERROR', fields]);
    });

    it.each<[string, () => [string, string, object], string]>([
      ['an unknown product', () => ['POST', '/policies', { ...policy(), productId: uuidv7() }], 'productId'],
      ['an unknown product of a license', () => ['POST', '/licenses', { ...license(), productId: uuidv7() }], 'productId'],
      ['an unknown policy', () => ['POST', '/licenses', { ...license(), policyId: uuidv7() }], 'policyId'],
      ['an unknown test clock', () => ['POST', '/licenses', { ...license(), testClockId: uuidv7() }], 'testClockId'],
      ['an unknown test clock, later', () => ['PATCH', `/licenses/${own.license}`, { testClockId: uuidv7() }], 'testClockId'],
      ['an unknown entitlement', () => ['POST', '/licenses', { ...license(), entitlements: [code, 'none'] }], 'entitlements[1]'],
      ['an unknown code', () => ['POST', `/licenses/${own.license}/entitlements`, { codes: ['none'] }], 'codes[0]'],
      ['an unknown code of a policy', () => ['POST', `/policies/${own.policy}/entitlements`, { codes: [code, 'none'] }], 'codes[1]'],
      ['an unknown license', () => ['POST', '/machines', { ...machine(), licenseId: uuidv7() }], 'licenseId'],
      ['an unknown user', () => ['POST', '/users', { ...user(), userId: uuidv7() }], 'userId'],
    ])('%s is 404, and named', async (_what, request, field) => {
      const [method, path, body] = request();
      const reply = await vendor.api.call(method, path, { body });
      expect([reply.status, reply.body.code, reply.body.details]).toEqual([404, 'NOT_FOUND', { field }]);
    });

    it.each<[string, () => [string, string, object], string[]]>([
      ['a policy of another product', () => ['POST', '/licenses', { ...license(), policyId: own.otherPolicy }], ['policyId']],
      ['an empty list of codes', () => ['POST', `/licenses/${own.license}/entitlements`, { codes: [] }], ['codes']],
      ['a negative quantity', () => ['POST', `/licenses/${own.license}/entitlements`, { codes: [code], quantity: -1 }], ['quantity']],
      ['another product', () => ['PATCH', `/licenses/${own.license}`, { productId: own.product }], ['productId']],
      ['another key', () => ['PATCH', `/licenses/${own.license}`, { key: 'ANOTHER-KEY' }], ['key']],
      ['another fingerprint', () => ['PATCH', `/machines/${own.machine}`, { fingerprint: 'another-one' }], ['fingerprint']],
      ['another environment', () => ['PATCH', `/api-keys/${own.apiKey}`, { environment: 'test' }], ['environment']],
      ['another id of a user', () => ['PATCH', `/users/${own.user}`, { userId: uuidv7() }], ['userId']],
      ['no role', () => ['PATCH', `/users/${own.user}`, { role: null }], ['role']],
      ['another kind', () => ['PATCH', `/api-keys/${own.apiKey}`, { kind: 'service', serviceName: 'x' }], ['kind', 'serviceName']],
      ['a segment for a key that has none', () => ['PATCH', `/api-keys/${own.apiKey}`, { name: 'one[segment]' }], ['name']],
      ['a negative overlap', () => ['POST', `/api-keys/${own.apiKey}/rotate`, { overlapSeconds: -1 }], ['overlapSeconds']],
      ['an overlap beyond 30 days', () => ['POST', `/api-keys/${own.apiKey}/rotate`, { overlapSeconds: 2_592_001 }], ['overlapSeconds']],
      ['no name', () => ['PATCH', `/products/${own.product}`, { name: null }], ['name']],
      [
        'a contradiction with what is stored',
        () => ['PATCH', `/policies/${own.policy}`, { requireCheckIn: true }],
        ['checkInIntervalDays'],
      ],
      ['no limit by accident', () => ['PATCH', `/policies/${own.policy}`, { maxMachines: null }], ['maxMachines']],
      ['a suspended account', () => ['PATCH', '/account', { suspendedAt: null }], ['suspendedAt']],
    ])('%s is 400, and named', async (_what, request, fields) => {
      const [method, path, body] = request();
      const reply = await vendor.api.call(method, path, { body });
      expect([reply.status, reply.body.code, pathsOf(reply)]).toEqual([400, 'VALIDATION_ERROR', fields]);
    });

    it.each<[string, () => [string, object], string]>([
      ['product', () => ['/products', { ...product(), code: productCode }], 'code'],
      ['product in another case', () => ['/products', { ...product(), code: productCode.toUpperCase() }], 'code'],
      ['entitlement', () => ['/entitlements', { ...entitlement(), code }], 'code'],
      ['license key', () => ['/licenses', { ...license(), key: `KEY-${MARK}` }], 'key'],
      ['address of a user in another case', () => ['/users', { ...user(), email: `ADA-${MARK}@example.com` }], 'email'],
      ['user', () => ['/users', { ...user(), userId: own.user }], 'userId'],
    ])('a taken code is 409, and named: %s', async (_what, request, field) => {
      const reply = await vendor.api.post(...request());
      expect([reply.status, reply.body.code, reply.body.details]).toEqual([409, 'CONFLICT', { field }]);
    });

    it('a taken slug is 409 on creation and on change', async () => {
      const other = await Vendor.signUp(server.url);
      const platform = new Client(server.url, { authorization: `Bearer ${TEST_PLATFORM_TOKEN}` });
      for (const reply of [
        await platform.post('/accounts', { ...account(), slug: other.account.slug }),
        await vendor.api.patch('/account', { slug: other.account.slug }),
      ]) {
        expect([reply.status, reply.body.code, reply.body.details]).toEqual([409, 'CONFLICT', { field: 'slug' }]);
        expect(reply.headers.location).toBeUndefined();
      }
    });

    it('the issues say what is wrong in words, each with its own', async () => {
      const { body } = await vendor.api.post('/products', { name: 7, code: 'two words', colour: 'red' });
      expect(body).toEqual({
        error: 'Bad Request',
        code: 'VALIDATION_ERROR',
        message: expect.stringMatching(/ \(and 2 more\)$/),
        requestId: expect.any(String),
        details: {
          issues: expect.arrayContaining([
            { path: 'name', message: 'must be a string' },
            { path: 'code', message: 'must be letters, digits, _ and -' },
            { path: 'colour', message: 'is not a known field' },
          ]),
        },
      });
    });
  });

  it('none of this has written anything', async () => {
    expect(await everything()).toEqual(before);
  });
});

/** Node's client says how long a body is only where it expects one: not for DELETE. */
function framed({ headers = {}, raw, body }: Sending): Record<string, string | string[]> {
  const payload = raw ?? (body === undefined ? undefined : JSON.stringify(body));
  if (payload === undefined || 'transfer-encoding' in headers) return headers;
  return { 'content-length': String(Buffer.byteLength(payload)), ...headers };
}

function typesOf({ type = 'string' }: Schema): string[] {
  return Array.isArray(type) ? type : [type];
}

function isNullable(schema: Schema): boolean {
  return typesOf(schema).includes('null');
}

/** A value of a type that the field does not take. */
function wrongType(schema: Schema): unknown {
  const types = typesOf(schema);
  if (types.includes('string')) return 7;
  if (types.includes('integer')) return '7';
  if (types.includes('boolean')) return 'true';
  return types.includes('array') ? { 0: 'x' } : 'x';
}

function tooLarge(schema: Schema): unknown {
  const types = typesOf(schema);
  if (types.includes('string')) return 'x'.repeat((schema.maxLength ?? 100) + 1);
  if (types.includes('integer')) return (schema.maximum ?? 0) + 1;
  if (types.includes('array')) return Array.from({ length: 2000 }, (_, index) => `item-${index}`);
  return types.includes('object') ? { large: 'x'.repeat(20_000) } : 1;
}

function tooSmall(schema: Schema): unknown {
  const types = typesOf(schema);
  // A text that may be empty cannot be too small.
  if (types.includes('string')) return schema.minLength === 0 ? 0 : '';
  if (types.includes('integer')) return (schema.minimum ?? 0) - 1;
  if (types.includes('array')) return [''];
  return types.includes('object') ? { '': 1 } : 0;
}
