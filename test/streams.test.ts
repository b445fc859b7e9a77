import { spawn } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import type { Running } from '../src/boot.js';
import { Signals } from '../src/core/signals.js';
import { MAX_STREAMS_OF_KEY, StreamWatch } from '../src/events/stream-watch.js';
import { anyone, send, withKey } from './support/client.js';
import { COMMAND } from './support/command-line.js';
import { eventually } from './support/eventually.js';
import { type QuietDatabase, quietDatabase } from './support/quiet-database.js';
import { Random } from './support/random.js';
import { startServer } from './support/server.js';
import { TEST_PLATFORM_TOKEN } from './support/settings.js';
import { type Asking, type Kind, openStream, type OpenStream, Refused, type Told } from './support/stream.js';
import { expectStatus, Vendor } from './support/vendor.js';

/**
 * Live streams of events (contract: webhooks.md, "Streams"), from two servers on one database, of which one alone gives
 * events their places.
 */
const kinds: Kind[] = ['sse', 'ws'];

let quiet: QuietDatabase;
let database: pg.Client;
let servers: Running[];

/** Opened before all tests; the last one looks whether it lives. */
const oldest: OpenStream[] = [];

beforeAll(async () => {
  quiet = await quietDatabase();
  servers = [await startServer({ DATABASE_URL: quiet.url }), await startServer({ DATABASE_URL: quiet.url, ROLE: 'api' })];
  database = new pg.Client({ connectionString: quiet.url });
  await database.connect();
  const vendor = await Vendor.signUp(one().url);
  for (const kind of kinds) oldest.push(await open(kind, vendor.liveKey));
});
afterAll(async () => {
  await database.end();
  await Promise.all(servers.map((server) => server.stop()));
  await quiet.end();
});

const one = (): Running => servers[0]!;
const other = (): Running => servers[1]!;
const bearer = (key: string): Record<string, string> => ({ authorization: `Bearer ${key}` });
const open = (kind: Kind, key: string, query: Record<string, string> = {}, server = one()): Promise<OpenStream> =>
  openStream(kind, server.url, { headers: bearer(key), query });
const refusal = (kind: Kind, asking: Asking, server = one()): Promise<Refused> =>
  openStream(kind, server.url, asking).then(
    (stream) => {
      stream.cut();
      throw new Error('the stream was opened');
    },
    (error: unknown) => {
      if (error instanceof Refused) return error;
      throw error;
    },
  );
const typesOf = ({ told }: OpenStream): string[] => told.map(({ event }) => event);
const until = (stream: OpenStream, count: number): Promise<unknown> =>
  eventually(
    () => Promise.resolve(typesOf(stream)),
    (types) => types.length >= count,
  );

/** Every event of a vendor's live environment in its order, from the database itself. */
async function feedOf(vendor: Vendor): Promise<string[]> {
  const { rows } = await database.query<{ id: string }>(
    `SELECT event_id AS id FROM event_feed JOIN environment ON environment.id = event_feed.environment_id
      WHERE account_id = $1 AND environment.name = 'live' ORDER BY position`,
    [vendor.account.id],
  );
  return rows.map(({ id }) => id);
}

/** Write events of a size, in one transaction, as changes do. */
function write(vendor: Vendor, count: number, bytes: number): Promise<unknown> {
  return database.query(
    `INSERT INTO event (id, environment_id, type, resource_type, resource_id, data, actor_type)
     SELECT uuidv7(), environment.id, 'product.updated', 'product', uuidv7(), jsonb_build_object('object', jsonb_build_object('padding', repeat('x', $3))), 'system'
       FROM environment, generate_series(1, $2) WHERE account_id = $1 AND name = 'live'`,
    [vendor.account.id, count, bytes],
  );
}

/** Follows one stream over connections that break, at servers that change, remembering nothing but the last id. */
class Follower {
  readonly told: Told[] = [];
  connections = 0;
  private stream?: OpenStream;
  private isDone = false;

  constructor(
    private readonly kind: Kind,
    private readonly key: string,
    private readonly random: Random,
  ) {}

  async connect(): Promise<void> {
    const last = this.told.at(-1)?.id ?? null;
    const headers = bearer(this.key);
    const inHeader = this.random.next() < 0.5;
    const asking =
      last === null
        ? { headers }
        : inHeader
          ? { headers: { ...headers, 'last-event-id': last } }
          : { headers, query: { lastEventId: last } };
    const stream = await openStream(this.kind, this.random.pick(servers).url, asking);
    this.connections += 1;
    this.stream = stream;
    // Some break while they still catch up, some when they have long been live.
    let left = 1 + Math.floor(this.random.next() * (this.random.next() < 0.5 ? 5 : 100));
    const take = (frame: Told): void => {
      if (left === 0) return;
      this.told.push(frame);
      left -= 1;
      if (left > 0 || this.isDone) return;
      stream.cut();
      void stream.ended.then(() => (this.isDone ? undefined : this.connect()));
    };
    // What came before this line was waiting for it.
    stream.told.slice().forEach(take);
    stream.onTold = take;
  }

  end(): void {
    this.isDone = true;
    this.stream?.cut();
  }
}

describe('events', () => {
  it('come over streams that break at random, at two servers, without a gap or a repeat and in order', async () => {
    const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
    const random = new Random(seed);
    const [vendor, stranger] = [await Vendor.signUp(one().url), await Vendor.signUp(one().url)];
    const policy = await vendor.policy();
    await stranger.policy();
    const before = (
      await eventually(
        () => feedOf(vendor),
        (feed) => feed.length === 2,
      )
    ).length;
    const followers = [...kinds, ...kinds].map(
      (kind) => new Follower(kind, vendor.liveKey, new Random(Math.floor(random.next() * 2 ** 31))),
    );
    for (const follower of followers) await follower.connect();
    const licenses = Array.from({ length: 25 }, () => ({ productId: policy.productId, policyId: policy.id }));
    const inBulk = async (): Promise<void> => {
      for (let round = 0; round < 5; round += 1) {
        const bulk = vendor.through(random.pick(servers).url).api.post('/licenses/bulk', { licenses });
        const singles = Array.from({ length: 5 }, () => vendor.through(random.pick(servers).url).product());
        await Promise.all([bulk.then((reply) => expectStatus(reply, 201)), ...singles, stranger.product()]);
      }
    };
    // So that there is hardly a moment in which none comes: one joins a feed that moves.
    const oneByOne = async (): Promise<void> => {
      for (let count = 0; count < 850; count += 1) {
        await write(vendor, 1, 10);
        one().app.get(Signals).send('events');
      }
    };
    await Promise.all([inBulk(), oneByOne()]);
    const expected = (
      await eventually(
        () => feedOf(vendor),
        (feed) => feed.length >= before + 1000,
      )
    ).slice(before);
    for (const follower of followers) {
      await eventually(
        () => Promise.resolve(follower.told.length),
        (count) => count >= expected.length,
      );
      follower.end();
      expect({ seed, ids: follower.told.map(({ id }) => id) }).toEqual({ seed, ids: expected });
      expect({ seed, many: follower.connections > 20 }).toEqual({ seed, many: true });
    }
  });

  it.each(kinds)('are told over %s as the list has them, whichever server they were made at', async (kind) => {
    const vendor = await Vendor.signUp(one().url);
    const streams = [await open(kind, vendor.liveKey), await open(kind, vendor.liveKey, {}, other())];
    await vendor.through(other().url).product();
    await vendor.testApi.post('/products', { name: 'Editor', code: 'elsewhere' });
    await vendor.product();
    const listed = (
      await eventually(
        () => vendor.api.get('/events'),
        ({ body }) => body.data.length === 2,
      )
    ).body.data.reverse();
    for (const stream of streams) {
      await until(stream, 2);
      expect(stream.told).toEqual(listed.map((event: { id: string; type: string }) => ({ id: event.id, event: event.type, data: event })));
      stream.cut();
    }
  });

  it.each(kinds)('behind one that is not there (any more), or is not theirs, come after a reset over %s', async (kind) => {
    const [vendor, stranger] = [await Vendor.signUp(one().url), await Vendor.signUp(one().url)];
    await vendor.product();
    await stranger.product();
    const [[expired], [foreign]] = [
      await eventually(
        () => feedOf(vendor),
        (feed) => feed.length === 1,
      ),
      await eventually(
        () => feedOf(stranger),
        (feed) => feed.length === 1,
      ),
    ];
    await database.query('DELETE FROM event_feed WHERE event_id = $1', [expired]);
    await database.query('DELETE FROM event WHERE id = $1', [expired]);
    for (const lastEventId of [expired!, foreign!, uuidv7(), 'nonsense', '-1', "'; DROP"]) {
      const stream = await open(kind, vendor.liveKey, { lastEventId }, other());
      await vendor.product();
      await until(stream, 2);
      expect(stream.told).toEqual([
        { id: null, event: 'reset', data: { lastEventId } },
        { id: expect.any(String), event: 'product.created', data: expect.objectContaining({ type: 'product.created' }) },
      ]);
      stream.cut();
    }
  });

  it('are only those of the types that were asked for, now and from before', async () => {
    const vendor = await Vendor.signUp(one().url);
    const product = await vendor.product();
    const [first] = await eventually(
      () => feedOf(vendor),
      (feed) => feed.length === 1,
    );
    const now = await open('sse', vendor.liveKey, { types: 'policy.*,product.deleted' });
    const policy = await vendor.policy({ productId: product.id });
    expectStatus(await vendor.api.patch(`/products/${product.id}`, { name: 'x' }), 200);
    expectStatus(await vendor.api.delete(`/policies/${policy.id}`), 204);
    expectStatus(await vendor.api.delete(`/products/${product.id}`), 204);
    await eventually(
      () => feedOf(vendor),
      (feed) => feed.length === 5,
    );
    const later = await open('ws', vendor.liveKey, { types: 'policy.*, product.deleted', lastEventId: first! }, other());
    for (const stream of [now, later]) {
      await until(stream, 3);
      expect(typesOf(stream)).toEqual(['policy.created', 'policy.deleted', 'product.deleted']);
      stream.cut();
    }
  });

  it('of high volume are made for a stream that names them, and for no other', async () => {
    const vendor = await Vendor.signUp(one().url);
    const license = await vendor.licenseUnder({});
    const all = await open('sse', vendor.liveKey);
    await vendor.validate(license);
    const named = await open('ws', vendor.liveKey, { types: 'validation.*' });
    await vendor.validate(license);
    await until(named, 1);
    expect(typesOf(named)).toEqual([expect.stringMatching(/^validation\./)]);
    expect(typesOf(all)).not.toContainEqual(typesOf(named)[0]);
    for (const stream of [all, named]) stream.cut();
  });

  it.each(kinds)('of a segment are all that its key is told over %s, now and from before', async (kind) => {
    const vendor = await Vendor.signUp(one().url);
    const { key } = expectStatus(await vendor.api.post('/api-keys', { name: 'mine [segment]' }), 201).body.data;
    const mine = withKey(one().url, key);
    const create = (api: typeof mine, code: string) =>
      api.post('/products', { name: 'Editor', code }).then((reply) => expectStatus(reply, 201));
    await create(mine, 'first');
    const first = (
      await eventually(
        () => feedOf(vendor),
        (feed) => feed.length === 2,
      )
    )[1]!;
    const now = await open(kind, key);
    await create(vendor.api, 'foreign');
    await create(mine, 'second');
    await until(now, 1);
    await create(vendor.api, 'foreign-too');
    await create(mine, 'third');
    const later = await open(kind, key, { lastEventId: first }, other());
    for (const stream of [now, later]) {
      await until(stream, 2);
      expect(stream.told.map(({ data }) => data.data.object.code)).toEqual(['second', 'third']);
      stream.cut();
    }
  });
});

describe('a reader that does not keep up', () => {
  it('costs little memory, is cut with a reason, and can go on where it was', () => Promise.all(kinds.map(goOnAfterCut)));

  async function goOnAfterCut(kind: Kind): Promise<void> {
    const vendor = await Vendor.signUp(one().url);
    await vendor.product();
    const [first] = await eventually(
      () => feedOf(vendor),
      (feed) => feed.length === 1,
    );
    const slow = await open(kind, vendor.liveKey);
    const steady = await open(kind, vendor.liveKey);
    slow.pause();
    await write(vendor, 1500, 16_000);
    const expected = (
      await eventually(
        () => feedOf(vendor),
        (feed) => feed.length === 1501,
      )
    ).slice(1);
    const watch = one().app.get(StreamWatch);
    let mostBytes = 0;
    await eventually(
      () => {
        mostBytes = Math.max(mostBytes, watch.waitingBytes);
        return Promise.resolve(steady.told.length);
      },
      (count) => count >= expected.length,
    );
    expect(steady.told.map(({ id }) => id)).toEqual(expected);
    steady.cut();
    // It reads what had left for it, and then that it was cut.
    await eventually(
      () => {
        mostBytes = Math.max(mostBytes, watch.waitingBytes);
        return Promise.resolve(watch.countOf(vendor.account.id));
      },
      (count) => count === 0,
    );
    slow.resume();
    await slow.ended;
    const got = slow.told.filter(({ event }) => event !== 'closed').map(({ id }) => id!);
    expect(got.length).toBeLessThan(expected.length);
    expect(mostBytes).toBeLessThan(1024 * 1024);
    const again = await open(kind, vendor.liveKey, { lastEventId: got.at(-1) ?? first! }, other());
    await until(again, expected.length - got.length);
    expect([...got, ...again.told.map(({ id }) => id)]).toEqual(expected);
    again.cut();
  }
});

describe('a credential', () => {
  const ends: [string, string, number, (vendor: Vendor, key: { id: string }) => Promise<unknown>][] = [
    ['is revoked', 'API_KEY_REVOKED', 4401, (vendor, { id }) => vendor.api.delete(`/api-keys/${id}`)],
    ['expires', 'API_KEY_EXPIRED', 4401, (_, { id }) => database.query('UPDATE api_key SET expires_at = now() WHERE id = $1', [id])],
    [
      'is rotated without overlap',
      'API_KEY_EXPIRED',
      4401,
      (vendor, { id }) => vendor.api.post(`/api-keys/${id}/rotate`, { overlapSeconds: 0 }),
    ],
    ['loses the scope', 'INSUFFICIENT_SCOPE', 4403, (vendor, { id }) => vendor.api.patch(`/api-keys/${id}`, { scopes: ['products:read'] })],
    [
      'is bound to another address',
      'IP_NOT_ALLOWED',
      4403,
      (vendor, { id }) => vendor.api.patch(`/api-keys/${id}`, { allowedIps: ['203.0.113.7'] }),
    ],
    [
      'is of an account that is suspended',
      'ACCOUNT_SUSPENDED',
      4403,
      (vendor) => withKey(one().url, TEST_PLATFORM_TOKEN).post(`/accounts/${vendor.account.id}/suspend`),
    ],
  ];

  it.each(ends)('that %s ends its streams and those of its tokens, at every server: %s', async (_, reason, code, end) => {
    const vendor = await Vendor.signUp(one().url);
    const key = expectStatus(await vendor.api.post('/api-keys', { name: 'x', scopes: ['events:read', 'products:read'] }), 201).body.data;
    const { jwt } = expectStatus(await anyone(one().url).post('/auth/token', { oid: vendor.account.id, secret: key.key }), 200).body;
    const streams = [
      await open('sse', key.key),
      await open('ws', key.key, {}, other()),
      await open('sse', jwt, {}, other()),
      await open('ws', jwt),
    ];
    const stays = await open('sse', vendor.liveKey);
    const answer = await end(vendor, key);
    expect((answer as { status?: number }).status ?? 200).toBeLessThan(300);
    const ended = await Promise.all(streams.map((stream) => stream.ended));
    expect(ended).toEqual([
      { code: null, reason },
      { code, reason },
      { code: null, reason },
      { code, reason },
    ]);
    if (reason !== 'ACCOUNT_SUSPENDED') {
      await vendor.product();
      await eventually(
        () => Promise.resolve(typesOf(stays)),
        (types) => types.includes('product.created'),
      );
    }
    stays.cut();
  });

  it('of a user ends their streams when they leave the account, or lose its role', async () => {
    const vendor = await Vendor.signUp(one().url);
    const { id } = expectStatus(await vendor.api.post('/users', { name: 'Ada', email: 'ada@example.com', role: 'admin' }), 201).body.data;
    const { key } = expectStatus(await vendor.api.post(`/users/${id}/keys`, { name: 'x' }), 201).body.data;
    const asking = { headers: { ...bearer(key), 'x-account-id': vendor.account.id } };
    const stream = await openStream('sse', other().url, asking);
    expectStatus(await vendor.api.delete(`/users/${id}`), 204);
    expect((await stream.ended).reason).toMatch(/^(AUTH_FAILED|API_KEY_REVOKED)$/);
  });

  it.each(kinds)('is taken in the query by streams over %s, under the same rules, and nowhere else', async (kind) => {
    const vendor = await Vendor.signUp(one().url);
    const { liveKey, testKey } = vendor;
    const stream = await openStream(kind, one().url, { query: { api_key: liveKey } });
    await vendor.product();
    await until(stream, 1);
    stream.cut();
    const twice = await openStream(kind, one().url, { headers: bearer(liveKey), query: { api_key: liveKey } });
    twice.cut();
    const codeOf = ({ status, body }: Refused) => [status, body.code];
    expect(codeOf(await refusal(kind, {}))).toEqual([401, 'AUTH_FAILED']);
    expect(codeOf(await refusal(kind, { query: { api_key: '' } }))).toEqual([401, 'AUTH_FAILED']);
    expect(codeOf(await refusal(kind, { query: { api_key: `${liveKey}x` } }))).toEqual([401, 'AUTH_FAILED']);
    expect(codeOf(await refusal(kind, { headers: bearer(liveKey), query: { api_key: testKey } }))).toEqual([401, 'AUTH_FAILED']);
    const poor = (await vendor.keyWith('products:read')).headers.authorization!.slice(7);
    expect(codeOf(await refusal(kind, { query: { api_key: poor } }))).toEqual([403, 'INSUFFICIENT_SCOPE']);
    const license = await vendor.licenseUnder({});
    expect(codeOf(await refusal(kind, { headers: { authorization: `License ${license.key}` } }))).toEqual([403, 'INSUFFICIENT_SCOPE']);
    for (const path of ['/events', '/products']) expect((await anyone(one().url).get(`${path}?api_key=${liveKey}`)).status).toBe(401);
  });

  it.each(kinds)('has %s streams open up to a limit', async (kind) => {
    const vendor = await Vendor.signUp(one().url);
    const streams = await Promise.all(Array.from({ length: MAX_STREAMS_OF_KEY }, () => open(kind, vendor.liveKey)));
    const { status, headers, body } = await refusal(kind, { headers: bearer(vendor.liveKey) });
    expect([status, body.code, headers['retry-after']]).toEqual([429, 'RATE_LIMITED', '5']);
    (await open(kind, vendor.testKey)).cut();
    streams[0]!.cut();
    await streams[0]!.ended;
    const next = await eventually(
      () => open(kind, vendor.liveKey).catch(() => null),
      (stream) => stream !== null,
    );
    for (const stream of [...streams, next!]) stream.cut();
  });
});

describe('a request for a stream', () => {
  it('is answered as others are: headers, request id, limits', async () => {
    const vendor = await Vendor.signUp(one().url);
    const headers = { ...bearer(vendor.liveKey), 'x-request-id': 'mine' };
    const sse = await openStream('sse', one().url, { headers });
    expect(sse.headers).toMatchObject({
      'content-type': 'text/event-stream',
      'cache-control': expect.stringContaining('no-store'),
      'x-accel-buffering': 'no',
      'x-content-type-options': 'nosniff',
      'x-request-id': 'mine',
    });
    await eventually(
      () => Promise.resolve(sse.retryMs),
      (retryMs) => retryMs !== null,
    );
    const ws = await openStream('ws', one().url, { headers });
    expect(ws.headers).toMatchObject({ 'x-request-id': 'mine', 'x-content-type-options': 'nosniff' });
    for (const stream of [sse, ws]) stream.cut();
    expect((await send(one().url, 'HEAD', '/api/v1/events/stream', { headers })).status).toBe(200);
  });

  it('for a WebSocket that opens none is 426, once it is known who asks', async () => {
    const vendor = await Vendor.signUp(one().url);
    const reply = await vendor.api.get('/events/ws');
    expect([reply.status, reply.body.code, reply.headers.upgrade]).toEqual([426, 'UPGRADE_REQUIRED', 'websocket']);
    expect((await anyone(one().url).get('/events/ws')).status).toBe(401);
    const halfway = { connection: 'upgrade', upgrade: 'websocket' };
    expect((await vendor.api.call('GET', '/events/ws', { headers: halfway })).status).toBe(426);
    expect((await vendor.api.call('GET', '/products', { headers: halfway })).status).toBe(200);
    expect((await vendor.api.call('POST', '/products', { headers: { connection: 'upgrade', upgrade: 'h2c' }, body: {} })).status).toBe(400);
  });

  it.each(kinds)('that asks over %s for what there is not is 400, naming it', async (kind) => {
    const { liveKey } = await Vendor.signUp(one().url);
    for (const [name, value] of [
      ['types', 'licence.created'],
      ['types', ''],
      ['types', 'license.created,,'],
      ['since', 'x'],
      ['lastEventId', 'x'.repeat(256)],
    ] as const) {
      const { status, body } = await refusal(kind, { headers: bearer(liveKey), query: { [name]: value } });
      expect([name, value, status, body.details?.issues?.map(({ path }) => path)]).toEqual([name, value, 400, [name]]);
    }
  });

  it('by a page of another origin opens no WebSocket, unless CORS_ORIGINS names it', async () => {
    const { liveKey } = await Vendor.signUp(one().url);
    const from = (origin: string) => ({ headers: { ...bearer(liveKey), origin } });
    for (const origin of ['https://evil.example', 'null', `${one().url}.evil.example`]) {
      const { status, body } = await refusal('ws', from(origin));
      expect([origin, status, body.code]).toEqual([origin, 403, 'ORIGIN_NOT_ALLOWED']);
    }
    (await openStream('ws', one().url, from(one().url))).cut();
  });
});

describe('a server that stops', () => {
  it('ends its streams at once and says why; they go on at another', async () => {
    const third = await startServer({ DATABASE_URL: quiet.url, ROLE: 'api', CORS_ORIGINS: 'https://dashboard.example' });
    const vendor = await Vendor.signUp(one().url);
    const streams = [await open('sse', vendor.liveKey, {}, third), await open('ws', vendor.liveKey, {}, third)];
    const named = { headers: { ...bearer(vendor.liveKey), origin: 'https://dashboard.example' } };
    streams.push(await openStream('ws', third.url, named));
    await vendor.product();
    for (const stream of streams) await until(stream, 1);
    const last = streams[0]!.told[0]!.id!;
    await third.stop();
    expect(await Promise.all(streams.map((stream) => stream.ended))).toEqual([
      { code: null, reason: 'SERVER_STOPPING' },
      { code: 1001, reason: 'SERVER_STOPPING' },
      { code: 1001, reason: 'SERVER_STOPPING' },
    ]);
    await vendor.product();
    const again = await open('sse', vendor.liveKey, { lastEventId: last }, other());
    await until(again, 1);
    expect(typesOf(again)).toEqual(['product.created']);
    again.cut();
  });
});

describe('latchkey events tail', () => {
  const tail = (args: string[], environment: Record<string, string> = {}) => {
    const child = spawn(process.execPath, [COMMAND, 'events', 'tail', ...args], { env: { PATH: process.env.PATH ?? '', ...environment } });
    const said = { stdout: '', stderr: '', code: undefined as number | null | undefined };
    child.stdout.on('data', (chunk: Buffer) => (said.stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (said.stderr += chunk.toString()));
    child.on('close', (code) => (said.code = code));
    const ended = () =>
      eventually(
        () => Promise.resolve(said.code),
        (code) => code !== undefined,
      );
    return { said, ended, interrupt: () => child.kill('SIGINT') };
  };

  it('prints events until it is interrupted, and goes on behind the last one when its server comes back', async () => {
    const vendor = await Vendor.signUp(one().url);
    await vendor.product({ code: 'first' });
    await vendor.product({ code: 'second' });
    const [first] = await eventually(
      () => feedOf(vendor),
      (feed) => feed.length === 2,
    );
    let server = await startServer({ DATABASE_URL: quiet.url, ROLE: 'api' });
    const port = new URL(server.url).port;
    const run = tail(['--json', '--types', 'product.*', '--since', first!], { LATCHKEY_URL: server.url, LATCHKEY_API_KEY: vendor.liveKey });
    const codes = () =>
      run.said.stdout
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line).data.object.code);
    await eventually(
      () => Promise.resolve(run.said),
      ({ stdout }) => stdout.includes('"second"'),
    );
    await server.stop();
    await vendor.product({ code: 'meanwhile' });
    server = await startServer({ DATABASE_URL: quiet.url, ROLE: 'api', PORT: port });
    await eventually(
      () => Promise.resolve(run.said),
      ({ stdout }) => stdout.includes('"meanwhile"'),
    );
    expect(codes()).toEqual(['second', 'meanwhile']);
    expect(run.said.stderr).toContain('SERVER_STOPPING');
    const words = tail(['--url', server.url, '--api-key', vendor.liveKey, '--since', first!]);
    await eventually(
      () => Promise.resolve(words.said),
      ({ stdout }) => stdout.split('\n').length > 2,
    );
    expect(words.said.stdout).toMatch(/^\S+Z {2}product\.created +[0-9a-f-]{36} {2}by api_key [0-9a-f-]{36} {2}[0-9a-f-]{36}\n/);
    for (const one of [run, words]) {
      one.interrupt();
      expect(await one.ended()).toBe(0);
    }
    await server.stop();
  });

  it('says why it may not, or what it was not told', async () => {
    const vendor = await Vendor.signUp(one().url);
    const cases: [string[], number, RegExp][] = [
      [['--url', one().url, '--api-key', 'nonsense'], 1, /malformed or unknown/],
      [['--url', one().url, '--api-key', vendor.liveKey, '--types', 'licence.*'], 2, /--types: each must be a type/],
      [['--url', one().url], 2, /--api-key: is required/],
      [['--url', 'ftp://x', '--api-key', 'x'], 2, /--url: must be/],
    ];
    await Promise.all(
      cases.map(async ([args, code, message]) => {
        const run = tail(args);
        expect([args, await run.ended(), run.said.stderr]).toEqual([args, code, expect.stringMatching(message)]);
      }),
    );
  });
});

it('a stream on which nothing happens shows signs of life', async () => {
  await eventually(
    () => Promise.resolve(oldest[0]!.comments),
    (comments) => comments.includes('heartbeat'),
  );
  for (const stream of oldest) stream.cut();
});
