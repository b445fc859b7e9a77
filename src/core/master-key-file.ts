import { randomBytes } from 'node:crypto';
import { link, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseNotUsable } from './database.js';

/** The embedded set-up's own master key: a file in the data directory, and during a rotation two. */

const FILE = 'master-key';
/** Where the next key lies from the beginning of a rotation until its end. */
const NEXT_FILE = 'master-key.next';

/** What the data directory has. */
export interface KeyFiles {
  /** Seals: the next key as soon as there is one. */
  master: Buffer;
  /** During a rotation, also one that was interrupted: the key before. */
  readable: Buffer[];
  /** Where each lies, the one that seals first. */
  files: string[];
}

/**
 * The keys of a data directory. Where there is none, the first is made, readable by its owner only; with `mayMake` false
 * nothing is.
 * @throws when a file does not hold a key, or is not there and may not be made
 */
export async function readKeyFiles(dataDir: string, mayMake = true): Promise<KeyFiles> {
  // First: what takes the place of the other in between is then still seen here, or there already.
  const nextFile = join(dataDir, NEXT_FILE);
  const next = await readKey(nextFile);
  const file = join(dataDir, FILE);
  if (mayMake && (await readKey(file)) === null) await makeFirstKey(dataDir, file);
  const own = await readKey(file);
  if (own === null) throw new DatabaseNotUsable(`${file} is gone: restore it from a backup.`);
  return next === null ? { master: own, readable: [], files: [file] } : { master: next, readable: [own], files: [nextFile, file] };
}

/** Whether a rotation was begun and has not ended. */
export async function isRotating(dataDir: string): Promise<boolean> {
  return (await readKey(join(dataDir, NEXT_FILE))) !== null;
}

/** Begin a rotation, or go on with one: from here on there is a next key, also after a crash of the machine. */
export async function makeNextKey(dataDir: string): Promise<void> {
  if (await isRotating(dataDir)) return;
  const next = join(dataDir, NEXT_FILE);
  await rename(await writeNewKey(next), next);
  await syncDirectory(dataDir);
}

/** End a rotation: the next key takes the place of the one before. Only when nothing is sealed under that any more. */
export async function swapKeys(dataDir: string): Promise<void> {
  await rename(join(dataDir, NEXT_FILE), join(dataDir, FILE));
  await syncDirectory(dataDir);
}

/** Of two processes at once one makes it: both go on with that one's. */
async function makeFirstKey(dataDir: string, file: string): Promise<void> {
  await mkdir(dataDir, { recursive: true });
  const temporary = await writeNewKey(file);
  try {
    await link(temporary, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    await rm(temporary, { force: true });
  }
  await syncDirectory(dataDir);
}

/** A new key on the disk, whole, in a file of another name: what it is to be called is given to it only then. */
async function writeNewKey(name: string): Promise<string> {
  const temporary = `${name}.${randomBytes(4).toString('hex')}.tmp`;
  const file = await open(temporary, 'wx', 0o600);
  try {
    await file.chmod(0o600);
    await file.writeFile(encoded(randomBytes(32)));
    await file.sync();
  } finally {
    await file.close();
  }
  return temporary;
}

async function readKey(file: string): Promise<Buffer | null> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  });
  if (text === null) return null;
  const key = Buffer.from(text.trim(), 'base64');
  if (key.length !== 32) throw new DatabaseNotUsable(`${file} does not hold 32 bytes in base64: restore it from a backup.`);
  return key;
}

function encoded(key: Buffer): string {
  return `${key.toString('base64')}\n`;
}

/** What was renamed is found under its new name after a crash too. Windows has no such thing, and does it by itself. */
async function syncDirectory(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const directory = await open(path, 'r');
  await directory.sync().finally(() => directory.close());
}
