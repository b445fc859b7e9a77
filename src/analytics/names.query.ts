import type { Tenant } from '../core/database.js';
import { Prisma } from '../generated/prisma/client.js';

/**
 * What a product or policy is called, to whoever asks: a key of a segment may name those of others, and is not shown them
 * (contract: auth.md, "API keys": flairs), so to it they are called by their ids.
 */
export function nameSeenBy({ segmentId }: Tenant, table: 'product' | 'policy'): Prisma.Sql {
  const [name, id, segment] = ['name', 'id::text', 'segment_id'].map((column) => Prisma.raw(`${table}.${column}`)) as [
    Prisma.Sql,
    Prisma.Sql,
    Prisma.Sql,
  ];
  return segmentId === null ? name : Prisma.sql`CASE WHEN ${segment} = ${segmentId}::uuid THEN ${name} ELSE ${id} END`;
}
