import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { makeNextKey, readKeyFiles, swapKeys } from './master-key-file.js';

describe('the master key of a data directory', () => {
  let home: string;
  let dataDir: string;
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'latchkey-key-file-'));
    dataDir = join(home, 'data');
  });
  afterEach(() => rm(home, { recursive: true, force: true }));

  it('is made once by all who look for it at once, for its owner only, and leaves nothing else behind', async () => {
    const found = await Promise.all(Array.from({ length: 20 }, () => readKeyFiles(dataDir)));
    expect(new Set(found.map(({ master }) => master.toString('hex'))).size).toBe(1);
    expect(await readKeyFiles(dataDir)).toEqual(found[0]);
    expect(await readdir(dataDir)).toEqual(['master-key']);
    expect((await stat(join(dataDir, 'master-key'))).mode & 0o777).toBe(0o600);
  });

  it('is not made for those who only look', async () => {
    await expect(readKeyFiles(dataDir, false)).rejects.toThrow(/master-key is gone/);
    expect(await readdir(home)).toEqual([]);
  });

  it('is readable beside the next one until that takes its place', async () => {
    const first = await readKeyFiles(dataDir);
    await makeNextKey(dataDir);
    const during = await readKeyFiles(dataDir);
    expect(during.readable).toEqual([first.master]);
    await makeNextKey(dataDir);
    expect(await readKeyFiles(dataDir)).toEqual(during);
    expect((await stat(join(dataDir, 'master-key.next'))).mode & 0o777).toBe(0o600);
    await swapKeys(dataDir);
    expect(await readKeyFiles(dataDir)).toEqual({ master: during.master, readable: [], files: [join(dataDir, 'master-key')] });
    expect(await readdir(dataDir)).toEqual(['master-key']);
  });
});
