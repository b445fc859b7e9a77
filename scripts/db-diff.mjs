import { EmbeddedPostgres } from '../dist/core/embedded-postgres.js';
import { pendingDiff } from '../dist/core/schema-engine.js';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** `npm run db:diff -- <name>`: the SQL from the migrations to schema.prisma, as the next migration. */
const name = process.argv[2] ?? 'change';
if (!/^[a-z0-9_]+$/.test(name)) {
  process.stderr.write('usage: npm run db:diff -- <name in lower case letters, digits and _>\n');
  process.exit(2);
}
const dataDir = await mkdtemp(join(tmpdir(), 'latchkey-diff-'));
// As root, PostgreSQL runs as another user, who would not come into a directory of mode 0700.
await chmod(dataDir, 0o755);
const database = process.env.DATABASE_URL ? null : await EmbeddedPostgres.start(dataDir);
try {
  const sql = await pendingDiff(process.env.DATABASE_URL ?? database.url);
  if (sql === '') {
    process.stdout.write('schema.prisma and the migrations agree.\n');
  } else {
    const stamp = new Date().toISOString().replace(/\D/g, '').slice(0, 14);
    const folder = join('prisma', 'migrations', `${stamp}_${name}`);
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'migration.sql'), `${sql}\n`);
    process.stdout.write(
      `${folder}/migration.sql was written. Read it, and add what the schema cannot say: row-level security, policies, grants.\n`,
    );
  }
} finally {
  await database?.stop();
  await rm(dataDir, { recursive: true, force: true });
}
