import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { settings as knownSettings } from '../../dist/core/config.js';
import { cpuSecondsOf, databaseCpuSeconds } from './cpu-time.js';

const SERVER = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const TIMED_SIGNER = fileURLToPath(new URL('./timed-signer.js', import.meta.url));
const BASELINES = fileURLToPath(new URL('./baselines.js', import.meta.url));
const MACHINE_BASELINES = fileURLToPath(new URL('./machine-baselines.js', import.meta.url));
const APPLICATION = fileURLToPath(new URL('./auth-app.js', import.meta.url));
const READY = /is ready at (\S+)/;
const STOP_TIMEOUT_MS = 10_000;
const KEPT_OUTPUT = 4000;

/** A server under load, in a process of its own. */
export class Target {
  #child;
  #directory;
  #output = '';

  /** `scripts` are the program and its arguments; the environment is all that it gets. */
  constructor(name, scripts, { environment, directory, profileDir }) {
    this.name = name;
    this.#directory = directory;
    const profiling = profileDir === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileDir}`, '--enable-source-maps'];
    this.#child = spawn(process.execPath, [...profiling, ...scripts], {
      // Not the repository's: a developer's .env is no part of the measurement.
      cwd: directory,
      env: { PATH: process.env.PATH ?? '', ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.on('data', (chunk) => {
        this.#output = (this.#output + String(chunk)).slice(-KEPT_OUTPUT);
      });
    }
  }

  get pid() {
    return this.#child.pid;
  }

  /** The last of what it has printed. */
  get output() {
    return this.#output;
  }

  /** CPU seconds used so far: its own, and the database's for all targets together. Null where they cannot be read. */
  cpuSeconds() {
    return { server: cpuSecondsOf(this.#child.pid), database: databaseCpuSeconds(this.#directory) };
  }

  /** Where it listens, once it says so. */
  ready() {
    return new Promise((resolve, reject) => {
      this.#child.stdout.on('data', () => {
        const address = READY.exec(this.#output)?.[1];
        if (address !== undefined) resolve(address);
      });
      this.#child.once('error', reject);
      this.#child.once('exit', (code) => {
        reject(new Error(`${this.name} exited with ${String(code)}:\n${this.#output}`));
      });
    });
  }

  /** Send it a signal that it answers with a line `<name> <JSON>`: what that says. */
  told(signal, name) {
    return new Promise((resolve) => {
      const said = new RegExp(`^${name} (.*)\n`, 'm');
      this.#output = '';
      const read = () => {
        const json = said.exec(this.#output)?.[1];
        if (json === undefined) return;
        this.#child.stdout.off('data', read);
        resolve(JSON.parse(json));
      };
      this.#child.stdout.on('data', read);
      this.#child.kill(signal);
    });
  }

  /** Ask it to end, and make it when it does not. */
  async stop() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    const deadline = setTimeout(() => this.#child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    this.#child.kill('SIGTERM');
    await exited;
    clearTimeout(deadline);
  }
}

/** A load generator asks from one address. */
export const unlimited = Object.fromEntries(
  Object.keys(knownSettings)
    .filter((name) => name.startsWith('LIMIT_'))
    .map((name) => [name, '0']),
);

/** The real thing, started as a user would, but for rate limits; `changes` are further settings, `name` what is measured of it. */
export function startServer(settings, cleanup, changes = {}, script = SERVER) {
  const environment = {
    DATABASE_URL: settings.databaseUrl,
    MASTER_KEY: settings.masterKey,
    LOG_LEVEL: 'warn',
    PORT: '0',
    ...unlimited,
    ...changes,
  };
  return start(settings.name ?? 'validate-key (Latchkey)', [script], { ...settings, environment }, cleanup);
}

/** The same with a clock beside its signer: bench/support/timed-signer.js. */
export function startTimedSigner(settings, cleanup) {
  return startServer(settings, cleanup, {}, TIMED_SIGNER);
}

/** One of bench/support/baselines.js. `answer` is what those that compute nothing answer. */
export function startBaseline(name, kind, { answer = '', ...settings }, cleanup) {
  const environment = { DATABASE_URL: settings.databaseUrl, MASTER_KEY: settings.masterKey, BENCH_ANSWER: answer };
  return start(name, [BASELINES, kind], { ...settings, environment }, cleanup);
}

/** The application with routes of the bench's own (bench/support/auth-app.js). */
export function startBenchApplication(name, settings, cleanup) {
  const { databaseUrl, masterKey } = settings;
  const environment = { DATABASE_URL: databaseUrl, MASTER_KEY: masterKey, LOG_LEVEL: 'warn', ...unlimited };
  return start(name, [APPLICATION], { ...settings, environment }, cleanup);
}

/** One of bench/support/machine-baselines.js. */
export function startMachineBaseline(name, kind, settings, cleanup) {
  return start(name, [MACHINE_BASELINES, kind], { ...settings, environment: { DATABASE_URL: settings.databaseUrl } }, cleanup);
}

async function start(name, scripts, settings, cleanup) {
  const target = new Target(name, scripts, settings);
  cleanup.add(() => target.stop());
  target.url = new URL('/api/v1/licenses/validate-key', await target.ready()).href;
  return target;
}
