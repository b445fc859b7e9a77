import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { send } from '../support/client.js';
import { ServerProcess } from '../support/server.js';
import { testDatabaseUrl, testEnvironment } from '../support/settings.js';
import { Vendor } from '../support/vendor.js';

describe('on a database of its own', () => {
  const running: ServerProcess[] = [];
  const created: string[] = [];
  const admin = async (...statements: string[]): Promise<void> => {
    const client = new pg.Client({ connectionString: testDatabaseUrl() });
    await client.connect();
    for (const statement of statements) await client.query(statement);
    await client.end();
  };
  const urlOf = (database: string): string => {
    const url = new URL(testDatabaseUrl());
    url.pathname = `/${database}`;
    return url.toString();
  };
  const newDatabase = async (options = ''): Promise<string> => {
    const name = `boot_${randomUUID().replaceAll('-', '')}`;
    created.push(name);
    await admin(`CREATE DATABASE ${name} ${options}`);
    return urlOf(name);
  };
  const query = async (url: string, text: string): Promise<pg.QueryResult> => {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    return client.query(text).finally(() => client.end());
  };
  const start = async (environment: Record<string, string>): Promise<ServerProcess> => {
    const server = await ServerProcess.start(testEnvironment(environment));
    running.push(server);
    return server;
  };
  afterEach(async () => {
    await Promise.all(running.splice(0).map((server) => server.stop()));
    for (const name of created.splice(0)) await admin(`DROP DATABASE ${name} WITH (FORCE)`);
  });

  it('two servers that boot at the same moment both come up, with every migration applied once', async () => {
    const url = await newDatabase();
    await Promise.all([start({ DATABASE_URL: url }), start({ DATABASE_URL: url })]);
    const { rows } = await query(url, 'SELECT migration_name, count(*)::int AS times FROM _prisma_migrations GROUP BY 1');
    expect(rows.length).toBeGreaterThan(0);
    expect(rows.every((row) => row.times === 1)).toBe(true);
  });

  it('works for an ordinary owner of the database who was granted the roles, and tells one who was not what is missing', async () => {
    const owner = `owner_${randomUUID().slice(0, 8)}`;
    await admin(`CREATE ROLE ${owner} LOGIN PASSWORD 'secret' NOSUPERUSER NOCREATEROLE`);
    try {
      const url = new URL(await newDatabase(`OWNER ${owner}`));
      url.username = owner;
      url.password = 'secret';
      await expect(start({ DATABASE_URL: url.toString() })).rejects.toThrow(
        new RegExp(`As an administrator of the database, run: GRANT latchkey_tenant TO "?${owner}`),
      );
      await admin(`GRANT latchkey_tenant, latchkey_system, latchkey_lookup TO ${owner}`);
      const server = await start({ DATABASE_URL: url.toString() });
      expect((await send(server.url, 'GET', '/health/ready')).status).toBe(200);
      await server.stop();
    } finally {
      for (const name of created.splice(0)) await admin(`DROP DATABASE ${name} WITH (FORCE)`);
      await admin(`DROP ROLE ${owner}`);
    }
  });

  describe('that a server has used', () => {
    const used = `boot_${randomUUID().replaceAll('-', '')}`;
    const copy = (): Promise<string> => newDatabase(`TEMPLATE ${used}`);
    let server: ServerProcess;
    let accountsAtFirst: number;
    let seenByOther: { product: { createdAt: string }; listed: unknown[]; status: number };
    beforeAll(async () => {
      await admin(`CREATE DATABASE ${used}`);
      const url = new URL(urlOf(used));
      url.searchParams.set('options', '-c search_path=public -c role=none -c timezone=Asia/Tokyo');
      server = await ServerProcess.start(testEnvironment({ DATABASE_URL: url.toString() }));
      accountsAtFirst = (await query(urlOf(used), 'SELECT count(*)::int AS accounts FROM account')).rows[0].accounts;
      const [one, other] = [await Vendor.signUp(server.url), await Vendor.signUp(server.url)];
      const product = await one.product();
      const listed = (await other.api.get('/products')).body.data;
      seenByOther = { product, listed, status: (await other.api.get(`/products/${product.id}`)).status };
      await server.stop();
    });
    afterAll(async () => {
      await server.stop();
      await admin(`DROP DATABASE ${used} WITH (FORCE)`);
    });

    it('was not seeded: a database that the server was given never is', () => {
      // The first characters of a key are in the lines of the log.
      expect(server.output).not.toMatch(/lk_live_\w{20}/);
      expect(accountsAtFirst).toBe(0);
    });

    it('kept tenants apart also where the connection string brought session options of its own', () => {
      expect(Math.abs(Date.parse(seenByOther.product.createdAt) - Date.now())).toBeLessThan(600_000);
      expect(seenByOther).toMatchObject({ listed: [], status: 404 });
    });

    it('refuses to run where the isolation of tenants is switched off', async () => {
      const url = await copy();
      await query(url, 'ALTER TABLE license NO FORCE ROW LEVEL SECURITY');
      await expect(start({ DATABASE_URL: url })).rejects.toThrow(/Row-level security is not forced on: license/);
    });

    it('refuses a master key with which no stored key could be recognised', async () => {
      const otherKey = Buffer.alloc(32, 'another').toString('base64');
      await expect(start({ DATABASE_URL: await copy(), MASTER_KEY: otherKey })).rejects.toThrow(/MASTER_KEY is not the one/);
    });

    it('refuses a database that a newer version has migrated', async () => {
      const url = await copy();
      await query(
        url,
        `INSERT INTO _prisma_migrations (id, checksum, migration_name, started_at, finished_at, applied_steps_count)
         VALUES ('x', 'x', '29991231000000_later', now(), now(), 1)`,
      );
      await expect(start({ DATABASE_URL: url })).rejects.toThrow(/newer than this program: it has 29991231000000_later/);
    });
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
