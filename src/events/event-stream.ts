import type { Logger } from 'pino';
import { v7 as uuidv7 } from 'uuid';
import type { Admitted } from '../auth/standing.js';
import type { Tenant } from '../core/database.js';
import type { Ending } from '../domain/event-stream.js';
import { LatchkeyError } from '../domain/errors.js';
import { isMeantFor } from '../domain/events.js';
import type { FeedReader, Subscriber } from './feed-reader.js';
import type { StreamBacklog } from './stream-backlog.js';
import type { Line, StreamedEvent } from './stream-line.js';
import type { Watched } from './stream-watch.js';

/** What may wait for a reader: with more it is read no further for it until nothing waits, or it is no longer told live. */
const PAUSE_BYTES = 64 * 1024;
const LIVE_BYTES = 256 * 1024;
/** Live events that are kept while those before them are read. */
const HELD_EVENTS = 200;
/** Events that are read for it at once. */
const PAGE = 200;
const LEAST_PAGE = 5;
/** How long a reader may take for what waits for it. */
const SLOW_MS = 10_000;

/** Where a stream's events come from. */
export interface Sources {
  feed: FeedReader;
  backlog: StreamBacklog;
  logger: Logger;
}

/**
 * An open stream. It is told live, as the feed is read for all; or it reads for itself, page by page as its reader takes
 * them: at the beginning what it has missed, and again whenever its reader does not keep up. In the change from one to the
 * other live events are held until those before them are told, and each is told only behind the last one: so there is
 * neither a gap nor a repeat, and what waits in memory is bounded.
 */
export class EventStream implements Subscriber, Watched {
  readonly ended: Promise<void>;
  private readonly listening;
  private line?: Line;
  /** Everything up to here was told, or is not for this stream. */
  private position = 0n;
  /** Events that came while it reads for itself; null = it is told live. */
  private held: StreamedEvent[] | null = [];
  /** Whether some came that are not held. */
  private hasMissed = false;
  private hasEnded = false;
  private finish: () => void = () => undefined;

  constructor(
    private readonly admitted: Admitted,
    private readonly types: readonly string[],
    private readonly sources: Sources,
  ) {
    this.listening = { id: uuidv7(), events: types, isEnabled: true, segmentId: this.tenant.segmentId };
    this.ended = new Promise((resolve) => {
      this.finish = resolve;
    });
  }

  get caller(): Admitted['caller'] {
    return this.admitted.caller;
  }

  get hints(): Admitted['hints'] {
    return this.admitted.hints;
  }

  get context(): Admitted['context'] {
    return this.admitted.context;
  }

  get scopes(): Admitted['scopes'] {
    return this.admitted.scopes;
  }

  get tenant(): Tenant {
    return this.caller.tenant;
  }

  get waitingBytes(): number {
    return this.line?.waitingBytes ?? 0;
  }

  /**
   * Tell everything behind `from`; null = what is committed from now on. The line is opened when nothing of that can be
   * missed any more.
   */
  async begin(from: bigint | null, openLine: () => Promise<Line>): Promise<void> {
    const until = await this.join();
    this.position = from ?? until;
    if (this.isOver()) throw new LatchkeyError('UNAVAILABLE', 'The stream ended before it was open. Try again.');
    const line = await openLine();
    this.line = line;
    void line.ended.then(() => {
      this.leave();
    });
    // While it was opened.
    if (this.isOver()) line.end({ reason: 'UNAVAILABLE', status: null });
    else this.readUntilLive(until);
  }

  /** From the feed, in its order. */
  offer(event: StreamedEvent): void {
    if (this.isOver() || event.position <= this.position || !isMeantFor(this.listening, event.row)) return;
    if (this.held === null && this.waitingBytes <= LIVE_BYTES) this.tell(event);
    else if (this.held !== null && this.held.length < HELD_EVENTS) this.held.push(event);
    else this.miss();
  }

  beat(): void {
    this.line?.beat();
  }

  end(ending: Ending): void {
    if (this.isOver()) return;
    this.hasEnded = true;
    if (this.line === undefined) this.leave();
    else this.line.end(ending);
  }

  /** Nothing is told any more, and nobody knows of it. */
  leave(): void {
    this.hasEnded = true;
    this.held = [];
    this.sources.feed.leave(this);
    this.finish();
  }

  private async join(): Promise<bigint> {
    const position = await this.sources.feed.join(this);
    // It may have ended meanwhile.
    if (this.isOver()) this.sources.feed.leave(this);
    return position;
  }

  private isOver(): boolean {
    return this.hasEnded;
  }

  /** It will read for itself what it was not told. */
  private miss(): void {
    const wasLive = this.held === null;
    this.held = [];
    this.hasMissed = true;
    if (wasLive) this.readUntilLive(this.position);
  }

  private readUntilLive(until: bigint): void {
    this.catchUp(until).catch((error: unknown) => {
      this.sources.logger.warn({ err: error }, 'a stream could not be told what it has missed; its client comes again');
      this.end({ reason: 'UNAVAILABLE', status: null });
    });
  }

  /** Behind `until` events are held, unless more came than that. */
  private async catchUp(until: bigint): Promise<void> {
    await this.readUpTo(until);
    while (this.hasMissed && !this.isOver()) {
      this.held = [];
      this.hasMissed = false;
      await this.readUpTo(await this.join());
    }
    if (this.isOver()) return;
    const held = this.held ?? [];
    this.held = null;
    for (const event of held) this.offer(event);
  }

  private async readUpTo(until: bigint): Promise<void> {
    for (let take = PAGE; this.position < until && !this.isOver();) {
      const told = await this.readPage(until, take);
      // What its reader does not take yet is read again later rather than kept, and then less of it.
      take = told === null ? Math.min(PAGE, take * 2) : Math.max(LEAST_PAGE, told);
      if (told !== null) await this.letDrain();
    }
  }

  /** How many events were told before its reader must be waited for; null = all of the page. */
  private async readPage(until: bigint, take: number): Promise<number | null> {
    const page = await this.sources.backlog.read(this.tenant, { after: this.position, until, types: this.types, take });
    for (const [index, event] of page.events.entries()) {
      if (this.isOver()) return null;
      this.tell(event);
      if (this.waitingBytes > PAUSE_BYTES) return index + 1;
    }
    if (!this.isOver()) this.position = page.until;
    return null;
  }

  private async letDrain(): Promise<void> {
    const cut = setTimeout(() => {
      this.end({ reason: 'TOO_SLOW', status: null });
    }, SLOW_MS);
    await this.line?.drained();
    clearTimeout(cut);
  }

  private tell(event: StreamedEvent): void {
    this.line?.tell(event);
    this.position = event.position;
  }
}
