import { Inject, Injectable, type BeforeApplicationShutdown, type OnApplicationBootstrap } from '@nestjs/common';
import type { Logger } from 'pino';
import { type Admitted, Standing } from '../auth/standing.js';
import { LOGGER } from '../core/logger.js';
import type { Ending } from '../domain/event-stream.js';
import { LatchkeyError } from '../domain/errors.js';

/** Open streams of one key, of one account, and of this process. */
export const MAX_STREAMS_OF_KEY = 100;
const MAX_STREAMS_OF_ACCOUNT = 500;
export const MAX_STREAMS = 2000;
const RETRY_AFTER_SECONDS = 5;

/** How often the credentials of all open streams are looked at. With the read itself and the time to end a stream it is less than a second. */
const CHECK_MS = 250;
/** Nothing is told to anybody whose credential was looked at longer ago than this. */
const MAX_UNCHECKED_MS = 800;
/** Nor is a connection kept for ever when nothing can be looked up. */
const GIVE_UP_MS = 5000;
const BEAT_MS = 15_000;

const STOPPING: Ending = { reason: 'SERVER_STOPPING', status: null };
const UNAVAILABLE: Ending = { reason: 'UNAVAILABLE', status: null };

/** An open stream, as far as watching over it goes. */
export interface Watched extends Admitted {
  beat(): void;
  end(ending: Ending): void;
  readonly ended: Promise<void>;
  readonly waitingBytes: number;
}

/**
 * Watches over the open streams of this process: how many there are, that they show signs of life, that their credentials
 * are still good (contract: webhooks.md, "Streams": within a second), and that they end when the server stops.
 */
@Injectable()
export class StreamWatch implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly open = new Set<Watched>();
  private readonly timers: NodeJS.Timeout[] = [];
  /** When the last look at all credentials that has succeeded began, as `performance.now()` says. */
  private checkedAt = 0;
  private checking?: Promise<void>;
  private isCheckDue = false;
  private isStopping = false;

  constructor(
    private readonly standing: Standing,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  onApplicationBootstrap(): void {
    const every = (intervalMs: number, work: () => void): void => {
      this.timers.push(setInterval(work, intervalMs).unref());
    };
    every(CHECK_MS, () => {
      this.lookAgain();
    });
    every(BEAT_MS, () => {
      for (const stream of this.open) stream.beat();
    });
  }

  /** Before the server waits for its connections, which would not end by themselves. */
  async beforeApplicationShutdown(): Promise<void> {
    this.isStopping = true;
    for (const timer of this.timers) clearInterval(timer);
    const streams = [...this.open];
    this.endAll(STOPPING);
    await Promise.all(streams.map(({ ended }) => ended));
  }

  /** What waits in this process for the readers of all streams. */
  get waitingBytes(): number {
    return [...this.open].reduce((bytes, stream) => bytes + stream.waitingBytes, 0);
  }

  /** How many streams of an account are open here. */
  countOf(accountId: string): number {
    return [...this.open].filter(({ caller }) => caller.tenant.accountId === accountId).length;
  }

  /** @throws 429, 503 when there are too many; 503 when the server stops */
  admit(stream: Watched): void {
    if (this.isStopping) throw new LatchkeyError('UNAVAILABLE', 'The server is stopping.');
    const keyId = keyOf(stream);
    if ([...this.open].filter((other) => keyOf(other) === keyId).length >= MAX_STREAMS_OF_KEY) throw tooMany('API key', MAX_STREAMS_OF_KEY);
    if (this.countOf(stream.caller.tenant.accountId) >= MAX_STREAMS_OF_ACCOUNT) throw tooMany('account', MAX_STREAMS_OF_ACCOUNT);
    if (this.open.size >= MAX_STREAMS) throw new LatchkeyError('UNAVAILABLE', 'Too many streams are open. Try again shortly.');
    if (this.open.size === 0) this.checkedAt = performance.now();
    this.open.add(stream);
    // What let it in may have been known for a moment already.
    this.lookAgain();
  }

  leave(stream: Watched): void {
    this.open.delete(stream);
  }

  /**
   * Resolves when every credential was looked at a moment ago: before anybody is told anything.
   * @throws when nothing can be looked up
   */
  async confirmed(): Promise<void> {
    while (this.open.size > 0 && performance.now() - this.checkedAt > MAX_UNCHECKED_MS) await this.check();
  }

  /** Now, or after the look that is under way, which began before. */
  private lookAgain(): void {
    if (this.open.size === 0) return;
    if (performance.now() - this.checkedAt > GIVE_UP_MS) this.endAll(UNAVAILABLE);
    this.isCheckDue = true;
    if (this.checking === undefined) this.check().catch(() => undefined);
  }

  private check(): Promise<void> {
    this.checking ??= this.look()
      .catch((error: unknown) => {
        this.logger.warn({ err: error }, 'the credentials of open streams could not be looked at; it is tried again');
        throw error;
      })
      .finally(() => {
        this.checking = undefined;
      });
    return this.checking;
  }

  private async look(): Promise<void> {
    do {
      this.isCheckDue = false;
      const startedAt = performance.now();
      const ended = await this.standing.findEnded([...this.open]);
      this.checkedAt = startedAt;
      for (const [stream, { code, status }] of ended) {
        this.logger.info({ event: 'STREAM_ENDED', reason: code, actor: stream.context.actor }, 'a stream lost what it was opened with');
        stream.end({ reason: code, status });
      }
    } while (this.mustLookAgain());
  }

  private mustLookAgain(): boolean {
    return this.isCheckDue && this.open.size > 0;
  }

  private endAll(ending: Ending): void {
    for (const stream of [...this.open]) stream.end(ending);
  }
}

function tooMany(whose: string, limit: number): LatchkeyError {
  const details = { policy: 'streams', limit, retryAfterSeconds: RETRY_AFTER_SECONDS };
  return new LatchkeyError('RATE_LIMITED', `This ${whose} has ${String(limit)} streams open: close one first.`, details);
}

function keyOf({ caller }: Admitted): string {
  return caller.kind === 'apiKey' ? caller.id : caller.keyId;
}
