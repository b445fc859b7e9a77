import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Running } from '../src/boot.js';
import { Database, type Db, type Tenant } from '../src/core/database.js';
import { prepared } from '../src/core/prepared.js';
import { startServer } from './support/server.js';
import { testDatabaseUrl } from './support/settings.js';
import { Vendor } from './support/vendor.js';

/** Units of work in one transaction are each as they would be alone; only their end is common. */
describe('several units of work in one transaction', () => {
  let server: Running;
  let database: Database;
  let live: Tenant;
  let test: Tenant;
  beforeAll(async () => {
    server = await startServer();
    database = new Database(testDatabaseUrl(), 4);
  });
  beforeEach(async () => {
    const { account } = await Vendor.signUp(server.url);
    const found = await database.acrossTenants('find the environments of a test', (db) =>
      db.environment.findMany({ where: { accountId: account.id } }),
    );
    const tenantOf = (environment: 'live' | 'test'): Tenant => ({
      accountId: account.id,
      environmentId: found.find(({ name }) => name === environment)!.id,
      environment,
      segmentId: null,
    });
    [live, test] = [tenantOf('live'), tenantOf('test')];
  });
  afterAll(async () => {
    await database.close();
    await server.stop();
  });

  const add = (tenant: Tenant, code: string): Promise<unknown> =>
    database.within(tenant, (db) => db.product.create({ data: { name: 'Editor', code, keyPrefix: 'EDIT' } }));
  const codes = (tenant: Tenant): Promise<string[]> =>
    database.within(tenant, async (db) => (await db.product.findMany({ orderBy: { code: 'asc' } })).map(({ code }) => code));
  class Fault extends Error {}
  const fail = (): never => {
    throw new Fault();
  };

  it('keeps all of them, or none', async () => {
    await database.inOneTransaction(async () => {
      await add(live, 'a');
      await add(live, 'b');
    });
    expect(await codes(live)).toEqual(['a', 'b']);
    const failing = database.inOneTransaction(async () => {
      await add(live, 'c');
      fail();
    });
    await expect(failing).rejects.toThrow(Fault);
    expect(await codes(live)).toEqual(['a', 'b']);
  });

  it('shows each unit what those before it have written, and nobody else before the end', async () => {
    await database.inOneTransaction(async () => {
      await add(live, 'a');
      expect(await codes(live)).toEqual(['a']);
      const other = new Database(testDatabaseUrl(), 2);
      const seen = await other.within(live, (db) => db.product.count()).finally(() => other.close());
      expect(seen).toBe(0);
    });
  });

  it.each<[string, () => Promise<unknown>]>([
    [
      'an error of its own',
      () => database.within(live, async (db) => db.product.create({ data: { name: 'x', code: 'c', keyPrefix: 'X' } }).then(fail)),
    ],
    ['a statement that the database refuses', () => add(live, 'a')],
  ])('takes back the writes of the unit that fails, and lets the others go on: %s', async (_, unit) => {
    await database.inOneTransaction(async () => {
      await add(live, 'a');
      await expect(unit()).rejects.toThrow();
      await add(live, 'b');
    });
    expect(await codes(live)).toEqual(['a', 'b']);
  });

  it('keeps units of different tenants apart, also when they are begun at once', async () => {
    await database.inOneTransaction(async () => {
      const tenants = Array.from({ length: 20 }, (_, index) => (index % 2 === 0 ? live : test));
      await Promise.all(
        tenants.map((tenant, index) =>
          database.within(tenant, async (db) => {
            await db.product.create({ data: { name: 'Editor', code: `p${String(index)}`, keyPrefix: 'EDIT' } });
            const rows = await db.product.findMany();
            expect(new Set(rows.map(({ environmentId }) => environmentId))).toEqual(new Set([tenant.environmentId]));
          }),
        ),
      );
    });
    expect([(await codes(live)).length, (await codes(test)).length]).toEqual([10, 10]);
  });

  it('waits for units that were begun beside one that failed, before anything is taken back', async () => {
    const failing = database.inOneTransaction(async () => {
      await Promise.all([database.within(live, () => Promise.reject(new Fault())), add(live, 'late')]);
    });
    await expect(failing).rejects.toThrow(Fault);
    expect(await codes(live)).toEqual([]);
  });

  it('keeps no half of a unit that nobody waits for', async () => {
    let left: Promise<unknown> = Promise.resolve();
    await database.inOneTransaction(async () => {
      await add(live, 'a');
      left = database.within(live, async (db) => {
        await db.product.create({ data: { name: 'Editor', code: 'b', keyPrefix: 'EDIT' } });
        await db.product.create({ data: { name: 'Editor', code: 'c', keyPrefix: 'EDIT' } });
      });
    });
    await left;
    expect(await codes(live)).toEqual(['a', 'b', 'c']);
  });

  it('leaves nothing of a tenant to a unit across tenants', async () => {
    await database.inOneTransaction(async () => {
      await add({ ...live, segmentId: randomUUID() }, 'a');
      const [settings] = await database.acrossTenants(
        'look at the settings of a test',
        (db) => db.$queryRaw<object[]>`
          SELECT current_user::text AS role, current_setting('app.environment_id') AS environment,
                 current_setting('app.account_id') AS account, current_setting('app.segment_id') AS segment`,
      );
      expect(settings).toEqual({ role: 'latchkey_system', environment: '', account: '', segment: '' });
    });
  });

  it('refuses a unit inside of another instead of waiting for ever', async () => {
    const nested = database.inOneTransaction(() => database.within(live, () => add(live, 'a')));
    await expect(nested).rejects.toThrow(/inside of another/);
  });

  it('gives a transaction of its own to what is left running behind its end', async () => {
    let release = (): void => undefined;
    const end = new Promise<void>((resolve) => {
      release = resolve;
    });
    let left: Promise<unknown> = Promise.resolve();
    await database.inOneTransaction(async () => {
      left = end.then(() => add(live, 'later'));
      await add(live, 'a');
    });
    release();
    await left;
    expect(await codes(live)).toEqual(['a', 'later']);
  });

  it('shows each unit only what is its own where one connection has prepared the statements of all', async () => {
    const narrow = new Database(testDatabaseUrl(), 3);
    const { account } = await Vendor.signUp(server.url);
    const { id } = await narrow.acrossTenants('find the environment of a test', (db) =>
      db.environment.findFirstOrThrow({ where: { accountId: account.id, name: 'live' } }),
    );
    const tenants: Tenant[] = [live, { ...live, accountId: account.id, environmentId: id }];
    const ids = tenants.map(({ environmentId }) => environmentId);
    const sees = (db: Db, id: string): Promise<number> =>
      db.$queryRaw<unknown[]>`${prepared} SELECT id FROM environment WHERE id = ${id}::uuid`.then((rows) => rows.length);
    for (let round = 0; round < 10; round += 1) {
      const seen = [
        ...(await Promise.all(ids.map((id) => narrow.acrossTenants('see what a test has made', (db) => sees(db, id))))),
        ...(await Promise.all(tenants.flatMap((tenant) => ids.map((id) => narrow.within(tenant, (db) => sees(db, id)))))),
      ];
      expect(seen).toEqual([1, 1, 1, 0, 0, 1]);
    }
    const statements = await narrow.within(
      live,
      (db) => db.$queryRaw<unknown[]>`SELECT FROM pg_prepared_statements WHERE statement LIKE '%FROM environment WHERE id%'`,
    );
    expect(statements).toHaveLength(1);
    await narrow.close();
  });
});
