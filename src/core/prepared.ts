import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { Prisma } from '../generated/prisma/client.js';

/**
 * Which statements of the tenants' sessions are prepared once a connection. Parsing, row-level security's rewriting and
 * planning cost several times what running a statement by a key does; a prepared one is planned for any values, once its
 * plan was seen to cost no more than those for the values given (`plan_cache_mode` = auto). That holds for statements with
 * one way to their rows, and only those are named: lists, counts and whatever else depends on how many rows there are is
 * planned for its values each time. PostgreSQL itself plans a prepared statement anew for another role.
 */

/** Stands in a statement of our own whose rows are found by unique keys, whatever the values: prepared. */
export const PREPARED = '/* prepared */';
export const prepared = Prisma.raw(PREPARED);

/** An insertion of rows that are given has no way to choose; so has what Prisma reads by one id. */
const INSERTION = /^\s*INSERT INTO [\w".]+ \([\w",. ]+\)\s+(VALUES|SELECT [\w, ]+ FROM jsonb_populate_recordset)/;
const BY_ID = /^SELECT [^()]+ FROM "public"\."(\w+)" WHERE \("public"\."\1"\."id" = \$1 AND [^()]+\) LIMIT \$\d OFFSET \$\d$/;

/** A connection keeps all that it has prepared: so many, and of those that come again. */
const MAX_PREPARED = 250;
const MAX_TEXT_LENGTH = 10_000;
const TIMES_SEEN_FIRST = 3;
const REMEMBERED = 2000;

/** Names of the statements to prepare, by their texts. */
export class PreparedStatements {
  private readonly names = new Map<string, string>();
  private readonly seen = new LRUCache<string, number>({ max: REMEMBERED });

  /** undefined = planned for its values, and forgotten. */
  nameOf(text: string): string | undefined {
    const known = this.names.get(text);
    if (known !== undefined) return known;
    if (this.names.size >= MAX_PREPARED || text.length > MAX_TEXT_LENGTH || !isPreparable(text)) return undefined;
    const times = (this.seen.get(text) ?? 0) + 1;
    this.seen.set(text, times);
    if (times < TIMES_SEEN_FIRST) return undefined;
    // Of the text alone: where a pooler shares connections, another process may prepare there too.
    const name = `latchkey_${createHash('sha256').update(text).digest('hex').slice(0, 32)}`;
    this.names.set(text, name);
    this.seen.delete(text);
    return name;
  }
}

function isPreparable(text: string): boolean {
  return text.includes(PREPARED) || INSERTION.test(text) || BY_ID.test(text);
}
