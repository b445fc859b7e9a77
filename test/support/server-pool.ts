import type { Random } from './random.js';
import { ServerProcess } from './server.js';

const PAUSE_MS = 100;

/** Processes of one kind that are killed and started again, until the end. */
export class ServerPool {
  private readonly living = new Set<ServerProcess>();
  private readonly starting = new Set<Promise<void>>();
  private isEnding = false;
  kills = 0;

  private constructor(private readonly environment: Record<string, string>) {}

  static async start(size: number, environment: Record<string, string>): Promise<ServerPool> {
    const pool = new ServerPool(environment);
    for (let server = 0; server < size; server += 1) pool.startOne();
    await Promise.all(pool.starting);
    return pool;
  }

  /** The address of one that lives; null while none does. */
  url(random: Random): string | null {
    return this.living.size === 0 ? null : random.pick([...this.living]).url;
  }

  /** SIGKILL one, as soon as one lives; another is started in its place. */
  async killOne(random: Random): Promise<void> {
    while (this.living.size === 0) await pause();
    const victim = random.pick([...this.living]);
    this.living.delete(victim);
    await victim.stop('SIGKILL');
    this.kills += 1;
    this.startOne();
  }

  async end(): Promise<void> {
    this.isEnding = true;
    await Promise.all(this.starting);
    await Promise.all([...this.living].map((server) => server.stop()));
  }

  private startOne(): void {
    const started = this.tryToStart().finally(() => this.starting.delete(started));
    this.starting.add(started);
  }

  /** Again and again: the database may be away. */
  private async tryToStart(): Promise<void> {
    while (!this.isEnding) {
      const server = await ServerProcess.start(this.environment).catch(() => null);
      if (server !== null) {
        this.living.add(server);
        return;
      }
      await pause();
    }
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
}
