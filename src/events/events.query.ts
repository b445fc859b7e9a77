import type { Tenant } from '../core/database.js';
import { all } from '../core/slice.js';
import { type EventResource, type EventType, typesAbout, typesOf } from '../domain/events.js';
import { Prisma } from '../generated/prisma/client.js';
import type { EventsQuery } from './events.dto.js';

/**
 * The ways to be in the list (core/slice.ts): of several types each by itself, because the order within one is an index's
 * and over several it is none's. What happened to one resource is little, and has an index of its own.
 */
export function waysOf(tenant: Tenant, query: EventsQuery): Prisma.Sql[] {
  const [resourceType, resourceId] = (query.resource?.split(':') ?? []) as [EventResource?, string?];
  const types = typesFor(query.type, resourceType);
  const conditions = [
    Prisma.sql`true`,
    // Row security says so too; said here, the index on segments serves.
    ...(tenant.segmentId === null ? [] : [Prisma.sql`segment_id = ${tenant.segmentId}::uuid`]),
    ...(resourceType === undefined ? [] : [Prisma.sql`resource_type = ${resourceType}`]),
    ...(resourceId === undefined ? [] : [Prisma.sql`resource_id = ${resourceId}::uuid`]),
    ...(query.from === undefined ? [] : [Prisma.sql`created_at >= ${query.from}::timestamptz`]),
    ...(query.to === undefined ? [] : [Prisma.sql`created_at < ${query.to}::timestamptz`]),
  ];
  if (types === null) return [all(conditions)];
  if (resourceId !== undefined) return [all([...conditions, Prisma.sql`type = ANY(${types})`])];
  return types.map((type) => all([...conditions, Prisma.sql`type = ${type}`]));
}

/** Null = any. Of a kind of resources those that may be about one: there is no index on kinds. */
function typesFor(filter: string | undefined, resourceType: EventResource | undefined): EventType[] | null {
  const named = filter === undefined ? null : new Set(filter.split(',').flatMap(typesOf));
  if (resourceType === undefined) return named === null ? null : [...named];
  return typesAbout(resourceType).filter((type) => named === null || named.has(type));
}
