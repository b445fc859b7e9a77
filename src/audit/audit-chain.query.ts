import type { Database, Db, Tenant } from '../core/database.js';
import { insertMany } from '../core/insert.js';
import { CHAIN_START, type ChainBreak, type ChainEnd, type ChainLink, extendChain, followChain } from '../domain/audit-chain.js';
import type { AuditEntry, AuditLink } from '../generated/prisma/client.js';

/** How many entries are in memory at once. */
const SEAL_BATCH = 500;
const CHECK_BATCH = 1000;

/** The chain of the entries that belong to no tenant. */
const NO_TENANT = '00000000-0000-0000-0000-000000000000';
/** Before every id. */
export const FIRST = NO_TENANT;

/** The chains that have something to link. */
export async function chainsToSeal(db: Db): Promise<string[]> {
  const chains = await db.auditPending.groupBy({ by: ['chainId'] });
  return chains.map(({ chainId }) => chainId);
}

/**
 * Links the next entries of the chain, of those that wait behind `after`. One does so at a time over all servers: who
 * comes second waits, or with `orLeave` leaves it to the first. Answers behind which to go on, null when there are no more.
 */
export async function sealNext(db: Db, chainId: string, after: string, orLeave: boolean): Promise<string | null> {
  if (!(await lockChain(db, chainId, orLeave))) return null;
  const waiting = await db.auditPending.findMany({
    where: { chainId, entryId: { gt: after } },
    orderBy: { entryId: 'asc' },
    take: SEAL_BATCH,
  });
  const entries = await linkable(
    db,
    chainId,
    waiting.map(({ entryId }) => entryId),
  );
  if (entries.length > 0) {
    const last = await db.auditLink.findFirst({ where: { chainId }, orderBy: { position: 'desc' } });
    const links = extendChain(last === null ? CHAIN_START : toLink(last), entries);
    await insertMany(
      db,
      'audit_link',
      links.map((link) => ({ chainId, ...link })),
    );
    await db.$executeRaw`DELETE FROM audit_pending WHERE entry_id = ANY(${links.map(({ entryId }) => entryId)}::uuid[])`;
  }
  return waiting.length < SEAL_BATCH ? null : (waiting.at(-1)?.entryId ?? null);
}

/** Their entries, without those that somebody deleted, moved or linked behind our back: these stay as evidence. */
async function linkable(db: Db, chainId: string, ids: string[]): Promise<AuditEntry[]> {
  const entries = await db.auditEntry.findMany({
    where: { id: { in: ids }, environmentId: chainId === NO_TENANT ? null : chainId },
    orderBy: { id: 'asc' },
  });
  const linked = await db.auditLink.findMany({ where: { entryId: { in: ids } }, select: { entryId: true } });
  const isLinked = new Set(linked.map(({ entryId }) => entryId));
  return entries.filter(({ id }) => !isLinked.has(id));
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
  // Bounded on both sides, so that a batch reads no more than itself, however long the chain.
  const next = { gt: end.position, lte: end.position + CHECK_BATCH };
  const found = await db.auditLink.findMany({ where: { chainId, position: next }, orderBy: { position: 'asc' } });
  const behind = found.length > 0 ? [] : await db.auditLink.findMany({ where: { chainId, position: { gt: end.position } }, take: 1 });
  const links = [...found, ...behind];
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
