import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

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
}

/**
 * The keys of a data directory; the first is made when there is none, readable by its owner only.
 * @throws when a file does not hold a key
 */
export async function readKeyFiles(dataDir: string): Promise<KeyFiles> {
  // First: what takes the place of the other in between is then still seen here, or there already.
  const next = await readKey(join(dataDir, NEXT_FILE));
  const file = join(dataDir, FILE);
  await mkdir(dataDir, { recursive: true });
  try {
    await writeFile(file, encoded(randomBytes(32)), { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const own = await readKey(file);
  if (own === null) throw new Error(`${file} is gone: restore it from a backup.`);
  return next === null ? { master: own, readable: [] } : { master: next, readable: [own] };
}

/** Whether a rotation was begun and has not ended. */
export async function isRotating(dataDir: string): Promise<boolean> {
  return (await readKey(join(dataDir, NEXT_FILE))) !== null;
}

/** Begin a rotation, or go on with one: from here on there is a next key, also after a crash of the machine. */
export async function makeNextKey(dataDir: string): Promise<void> {
  if (await isRotating(dataDir)) return;
  const next = join(dataDir, NEXT_FILE);
  // It appears under its name only when it is complete.
  const temporary = `${next}.tmp`;
  const file = await open(temporary, 'w', 0o600);
  try {
    await file.chmod(0o600);
    await file.writeFile(encoded(randomBytes(32)));
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, next);
  await syncDirectory(dataDir);
}

/** End a rotation: the next key takes the place of the one before. Only when nothing is sealed under that any more. */
export async function swapKeys(dataDir: string): Promise<void> {
  await rename(join(dataDir, NEXT_FILE), join(dataDir, FILE));
  await syncDirectory(dataDir);
}

async function readKey(file: string): Promise<Buffer | null> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  });
  if (text === null) return null;
  const key = Buffer.from(text.trim(), 'base64');
  if (key.length !== 32) throw new Error(`${file} does not hold 32 bytes in base64: restore it from a backup.`);
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
