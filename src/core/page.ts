import { LatchkeyError } from '../domain/errors.js';
import { QueryInteger, Text } from './fields.js';

/** Keyset pagination (contract: http.md, "Envelopes"): a page never repeats or skips a row that existed throughout. */

export class PageQuery {
  @QueryInteger({ help: 'How many to answer at most.', min: 1, max: 100, optional: true, default: 25 })
  limit?: number;

  @Text({
    help: '`pagination.nextCursor` of the previous page; the rest of the query as it was there, but for `limit`.',
    max: 500,
    optional: true,
    example: 'WyItY3JlYXRlZEF0Ii…',
  })
  cursor?: string;
}

const DEFAULT_LIMIT = 25;
const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** One page of views, and where the next begins. */
export class Page<View> {
  constructor(
    readonly items: View[],
    readonly nextCursor: string | null,
  ) {}
}

/** What is paged through: a cursor is good for the list and order that it came from, and for no other. */
interface Listing {
  list: string;
  /** `field` or `-field` of a column of times. */
  sort: string;
}

interface Position {
  value: string | null;
  id: string;
}

/**
 * Load one page with Prisma: `find` gets the where, orderBy and take to add to its own. Nulls come last in
 * either order; ties are broken by id.
 */
export async function paginate<Row extends { id: string }, View>(
  query: PageQuery,
  { list, sort }: Listing,
  find: (page: { where: object; orderBy: object[]; take: number }) => Promise<Row[]>,
  toView: (row: Row) => View,
): Promise<Page<View>> {
  const limit = query.limit ?? DEFAULT_LIMIT;
  const descending = sort.startsWith('-');
  const column = descending ? sort.slice(1) : sort;
  const direction = descending ? 'desc' : 'asc';
  const position = query.cursor === undefined ? null : decodeCursor(query.cursor, { list, sort });
  const rows = await find({
    where: position === null ? {} : after(column, descending, position),
    orderBy: [column === 'createdAt' ? { createdAt: direction } : { [column]: { sort: direction, nulls: 'last' } }, { id: direction }],
    // One more than asked, to know whether there are more.
    take: limit + 1,
  });
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  const nextCursor = rows.length > limit && last !== undefined ? encodeCursor({ list, sort }, valueOf(last, column), last.id) : null;
  return new Page(shown.map(toView), nextCursor);
}

/** The rows behind a position. */
function after(column: string, descending: boolean, { value, id }: Position): object {
  const beyond = descending ? 'lt' : 'gt';
  const sameValue = { [column]: value, id: { [beyond]: id } };
  if (value === null) return { AND: [sameValue] };
  const further = [{ [column]: { [beyond]: value } }, sameValue, ...(column === 'createdAt' ? [] : [{ [column]: null }])];
  // The bound on the column alone is implied; it lets the index begin at the cursor instead of at the top.
  return column === 'createdAt'
    ? { AND: [{ [column]: { [descending ? 'lte' : 'gte']: value } }, { OR: further }] }
    : { AND: [{ OR: further }] };
}

function valueOf(row: object, column: string): string | null {
  const value = (row as Record<string, unknown>)[column];
  return value instanceof Date ? value.toISOString() : null;
}

function encodeCursor({ list, sort }: Listing, value: string | null, id: string): string {
  return Buffer.from(JSON.stringify([list, sort, value, id])).toString('base64url');
}

function decodeCursor(cursor: string, { list, sort }: Listing): Position {
  const refusal = new LatchkeyError('INVALID_CURSOR', 'The cursor is not one that this list gave with this sort.');
  try {
    const [cursorList, cursorSort, value, id] = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8')) as unknown[];
    const isTime =
      (value === null && !/^-?createdAt$/.test(sort)) ||
      (typeof value === 'string' && /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(value) && !Number.isNaN(Date.parse(value)));
    if (cursorList !== list || cursorSort !== sort || !isTime || typeof id !== 'string' || !ID.test(id)) throw refusal;
    return { value, id };
  } catch {
    throw refusal;
  }
}
