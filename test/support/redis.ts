import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';

/** The program that the tests start: of the environment, or wherever the system has it. */
const PROGRAM = process.env.REDIS_SERVER ?? 'redis-server';

export const hasRedis = spawnSync(PROGRAM, ['--version']).status === 0;

/** A Redis of a test's own, which keeps nothing. */
export class RedisProcess {
  private constructor(
    readonly child: ChildProcess,
    readonly port: number,
  ) {}

  get url(): string {
    return `redis://127.0.0.1:${String(this.port)}`;
  }

  static async start(port?: number, ...options: string[]): Promise<RedisProcess> {
    const chosen = port ?? (await freePort());
    const child = spawn(PROGRAM, ['--port', String(chosen), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', ...options], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    await new Promise<void>((resolve, reject) => {
      child.stdout.on('data', (chunk: Buffer) => {
        output += chunk.toString();
        if (output.includes('Ready to accept connections')) resolve();
      });
      child.once('error', reject);
      child.once('exit', (code) => {
        reject(new Error(`${PROGRAM} exited with ${String(code)}:\n${output}`));
      });
    });
    return new RedisProcess(child, chosen);
  }

  /** It takes connections and answers nothing, until it is resumed. */
  pause(): void {
    this.child.kill('SIGSTOP');
  }

  resume(): void {
    this.child.kill('SIGCONT');
  }

  async kill(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exited = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await exited;
  }
}

/** One that nobody listens on: it was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
