import type { Logger } from 'pino';

const FLUSH_INTERVAL_MS = 1000;

/**
 * Facts that are written behind the answers: many in one statement, every second and at stop. A crash loses at most the
 * last second of them, so nothing may depend on them. What could not be written is tried again.
 */
export class WriteBehind<Fact> {
  private pending = new Map<string, Fact>();
  private timer?: NodeJS.Timeout;
  private writing: Promise<void> = Promise.resolve();
  private isStopped = false;

  /**
   * `what` is said in the log when `write` fails. A key's later fact takes the place of its earlier one. What is not yet
   * due stays, so that more can be added to it; `flush` and `stop` write it all the same.
   */
  constructor(
    private readonly what: string,
    private readonly write: (facts: ReadonlyMap<string, Fact>) => Promise<void>,
    private readonly logger: Logger,
    private readonly isDue: (fact: Fact) => boolean = () => true,
  ) {}

  note(key: string, fact: Fact): void {
    this.pending.set(key, fact);
  }

  /** How many facts wait. */
  get size(): number {
    return this.pending.size;
  }

  start(): void {
    if (this.isStopped) return;
    this.timer = setTimeout(() => {
      void this.writeNext(this.isDue).then(() => {
        this.start();
      });
    }, FLUSH_INTERVAL_MS).unref();
  }

  /** What is being written is waited for, then the rest is written; nothing comes after. */
  async stop(): Promise<void> {
    this.isStopped = true;
    clearTimeout(this.timer);
    await this.flush();
  }

  /** Resolves when everything that was noted before is written, or has failed. */
  flush(): Promise<void> {
    return this.writeNext(() => true);
  }

  private writeNext(isWanted: (fact: Fact) => boolean): Promise<void> {
    this.writing = this.writing.then(() => this.writePending(isWanted));
    return this.writing;
  }

  private async writePending(isWanted: (fact: Fact) => boolean): Promise<void> {
    const batch = new Map([...this.pending].filter(([, fact]) => isWanted(fact)));
    if (batch.size === 0) return;
    for (const key of batch.keys()) this.pending.delete(key);
    try {
      await this.write(batch);
    } catch (error) {
      this.logger.warn({ err: error }, `${this.what} could not be written; it is tried again`);
      for (const [key, fact] of batch) if (!this.pending.has(key)) this.pending.set(key, fact);
    }
  }
}
