import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createServer, type Socket } from 'node:net';
import { Redis } from 'ioredis';
import { pino } from 'pino';
import { SharedCounters } from '../../src/core/window-counters.js';
import { anyone, type Reply } from '../support/client.js';
import { freePort, hasRedis, RedisProcess } from '../support/redis.js';
import { ServerProcess } from '../support/server.js';
import { testEnvironment } from '../support/settings.js';
import { Vendor } from '../support/vendor.js';

const LIMIT = 20;
const AWAY = /Redis is away/g;
const BACK = /Redis is back/g;

const start = (redisUrl: string): Promise<ServerProcess> => {
  const limits = { LIMIT_VALIDATE_PER_MINUTE: String(LIMIT), LIMIT_ACTIVATE_PER_MINUTE: String(LIMIT) };
  return ServerProcess.start(testEnvironment({ REDIS_URL: redisUrl, LOG_LEVEL: 'info', ...limits }));
};
const times = (output: string, what: RegExp): number => output.match(what)?.length ?? 0;

/** Many at once, in turns on each server. */
const validateAtOnce = (on: ServerProcess[], key: string, count: number): Promise<Reply[]> =>
  Promise.all(Array.from({ length: count }, (_, n) => anyone(on[n % on.length]!.url).post('/licenses/validate-key', { key })));
const countOf = (replies: Reply[], status: number): number => replies.filter((reply) => reply.status === status).length;
const newLicense = async (server: ServerProcess) =>
  (await Vendor.signUp(server.url)).licenseUnder({ requireFingerprint: false, maxMachines: 100 });

/** Ask again until it is so; the test's own time limit ends it. */
async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((wake) => setTimeout(wake, 20));
}

const withRedis = hasRedis ? describe : describe.skip;
const unlessMissing = hasRedis ? '' : ' (skipped: there is no redis-server in PATH, nor in REDIS_SERVER)';

withRedis(`two servers that share their limits through Redis${unlessMissing}`, () => {
  let redis: RedisProcess;
  let servers: ServerProcess[];
  /** How often each has said something since the test began. */
  const said = (what: RegExp): number[] => servers.map(({ output }, n) => times(output.slice(before[n]), what));
  let before: number[];

  beforeAll(async () => {
    redis = await RedisProcess.start();
    servers = await Promise.all([start(redis.url), start(redis.url)]);
  });
  beforeEach(() => {
    before = servers.map(({ output }) => output.length);
  });
  afterAll(async () => {
    redis.resume();
    expect(await Promise.all(servers.map((server) => server.stop()))).toEqual([0, 0]);
    await redis.kill();
  });

  const expectShared = async (): Promise<void> => {
    const license = await newLicense(servers[0]!);
    expect(countOf(await validateAtOnce(servers, license.key, 64), 200)).toBe(LIMIT);
  };

  it('admit exactly the limit between them, of many that ask at once', async () => {
    const license = await newLicense(servers[0]!);
    const replies = await validateAtOnce(servers, license.key, 64);
    expect([countOf(replies, 200), countOf(replies, 429)]).toEqual([LIMIT, 64 - LIMIT]);
    const remaining = replies.filter(({ status }) => status === 200).map(({ headers }) => Number(headers['x-ratelimit-remaining']));
    expect(remaining.sort((a, b) => a - b)).toEqual(Array.from({ length: LIMIT }, (_, n) => n));
    for (const server of servers) expect(countOf(await validateAtOnce([server], license.key, 3), 429)).toBe(3);

    const activate = (n: number): Promise<Reply> =>
      anyone(servers[n % 2]!.url)
        .with({ authorization: `License ${license.key}` })
        .post('/machines', { fingerprint: `fingerprint-${String(n)}` });
    const activations = await Promise.all(Array.from({ length: 32 }, (_, n) => activate(n)));
    expect([countOf(activations, 201), countOf(activations, 429)]).toEqual([LIMIT, 32 - LIMIT]);
    expect([said(AWAY), said(BACK)]).toEqual([
      [0, 0],
      [0, 0],
    ]);
  });

  it('go on by themselves when Redis is killed in the middle, and share again when it is there again', async () => {
    const license = await newLicense(servers[0]!);
    const asking = new AbortController();
    const replies = (async () => {
      const all: Reply[] = [];
      while (!asking.signal.aborted) all.push(...(await validateAtOnce(servers, license.key, 8)));
      return all;
    })();
    await redis.kill();
    await until(() => said(AWAY).every((count) => count === 1));
    asking.abort();
    for (const reply of await replies) expect([200, 429]).toContain(reply.status);

    const another = await newLicense(servers[0]!);
    for (const server of servers) expect(countOf(await validateAtOnce([server], another.key, 32), 200)).toBe(LIMIT);

    redis = await RedisProcess.start(redis.port);
    await until(() => said(BACK).every((count) => count === 1));
    await expectShared();
    expect(said(AWAY)).toEqual([1, 1]);
  });

  it('refuse nobody and keep nobody waiting while Redis takes connections and says nothing', async () => {
    const license = await newLicense(servers[0]!);
    redis.pause();
    for (const server of servers) {
      // Fewer than the limit: the first eight meet a Redis that has just fallen silent.
      const replies = [...(await validateAtOnce([server], license.key, 8)), ...(await validateAtOnce([server], license.key, 8))];
      expect(countOf(replies, 200)).toBe(16);
    }
    // From then on it is left alone: were each of these to wait for it, the test would run out of time.
    for (let n = 0; n < 500; n += 1) {
      const [reply] = await validateAtOnce([servers[0]!], license.key, 1);
      expect([200, 429]).toContain(reply!.status);
    }
    expect([said(AWAY), said(BACK)]).toEqual([
      [1, 1],
      [0, 0],
    ]);
    redis.resume();
    await until(() => said(BACK).every((count) => count === 1));
    await expectShared();
  });
});

describe('a server whose Redis takes connections and never says a word', () => {
  it('starts, counts by itself, and stops cleanly', async () => {
    const sockets: Socket[] = [];
    const silent = createServer((socket) => sockets.push(socket.on('error', () => undefined)));
    const port = await freePort();
    await new Promise<void>((done) => {
      silent.listen(port, '127.0.0.1', done);
    });
    const server = await start(`redis://127.0.0.1:${String(port)}`);
    const license = await newLicense(server);
    expect(countOf(await validateAtOnce([server], license.key, 32), 200)).toBe(LIMIT);
    await until(() => times(server.output, AWAY) === 1);
    expect(await server.stop()).toBe(0);
    for (const socket of sockets) socket.destroy();
    silent.close();
  });
});

withRedis(`counters in Redis${unlessMissing}`, () => {
  let redis: RedisProcess | undefined;
  let log: string;
  const opened: SharedCounters[] = [];
  /** Connected, as far as that goes. */
  const open = async (url: string, prefix = 'latchkey:test', windowSeconds = 60): Promise<SharedCounters> => {
    const counters = new SharedCounters(url, prefix, windowSeconds, pino({}, { write: (line) => (log += line) }));
    opened.push(counters);
    await counters.connect();
    return counters;
  };
  beforeEach(() => {
    log = '';
  });
  afterEach(async () => {
    for (const counters of opened.splice(0)) counters.close();
    await redis?.kill();
  });

  it('begin anew when their window has passed', async () => {
    redis = await RedisProcess.start();
    const counters = await open(redis.url, 'latchkey:test', 1);
    expect(await counters.count('a')).toEqual({ count: 1, endsInMs: expect.any(Number) });
    let last = 1;
    await until(async () => {
      const { count, endsInMs } = (await counters.count('a'))!;
      expect(endsInMs >= 0 && endsInMs <= 1000).toBe(true);
      if (count === 1) return true;
      expect(count).toBe((last += 1));
      return false;
    });
    expect(last).toBeGreaterThan(1);
  });

  it('are not shared between installations', async () => {
    redis = await RedisProcess.start();
    for (const prefix of ['latchkey:1', 'latchkey:2']) expect(await (await open(redis.url, prefix)).count('a')).toMatchObject({ count: 1 });
    expect(await (await open(redis.url, 'latchkey:2')).count('a')).toMatchObject({ count: 2 });
  });

  it('are none while nobody listens, and begin when somebody does: said once each', async () => {
    const port = await freePort();
    const counters = await open(`redis://127.0.0.1:${String(port)}`);
    for (let n = 0; n < 100; n += 1) expect(await counters.count('a')).toBeNull();
    expect([times(log, AWAY), times(log, BACK)]).toEqual([1, 0]);
    redis = await RedisProcess.start(port);
    await until(async () => (await counters.count('a')) !== null);
    expect([times(log, AWAY), times(log, BACK)]).toEqual([1, 1]);
  });

  it('are none in a Redis that takes connections and no counts: said once, however often it is tried', async () => {
    redis = await RedisProcess.start(undefined, '--maxmemory', '1', '--maxmemory-policy', 'noeviction');
    const counters = await open(redis.url);
    expect(await counters.count('a')).toBeNull();
    const watcher = new Redis(redis.url);
    const connections = async () => Number(/total_connections_received:(\d+)/.exec(await watcher.info('stats'))?.[1]);
    await until(async () => (await connections()) >= 4);
    watcher.disconnect();
    expect(await counters.count('a')).toBeNull();
    expect([times(log, AWAY), times(log, BACK)]).toEqual([1, 0]);
    expect(log).toMatch(/"problem":"OOM/);
  });

  it('never say the password', async () => {
    redis = await RedisProcess.start(undefined, '--requirepass', 'right-secret');
    const { port } = redis;
    expect(await (await open(`redis://:right-secret@127.0.0.1:${String(port)}`)).count('a')).toMatchObject({ count: 1 });
    expect(await (await open(`redis://:wrong-secret@127.0.0.1:${String(port)}`)).count('a')).toBeNull();
    expect(log).toMatch(/"problem":"WRONGPASS/);
    expect(log).not.toContain('secret');
  });
});
