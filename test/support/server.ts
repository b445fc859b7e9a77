import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { boot, type Running } from '../../src/boot.js';
import { loadConfig } from '../../src/core/config.js';
import { keepLog, logFile } from './run-record.js';
import { testEnvironment } from './settings.js';

/** A server in this process, on the test database and a port of its own; what it logs is kept with the run. */
export function startServer(changes: Record<string, string> = {}, log = logFile()): Promise<Running> {
  return boot(loadConfig(testEnvironment(changes)), {
    write: (line: string) => {
      keepLog(log, line);
    },
  });
}

/** The built server as a process of its own, for what only processes can show. */
export class ServerProcess {
  private constructor(
    readonly child: ChildProcess,
    readonly url: string,
    private readonly printed: () => string,
  ) {}

  /** Everything that it has printed so far. */
  get output(): string {
    return this.printed();
  }

  /** Resolves when the server says that it is ready; rejects with what it printed when it exits first. */
  static async start(
    environment: Record<string, string>,
    options: { cwd?: string; uid?: number; gid?: number; main?: string } = {},
  ): Promise<ServerProcess> {
    const main = options.main ?? fileURLToPath(new URL('../../dist/main.js', import.meta.url));
    const child = spawn(process.execPath, [main], {
      cwd: options.cwd,
      uid: options.uid,
      gid: options.gid,
      // Compiling its modules is a quarter of a start, and many are started.
      env: { PATH: process.env.PATH ?? '', NODE_COMPILE_CACHE: join(tmpdir(), 'latchkey-compile-cache'), ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    const log = logFile();
    const url = await new Promise<string>((resolve, reject) => {
      const read = (chunk: Buffer): void => {
        output += chunk.toString();
        const ready = /Latchkey is ready at (\S+)/.exec(output);
        if (ready?.[1] !== undefined) resolve(ready[1]);
      };
      child.stdout.on('data', read);
      child.stderr.on('data', read);
      child.stderr.on('data', (chunk: Buffer) => {
        keepLog(log, chunk);
      });
      // What else it prints is for the operator: the demo's key, shown once.
      createInterface(child.stdout).on('line', (line) => {
        if (line.startsWith('{')) keepLog(log, `${line}\n`);
      });
      child.once('error', reject);
      child.once('exit', (code) => {
        reject(new Error(`the server exited with ${String(code)}:\n${output}`));
      });
    });
    return new ServerProcess(child, url, () => output);
  }

  /** Send the signal and wait for the end; answers the exit code. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return this.child.exitCode;
    const exited = once(this.child, 'exit') as Promise<[number | null]>;
    this.child.kill(signal);
    return (await exited)[0];
  }
}
