import type { Database, Db, Tenant } from '../core/database.js';
import { CHAIN_START, type ChainBreak, type ChainEnd, type ChainLink, extendChain, followChain } from '../domain/audit-chain.js';
import type { AuditLink } from '../generated/prisma/client.js';

/** How many entries are in memory at once. */
const SEAL_BATCH = 500;
const CHECK_BATCH = 1000;

/** The chain of the entries that belong to no tenant. */
const NO_TENANT = '00000000-0000-0000-0000-000000000000';

/** The chains that have something to link. */
export async function chainsToSeal(db: Db): Promise<string[]> {
  const chains = await db.auditPending.groupBy({ by: ['chainId'] });
  return chains.map(({ chainId }) => chainId);
}

/**
 * Links the next entries of the chain. One does so at a time over all servers: who comes second waits, or with `orLeave`
 * leaves it to the first. Answers whether there may be more.
 */
export async function sealNext(db: Db, chainId: string, { orLeave }: { orLeave: boolean }): Promise<boolean> {
  if (!(await lockChain(db, chainId, orLeave))) return false;
  const rows = await db.$queryRaw<{ id: string }[]>`
    SELECT entry.id
      FROM audit_pending AS pending
      JOIN audit_entry AS entry ON entry.id = pending.entry_id
     WHERE pending.chain_id = ${chainId}::uuid
       AND COALESCE(entry.environment_id, ${NO_TENANT}::uuid) = pending.chain_id
       AND NOT EXISTS (SELECT FROM audit_link WHERE entry_id = entry.id)
     ORDER BY entry.id
     LIMIT ${SEAL_BATCH}`;
  const ids = rows.map(({ id }) => id);
  if (ids.length === 0) return false;
  const last = await db.auditLink.findFirst({ where: { chainId }, orderBy: { position: 'desc' } });
  const entries = await db.auditEntry.findMany({ where: { id: { in: ids } }, orderBy: { id: 'asc' } });
  const links = extendChain(last === null ? CHAIN_START : toLink(last), entries);
  await db.auditLink.createMany({
    data: links.map(({ position, entryId, hash }) => ({ chainId, position, entryId, hash: Uint8Array.from(hash) })),
  });
  await db.auditPending.deleteMany({ where: { entryId: { in: ids } } });
  return ids.length === SEAL_BATCH;
}

/** Until the end of the transaction. */
async function lockChain(db: Db, chainId: string, orLeave: boolean): Promise<boolean> {
  const name = `audit chain ${chainId}`;
  if (!orLeave) {
    await db.$executeRaw`SELECT pg_advisory_xact_lock(hashtextextended(${name}, 0))`;
    return true;
  }
  const [row] = await db.$queryRaw<{ locked: boolean }[]>`SELECT pg_try_advisory_xact_lock(hashtextextended(${name}, 0)) AS locked`;
  return row?.locked === true;
}

/**
 * Follows the tenant's chain, a batch at a time, then asks whether anything is left out of it. Links only ever come to
 * the end, so the batches need not be one transaction.
 */
export async function checkChain(database: Database, tenant: Tenant): Promise<{ end: ChainEnd; broken: ChainBreak | null }> {
  let end = CHAIN_START;
  for (;;) {
    const from = end;
    const step = await database.within(tenant, (db) => followNext(db, tenant.environmentId, from));
    if (step.broken !== null) return step;
    if (step.end.position === end.position) break;
    end = step.end;
  }
  return { end, broken: await database.within(tenant, findLeftOut) };
}

async function followNext(db: Db, chainId: string, end: ChainEnd): Promise<{ end: ChainEnd; broken: ChainBreak | null }> {
  const links = await db.auditLink.findMany({
    where: { chainId, position: { gt: end.position } },
    orderBy: { position: 'asc' },
    take: CHECK_BATCH,
  });
  const entries = await db.auditEntry.findMany({ where: { id: { in: links.map(({ entryId }) => entryId) } } });
  return followChain(end, links.map(toLink), new Map(entries.map((entry) => [entry.id, entry])));
}

/** An entry that is neither linked nor waits to be, or that was gone before it was linked. One statement: one moment. */
async function findLeftOut(db: Db): Promise<ChainBreak | null> {
  const [found] = await db.$queryRaw<{ problem: ChainBreak['problem']; entryId: string }[]>`
    SELECT 'not_linked' AS problem, entry.id AS "entryId"
      FROM audit_entry AS entry
     WHERE NOT EXISTS (SELECT FROM audit_link AS link
                        WHERE link.entry_id = entry.id AND link.chain_id = entry.environment_id AND link.position > 0)
       AND NOT EXISTS (SELECT FROM audit_pending AS pending WHERE pending.entry_id = entry.id)
    UNION ALL
    SELECT 'entry_missing', pending.entry_id
      FROM audit_pending AS pending
     WHERE NOT EXISTS (SELECT FROM audit_entry AS entry WHERE entry.id = pending.entry_id)
     LIMIT 1`;
  return found === undefined ? null : { ...found, position: null };
}

function toLink({ position, entryId, hash }: AuditLink): ChainLink {
  return { position: Number(position), entryId, hash };
}
