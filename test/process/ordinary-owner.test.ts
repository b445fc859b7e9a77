import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { Database } from '../../src/core/database.js';
import { EmbeddedPostgres } from '../../src/core/embedded-postgres.js';
import { MasterKey } from '../../src/core/master-key.js';
import { prepareDatabase } from '../../src/core/migrate.js';

/** The database belongs to a role that may make roles and is no superuser, as where an operator has a server of their own. */
describe('on a database of an ordinary role', () => {
  let directory: string;
  let server: EmbeddedPostgres;
  const databaseOf = async (name: string): Promise<string> => {
    await asUser(server.url, `CREATE DATABASE ${name} OWNER ordinary`);
    const url = new URL(server.url);
    Object.assign(url, { username: 'ordinary', password: 'secret', pathname: `/${name}` });
    return url.href;
  };
  async function asUser(url: string, ...statements: string[]): Promise<pg.QueryResult[]> {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    const results: pg.QueryResult[] = [];
    for (const statement of statements) results.push(await client.query(statement));
    await client.end();
    return results;
  }
  const migration = (name: string): Promise<string> =>
    readFile(new URL(`../../prisma/migrations/${name}/migration.sql`, import.meta.url), 'utf8');

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'latchkey-owner-'));
    await chmod(directory, 0o755);
    server = await EmbeddedPostgres.start(directory);
    await asUser(server.url, `CREATE ROLE ordinary LOGIN CREATEROLE PASSWORD 'secret'`);
  });
  afterAll(async () => {
    await server.stop();
    await rm(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
  });

  it('makes the roles that its sessions switch to, and can switch to them, also to one that it made before', async () => {
    const url = await databaseOf('fresh');
    await asUser(url, 'CREATE ROLE latchkey_lookup NOLOGIN');
    expect((await prepareDatabase(url, new MasterKey(Buffer.alloc(32)))).applied).not.toEqual([]);
    const database = new Database(url, 4);
    await expect(database.requireSessions()).resolves.toBeUndefined();
    await database.close();
  });

  it('keeps the API keys of the version before: each is the first of its line', async () => {
    const url = await databaseOf('older');
    await asUser(url, await migration('20261122000000_initial'));
    const results = await asUser(
      url,
      'SET ROLE latchkey_system',
      `INSERT INTO account (id, name, slug, owner_email, updated_at) VALUES (gen_random_uuid(), 'Acme', 'acme', 'a@example.com', now())`,
      `INSERT INTO environment (id, account_id, name) SELECT gen_random_uuid(), id, 'live' FROM account`,
      `INSERT INTO api_key (id, environment_id, name, digest, pepper_id, prefix, suffix, updated_at)
       SELECT gen_random_uuid(), id, 'key', '\\x00', 'pepper', 'lk_live_abcd', 'wxyz', now() FROM environment`,
      'RESET ROLE',
      await migration('20261122120000_access'),
      'SET ROLE latchkey_system',
      'SELECT lineage_id = id AS "isFirst", kind, allowed_ips AS "allowedIps", segment_id AS "segmentId" FROM api_key',
    );
    expect(results.at(-1)?.rows).toEqual([{ isFirst: true, kind: 'account', allowedIps: [], segmentId: null }]);
  });
});
