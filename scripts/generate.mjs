import { execFileSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

/**
 * Prisma's client, when the schema is newer than it. The command line of Prisma looks for a native schema engine that
 * it would download, and that generating does not use: any executable file in its place will do.
 */
const root = new URL('../', import.meta.url);
const client = new URL('src/generated/prisma/client.ts', root);
const inputs = ['prisma/schema.prisma', 'package-lock.json'].map((path) => new URL(path, root));
const isFresh = existsSync(client) && inputs.every((input) => !existsSync(input) || statSync(input).mtimeMs < statSync(client).mtimeMs);

if (!isFresh) {
  const prisma = createRequire(import.meta.url).resolve('prisma/build/index.js');
  execFileSync(process.execPath, [prisma, 'generate'], {
    cwd: fileURLToPath(root),
    env: { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath, CHECKPOINT_DISABLE: '1', PRISMA_HIDE_UPDATE_MESSAGE: '1' },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}
