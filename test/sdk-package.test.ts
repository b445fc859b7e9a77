import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, realpath, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { build } from 'esbuild';
import { fileStore, machineFingerprint, type Surroundings } from '../sdk/src/node.js';
import { sharedServer } from './support/shared-server.js';
import { Vendor } from './support/vendor.js';

/** The package as it is installed: its entries, its size, its types, and the examples of its README as they stand there. */

const SIZE_LIMIT_BYTES = 10 * 1024;
const sdk = fileURLToPath(new URL('../sdk/', import.meta.url));
const run = async (args: string[], cwd: string, env: Record<string, string> = {}) =>
  promisify(execFile)(process.execPath, args, { cwd, env: { PATH: process.env.PATH ?? '', ...env } }).then(
    ({ stdout, stderr }) => ({ stdout, stderr, code: 0 }),
    (error: unknown) => error as { stdout: string; stderr: string; code: number },
  );

describe('the package of the SDK', () => {
  const server = sharedServer();
  let directory: string;
  beforeAll(async () => {
    directory = await realpath(await mkdtemp(join(tmpdir(), 'latchkey-sdk-')));
    const pack = ['pack', '--silent', '--ignore-scripts', '--pack-destination', directory];
    await promisify(execFile)('npm', pack, { cwd: sdk });
    await promisify(execFile)('tar', ['-xzf', 'latchkey-sdk-0.1.0.tgz'], { cwd: directory });
    await mkdir(join(directory, 'node_modules/@latchkey'), { recursive: true });
    await cp(join(directory, 'package'), join(directory, 'node_modules/@latchkey/sdk'), { recursive: true });
    const jose = dirname(createRequire(import.meta.url).resolve('jose/package.json'));
    await symlink(jose, join(directory, 'node_modules/jose'));
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  it('loads as ESM and as CommonJS, with the same names', async () => {
    await writeFile(
      join(directory, 'load.mjs'),
      `import { createRequire } from 'node:module';
       const require = createRequire(import.meta.url);
       for (const entry of ['@latchkey/sdk', '@latchkey/sdk/node']) {
         const names = (module) => Object.keys(module).filter((name) => !['default', 'module.exports', '__esModule'].includes(name)).sort().join();
         console.log(names(await import(entry)) === names(require(entry)), names(require(entry)));
       }
       const { LatchkeyError } = require('@latchkey/sdk');
       const failed = await require('@latchkey/sdk/node').machineFingerprint({ salt: '' }).catch((error) => error);
       console.log(failed instanceof LatchkeyError);`,
    );
    const { stdout, stderr } = await run(['--no-warnings', 'load.mjs'], directory);
    expect(stderr).toBe('');
    expect(stdout.trim().split('\n')).toEqual([
      'true ApiError,LatchkeyError,ProofError,UnreachableError,createClient,localStorageStore,memoryStore,verifyFile',
      'true fileStore,machineFingerprint',
      'true',
    ]);
  });

  it('has types for both, and for browsers', async () => {
    const source = `import { createClient, type Validation } from '@latchkey/sdk';
      import { fileStore } from '@latchkey/sdk/node';
      const client = createClient({ baseUrl: '', account: '', licenseKey: '', store: fileStore('x') });
      export const answer: Promise<Validation> = client.validate();
      // @ts-expect-error: there is no such option
      void client.validate({ nonsense: 1 });\n`;
    for (const name of ['types.mts', 'types.cts']) await writeFile(join(directory, name), source);
    const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
    const strict = ['--noEmit', '--strict', '--target', 'es2022', '--module', 'nodenext', '--lib', 'es2022,dom'];
    const { stdout } = await run([tsc, ...strict, 'types.mts', 'types.cts'], directory);
    expect(stdout).toBe('');
  });

  it('is at most 10 KiB beside jose, and needs nothing of Node', async () => {
    const { outputFiles, metafile } = await build({
      entryPoints: [join(directory, 'node_modules/@latchkey/sdk/dist/esm/index.js')],
      bundle: true,
      minify: true,
      format: 'esm',
      platform: 'browser',
      external: ['jose'],
      write: false,
      metafile: true,
    });
    const text = outputFiles[0]!.text;
    const bytes = gzipSync(text, { level: 9 }).length;
    process.stdout.write(`@latchkey/sdk: ${String(bytes)} bytes minified and gzipped\n`);
    expect(bytes).toBeLessThanOrEqual(SIZE_LIMIT_BYTES);
    expect(new Set(Object.values(metafile.outputs)[0]!.imports.map(({ path }) => path))).toEqual(new Set(['jose']));
    expect(text).not.toMatch(/\b(process|Buffer|require|__dirname)\b/);
  });

  it('has the types that the OpenAPI document gives', async () => {
    const { stderr, code } = await run(['scripts/generate.mjs', '--check', '--from', `${server.url}/openapi.json`], sdk);
    expect({ stderr, code }).toEqual({ stderr: '', code: 0 });
  });

  describe("the README's examples", () => {
    let vendor: Vendor;
    let environment: Record<string, string>;
    const license = async () => {
      const policy = await vendor.policy({ template: 'desktop_app', maxMachines: 1 });
      return vendor.license({ productId: policy.productId, policyId: policy.id });
    };
    beforeAll(async () => {
      vendor = await Vendor.signUp(server.url);
      await vendor.validate(await license(), { nonce: 'makes the first key' });
      const jwks = await fetch(`${server.url}/.well-known/jwks.json?account=${vendor.account.id}&environment=live`);
      await writeFile(join(directory, 'keys.json'), await jwks.text());
      const readme = await readFile(join(directory, 'package/README.md'), 'utf8');
      for (const [, code, name] of readme.matchAll(/```js\n(\/\/ (\S+\.[cm]js)\n[^]*?)```/g))
        await writeFile(join(directory, name!), code!);
      environment = {
        ACME_LICENSES: server.url,
        ACME_ACCOUNT: vendor.account.id,
        ACME_HOME: join(directory, 'home'),
        LATCHKEY_FINGERPRINT: 'this-machine',
      };
    });

    it('the command line', async () => {
      const { key } = await license();
      const cli = (command: string, changes = {}) =>
        run(['cli.mjs', command], directory, { ...environment, ACME_LICENSE_KEY: key, ...changes });
      expect(await cli('run')).toMatchObject({ code: 1, stderr: 'not licensed: NOT_ACTIVATED\n' });
      expect(await cli('run', { ACME_LICENSE_KEY: 'mistyped' })).toMatchObject({ code: 1, stderr: expect.stringContaining('NOT_FOUND') });
      // In plain words, and no stack.
      expect(await cli('run', { ACME_LICENSE_KEY: '' })).toMatchObject({
        code: 1,
        stderr: expect.stringMatching(/^licenseKey is empty.*\n$/),
      });
      expect(await cli('activate')).toMatchObject({ code: 0, stdout: expect.stringMatching(/^activated /) });
      expect(await cli('run')).toMatchObject({ code: 0, stdout: 'running (server, VALID)\n' });
      const unplugged = await cli('run', { ACME_LICENSES: 'http://127.0.0.1:1' });
      expect(unplugged).toMatchObject({ code: 0, stdout: 'running (cache, VALID)\n', stderr: expect.stringMatching(/^going on until /) });
      expect(await cli('activate', { LATCHKEY_FINGERPRINT: 'another-machine' })).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('in use on'),
      });
      expect(await cli('offline')).toMatchObject({ code: 0, stdout: expect.stringMatching(/^good without a network until /) });
      expect(await cli('deactivate')).toMatchObject({ code: 0, stdout: 'deactivated\n' });
      expect(await cli('run', { ACME_LICENSES: 'http://127.0.0.1:1' })).toMatchObject({ code: 1 });
    });

    it('the main process and the preload script of Electron, with a stand-in for it', async () => {
      const electron = join(directory, 'node_modules/electron');
      await mkdir(electron, { recursive: true });
      await writeFile(join(electron, 'package.json'), '{"name":"electron","main":"index.js"}');
      await writeFile(
        join(electron, 'index.js'),
        `const handlers = new Map();
         exports.app = { whenReady: async () => {}, getPath: () => process.env.ACME_HOME + '-electron', on() {}, quit() {} };
         exports.ipcMain = { handle: (channel, handler) => handlers.set(channel, handler) };
         exports.BrowserWindow = class { static getAllWindows() { return []; } constructor(options) { exports.options = options; } async loadFile() {} };
         exports.ipcRenderer = { on() {}, invoke: async (channel, ...args) => structuredClone(await handlers.get(channel)({}, ...args)) };
         exports.contextBridge = { exposeInMainWorld: (name, value) => { globalThis[name] = value; } };`,
      );
      await writeFile(
        join(directory, 'drive.mjs'),
        `import './main.mjs';
         import { createRequire } from 'node:module';
         const require = createRequire(import.meta.url);
         require(require('electron').options.webPreferences.preload);
         const { license } = globalThis;
         const answers = [await license.status(), await license.activate('no-such-key'), await license.activate(process.argv[2]), await license.status(), await license.deactivate(), await license.status()];
         console.log(JSON.stringify(answers));
         process.exit();`,
      );
      const { stdout, stderr } = await run(['drive.mjs', (await license()).key], directory, environment);
      expect(stderr).toBe('');
      expect(JSON.parse(stdout)).toMatchObject([
        null,
        { valid: false, reason: 'AUTH_FAILED' },
        { valid: true, source: 'server', code: 'VALID' },
        { valid: true },
        true,
        { valid: false, code: 'NOT_ACTIVATED' },
      ]);
    });
  });

  describe('the file store', () => {
    it('keeps one text, for its owner alone, and leaves nothing else behind', async () => {
      const folder = join(directory, 'store');
      const store = fileStore(join(folder, 'license.json'));
      expect(await store.load()).toBeNull();
      await Promise.all(['one', 'two', 'three'].map((text) => store.save(text)));
      expect(['one', 'two', 'three']).toContain(await store.load());
      expect(await readdir(folder)).toEqual(['license.json']);
      if (process.platform !== 'win32') expect((await stat(join(folder, 'license.json'))).mode & 0o777).toBe(0o600);
    });

    it('fails, and keeps nothing, where it cannot write', async () => {
      await writeFile(join(directory, 'a-file'), '');
      await expect(fileStore(join(directory, 'a-file/license.json')).save('x')).rejects.toThrow();
    });
  });

  describe('the fingerprint of a machine', () => {
    const machine = (changes: Partial<Surroundings>): Surroundings => ({
      platform: 'linux',
      env: {},
      readText: (path) => (path === '/etc/machine-id' ? Promise.resolve('b0e1\n') : Promise.reject(new Error(path))),
      exists: () => Promise.resolve(false),
      run: () => Promise.reject(new Error('not here')),
      ...changes,
    });
    const of = (changes: Partial<Surroundings>, options: { salt?: string; id?: string } = {}) =>
      machineFingerprint({ salt: 'editor', ...options }, machine(changes));

    it('is stable, is another for another product, and does not tell the id', async () => {
      const fingerprint = await of({});
      expect(fingerprint).toMatch(/^[0-9a-f]{64}$/);
      expect(await of({})).toBe(fingerprint);
      expect(await of({}, { salt: 'player' })).not.toBe(fingerprint);
      await expect(of({}, { salt: '' })).rejects.toMatchObject({ code: 'invalid_options' });
    });

    it('is read from each operating system', async () => {
      const mac = of({ platform: 'darwin', run: () => Promise.resolve('  "IOPlatformUUID" = "B0E1"\n') });
      const windows = of({ platform: 'win32', run: () => Promise.resolve('\r\n    MachineGuid    REG_SZ    b0e1\r\n') });
      expect(new Set(await Promise.all([of({}), mac, windows])).size).toBe(1);
    });

    it.each<[string, Partial<Surroundings>]>([
      ['Docker', { exists: (path) => Promise.resolve(path === '/.dockerenv') }],
      ['Podman', { exists: (path) => Promise.resolve(path === '/run/.containerenv') }],
      ['Kubernetes', { env: { KUBERNETES_SERVICE_HOST: '10.0.0.1' } }],
      ['LXC', { env: { container: 'lxc' } }],
      ['containerd', { readText: () => Promise.resolve('0::/kubepods/pod1') }],
    ])('is not guessed under %s, and is taken when it is given', async (_name, changes) => {
      await expect(of(changes)).rejects.toMatchObject({ code: 'no_fingerprint' });
      const given = await of(changes, { id: 'worker-1' });
      expect(await of({ ...changes, env: { ...changes.env, LATCHKEY_FINGERPRINT: 'worker-1' } })).toBe(given);
    });

    it('fails where the machine has no id', async () => {
      await expect(of({ readText: () => Promise.resolve('') })).rejects.toMatchObject({ code: 'no_fingerprint' });
      await expect(of({ platform: 'win32' })).rejects.toMatchObject({ code: 'no_fingerprint' });
    });
  });
});
