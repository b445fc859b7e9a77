import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from '@jest/globals';
import { ServerProcess } from '../support/server.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

it("the README's five-minute tour does what it says, command by command as written", async () => {
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
  const tour = readme.slice(readme.indexOf('## Five-minute tour'), readme.indexOf('## The map'));
  const commands = [...tour.matchAll(/```sh\n([^]*?)```/g)].map(([, block]) => block).join('\n');
  expect(commands).toContain('validate-key');

  const dataDir = await mkdtemp(join(tmpdir(), 'latchkey-tour-'));
  await chmod(dataDir, 0o755);
  const environment = { DATA_DIR: dataDir, PORT: '0', LOG_LEVEL: 'warn' };
  const server = await ServerProcess.start(environment);
  try {
    // Where the server is and where its data are; everything else is the reader's own shell.
    const shell = spawn('bash', ['-eu', '-o', 'pipefail', '-c', commands], {
      cwd: ROOT,
      env: { PATH: process.env.PATH, HOME: process.env.HOME, DATA_DIR: dataDir, API: `${server.url}/api/v1` },
    });
    let printed = '';
    let complaints = '';
    shell.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString()));
    shell.stderr.on('data', (chunk: Buffer) => (complaints += chunk.toString()));
    const [code] = (await once(shell, 'close')) as [number];
    expect({ code, complaints: code === 0 ? '' : complaints }).toEqual({ code: 0, complaints: '' });
    expect(printed).toMatch(
      /^Ada's key: ACME(-[0-9A-Z]{4}){6}\nNOT_ACTIVATED\nVALID\neyJ[\w.-]+\n\[ '[\w-]{43}' \]\nactive\n204\n[^]*NOT_ACTIVATED[^]*not valid\nLICENSES  2\n[^]*\nas of .*\nstart,group,value\r\n/,
    );
  } finally {
    await server.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
});
