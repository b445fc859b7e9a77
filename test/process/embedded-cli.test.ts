import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { withKey } from '../support/client.js';
import { latchkey, latchkeyProcess } from '../support/command-line.js';
import { ServerProcess } from '../support/server.js';

describe('the command line on the embedded database', () => {
  let home: string;
  let server: ServerProcess | undefined;
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'latchkey-cli-'));
    // The user that PostgreSQL runs as has to get in.
    await chmod(home, 0o755);
  });
  afterEach(async () => {
    await server?.stop();
    await rm(home, { recursive: true, force: true });
  });

  it('works before the first start, and beside a server that runs on the same directory', async () => {
    const environment = { DATA_DIR: join(home, 'data') };
    // Whoever only looks makes nothing: a folder that was not meant would just look empty.
    for (const command of [
      ['db', 'status'],
      ['master-key', 'status'],
      ['master-key', 'rotate'],
      ['accounts', 'list'],
    ]) {
      expect(await latchkey(command, environment)).toMatchObject({
        code: 1,
        stdout: '',
        stderr: expect.stringContaining(`error: There is no database in ${environment.DATA_DIR}.`),
      });
    }
    expect(await readdir(home)).toEqual([]);

    expect(await latchkeyProcess(['db', 'migrate'], environment)).toMatchObject({
      code: 0,
      stderr: `using a new database in ${environment.DATA_DIR}\n`,
      stdout: expect.stringMatching(/^applied {2}\d+_initial\n/),
    });
    const create = ['accounts', 'create', '--name', 'First', '--slug', 'first', '--email', 'first@example.com', '--json'];
    const created = await latchkeyProcess(create, environment);
    expect(created).toMatchObject({ code: 0, stderr: '' });

    // It would be refused if a command still held the directory.
    server = await ServerProcess.start({ ...environment, PORT: '0' });
    const works = async (key: string): Promise<unknown> =>
      (await withKey(server!.url, key).get('/api-keys/current')).body.data.account.slug;
    expect(await works(JSON.parse(created.stdout).apiKeys.live.key)).toBe('first');
    const key = await latchkeyProcess(
      ['keys', 'create', '--account', 'first', '--environment', 'test', '--name', 'second', '--quiet'],
      environment,
    );
    expect(await works(key.stdout.trim())).toBe('first');
    const status = await latchkeyProcess(['db', 'status', '--json'], environment);
    expect(status).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(status.stdout)).toMatchObject({ applied: await migrations(), pending: [], failed: [] });
    expect(await server.stop()).toBe(0);
  });
});

async function migrations(): Promise<string[]> {
  const entries = await readdir(new URL('../../prisma/migrations/', import.meta.url), { withFileTypes: true });
  return entries
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .sort();
}
