import { Injectable } from '@nestjs/common';
import { Database, type Tenant } from '../core/database.js';
import { type Page, pageOf } from '../core/page.js';
import { findSlice, loadSlice } from '../core/slice.js';
import { invalid, notFound } from '../domain/errors.js';
import { typesOf } from '../domain/events.js';
import { type EventsQuery, type EventView, toEventView } from './events.dto.js';
import { waysOf } from './events.query.js';

@Injectable()
export class EventsService {
  constructor(private readonly database: Database) {}

  /** @throws 400 for a type that there is none of. */
  list(tenant: Tenant, query: EventsQuery): Promise<Page<EventView>> {
    const unknown = query.type?.split(',').filter((filter) => typesOf(filter).length === 0) ?? [];
    if (unknown.length > 0) throw invalid([{ path: 'type', message: `names no type of event: ${unknown.join(', ')}` }]);
    return this.database.within(tenant, (db) =>
      pageOf(
        query,
        { list: 'events', sort: '-createdAt' },
        async (slice) => loadSlice(await findSlice(db, 'event', waysOf(tenant, query), slice), (where) => db.event.findMany({ where })),
        (row) => toEventView(row, tenant.environment),
      ),
    );
  }

  get(tenant: Tenant, id: string): Promise<EventView> {
    return this.database.within(tenant, async (db) => {
      const row = await db.event.findFirst({ where: { id } });
      if (row === null) throw notFound('event');
      return toEventView(row, tenant.environment);
    });
  }
}
