import { Injectable } from '@nestjs/common';
import { Database } from './database.js';

/** Whether this process should get traffic. */
@Injectable()
export class Readiness {
  private stopping = false;

  constructor(private readonly database: Database) {}

  /** From now on not ready, for good: load balancers send new requests elsewhere while the last ones end. */
  stop(): void {
    this.stopping = true;
  }

  get isStopping(): boolean {
    return this.stopping;
  }

  /** What is wrong, or null when ready. */
  async problem(): Promise<string | null> {
    if (this.stopping) return 'The server is stopping.';
    try {
      await this.database.ping();
      return null;
    } catch {
      return 'The database is away.';
    }
  }
}
