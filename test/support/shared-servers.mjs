import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const POLL_MS = 50;

/**
 * The built server, once for each of Jest's workers and for the whole run: what a test file would start alike, and each
 * cold. What it logs is kept with the run. Tests find theirs by `sharedServer()`.
 */
export async function startSharedServers(count, environment, runDirectory) {
  mkdirSync(runDirectory, { recursive: true });
  return Promise.all(Array.from({ length: count }, (_, index) => startOne(environment, join(runDirectory, `log-shared-${index + 1}.txt`))));
}

export async function stopSharedServers(servers) {
  await Promise.all(
    servers.map(async ({ child }) => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      await exited;
    }),
  );
}

async function startOne(environment, log) {
  const output = openSync(log, 'a');
  const child = spawn(process.execPath, [MAIN], {
    env: { PATH: process.env.PATH, ...environment },
    stdio: ['ignore', output, output],
  });
  closeSync(output);
  for (;;) {
    const printed = readFileSync(log, 'utf8');
    const [, url] = /Latchkey is ready at (\S+)/.exec(printed) ?? [];
    if (url !== undefined) return { child, url };
    if (child.exitCode !== null) throw new Error(`the server exited with ${child.exitCode}:\n${printed}`);
    await delay(POLL_MS);
  }
}
