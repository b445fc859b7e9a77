import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import type { Running } from '../src/boot.js';
import { FIND_INTERESTS, Interests } from '../src/core/interests.js';
import { type EventType, eventTypes, highVolumeTypesOf, type HighVolumeEventType } from '../src/domain/events.js';
import { Client, type Reply, withKey, withLicense } from './support/client.js';
import { latchkey } from './support/command-line.js';
import { eventually } from './support/eventually.js';
import { startServer } from './support/server.js';
import { testDatabaseUrl } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

/**
 * Each type of event (contract: webhooks.md, "Types in full") is really made, by what it is called after: with the object,
 * what was so before, who did it, in which request, and of whose segment; and never with a license key or a secret.
 */

// Views are whatever the server says.
/* eslint-disable @typescript-eslint/no-explicit-any */

const DAY_MS = 86_400_000;
const START = '2031-01-01T00:00:00.000Z';
const day = (days: number): string => new Date(Date.parse(START) + days * DAY_MS).toISOString();

let server: Running;
let database: pg.Client;
beforeAll(async () => {
  server = await startServer();
  database = new pg.Client({ connectionString: testDatabaseUrl() });
  await database.connect();
});
afterAll(async () => {
  await database.end();
  await server.stop();
});

/** Of licenses and of API keys, all that came up. */
const shownKeys = new Set<string>();

const done = (reply: Reply): any => {
  if (reply.status >= 300) throw new Error(`got ${String(reply.status)}: ${reply.text}`);
  const key: unknown = reply.body?.data?.key;
  if (typeof key === 'string') shownKeys.add(key);
  return reply.body?.data;
};

async function environmentOf({ account }: Vendor): Promise<string> {
  const { rows } = await database.query<{ id: string }>("SELECT id FROM environment WHERE account_id = $1 AND name = 'test'", [account.id]);
  return rows[0]!.id;
}

/** As a stream that is open does. */
async function keepInterest(environmentId: string, types: readonly HighVolumeEventType[]): Promise<void> {
  await database.query("INSERT INTO event_interest (id, environment_id, types, until) VALUES ($1, $2, $3, now() + interval '1 minute')", [
    randomUUID(),
    environmentId,
    types,
  ]);
}

/** A vendor's reseller, who sees its own segment, and all the secrets that came up. */
class Scene {
  readonly requestId = randomUUID();
  private constructor(
    readonly vendor: Vendor,
    readonly keyId: string,
    readonly segmentId: string,
    private readonly key: string,
  ) {}

  static async begin(): Promise<Scene> {
    const vendor = await Vendor.signUp(server.url);
    const { id, key } = done(await vendor.testApi.post('/api-keys', { name: 'reseller [segment]' }));
    const { rows } = await database.query<{ segment: string }>('SELECT lineage_id AS segment FROM api_key WHERE id = $1', [id]);
    return new Scene(vendor, id, rows[0]!.segment, key);
  }

  /** Prepares. */
  get api(): Client {
    return withKey(server.url, this.key);
  }

  /** Does what the event is about. */
  get acting(): Client {
    return this.api.with({ 'x-request-id': this.requestId });
  }

  app(license: { key: string }): Client {
    return withLicense(server.url, license.key).with({ 'x-request-id': this.requestId });
  }

  async licenseUnder(rules: Record<string, unknown> = {}, fields: object = {}): Promise<any> {
    const license = await this.vendor.licenseUnder({ requireFingerprint: false, ...rules }, fields, this.api);
    shownKeys.add(license.key);
    return license;
  }

  async clock(): Promise<{ id: string }> {
    return expectStatus(await this.api.post('/test-clocks', { frozenAt: START }), 201).body.data;
  }

  advance(clock: { id: string }, days: number): Promise<Reply> {
    return this.acting.post(`/test-clocks/${clock.id}/advance`, { to: day(days) });
  }

  /** The license as it is shown now, to whom it is shown without its key. */
  async shown(path: string): Promise<any> {
    return withoutKey(expectStatus(await this.api.get(path), 200).body.data);
  }

  environmentId(): Promise<string> {
    return environmentOf(this.vendor);
  }

  /** Of everything that was told or logged, none holds a key that was shown. */
  async expectNoSecrets(): Promise<void> {
    const { rows } = await database.query<{ text: string }>(
      `SELECT string_agg(to_jsonb(kept)::text, ' ') AS text FROM (
         SELECT to_jsonb(event) FROM event WHERE environment_id = $1 UNION ALL
         SELECT to_jsonb(audit_entry) FROM audit_entry WHERE environment_id = $1) AS kept`,
      [await this.environmentId()],
    );
    expect(rows[0]!.text).toContain(this.requestId);
    expect([...shownKeys].filter((key) => rows[0]!.text.includes(key))).toEqual([]);
  }

  async eventsOf(type: string): Promise<any[]> {
    const { rows } = await database.query('SELECT * FROM event WHERE environment_id = $1 AND type = $2 ORDER BY id', [
      await this.environmentId(),
      type,
    ]);
    return rows;
  }

  /** Somebody listens: this server knows it when this resolves. */
  async listen(types: readonly HighVolumeEventType[]): Promise<void> {
    await keepInterest(await this.environmentId(), types);
    await this.isHeard(types, true);
  }

  async isHeard(types: readonly HighVolumeEventType[], wanted: boolean): Promise<void> {
    const environmentId = await this.environmentId();
    const interests = interestsOf(server);
    await eventually(
      () => Promise.resolve(types.every((type) => interests.wants(environmentId, type) === wanted)),
      (isSo) => isSo,
    );
  }
}

const interestsOf = (running: Running): Interests => running.app.get(Interests);

const without = (view: any, ...names: string[]): any => Object.fromEntries(Object.entries(view).filter(([name]) => !names.includes(name)));
const withoutKey = (view: any): any => without(view, 'key');

/** What is expected of the one event, besides what is expected of all. */
interface Expected {
  id: string;
  /** What the object shows, or shows among other things. */
  object: object;
  previous?: object;
  /** What else `data` says. */
  beside?: object;
  /** By default the reseller's key, in the request that was made by it. */
  actor?: { type: string; id: string | null };
  /** By default what the type begins with. */
  resourceType?: string;
  /** Of a machine. */
  licenseId?: string;
}

type Row = (scene: Scene) => Promise<Expected>;

/** What an action of a license does to its view. */
const licenseAction =
  (action: string, body: object | undefined, object: object, previous: object, prepare?: string): Row =>
  async (scene) => {
    const license = await scene.licenseUnder({ durationDays: 30, requireCheckIn: true, checkInIntervalDays: 5 });
    if (prepare !== undefined) done(await scene.api.post(`/licenses/${license.id}/${prepare}`));
    const answered = done(await scene.acting.post(`/licenses/${license.id}/${action}`, body));
    return { id: license.id, object: { ...withoutKey(answered), ...object }, previous };
  };

/** Creates, changes and deletes one of these. */
const managed = (path: string, make: (scene: Scene, api: Client) => Promise<any>): Record<'created' | 'updated' | 'deleted', Row> => ({
  created: async (scene) => {
    const object = await make(scene, scene.acting);
    return { id: object.id, object };
  },
  updated: async (scene) => {
    const { id, name } = await make(scene, scene.api);
    return { id, object: done(await scene.acting.patch(`/${path}/${id}`, { name: 'another' })), previous: { name } };
  },
  deleted: async (scene) => {
    const object = without(await make(scene, scene.api), 'updatedAt');
    done(await scene.acting.delete(`/${path}/${object.id}`));
    return { id: object.id, object };
  },
});

const products = managed('products', (scene, api) => scene.vendor.product({}, api));
const policies = managed('policies', async (scene, api) =>
  scene.vendor.policy({ productId: (await scene.vendor.product({}, scene.api)).id }, api),
);
const entitlements = managed('entitlements', (scene, api) => scene.vendor.entitlement('pro', api));

const anyTime = expect.stringMatching(/^\d{4}-.*Z$/);

/** A license with one machine. */
async function withMachine(
  scene: Scene,
  rules: Record<string, unknown> = {},
  fields: object = {},
): Promise<{ license: any; machine: any }> {
  const license = await scene.licenseUnder(rules, fields);
  const machine = done(await scene.api.post('/machines', { licenseId: license.id, fingerprint: 'fingerprint-a' }));
  return { license, machine };
}

const mortal = { requireHeartbeat: true, heartbeatIntervalMinutes: 60 };

/** How each type comes about; of those that others make, who. */
const table: Record<EventType, Row | string> = {
  'license.created': async (scene) => {
    const policy = await scene.vendor.policy({}, scene.api);
    const made = done(await scene.acting.post('/licenses', { productId: policy.productId, policyId: policy.id, name: 'Ada' }));
    return { id: made.id, object: withoutKey(made) };
  },
  'license.activated': async (scene) => {
    const license = await scene.licenseUnder();
    expectStatus(await scene.app(license).post('/licenses/validate-key', { key: license.key }), 200);
    return {
      id: license.id,
      object: { ...withoutKey(license), firstValidatedAt: anyTime, updatedAt: anyTime },
      previous: { firstValidatedAt: null },
      actor: { type: 'anonymous', id: null },
    };
  },
  'license.updated': async (scene) => {
    const license = await scene.licenseUnder();
    const object = withoutKey(done(await scene.acting.patch(`/licenses/${license.id}`, { name: 'Ada' })));
    return { id: license.id, object, previous: { name: null } };
  },
  'license.suspended': licenseAction('suspend', undefined, { status: 'suspended' }, { status: 'active', suspendedAt: null }),
  'license.reinstated': licenseAction(
    'reinstate',
    undefined,
    { status: 'active' },
    { status: 'suspended', suspendedAt: anyTime },
    'suspend',
  ),
  'license.banned': licenseAction('ban', undefined, { status: 'banned' }, { status: 'active', bannedAt: null }),
  'license.unbanned': licenseAction('unban', undefined, { status: 'active' }, { status: 'banned', bannedAt: anyTime }, 'ban'),
  'license.revoked': licenseAction('revoke', undefined, { status: 'revoked' }, { status: 'active', revokedAt: null }),
  'license.renewed': licenseAction('renew', undefined, {}, { expiresAt: anyTime }),
  'license.transferred': async (scene) => {
    const license = await scene.licenseUnder();
    const { id: policyId } = await scene.vendor.policy({ productId: license.productId }, scene.api);
    const object = withoutKey(done(await scene.acting.post(`/licenses/${license.id}/transfer`, { policyId })));
    expect(object.policyId).toBe(policyId);
    return { id: license.id, object, previous: { policyId: license.policyId } };
  },
  'license.checked_in': licenseAction('check-in', undefined, { lastCheckInAt: anyTime }, { lastCheckInAt: null, nextCheckInAt: anyTime }),
  'license.checked_out': async (scene) => {
    const license = await scene.licenseUnder();
    const { kid, expiresAt } = done(await scene.app(license).post(`/licenses/${license.id}/check-out`, { ttlSeconds: 3600 }));
    const beside = { checkOut: { kid, expiresAt, ttlSeconds: 3600, encrypted: false } };
    const object = { ...withoutKey(license), firstValidatedAt: anyTime };
    return { id: license.id, object, beside, actor: { type: 'license', id: license.id } };
  },
  'license.expiring': async (scene) => {
    const clock = await scene.clock();
    const license = await scene.licenseUnder({ durationDays: 10 }, { testClockId: clock.id });
    done(await scene.advance(clock, 8));
    return { id: license.id, object: { status: 'active', expiresAt: day(10), testClockId: clock.id } };
  },
  'license.expired': async (scene) => {
    const clock = await scene.clock();
    const license = await scene.licenseUnder({ durationDays: 10 }, { testClockId: clock.id });
    done(await scene.advance(clock, 11));
    return { id: license.id, object: { status: 'expired' }, previous: { status: 'active' } };
  },
  'license.deleted': async (scene) => {
    const license = await scene.licenseUnder();
    done(await scene.acting.delete(`/licenses/${license.id}`));
    return { id: license.id, object: withoutKey(license) };
  },
  'license.limit_reached': async (scene) => {
    const { license } = await withMachine(scene, { maxMachines: 1 });
    const refused = await scene.app(license).post('/machines', { fingerprint: 'fingerprint-b' });
    expect(refused.body.code).toBe('MACHINE_LIMIT_EXCEEDED');
    return { id: license.id, object: await scene.shown(`/licenses/${license.id}`), actor: { type: 'license', id: license.id } };
  },
  'license.key_rotated': async (scene) => {
    const license = await scene.licenseUnder();
    const rotated = done(await scene.acting.post(`/licenses/${license.id}/rotate-key`, { overlapSeconds: 60 }));
    expect(rotated.key).not.toBe(license.key);
    return { id: license.id, object: withoutKey(rotated), previous: expect.anything() };
  },
  'machine.activated': async (scene) => {
    const license = await scene.licenseUnder();
    const object = done(await scene.app(license).post('/machines', { fingerprint: 'fingerprint-a' }));
    return { id: object.id, object, actor: { type: 'license', id: license.id }, licenseId: license.id };
  },
  'machine.deactivated': async (scene) => {
    const { license, machine } = await withMachine(scene);
    done(await scene.acting.delete(`/machines/${machine.id}`));
    return { id: machine.id, object: machine, licenseId: license.id };
  },
  'machine.updated': async (scene) => {
    const { license, machine } = await withMachine(scene);
    const object = done(await scene.acting.patch(`/machines/${machine.id}`, { name: 'desk' }));
    return { id: machine.id, object, previous: { name: null }, licenseId: license.id };
  },
  'machine.heartbeat': async (scene) => {
    await scene.listen(['machine.heartbeat']);
    const { license, machine } = await withMachine(scene, mortal);
    const object = done(await scene.app(license).post(`/machines/${machine.id}/heartbeat`));
    expect(object.lastHeartbeatAt).toEqual(anyTime);
    return {
      id: machine.id,
      object,
      previous: { lastHeartbeatAt: null, nextHeartbeatAt: machine.nextHeartbeatAt },
      actor: { type: 'license', id: license.id },
      licenseId: license.id,
    };
  },
  'machine.dead': async (scene) => {
    const clock = await scene.clock();
    const { license, machine } = await withMachine(scene, mortal, { testClockId: clock.id });
    done(await scene.advance(clock, 1));
    return { id: machine.id, object: { ...machine, status: 'dead' }, previous: { status: 'active' }, licenseId: license.id };
  },
  'machine.resurrected': async (scene) => {
    const clock = await scene.clock();
    const { license, machine } = await withMachine(scene, { ...mortal, heartbeatResurrectionMinutes: 5000 }, { testClockId: clock.id });
    done(await scene.advance(clock, 1));
    const object = done(await scene.app(license).post(`/machines/${machine.id}/heartbeat`));
    return {
      id: machine.id,
      object,
      previous: { status: 'dead', lastHeartbeatAt: null, nextHeartbeatAt: anyTime },
      actor: { type: 'license', id: license.id },
      licenseId: license.id,
    };
  },
  'machine.checked_out': async (scene) => {
    const { license, machine } = await withMachine(scene);
    const { kid, expiresAt } = done(await scene.acting.post(`/machines/${machine.id}/check-out`, { encrypt: true }));
    const beside = { checkOut: { kid, expiresAt, ttlSeconds: 14 * 86_400, encrypted: true } };
    return { id: machine.id, object: machine, licenseId: license.id, beside };
  },
  'validation.success': async (scene) => {
    await scene.listen(['validation.success', 'validation.failed']);
    const { license, machine } = await withMachine(scene, { maxUses: 5, requireCheckIn: true, checkInIntervalDays: 5 });
    const pro = await scene.vendor.entitlement('pro', scene.api);
    done(await scene.api.post(`/licenses/${license.id}/entitlements`, { codes: [pro.code], quantity: 3 }));
    // The first leaves traces of its own, in whose transaction its event is.
    expectStatus(await scene.api.post(`/licenses/${license.id}/validate`, { increment: 2 }), 200);
    expect(await scene.eventsOf('validation.success')).toMatchObject([{ data: { object: { usesCount: 2, firstValidatedAt: anyTime } } }]);
    await database.query('DELETE FROM event WHERE resource_id = $1 AND type = $2', [license.id, 'validation.success']);
    const verdict = done(await scene.acting.post(`/licenses/${license.id}/validate`, { fingerprint: 'fingerprint-a', version: '1.2.3' }));
    expect(verdict.valid).toBe(true);
    const object = without(await scene.shown(`/licenses/${license.id}`), 'lastValidatedAt');
    const { valid, code, message, warnings, checkedAt } = verdict;
    const { id, fingerprint, status, nextHeartbeatAt } = machine;
    const sent = { fingerprints: ['fingerprint-a'], version: '1.2.3', machine: { id, fingerprint, status, nextHeartbeatAt } };
    return { id: license.id, object, beside: { validation: { valid, code, message, warnings, checkedAt, ...sent } } };
  },
  'validation.failed': async (scene) => {
    await scene.listen(['validation.failed']);
    const license = await scene.licenseUnder();
    done(await scene.api.post(`/licenses/${license.id}/suspend`));
    // A guess at a key is nobody's license.
    expectStatus(await scene.app(license).post('/licenses/validate-key', { key: `${license.key.slice(0, -4)}0000` }), 200);
    const { body } = expectStatus(await scene.app(license).post('/licenses/validate-key', { key: license.key }), 200);
    const { valid, code, message, warnings, checkedAt } = body.data;
    expect(code).toBe('SUSPENDED');
    const object = without(await scene.shown(`/licenses/${license.id}`), 'lastValidatedAt');
    const sent = { fingerprints: [], version: null, machine: null };
    return {
      id: license.id,
      object,
      beside: { validation: { valid, code, message, warnings, checkedAt, ...sent } },
      actor: { type: 'anonymous', id: null },
    };
  },
  'product.created': products.created,
  'product.updated': products.updated,
  'product.deleted': products.deleted,
  'policy.created': policies.created,
  'policy.updated': policies.updated,
  'policy.deleted': policies.deleted,
  'entitlement.created': entitlements.created,
  'entitlement.updated': entitlements.updated,
  'entitlement.deleted': entitlements.deleted,
  'entitlement.attached': async (scene) => {
    const [license] = [await scene.licenseUnder(), await scene.vendor.entitlement('pro', scene.api)];
    const terms = { quantity: 3, expiresAt: day(0) };
    const object = withoutKey(done(await scene.acting.post(`/licenses/${license.id}/entitlements`, { codes: ['pro'], ...terms })));
    return { id: license.id, object, resourceType: 'license', beside: { entitlement: { code: 'pro', ...terms } } };
  },
  'entitlement.detached': async (scene) => {
    const [policy] = [await scene.vendor.policy({}, scene.api), await scene.vendor.entitlement('pro', scene.api)];
    done(await scene.api.post(`/policies/${policy.id}/entitlements`, { codes: ['pro'] }));
    done(await scene.acting.delete(`/policies/${policy.id}/entitlements/pro`));
    const object = await scene.shown(`/policies/${policy.id}`);
    return { id: policy.id, object, resourceType: 'policy', beside: { entitlement: { code: 'pro' } } };
  },
  'usage.incremented': async (scene) => {
    const license = await scene.licenseUnder({ maxUses: 5 });
    const object = withoutKey(done(await scene.acting.post(`/licenses/${license.id}/usage`, { increment: 2 })));
    expect(object.usesCount).toBe(2);
    return { id: license.id, object, previous: { usesCount: 0 } };
  },
  'api_key.created': async (scene) => {
    const made = done(await scene.acting.post('/api-keys', { name: 'shop [segment]', scopes: ['licenses:read'] }));
    return { id: made.id, object: withoutKey(made) };
  },
  'api_key.rotated': async (scene) => {
    const made = done(await scene.api.post('/api-keys', { name: 'shop [segment]' }));
    const successor = done(await scene.acting.post(`/api-keys/${made.id}/rotate`, { overlapSeconds: 60 }));
    const now = { successorId: successor.id, retiresAt: anyTime, updatedAt: anyTime, status: 'expiring' };
    return { id: made.id, object: { ...withoutKey(made), ...now }, previous: { successorId: null, retiresAt: null, status: 'active' } };
  },
  'api_key.revoked': async (scene) => {
    const made = done(await scene.api.post('/api-keys', { name: 'shop [segment]' }));
    done(await scene.acting.delete(`/api-keys/${made.id}`));
    return { id: made.id, object: { ...withoutKey(made), status: 'revoked', updatedAt: anyTime }, previous: { status: 'active' } };
  },
  'api_key.leaked': async (scene) => {
    const made = done(await scene.api.post('/api-keys', { name: 'shop [segment]' }));
    const scanner = new Client(server.url, { 'x-request-id': scene.requestId });
    expect(done(await scanner.post('/api-keys/verify-leak', { key: made.key }))).toMatchObject({ match: true });
    const object = { ...withoutKey(made), leakedAt: anyTime };
    return { id: made.id, object, actor: { type: 'anonymous', id: null } };
  },
  'webhook.disabled': 'test/webhook-delivery.test.ts',
  'webhook.test': 'test/webhooks.test.ts',
};

/** By the row's beginning; else the type's. */
const resourceTypes: Record<string, string> = { validation: 'license', usage: 'license' };

describe('an event', () => {
  it.each(eventTypes.filter((type) => typeof table[type] !== 'string'))('%s says what happened, to what, and who did it', async (type) => {
    const scene = await Scene.begin();
    const wanted = await (table[type] as Row)(scene);
    const events = (await scene.eventsOf(type)).filter(({ resource_id: id }) => id === wanted.id);
    expect(events).toHaveLength(1);
    const { data, ...event } = events[0];
    const subject = type.split('.', 1)[0] ?? '';
    const resourceType = wanted.resourceType ?? resourceTypes[subject] ?? subject;
    const actor = wanted.actor ?? { type: 'api_key', id: scene.keyId };
    expect(event).toMatchObject({
      resource_type: resourceType,
      license_id: resourceType === 'license' ? wanted.id : (wanted.licenseId ?? null),
      actor_type: actor.type,
      actor_id: actor.id,
      request_id: scene.requestId,
      segment_id: scene.segmentId,
    });
    expect(data.object).toMatchObject(wanted.object);
    expect(data.previous).toEqual(wanted.previous);
    expect(without(data, 'object', 'previous')).toEqual(wanted.beside ?? {});
    await scene.expectNoSecrets();
  });

  it('is written by the command line too, with its operator', async () => {
    const { vendor } = await Scene.begin();
    const license = await vendor.licenseUnder({ requireFingerprint: false }, {}, vendor.testApi);
    const environmentId = await environmentOf(vendor);
    await vendor.validate(license);
    await keepInterest(environmentId, ['validation.success']);
    const account = ['--account', vendor.account.slug, '--environment', 'test'];
    for (const args of [
      ['validate', license.key],
      ['suspend', license.id, ...account],
    ])
      expect(await latchkey(['licenses', ...args])).toMatchObject({ code: 0 });
    const made = JSON.parse((await latchkey(['keys', 'create', '--name', 'shop', ...account, '--json'])).stdout);
    const { rows } = await database.query(
      `SELECT type, resource_id, actor_type, actor_id, request_id FROM event
        WHERE environment_id = $1 AND resource_id = ANY($2) AND type NOT IN ('license.created', 'license.activated') ORDER BY id`,
      [environmentId, [license.id, made.id]],
    );
    const byOperator = { actor_type: 'operator', actor_id: null, request_id: null };
    expect(rows).toEqual([
      { type: 'validation.success', resource_id: license.id, ...byOperator },
      { type: 'license.suspended', resource_id: license.id, ...byOperator },
      { type: 'api_key.created', resource_id: made.id, ...byOperator },
    ]);
  });

  it('license.limit_reached comes once a minute, of however many refusals, through however many servers', async () => {
    const scene = await Scene.begin();
    const { license } = await withMachine(scene, { maxMachines: 1 });
    const another = await startServer();
    try {
      const refusals = Array.from({ length: 20 }, (_, index) =>
        withLicense(index % 2 === 0 ? server.url : another.url, license.key).post('/machines', { fingerprint: randomUUID() }),
      );
      for (const { body } of await Promise.all(refusals)) expect(body.code).toBe('MACHINE_LIMIT_EXCEEDED');
      expect(await scene.eventsOf('license.limit_reached')).toHaveLength(1);
    } finally {
      await another.stop();
    }
  });
});

describe('events of high volume', () => {
  const types = ['validation.success', 'validation.failed', 'machine.heartbeat'] as const;

  /** Each of them, three times in two ways, all at once; answers how many of each there are. */
  async function happen(scene: Scene, { license, machine }: { license: any; machine: any }): Promise<number[]> {
    const replies = await Promise.all(
      Array.from({ length: 3 }, () => [
        scene.app(license).post('/licenses/validate-key', { key: license.key, fingerprint: 'fingerprint-a' }),
        scene.api.post(`/licenses/${license.id}/validate`, { fingerprint: 'fingerprint-a' }),
        scene.app(license).post('/licenses/validate-key', { key: license.key, product: 'another' }),
        scene.api.post(`/licenses/${license.id}/validate`, { product: 'another' }),
        // Answered at the front door, and by the framework.
        scene.app(license).post(`/machines/${machine.id}/heartbeat`),
        scene.api.post(`/machines/${machine.id}/heartbeat`),
        // These tell nobody.
        scene.api.post(`/licenses/${license.id}/explain`, { fingerprint: 'fingerprint-a' }),
        scene.api.post(`/policies/${license.policyId}/preview`, { maxMachines: 1 }),
      ]).flat(),
    );
    expect(replies.map(({ status }) => status)).toEqual(replies.map(() => 200));
    return Promise.all(types.map(async (type) => (await scene.eventsOf(type)).length));
  }

  /** An endpoint of the vendor's. */
  async function endpoint(scene: Scene, events: string[]): Promise<string> {
    const id = randomUUID();
    await database.query(
      `INSERT INTO webhook_endpoint (id, environment_id, url, events, updated_at, segment_id) VALUES ($1, $2, 'https://vendor.example/', $3, now(), NULL)`,
      [id, await scene.environmentId(), events],
    );
    return id;
  }

  it('are made only where somebody listens who names them', async () => {
    const scene = await Scene.begin();
    const seated = await withMachine(scene, mortal);
    await endpoint(scene, ['*', 'license.*', 'machine.*']);
    // By then this server has looked again.
    const other = await Scene.begin();
    await other.listen(['machine.heartbeat']);
    expect(await happen(scene, seated)).toEqual([0, 0, 0]);
    const named = await endpoint(scene, ['license.created', 'validation.*', 'machine.heartbeat']);
    await scene.isHeard(types, true);
    expect(await happen(scene, seated)).toEqual([6, 6, 6]);
    await database.query('UPDATE webhook_endpoint SET is_enabled = false WHERE id = $1', [named]);
    await scene.isHeard(types, false);
    expect(await happen(scene, seated)).toEqual([6, 6, 6]);
    await database.query('UPDATE webhook_endpoint SET is_enabled = true WHERE id = $1', [named]);
    await scene.isHeard(types, true);
    await database.query('UPDATE webhook_endpoint SET deleted_at = now() WHERE id = $1', [named]);
    await scene.isHeard(types, false);
    expect(await other.eventsOf('machine.heartbeat')).toEqual([]);
  });

  it('are made for a stream of any server while it is open, and as long as its lease where that was killed', async () => {
    const scene = await Scene.begin();
    const environmentId = await scene.environmentId();
    const tenant = { accountId: scene.vendor.account.id, environmentId, environment: 'test', segmentId: null } as const;
    const another = await startServer();
    try {
      const [first, second] = [
        await interestsOf(another).listen(tenant, ['validation.failed']),
        await interestsOf(another).listen(tenant, ['validation.failed', 'machine.heartbeat']),
      ];
      expect(interestsOf(another).wants(environmentId, 'machine.heartbeat')).toBe(true);
      await scene.isHeard(['validation.failed', 'machine.heartbeat'], true);
      expect(interestsOf(server).wants(environmentId, 'validation.success')).toBe(false);
      await second();
      await second();
      await scene.isHeard(['machine.heartbeat'], false);
      expect(interestsOf(server).wants(environmentId, 'validation.failed')).toBe(true);
      await first();
      await scene.isHeard(['validation.failed'], false);
      await interestsOf(another).listen(tenant, ['validation.failed']);
    } finally {
      await another.stop();
    }
    const leases = async () => (await database.query('SELECT 1 FROM event_interest WHERE environment_id = $1', [environmentId])).rowCount;
    expect(await leases()).toBe(0);
    await keepInterest(environmentId, ['validation.failed']);
    await scene.isHeard(['validation.failed'], true);
    await database.query('UPDATE event_interest SET until = now() WHERE environment_id = $1', [environmentId]);
    await scene.isHeard(['validation.failed'], false);
  });

  it('a beat on a test clock is told each time, also at an instant of the last', async () => {
    const scene = await Scene.begin();
    const clock = await scene.clock();
    const { license, machine } = await withMachine(scene, mortal, { testClockId: clock.id });
    await scene.listen(['machine.heartbeat']);
    for (let times = 0; times < 2; times += 1) expectStatus(await scene.app(license).post(`/machines/${machine.id}/heartbeat`), 200);
    expect(await scene.eventsOf('machine.heartbeat')).toMatchObject([
      { occurred_at: new Date(START), segment_id: scene.segmentId, data: { previous: { lastHeartbeatAt: null } } },
      { occurred_at: new Date(START), segment_id: scene.segmentId, data: { previous: {} } },
    ]);
  });

  it('are passed on like all others', async () => {
    const scene = await Scene.begin();
    const license = await scene.licenseUnder();
    await scene.listen(['validation.success']);
    for (let times = 0; times < 2; times += 1) await scene.vendor.validate(license);
    const ids = (await scene.eventsOf('validation.success')).map(({ id }) => id);
    expect(ids).toHaveLength(2);
    await eventually(
      async () => (await database.query('SELECT event_id FROM event_feed WHERE event_id = ANY($1) ORDER BY position', [ids])).rows,
      (placed) => placed.length === 2,
    );
  });

  it('who listens is found without reading the endpoints that name none of them', async () => {
    const environmentId = await (await Scene.begin()).environmentId();
    await database.query('BEGIN');
    await database.query(
      `INSERT INTO webhook_endpoint (id, environment_id, url, events, updated_at, segment_id)
       SELECT gen_random_uuid(), $1, 'https://vendor.example/', '{*}', now(), NULL FROM generate_series(1, 3000)`,
      [environmentId],
    );
    const { rows } = await database.query<{ 'QUERY PLAN': string }>(`EXPLAIN ${FIND_INTERESTS.text}`);
    await database.query('ROLLBACK');
    expect(rows.map((row) => row['QUERY PLAN']).join('\n')).toContain('webhook_endpoint_high_volume_idx');
    for (const type of types) expect(highVolumeTypesOf([type])).toEqual([type]);
  });
});
