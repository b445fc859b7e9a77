import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { access, chmod, mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { anyone, send, withKey } from '../support/client.js';
import { ServerProcess } from '../support/server.js';
import { testDatabaseUrl, testEnvironment, unlimited } from '../support/settings.js';
import { Vendor } from '../support/vendor.js';

const DEMO_KEY = /DEMO(-[0-9A-Z]{4}){6}/;

let running: ServerProcess[] = [];
const start = async (...args: Parameters<typeof ServerProcess.start>): Promise<ServerProcess> => {
  const server = await ServerProcess.start(...args);
  running.push(server);
  return server;
};
afterEach(async () => {
  await Promise.all(running.map((server) => server.stop()));
  running = [];
});

describe('on nothing but Node: the embedded database', () => {
  let home: string;
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'latchkey-boot-'));
    await chmod(home, 0o755);
  });
  // What a killed PostgreSQL leaves behind may write for a moment more.
  afterEach(() => rm(home, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 }));

  const embedded = (dataDir = join(home, 'data')): Record<string, string> => ({
    ...unlimited,
    DATA_DIR: dataDir,
    PORT: '0',
    LOG_LEVEL: 'warn',
  });
  const demoKeyOf = (server: ServerProcess): string => DEMO_KEY.exec(server.output)![0];
  const isValid = async (server: ServerProcess, key: string): Promise<boolean> =>
    (await anyone(server.url).post('/licenses/validate-key', { key })).body.data.valid;

  it('comes up with a demo account, whose printed keys work and whose printed command validates the license', async () => {
    const server = await start(embedded());
    expect(await isValid(server, demoKeyOf(server))).toBe(true);
    const liveKey = /lk_live_\w+/.exec(server.output)![0];
    expect((await withKey(server.url, liveKey).get('/api-keys/current')).body.data).toMatchObject({
      environment: 'live',
      account: { slug: 'demo' },
    });

    const command = /curl -s .*/.exec(server.output)![0];
    const curl = spawn('/bin/sh', ['-c', command]);
    let printed = '';
    curl.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString()));
    await once(curl, 'close');
    expect(JSON.parse(printed)).toMatchObject({ data: { valid: true, code: 'VALID' } });
  });

  it('finds everything again after a stop, says nothing secret twice, and exits 0', async () => {
    const first = await start(embedded());
    const key = demoKeyOf(first);
    expect(await first.stop('SIGTERM')).toBe(0);
    const second = await start(embedded());
    expect(await isValid(second, key)).toBe(true);
    expect(second.output).not.toMatch(/lk_live_|DEMO-/);
    expect(await second.stop('SIGINT')).toBe(0);
  });

  it('finds everything again after SIGKILL, taking over the database that was left running', async () => {
    const first = await start(embedded());
    const key = demoKeyOf(first);
    await first.stop('SIGKILL');
    const second = await start(embedded());
    expect(await isValid(second, key)).toBe(true);
  });

  it('refuses a data directory that another process uses, and leaves that one alone', async () => {
    const first = await start(embedded());
    const key = demoKeyOf(first);
    await expect(ServerProcess.start(embedded())).rejects.toThrow(/exited with 1:[^]*is in use by another Latchkey process/);
    expect(await isValid(first, key)).toBe(true);
  });

  it('starts its database again when that is killed under it', async () => {
    const first = await start(embedded());
    const key = demoKeyOf(first);
    const postmaster = spawn('/bin/sh', ['-c', `kill -9 $(head -1 ${join(home, 'data/postgres/data/postmaster.pid')})`]);
    await once(postmaster, 'close');
    await until(async () => (await send(first.url, 'GET', '/health/ready')).status === 200 && isValid(first, key));
    expect(first.child.exitCode).toBeNull();
  });

  const databaseRuns = async (): Promise<boolean> =>
    access(join(home, 'data/postgres/data/postmaster.pid')).then(
      () => true,
      () => false,
    );

  it('stops cleanly, its database too, while a client never finishes its request', async () => {
    const server = await start(embedded());
    const { port } = new URL(server.url);
    const slow = connect(Number(port), '127.0.0.1');
    slow.on('error', () => undefined);
    slow.write('POST /api/v1/licenses/validate-key HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{');
    await once(slow, 'connect');
    expect(await server.stop('SIGTERM')).toBe(0);
    expect(await databaseRuns()).toBe(false);
    slow.destroy();
  });

  it('stops cleanly, its database too, when it is told to in the middle of its start', async () => {
    const main = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
    const child = spawn(process.execPath, [main], { env: { PATH: process.env.PATH, ...embedded() }, stdio: 'ignore' });
    const exited = once(child, 'exit') as Promise<[number | null]>;
    await until(databaseRuns);
    child.kill('SIGTERM');
    expect((await exited)[0]).toBe(0);
    expect(await databaseRuns()).toBe(false);
  });

  it('refuses a .env with a name that is no setting', async () => {
    await writeFile(join(home, '.env'), 'PROT=4000\n');
    await expect(ServerProcess.start(embedded(), { cwd: home })).rejects.toThrow(/PROT: is no setting of Latchkey/);
  });

  it('does not care that port 5432 is busy', async () => {
    const blocker: Server = createServer();
    await new Promise<void>((done) => {
      // Busy already is just as good.
      blocker.once('error', () => {
        done();
      });
      blocker.listen(5432, '127.0.0.1', () => {
        done();
      });
    });
    await start(embedded());
    blocker.close();
  });

  it('says which port is taken, and stops its database again', async () => {
    const first = await start(embedded());
    const { port } = new URL(first.url);
    await expect(ServerProcess.start({ ...embedded(join(home, 'other')), PORT: port })).rejects.toThrow(/the port is in use/);
    await start(embedded(join(home, 'other')));
  });

  it('makes no demo account when told not to', async () => {
    const server = await start({ ...embedded(), SEED_DEMO: 'false' });
    expect(server.output).not.toContain('lk_live_');
  });

  const isRoot = process.getuid?.() === 0;
  (isRoot ? it : it.skip)(
    'keeps its data reachable for the user that PostgreSQL runs as when a 0700 home hides it from everyone but root',
    async () => {
      const hidden = join(home, 'home');
      await mkdir(hidden);
      await chmod(hidden, 0o700);
      const first = await start(embedded(join(hidden, 'data')));
      const key = demoKeyOf(first);
      await first.stop();
      const second = await start(embedded(join(hidden, 'data')));
      expect(await isValid(second, key)).toBe(true);
      await second.stop();
      // It lies elsewhere, behind a link.
      await rm(await realpath(join(hidden, 'data/postgres')), { recursive: true });
    },
  );
});

describe('on a database of its own', () => {
  const created: string[] = [];
  const admin = async (...statements: string[]): Promise<void> => {
    const client = new pg.Client({ connectionString: testDatabaseUrl() });
    await client.connect();
    for (const statement of statements) await client.query(statement);
    await client.end();
  };
  const newDatabase = async (owner?: string): Promise<string> => {
    const name = `boot_${randomUUID().replaceAll('-', '')}`;
    created.push(name);
    await admin(`CREATE DATABASE ${name}${owner === undefined ? '' : ` OWNER ${owner}`}`);
    const url = new URL(testDatabaseUrl());
    url.pathname = `/${name}`;
    return url.toString();
  };
  const query = async (url: string, text: string): Promise<pg.QueryResult> => {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    return client.query(text).finally(() => client.end());
  };
  afterEach(async () => {
    await Promise.all(running.map((server) => server.stop()));
    for (const name of created.splice(0)) await admin(`DROP DATABASE ${name} WITH (FORCE)`);
  });

  it('two servers that boot at the same moment both come up, with every migration applied once', async () => {
    const url = await newDatabase();
    await Promise.all([start(testEnvironment({ DATABASE_URL: url })), start(testEnvironment({ DATABASE_URL: url }))]);
    const { rows } = await query(url, 'SELECT migration_name, count(*)::int AS times FROM _prisma_migrations GROUP BY 1');
    expect(rows.length).toBeGreaterThan(0);
    expect(rows.every((row) => row.times === 1)).toBe(true);
  });

  it('keeps tenants apart also where the connection string brings session options of its own', async () => {
    const url = new URL(await newDatabase());
    url.searchParams.set('options', '-c search_path=public -c role=none -c timezone=Asia/Tokyo');
    const server = await start(testEnvironment({ DATABASE_URL: url.toString() }));
    const [one, other] = [await Vendor.signUp(server.url), await Vendor.signUp(server.url)];
    const product = await one.product();
    expect(Math.abs(Date.parse(product.createdAt) - Date.now())).toBeLessThan(600_000);
    expect((await other.api.get('/products')).body.data).toEqual([]);
    expect((await other.api.get(`/products/${product.id}`)).status).toBe(404);
  });

  it('never seeds a database that it was given', async () => {
    const url = await newDatabase();
    const server = await start(testEnvironment({ DATABASE_URL: url }));
    expect(server.output).not.toContain('lk_live_');
    expect((await query(url, 'SELECT count(*)::int AS accounts FROM account')).rows).toEqual([{ accounts: 0 }]);
  });

  it('works for an ordinary owner of the database who was granted the roles, and tells one who was not what is missing', async () => {
    const owner = `owner_${randomUUID().slice(0, 8)}`;
    await admin(`CREATE ROLE ${owner} LOGIN PASSWORD 'secret' NOSUPERUSER NOCREATEROLE`);
    try {
      const url = new URL(await newDatabase(owner));
      url.username = owner;
      url.password = 'secret';
      await expect(ServerProcess.start(testEnvironment({ DATABASE_URL: url.toString() }))).rejects.toThrow(
        new RegExp(`As an administrator of the database, run: GRANT latchkey_tenant TO "?${owner}`),
      );
      await admin(`GRANT latchkey_tenant, latchkey_system, latchkey_lookup TO ${owner}`);
      const server = await start(testEnvironment({ DATABASE_URL: url.toString() }));
      expect((await send(server.url, 'GET', '/health/ready')).status).toBe(200);
      await server.stop();
    } finally {
      for (const name of created.splice(0)) await admin(`DROP DATABASE ${name} WITH (FORCE)`);
      await admin(`DROP ROLE ${owner}`);
    }
  });

  it('refuses to run where the isolation of tenants is switched off', async () => {
    const url = await newDatabase();
    await (await start(testEnvironment({ DATABASE_URL: url }))).stop();
    await query(url, 'ALTER TABLE license NO FORCE ROW LEVEL SECURITY');
    await expect(ServerProcess.start(testEnvironment({ DATABASE_URL: url }))).rejects.toThrow(
      /Row-level security is not forced on: license/,
    );
  });

  it('refuses a master key with which no stored key could be recognised', async () => {
    const url = await newDatabase();
    const server = await start(testEnvironment({ DATABASE_URL: url, OPEN_SIGNUP: 'true' }));
    expect((await anyone(server.url).post('/accounts', { name: 'A', slug: 'aa', ownerEmail: 'a@example.com' })).status).toBe(201);
    await server.stop();
    const otherKey = Buffer.alloc(32, 'another').toString('base64');
    await expect(ServerProcess.start(testEnvironment({ DATABASE_URL: url, MASTER_KEY: otherKey }))).rejects.toThrow(
      /MASTER_KEY is not the one/,
    );
  });

  it('refuses a database that a newer version has migrated', async () => {
    const url = await newDatabase();
    await (await start(testEnvironment({ DATABASE_URL: url }))).stop();
    await query(
      url,
      `INSERT INTO _prisma_migrations (id, checksum, migration_name, started_at, finished_at, applied_steps_count)
       VALUES ('x', 'x', '29991231000000_later', now(), now(), 1)`,
    );
    await expect(ServerProcess.start(testEnvironment({ DATABASE_URL: url }))).rejects.toThrow(
      /newer than this program: it has 29991231000000_later/,
    );
  });
});

describe('an environment that cannot be right', () => {
  it('stops the boot with one line for each problem', async () => {
    const start = ServerProcess.start({ PORT: 'eighty', LIMIT_VALIDATE: '5', DATABASE_URL: 'postgres://localhost/x' });
    await expect(start).rejects.toThrow(
      /exited with 1:\nLatchkey cannot start:\n {2}PORT: .*\n {2}MASTER_KEY: .*\n {2}LIMIT_VALIDATE: .*\n$/,
    );
  });
});

/** Ask again until it is so; the test's own time limit ends it. */
async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition().catch(() => false))) await new Promise((wake) => setTimeout(wake, 50));
}
