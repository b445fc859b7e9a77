import { chmod, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
// The built modules (`pretest` builds them): Jest loads this file by itself, without mapping .js to .ts.
import { settings } from '../../dist/core/config.js';
import { EmbeddedPostgres } from '../../dist/core/embedded-postgres.js';
import { MasterKey } from '../../dist/core/master-key.js';
import { prepareDatabase } from '../../dist/core/migrate.js';
import { startSharedServers } from './shared-servers.mjs';

/** One PostgreSQL for the whole run, migrated, and servers on it; tests keep apart by having tenants of their own. */
export default async function setUp({ maxWorkers }) {
  const dataDir = await mkdtemp(join(tmpdir(), 'latchkey-test-'));
  // As root, PostgreSQL runs as another user, who would not come into a directory of mode 0700.
  await chmod(dataDir, 0o755);
  const database = await EmbeddedPostgres.start(dataDir);
  const masterKey = Buffer.alloc(32, 'latchkey-test');
  const environment = {
    DATABASE_URL: database.url,
    MASTER_KEY: masterKey.toString('base64'),
    PLATFORM_TOKEN: 'platform-token-for-tests-0123456789',
    PORT: '0',
    LOG_LEVEL: 'debug',
    ...Object.fromEntries(
      Object.keys(settings)
        .filter((name) => name.startsWith('LIMIT_'))
        .map((name) => [name, '0']),
    ),
  };
  await prepareDatabase(database.url, new MasterKey(masterKey));
  const runDirectory = join(dataDir, 'run');
  const servers = await startSharedServers(maxWorkers, environment, runDirectory);
  globalThis.latchkeyRun = { database, dataDir, servers, secrets: [environment.MASTER_KEY] };
  process.env.TEST_RUN_DIR = runDirectory;
  process.env.TEST_ENVIRONMENT = JSON.stringify(environment);
  process.env.TEST_SERVER_URLS = JSON.stringify(servers.map(({ url }) => url));
}
