import { chmod, mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { EmbeddedPostgres } from '../../dist/core/embedded-postgres.js';
import { prepareDatabase } from '../../dist/core/migrate.js';

/** A migrated database of this run's own, gone when the run ends. Answers its URL (as superuser) and its directory. */
export async function startDatabase(masterKey, cleanup) {
  const directory = await mkdtemp(join(tmpdir(), 'latchkey-bench-'));
  cleanup.add(() => rm(directory, { recursive: true, force: true }));
  // Run by root, PostgreSQL is another user, who must be able to enter; what is secret in here has a mode of its own.
  await chmod(directory, 0o755);
  const starting = EmbeddedPostgres.start(directory);
  cleanup.add(async () => {
    const database = await starting.catch(() => null);
    const home = await realpath(join(directory, 'postgres')).catch(() => null);
    await database?.stop();
    // Where that user cannot enter the temporary directory either, the cluster lies elsewhere.
    if (home !== null) await rm(home, { recursive: true, force: true });
  });
  const { url } = await starting;
  await prepareDatabase(url, masterKey);
  return { url, directory };
}

/** One connection as superuser for the time of `work`. */
export async function withClient(url, work) {
  const client = new pg.Client({ connectionString: url, application_name: 'latchkey bench' });
  // When the run is interrupted the server goes first; the query in flight reports that.
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
