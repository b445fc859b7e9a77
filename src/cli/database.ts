import { resolve } from 'node:path';
import type { Config } from '../core/config.js';
import { databaseStatus, prepareDatabase } from '../core/migrate.js';
import { type OpenDatabase, readConfig, visitDatabase, visitExisting } from '../core/open-database.js';
import { fields, type Outcome, REFUSED } from './output.js';

const INTERRUPTED = 130;

/** Open the database of the settings for the time of `work`; an embedded one is stopped again if it was started here. */
export async function withDatabase<T>(
  work: (database: OpenDatabase, config: Config) => Promise<T>,
  open: (config: Config) => Promise<OpenDatabase> = visitDatabase,
): Promise<T> {
  const config = readConfig();
  const opening = open(config);
  // The embedded database does not hear Ctrl-C: it would be left running.
  const interrupt = (): void => void opening.then((database) => database.close()).finally(() => process.exit(INTERRUPTED));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, interrupt);
  try {
    const database = await opening;
    // In a folder that was not meant, everything would just look empty.
    if (database.isNew) process.stderr.write(`using a new database in ${resolve(config.dataDir)}\n`);
    return await work(database, config).finally(() => tidy(database.close()));
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, interrupt);
  }
}

/** What the work answered, perhaps a secret that is shown once, must not be lost to a fault in closing. */
export async function tidy(closing: Promise<void>): Promise<void> {
  await closing.catch((error: unknown) => {
    process.stderr.write(`warning: not everything could be closed: ${String(error)}\n`);
  });
}

/** `db migrate` */
export function migrate(): Promise<Outcome> {
  return withDatabase(async ({ url, masterKey }) => {
    const { applied } = await prepareDatabase(url, masterKey);
    const text = applied.length === 0 ? 'The database is up to date.' : applied.map((name) => `applied  ${name}`).join('\n');
    return { document: { applied }, text };
  });
}

/** `db status`: refused when a server of this version would have to migrate, or could not start. */
export function status(): Promise<Outcome> {
  return withDatabase(async ({ url }) => {
    const { applied, pending, failed, edited, unknown } = await databaseStatus(url);
    const named = (state: string, names: string[]) => names.map((name): [string, string] => [state, name]);
    const states = [
      ...named('applied', applied),
      ...named('edited since', edited),
      ...named('pending', pending),
      ...named('failed', failed),
      ...named('of a newer version', unknown),
    ];
    const isReady = pending.length + failed.length + unknown.length === 0;
    return { document: { applied, pending, failed, edited, unknown }, text: fields(states), exitCode: isReady ? 0 : REFUSED };
  }, visitExisting);
}
