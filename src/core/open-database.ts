import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseEnv } from 'node:util';
import { type Config, ConfigError, loadConfig } from './config.js';
import { EmbeddedPostgres } from './embedded-postgres.js';
import { MasterKey } from './master-key.js';
import { isRotating, makeNextKey, readKeyFiles } from './master-key-file.js';
import { DatabaseNotUsable } from './database.js';
import { prepareDatabase } from './migrate.js';
import { DataDirectoryInUse, EmbeddedPostgresError } from './postgres-layout.js';

/** The way from the environment to a database, which the server and the command line have in common. */

/** A database to connect to, and the key that its secrets are kept with. */
export interface OpenDatabase {
  url: string;
  /** As the settings and the data directory say; `prepareDatabase` answers with the one to work with. */
  masterKey: MasterKey;
  /** Whether it is the embedded one. */
  embedded: boolean;
  /** Whether it was made just now, there being none. */
  isNew: boolean;
  /** After the last connection has ended: stops what was started for this process. */
  close: () => Promise<void>;
}

/**
 * The settings of this process: its environment, and `.env` where that says nothing.
 * @throws ConfigError
 */
export function readConfig(): Config {
  const file = existsSync('.env') ? parseEnv(readFileSync('.env', 'utf8')) : {};
  return loadConfig(process.env, file);
}

/**
 * The database of the settings; the embedded one is started, and held for this process alone.
 * @throws EmbeddedPostgresError
 */
export async function openDatabase(config: Config): Promise<OpenDatabase> {
  const masterKey = await masterKeyOf(config);
  if (config.databaseUrl !== undefined)
    return { url: config.databaseUrl, masterKey, embedded: false, isNew: false, close: () => Promise.resolve() };
  const server = await EmbeddedPostgres.start(config.dataDir);
  return { url: server.url, masterKey, embedded: true, isNew: server.isNew, close: () => server.stop() };
}

/**
 * The same for a short visit: an embedded database that another process runs is used beside it and left running.
 * @throws EmbeddedPostgresError
 */
export async function visitDatabase(config: Config): Promise<OpenDatabase> {
  if (config.databaseUrl !== undefined) return openDatabase(config);
  const running = await attach(config);
  if (running !== null) return running;
  try {
    return await openDatabase(config);
  } catch (error) {
    // Another process may have been quicker to start it.
    const startedMeanwhile = await attach(config);
    if (startedMeanwhile === null) throw error;
    return startedMeanwhile;
  }
}

/**
 * The same for who only looks, or works on what is there: makes no database and no key where there is none.
 * @throws DatabaseNotUsable
 * @throws EmbeddedPostgresError
 */
export async function visitExisting(config: Config): Promise<OpenDatabase> {
  await requireExisting(config);
  return visitDatabase(config);
}

/** In a folder that was not meant nothing is made, and nothing looks empty. */
async function requireExisting(config: Config): Promise<void> {
  if (config.databaseUrl !== undefined) return;
  if (!(await EmbeddedPostgres.isThere(config.dataDir))) {
    throw new DatabaseNotUsable(
      `There is no database in ${resolve(config.dataDir)}. Set DATA_DIR to the one that is meant, or make one: start the server, or run "latchkey db migrate".`,
    );
  }
  if (config.masterKey === undefined) await readKeyFiles(config.dataDir, false);
}

/** Whether the master key lies in the data directory, and is Latchkey's own to replace. */
export function keepsOwnKey(config: Config): boolean {
  return config.databaseUrl === undefined && config.masterKey === undefined;
}

/**
 * The database of the settings, and the key that it is to go over to. Where Latchkey keeps that key itself, the next one is
 * made here, once the data directory is held: a running server would not know it.
 * @throws EmbeddedPostgresError
 */
export async function openForRotation(config: Config): Promise<OpenDatabase> {
  if (!keepsOwnKey(config)) return visitExisting(config);
  await requireExisting(config);
  const opened = await openDatabase(config).catch((error: unknown) => {
    throw error instanceof DataDirectoryInUse ? new EmbeddedPostgresError(stopFirst(config.dataDir)) : error;
  });
  try {
    // A key that this database does not know, or no more, has no next one.
    if (!(await isRotating(config.dataDir))) await prepareDatabase(opened.url, opened.masterKey);
    await makeNextKey(config.dataDir);
    return { ...opened, masterKey: await masterKeyOf(config) };
  } catch (error) {
    await opened.close();
    throw error;
  }
}

function stopFirst(dataDir: string): string {
  return `The server on ${dataDir} would not know the new master key. Stop it, run "latchkey master-key rotate", and start it again.`;
}

/** What the operator can mend, a line for each; null for a fault of the program. */
export function operatorProblems(error: unknown): string[] | null {
  if (error instanceof ConfigError) return error.problems;
  return error instanceof EmbeddedPostgresError || error instanceof DatabaseNotUsable ? [error.message] : null;
}

async function attach(config: Config): Promise<OpenDatabase | null> {
  const running = await EmbeddedPostgres.attach(config.dataDir);
  if (running === null) return null;
  return { url: running.url, masterKey: await masterKeyOf(config), embedded: true, isNew: false, close: () => Promise.resolve() };
}

async function masterKeyOf(config: Config): Promise<MasterKey> {
  const { master, readable, files } =
    config.masterKey === undefined ? await readKeyFiles(config.dataDir) : { master: config.masterKey, readable: [], files: ['MASTER_KEY'] };
  return new MasterKey(master, { readable: [...readable, ...config.masterKeysReadable], names: files });
}
