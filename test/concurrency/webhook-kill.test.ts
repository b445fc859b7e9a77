import { isWholeRun } from '../support/whole-run.js';
import { chmod, mkdtemp, readFile, realpath, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { Webhook } from 'standardwebhooks';
import { EmbeddedPostgres } from '../../src/core/embedded-postgres.js';
import { type Reply, withKey } from '../support/client.js';
import { Random } from '../support/random.js';
import { ServerPool } from '../support/server-pool.js';
import { testEnvironment } from '../support/settings.js';
import { expectStatus, Vendor } from '../support/vendor.js';

/**
 * Nothing is lost (contract: webhooks.md, "Delivery"): while processes are killed at any moment, those that answer and those
 * that deliver, and the database with them, every change that was committed arrives at its endpoint at least once.
 */

const CHANGES = isWholeRun ? 2000 : 1000;
const CLIENTS = 8;
const KILLS = isWholeRun ? 20 : 10;
/** Licenses that one request makes. */
const AT_ONCE = 20;
const PAUSE_MS = 20;
const LONGEST_LULL_MS = 2000;
const FAILING_SHARE = 0.3;
const MAX_DELAY_MS = 100;
/** As many tries as it takes: what is looked at is what is lost, not when it is given up. */
const SCHEDULE = ['0', ...Array<string>(45).fill('1')].join(',');
/** Longer than a claim of a process that was killed lives, with the tries that come after it. */
const PATIENCE_MS = 120_000;
const SETUP_TIMEOUT_MS = 120_000;
const TIMEOUT_MS = 400_000;

const seed = Number(process.env.TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));

/** What the vendor's application is told. It fails often, with an error or by hanging up. */
class FlakyApplication {
  /** How often each event was taken: verified, and answered with 2xx. */
  readonly taken = new Map<string, number>();
  tries = 0;
  /** Tries that have no answer yet. */
  underWay = 0;
  readonly problems: string[] = [];
  secret = '';

  private constructor(private readonly server: Server) {}

  static async start(random: Random): Promise<FlakyApplication> {
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const id = application.verify(Buffer.concat(chunks).toString('utf8'), request.headers as Record<string, string>);
        application.tries += 1;
        application.underWay += 1;
        const fate = random.next();
        // A while after it came, so that there is always something under way.
        setTimeout(() => {
          application.underWay -= 1;
          if (fate < FAILING_SHARE / 2) response.writeHead(500).end('not now');
          else if (fate < FAILING_SHARE) request.socket.destroy();
          else {
            if (id !== null) application.taken.set(id, (application.taken.get(id) ?? 0) + 1);
            response.writeHead(204).end();
          }
        }, MAX_DELAY_MS * random.next());
      });
    });
    const application = new FlakyApplication(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return application;
  }

  get url(): string {
    return `http://127.0.0.1:${String((this.server.address() as AddressInfo).port)}/hook`;
  }

  /** As any receiver does, with the library of the standard. */
  private verify(text: string, headers: Record<string, string>): string | null {
    try {
      const { id } = new Webhook(this.secret).verify(text, headers) as { id: string };
      if (id !== headers['webhook-id']) this.problems.push(`event ${id} came with webhook-id ${headers['webhook-id']}`);
      return id;
    } catch (error) {
      this.problems.push(`${String(error)}: ${text.slice(0, 200)}`);
      return null;
    }
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((closed) => this.server.close(closed));
  }
}

describe(`while processes and the database are killed (TEST_SEED=${String(seed)})`, () => {
  let home: string;
  let postgres: EmbeddedPostgres;
  let application: FlakyApplication;
  let apis: ServerPool;
  let workers: ServerPool;
  let vendor: Vendor;
  let endpoint: { createdAt: string };
  /** Markers of the changes that a client was told of as done. */
  const acknowledged = new Set<number>();
  const progress = (): number => acknowledged.size / CHANGES;
  const kills = (): number => apis.kills + workers.kills;

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'latchkey-kill-'));
    await chmod(home, 0o755);
    [postgres, application] = await Promise.all([EmbeddedPostgres.start(home), FlakyApplication.start(new Random(seed + 1))]);
    const environment = testEnvironment({
      DATABASE_URL: postgres.url,
      WEBHOOK_ALLOW_LOOPBACK: 'true',
      WEBHOOK_RETRY_SCHEDULE: SCHEDULE,
      LOG_LEVEL: 'fatal',
    });
    apis = await ServerPool.start(2, { ...environment, ROLE: 'api' });
    workers = await ServerPool.start(2, { ...environment, ROLE: 'worker' });
    vendor = await Vendor.signUp(apis.url(new Random(seed))!);
    const created = expectStatus(await vendor.api.post('/webhooks', { url: application.url }), 201).body.data;
    application.secret = created.secret;
    endpoint = created;
  }, SETUP_TIMEOUT_MS);
  afterAll(async () => {
    await Promise.all([apis.end(), workers.end()]);
    await application.stop();
    await postgres.stop();
    await rm(home, { recursive: true, force: true });
  });

  it(
    'every change that was committed arrives, signed, and again only under the same id',
    async () => {
      const started = Date.now();
      const policy = await vendor.policy();
      await Promise.all([change(policy), killProcesses(), killDatabase()]);
      const killed = `${String(apis.kills)} + ${String(workers.kills)} kills in ${seconds(started)} s`;
      const events = await committed();
      const missing = (): string[] => events.map(({ id }) => id).filter((id) => !application.taken.has(id));
      for (const until = Date.now() + PATIENCE_MS; missing().length > 0 && Date.now() < until;) await pause(200);

      const times = [...application.taken.values()].reduce((sum, count) => sum + count, 0);
      const twice = times - application.taken.size;
      console.log(
        `${String(acknowledged.size)} changes, ${killed}; ${String(application.taken.size)} events arrived in ${String(application.tries)} tries, ` +
          `all verified; ${String(twice)} taken again (${((100 * twice) / application.taken.size).toFixed(2)} %); ${seconds(started)} s in all`,
      );
      expect(missing()).toEqual([]);
      expect(application.problems).toEqual([]);
      // Whatever was acknowledged is among what was committed, and nothing arrived that was not.
      const markers = new Set(events.map(({ marker }) => marker));
      expect([...acknowledged].filter((marker) => !markers.has(marker))).toEqual([]);
      expect(acknowledged.size).toBe(CHANGES);
      const known = new Set(events.map(({ id }) => id));
      expect([...application.taken.keys()].filter((id) => !known.has(id))).toEqual([]);
      expect([kills(), await waiting()]).toEqual([KILLS, 0]);
    },
    TIMEOUT_MS,
  );

  /**
   * Changes by several clients at once, each until it is acknowledged: every third request makes twenty licenses, the others
   * change one thing. They do not run ahead of the kills, nor the kills of them: all of it happens at once, on any machine.
   */
  async function change(policy: { id: string; productId: string }): Promise<void> {
    let next = 0;
    const take = (count: number): number[] => Array.from({ length: Math.min(count, CHANGES - next) }, () => next++);
    const client = async (random: Random, name: string): Promise<void> => {
      const license = (marker?: number): object => ({
        productId: policy.productId,
        policyId: policy.id,
        metadata: { marker: marker ?? null },
      });
      const own = (await untilDone(random, 'POST', '/licenses', `own-${name}`, license())).body.data;
      while (next < CHANGES) {
        while (progress() > (kills() + 4) / KILLS) await pause(PAUSE_MS);
        const markers = take(random.next() < 1 / 3 ? AT_ONCE : 1);
        const [first] = markers;
        const key = `made-${String(first)}`;
        if (markers.length > 1) await untilDone(random, 'POST', '/licenses/bulk', key, { licenses: markers.map(license) });
        else if (random.next() < 1 / 4) await untilDone(random, 'POST', '/licenses', key, license(first));
        else await untilDone(random, 'PATCH', `/licenses/${own.id}`, undefined, { metadata: { marker: first } });
        for (const marker of markers) acknowledged.add(marker);
      }
    };
    await Promise.all(Array.from({ length: CLIENTS }, (_, index) => client(new Random(seed + 100 + index), String(index))));
  }

  /** As a client should: the same request again, with the same idempotency key, until there is an answer that is none of a server in trouble. */
  async function untilDone(random: Random, method: string, path: string, key: string | undefined, body: object): Promise<Reply> {
    const headers: Record<string, string> = key === undefined ? {} : { 'idempotency-key': key };
    for (;;) {
      const url = apis.url(random);
      const reply =
        url === null
          ? null
          : await withKey(url, vendor.liveKey)
              .call(method, path, { headers, body })
              .catch(() => null);
      if (reply !== null && reply.status < 300) return reply;
      const isForLater = reply === null || reply.status >= 500 || reply.body?.code === 'IDEMPOTENCY_IN_PROGRESS';
      if (!isForLater) throw new Error(`${method} ${path}: ${String(reply.status)} ${reply.text}`);
      await pause(PAUSE_MS);
    }
  }

  /** Half of them each; the workers early, whose claims take a while to end. */
  async function killProcesses(): Promise<void> {
    const random = new Random(seed + 2);
    while (kills() < KILLS) {
      while (progress() < (kills() - 2) / KILLS) await pause(PAUSE_MS);
      await pause(300 * random.next());
      const isWorkers = workers.kills < KILLS / 2 && (apis.kills === KILLS / 2 || random.next() < 0.75);
      // Where nothing is under way there is little to lose.
      for (const until = Date.now() + LONGEST_LULL_MS; isWorkers && application.underWay === 0 && Date.now() < until;) await pause(1);
      await (isWorkers ? workers : apis).killOne(random);
    }
  }

  /** SIGKILL of the postmaster, whose children then end; this process's supervision starts it again, and it recovers from its log. */
  async function killDatabase(): Promise<void> {
    const random = new Random(seed + 3);
    const when = 0.2 + 0.3 * random.next();
    while (progress() < when) await pause(PAUSE_MS);
    const directory = join(await realpath(join(home, 'postgres')), 'data');
    const [pid] = (await readFile(join(directory, 'postmaster.pid'), 'utf8')).split('\n');
    process.kill(Number(pid), 'SIGKILL');
  }

  /** Everything that the endpoint is to be told, and the marker of the change that it tells of. */
  async function committed(): Promise<{ id: string; marker: number | null }[]> {
    return inDatabase(
      `SELECT event.id, (data -> 'object' -> 'metadata' ->> 'marker')::int AS marker
         FROM event JOIN environment ON environment.id = event.environment_id
        WHERE environment.account_id = $1 AND environment.name = 'live' AND event.created_at >= $2`,
      [vendor.account.id, endpoint.createdAt],
    );
  }

  async function waiting(): Promise<number> {
    const [row] = await inDatabase<{ count: number }>('SELECT count(*)::int FROM event_outbox', []);
    return row!.count;
  }

  async function inDatabase<Row extends pg.QueryResultRow>(text: string, values: unknown[]): Promise<Row[]> {
    const client = new pg.Client({ connectionString: postgres.url });
    await client.connect();
    return (await client.query<Row>(text, values).finally(() => client.end())).rows;
  }
});

function seconds(since: number): string {
  return ((Date.now() - since) / 1000).toFixed(0);
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
