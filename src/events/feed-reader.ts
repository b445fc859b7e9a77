import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Logger } from 'pino';
import { Database, type Tenant } from '../core/database.js';
import { LOGGER } from '../core/logger.js';
import { Recurring } from '../core/recurring.js';
import { Signals } from '../core/signals.js';
import { StreamWatch } from './stream-watch.js';
import type { StreamedEvent } from './stream-line.js';
import { type FeedSlice, lastPosition, readFeed } from './streams.query.js';

/** For when no signal comes through. Asks the database nothing while no stream is open. */
const INTERVAL_MS = 500;
const BATCH = 200;

/** Who is told of the events of an environment, and chooses. */
export interface Subscriber {
  readonly tenant: Tenant;
  offer(event: StreamedEvent): void;
}

interface Joining {
  subscriber: Subscriber;
  resolve: (position: bigint) => void;
  reject: (error: unknown) => void;
}

/**
 * Follows the feed of events for all open streams of this process: each event is read once, however many are told of it.
 * Positions become visible in their order, so whoever has read up to one has missed nothing before it; and they are in the
 * database, so that it does not matter which server placed the events, or which one a stream is at.
 */
@Injectable()
export class FeedReader implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly subscribers = new Map<string, Set<Subscriber>>();
  private joining: Joining[] = [];
  /** Everything up to here was offered to all who were there. */
  private position = 0n;
  private readonly work: Recurring;
  private stopHearing: () => void = () => undefined;

  constructor(
    private readonly database: Database,
    private readonly signals: Signals,
    private readonly watch: StreamWatch,
    @Inject(LOGGER) logger: Logger,
  ) {
    this.work = new Recurring('streams could not be told of events', INTERVAL_MS, (goesOn) => this.tellAll(goesOn), logger);
  }

  onApplicationBootstrap(): void {
    this.stopHearing = this.signals.on('feed', () => {
      if (this.hasListeners) this.work.wake();
    });
    this.work.start();
  }

  onApplicationShutdown(): Promise<void> {
    this.stopHearing();
    return this.work.stop();
  }

  /**
   * From some position on the subscriber is offered every event of its environment, in order: the answer is that position.
   * Everything that is committed after the call comes behind it. One that is there already only learns where it is.
   * @throws what the database does
   */
  join(subscriber: Subscriber): Promise<bigint> {
    return new Promise((resolve, reject) => {
      this.joining.push({ subscriber, resolve, reject });
      this.work.wake();
    });
  }

  leave(subscriber: Subscriber): void {
    const { environmentId } = subscriber.tenant;
    const those = this.subscribers.get(environmentId);
    those?.delete(subscriber);
    if (those?.size === 0) this.subscribers.delete(environmentId);
  }

  private get hasListeners(): boolean {
    return this.subscribers.size > 0 || this.joining.length > 0;
  }

  private async tellAll(goesOn: () => boolean): Promise<void> {
    try {
      let isThereMore = true;
      while (isThereMore && this.hasListeners && goesOn()) isThereMore = await this.tellBatch();
    } catch (error) {
      for (const { reject } of this.joining.splice(0)) reject(error);
      throw error;
    }
  }

  /** Whether there is more. Whoever joins meanwhile is there from its end on: what it reads is for those who were there before. */
  private async tellBatch(): Promise<boolean> {
    const joining = this.joining.splice(0);
    try {
      const { events, until, isWhole } = await this.read();
      if (events.length > 0) await this.watch.confirmed();
      for (const event of events) for (const subscriber of this.subscribers.get(event.row.environmentId) ?? []) subscriber.offer(event);
      this.position = until;
      for (const { subscriber, resolve } of joining) {
        this.add(subscriber);
        resolve(until);
      }
      return !isWhole;
    } catch (error) {
      this.joining.unshift(...joining);
      throw error;
    }
  }

  private async read(): Promise<FeedSlice & { isWhole: boolean }> {
    const environments = new Map([...this.subscribers].flatMap(([id, [first]]) => (first === undefined ? [] : [[id, first.tenant]])));
    return this.database.acrossTenants('tell open streams of events', async (db) => {
      const last = await lastPosition(db);
      // What came before anybody was there is nobody's here.
      if (environments.size === 0) return { events: [], until: last, isWhole: true };
      if (last <= this.position) return { events: [], until: this.position, isWhole: true };
      const slice = await readFeed(db, environments, { after: this.position, until: last, take: BATCH });
      return { ...slice, isWhole: slice.until === last };
    });
  }

  private add(subscriber: Subscriber): void {
    const { environmentId } = subscriber.tenant;
    const those = this.subscribers.get(environmentId) ?? new Set();
    this.subscribers.set(environmentId, those.add(subscriber));
  }
}
