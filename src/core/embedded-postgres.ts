import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { lstat, readFile, realpath, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { DataDirectoryInUse, EmbeddedPostgresError, exists, give, type Layout, prepareLayout } from './postgres-layout.js';

/**
 * PostgreSQL from npm packages, run by its own tools (`initdb`, `pg_ctl`), for when no DATABASE_URL is set.
 *
 * The server is started in a session of its own, so that Ctrl-C in a terminal reaches only Latchkey, which then stops
 * it after its own work has ended. Who may use a data directory is decided by an advisory lock inside the database:
 * it ends with the process that holds it, however that process ends, so a server left running by a SIGKILL is taken
 * over, while one that another Latchkey is using is refused. See docs/decisions/0003-embedded-postgres.md.
 */

const run = promisify(execFile);

/** Advisory lock held on the `postgres` database by the one process that uses the data directory. */
const IN_USE_LOCK = 7_205_759_403;
const DATABASE = 'latchkey';
const SUPERUSER = 'postgres';
const START_TIMEOUT_SECONDS = 60;
const STOP_TIMEOUT_SECONDS = 5;

/** A running embedded database. `stop` is for the process that started or took it over. */
export class EmbeddedPostgres {
  private stopping = false;

  private constructor(
    private readonly layout: Layout,
    private readonly port: number,
    private lock: pg.Client,
    /** Whether `start` had to make it. */
    readonly isNew: boolean,
  ) {}

  /** Connection string of Latchkey's database, as the cluster's superuser. */
  get url(): string {
    return urlOf(this.layout.password, this.port, DATABASE);
  }

  /**
   * Start the database in `dataDir`, making it first when it is not there, and hold it for this process. It listens on
   * `wantedPort` of the loopback address, or on any free one.
   * @throws EmbeddedPostgresError when another process uses the directory or PostgreSQL cannot run here.
   */
  static async start(dataDir: string, wantedPort?: number): Promise<EmbeddedPostgres> {
    const layout = await prepareLayout(dataDir);
    const isNew = await initialise(layout);
    const port = (await runningPort(layout)) ?? (await startServer(layout, wantedPort ?? (await freePort())));
    const lock = await holdLock(layout, port, dataDir);
    await createDatabase(layout, port);
    const embedded = new EmbeddedPostgres(layout, port, lock, isNew);
    embedded.supervise();
    return embedded;
  }

  /** Whether a database was made in `dataDir`, running or not; a directory that may not be entered counts as one. */
  static isThere(dataDir: string): Promise<boolean> {
    return lstat(join(dataDir, 'postgres', 'data')).then(
      () => true,
      (error: unknown) => !['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? ''),
    );
  }

  /** The database in `dataDir` when another process runs it (for the command line), else null. */
  static async attach(dataDir: string): Promise<{ url: string } | null> {
    const home = await realpath(join(dataDir, 'postgres')).catch(() => null);
    if (home === null) return null;
    const password = await readFile(join(dataDir, 'postgres-password'), 'utf8');
    const layout = { bin: '', home, owner: {}, password };
    const port = await runningPort(layout);
    if (port === null) return null;
    await createDatabase(layout, port);
    return { url: urlOf(password, port, DATABASE) };
  }

  /** Stop the server after the last client of this process has gone; idempotent. */
  async stop(): Promise<void> {
    if (this.stopping) return;
    this.stopping = true;
    await this.lock.end().catch(() => undefined);
    await pgCtl(this.layout, ['stop', '-m', 'fast', '-w', '-t', String(STOP_TIMEOUT_SECONDS)]);
  }

  /** A server that dies under us is started again on the same port, where the pools will find it. */
  private supervise(): void {
    this.lock.once('end', () => {
      if (!this.stopping) void this.restart();
    });
    this.lock.on('error', () => undefined);
  }

  private async restart(): Promise<void> {
    while (!this.stopping) {
      try {
        if ((await runningPort(this.layout)) === null) await startServer(this.layout, this.port);
        this.lock = await holdLock(this.layout, this.port, this.layout.home);
        this.supervise();
        return;
      } catch {
        await new Promise((wake) => setTimeout(wake, 1000).unref());
      }
    }
  }
}

function urlOf(password: string, port: number, database: string): string {
  return `postgresql://${SUPERUSER}:${password}@127.0.0.1:${String(port)}/${database}`;
}

/** Make the cluster when there is none; it appears under its name only when it is complete. True when it was made. */
async function initialise(layout: Layout): Promise<boolean> {
  const data = join(layout.home, 'data');
  if (await exists(join(data, 'PG_VERSION'))) return false;
  const attempt = randomBytes(4).toString('hex');
  const temporary = join(layout.home, `data.${attempt}`);
  const passwordFile = join(layout.home, `password.${attempt}`);
  await writeFile(passwordFile, layout.password, { mode: 0o600 });
  await give(passwordFile, layout.owner);
  try {
    const args = ['-D', temporary, '-U', SUPERUSER, '--pwfile', passwordFile, '-A', 'scram-sha-256', '-E', 'UTF8', '--locale=C'];
    await tool(layout, 'initdb', args);
  } finally {
    await rm(passwordFile, { force: true });
  }
  // Another process that got here first has won; its cluster is as good as ours.
  await rename(temporary, data).catch(async () => rm(temporary, { recursive: true, force: true }));
  return true;
}

async function startServer(layout: Layout, port: number): Promise<number> {
  const settings = [
    `-p ${String(port)}`,
    '-c listen_addresses=127.0.0.1',
    '-c unix_socket_directories=',
    '-c max_connections=200',
    '-c shared_buffers=256MB',
  ].join(' ');
  const log = join(layout.home, 'postgres.log');
  try {
    await pgCtl(layout, ['start', '-w', '-t', String(START_TIMEOUT_SECONDS), '-l', log, '-o', settings]);
    return port;
  } catch (error) {
    // Two processes that start at once: the other's server is running now, and the lock decides whose it is.
    const running = await runningPort(layout);
    if (running !== null) return running;
    const tail = await readFile(log, 'utf8').catch(() => '');
    throw new EmbeddedPostgresError(`The embedded PostgreSQL did not start: ${String(error)}\n${tail.split('\n').slice(-15).join('\n')}`);
  }
}

/** The port of the server that runs on this cluster, by its own pid file; null when none answers. */
async function runningPort(layout: Layout): Promise<number | null> {
  const pidFile = await readFile(join(layout.home, 'data', 'postmaster.pid'), 'utf8').catch(() => '');
  const port = Number(pidFile.split('\n')[3]);
  if (!Number.isInteger(port) || port === 0) return null;
  const client = new pg.Client({ connectionString: urlOf(layout.password, port, 'postgres'), connectionTimeoutMillis: 5000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    // A stale pid file may name a port that some other cluster has now: ours knows our directory.
    const { rows } = await client.query<{ data_directory: string }>('SHOW data_directory');
    return rows[0]?.data_directory === join(layout.home, 'data') ? port : null;
  } catch {
    return null;
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function holdLock(layout: Layout, port: number, dataDir: string): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: urlOf(layout.password, port, 'postgres'),
    application_name: 'latchkey data directory lock',
    keepAlive: true,
  });
  await client.connect();
  const { rows } = await client.query<{ held: boolean }>('SELECT pg_try_advisory_lock($1) AS held', [IN_USE_LOCK]);
  if (rows[0]?.held === true) return client;
  await client.end();
  throw new DataDirectoryInUse(
    `The data directory ${dataDir} is in use by another Latchkey process. Stop it, or set DATA_DIR to another directory.`,
  );
}

async function createDatabase(layout: Layout, port: number): Promise<void> {
  const client = new pg.Client({ connectionString: urlOf(layout.password, port, 'postgres') });
  await client.connect();
  try {
    const { rowCount } = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [DATABASE]);
    // Another process that looks at the same moment makes it just as well.
    if (rowCount === 0) await client.query(`CREATE DATABASE ${DATABASE}`).catch(ignoreDuplicate);
  } finally {
    await client.end();
  }
}

function pgCtl(layout: Layout, args: string[]): Promise<void> {
  return tool(layout, 'pg_ctl', ['-D', join(layout.home, 'data'), ...args]);
}

async function tool(layout: Layout, name: string, args: string[]): Promise<void> {
  // Not the caller's environment: PG* variables in it would redirect the tools, and the server keeps what it starts with.
  const env = { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC', SystemRoot: process.env.SystemRoot };
  await run(join(layout.bin, name), args, { ...layout.owner, cwd: layout.home, env });
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((ready, failed) => server.once('error', failed).listen(0, '127.0.0.1', ready));
  const address = server.address();
  await new Promise((closed) => server.close(closed));
  if (address === null || typeof address === 'string') throw new Error('no TCP port was given');
  return address.port;
}

/** duplicate_database, or the unique index that two of them meet at */
function ignoreDuplicate(error: { code?: string }): void {
  if (error.code !== '42P04' && error.code !== '23505') throw error as Error;
}
