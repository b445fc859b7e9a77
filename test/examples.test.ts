import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { eventually } from './support/eventually.js';
import { freePort } from './support/redis.js';
import { ServerProcess } from './support/server.js';
import { testEnvironment } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

/** The app that people copy, as a process, against a server that is stopped and started again. */

const APP = fileURLToPath(new URL('../examples/desktop-app/app.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'latchkey-example-'));
const DAY_MS = 86_400_000;
const PROMPT = '> type, export, check or quit';

/** The app on a computer of its own: its folder, its fingerprint, and its clock. */
class Computer {
  constructor(
    readonly name: string,
    readonly vendor = 'vendor.json',
  ) {}

  start(args: string[] = [], clockMs = 0): App {
    const shifted = `const now = Date.now; Date.now = () => now() + ${String(clockMs)};`;
    const env = {
      PATH: process.env.PATH ?? '',
      ACME_HOME: join(folder, this.name),
      ACME_VENDOR: join(folder, this.vendor),
      LATCHKEY_FINGERPRINT: `fingerprint-of-${this.name}`,
    };
    const preload = clockMs === 0 ? [] : ['--import', `data:text/javascript,${encodeURIComponent(shifted)}`];
    return new App(spawn(process.execPath, [...preload, APP, ...args], { env, stdio: ['pipe', 'pipe', 'pipe'] }));
  }

  /** All that it says while these lines are typed, and then quit. */
  async says(typed: string[], clockMs = 0): Promise<string> {
    const app = this.start([], clockMs);
    for (const line of typed) await app.type(line);
    // Typed ahead where nothing was waited for: it is read when the app asks.
    return app.end('quit');
  }

  async run(...args: string[]): Promise<string> {
    const app = this.start(args);
    await app.ended;
    return app.said;
  }
}

class App {
  said = '';
  readonly ended: Promise<unknown>;

  constructor(private readonly child: ChildProcess) {
    child.stdout!.on('data', (chunk: Buffer) => (this.said += chunk.toString()));
    child.stderr!.on('data', (chunk: Buffer) => (this.said += chunk.toString()));
    this.ended = once(child, 'close');
  }

  /** Types a line and waits until the app asks for the next one; answers what it said in between. */
  async type(line: string): Promise<string> {
    const from = await this.prompted(0);
    this.child.stdin!.write(`${line}\n`);
    await this.prompted(from);
    return this.said.slice(from);
  }

  /** Types the last line; answers all that it has said. */
  async end(line: string): Promise<string> {
    this.child.stdin!.end(`${line}\n`);
    await this.ended;
    return this.said;
  }

  /** Where it ends what it has said, once that is a question behind `from`. */
  private prompted(from: number): Promise<number> {
    return eventually(
      () => Promise.resolve(/(license key:|quit)\n$/.test(this.said) ? this.said.length : -1),
      (length) => length > from,
    );
  }
}

describe('examples/desktop-app', () => {
  const adas = new Computer('adas-laptop');
  const bobs = new Computer('bobs-laptop');
  const eves = new Computer('eves-laptop');
  let environment: Record<string, string>;
  let server: ServerProcess;
  let vendor: Vendor;
  let license: { id: string; key: string };

  beforeAll(async () => {
    environment = { ...testEnvironment(), PORT: String(await freePort()) };
    server = await ServerProcess.start(environment);
    vendor = await Vendor.signUp(server.url);
    await vendor.entitlement('export-pdf');
    const { id: productId } = await vendor.product({ code: 'acme-editor' });
    license = await vendor.licenseUnder({ productId, offlineAllowed: true, offlineMaxDays: 14, maxMachines: 2, requireHeartbeat: true });
    expectStatus(await vendor.api.post(`/licenses/${license.id}/entitlements`, { codes: ['export-pdf'] }), 200);
    const account = vendor.account.id;
    const keys = await fetch(`${server.url}/.well-known/jwks.json?account=${account}&environment=live`).then((reply) => reply.json());
    writeFileSync(join(folder, 'vendor.json'), JSON.stringify({ baseUrl: server.url, account, environment: 'live', keys }));
  });

  afterAll(async () => {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it('asks for the key once, takes a seat, obeys a refusal at once, and comes back when it is taken back', async () => {
    const app = adas.start();
    expect(await app.type(license.key.toLowerCase())).toBe(`Licensed (VALID).\n${PROMPT}\n`);
    expect(await app.type('export')).toContain('Exported.');
    expectStatus(await vendor.api.post(`/licenses/${license.id}/suspend`, {}), 200);
    expect(await app.type('check')).toContain('Not licensed (SUSPENDED).');
    expect(await app.type('type')).toContain('Read-only');
    expectStatus(await vendor.api.post(`/licenses/${license.id}/reinstate`, {}), 200);
    expect(await app.type('check')).toContain('Licensed (VALID).');
    await app.end('quit');
    const { body } = await vendor.api.get(`/machines?licenseId=${license.id}`);
    expect(body.data).toHaveLength(1);
  });

  it('takes a license along, and activates a machine without a network', async () => {
    expect(await adas.run('check-out', '7')).toMatch(/^Have a good trip: this machine is licensed until \d{4}-/);
    const [request] = /^[\w+/]{40,}=*$/m.exec(await bobs.start(['request']).end(license.key))!;
    const { document } = expectStatus(await vendor.api.post('/machines/offline-requests', { request }), 201).body.data;
    const file = join(folder, 'answer.lic');
    writeFileSync(file, document);
    const [atAdas, atBobs] = await Promise.all([adas.run('import', file), bobs.run('import', file)]);
    expect(atAdas).toContain('another machine');
    expect(atBobs).toMatch(/^This machine is licensed until /);
    expect(await eves.says([license.key, 'type'])).toMatch(/All seats of this license are taken \(.+, .+\)\. .*\n.*\nRead-only/);
  });

  it('goes on inside the signed grace while the server is away, no longer, and comes back', async () => {
    const app = adas.start();
    expect(await app.type('check')).toContain('Licensed (VALID).');
    await server.stop();
    const [open, inside, airgapped, after, before] = await Promise.all([
      app.type('check'),
      adas.says(['export'], 13 * DAY_MS),
      bobs.says(['export'], 13 * DAY_MS),
      adas.says(['type'], 15 * DAY_MS),
      adas.says(['type'], -2 * DAY_MS),
    ]);
    expect(open).toMatch(/^Licensed\. The license server cannot be reached; this works until /);
    expect(await app.type('export')).toContain('Exported.');
    expect(inside).toMatch(/^Licensed\. The license server cannot be reached; .*\n.*\nExported\./);
    expect(airgapped).toMatch(/^Licensed\. .*\n.*\nExported\./);
    expect(after).toMatch(/^Not licensed: the license server was last reached too long ago .*\n.*\nRead-only/);
    expect(before).toMatch(/^Not licensed: this computer's clock is wrong\. .*\n.*\nRead-only/);
    server = await ServerProcess.start(environment);
    expect(await app.type('check')).toContain('Licensed (VALID).');
    await app.end('quit');
    expect(await adas.says([], 15 * DAY_MS)).toMatch(/^Licensed \(VALID\)\./);
  });

  it('says in plain words what it was not built for', async () => {
    const written = JSON.parse(readFileSync(join(folder, 'vendor.json'), 'utf8')) as object;
    const built = (name: string, changes: object): Computer => {
      writeFileSync(join(folder, `${name}.json`), JSON.stringify({ ...written, ...changes }));
      return new Computer(name, `${name}.json`);
    };
    const otherKey = { kty: 'OKP', crv: 'Ed25519', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' };
    const test = await vendor.licenseUnder({ offlineAllowed: true }, {}, vendor.testApi);
    const said = await Promise.all([
      adas.run('import'),
      adas.run('import', join(folder, 'no-such-file.lic')),
      adas.run('fly'),
      new Computer('unbuilt', 'nothing.json').run(),
      built('old', { keys: [otherKey] }).says([license.key]),
      adas.says([]),
      new Computer('tester').says([test.key]),
      built('odd', { environment: 'prod' }).start().end(license.key),
    ]);
    expect(said[0]).toBe('Which file? node app.js import FILE\n');
    expect(said[1]).toMatch(/no-such-file\.lic cannot be read\.\n$/);
    expect(said[2]).toBe('There is no command fly.\n');
    expect(said[3]).toMatch(/nothing\.json is missing or no JSON: the README/);
    expect(said[4]).toContain('does not know. Install the newest version.');
    expect(said[6]).toContain('of another environment (test or live)');
    expect(said[7]).toContain('environment is neither live nor test.');
    for (const text of said) expect(text).not.toMatch(/TypeError|\n +at /);
  });

  it('gives its seat back, and asks for the key again when it was mistyped', async () => {
    expect(await adas.run('deactivate')).toBe('The seat of this machine is free again.\n');
    expect(await adas.start().end('ACME-0000-0000-0000-0000-0000-0000')).toContain('there is no such license key');
    expect(await adas.says([license.key])).toContain('Licensed (VALID).');
  });
});
