import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Validator } from '@seriousme/openapi-schema-validator';
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { listRoutes } from '../src/auth/routes.js';
import type { Running } from '../src/boot.js';
import { VERSION } from '../src/core/version.js';
import { errorCodes } from '../src/domain/errors.js';
import { allScopes } from '../src/domain/scopes.js';
import { anyone, type Client, type Reply, send, type Sending, withKey } from './support/client.js';
import { offlineRequest } from './support/offline-request.js';
import { eventually } from './support/eventually.js';
import { startServer } from './support/server.js';
import { TEST_PLATFORM_TOKEN, testDatabaseUrl } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

/**
 * The reference is complete and true: every route, schema, error, scope and example is in it, and what the server
 * answers is what it says (contract: http.md, "Not under /api/v1").
 */

interface Schema {
  $ref?: string;
  type?: string | string[];
  format?: string;
  enum?: unknown[];
  pattern?: string;
  default?: unknown;
  description?: string;
  example?: unknown;
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  anyOf?: Schema[];
  allOf?: Schema[];
  additionalProperties?: boolean | Schema;
}

interface ErrorExample {
  value: { error: string; code: keyof typeof errorCodes };
}

interface Operation {
  method: string;
  path: string;
  operationId: string;
  summary?: string;
  tags?: string[];
  security?: Record<string, string[]>[];
  'x-required-scopes'?: string[];
  parameters: { in: string; name: string; description?: string; required?: boolean; schema: Schema; example?: unknown }[];
  requestBody?: { required?: boolean; content: Record<string, { schema: Schema }> };
  responses: Record<
    string,
    { description?: string; headers?: object; content?: Record<string, { schema: Schema; examples?: Record<string, ErrorExample> }> }
  >;
}

/** What anyone may call; everything else needs a credential. */
const PUBLIC = [
  'GET /',
  'GET /api/v1/auth/scopes',
  'POST /api/v1/auth/token',
  'GET /health/live',
  'GET /health/ready',
  'GET /metrics',
  'GET /.well-known/jwks.json',
  'POST /api/v1/licenses/validate-key',
  'POST /api/v1/api-keys/verify-leak',
];
/** What ignores idempotency keys. */
const FRESH = [
  'POST /api/v1/auth/token',
  'POST /api/v1/auth/user-key-info',
  'POST /api/v1/licenses/validate-key',
  'POST /api/v1/licenses/{id}/explain',
  'POST /api/v1/licenses/{id}/validate',
  'POST /api/v1/machines/{id}/heartbeat',
  'POST /api/v1/machines/{id}/processes/{pid}/heartbeat',
];
/** Answered with a line for each thing. */
const LINES = ['GET /api/v1/licenses/export'];
const NDJSON = 'application/x-ndjson';
/** Answered with a file. */
const FILES = ['GET /api/v1/licenses/{id}/check-out', 'GET /api/v1/machines/{id}/check-out'];
const FILE = 'application/octet-stream';
/** Answered as collectors read it. */
const METRICS = 'GET /metrics';
const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';
/** Goes on for ever; what it tells is tested where it is opened (streams.test.ts). */
const STREAM = 'GET /api/v1/events/stream';
/** Is no answer at all. */
const WEB_SOCKET = 'GET /api/v1/events/ws';
/** Makes many things, which have no one place. */
const MAKING_MANY = ['POST /api/v1/licenses/bulk'];
/** Takes more than JSON, or something else. */
const BODY_TYPES: Record<string, string[]> = {
  'POST /api/v1/auth/token': ['application/json', 'application/x-www-form-urlencoded'],
  'POST /api/v1/licenses/import': [NDJSON, 'text/csv'],
};
/** Served as a page, for people. */
const NOT_IN_THE_DOCUMENT = ['GET /docs/errors'];

const isHealth = ({ path }: Operation): boolean => path.startsWith('/health/') || path === '/metrics';
const nameOf = ({ method, path }: Operation): string => `${method} ${path}`;

describe('the OpenAPI document', () => {
  let server: Running;
  let document: {
    openapi: string;
    info: { version: string; description: string };
    tags: { name: string; description: string }[];
    components: {
      schemas: Record<string, Schema>;
      securitySchemes: object;
      headers: Record<string, { description: string; schema: Schema }>;
    };
    paths: Record<string, Record<string, Omit<Operation, 'method' | 'path'>>>;
  };
  let operations: Operation[];
  beforeAll(async () => {
    server = await startServer();
    document = expectStatus(await send(server.url, 'GET', '/openapi.json'), 200).body;
    operations = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ ...operation, method: method.toUpperCase(), path })),
    );
  });
  afterAll(() => server.stop());

  it('is valid OpenAPI 3.1', async () => {
    const { valid, errors } = await new Validator().validate(structuredClone(document));
    expect({ valid, errors }).toEqual({ valid: true, errors: undefined });
    expect([document.openapi, document.info.version]).toEqual([expect.stringMatching(/^3\.1\./), VERSION]);
  });

  it('refers to nothing that is not in it, and holds nothing that nobody refers to', () => {
    const names = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/([^"]*)"/g)].map(([, name]) => name ?? '');
    expect(names.length).toBeGreaterThan(50);
    const schemas = Object.keys(document.components.schemas);
    expect(names.filter((name) => !schemas.includes(name))).toEqual([]);
    expect(schemas.filter((name) => !names.includes(name))).toEqual([]);
  });

  it('has every route, and no other', () => {
    const routes = listRoutes(server.app).map(({ method, path }) => `${method} ${path.replace(/:(\w+)/g, '{$1}')}`);
    expect([...operations.map(nameOf), ...NOT_IN_THE_DOCUMENT].sort()).toEqual(routes.sort());
  });

  it('says of every operation what it does, where it belongs and who may call it', () => {
    const tags = document.tags.map(({ name }) => name);
    const schemes = Object.keys(document.components.securitySchemes);
    for (const operation of operations) {
      expect({ route: nameOf(operation), summary: operation.summary }).toEqual({
        route: nameOf(operation),
        summary: expect.stringMatching(/^[A-Z].{5,79}$/),
      });
      expect([nameOf(operation), operation.tags]).toEqual([nameOf(operation), [expect.anything()]]);
      expect(tags).toContain(operation.tags?.[0]);
      const security = operation.security ?? [];
      expect([nameOf(operation), security.length === 0]).toEqual([nameOf(operation), PUBLIC.includes(nameOf(operation))]);
      for (const scheme of security) {
        expect(schemes).toEqual(expect.arrayContaining(Object.keys(scheme)));
        // Scopes are said twice, for tools and for people, and are the same.
        if ('apiKey' in scheme) expect([nameOf(operation), operation['x-required-scopes']]).toEqual([nameOf(operation), scheme.apiKey]);
      }
      for (const scope of operation['x-required-scopes'] ?? []) expect(allScopes).toContain(scope);
    }
    expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(operations.length);
    for (const scope of allScopes) expect(document.info.description).toContain(`\`${scope}\``);
  });

  it('has the access rule that the guard enforces', () => {
    for (const { method, path, access } of listRoutes(server.app)) {
      const operation = operations.find((candidate) => nameOf(candidate) === `${method} ${path.replace(/:(\w+)/g, '{$1}')}`);
      if (operation === undefined) continue;
      const schemes = (operation.security ?? []).flatMap((scheme) => Object.keys(scheme));
      const expected = {
        public: [],
        // By the address or a token of its own, which is no credential of the API.
        metrics: [],
        platform: ['platform'],
        license: ['license'],
        userKey: ['userKey'],
        apiKey: [
          'apiKey',
          'apiKeyHeader',
          ...(access.kind === 'apiKey' && access.orInQuery === true ? ['apiKeyQuery'] : []),
          ...(access.kind === 'apiKey' && access.orLicense ? ['license'] : []),
          ...(access.kind === 'apiKey' && access.orPlatform === true ? ['platform'] : []),
        ],
      }[access.kind];
      expect([nameOf(operation), schemes]).toEqual([nameOf(operation), expected]);
      if (access.kind === 'apiKey') expect(operation['x-required-scopes']).toEqual(access.scopes);
    }
  });

  it('has a schema for every answer', () => {
    for (const operation of operations) {
      const successes = Object.entries(operation.responses).filter(([status]) =>
        status.startsWith(nameOf(operation) === WEB_SOCKET ? '1' : '2'),
      );
      expect([nameOf(operation), successes.length > 0]).toEqual([nameOf(operation), true]);
      for (const [status, response] of successes) {
        expect([nameOf(operation), response.description]).toEqual([nameOf(operation), expect.stringMatching(/\S/)]);
        if (nameOf(operation) === WEB_SOCKET) continue;
        const special = LINES.includes(nameOf(operation)) ? NDJSON : FILES.includes(nameOf(operation)) ? FILE : 'application/json';
        const type = nameOf(operation) === STREAM ? 'text/event-stream' : nameOf(operation) === METRICS ? METRICS_TYPE : special;
        const schema = response.content?.[type]?.schema;
        expect([nameOf(operation), status, schema === undefined]).toEqual([nameOf(operation), status, status === '204']);
        expect([nameOf(operation), 'Location' in (response.headers ?? {})]).toEqual([
          nameOf(operation),
          status === '201' && !MAKING_MANY.includes(nameOf(operation)),
        ]);
      }
    }
  });

  it('has the error response of every status that an operation can give', () => {
    for (const operation of operations) {
      const takesCredential = (operation.security ?? []).length > 0;
      const expected = [
        '400',
        ...(takesCredential ? ['401', '403'] : []),
        ...(operation.path.includes('{') ? ['404'] : []),
        ...(['POST', 'PUT', 'PATCH'].includes(operation.method) ? ['413', '415'] : []),
        ...(isHealth(operation) ? [] : ['429']),
        '500',
        '503',
      ];
      expect([nameOf(operation), Object.keys(operation.responses)]).toEqual([nameOf(operation), expect.arrayContaining(expected)]);
      for (const [status, response] of Object.entries(operation.responses).filter(([code]) => /^[45]/.test(code))) {
        expect(response.content?.['application/json']?.schema).toEqual({ $ref: '#/components/schemas/Error' });
        expect(response.content?.['application/problem+json']?.schema).toEqual({ $ref: '#/components/schemas/Problem' });
        const examples = Object.entries(response.content?.['application/json']?.examples ?? {});
        expect([nameOf(operation), status, examples.length > 0]).toEqual([nameOf(operation), status, true]);
        for (const [code, { value }] of examples) {
          expect([nameOf(operation), status, value.code, errorCodes[value.code].status]).toEqual([
            nameOf(operation),
            status,
            code,
            Number(status),
          ]);
        }
      }
    }
  });

  it('says of every request with a body, and of every one that could have one, how it may be malformed', () => {
    for (const operation of operations.filter(({ method }) => ['POST', 'PUT', 'PATCH'].includes(method))) {
      const examples = operation.responses['400']?.content?.['application/json']?.examples ?? {};
      expect([nameOf(operation), Object.keys(examples)]).toEqual([nameOf(operation), expect.arrayContaining(['MALFORMED_JSON'])]);
    }
  });

  it('offers an idempotency key on every POST but those whose answers must be fresh, and says what comes of it', () => {
    for (const operation of operations) {
      const offers = operation.method === 'POST' && !FRESH.includes(nameOf(operation));
      const parameter = operation.parameters.find(({ name }) => name === 'Idempotency-Key');
      expect([nameOf(operation), parameter?.in, parameter?.schema]).toEqual([
        nameOf(operation),
        ...(offers ? ['header', { type: 'string', minLength: 1, maxLength: 255 }] : [undefined, undefined]),
      ]);
      const hasCode = (status: string, code: string): boolean =>
        code in (operation.responses[status]?.content?.['application/json']?.examples ?? {});
      expect([nameOf(operation), hasCode('409', 'IDEMPOTENCY_IN_PROGRESS'), hasCode('422', 'IDEMPOTENCY_KEY_REUSED')]).toEqual([
        nameOf(operation),
        offers,
        offers,
      ]);
      const replayed = Object.entries(operation.responses).filter(([, { headers = {} }]) => 'Idempotent-Replayed' in headers);
      for (const [status] of replayed)
        expect([nameOf(operation), status]).toEqual([nameOf(operation), expect.stringMatching(/^(2|40[0349]|422)/)]);
      expect([nameOf(operation), replayed.length > 0]).toEqual([nameOf(operation), offers]);
      expect(Object.keys(operation)).not.toContain('x-latchkey-fresh');
    }
  });

  it('says which header names the account and the environment, where a credential may leave that open', () => {
    for (const operation of operations) {
      const taken = (operation.security ?? []).flatMap((scheme) => Object.keys(scheme));
      const named = operation.parameters.filter(
        (parameter) => parameter.in === 'header' && !['Idempotency-Key', 'If-None-Match', 'Last-Event-ID'].includes(parameter.name),
      );
      expect([nameOf(operation), named.map(({ name, required }) => [name, required])]).toEqual([
        nameOf(operation),
        [
          ...(taken.includes('apiKey') || taken.includes('license') ? [['X-Account-Id', false]] : []),
          ...(taken.includes('apiKey') ? [['X-Environment', false]] : []),
        ],
      ]);
    }
  });

  it('shows on every 401, and on nothing else, that it says how to authenticate', () => {
    for (const operation of operations) {
      for (const [status, { headers = {} }] of Object.entries(operation.responses))
        expect([nameOf(operation), status, 'WWW-Authenticate' in headers]).toEqual([nameOf(operation), status, status === '401']);
    }
  });

  it('shows on every operation but those on health how a caller stands against its limits', () => {
    const { headers } = document.components;
    const shown = Object.keys(headers);
    expect(shown).toEqual(expect.arrayContaining(['Retry-After', 'RateLimit', 'RateLimit-Policy', 'X-RateLimit-Remaining']));
    for (const { description, schema } of Object.values(headers))
      expect([description, schema]).toEqual([expect.stringMatching(/\S/), expect.objectContaining({ example: expect.anything() })]);
    for (const operation of operations) {
      for (const [status, response] of Object.entries(operation.responses)) {
        const expected = isHealth(operation) ? [] : status === '429' ? shown : shown.filter((name) => name !== 'Retry-After');
        const said = Object.entries(response.headers ?? {}).filter(([name]) => shown.includes(name));
        if (status === '429' || status.startsWith('2'))
          expect([nameOf(operation), status, said.map(([name]) => name)]).toEqual([nameOf(operation), status, expected]);
        for (const [name, header] of said) expect(header).toEqual({ $ref: `#/components/headers/${name}` });
      }
    }
  });

  it('describes every field and parameter, with an example', () => {
    const missing: string[] = [];
    for (const [name, { properties = {} }] of Object.entries(document.components.schemas)) {
      for (const [property, schema] of Object.entries(properties)) {
        const isObject =
          schema.anyOf !== undefined || schema.allOf !== undefined || schema.$ref !== undefined || schema.items?.$ref !== undefined;
        const where = `${name}.${property}`;
        // Error and Problem are described as a whole; what a field is an object of has examples of its own.
        if (schema.description === undefined && !['Error', 'Problem', 'Pagination'].includes(name)) missing.push(`${where}: description`);
        if (!isObject && !('example' in schema) && schema.additionalProperties !== true) missing.push(`${where}: example`);
      }
    }
    for (const operation of operations) {
      for (const parameter of operation.parameters.filter((candidate) => candidate.in !== 'path')) {
        if (parameter.description === undefined) missing.push(`${nameOf(operation)} ${parameter.name}: description`);
      }
      const inPath = [...operation.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      expect([nameOf(operation), operation.parameters.filter((candidate) => candidate.in === 'path').map(({ name }) => name)]).toEqual([
        nameOf(operation),
        inPath,
      ]);
    }
    expect(missing).toEqual([]);
  });

  it('gives examples and defaults that are what they describe', () => {
    const wrong: string[] = [];
    for (const [name, { properties = {} }] of Object.entries(document.components.schemas)) {
      for (const [property, schema] of Object.entries(properties)) {
        for (const given of ['example', 'default'] as const)
          if (given in schema)
            wrong.push(...mismatches(schema[given], schema, document.components.schemas, `${name}.${property} ${given}`));
      }
    }
    const parameters = operations.flatMap((operation) => operation.parameters.map((parameter) => ({ ...parameter, operation })));
    for (const { operation, name, schema, ...parameter } of parameters) {
      const given = { default: schema.default, example: parameter.example ?? schema.example };
      for (const [what, value] of Object.entries(given))
        if (value !== undefined)
          wrong.push(...mismatches(value, schema, document.components.schemas, `${nameOf(operation)} ${name} ${what}`));
    }
    expect(wrong).toEqual([]);
  });

  it('has required fields where bodies have them, and all of them in views', () => {
    for (const [name, { properties = {}, required = [] }] of Object.entries(document.components.schemas)) {
      if (name.endsWith('View')) expect([name, required]).toEqual([name, Object.keys(properties)]);
      if (!name.startsWith('Update')) continue;
      expect([name, required]).toEqual([name, []]);
      // What creation fills in, a change leaves as it is.
      for (const [property, { description }] of Object.entries(properties))
        expect([name, property, description]).not.toEqual([name, property, expect.stringMatching(/absent = (?!unchanged)/i)]);
    }
    for (const operation of operations.filter(({ requestBody }) => requestBody !== undefined)) {
      const types = BODY_TYPES[nameOf(operation)] ?? ['application/json'];
      expect([nameOf(operation), Object.keys(operation.requestBody?.content ?? {})]).toEqual([nameOf(operation), types]);
    }
  });

  it('describes what the server really answers, field by field, for every operation', async () => {
    const vendor = await Vendor.signUp(server.url);
    const answers = await answersOfEach(vendor, operations);
    for (const operation of operations) {
      if ([STREAM, WEB_SOCKET].includes(nameOf(operation))) continue;
      const replies = answers.get(nameOf(operation)) ?? [];
      const documented = Object.keys(operation.responses).filter((status) => status.startsWith('2'));
      const seen = [...new Set(replies.map(({ status }) => String(status)))].sort();
      // Fails for an operation that answersOfEach does not call.
      expect([nameOf(operation), seen]).toEqual([nameOf(operation), documented.sort()]);
      for (const reply of replies) {
        const { content } = operation.responses[String(reply.status)] ?? {};
        const schema = content?.['application/json']?.schema;
        const line = content?.[NDJSON]?.schema;
        if (line !== undefined) {
          const lines = reply.text.trimEnd().split('\n');
          for (const text of lines)
            expect([nameOf(operation), mismatches(JSON.parse(text), line, document.components.schemas, '')]).toEqual([
              nameOf(operation),
              [],
            ]);
        } else if (content?.[FILE] !== undefined) {
          expect([nameOf(operation), reply.headers['content-type'], reply.text]).toEqual([
            nameOf(operation),
            FILE,
            expect.stringMatching(/^-----BEGIN LATCHKEY /),
          ]);
        } else if (content?.[METRICS_TYPE] !== undefined) expect(reply.text).toMatch(/^# HELP /);
        else if (schema === undefined) expect([nameOf(operation), reply.text]).toEqual([nameOf(operation), '']);
        else expect([nameOf(operation), mismatches(reply.body, schema, document.components.schemas, '')]).toEqual([nameOf(operation), []]);
      }
    }
  });
});

/** Successful answers of every operation, on resources with as much in them as can be. */
async function answersOfEach(vendor: Vendor, operations: Operation[]): Promise<Map<string, Reply[]>> {
  const answers = new Map<string, Reply[]>();
  const { api } = vendor;
  const call = async (client: Client, method: string, path: string, body?: unknown, sending: Sending = {}): Promise<Reply> => {
    const reply = await client.call(method, path, { body, ...sending });
    const filled = `/api/v1${path.split('?', 1)[0] ?? ''}`;
    const matches = (pattern: string): boolean => new RegExp(`^${pattern.replace(/\{\w+\}/g, '[^/]+')}$`).test(filled);
    // Literal paths first: /licenses/me is no id.
    const candidates = operations.filter((operation) => operation.method === method && matches(operation.path));
    const operation = candidates.find(({ path: pattern }) => !pattern.includes('{')) ?? candidates[0];
    if (operation === undefined) throw new Error(`${method} ${path} is no operation`);
    if (reply.status >= 300) throw new Error(`${method} ${path}: ${reply.text}`);
    answers.set(nameOf(operation), [...(answers.get(nameOf(operation)) ?? []), reply]);
    return reply;
  };
  const create = async (path: string, body: object): Promise<{ id: string; key: string }> =>
    (await call(api, 'POST', path, body)).body.data;

  for (const path of ['/', '/health/live', '/health/ready', '/metrics'])
    answers.set(`GET ${path}`, [await send(vendor.baseUrl, 'GET', path)]);
  const keySet = `/.well-known/jwks.json?account=${vendor.account.id}`;
  answers.set('GET /.well-known/jwks.json', [await send(vendor.baseUrl, 'GET', keySet)]);
  const metadata = { text: 'x', number: 1.5, yes: true, none: null };
  const slug = `v-${uuidv7().slice(-12)}`;
  const platform = withKey(vendor.baseUrl, TEST_PLATFORM_TOKEN);
  const { account } = (await call(platform, 'POST', '/accounts', { name: 'x', slug, ownerEmail: 'owner@example.com', metadata })).body.data;
  await call(platform, 'GET', '/accounts?limit=1');
  for (const action of ['suspend', 'reinstate']) await call(platform, 'POST', `/accounts/${account.id}/${action}`);
  await call(api, 'GET', '/account');
  await call(api, 'PATCH', '/account', { metadata });
  await call(api, 'POST', '/signing-keys/rotate', {});
  await call(api, 'GET', '/account/signing-keys');

  const entitlement = await create('/entitlements', { code: 'pro', name: 'Pro', description: 'x', metadata });
  const product = await create('/products', { name: 'Editor', code: 'editor', description: 'x', url: 'https://example.com', metadata });
  const policy = await create('/policies', {
    productId: product.id,
    name: 'Pro',
    metadata,
    durationDays: 30,
    maxMachines: 3,
    requireHeartbeat: true,
    requireCheckIn: true,
    checkInIntervalDays: 7,
    gracePeriodDays: 3,
    overageStrategy: 'ALLOW_2X',
    requiredScopes: ['product'],
  });
  await call(api, 'POST', `/policies/${policy.id}/entitlements`, { codes: ['pro'] });
  const license = await create('/licenses', {
    productId: product.id,
    policyId: policy.id,
    name: 'x',
    userEmail: 'ada@example.com',
    userName: 'Ada',
    startsAt: '2026-01-01T00:00:00Z',
    allowedVersions: '>=1.0.0',
    maxMachinesOverride: 2,
    entitlements: ['pro'],
    metadata,
  });
  await call(api, 'POST', `/licenses/${license.id}/entitlements`, { codes: ['pro'], quantity: 5, expiresAt: '2099-01-01T00:00:00Z' });
  await call(api, 'POST', '/licenses/bulk', { licenses: [{ productId: product.id, policyId: policy.id }] });
  await call(api, 'GET', '/licenses/export');
  const file = `${JSON.stringify({ productId: product.id, policyId: policy.id, metadata })}\n{}`;
  await call(api, 'POST', '/licenses/import', undefined, { raw: file, headers: { 'content-type': NDJSON } });
  const activation = {
    fingerprint: 'fingerprint-1',
    name: 'x',
    platform: 'linux',
    hostname: 'x.local',
    cores: 8,
    memoryMb: 1024,
    diskMb: 1024,
    userEmail: 'ada@example.com',
    components: [{ kind: 'board', fingerprint: 'MB-0042-7781' }],
    metadata,
  };
  const machine = (await call(vendor.app(license), 'POST', '/machines', activation)).body.data;
  await call(vendor.app(license), 'POST', '/machines', activation);
  await call(api, 'POST', '/machines', { licenseId: license.id, fingerprint: 'fingerprint-2' });
  await call(api, 'POST', `/policies/${policy.id}/preview`, { requireCheckIn: false });
  await call(api, 'POST', `/policies/${policy.id}/preview`, { requiredScopes: [] });
  const apiKey = await create('/api-keys', {
    name: 'x[bulk]',
    scopes: ['licenses:read'],
    expiresAt: '2099-01-01T00:00:00Z',
    allowedIps: ['203.0.113.0/24'],
    rateLimitPerMinute: 600,
    kind: 'service',
    serviceName: 'x',
    metadata,
  });
  await call(api, 'POST', `/api-keys/${apiKey.id}/rotate`, { overlapSeconds: 60 });
  for (const key of [apiKey.key, 'x']) await call(anyone(vendor.baseUrl), 'POST', '/api-keys/verify-leak', { key });
  await call(api, 'GET', '/api-keys/current');
  const user = await create('/users', { email: 'ada@example.com', name: 'Ada', role: 'read-only', metadata });
  const userKey = await create(`/users/${user.id}/keys`, { name: 'x', expiresAt: '2099-01-01T00:00:00Z' });
  const living = await create(`/users/${user.id}/keys`, { name: 'x' });
  await call(withKey(vendor.baseUrl, living.key), 'POST', '/auth/user-key-info');
  await call(anyone(vendor.baseUrl), 'POST', '/auth/token', { uid: user.id, secret: living.key });
  await call(anyone(vendor.baseUrl), 'POST', '/auth/token', { oid: vendor.account.id, secret: vendor.liveKey, scope: 'licenses:read' });
  await call(anyone(vendor.baseUrl), 'GET', '/auth/scopes');
  await call(api, 'GET', `/users/${user.id}/keys?limit=1`);
  await call(api, 'DELETE', `/users/${user.id}/keys/${userKey.id}`);
  await call(vendor.app(license), 'GET', '/licenses/me');
  const testClock = (await call(vendor.testApi, 'POST', '/test-clocks', { frozenAt: '2026-01-01T00:00:00Z', metadata })).body.data;
  await call(vendor.testApi, 'POST', `/test-clocks/${testClock.id}/advance`, { to: '2027-01-01T00:00:00Z' });
  for (const path of ['?limit=1', `/${testClock.id}`]) await call(vendor.testApi, 'GET', `/test-clocks${path}`);
  await call(vendor.testApi, 'DELETE', `/test-clocks/${testClock.id}`);
  await call(api, 'POST', `/machines/${machine.id}/heartbeat`);
  const processes = `/machines/${machine.id}/processes`;
  for (const pid of ['1', '1', '2']) await call(vendor.app(license), 'POST', processes, { pid, metadata });
  await call(vendor.app(license), 'POST', `${processes}/1/heartbeat`);
  for (const query of ['?limit=1', '?limit=100']) await call(vendor.app(license), 'GET', `${processes}${query}`);
  await call(vendor.app(license), 'DELETE', `${processes}/1`);

  const validation = { fingerprint: 'fingerprint-1', product: 'editor', nonce: 'x' };
  for (const [key, fields] of [
    [license.key, validation],
    [license.key, {}],
    ['unknown-key', {}],
  ] as const) {
    await call(anyone(vendor.baseUrl), 'POST', '/licenses/validate-key', { key, ...fields });
  }
  for (const action of ['validate', 'explain']) await call(api, 'POST', `/licenses/${license.id}/${action}`, validation);
  for (const action of ['check-in', 'renew', 'suspend', 'reinstate', 'ban', 'unban'])
    await call(api, 'POST', `/licenses/${license.id}/${action}`);

  for (const path of [`/licenses/${license.id}/check-out`, `/machines/${machine.id}/check-out`]) {
    await call(api, 'POST', path);
    await call(api, 'POST', path, { ttlSeconds: 3600, encrypt: true });
    await call(api, 'GET', `${path}?ttlSeconds=3600&encrypt=false`);
  }
  await call(vendor.app(license), 'POST', `/machines/${machine.id}/check-out`);
  const offline = { request: offlineRequest(license.key, { fingerprint: activation.fingerprint }) };
  await call(api, 'POST', '/machines/offline-requests', offline);
  await call(api, 'DELETE', `/machines/${(await api.get('/machines?fingerprint=fingerprint-2')).body.data[0].id}`);
  await call(api, 'POST', '/machines/offline-requests', { request: offlineRequest(license.key) });

  await call(api, 'GET', `/licenses/${license.id}/history`);
  await call(api, 'GET', `/licenses/${license.id}?at=${new Date().toISOString()}`);
  const other = await vendor.licenseUnder({});
  for (const [action, body] of [
    ['transfer', { policyId: policy.id }],
    ['usage', { increment: 1 }],
    ['usage/reset', undefined],
    ['rotate-key', {}],
    ['reset-machines', undefined],
  ] as const)
    await call(api, 'POST', `/licenses/${other.id}/${action}`, body);
  // What it follows is deleted at the end.
  expectStatus(await api.delete(`/licenses/${other.id}`), 204);

  await webhookAnswers(call, vendor);
  for (const by of ['licenses', 'products', 'ips']) await call(api, 'GET', `/analytics/top?by=${by}`);
  await call(api, 'GET', '/analytics/anomalies');
  // Somebody is refused, and is in the log for it.
  expectStatus(await vendor.app(license).get('/products'), 403);
  for (const by of ['ip', 'code', 'keyPrefix']) await call(api, 'GET', `/audit-logs/auth-failures?groupBy=${by}`);
  const logged = (await call(api, 'GET', '/audit-logs')).body.data;
  await call(api, 'GET', `/audit-logs/${logged[0].id}`);
  await call(api, 'GET', '/audit-logs/verify');
  for (const path of ['', '/expirations', '/retention', '/seats']) await call(api, 'GET', `/analytics${path}`);
  await call(api, 'GET', '/analytics/timeseries?metric=licenses_created&groupBy=policyId');
  const happened = (await call(api, 'GET', '/events?type=license.*')).body.data;
  await call(api, 'GET', `/events/${happened[0].id}`);

  const each = {
    products: product,
    policies: policy,
    entitlements: entitlement,
    licenses: license,
    machines: machine,
    'api-keys': apiKey,
    users: user,
  };
  for (const [collection, { id }] of Object.entries(each)) {
    await call(api, 'GET', `/${collection}?limit=1`);
    await call(api, 'GET', `/${collection}?limit=100`);
    await call(api, 'GET', `/${collection}/${id}`);
    await call(api, 'PATCH', `/${collection}/${id}`, { metadata });
  }
  await call(api, 'DELETE', `/policies/${policy.id}/entitlements/pro`);
  await call(api, 'DELETE', `/licenses/${license.id}/entitlements/pro`);
  await call(api, 'POST', `/licenses/${license.id}/revoke`);
  // What follows the policy beside it came by import and in bulk.
  for (const { id } of expectStatus(await api.get(`/licenses?policyId=${policy.id}`), 200).body.data)
    if (id !== license.id) expectStatus(await api.delete(`/licenses/${id}`), 204);
  for (const collection of ['machines', 'licenses', 'policies', 'products', 'entitlements', 'api-keys', 'users'] as const) {
    await call(api, 'DELETE', `/${collection}/${each[collection].id}`);
  }
  return answers;
}

/** Everything that is done with a webhook endpoint, to which nothing is ever sent: what it has been sent is made here. */
async function webhookAnswers(
  call: (client: Client, method: string, path: string, body?: unknown) => Promise<Reply>,
  { api }: Vendor,
): Promise<void> {
  const fields = { url: 'https://1.1.1.1/webhooks', events: ['product.updated'], description: 'x', metadata: { none: null } };
  const { id } = (await call(api, 'POST', '/webhooks', fields)).body.data;
  const database = new pg.Client({ connectionString: testDatabaseUrl() });
  await database.connect();
  await database.query("UPDATE webhook_endpoint SET resting_until = '2999-01-01' WHERE id = $1", [id]);
  const { data: tested } = (await call(api, 'POST', `/webhooks/${id}/test`)).body;
  const deliveries = async () => (await api.get(`/webhooks/${id}/deliveries`)).body.data;
  const [delivery] = await eventually(deliveries, (found) => found.length === 1);
  expect(delivery.event.id).toBe(tested.id);
  await database.query(
    `INSERT INTO webhook_attempt (id, environment_id, endpoint_id, delivery_id, started_at, duration_ms, response_code, response_body)
     SELECT gen_random_uuid(), environment_id, endpoint_id, id, now(), 12, 200, '' FROM webhook_delivery WHERE id = $1`,
    [delivery.id],
  );
  await database.end();
  for (const query of ['?limit=1', `?status=pending&eventType=webhook.test`]) await call(api, 'GET', `/webhooks/${id}/deliveries${query}`);
  await call(api, 'POST', `/webhooks/deliveries/${delivery.id}/retry`);
  await call(api, 'POST', `/webhooks/${id}/replay`, { from: '2026-01-01T00:00:00Z', to: '2999-01-01T00:00:00Z', types: ['*'] });
  await call(api, 'POST', `/webhooks/${id}/rotate-secret`, { overlapSeconds: 60 });
  for (const path of ['', `/${id}`]) await call(api, 'GET', `/webhooks${path}`);
  await call(api, 'PATCH', `/webhooks/${id}`, { enabled: false });
  await call(api, 'DELETE', `/webhooks/${id}`);
}

/** Where a value is not what its schema says. Objects have the fields that are described, all of them and no other. */
function mismatches(value: unknown, schema: Schema, schemas: Record<string, Schema>, at: string): string[] {
  if (schema.$ref !== undefined) return mismatches(value, schemas[schema.$ref.split('/').at(-1) ?? ''] ?? {}, schemas, at);
  if (schema.anyOf !== undefined) {
    const tried = schema.anyOf.map((alternative) => mismatches(value, alternative, schemas, at));
    return tried.some((problems) => problems.length === 0) ? [] : tried.flat();
  }
  if (schema.allOf !== undefined) return schema.allOf.flatMap((part) => mismatches(value, part, schemas, at));
  const types = schema.type === undefined ? [] : [schema.type].flat();
  if (types.length === 0) return [`${at}: the schema says no type`];
  const type = value === null ? 'null' : Array.isArray(value) ? 'array' : Number.isInteger(value) ? 'integer' : typeof value;
  if (!types.includes(type) && !(type === 'integer' && types.includes('number'))) return [`${at}: ${type} is not ${types.join(' or ')}`];
  if (schema.enum !== undefined && value !== null && !schema.enum.includes(value))
    return [`${at}: ${JSON.stringify(value)} is not in the list`];
  if (typeof value === 'string' && schema.format === 'date-time' && !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(value)) {
    return [`${at}: ${value} is no time with milliseconds`];
  }
  if (typeof value === 'string' && schema.pattern !== undefined && !new RegExp(schema.pattern, 'u').test(value))
    return [`${at}: ${value} does not match ${schema.pattern}`];
  if (Array.isArray(value)) return value.flatMap((item, index) => mismatches(item, schema.items ?? {}, schemas, `${at}[${index}]`));
  if (typeof value !== 'object' || value === null) return [];
  const { properties, additionalProperties } = schema;
  if (properties === undefined) {
    return typeof additionalProperties === 'object'
      ? Object.entries(value).flatMap(([key, item]) => mismatches(item, additionalProperties, schemas, `${at}.${key}`))
      : [];
  }
  const answered = Object.keys(value);
  const left = (schema.required ?? []).filter((key) => !answered.includes(key));
  const unsaid = answered.filter((key) => !(key in properties));
  if (left.length + unsaid.length > 0) return [`${at}: leaves out ${left.join()}, does not speak of ${unsaid.join()}`];
  return Object.entries(value).flatMap(([key, item]) => mismatches(item, properties[key] ?? {}, schemas, `${at}.${key}`));
}
