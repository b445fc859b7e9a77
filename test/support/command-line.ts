import { execFile } from 'node:child_process';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { run } from '../../src/cli/program.js';
import { testEnvironment } from './settings.js';

export const COMMAND = fileURLToPath(new URL('../../bin/latchkey.js', import.meta.url));

/** How a command ended, and what it said. */
export interface Ended {
  code: number | string;
  stdout: string;
  stderr: string;
}

/** The built command as a user runs it, away from any `.env`. */
export function latchkeyProcess(args: string[], environment = testEnvironment()): Promise<Ended> {
  const options = { env: { PATH: process.env.PATH ?? '', ...environment }, cwd: tmpdir() };
  return new Promise((resolve) => {
    execFile(process.execPath, [COMMAND, ...args], options, (error, stdout, stderr) => {
      resolve({ code: error?.code ?? 0, stdout, stderr });
    });
  });
}

let earlier: Promise<unknown> = Promise.resolve();

/**
 * The same command in this process, which spares the second that a process takes to load the program. One at a time:
 * the streams, the environment and the exit code are the process's.
 */
export function latchkey(args: string[], environment = testEnvironment()): Promise<Ended> {
  const ended = earlier.then(() => runHere(args, environment));
  earlier = ended.catch(() => undefined);
  return ended;
}

async function runHere(args: string[], environment: Record<string, string>): Promise<Ended> {
  const { env, exitCode } = process;
  const said = { stdout: '', stderr: '' };
  const restore = (['stdout', 'stderr'] as const).map((name) => {
    const stream = process[name];
    const original = stream.write.bind(stream);
    stream.write = (chunk: string | Uint8Array, ...more: unknown[]): boolean => {
      said[name] += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString();
      const done = more.at(-1);
      if (typeof done === 'function') process.nextTick(done);
      return true;
    };
    return () => (stream.write = original);
  });
  process.env = { ...environment };
  process.exitCode = 0;
  try {
    await run(args);
    return { code: process.exitCode, ...said };
  } finally {
    Object.assign(process, { env, exitCode });
    for (const undo of restore) undo();
  }
}
