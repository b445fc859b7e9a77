import { Redis } from 'ioredis';
import { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';
import { RateLimiterRedis } from 'rate-limiter-flexible';

/** How often something was counted in its present window, and how long that lasts. */
export interface WindowCount {
  count: number;
  endsInMs: number;
}

/** Some 250 bytes each. Beyond it the one that was not counted for the longest is forgotten: never one that asks often. */
const MAX_LOCAL_KEYS = 100_000;

/** Fixed windows in this process's memory, each beginning with its key's first count. Bounded, and without timers. */
export class LocalCounters {
  /** Made with the first count: its tables have a place for every key from the start. */
  private kept?: LRUCache<string, { startedAt: number; count: number }>;

  constructor(private readonly windowMs: number) {}

  private get windows() {
    this.kept ??= new LRUCache({ max: MAX_LOCAL_KEYS });
    return this.kept;
  }

  count(key: string, now: Date): WindowCount {
    const known = this.windows.get(key);
    const age = known === undefined ? 0 : now.getTime() - known.startedAt;
    // A clock that was set back begins anew: nobody is locked out until it has caught up.
    const isOver = age < 0 || age >= this.windowMs;
    const window = known === undefined || isOver ? { startedAt: now.getTime(), count: 0 } : known;
    window.count += 1;
    if (window !== known) this.windows.set(key, window);
    return { count: window.count, endsInMs: window.startedAt + this.windowMs - now.getTime() };
  }
}

/** A count that took longer has failed, and so has the connection. */
const ANSWER_TIMEOUT_MS = 150;
/** For what a connection begins with; no request waits for that. */
const HANDSHAKE_TIMEOUT_MS = 1000;
const RECONNECT_INTERVAL_MS = 1000;
/** How long the start waits for a first connection to show what it is. */
const FIRST_CONNECTION_TIMEOUT_MS = 500;
/** How long a broken connection may take to say goodbye. */
const DISCONNECT_TIMEOUT_MS = 100;

/**
 * The same windows in Redis, exact across every process of an installation. While Redis is away there is no count, and
 * whoever asks is told so at once: only those who were asking when it went away wait, `ANSWER_TIMEOUT_MS` at most.
 */
export class SharedCounters {
  private readonly redis: Redis;
  private readonly limiter: RateLimiterRedis;
  /** Whether counts go to Redis: from one that worked until one that did not. */
  private isInUse = false;
  private isClosed = false;
  private wasSaidToBeAway = false;
  private settle: () => void = () => undefined;

  /** `prefix` keeps apart installations that use the same Redis. */
  constructor(
    url: string,
    prefix: string,
    windowSeconds: number,
    private readonly logger: Logger,
  ) {
    this.redis = new Redis(url, {
      lazyConnect: true,
      enableOfflineQueue: false,
      // The first count is the better check.
      enableReadyCheck: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      connectTimeout: HANDSHAKE_TIMEOUT_MS,
      commandTimeout: HANDSHAKE_TIMEOUT_MS,
      disconnectTimeout: DISCONNECT_TIMEOUT_MS,
      retryStrategy: () => RECONNECT_INTERVAL_MS,
    });
    // It only counts (`countInRedis`): its points are no limit of ours.
    this.limiter = new RateLimiterRedis({ storeClient: this.redis, keyPrefix: prefix, duration: windowSeconds, points: 1 });
    this.redis.on('error', (error: Error) => {
      this.giveUp(error.message);
    });
    this.redis.on('close', () => {
      this.giveUp('The connection was closed.');
    });
    this.redis.on('ready', () => void this.tryOut());
  }

  /** Resolves when Redis is in use or known to be away; one that says nothing is not waited for. Never fails. */
  async connect(): Promise<void> {
    const settled = new Promise<void>((resolve) => {
      this.settle = resolve;
    });
    // What goes wrong is heard as an event.
    this.redis.connect().catch(() => undefined);
    await within(settled, FIRST_CONNECTION_TIMEOUT_MS).catch(() => undefined);
  }

  /** Count one. Null while Redis is away. */
  async count(key: string): Promise<WindowCount | null> {
    if (!this.isInUse) return null;
    try {
      return await this.countInRedis(key);
    } catch (error) {
      this.giveUp((error as Error).message);
      this.redis.disconnect(true);
      return null;
    }
  }

  /** Waits for nothing: what is counted is counted. */
  close(): void {
    this.isClosed = true;
    this.isInUse = false;
    this.redis.disconnect();
  }

  private async countInRedis(key: string): Promise<WindowCount> {
    // Counts and never refuses: the limit may be another one from call to call.
    const { consumedPoints, msBeforeNext } = await within(this.limiter.penalty(key), ANSWER_TIMEOUT_MS);
    return { count: consumedPoints, endsInMs: msBeforeNext };
  }

  /** A Redis that is slow, full or loading is as good as none, and is known before a request meets it. */
  private async tryOut(): Promise<void> {
    try {
      await this.countInRedis('connection');
    } catch (error) {
      this.giveUp((error as Error).message);
      this.redis.disconnect(true);
      return;
    }
    if (this.isClosed) return;
    this.isInUse = true;
    this.settle();
    if (this.wasSaidToBeAway) this.logger.info('Redis is back: rate limits are shared again');
    this.wasSaidToBeAway = false;
  }

  /** The message alone: the error of a failed log-in has the password in it. */
  private giveUp(problem: string): void {
    this.isInUse = false;
    this.settle();
    if (this.wasSaidToBeAway || this.isClosed) return;
    this.wasSaidToBeAway = true;
    this.logger.warn({ problem }, 'Redis is away: until it is back, this process counts rate limits by itself');
  }
}

/** @throws when it takes longer */
async function within<T>(work: Promise<T>, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      // An answer that came while this process was busy is read before: silence is late, not we.
      setImmediate(() => {
        reject(new Error(`No answer within ${String(timeoutMs)} ms.`));
      });
    }, timeoutMs);
  });
  return Promise.race([work, late]).finally(() => {
    clearTimeout(timer);
  });
}
