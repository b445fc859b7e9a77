import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { Webhook } from 'standardwebhooks';
import { v7 as uuidv7 } from 'uuid';
import { boot, type Running } from '../../src/boot.js';
import { loadConfig } from '../../src/core/config.js';
import { EmbeddedPostgres } from '../../src/core/embedded-postgres.js';
import { MasterKey } from '../../src/core/master-key.js';
import { sealedColumns } from '../../src/core/sealed-columns.js';
import { anyone, type Reply, send, withKey } from '../support/client.js';
import { COMMAND, type Ended, latchkey } from '../support/command-line.js';
import { eventually } from '../support/eventually.js';
import { type QuietDatabase, quietDatabase } from '../support/quiet-database.js';
import { Receiver } from '../support/receiver.js';
import { startServer } from '../support/server.js';
import { TEST_PLATFORM_TOKEN, testEnvironment, unlimited } from '../support/settings.js';
import { expectStatus, Vendor } from '../support/vendor.js';

const [OLD, NEXT, WRONG] = ['old', 'next', 'wrong'].map((fill) => Buffer.alloc(32, fill)) as [Buffer, Buffer, Buffer];
const SIGNING_SECRET = 'what signs documents';

/** The command as a process that can be killed. */
function begin(args: string[], environment: Record<string, string>): ChildProcess {
  return spawn(process.execPath, [COMMAND, ...args], {
    env: { PATH: process.env.PATH ?? '', ...environment },
    cwd: tmpdir(),
    stdio: 'ignore',
  });
}

async function kill(child: ChildProcess): Promise<void> {
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  expect(await exited).toEqual([null, 'SIGKILL']);
}

async function connected(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

/** docs/decisions/0019-master-key.md: a step after the other, as an operator of several servers does them. */
describe('rotating the master key while servers go on', () => {
  let quiet: QuietDatabase;
  let database: pg.Client;
  let receiver: Receiver;
  let vendor: Vendor;
  let made: {
    generated: { id: string; key: string };
    chosen: { id: string; key: string };
    answer: Reply;
    token: string;
    endpoint: { id: string; secret: string };
  };
  const running = new Set<Running>();

  const settings = (master: Buffer, ...readable: Buffer[]): Record<string, string> =>
    testEnvironment({
      DATABASE_URL: quiet.url,
      MASTER_KEY: master.toString('base64'),
      MASTER_KEYS_READABLE: readable.map((key) => key.toString('base64')).join(','),
      WEBHOOK_ALLOW_LOOPBACK: 'true',
    });
  const start = async (master: Buffer, ...readable: Buffer[]): Promise<Running> => {
    const server = await startServer(settings(master, ...readable));
    running.add(server);
    return server;
  };
  const stop = async (server: Running): Promise<void> => {
    running.delete(server);
    await server.stop();
  };
  const rotate = (master: Buffer, ...readable: Buffer[]): Promise<Ended> =>
    latchkey(['master-key', 'rotate', '--json'], settings(master, ...readable));
  const rowsOf = async <Row extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<Row[]> =>
    (await database.query<Row>(text, values)).rows;
  const makeOnce = (url: string): Promise<Reply> =>
    vendor.through(url).api.with({ 'idempotency-key': 'made once' }).post('/products', { name: 'Once', code: 'once' });

  const tokenFrom = async (url: string): Promise<string> =>
    expectStatus(await anyone(url).post('/auth/token', { oid: vendor.account.id, secret: vendor.liveKey }), 200).body.jwt;

  /** Every sealed value, opened or not, with its table. */
  const opened = async (masterKey: MasterKey): Promise<{ table: string; isOpen: boolean; id: string }[]> => {
    const found = [];
    for (const { table, key, keyType, column, context } of sealedColumns) {
      const text = keyType === 'uuid' ? `${key}::text` : `encode(${key}, 'hex')`;
      for (const row of await rowsOf<{ key: string; sealed: Buffer }>(
        `SELECT ${text} AS key, ${column} AS sealed FROM ${table} WHERE ${column} IS NOT NULL`,
      )) {
        let isOpen = true;
        try {
          masterKey.open(row.sealed, context(row.key));
        } catch {
          isOpen = false;
        }
        found.push({ table, isOpen, id: row.sealed.subarray(0, 8).toString('hex') });
      }
    }
    return found;
  };
  /** What a rotation has no business to change. */
  const untouched = (): Promise<object[]> =>
    rowsOf(
      `SELECT (SELECT jsonb_agg(to_jsonb(license) - 'key_sealed' - 'last_validated_at' ORDER BY id) FROM license) AS licenses,
              (SELECT count(*) FROM former_state) AS history`,
    );

  const everythingWorks = async ({ url }: Running): Promise<void> => {
    const here = vendor.through(url);
    for (const license of [made.generated, made.chosen]) {
      expect(expectStatus(await here.api.get(`/licenses/${license.id}`), 200).body.data.key).toBe(license.key);
      expect((await here.validate(license, { account: vendor.account.slug })).code).toBe('VALID');
    }
    const again = await makeOnce(url);
    expect([again.headers['idempotent-replayed'], again.text]).toEqual(['true', made.answer.text]);
    expect((await withKey(url, made.token).get('/products')).status).toBe(200);
    const event = expectStatus(await here.api.post(`/webhooks/${made.endpoint.id}/test`), 202).body.data;
    const received = await eventually(
      () => Promise.resolve(receiver.received.find((one) => one.event.id === event.id)),
      (one) => one !== undefined,
    );
    expect(new Webhook(made.endpoint.secret).verify(received!.text, received!.headers as Record<string, string>)).toMatchObject({
      id: event.id,
    });
  };

  beforeAll(async () => {
    [quiet, receiver] = await Promise.all([quietDatabase(), Receiver.start()]);
    database = await connected(quiet.url);
    const server = await start(OLD);
    vendor = await Vendor.signUp(server.url);
    const generated = await vendor.licenseUnder({ requireFingerprint: false });
    const chosen = await vendor.license({ productId: generated.productId, policyId: generated.policyId, key: 'CHOSEN-BY-THE-VENDOR-1' });
    const answer = expectStatus(await makeOnce(server.url), 201);
    const token = await tokenFrom(server.url);
    const endpoint = expectStatus(await vendor.api.post('/webhooks', { url: receiver.url('/hook'), events: ['webhook.test'] }), 201).body
      .data;
    made = { generated, chosen, answer, token, endpoint };
    const id = uuidv7();
    await database.query(
      `INSERT INTO signing_key (id, environment_id, kid, public_key, private_key_sealed, published_until)
       SELECT $1, id, $2, $3, $4, now() FROM environment WHERE account_id = $5 AND name = 'live'`,
      [id, 'k'.repeat(43), Buffer.alloc(32), Buffer.from(new MasterKey(OLD).seal(SIGNING_SECRET, `signing-key:${id}`)), vendor.account.id],
    );
    await stop(server);
  });
  afterAll(async () => {
    await Promise.all([...running].map(stop));
    await Promise.all([database.end(), receiver.stop()]);
    await quiet.end();
  });

  it('knows every column that something is sealed in', async () => {
    const columns = await rowsOf<{ name: string }>(
      `SELECT table_name || '.' || column_name AS name FROM information_schema.columns
        WHERE table_schema = current_schema() AND column_name LIKE '%sealed%'`,
    );
    expect(sealedColumns.map(({ table, column }) => `${table}.${column}`).sort()).toEqual(columns.map(({ name }) => name).sort());
    expect(new Set((await opened(new MasterKey(OLD))).map(({ table }) => table)).size).toBe(sealedColumns.length);
  });

  it('takes over a database from before there was a ring, and refuses a wrong key before and after, changing nothing', async () => {
    await database.query('DELETE FROM key_ring');
    for (const { table, column } of sealedColumns) await database.query(`UPDATE ${table} SET ${column} = substring(${column} FROM 9)`);
    const before = [await untouched(), await opened(new MasterKey(OLD))];
    await expect(start(WRONG)).rejects.toThrow(/MASTER_KEY is not the one/);
    await expect(start(WRONG, NEXT)).rejects.toThrow(/MASTER_KEY is not the one/);
    expect(await rowsOf('SELECT id FROM key_ring')).toEqual([]);
    const first = await start(OLD, NEXT);
    await expect(start(WRONG)).rejects.toThrow(/MASTER_KEY is not the one/);
    expect(await rowsOf('SELECT id FROM key_ring')).toEqual([{ id: new MasterKey(OLD).id }]);
    expect([await untouched(), await opened(new MasterKey(OLD))]).toEqual(before);
    await everythingWorks(first);
    expect(await rotate(OLD)).toMatchObject({ code: 1, stderr: expect.stringMatching(/^error: MASTER_KEY is the only key that is known/) });
    // Of the time when nothing named its key; with the settings of the first step nothing is rotated out.
    expect(JSON.parse((await latchkey(['master-key', 'status', '--json'], settings(OLD))).stdout)).toMatchObject({ unreadable: 0 });
    expect(await rotate(OLD, NEXT)).toMatchObject({ code: 0, stdout: expect.stringContaining('"retired": []') });
    const again = await latchkey(['master-key', 'rotate'], settings(OLD, NEXT));
    expect(again).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(/^error: Nothing was rotated: MASTER_KEY is /) });
    expect(again.stderr).toContain(`${new MasterKey(NEXT).id} in MASTER_KEYS_READABLE was not rotated out`);
    expect(again.stderr).not.toMatch(/take it away/i);
  });

  it('servers of both keys read what each other has written', async () => {
    const [first] = [...running] as [Running];
    const second = await start(NEXT, OLD);
    const shown = async (through: Running, id: string): Promise<string> =>
      expectStatus(await vendor.through(through.url).api.get(`/licenses/${id}`), 200).body.data.key;
    for (const [writer, reader] of [
      [first, second],
      [second, first],
    ] as const) {
      const { productId, policyId } = made.generated as never;
      const license = await vendor.through(writer.url).license({ productId, policyId });
      expect(await shown(reader, license.id)).toBe(license.key);
      expect((await vendor.through(reader.url).validate(license)).code).toBe('VALID');
      const token = await tokenFrom(writer.url);
      expect((await withKey(reader.url, token).get('/products')).status).toBe(200);
    }
    await everythingWorks(first);
    await everythingWorks(second);
    // Neither key alone is enough now, and back to the old one would leave the second server behind.
    for (const alone of [OLD, NEXT]) await expect(start(alone)).rejects.toThrow(/The master key is being rotated: \w+ is in use too/);
    expect(await rotate(OLD, NEXT)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^error: Servers have begun to use a newer master key/),
    });
  });

  it('is killed in the middle, which leaves everything readable, and goes on', async () => {
    const [first, second] = [...running] as [Running, Running];
    const before = await untouched();
    const holder = await connected(quiet.url);
    await holder.query('BEGIN');
    await holder.query('SELECT FROM webhook_secret FOR UPDATE');
    const walking = begin(['master-key', 'rotate'], settings(NEXT, OLD));
    const next = new MasterKey(NEXT);
    const stateOf = async (): Promise<Record<string, boolean>> =>
      Object.fromEntries((await opened(next)).map(({ table, id }) => [table, id === next.id]));
    await eventually(stateOf, (state) => state.license === true && state.idempotency_key === true);
    expect(await stateOf()).toEqual({ license: true, signing_key: true, idempotency_key: true, webhook_secret: false });
    expect(await rotate(NEXT, OLD)).toMatchObject({ code: 1, stderr: expect.stringMatching(/^error: Another process rotates/) });
    await kill(walking);
    await everythingWorks(first);
    await everythingWorks(second);
    const status = await latchkey(['master-key', 'status', '--json'], settings(NEXT, OLD));
    expect(status.code).toBe(1);
    expect(JSON.parse(status.stdout)).toMatchObject({ isRotated: false, keys: [{ state: 'readable' }, { id: next.id, state: 'seals' }] });
    await holder.end();

    const ready = async (server: Running): Promise<Reply> => send(server.url, 'GET', '/health/ready');
    expect([(await ready(first)).status, (await ready(second)).status]).toEqual([200, 200]);
    // Against the rules, the first server runs on with the old key.
    const ended = await rotate(NEXT, OLD);
    expect(ended).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(ended.stdout)).toEqual({
      masterKey: next.id,
      sealed: { license: 0, webhook_secret: 1, signing_key: 0, idempotency_key: 0 },
      retired: [new MasterKey(OLD).id],
    });
    expect([(await ready(first)).status, (await ready(second)).status]).toEqual([503, 200]);
    expect((await ready(first)).body).toMatchObject({ code: 'UNAVAILABLE', message: expect.stringContaining('was rotated out') });
    await stop(first);
    await everythingWorks(second);
    expect(await untouched()).toEqual(before);
  });

  it('ends with nothing that the old key opens, and no server that has only that', async () => {
    const [second] = [...running] as [Running];
    // A token goes with the key that signed it, if its time does not end before.
    const { token } = made;
    made.token = await tokenFrom(second.url);
    await stop(second);
    const last = await start(NEXT);
    await everythingWorks(last);
    expect((await withKey(last.url, token).get('/products')).status).toBe(401);
    expect((await opened(new MasterKey(NEXT))).every(({ isOpen }) => isOpen)).toBe(true);
    expect((await opened(new MasterKey(OLD))).some(({ isOpen }) => isOpen)).toBe(false);
    expect(await rowsOf('SELECT id FROM key_ring WHERE wrapped IS NOT NULL')).toEqual([{ id: new MasterKey(NEXT).id }]);
    for (const readable of [[], [NEXT]])
      await expect(start(OLD, ...readable)).rejects.toThrow(/MASTER_KEY was rotated out of this database/);
    expect(await latchkey(['master-key', 'status'], settings(NEXT))).toMatchObject({ code: 0, stderr: '' });
    expect(await latchkey(['master-key', 'rotate'], settings(NEXT, OLD))).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(`${new MasterKey(OLD).id} in MASTER_KEYS_READABLE is needed by nothing any more`),
    });
  });

  it('rotates nothing out while something cannot be opened', async () => {
    await database.query('UPDATE license SET key_sealed = $2 WHERE id = $1', [
      made.chosen.id,
      Buffer.from(new MasterKey(WRONG).seal('x', made.chosen.id)),
    ]);
    const alone = await latchkey(['master-key', 'status', '--json'], settings(NEXT));
    expect(alone.code).toBe(1);
    expect(JSON.parse(alone.stdout)).toMatchObject({
      isRotated: false,
      unreadable: 1,
      keys: [
        { id: new MasterKey(OLD).id, state: 'not configured', inDatabase: 'rotated out', rows: 0 },
        { id: new MasterKey(NEXT).id, state: 'seals', inDatabase: 'in use' },
        { id: new MasterKey(WRONG).id, state: 'not configured', inDatabase: 'not known', rows: 1 },
      ],
      sealed: expect.arrayContaining([{ table: 'license', id: new MasterKey(WRONG).id, rows: 1, opens: false, state: 'cannot be opened' }]),
    });
    const server = await start(OLD.subarray().fill('third'), NEXT);
    // Another server may have that key.
    const shown = await vendor.through(server.url).api.get(`/licenses/${made.chosen.id}`);
    expect([shown.status, shown.body.code]).toEqual([503, 'UNAVAILABLE']);
    await stop(server);
    const ended = await rotate(OLD, NEXT);
    expect(ended).toMatchObject({ code: 1, stderr: expect.stringContaining('(1 in license)') });
    expect(await rowsOf('SELECT id FROM key_ring WHERE wrapped IS NOT NULL')).toHaveLength(2);
    expect(await rotate(OLD, NEXT, WRONG)).toMatchObject({ code: 0 });
  });
});

describe('rotating the master key of a data directory', () => {
  let home: string;
  let dataDir: string;
  let server: Running | undefined;
  let log = '';
  const environment = (): Record<string, string> => ({
    ...unlimited(),
    DATA_DIR: dataDir,
    PORT: '0',
    LOG_LEVEL: 'warn',
    PLATFORM_TOKEN: TEST_PLATFORM_TOKEN,
  });
  const start = async (): Promise<string> => {
    log = '';
    server = await boot(loadConfig(environment()), { write: (line: string) => (log += line) });
    return server.url;
  };
  const stop = async (): Promise<void> => {
    await server?.stop();
    server = undefined;
  };
  const rotate = (): Promise<Ended> => latchkey(['master-key', 'rotate'], environment());
  const keyFile = (name = 'master-key'): string => join(dataDir, name);
  const exists = (path: string): Promise<boolean> =>
    access(path).then(
      () => true,
      () => false,
    );
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'latchkey-master-key-'));
    await chmod(home, 0o755);
    dataDir = join(home, 'data');
  });
  afterAll(async () => {
    await stop();
    await rm(home, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
  });

  it('is refused beside a server; killed in the middle, it is gone on with, and everything is readable all the time', async () => {
    const vendor = await Vendor.signUp(await start());
    const license = await vendor.licenseUnder({ requireFingerprint: false });
    expectStatus(await vendor.api.post('/webhooks', { url: 'https://example.com/hook' }), 201);
    const works = async (url: string): Promise<void> => {
      const here = vendor.through(url);
      expect(expectStatus(await here.api.get(`/licenses/${license.id}`), 200).body.data.key).toBe(license.key);
      expect((await here.validate(license)).code).toBe('VALID');
    };
    const first = await readFile(keyFile());
    const sealed = async (client: pg.Client, column: string, table: string): Promise<string | undefined> =>
      (await client.query<{ id: string }>(`SELECT encode(substring(${column} FROM 1 FOR 8), 'hex') AS id FROM ${table}`)).rows[0]?.id;
    expect(await rotate()).toMatchObject({ code: 1, stderr: expect.stringMatching(/^error: The server on .* Stop it, run/) });
    expect(await exists(keyFile('master-key.next'))).toBe(false);
    // Whoever seals a webhook's secret anew waits here, until it is killed.
    const before = await connected((await EmbeddedPostgres.attach(dataDir))!.url);
    await before.query(`CREATE FUNCTION stays() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(600); RETURN NEW; END'`);
    await before.query('CREATE TRIGGER stays BEFORE UPDATE ON webhook_secret FOR EACH ROW EXECUTE FUNCTION stays()');
    const old = await sealed(before, 'key_sealed', 'license');
    await before.end();
    await stop();

    const walking = begin(['master-key', 'rotate'], environment());
    const { url } = (await eventually(
      () => EmbeddedPostgres.attach(dataDir),
      (running) => running !== null,
    ))!;
    const during = await connected(url);
    const next = await eventually(
      () => sealed(during, 'key_sealed', 'license'),
      (id) => id !== old,
    );
    expect((await stat(keyFile('master-key.next'))).mode & 0o777).toBe(0o600);
    expect(await readFile(keyFile())).toEqual(first);
    await kill(walking);
    expect([await sealed(during, 'sealed', 'webhook_secret'), await exists(keyFile('master-key.next'))]).toEqual([old, true]);
    await during.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'latchkey latchkey%'`);
    await during.query('DROP TRIGGER stays ON webhook_secret');
    await during.end();

    const restarted = await start();
    expect(log).toContain('the master key is being rotated');
    await works(restarted);
    await stop();
    expect(await rotate()).toMatchObject({
      code: 0,
      stderr: '',
      stdout: expect.stringMatching(/^license +0 sealed anew\nwebhook_secret +1 sealed/),
    });
    expect([await exists(keyFile('master-key.next')), (await readFile(keyFile())).equals(first)]).toEqual([false, false]);
    expect((await stat(keyFile())).mode & 0o777).toBe(0o600);

    const last = await start();
    expect(log).not.toContain('being rotated');
    await works(last);
    const after = await connected((await EmbeddedPostgres.attach(dataDir))!.url);
    expect([await sealed(after, 'key_sealed', 'license'), await sealed(after, 'sealed', 'webhook_secret')]).toEqual([next, next]);
    await after.end();

    // The file from before, out of a backup: named as it is, and no next key is made for it.
    await stop();
    await writeFile(keyFile(), first);
    expect(await rotate()).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(new RegExp(`^error: ${keyFile()} was rotated out of this database`)),
    });
    expect(await exists(keyFile('master-key.next'))).toBe(false);
  });
});
