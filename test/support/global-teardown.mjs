import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { findLeaks } from './redaction.mjs';
import { stopSharedServers } from './shared-servers.mjs';

/** Fails the run when a secret of any of its tests was logged, or is stored as it is. */
export default async function tearDown() {
  const { database, dataDir, servers, secrets } = globalThis.latchkeyRun;
  await stopSharedServers(servers);
  const leaks = await findLeaks({
    databaseUrl: database.url,
    runDirectory: process.env.TEST_RUN_DIR,
    logs: [join(dataDir, 'postgres', 'postgres.log')],
    secrets,
  }).finally(async () => {
    await database.stop();
    await rm(dataDir, { recursive: true, force: true });
  });
  if (leaks.length > 0) throw new Error(`Secrets were found where none may be:\n${leaks.map((leak) => `  ${leak}`).join('\n')}`);
}
