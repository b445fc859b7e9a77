import { Injectable } from '@nestjs/common';
import { Database } from './database.js';
import { MasterKey } from './master-key.js';

const FIND_OWN_KEY = { name: 'find_own_master_key', text: 'SELECT retired_at IS NOT NULL AS "isRetired" FROM key_ring WHERE id = $1' };

const ROTATED_OUT =
  'The master key of this server was rotated out of its database while it ran. Give it the key that took its place, and restart it.';

/** Whether this process should get traffic. */
@Injectable()
export class Readiness {
  private stopping = false;

  constructor(
    private readonly database: Database,
    private readonly masterKey: MasterKey,
  ) {}

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
      const [[own]] = await Promise.all([
        this.database.stamp<{ isRetired: boolean }>(FIND_OWN_KEY, [this.masterKey.id]),
        this.database.ping(),
      ]);
      // It would seal what servers of the next key cannot open, and not open what they seal.
      return own?.isRetired === true ? ROTATED_OUT : null;
    } catch {
      return 'The database is away.';
    }
  }

  /**
   * How long the oldest of the events has waited that are committed and not yet passed on, in whole seconds; 0 when none waits.
   * What grows says that no worker runs, or that they do not keep up.
   */
  async workerLagSeconds(): Promise<number> {
    const [oldest] = await this.database.acrossTenants(
      'see how long events have waited',
      (db) => db.$queryRaw<{ seconds: number }[]>`
        SELECT GREATEST(0, floor(extract(epoch FROM clock_timestamp() - event.created_at)))::int AS seconds
          FROM (SELECT event_id FROM event_outbox ORDER BY place LIMIT 1) AS oldest JOIN event ON event.id = oldest.event_id`,
    );
    return oldest?.seconds ?? 0;
  }
}
