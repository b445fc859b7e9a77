import { chmod, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
// The built modules (`pretest` builds them): Jest loads this file by itself, without mapping .js to .ts.
import { EmbeddedPostgres } from '../../dist/core/embedded-postgres.js';
import { MasterKey } from '../../dist/core/master-key.js';
import { prepareDatabase } from '../../dist/core/migrate.js';

/** One PostgreSQL for the whole run, migrated; tests keep apart by having tenants of their own. */
export default async function setUp() {
  const dataDir = await mkdtemp(join(tmpdir(), 'latchkey-test-'));
  // As root, PostgreSQL runs as another user, who would not come into a directory of mode 0700.
  await chmod(dataDir, 0o755);
  const server = await EmbeddedPostgres.start(dataDir);
  globalThis.latchkeyDatabase = { server, dataDir };
  process.env.TEST_RUN_DIR = join(dataDir, 'run');
  process.env.TEST_DATABASE_URL = server.url;
  process.env.TEST_MASTER_KEY = Buffer.alloc(32, 'latchkey-test').toString('base64');
  await prepareDatabase(server.url, new MasterKey(Buffer.from(process.env.TEST_MASTER_KEY, 'base64')).id);
}
