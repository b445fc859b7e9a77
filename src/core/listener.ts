import pg from 'pg';

const RECONNECT_MS = 1000;

/**
 * Hears what is told on a channel of the database (LISTEN). A connection that breaks is made again; because something may
 * have been told meanwhile, whoever listens then hears null, as at the beginning. Behind a pooler that knows no sessions
 * nothing is heard: those who listen look by themselves from time to time.
 */
export class Listener {
  private client?: pg.Client;
  private timer?: NodeJS.Timeout;
  private isStopped = false;

  constructor(
    private readonly config: pg.ClientConfig,
    private readonly channel: string,
    private readonly heard: (message: string | null) => void,
  ) {}

  /** Never waits for the database. */
  start(): void {
    void this.connect();
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    clearTimeout(this.timer);
    const { client } = this;
    this.client = undefined;
    await client?.end().catch(() => undefined);
  }

  private async connect(): Promise<void> {
    // No statement is under way while it listens: a time limit on one would end nothing.
    const client = new pg.Client({ ...this.config, query_timeout: undefined });
    this.client = client;
    client.on('error', () => undefined);
    client.on('end', () => {
      this.reconnect(client);
    });
    client.on('notification', ({ payload }) => {
      this.heard(payload ?? null);
    });
    try {
      await client.connect();
      await client.query(`LISTEN ${client.escapeIdentifier(this.channel)}`);
      this.heard(null);
    } catch {
      await client.end().catch(() => undefined);
      this.reconnect(client);
    }
  }

  private reconnect(lost: pg.Client): void {
    if (this.isStopped || this.client !== lost) return;
    this.client = undefined;
    this.timer = setTimeout(() => void this.connect(), RECONNECT_MS).unref();
  }
}
