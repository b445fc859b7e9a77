import { Injectable } from '@nestjs/common';
import { setTimeout as wait } from 'node:timers/promises';
import { isUUID } from 'class-validator';
import { Database, type Tenant } from '../core/database.js';
import { eventTypes, listensTo } from '../domain/events.js';
import { StreamWatch } from './stream-watch.js';
import { type FeedSlice, positionOf, readBacklog } from './streams.query.js';

/** Pages that are read at once: many streams that come back together leave connections of the database to the others. */
const READERS = 2;
/** An event that was committed a moment ago gets its position soon. */
const PENDING_MS = 50;
const PENDING_TRIES = 60;

/** What streams have missed, read for each by itself, in its tenant. */
@Injectable()
export class StreamBacklog {
  private free = READERS;
  private readonly waiting: (() => void)[] = [];

  constructor(
    private readonly database: Database,
    private readonly watch: StreamWatch,
  ) {}

  /** Where to go on behind an event; null = the tenant has no such event (any more). */
  async positionOf(tenant: Tenant, eventId: string): Promise<bigint | null> {
    if (!isUUID(eventId)) return null;
    for (let tries = 0; tries < PENDING_TRIES; tries += 1) {
      const position = await this.inTurn(() => this.database.within(tenant, (db) => positionOf(db, tenant, eventId)));
      if (position !== 'pending') return position;
      await wait(PENDING_MS);
    }
    return null;
  }

  /** The next page behind a position, for a credential that was good a moment ago. */
  async read(
    tenant: Tenant,
    { types, ...range }: { after: bigint; until: bigint; types: readonly string[]; take: number },
  ): Promise<FeedSlice> {
    const wanted = { ...range, types: eventTypes.filter((type) => type !== 'webhook.test' && listensTo(types, type)) };
    const page = await this.inTurn(() => this.database.within(tenant, (db) => readBacklog(db, tenant, wanted)));
    await this.watch.confirmed();
    return page;
  }

  private async inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.free === 0) await new Promise<void>((resolve) => this.waiting.push(resolve));
    else this.free -= 1;
    try {
      return await work();
    } finally {
      const next = this.waiting.shift();
      if (next === undefined) this.free += 1;
      else next();
    }
  }
}
