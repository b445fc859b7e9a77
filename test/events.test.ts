import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import type { Running } from '../src/boot.js';
import { recordChange } from '../src/core/audit.js';
import { Database } from '../src/core/database.js';
import { TURNS } from '../src/core/recurring.js';
import { RetentionWorker } from '../src/events/retention.worker.js';
import { type Client, type Reply, send, withKey } from './support/client.js';
import { eventually } from './support/eventually.js';
import { type QuietDatabase, quietDatabase } from './support/quiet-database.js';
import { startServer } from './support/server.js';
import { expectStatus, Vendor } from './support/vendor.js';

interface EventView {
  id: string;
  type: string;
  createdAt: string;
  data: { object: { id: string } };
}

const DAY_MS = 86_400_000;
const eventsOf = async (api: Client, query = ''): Promise<EventView[]> =>
  expectStatus(await api.get(`/events?limit=100&${query}`), 200).body.data;
const typesOf = async (api: Client, query = ''): Promise<string[]> => (await eventsOf(api, query)).map(({ type }) => type);

describe('the list of events', () => {
  let server: Running;
  let vendor: Vendor;
  let license: { id: string; productId: string };
  let machine: { id: string };
  beforeAll(async () => {
    server = await startServer();
    vendor = await Vendor.signUp(server.url);
    const policy = await vendor.policy();
    license = await vendor.license({ productId: policy.productId, policyId: policy.id });
    machine = expectStatus(await vendor.api.post('/machines', { licenseId: license.id, fingerprint: 'fingerprint-1' }), 201).body.data;
    await vendor.license({ productId: policy.productId, policyId: policy.id });
    await vendor.entitlement('pro');
    expectStatus(await vendor.api.post(`/licenses/${license.id}/entitlements`, { codes: ['pro'] }), 200);
    expectStatus(await vendor.api.post(`/licenses/${license.id}/suspend`), 200);
  });
  afterAll(() => server.stop());

  it('has what happened, newest first, and each by its id', async () => {
    const events = await eventsOf(vendor.api);
    expect(events.map(({ type }) => type)).toEqual([
      'license.suspended',
      'entitlement.attached',
      'entitlement.created',
      'license.created',
      'machine.activated',
      'license.created',
      'policy.created',
      'product.created',
    ]);
    expect(events[0]).toEqual({
      id: expect.any(String),
      type: 'license.suspended',
      createdAt: expect.any(String),
      occurredAt: events[0]!.createdAt,
      environment: 'live',
      data: {
        object: expect.objectContaining({ id: license.id, status: 'suspended' }),
        previous: expect.objectContaining({ status: 'active' }),
      },
      actor: { type: 'api_key', id: expect.any(String) },
      requestId: expect.any(String),
    });
    expect(JSON.stringify(events)).not.toContain(vendor.liveKey);
    expect((await vendor.api.get(`/events/${events[0]!.id}`)).body.data).toEqual(events[0]);
    for (const api of [vendor.testApi, (await Vendor.signUp(server.url)).api])
      expect((await api.get(`/events/${events[0]!.id}`)).body.code).toBe('NOT_FOUND');
  });

  it('is filtered by types and their beginnings, what it was about, and when', async () => {
    const all = await eventsOf(vendor.api);
    const only = (wanted: (event: EventView) => boolean): string[] => all.filter(wanted).map(({ type }) => type);
    expect(await typesOf(vendor.api, 'type=license.suspended')).toEqual(['license.suspended']);
    expect(await typesOf(vendor.api, 'type=license.*')).toEqual(only(({ type }) => type.startsWith('license.')));
    expect(await typesOf(vendor.api, 'type=machine.*,policy.created,license.created')).toEqual(
      only(({ type }) => /^machine\.|^policy\.created$|^license\.created$/.test(type)),
    );
    expect(await typesOf(vendor.api, 'type=webhook.*')).toEqual([]);
    expect(await typesOf(vendor.api, 'resource=license')).toEqual(only(({ type }) => /^license\.|^entitlement\.attached$/.test(type)));
    expect(await typesOf(vendor.api, `resource=license:${license.id}`)).toEqual(
      only(({ type, data }) => /^license\.|^entitlement\.attached$/.test(type) && data.object.id === license.id),
    );
    expect(await typesOf(vendor.api, `resource=license:${license.id}&type=license.suspended`)).toEqual(['license.suspended']);
    expect(await typesOf(vendor.api, `resource=machine:${machine.id.toUpperCase()}`)).toEqual(['machine.activated']);
    expect(await typesOf(vendor.api, `resource=product:${license.id}`)).toEqual([]);
    const middle = all[4]!.createdAt;
    expect(await typesOf(vendor.api, `from=${middle}`)).toEqual(only(({ createdAt }) => createdAt >= middle));
    expect(await typesOf(vendor.api, `to=${middle}&type=license.*`)).toEqual(
      only(({ type, createdAt }) => createdAt < middle && type.startsWith('license.')),
    );
  });

  it.each(['', 'type=license.*,machine.*', 'resource=license'])('goes from page to page without gap or repeat: %s', async (query) => {
    const ids = (await eventsOf(vendor.api, query)).map(({ id }) => id);
    const seen: string[] = [];
    for (let cursor: string | null = ''; cursor !== null;) {
      const more: string = cursor === '' ? '' : `&cursor=${cursor}`;
      const { data, pagination } = expectStatus(await vendor.api.get(`/events?limit=2&${query}${more}`), 200).body;
      seen.push(...data.map(({ id }: EventView) => id));
      cursor = pagination.nextCursor;
    }
    expect(seen).toEqual(ids);
    expect(ids.length).toBeGreaterThan(3);
  });

  it('is for events:read, and a segment key sees what happened in its segment', async () => {
    const [reader, writer] = [await vendor.keyWith('events:read'), await vendor.keyWith('licenses:read')];
    const [{ id }] = (await eventsOf(reader)) as [EventView];
    for (const path of ['/events', `/events/${id}`]) {
      expect([path, (await reader.get(path)).status]).toEqual([path, 200]);
      expect([path, (await writer.get(path)).body.details]).toEqual([path, { requiredScopes: ['events:read'] }]);
    }
    const segmentKey = async (name: string): Promise<Client> =>
      withKey(server.url, expectStatus(await vendor.api.post('/api-keys', { name }), 201).body.data.key);
    const [own, other] = [await segmentKey('A [segment]'), await segmentKey('B [segment]')];
    const theirs = await vendor.product({}, other);
    const mine = await vendor.product({}, own);
    expect((await eventsOf(own)).map(({ data }) => data.object.id)).toEqual([mine.id]);
    expect(await eventsOf(own, 'type=license.*')).toEqual([]);
    expect(await eventsOf(own, `resource=product:${theirs.id}`)).toEqual([]);
    const [about] = (await eventsOf(other)) as [EventView];
    expect([about.data.object.id, (await own.get(`/events/${about.id}`)).status]).toEqual([theirs.id, 404]);
    expect(await eventsOf(vendor.api, `resource=product:${theirs.id}`)).toEqual([about]);
  });
});

describe('behind the answers', () => {
  let quiet: QuietDatabase;
  let database: pg.Client;
  /** Answers, and does no work behind it. */
  let api: Running;
  let vendor: Vendor;
  let environmentId: string;
  const workers: Running[] = [];
  beforeAll(async () => {
    quiet = await quietDatabase();
    api = await startServer({ DATABASE_URL: quiet.url, ROLE: 'api' });
    database = new pg.Client({ connectionString: quiet.url });
    await database.connect();
    vendor = await Vendor.signUp(api.url);
    await vendor.product();
    environmentId = (await rowsOf<{ id: string }>('SELECT environment_id AS id FROM product'))[0]!.id;
  });
  afterEach(() => Promise.all(workers.splice(0).map((worker) => worker.stop())));
  afterAll(async () => {
    await database.end();
    await api.stop();
    await quiet.end();
  });

  const rowsOf = async <Row extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<Row[]> =>
    (await database.query<Row>(text, values)).rows;
  const waiting = async (): Promise<number> => (await rowsOf<{ count: number }>('SELECT count(*)::int FROM event_outbox'))[0]!.count;
  const tenant = () => ({ accountId: vendor.account.id, environmentId, environment: 'live' as const, segmentId: null });

  /** Nobody can be told there: what is to be delivered stays as it is. */
  async function anEndpoint(events: string[]): Promise<string> {
    const id = uuidv7();
    await database.query(
      `INSERT INTO webhook_endpoint (id, environment_id, url, events, updated_at, resting_until)
       VALUES ($1, $2, 'https://example.com/', $3, now(), 'infinity')`,
      [id, environmentId, events],
    );
    return id;
  }

  /** Licenses that go through changes beside each other, and changes that are taken back. */
  async function muchAtOnce(licenses: number): Promise<string[]> {
    const policy = await vendor.policy();
    const change = async (): Promise<string> => {
      const { id } = await vendor.license({ productId: policy.productId, policyId: policy.id });
      const replies: Reply[] = [];
      for (const step of ['suspend', 'reinstate', 'ban', 'unban']) replies.push(await vendor.api.post(`/licenses/${id}/${step}`));
      for (const reply of replies) expectStatus(reply, 200);
      return id;
    };
    const takeBack = (): Promise<unknown> =>
      expect(
        api.app.get(Database).within(tenant(), async (db) => {
          await recordChange(db, { action: 'product.created', resource: { type: 'product', id: uuidv7() }, after: { name: 'taken back' } });
          throw new Error('taken back');
        }),
      ).rejects.toThrow('taken back');
    const [ids] = await Promise.all([Promise.all(Array.from({ length: licenses }, change)), ...Array.from({ length: 5 }, takeBack)]);
    return ids;
  }

  it('gives each committed event one position and each endpoint one delivery, with two workers at it, in the order of each license', async () => {
    const [all, some] = [await anEndpoint(['*']), await anEndpoint(['license.suspended', 'license.banned'])];
    for (let worker = 0; worker < 2; worker += 1) workers.push(await startServer({ DATABASE_URL: quiet.url, ROLE: 'worker' }));
    // Somebody who reads the feed on and on, and never looks back.
    const read: string[] = [];
    let position = '0';
    const readOn = async (): Promise<void> => {
      const rows = await rowsOf<{ position: string; id: string }>(
        'SELECT position, event_id AS id FROM event_feed WHERE position > $1 ORDER BY position',
        [position],
      );
      read.push(...rows.map(({ id }) => id));
      position = rows.at(-1)?.position ?? position;
    };
    const progress = { isOver: false };
    const changing = muchAtOnce(15).finally(() => {
      progress.isOver = true;
    });
    while (!progress.isOver) await readOn();
    const licenses = await changing;
    await eventually(waiting, (count) => count === 0);
    await readOn();

    const events = await rowsOf<{ id: string }>('SELECT id FROM event');
    expect(await rowsOf(`SELECT 1 FROM event WHERE data -> 'object' ->> 'name' = 'taken back'`)).toEqual([]);
    expect(read).toHaveLength(events.length);
    expect([...read].sort()).toEqual(events.map(({ id }) => id).sort());
    for (const id of licenses) {
      const told = await rowsOf<{ type: string }>(
        'SELECT type FROM event_feed JOIN event ON event.id = event_id WHERE license_id = $1 ORDER BY position',
        [id],
      );
      expect(told.map(({ type }) => type)).toEqual(
        ['created', 'suspended', 'reinstated', 'banned', 'unbanned'].map((what) => `license.${what}`),
      );
    }
    const deliveries = await rowsOf<{ endpoint: string; id: string; type: string }>(
      'SELECT endpoint_id AS endpoint, event_id AS id, event_type AS type FROM webhook_delivery WHERE license_id = ANY($1)',
      [licenses],
    );
    const of = (endpoint: string) => deliveries.filter((delivery) => delivery.endpoint === endpoint);
    expect([of(all).length, new Set(of(all).map(({ id }) => id)).size]).toEqual([5 * licenses.length, 5 * licenses.length]);
    expect(
      of(some)
        .map(({ type }) => type)
        .sort(),
    ).toEqual(['license.banned', 'license.suspended'].flatMap((type) => licenses.map(() => type)));
  });

  it('looks by itself from time to time: nobody has to call', async () => {
    workers.push(await startServer({ DATABASE_URL: quiet.url, ROLE: 'worker' }));
    await eventually(waiting, (count) => count === 0);
    // By nobody who would send a signal.
    const id = await anEvent(new Date());
    await eventually(
      () => rowsOf('SELECT 1 FROM event_feed WHERE event_id = $1', [id]),
      (rows) => rows.length === 1,
    );
  });

  it('is passed on in transactions that are bounded, however many endpoints are told of it', async () => {
    const endpoints: string[] = [];
    for (let n = 0; n < 100; n += 1) endpoints.push(await anEndpoint(['product.updated']));
    // In one commit: a worker finds all of them together.
    const events = Array.from({ length: 60 }, () => uuidv7());
    await database.query(
      `INSERT INTO event (id, environment_id, type, resource_type, resource_id, data, actor_type)
       SELECT id, $2, 'product.updated', 'product', id, '{}', 'system' FROM unnest($1::uuid[]) AS id`,
      [events, environmentId],
    );
    workers.push(await startServer({ DATABASE_URL: quiet.url, ROLE: 'worker' }));
    await eventually(waiting, (count) => count === 0);
    // By the transactions that made them; endpoints of other tests are told too.
    const made = await rowsOf<{ count: number; asked: number }>(
      `SELECT count(*)::int, count(*) FILTER (WHERE endpoint_id = ANY($1))::int AS asked
         FROM webhook_delivery WHERE event_id = ANY($2) GROUP BY xmin::text`,
      [endpoints, events],
    );
    expect(made.reduce((sum, { asked }) => sum + asked, 0)).toBe(6000);
    expect(made).toHaveLength(2);
    expect(Math.max(...made.map(({ count }) => count))).toBeLessThanOrEqual(5000);
  });

  it('is passed on by one at a time, or positions would become visible out of order', async () => {
    const id = await anEvent(new Date());
    await database.query('SELECT pg_advisory_lock($1)', [TURNS.events]);
    try {
      const worker = await startServer({ DATABASE_URL: quiet.url, ROLE: 'worker' });
      workers.push(worker);
      // It looks twice a second.
      const lag = async (): Promise<number> => expectStatus(await send(worker.url, 'GET', '/health/ready'), 200).body.workerLagSeconds;
      const first = await lag();
      await eventually(lag, (seconds) => seconds >= first + 2);
      expect(await rowsOf('SELECT 1 FROM event_outbox WHERE event_id = $1', [id])).toHaveLength(1);
    } finally {
      await database.query('SELECT pg_advisory_unlock($1)', [TURNS.events]);
    }
    await eventually(waiting, (count) => count === 0);
  });

  async function anEvent(at: Date, id = idAt(at)): Promise<string> {
    await insertEvents([id], [at]);
    return id;
  }

  async function someEvents(...times: Date[]): Promise<string[]> {
    const ids = times.map(idAt);
    await insertEvents(ids, times);
    return ids;
  }

  const insertEvents = (ids: string[], times: Date[]): Promise<unknown> =>
    database.query(
      `INSERT INTO event (id, environment_id, type, resource_type, resource_id, data, actor_type, created_at)
       SELECT id, $1, 'product.updated', 'product', id, '{}', 'system', at FROM unnest($2::uuid[], $3::timestamptz[]) AS made (id, at)`,
      [environmentId, ids, times],
    );

  describe('after EVENT_RETENTION_DAYS', () => {
    const ago = (days: number): Date => new Date(Date.now() - days * DAY_MS);
    /** As the feed would. */
    async function place(ids: string[]): Promise<void> {
      await database.query(
        `WITH taken AS (DELETE FROM event_outbox WHERE event_id = ANY($1) RETURNING environment_id, event_id)
         INSERT INTO event_feed (environment_id, event_id) SELECT environment_id, event_id FROM taken`,
        [ids],
      );
    }
    async function deliver(endpointId: string, eventId: string, status: string): Promise<void> {
      const delivery = uuidv7();
      await database.query(
        `INSERT INTO webhook_delivery (id, environment_id, endpoint_id, event_id, event_type, position, status, next_attempt_at)
         VALUES ($1, $2, $3, $4, 'product.updated', 1, $5::webhook_delivery_status, 'infinity')`,
        [delivery, environmentId, endpointId, eventId, status],
      );
      await database.query(
        'INSERT INTO webhook_attempt (id, environment_id, endpoint_id, delivery_id, started_at, duration_ms) VALUES ($1, $2, $3, $4, now(), 1)',
        [uuidv7(), environmentId, endpointId, delivery],
      );
    }
    const left = async (table: string, column: string, ids: string[]): Promise<string[]> =>
      (await rowsOf<{ id: string }>(`SELECT DISTINCT ${column} AS id FROM ${table} WHERE ${column} = ANY($1) ORDER BY 1`, [ids])).map(
        ({ id }) => id,
      );

    it('an event goes, with its place, its deliveries and their tries; what waits in the outbox stays, however old', async () => {
      const endpoint = await anEndpoint(['*']);
      const [many, young] = [
        await someEvents(...Array.from({ length: 1200 }, (_, index) => ago(40 + index / 1000))),
        await someEvents(ago(29.99)),
      ];
      young.push(await anEvent(ago(1), idAt(ago(50))));
      const old = await anEvent(ago(30.01));
      for (const id of [...many.slice(0, 2), ...young, old]) await deliver(endpoint, id, 'succeeded');
      await deliver(endpoint, old, 'pending');
      const stuck = many.pop()!;
      await place([...many, ...young, old]);
      const all = [...many, stuck, ...young, old];

      await api.app.get(RetentionWorker).sweep();
      expect(await left('event', 'id', all)).toEqual([stuck, ...young].sort());
      expect(await left('event_feed', 'event_id', all)).toEqual([...young].sort());
      expect(await left('webhook_delivery', 'event_id', all)).toEqual([...young].sort());
      expect(await rowsOf('SELECT 1 FROM webhook_attempt')).toHaveLength(young.length);
      expect(await left('event_outbox', 'event_id', all)).toEqual([stuck]);

      await place([stuck]);
      await api.app.get(RetentionWorker).sweep();
      expect(await left('event', 'id', all)).toEqual([...young].sort());
    });

    it('secrets whose overlap is over go, and interests that have ended', async () => {
      const endpoint = await anEndpoint(['*']);
      const secret = async (endsAt: Date | null): Promise<string> =>
        (
          await rowsOf<{ id: string }>(
            `INSERT INTO webhook_secret (id, environment_id, endpoint_id, sealed, ends_at) VALUES ($1, $2, $3, 'x', $4) RETURNING id`,
            [uuidv7(), environmentId, endpoint, endsAt],
          )
        )[0]!.id;
      const secrets = [await secret(null), await secret(ago(-1)), await secret(ago(0.001))];
      const interest = async (until: Date): Promise<string> =>
        (
          await rowsOf<{ id: string }>(
            'INSERT INTO event_interest (id, environment_id, types, until) VALUES ($1, $2, $3, $4) RETURNING id',
            [uuidv7(), environmentId, ['validation.failed'], until],
          )
        )[0]!.id;
      const interests = [await interest(ago(-1)), await interest(ago(0.001))];
      await api.app.get(RetentionWorker).sweep();
      expect(await left('webhook_secret', 'id', secrets)).toEqual(secrets.slice(0, 2));
      expect(await left('event_interest', 'id', interests)).toEqual(interests.slice(0, 1));
    });
  });
});

/** A UUID v7 of that time. */
function idAt(time: Date): string {
  return uuidv7({ msecs: time.getTime() });
}
