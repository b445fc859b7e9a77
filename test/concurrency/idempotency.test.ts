import { randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import type { Reply } from '../support/client.js';
import { ServerProcess } from '../support/server.js';
import { testDatabaseUrl, testEnvironment } from '../support/settings.js';
import { Vendor } from '../support/vendor.js';

/** Two server processes on one database: what holds a key must outlive neither its process nor its transaction. */
describe('an idempotency key, through two server processes', () => {
  let survivor: ServerProcess;
  let other: ServerProcess;
  let database: pg.Client;
  let vendor: Vendor;
  let key: string;
  let name: string;

  beforeAll(async () => {
    survivor = await ServerProcess.start(testEnvironment());
    database = new pg.Client({ connectionString: testDatabaseUrl() });
    await database.connect();
  });
  beforeEach(async () => {
    other = await ServerProcess.start(testEnvironment());
    vendor = await Vendor.signUp(survivor.url);
    key = randomUUID();
    name = `made with ${key}`;
  });
  afterEach(() => other.stop('SIGKILL'));
  afterAll(async () => {
    await database.end();
    await survivor.stop();
  });

  /** Nothing but the key makes an API key unique: each time that the work is done there is one more, with another secret. */
  const create = (server: ServerProcess): Promise<Reply> =>
    vendor.through(server.url).api.call('POST', '/api-keys', { body: { name }, headers: { 'idempotency-key': key } });
  const countEffects = async (): Promise<number> => (await database.query('SELECT 1 FROM api_key WHERE name = $1', [name])).rowCount ?? 0;
  /** What a client does: again, as long as the first request is said to be running. */
  const retry = async (server: ServerProcess): Promise<Reply> => {
    let reply = await create(server);
    while (reply.status === 409) reply = await create(server);
    return reply;
  };
  const burst = (size: number): Promise<Reply | null>[] =>
    // A request that the killed server took with it has no answer.
    Array.from({ length: size }, (_, index) => create(index % 2 === 0 ? other : survivor).catch(() => null));

  it('lets one of many at once do the work, and gives the others its answer or 409', async () => {
    const replies = await Promise.all(burst(50));
    const done = replies.filter((reply) => reply?.status === 201);
    const waiting = replies.filter((reply) => reply?.status === 409 && reply.body.code === 'IDEMPOTENCY_IN_PROGRESS');
    expect(done.length + waiting.length).toBe(50);
    expect(done.length).toBeGreaterThan(0);
    expect(done.filter((reply) => reply?.headers['idempotent-replayed'] === undefined)).toHaveLength(1);
    expect(await countEffects()).toBe(1);
    const later = await retry(other);
    expect([later.status, later.headers['idempotent-replayed']]).toEqual([201, 'true']);
    expect(new Set([...done, later].map((reply) => reply?.text)).size).toBe(1);
  });

  it.each([1, 2, 3, 4])('does the work once though a server is killed in the middle of it (round %i)', async () => {
    // From before the first claim to after the last answer, wherever in between it falls.
    const killing = new Promise<unknown>((resolve) => {
      setTimeout(() => {
        resolve(other.stop('SIGKILL'));
      }, Math.random() * 120);
    });
    const replies = await Promise.all(burst(40));
    await killing;
    const answer = await retry(survivor);
    expect(answer.status).toBe(201);
    expect(await countEffects()).toBe(1);
    // Whoever was told of success before was told of the same.
    const told = replies.filter((reply) => reply?.status === 201).map((reply) => reply?.text);
    expect([...new Set([...told, answer.text, (await retry(survivor)).text])]).toEqual([answer.text]);
  });

  it('does the work once though its server is killed while it waits in the middle of it', async () => {
    const license = await vendor.licenseUnder({ maxMachines: 5 });
    const activate = (server: ServerProcess): Promise<Reply> =>
      vendor.through(server.url).api.call('POST', '/machines', {
        body: { licenseId: license.id, fingerprint: 'fingerprint-1' },
        headers: { 'idempotency-key': key },
      });
    await database.query('BEGIN');
    await database.query('SELECT 1 FROM license WHERE id = $1 FOR UPDATE', [license.id]);
    const lost = activate(other).catch(() => null);
    while ((await database.query('SELECT 1 FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))')).rowCount === 0);
    await other.stop('SIGKILL');
    expect(await lost).toBeNull();
    // Its session has not noticed: the work may still be done, and nobody may begin it anew.
    expect((await activate(survivor)).status).toBe(409);
    await database.query('ROLLBACK');
    let reply = await activate(survivor);
    while (reply.status === 409) reply = await activate(survivor);
    expect([reply.status, reply.headers['idempotent-replayed']]).toEqual([201, undefined]);
    expect((await vendor.api.get(`/licenses/${license.id}`)).body.data.machineCount).toBe(1);
  });

  it('replays what was committed by a server that is killed before anyone has read the answer', async () => {
    const { hostname, port } = new URL(other.url);
    const body = JSON.stringify({ name });
    const socket = connect(Number(port), hostname);
    socket.pause();
    socket.on('error', () => undefined);
    socket.write(
      [
        'POST /api/v1/api-keys HTTP/1.1',
        'Host: latchkey',
        `Authorization: Bearer ${vendor.liveKey}`,
        'Content-Type: application/json',
        `Content-Length: ${Buffer.byteLength(body)}`,
        `Idempotency-Key: ${key}`,
        '',
        body,
      ].join('\r\n'),
    );
    while ((await countEffects()) === 0);
    await other.stop('SIGKILL');
    socket.destroy();
    const answer = await create(survivor);
    expect([answer.status, answer.headers['idempotent-replayed']]).toEqual([201, 'true']);
    expect(await countEffects()).toBe(1);
  });
});
