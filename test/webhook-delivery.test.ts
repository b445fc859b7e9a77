import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { Webhook } from 'standardwebhooks';
import { v7 as uuidv7 } from 'uuid';
import type { Running } from '../src/boot.js';
import { Database } from '../src/core/database.js';
import { MasterKey } from '../src/core/master-key.js';
import { FAILURES_BEFORE_REST } from '../src/domain/endpoint-health.js';
import { keepTries, type KeptTry } from '../src/webhooks/delivery.query.js';
import { eventually } from './support/eventually.js';
import { quietDatabase, type QuietDatabase } from './support/quiet-database.js';
import { type Answer, gate, type Received, Receiver } from './support/receiver.js';
import { ServerProcess, startServer } from './support/server.js';
import { testDatabaseUrl, testEnvironment, testMasterKey } from './support/settings.js';
import { Vendor } from './support/vendor.js';

/**
 * What happened is delivered at least once to every endpoint that is told of it, whatever becomes of the process, of the
 * database and of other endpoints (contract: webhooks.md, "Delivery").
 */

const SCHEDULE = { WEBHOOK_ALLOW_LOOPBACK: 'true', WEBHOOK_RETRY_SCHEDULE: '0,1,1' };

let home: QuietDatabase;
let server: Running;
let database: pg.Client;
let receiver: Receiver;
let bystander: { vendor: Vendor; endpoint: Endpoint };

beforeAll(async () => {
  home = await quietDatabase();
  server = await startServer({ DATABASE_URL: home.url, ...SCHEDULE });
  database = new pg.Client({ connectionString: home.url, options: '-c timezone=UTC' });
  await database.connect();
  receiver = await Receiver.start();
  const vendor = await Vendor.signUp(server.url);
  bystander = { vendor, endpoint: await endpointOf(vendor) };
});
afterAll(async () => {
  await server.stop();
  await receiver.stop();
  await database.end();
  await home.end();
});

async function rowsOf<Row extends pg.QueryResultRow>(text: string, values: unknown[], over = database): Promise<Row[]> {
  return (await over.query<Row>(text, values)).rows;
}

interface Endpoint {
  id: string;
  path: string;
  secret: string;
}

/** An endpoint of the vendor's live environment at a path of its own; `columns` as the table has them. */
async function endpointOf(
  vendor: Vendor,
  answering?: (received: Received) => Answer | Promise<Answer>,
  columns: Record<string, unknown> = {},
  over = database,
): Promise<Endpoint> {
  const [environment] = await rowsOf<{ id: string }>(
    `SELECT id FROM environment WHERE account_id = $1 AND name = 'live'`,
    [vendor.account.id],
    over,
  );
  const [id, secretId] = [uuidv7(), uuidv7()];
  const secret = `whsec_${randomBytes(32).toString('base64')}`;
  const row = {
    id,
    environment_id: environment?.id,
    url: receiver.url(`/${id}`, answering),
    events: ['*'],
    updated_at: new Date(),
    ...columns,
  };
  const names = Object.keys(row);
  await over.query(
    `INSERT INTO webhook_endpoint (${names.join(', ')}) VALUES (${names.map((_, index) => `$${String(index + 1)}`).join(', ')})`,
    Object.values(row),
  );
  const sealed = new MasterKey(Buffer.from(testMasterKey(), 'base64')).seal(secret, `webhook-secret:${secretId}`);
  await over.query('INSERT INTO webhook_secret (id, environment_id, endpoint_id, sealed) VALUES ($1, $2, $3, $4)', [
    secretId,
    environment?.id,
    id,
    Buffer.from(sealed),
  ]);
  return { id, path: `/${id}`, secret };
}

interface Delivery {
  id: string;
  event_id: string;
  event_type: string;
  status: string;
  attempt_count: number;
  next_attempt_at: Date;
  finished_at: Date | null;
  codes: (number | null)[];
  errors: (string | null)[];
}

/** Deliveries to an endpoint, in the order of their events. */
function deliveriesTo({ id }: Endpoint, over = database): Promise<Delivery[]> {
  return rowsOf<Delivery>(
    `SELECT delivery.*, tries.codes, tries.errors
       FROM webhook_delivery AS delivery
      CROSS JOIN LATERAL (
        SELECT COALESCE(json_agg(response_code ORDER BY started_at), '[]') AS codes, COALESCE(json_agg(error ORDER BY started_at), '[]') AS errors
          FROM webhook_attempt WHERE delivery_id = delivery.id) AS tries
      WHERE endpoint_id = $1 ORDER BY position`,
    [id],
    over,
  );
}

/** Once as many as this have this status. */
async function untilDelivered(endpoint: Endpoint, count = 1, status = 'succeeded', over = database): Promise<Delivery[]> {
  return eventually(
    () => deliveriesTo(endpoint, over),
    (all) => all.filter((delivery) => delivery.status === status).length >= count,
  );
}

const untilReceived = (path: string, count: number): Promise<Received[]> =>
  eventually(
    () => Promise.resolve(receiver.at(path)),
    (all) => all.length >= count,
  );

async function healthOf({ id }: Endpoint) {
  const [row] = await rowsOf('SELECT * FROM webhook_endpoint WHERE id = $1', [id]);
  return row ?? {};
}

const change = ({ id }: Endpoint, assignments: string): Promise<unknown> =>
  database.query(`UPDATE webhook_endpoint SET ${assignments} WHERE id = $1`, [id]);

/** Something happens to somebody else. When that has come, whatever was due before and could be sent has been looked at. */
async function barrier(): Promise<void> {
  const count = receiver.at(bystander.endpoint.path).length;
  await bystander.vendor.product();
  await untilReceived(bystander.endpoint.path, count + 1);
}

const failing = (status: number, headers?: Record<string, string>) => (): Answer => ({ status, headers });

describe('a delivery', () => {
  it('is the event, signed with every secret that is in force', async () => {
    const vendor = await Vendor.signUp(server.url);
    const endpoint = await endpointOf(vendor);
    const product = await vendor.product();
    const [received] = await untilReceived(endpoint.path, 1);
    expect(received!.event).toMatchObject({ type: 'product.created', environment: 'live', data: { object: { id: product.id } } });
    expect(received!.headers['webhook-id']).toBe(received!.event.id);
    expect(new Webhook(endpoint.secret).verify(received!.text, received!.headers as Record<string, string>)).toEqual(received!.event);
    const [delivery] = await untilDelivered(endpoint);
    expect(delivery).toMatchObject({ event_id: received!.event.id, attempt_count: 1, codes: [200], errors: [null] });
    expect(delivery!.finished_at).not.toBeNull();
    expect(await healthOf(endpoint)).toMatchObject({ failing_since: null, consecutive_failures: 0 });
  });

  it('that fails is made again under the same id, and success ends the failing', async () => {
    const vendor = await Vendor.signUp(server.url);
    const endpoint = await endpointOf(vendor, () => ({ status: receiver.at(endpoint.path).length < 2 ? 500 : 204 }));
    await vendor.product();
    const [delivery] = await untilDelivered(endpoint);
    expect(delivery).toMatchObject({ attempt_count: 2, codes: [500, 204], errors: ['The answer was 500.', null] });
    const tries = receiver.at(endpoint.path);
    expect(tries.map(({ headers }) => headers['webhook-id'])).toEqual([delivery!.event_id, delivery!.event_id]);
    expect(tries[1]!.text).toBe(tries[0]!.text);
    expect(await healthOf(endpoint)).toMatchObject({ failing_since: null, consecutive_failures: 0, is_enabled: true });
  });

  it('waits for as long as the receiver asks', async () => {
    const vendor = await Vendor.signUp(server.url);
    const endpoint = await endpointOf(vendor, failing(503, { 'retry-after': '3600' }));
    await vendor.product();
    const [delivery] = await eventually(
      () => deliveriesTo(endpoint),
      ([first]) => first?.attempt_count === 1,
    );
    const [attempt] = await rowsOf<{ ended: Date }>(
      `SELECT started_at + make_interval(secs => duration_ms / 1000.0) AS ended FROM webhook_attempt WHERE delivery_id = $1`,
      [delivery!.id],
    );
    expect(delivery!.status).toBe('pending');
    expect(delivery!.next_attempt_at.getTime() - attempt!.ended.getTime()).toBe(3_600_000);
    expect((await healthOf(endpoint)).failing_since).not.toBeNull();
  });

  it('has failed when all tries of the schedule have', async () => {
    const vendor = await Vendor.signUp(server.url);
    const endpoint = await endpointOf(vendor, failing(500));
    await vendor.product();
    const [delivery] = await untilDelivered(endpoint, 1, 'failed');
    expect(delivery).toMatchObject({ attempt_count: 3, codes: [500, 500, 500] });
    expect(delivery!.finished_at).not.toBeNull();
    await barrier();
    expect(receiver.at(endpoint.path)).toHaveLength(3);
  });

  it('whose event is no longer kept has failed, and says so', async () => {
    const vendor = await Vendor.signUp(server.url);
    const endpoint = await endpointOf(vendor, undefined, { resting_until: new Date(Date.now() + 3_600_000) });
    await vendor.product();
    const [waiting] = await untilDelivered(endpoint, 1, 'pending');
    await database.query('DELETE FROM event WHERE id = $1', [waiting!.event_id]);
    await change(endpoint, 'resting_until = NULL');
    const [delivery] = await untilDelivered(endpoint, 1, 'failed');
    expect(delivery).toMatchObject({ codes: [null], errors: ['The event is no longer kept.'] });
    expect(receiver.at(endpoint.path)).toEqual([]);
    expect(await healthOf(endpoint)).toMatchObject({ consecutive_failures: 0, failing_since: null });
  });

  it('is changed by nobody whose claim is old, but for success', async () => {
    const vendor = await Vendor.signUp(server.url);
    const endpoint = await endpointOf(vendor, failing(503, { 'retry-after': '3600' }));
    await vendor.product();
    const [delivery] = await eventually(
      () => deliveriesTo(endpoint),
      ([first]) => first?.attempt_count === 1,
    );
    const outcome = (changes: Partial<KeptTry>): KeptTry => ({
      id: uuidv7(), deliveryId: delivery!.id, attemptCount: 0, startedAt: new Date(), durationMs: 5, responseCode: 500, error: 'late',
      responseBody: '', status: 'failed', nextAttemptAt: null, endedAt: new Date(), ...changes,
    }); // prettier-ignore
    const keep = (...tries: KeptTry[]) =>
      server.app.get(Database).acrossTenants('keep tries as the worker does', (db) => keepTries(db, tries));
    const stale = outcome({});
    await keep(stale);
    await keep(stale);
    expect(await deliveriesTo(endpoint)).toEqual([{ ...delivery, codes: [503, 500], errors: ['The answer was 503.', 'late'] }]);
    await keep(outcome({ responseCode: 200, error: null, status: 'succeeded' }));
    expect(await deliveriesTo(endpoint)).toMatchObject([{ status: 'succeeded', attempt_count: 2 }]);
    await keep(outcome({ attemptCount: 2 }));
    expect(await deliveriesTo(endpoint)).toMatchObject([{ status: 'succeeded', attempt_count: 2 }]);
  });
});

describe('an endpoint', () => {
  it('that is gone is disabled at once; others hear of it; what waits goes on when it is enabled', async () => {
    const vendor = await Vendor.signUp(server.url);
    const witness = await endpointOf(vendor, undefined, { events: ['webhook.*'] });
    const endpoint = await endpointOf(vendor, failing(410));
    await vendor.product();
    const [told] = await untilReceived(witness.path, 1);
    expect(told!.event).toMatchObject({
      type: 'webhook.disabled',
      actor: { type: 'system' },
      data: {
        object: {
          id: endpoint.id,
          enabled: false,
          disabledReason: expect.stringContaining('410'),
          lastDelivery: { at: expect.any(String), status: 'pending', responseCode: 410 },
        },
        previous: { enabled: true },
      },
    });
    expect(told!.text).not.toContain('whsec_');
    expect(await healthOf(endpoint)).toMatchObject({ is_enabled: false, disabled_reason: expect.stringContaining('410') });
    await database.query('UPDATE webhook_delivery SET next_attempt_at = now() WHERE endpoint_id = $1', [endpoint.id]);
    await barrier();
    expect(receiver.at(endpoint.path)).toHaveLength(1);

    receiver.url(endpoint.path, () => ({ status: 200 }));
    await change(endpoint, 'is_enabled = true, disabled_reason = NULL, disabled_at = NULL');
    const [delivery] = await untilDelivered(endpoint);
    expect(delivery!.codes).toEqual([410, 200]);
    expect(receiver.at(witness.path)).toHaveLength(1);
  });

  it('that has failed for five days is disabled, and one that has not quite is not', async () => {
    const vendor = await Vendor.signUp(server.url);
    const witness = await endpointOf(vendor, undefined, { events: ['webhook.disabled'] });
    const since = (days: number, minutes: number) => new Date(Date.now() - days * 86_400_000 + minutes * 60_000);
    const given = await endpointOf(vendor, failing(500), { failing_since: since(5, 0), consecutive_failures: 9 });
    const spared = await endpointOf(vendor, failing(500), {
      events: ['product.created'],
      failing_since: since(5, 5),
      consecutive_failures: 9,
    });
    await vendor.product();
    await untilDelivered(spared, 1, 'failed');
    const [told] = await untilReceived(witness.path, 1);
    expect(told!.event.data.object).toMatchObject({ id: given.id, disabledReason: 'Every delivery has failed for 5 days.' });
    expect(await healthOf(given)).toMatchObject({ is_enabled: false, disabled_reason: 'Every delivery has failed for 5 days.' });
    expect(await healthOf(spared)).toMatchObject({ is_enabled: true, consecutive_failures: 12 });
    const entries = await rowsOf('SELECT action, actor_type FROM audit_entry WHERE resource_id = $1', [given.id]);
    expect(entries).toEqual([{ action: 'webhook.disabled', actor_type: 'system' }]);
  });

  it('that rests is left alone, then gets one try, and everything when that succeeds', async () => {
    const vendor = await Vendor.signUp(server.url);
    const { opened, open } = gate<Answer>();
    const resting = {
      failing_since: new Date(),
      consecutive_failures: FAILURES_BEFORE_REST,
      resting_until: new Date(Date.now() + 3_600_000),
    };
    const endpoint = await endpointOf(vendor, () => opened, resting);
    for (let n = 0; n < 5; n += 1) await vendor.product();
    await untilDelivered(endpoint, 5, 'pending');
    await barrier();
    expect(receiver.at(endpoint.path)).toEqual([]);
    await change(endpoint, 'resting_until = now()');
    await untilReceived(endpoint.path, 1);
    await barrier();
    expect(receiver.at(endpoint.path)).toHaveLength(1);
    open({ status: 200 });
    await untilDelivered(endpoint, 5);
    expect(await healthOf(endpoint)).toMatchObject({ failing_since: null, consecutive_failures: 0, resting_until: null });
  });

  it('that does not answer holds up nobody else, however much waits for it', async () => {
    const vendor = await Vendor.signUp(server.url);
    const { opened, open } = gate<Answer>();
    const hanging = await endpointOf(vendor, () => opened);
    const quick = await endpointOf(vendor);
    const products = await Promise.all(Array.from({ length: 40 }, () => vendor.product()));
    await untilDelivered(quick, products.length);
    const tried = receiver.at(hanging.path);
    expect(tried.length).toBeGreaterThan(0);
    expect(tried.length).toBeLessThanOrEqual(8);
    expect(tried.filter(({ isAnswered }) => isAnswered)).toEqual([]);
    expect((await deliveriesTo(hanging)).map(({ status }) => status)).toEqual(products.map(() => 'pending'));
    open({ status: 200 });
    await untilDelivered(hanging, products.length);
  });

  it('that is deleted is told of nothing more', async () => {
    const vendor = await Vendor.signUp(server.url);
    const endpoint = await endpointOf(vendor, undefined, { resting_until: new Date(Date.now() + 3_600_000) });
    await vendor.product();
    await untilDelivered(endpoint, 1, 'pending');
    await change(endpoint, 'deleted_at = now(), resting_until = NULL');
    await barrier();
    expect(receiver.at(endpoint.path)).toEqual([]);
  });
});

it('events of a license leave one after the other, in their order', async () => {
  const vendor = await Vendor.signUp(server.url);
  const license = await vendor.licenseUnder({});
  let underWay = 0;
  let most = 0;
  const [first, second] = ['license.suspended', 'license.reinstated'];
  const slowest = async (): Promise<Answer> => {
    underWay += 1;
    most = Math.max(most, underWay);
    // Later ones would overtake: the first answer comes last.
    for (let turn = 100 - receiver.at(endpoint.path).length * 5; turn > 0; turn -= 1) await new Promise(setImmediate);
    underWay -= 1;
    return { status: 200 };
  };
  const endpoint = await endpointOf(vendor, slowest, { events: [first, second] });
  for (let n = 0; n < 8; n += 1) {
    await vendor.api.post(`/licenses/${license.id}/suspend`);
    await vendor.api.post(`/licenses/${license.id}/reinstate`);
  }
  await untilDelivered(endpoint, 16);
  expect(receiver.at(endpoint.path).map(({ event }) => event.type)).toEqual(Array.from({ length: 8 }, () => [first, second]).flat());
  expect(most).toBe(1);
});

describe('nothing is lost', () => {
  it('when the database is away while a try is under way', async () => {
    const vendor = await Vendor.signUp(server.url);
    const { opened, open } = gate<Answer>();
    const endpoint = await endpointOf(vendor, () => opened);
    await vendor.product();
    await untilReceived(endpoint.path, 1);
    const admin = new pg.Client({ connectionString: testDatabaseUrl() });
    await admin.connect();
    const name = new URL(home.url).pathname.slice(1);
    await admin.query(`ALTER DATABASE ${name} ALLOW_CONNECTIONS false`);
    await admin.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND application_name LIKE $2', [
      name,
      'latchkey%',
    ]);
    open({ status: 200 });
    await eventually(
      () => Promise.resolve(receiver.at(endpoint.path)),
      ([received]) => received!.isAnswered,
    );
    await admin.query(`ALTER DATABASE ${name} ALLOW_CONNECTIONS true`);
    await admin.end();
    const [delivery] = await untilDelivered(endpoint);
    expect(delivery).toMatchObject({ attempt_count: 1, codes: [200] });
    expect(receiver.at(endpoint.path)).toHaveLength(1);
    await barrier();
  });

  it('when the process is killed: another one delivers what it had claimed', async () => {
    const elsewhere = await quietDatabase();
    const settings = { DATABASE_URL: elsewhere.url, ...SCHEDULE };
    const killed = await ServerProcess.start(testEnvironment(settings));
    const vendor = await Vendor.signUp(killed.url);
    const other = new pg.Client({ connectionString: elsewhere.url, options: '-c timezone=UTC' });
    await other.connect();
    const { opened } = gate<Answer>();
    const endpoint = await endpointOf(vendor, () => opened, {}, other);
    const products = [await vendor.product(), await vendor.product(), await vendor.product()];
    await untilReceived(endpoint.path, 1);
    await untilDelivered(endpoint, 3, 'pending', other);
    await killed.stop('SIGKILL');
    receiver.url(endpoint.path, () => ({ status: 200 }));
    const [claimed] = await deliveriesTo(endpoint, other);
    expect(claimed!.next_attempt_at.getTime()).toBeGreaterThan(Date.now());
    // As if the time of the claims had passed.
    await other.query('UPDATE webhook_delivery SET next_attempt_at = now()');

    const heir = await startServer(settings);
    const deliveries = await untilDelivered(endpoint, 3, 'succeeded', other);
    const ids = receiver.at(endpoint.path).map(({ event }) => event.data.object.id);
    expect([...new Set(ids)].sort()).toEqual(products.map(({ id }) => id).sort());
    expect(deliveries.map(({ codes }) => codes)).toEqual([[200], [200], [200]]);
    await other.end();
    await heir.stop();
    await elsewhere.end();
  });
});
