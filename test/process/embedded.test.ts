import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, chmod, mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { anyone, send, withKey } from '../support/client.js';
import { ServerProcess } from '../support/server.js';
import { unlimited } from '../support/settings.js';

const DEMO_KEY = /DEMO(-[0-9A-Z]{4}){6}/;

/** Starts on nothing but Node: what they need of a machine, and of the user that they run as, is what these tests show. */
describe('on nothing but Node: the embedded database', () => {
  let home: string;
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'latchkey-embedded-'));
    await chmod(home, 0o755);
  });
  // What a killed PostgreSQL leaves behind may write for a moment more.
  afterAll(() => rm(home, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 }));

  const embedded = (directory: string): Record<string, string> => ({
    ...unlimited(),
    DATA_DIR: join(home, directory),
    PORT: '0',
    LOG_LEVEL: 'warn',
  });
  const pidFile = (directory: string): string => join(home, directory, 'postgres/data/postmaster.pid');
  const databaseRuns = (directory: string): Promise<boolean> =>
    access(pidFile(directory)).then(
      () => true,
      () => false,
    );
  const demoKeyOf = (server: ServerProcess): string => DEMO_KEY.exec(server.output)![0];
  const isValid = async (server: ServerProcess, key: string): Promise<boolean> =>
    (await anyone(server.url).post('/licenses/validate-key', { key })).body.data.valid;

  describe('one data directory, from its first server on', () => {
    let first: ServerProcess;
    let demoKey: string;
    let latest: ServerProcess;
    /** The server on the directory: started again where a test before has ended it. */
    const running = async (): Promise<ServerProcess> => {
      const { exitCode, signalCode } = latest.child;
      if (exitCode !== null || signalCode !== null) latest = await ServerProcess.start(embedded('data'));
      return latest;
    };
    beforeAll(async () => {
      const blocker = await busyPort(5432);
      first = latest = await ServerProcess.start(embedded('data'));
      blocker.close();
      demoKey = demoKeyOf(first);
    });
    afterAll(() => latest.stop());

    it('comes up, port 5432 being busy, with a demo account, whose printed keys work and whose printed command validates', async () => {
      expect(await isValid(first, demoKey)).toBe(true);
      const liveKey = /lk_live_\w+/.exec(first.output)![0];
      expect((await withKey(first.url, liveKey).get('/api-keys/current')).body.data).toMatchObject({
        environment: 'live',
        account: { slug: 'demo' },
      });

      const command = /curl -s .*/.exec(first.output)![0];
      const curl = spawn('/bin/sh', ['-c', command]);
      let printed = '';
      curl.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString()));
      await once(curl, 'close');
      expect(JSON.parse(printed)).toMatchObject({ data: { valid: true, code: 'VALID' } });
    });

    it('refuses a data directory that another process uses, and leaves that one alone', async () => {
      const server = await running();
      await expect(ServerProcess.start(embedded('data'))).rejects.toThrow(/exited with 1:[^]*is in use by another Latchkey process/);
      expect(await isValid(server, demoKey)).toBe(true);
    });

    it('says which port is taken, stops its database again, and makes no demo account when told not to', async () => {
      const { port } = new URL((await running()).url);
      const other = { ...embedded('other'), SEED_DEMO: 'false' };
      await expect(ServerProcess.start({ ...other, PORT: port })).rejects.toThrow(/the port is in use/);
      expect(await databaseRuns('other')).toBe(false);
      const server = await ServerProcess.start(other);
      await server.stop();
      expect(server.output).not.toContain('lk_live_');
    });

    it('starts its database again when that is killed under it', async () => {
      const server = await running();
      const postmaster = spawn('/bin/sh', ['-c', `kill -9 $(head -1 ${pidFile('data')})`]);
      await once(postmaster, 'close');
      await until(async () => (await send(server.url, 'GET', '/health/ready')).status === 200 && isValid(server, demoKey));
      expect(server.child.exitCode).toBeNull();
    });

    it('stops cleanly, its database too, while a client never finishes its request', async () => {
      const server = await running();
      const slow = connect(Number(new URL(server.url).port), '127.0.0.1');
      slow.on('error', () => undefined);
      slow.write(
        'POST /api/v1/licenses/validate-key HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{',
      );
      await once(slow, 'connect');
      expect(await server.stop('SIGTERM')).toBe(0);
      expect(await databaseRuns('data')).toBe(false);
      slow.destroy();
    });

    it('finds everything again after a stop, says nothing secret twice, and exits 0', async () => {
      await latest.stop();
      const second = await running();
      expect(await isValid(second, demoKey)).toBe(true);
      expect(second.output).not.toMatch(/lk_live_|DEMO-/);
      expect(await second.stop('SIGINT')).toBe(0);
    });

    it('finds everything again after SIGKILL, taking over the database that was left running', async () => {
      await (await running()).stop('SIGKILL');
      expect(await databaseRuns('data')).toBe(true);
      expect(await isValid(await running(), demoKey)).toBe(true);
    });
  });

  it('stops cleanly, its database too, when it is told to in the middle of its start', async () => {
    const main = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
    const child = spawn(process.execPath, [main], { env: { PATH: process.env.PATH, ...embedded('started') }, stdio: 'ignore' });
    const exited = once(child, 'exit') as Promise<[number | null]>;
    await until(() => databaseRuns('started'));
    child.kill('SIGTERM');
    expect((await exited)[0]).toBe(0);
    expect(await databaseRuns('started')).toBe(false);
  });

  it('refuses a .env with a name that is no setting', async () => {
    await writeFile(join(home, '.env'), 'PROT=4000\n');
    await expect(ServerProcess.start(embedded('data'), { cwd: home })).rejects.toThrow(/PROT: is no setting of Latchkey/);
  });

  const isRoot = process.getuid?.() === 0;
  (isRoot ? describe : describe.skip)('of root', () => {
    let server: ServerProcess | undefined;
    afterEach(() => server?.stop());

    it('keeps its data reachable for the user that PostgreSQL runs as when a 0700 home hides it from everyone but root', async () => {
      await mkdir(join(home, 'hidden'));
      await chmod(join(home, 'hidden'), 0o700);
      server = await ServerProcess.start(embedded('hidden/data'));
      const key = demoKeyOf(server);
      await server.stop();
      server = await ServerProcess.start(embedded('hidden/data'));
      expect(await isValid(server, key)).toBe(true);
      await server.stop();
      // It lies elsewhere, behind a link.
      await rm(await realpath(join(home, 'hidden/data/postgres')), { recursive: true });
    });
  });
});

/** Busy already is just as good. */
async function busyPort(port: number): Promise<Server> {
  const server = createServer();
  await new Promise<void>((done) => {
    server.once('error', () => {
      done();
    });
    server.listen(port, '127.0.0.1', () => {
      done();
    });
  });
  return server;
}

/** Ask again until it is so; the test's own time limit ends it. */
async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition().catch(() => false))) await new Promise((wake) => setTimeout(wake, 50));
}
