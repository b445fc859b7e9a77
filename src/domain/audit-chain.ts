import { createHash } from 'node:crypto';
import { canonicalJson } from './canonical-json.js';

/**
 * The chain over an audit log: each link's hash covers its entry and the link before, so that what was linked cannot be
 * changed, taken out, put in or put elsewhere without every later hash being another one
 * (docs/decisions/0011-audit-log.md).
 */

/** Everything that a row of the audit log says. */
export interface ChainedEntry {
  id: string;
  environmentId: string | null;
  segmentId: string | null;
  action: string;
  actorType: string;
  actorId: string | null;
  ip: string | null;
  requestId: string | null;
  resourceType: string | null;
  resourceId: string | null;
  before: unknown;
  after: unknown;
  code: string | null;
  route: string | null;
  keyPrefix: string | null;
  count: number;
  createdAt: Date;
}

export interface ChainLink {
  position: number;
  entryId: string;
  hash: Uint8Array;
}

/** How far a chain goes: the position and hash of its last link. */
export interface ChainEnd {
  position: number;
  hash: Uint8Array;
}

export const CHAIN_START: ChainEnd = { position: 0, hash: new Uint8Array(32) };

/**
 * What is wrong with a chain, in the order in which it is asked: a position that no link has, a link whose entry is gone,
 * a hash that is not that of its entry and predecessor, an entry that no link proves.
 */
export const chainProblems = ['link_missing', 'entry_missing', 'hash_differs', 'not_linked'] as const;

export interface ChainBreak {
  problem: (typeof chainProblems)[number];
  /** Null for an entry that has no position. */
  position: number | null;
  /** Null for a position that has no entry. */
  entryId: string | null;
}

/** The entry as the hash covers it: every column, in one spelling. */
export function canonicalEntry(entry: ChainedEntry): string {
  return canonicalJson({
    id: entry.id,
    environmentId: entry.environmentId,
    segmentId: entry.segmentId,
    action: entry.action,
    actorType: entry.actorType,
    actorId: entry.actorId,
    ip: entry.ip,
    requestId: entry.requestId,
    resourceType: entry.resourceType,
    resourceId: entry.resourceId,
    before: entry.before,
    after: entry.after,
    code: entry.code,
    route: entry.route,
    keyPrefix: entry.keyPrefix,
    count: entry.count,
    createdAt: entry.createdAt.toISOString(),
  });
}

/** The links of entries that come next. */
export function extendChain(end: ChainEnd, entries: readonly ChainedEntry[]): ChainLink[] {
  let { position, hash } = end;
  return entries.map((entry) => {
    position += 1;
    hash = linkHash(hash, entry);
    return { position, entryId: entry.id, hash };
  });
}

/**
 * Goes on from an end that holds: links in the order of their positions, and their entries as far as they are there.
 * Answers how far the chain holds, and what is wrong behind that.
 */
export function followChain(
  end: ChainEnd,
  links: readonly ChainLink[],
  entries: ReadonlyMap<string, ChainedEntry>,
): { end: ChainEnd; broken: ChainBreak | null } {
  let held = end;
  for (const { position, entryId, hash } of links) {
    if (position !== held.position + 1)
      return { end: held, broken: { problem: 'link_missing', position: held.position + 1, entryId: null } };
    const entry = entries.get(entryId);
    if (entry === undefined) return { end: held, broken: { problem: 'entry_missing', position, entryId } };
    if (Buffer.compare(linkHash(held.hash, entry), hash) !== 0)
      return { end: held, broken: { problem: 'hash_differs', position, entryId } };
    held = { position, hash };
  }
  return { end: held, broken: null };
}

/** SHA-256 over the hash before and the entry's canonical form. */
function linkHash(previous: Uint8Array, entry: ChainedEntry): Uint8Array {
  return createHash('sha256').update(previous).update(canonicalEntry(entry)).digest();
}
