import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { anyone, Client, type Reply, send } from './support/client.js';
import { offlineRequest } from './support/offline-request.js';
import { sharedServer } from './support/shared-server.js';
import { testDatabaseUrl } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

/**
 * Every change leaves one entry in the audit log, in the transaction that makes it (contract: auth.md, "Failures are
 * evidence"). Which routes must is asked of the OpenAPI document: a new one has to be told here.
 */

interface Entry {
  action: string;
  resource: [type: string, id: string];
  actor: [type: string, id: string | null];
  before: object | null;
  after: object | null;
}

// What was created is its view.
/* eslint-disable @typescript-eslint/no-explicit-any */
interface Scene {
  api: Client;
  product: any;
  policy: any;
  entitlement: any;
  license: any;
  machine: any;
  webhook: any;
}
/* eslint-enable @typescript-eslint/no-explicit-any */

interface Case {
  route: string;
  /** Done beforehand. */
  given?: (scene: Scene) => Promise<unknown>;
  act: (scene: Scene) => Promise<Reply>;
  /** What it must leave; the actor is the API key unless it says otherwise. */
  leaves: (scene: Scene, reply: Reply) => (Omit<Entry, 'actor'> & { actor?: Entry['actor'] })[];
}

/** What is kept of a view: neither the times of changing it, nor a license's key or a secret. */
function kept(view: Record<string, unknown>): object {
  return Object.fromEntries(Object.entries(view).filter(([name]) => !['updatedAt', 'key', 'secret'].includes(name)));
}

const on = (type: 'product' | 'policy' | 'entitlement' | 'license' | 'machine' | 'webhook', scene: Scene): Entry['resource'] => [
  type,
  scene[type].id,
];
const TIME = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/) as unknown;
/** What is kept of a file: nothing of what it says. */
const checkedOut = ({ kid, expiresAt }: Record<string, unknown>, asked: object = {}) => ({
  kid,
  expiresAt,
  ttlSeconds: 14 * 86_400,
  encrypted: false,
  ...asked,
});
const terms = (code: string, quantity: number | null = null) => ({ code, quantity, expiresAt: null });

/** A move of the license whose only visible trace is its status. */
function move(name: string, action: string, before: object, after: object, given?: string): Case {
  const call = (scene: Scene, move: string): Promise<Reply> => scene.api.post(`/licenses/${scene.license.id}/${move}`);
  return {
    route: `POST /licenses/{id}/${name}`,
    given: async (scene) => (given === undefined ? undefined : expectStatus(await call(scene, given), 200)),
    act: (scene) => call(scene, name),
    leaves: (scene) => [{ action, resource: on('license', scene), before, after }],
  };
}

const cases: Case[] = [
  {
    route: 'POST /products',
    act: ({ api }) => api.post('/products', { name: 'Editor', code: unique('p') }),
    leaves: (_, { body }) => [{ action: 'product.created', resource: ['product', body.data.id], before: null, after: kept(body.data) }],
  },
  {
    route: 'PATCH /products/{id}',
    act: ({ api, product }) => api.patch(`/products/${product.id}`, { name: 'Renamed', keyPrefix: product.keyPrefix }),
    leaves: (scene) => [
      { action: 'product.updated', resource: on('product', scene), before: { name: 'Editor' }, after: { name: 'Renamed' } },
    ],
  },
  {
    route: 'DELETE /products/{id}',
    given: ({ api, license }) => api.delete(`/licenses/${license.id}`),
    act: ({ api, product }) => api.delete(`/products/${product.id}`),
    leaves: (scene) => [{ action: 'product.deleted', resource: on('product', scene), before: kept(scene.product), after: null }],
  },
  {
    route: 'POST /policies',
    act: ({ api, product }) => api.post('/policies', { productId: product.id, name: 'Basic' }),
    leaves: (_, { body }) => [{ action: 'policy.created', resource: ['policy', body.data.id], before: null, after: kept(body.data) }],
  },
  {
    route: 'PATCH /policies/{id}',
    act: ({ api, policy }) => api.patch(`/policies/${policy.id}`, { maxMachines: 7, metadata: { tier: 2 } }),
    leaves: (scene) => [
      {
        action: 'policy.updated',
        resource: on('policy', scene),
        before: { maxMachines: 2, metadata: {} },
        after: { maxMachines: 7, metadata: { tier: 2 } },
      },
    ],
  },
  {
    route: 'DELETE /policies/{id}',
    given: ({ api, license }) => api.delete(`/licenses/${license.id}`),
    act: ({ api, policy }) => api.delete(`/policies/${policy.id}`),
    leaves: (scene) => [
      { action: 'policy.deleted', resource: on('policy', scene), before: { ...kept(scene.policy), entitlements: ['held'] }, after: null },
    ],
  },
  {
    route: 'POST /policies/{id}/entitlements',
    act: ({ api, policy }) => api.post(`/policies/${policy.id}/entitlements`, { codes: ['pro', 'held', 'sync'] }),
    leaves: (scene) =>
      ['pro', 'sync'].map((code) => ({
        action: 'entitlement.attached',
        resource: on('policy', scene),
        before: null,
        after: { code },
      })),
  },
  {
    route: 'DELETE /policies/{id}/entitlements/{code}',
    act: ({ api, policy }) => api.delete(`/policies/${policy.id}/entitlements/held`),
    leaves: (scene) => [{ action: 'entitlement.detached', resource: on('policy', scene), before: { code: 'held' }, after: null }],
  },
  {
    route: 'POST /entitlements',
    act: ({ api }) => api.post('/entitlements', { code: 'export', name: 'Export' }),
    leaves: (_, { body }) => [
      { action: 'entitlement.created', resource: ['entitlement', body.data.id], before: null, after: kept(body.data) },
    ],
  },
  {
    route: 'PATCH /entitlements/{id}',
    act: ({ api, entitlement }) => api.patch(`/entitlements/${entitlement.id}`, { description: 'All of it.' }),
    leaves: (scene) => [
      {
        action: 'entitlement.updated',
        resource: on('entitlement', scene),
        before: { description: null },
        after: { description: 'All of it.' },
      },
    ],
  },
  {
    route: 'DELETE /entitlements/{id}',
    act: ({ api, entitlement }) => api.delete(`/entitlements/${entitlement.id}`),
    leaves: (scene) => [
      { action: 'entitlement.deleted', resource: on('entitlement', scene), before: kept(scene.entitlement), after: null },
    ],
  },
  {
    route: 'POST /licenses',
    act: ({ api, policy }) => api.post('/licenses', { productId: policy.productId, policyId: policy.id, key: unique('CHOSEN') }),
    leaves: (_, { body }) => [
      {
        action: 'license.created',
        resource: ['license', body.data.id],
        before: null,
        after: { ...kept(body.data), suspendedAt: null, bannedAt: null, revokedAt: null, termAnchorAt: TIME, clockPending: false },
      },
    ],
  },
  {
    route: 'POST /licenses/bulk',
    act: ({ api, policy }) => {
      const license = { productId: policy.productId, policyId: policy.id };
      return api.post('/licenses/bulk', { licenses: [license, license] });
    },
    leaves: (_, { body }) =>
      body.data.map((view: Record<string, unknown>) => ({
        action: 'license.created',
        resource: ['license', view.id],
        before: null,
        after: { ...kept(view), suspendedAt: null, bannedAt: null, revokedAt: null, termAnchorAt: TIME, clockPending: false },
      })),
  },
  {
    route: 'POST /licenses/import',
    act: ({ api, policy }) =>
      api.call('POST', '/licenses/import', {
        raw: JSON.stringify({ productId: policy.productId, policyId: policy.id, machines: ['fingerprint-b'] }),
        headers: { 'content-type': 'application/x-ndjson' },
      }),
    leaves: (_, { body }) => {
      const id = body.data.rows[0].licenseId as string;
      return [
        { action: 'license.created', resource: ['license', id], before: null, after: expect.objectContaining({ id, machineCount: 1 }) },
        {
          action: 'machine.activated',
          resource: ['machine', expect.any(String) as unknown as string],
          before: null,
          after: expect.objectContaining({ licenseId: id, fingerprint: 'fingerprint-b' }),
        },
      ];
    },
  },
  {
    route: 'PATCH /licenses/{id}',
    act: ({ api, license }) => api.patch(`/licenses/${license.id}`, { name: 'Renamed', maxUsesOverride: 5 }),
    leaves: (scene) => [
      {
        action: 'license.updated',
        resource: on('license', scene),
        before: { name: null, maxUsesOverride: null },
        after: { name: 'Renamed', maxUsesOverride: 5 },
      },
    ],
  },
  {
    route: 'DELETE /licenses/{id}',
    act: ({ api, license }) => api.delete(`/licenses/${license.id}`),
    leaves: (scene) => [
      {
        action: 'license.deleted',
        resource: on('license', scene),
        before: expect.objectContaining({ id: scene.license.id, machineCount: 1, status: 'active' }),
        after: null,
      },
      {
        action: 'machine.deactivated',
        resource: on('machine', scene),
        before: expect.objectContaining({ id: scene.machine.id, licenseId: scene.license.id }),
        after: null,
      },
    ],
  },
  move('suspend', 'license.suspended', { status: 'active', suspendedAt: null }, { status: 'suspended', suspendedAt: TIME }),
  move('reinstate', 'license.reinstated', { status: 'suspended', suspendedAt: TIME }, { status: 'active', suspendedAt: null }, 'suspend'),
  move('ban', 'license.banned', { status: 'active', bannedAt: null }, { status: 'banned', bannedAt: TIME }),
  move('unban', 'license.unbanned', { status: 'banned', bannedAt: TIME }, { status: 'active', bannedAt: null }, 'ban'),
  move('revoke', 'license.revoked', { status: 'active', revokedAt: null }, { status: 'revoked', revokedAt: TIME }),
  // Banned it stays: only the time behind the status tells that it was revoked.
  move('revoke', 'license.revoked', { revokedAt: null }, { revokedAt: TIME }, 'ban'),
  move('renew', 'license.renewed', { expiresAt: TIME }, { expiresAt: TIME }),
  move('check-in', 'license.checked_in', { lastCheckInAt: null }, { lastCheckInAt: TIME }),
  {
    route: 'POST /licenses/{id}/transfer',
    given: async (scene) => {
      scene.policy = await vendor.policy();
    },
    act: ({ api, license, policy }) => api.post(`/licenses/${license.id}/transfer`, { policyId: policy.id }),
    leaves: (scene) => [
      {
        action: 'license.transferred',
        resource: on('license', scene),
        before: { policyId: scene.license.policyId, productId: scene.license.productId },
        after: { policyId: scene.policy.id, productId: scene.policy.productId },
      },
    ],
  },
  {
    route: 'POST /licenses/{id}/usage',
    act: ({ api, license }) => api.post(`/licenses/${license.id}/usage`, { increment: 3 }),
    leaves: (scene) => [{ action: 'usage.incremented', resource: on('license', scene), before: { usesCount: 0 }, after: { usesCount: 3 } }],
  },
  {
    route: 'POST /licenses/{id}/usage',
    act: ({ api, license }) => app(api, license).post(`/licenses/${license.id}/usage`, { increment: 1 }),
    leaves: (scene) => [
      {
        action: 'usage.incremented',
        resource: on('license', scene),
        actor: ['license', scene.license.id],
        before: { usesCount: 0 },
        after: { usesCount: 1 },
      },
    ],
  },
  {
    route: 'POST /licenses/{id}/usage/reset',
    given: ({ api, license }) => api.post(`/licenses/${license.id}/usage`, { increment: 3 }),
    act: ({ api, license }) => api.post(`/licenses/${license.id}/usage/reset`),
    leaves: (scene) => [{ action: 'license.updated', resource: on('license', scene), before: { usesCount: 3 }, after: { usesCount: 0 } }],
  },
  {
    route: 'POST /licenses/{id}/rotate-key',
    act: ({ api, license }) => api.post(`/licenses/${license.id}/rotate-key`, { key: unique('CHOSEN') }),
    leaves: (scene) => [
      {
        action: 'license.key_rotated',
        resource: on('license', scene),
        before: {},
        after: { keyOrigin: 'vendor', formerKeyValidUntil: TIME },
      },
    ],
  },
  {
    route: 'POST /licenses/{id}/reset-machines',
    act: ({ api, license }) => api.post(`/licenses/${license.id}/reset-machines`),
    leaves: (scene) => [{ action: 'machine.deactivated', resource: on('machine', scene), before: kept(scene.machine), after: null }],
  },
  {
    route: 'POST /licenses/{id}/entitlements',
    act: ({ api, license }) => api.post(`/licenses/${license.id}/entitlements`, { codes: ['pro', 'held'], quantity: 3 }),
    leaves: (scene) => [
      { action: 'entitlement.detached', resource: on('license', scene), before: terms('held'), after: null },
      { action: 'entitlement.attached', resource: on('license', scene), before: null, after: terms('held', 3) },
      { action: 'entitlement.attached', resource: on('license', scene), before: null, after: terms('pro', 3) },
    ],
  },
  {
    route: 'DELETE /licenses/{id}/entitlements/{code}',
    act: ({ api, license }) => api.delete(`/licenses/${license.id}/entitlements/held`),
    leaves: (scene) => [{ action: 'entitlement.detached', resource: on('license', scene), before: terms('held'), after: null }],
  },
  {
    route: 'POST /machines',
    act: ({ api, license }) => api.post('/machines', { licenseId: license.id, fingerprint: 'fingerprint-b', cores: 4 }),
    leaves: (_, { body }) => [{ action: 'machine.activated', resource: ['machine', body.data.id], before: null, after: kept(body.data) }],
  },
  {
    route: 'POST /machines',
    act: ({ api, license }) => app(api, license).post('/machines', { fingerprint: 'fingerprint-b' }),
    leaves: ({ license }, { body }) => [
      {
        action: 'machine.activated',
        resource: ['machine', body.data.id],
        actor: ['license', license.id],
        before: null,
        after: kept(body.data),
      },
    ],
  },
  {
    route: 'POST /machines/offline-requests',
    act: ({ api, license }) =>
      api.post('/machines/offline-requests', { request: offlineRequest(license.key, { fingerprint: 'fingerprint-b' }) }),
    leaves: (_, { body }) => [
      {
        action: 'machine.activated',
        resource: ['machine', body.data.machineId],
        before: null,
        after: expect.objectContaining({ id: body.data.machineId, fingerprint: 'fingerprint-b' }),
      },
      { action: 'machine.checked_out', resource: ['machine', body.data.machineId], before: null, after: checkedOut(body.data) },
    ],
  },
  {
    route: 'POST /machines/{id}/check-out',
    act: ({ api, license, machine }) => app(api, license).post(`/machines/${machine.id}/check-out`, { ttlSeconds: 3600 }),
    leaves: (scene, { body }) => [
      {
        action: 'machine.checked_out',
        resource: on('machine', scene),
        actor: ['license', scene.license.id],
        before: null,
        after: checkedOut(body.data, { ttlSeconds: 3600 }),
      },
    ],
  },
  {
    route: 'POST /licenses/{id}/check-out',
    act: ({ api, license }) => api.post(`/licenses/${license.id}/check-out`, { encrypt: true }),
    leaves: (scene, { body }) => [
      { action: 'license.checked_out', resource: on('license', scene), before: null, after: checkedOut(body.data, { encrypted: true }) },
    ],
  },
  {
    route: 'PATCH /machines/{id}',
    act: ({ api, machine }) => api.patch(`/machines/${machine.id}`, { cores: 8 }),
    leaves: (scene) => [{ action: 'machine.updated', resource: on('machine', scene), before: { cores: null }, after: { cores: 8 } }],
  },
  {
    route: 'DELETE /machines/{id}',
    act: ({ api, machine }) => api.delete(`/machines/${machine.id}`),
    leaves: (scene) => [{ action: 'machine.deactivated', resource: on('machine', scene), before: kept(scene.machine), after: null }],
  },
  {
    route: 'DELETE /machines/{id}',
    act: ({ api, license, machine }) => app(api, license).delete(`/machines/${machine.id}`),
    leaves: (scene) => [
      {
        action: 'machine.deactivated',
        resource: on('machine', scene),
        actor: ['license', scene.license.id],
        before: kept(scene.machine),
        after: null,
      },
    ],
  },
  {
    route: 'POST /webhooks',
    act: ({ api }) => api.post('/webhooks', { url: 'https://1.1.1.1/x', events: ['webhook.disabled'] }),
    leaves: (_, { body }) => [{ action: 'webhook.created', resource: ['webhook', body.data.id], before: null, after: kept(body.data) }],
  },
  {
    route: 'PATCH /webhooks/{id}',
    act: ({ api, webhook }) => api.patch(`/webhooks/${webhook.id}`, { url: webhook.url, events: ['license.*'] }),
    leaves: (scene) => [
      { action: 'webhook.updated', resource: on('webhook', scene), before: { events: ['*'] }, after: { events: ['license.*'] } },
    ],
  },
  {
    route: 'DELETE /webhooks/{id}',
    act: ({ api, webhook }) => api.delete(`/webhooks/${webhook.id}`),
    leaves: (scene) => [{ action: 'webhook.deleted', resource: on('webhook', scene), before: kept(scene.webhook), after: null }],
  },
  {
    route: 'POST /webhooks/{id}/rotate-secret',
    act: ({ api, webhook }) => api.post(`/webhooks/${webhook.id}/rotate-secret`, { overlapSeconds: 60 }),
    leaves: (scene) => [
      {
        action: 'webhook.secret_rotated',
        resource: on('webhook', scene),
        before: { secretId: expect.any(String) },
        after: { secretId: expect.any(String), overlapping: [{ id: expect.any(String), endsAt: TIME }] },
      },
    ],
  },
  {
    route: 'POST /signing-keys/rotate',
    act: ({ api }) => api.post('/signing-keys/rotate', { revokePrevious: true }),
    leaves: (_, { body }) => [
      {
        action: 'signing_key.rotated',
        resource: ['signing_key', expect.any(String)],
        before: { kid: expect.any(String) },
        after: { kid: body.data.kid, revoked: [] },
      },
    ],
  },
];

/** Routes that change nothing that anyone answers for. */
const unrecorded = [
  'POST /policies/{id}/preview',
  'POST /licenses/validate-key',
  'POST /licenses/{id}/validate',
  'POST /licenses/{id}/explain',
  'POST /machines/{id}/heartbeat',
  // Processes come and go by themselves, far more often than anything is managed.
  'POST /machines/{id}/processes',
  'POST /machines/{id}/processes/{pid}/heartbeat',
  'DELETE /machines/{id}/processes/{pid}',
  // What is sent once more is in the list of deliveries.
  'POST /webhooks/{id}/test',
  'POST /webhooks/{id}/replay',
  'POST /webhooks/deliveries/{id}/retry',
];

/** Requests that change nothing: refused, or asking for what is so already. */
const idle: { what: string; status: number; act: (scene: Scene) => Promise<Reply> }[] = [
  { what: 'a bad body', status: 400, act: ({ api }) => api.post('/products', { name: '' }) },
  { what: 'a key without the scope', status: 403, act: async ({ license }) => (await vendor.keyWith('licenses:read')).post(`/licenses/${license.id}/suspend`) },
  { what: 'an unknown id', status: 404, act: ({ api }) => api.patch(`/policies/${uuidv7()}`, { name: 'Renamed' }) },
  { what: 'a taken code', status: 409, act: ({ api, product }) => api.post('/products', { name: 'Twin', code: product.code }) },
  { what: 'one unknown code of two', status: 404, act: ({ api, policy }) => api.post(`/policies/${policy.id}/entitlements`, { codes: ['pro', 'no'] }) },
  { what: 'contradicting rules', status: 400, act: ({ api, policy }) => api.patch(`/policies/${policy.id}`, { maxMachines: null }) },
  { what: 'a product with licenses', status: 422, act: ({ api, product }) => api.delete(`/products/${product.id}`) },
  { what: 'a policy with licenses', status: 422, act: ({ api, policy }) => api.delete(`/policies/${policy.id}`) },
  { what: 'an illegal move', status: 409, act: ({ api, license }) => api.post(`/licenses/${license.id}/unban`) },
  { what: 'an unknown policy', status: 404, act: ({ api, product }) => api.post('/licenses', { productId: product.id, policyId: uuidv7() }) },
  { what: 'too many cores', status: 422, act: ({ api, machine }) => api.patch(`/machines/${machine.id}`, { cores: 99 }) },
  { what: 'no seat', status: 422, act: ({ api, license }) => app(api, license).post('/machines', { fingerprint: 'fingerprint-b', cores: 99 }) },
  { what: 'a seat that is held', status: 200, act: ({ api, license }) => app(api, license).post('/machines', { fingerprint: 'fingerprint' }) },
  { what: 'a heartbeat', status: 200, act: ({ api, machine }) => api.post(`/machines/${machine.id}/heartbeat`) },
  { what: 'a file that lasts too long', status: 422, act: ({ api, machine }) => api.post(`/machines/${machine.id}/check-out`, { ttlSeconds: 999_999_999 }) },
  { what: 'a process', status: 201, act: ({ api, machine }) => api.post(`/machines/${machine.id}/processes`, { pid: '1' }) },
  { what: 'the end of that process', status: 204, act: ({ api, machine }) => api.delete(`/machines/${machine.id}/processes/1`) },
  { what: 'a validation', status: 200, act: ({ api, license }) => anyone(api.baseUrl).post('/licenses/validate-key', { key: license.key, increment: 1 }) },
  { what: 'a validation by id', status: 200, act: ({ api, license }) => api.post(`/licenses/${license.id}/validate`, { fingerprint: 'fingerprint', increment: 1 }) },
  { what: 'an explanation', status: 200, act: ({ api, license }) => api.post(`/licenses/${license.id}/explain`, { increment: 1 }) },
  { what: 'the same name again', status: 200, act: ({ api, product }) => api.patch(`/products/${product.id}`, { name: product.name }) },
  { what: 'the same rules again', status: 200, act: ({ api, policy }) => api.patch(`/policies/${policy.id}`, { maxMachines: 2 }) },
  { what: 'a preview', status: 200, act: ({ api, policy }) => api.post(`/policies/${policy.id}/preview`, { maxMachines: 1 }) },
  { what: 'an address that is not public', status: 400, act: ({ api, webhook }) => api.patch(`/webhooks/${webhook.id}`, { url: 'https://10.0.0.1' }) },
  { what: 'a webhook that is disabled already', status: 200, act: ({ api, webhook }) => api.patch(`/webhooks/${webhook.id}`, { enabled: false }) },
  { what: 'a test of one', status: 409, act: ({ api, webhook }) => api.post(`/webhooks/${webhook.id}/test`) },
  { what: 'attached already', status: 200, act: ({ api, policy }) => api.post(`/policies/${policy.id}/entitlements`, { codes: ['held'] }) },
  { what: 'attached with the same terms', status: 200, act: ({ api, license }) => api.post(`/licenses/${license.id}/entitlements`, { codes: ['held'] }) },
]; // prettier-ignore

const unique = (what: string): string => `${what}-${uuidv7()}`;
/** The same caller with these headers too. */
const withHeaders = (api: Client, headers: Record<string, string>): Client => new Client(api.baseUrl, { ...api.headers, ...headers });
/** The app with the license's key, and the other headers of this caller. */
const app = (api: Client, license: { key: string }): Client => withHeaders(api, { authorization: `License ${license.key}` });

const server = sharedServer();
let database: pg.Client;
let vendor: Vendor;
let scene: Scene;
let environmentId: string;
let apiKeyId: string;

beforeAll(async () => {
  database = new pg.Client({ connectionString: testDatabaseUrl() });
  await database.connect();
});
afterAll(async () => {
  await database.end();
});
beforeEach(async () => {
  vendor = await Vendor.signUp(server.url);
  const { rows } = await database.query<{ id: string; key: string }>(
    `SELECT environment.id, api_key.id AS key FROM environment JOIN api_key ON api_key.environment_id = environment.id
      WHERE account_id = $1 AND environment.name = 'live'`,
    [vendor.account.id],
  );
  [environmentId, apiKeyId] = [rows[0]!.id, rows[0]!.key];
  const entitlement = await vendor.entitlement('pro');
  for (const code of ['held', 'sync']) await vendor.entitlement(code);
  const product = await vendor.product();
  const policy = await vendor.policy({ productId: product.id, maxMachines: 2, maxCores: 16, durationDays: 30 });
  expectStatus(await vendor.api.post(`/policies/${policy.id}/entitlements`, { codes: ['held'] }), 200);
  const license = await vendor.license({ productId: product.id, policyId: policy.id, entitlements: ['held'] });
  const machine = await vendor.activate(license, 'fingerprint');
  const { secret, ...webhook } = expectStatus(await vendor.api.post('/webhooks', { url: 'https://1.1.1.1/x', enabled: false }), 201).body
    .data;
  expect(secret).toMatch(/^whsec_/);
  scene = { api: vendor.api, product, policy, entitlement, license, machine, webhook };
});

/** The environment's log, oldest first. */
async function entries(): Promise<(Entry & { ip: string | null; requestId: string | null })[]> {
  const { rows } = await database.query<Entry & { ip: string; requestId: string }>(
    `SELECT action, ARRAY[resource_type, resource_id] AS resource, ARRAY[actor_type, actor_id] AS actor, before, after, ip,
            request_id AS "requestId"
       FROM audit_entry WHERE environment_id = $1 AND resource_type = ANY($2) ORDER BY id`,
    [environmentId, ['product', 'policy', 'entitlement', 'license', 'machine', 'signing_key', 'webhook']],
  );
  return rows;
}

/** Entries of one request are of one time: their order says nothing. */
function inOrder<T extends Pick<Entry, 'action' | 'after'>>(found: T[]): T[] {
  const by = ({ action, after }: T): string => action + JSON.stringify(after);
  return [...found].sort((a, b) => (by(a) < by(b) ? -1 : 1));
}

/** What the work adds to the log. */
async function left(work: () => Promise<unknown>): Promise<Awaited<ReturnType<typeof entries>>> {
  const before = (await entries()).length;
  await work();
  return (await entries()).slice(before);
}

describe('the audit log', () => {
  it('is told of every route that changes anything', async () => {
    const { paths } = expectStatus(await send(server.url, 'GET', '/openapi.json'), 200).body;
    const changing = Object.entries<object>(paths)
      .flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method.toUpperCase()} ${path.replace('/api/v1', '')}`))
      .filter((route) =>
        /^(POST|PUT|PATCH|DELETE) \/(products|policies|entitlements|licenses|machines|signing-keys|webhooks)\b/.test(route),
      );
    expect([...new Set([...cases.map(({ route }) => route), ...unrecorded])].sort()).toEqual(changing.sort());
  });

  it.each(cases)('has what was done: $route', async ({ given, act, leaves }) => {
    await given?.(scene);
    const requestId = unique('request');
    const { api } = scene;
    const asked = { ...scene, api: withHeaders(api, { 'x-request-id': requestId }) };
    let reply: Reply | undefined;
    const found = await left(async () => {
      reply = await act(asked);
    });
    expect(reply!.status).toBeLessThan(300);
    const common = { actor: ['api_key', apiKeyId], ip: '127.0.0.1', requestId };
    expect(inOrder(found)).toEqual(inOrder(leaves(scene, reply!).map((entry) => ({ ...common, ...entry }))));
  });

  it('has each move of a license behind a ban, which hides it', async () => {
    const { license, api } = scene;
    const moves = ['ban', 'suspend', 'reinstate', 'suspend', 'revoke'];
    const found = await left(async () => {
      for (const name of moves) expectStatus(await api.post(`/licenses/${license.id}/${name}`), 200);
    });
    expect(found.map(({ action }) => action)).toEqual([
      'license.banned',
      'license.suspended',
      'license.reinstated',
      'license.suspended',
      'license.revoked',
    ]);
  });

  it('has a clock that no longer waits', async () => {
    const license = await vendor.licenseUnder({ durationDays: 30, expirationBasis: 'FROM_FIRST_ACTIVATION' });
    const found = await left(() => vendor.activate(license, 'fingerprint'));
    expect(found).toContainEqual(
      expect.objectContaining({
        action: 'license.updated',
        before: expect.objectContaining({ clockPending: true }),
        after: expect.objectContaining({ clockPending: false }),
      }),
    );
  });

  it('has nothing where nothing changed', async () => {
    for (const { what, status, act } of idle) {
      let reply: Reply | undefined;
      const found = await left(async () => {
        reply = await act(scene);
      });
      expect({ what, status: reply?.status, found }).toEqual({ what, status, found: [] });
    }
  });

  it('never has a license key', async () => {
    const chosen = unique('CHOSEN');
    const { api, policy, license } = scene;
    const own = await vendor.license({ productId: policy.productId, policyId: policy.id, key: chosen });
    const rotated: string[] = [];
    for (const { id } of [license, own]) {
      expectStatus(await api.patch(`/licenses/${id}`, { name: 'Renamed' }), 200);
      rotated.push(expectStatus(await api.post(`/licenses/${id}/rotate-key`, {}), 200).body.data.key);
      expectStatus(await api.delete(`/licenses/${id}`), 204);
    }
    const { rows } = await database.query<{ row: string }>(
      'SELECT to_jsonb(audit_entry)::text AS row FROM audit_entry WHERE environment_id = $1',
      [environmentId],
    );
    expect(rows.length).toBeGreaterThan(10);
    for (const { row } of rows) {
      for (const secret of [chosen, license.key, ...rotated, vendor.liveKey]) expect(row).not.toContain(secret);
      expect(JSON.parse(row)).not.toHaveProperty(['after', 'key']);
      expect(JSON.parse(row)).not.toHaveProperty(['before', 'key']);
    }
  });

  describe('stands or falls with the change', () => {
    /** While the work runs, writes of this environment to the table fail: at once, or only when they are committed. */
    async function whileFailing(table: string, when: 'at once' | 'at commit', work: () => Promise<void>): Promise<void> {
      const name = `fails_${uuidv7().replaceAll('-', '')}`;
      await database.query(`CREATE FUNCTION ${name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused by a test'; END $$`);
      await database.query(
        `CREATE CONSTRAINT TRIGGER ${name} AFTER INSERT OR UPDATE ON ${table}
           DEFERRABLE INITIALLY ${when === 'at once' ? 'IMMEDIATE' : 'DEFERRED'}
           FOR EACH ROW WHEN (NEW.environment_id = '${environmentId}') EXECUTE FUNCTION ${name}()`,
      );
      try {
        await work();
      } finally {
        await database.query(`DROP FUNCTION ${name} CASCADE`);
      }
    }

    it('leaves no change without its entry', async () => {
      const { api, license, product } = scene;
      await whileFailing('audit_entry', 'at once', async () => {
        expect((await api.patch(`/products/${product.id}`, { name: 'Renamed' })).status).toBe(500);
        expect((await api.post(`/licenses/${license.id}/suspend`)).status).toBe(500);
        expect((await app(api, license).post('/machines', { fingerprint: 'fingerprint-b' })).status).toBe(500);
      });
      expect((await api.get(`/products/${product.id}`)).body.data).toEqual({ ...product, licensesCount: 1 });
      expect((await api.get(`/licenses/${license.id}`)).body.data).toMatchObject({ status: 'active', machineCount: 1 });
    });

    it('leaves no entry without its change', async () => {
      const { api, license } = scene;
      const found = await left(() =>
        whileFailing('license', 'at commit', async () => {
          expect((await api.post(`/licenses/${license.id}/suspend`)).status).toBe(500);
          expect((await app(api, license).post('/machines', { fingerprint: 'fingerprint-b' })).status).toBe(500);
        }),
      );
      expect(found).toEqual([]);
    });
  });
});
