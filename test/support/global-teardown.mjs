import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { findLeaks } from './redaction.mjs';

/** Fails the run when a secret of any of its tests was logged, or is stored as it is. */
export default async function tearDown() {
  const { server, dataDir } = globalThis.latchkeyDatabase;
  const leaks = await findLeaks({
    databaseUrl: server.url,
    runDirectory: process.env.TEST_RUN_DIR,
    logs: [join(dataDir, 'postgres', 'postgres.log')],
    secrets: [process.env.TEST_MASTER_KEY],
  }).finally(async () => {
    await server.stop();
    await rm(dataDir, { recursive: true, force: true });
  });
  if (leaks.length > 0) throw new Error(`Secrets were found where none may be:\n${leaks.map((leak) => `  ${leak}`).join('\n')}`);
}
