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

/** Where a row stands in the order; `at` is null for a time that is not set. */
export interface Position {
  at: Date | null;
  id: string;
}

/** A piece of an ordered list. Ties are broken by id, in the same direction; rows without the time come last in either. */
export interface Slice {
  /** Field of the times that the order goes by. */
  field: string;
  descending: boolean;
  /** What the slice follows; null = it is the first. */
  after: Position | null;
  take: number;
}

/** A row and where it stood when it was found: by the time that it is loaded it may have moved on. */
export interface Found<Row> {
  position: Position;
  row: Row;
}

/** Cut one page out of a list, whatever `find` finds its slices with. */
export async function pageOf<Row, View>(
  query: PageQuery,
  { list, sort }: Listing,
  find: (slice: Slice) => Promise<Found<Row>[]>,
  toView: (row: Row) => View,
): Promise<Page<View>> {
  const limit = query.limit ?? DEFAULT_LIMIT;
  const descending = sort.startsWith('-');
  const after = query.cursor === undefined ? null : decodeCursor(query.cursor, { list, sort });
  // One more than asked, to know whether there are more.
  const found = await find({ field: descending ? sort.slice(1) : sort, descending, after, take: limit + 1 });
  const shown = found.slice(0, limit);
  const last = shown.at(-1);
  const nextCursor = found.length > limit && last !== undefined ? encodeCursor({ list, sort }, last.position) : null;
  return new Page(
    shown.map(({ row }) => toView(row)),
    nextCursor,
  );
}

/** Load one page with Prisma, by a time that every row has: `find` gets the where, orderBy and take to add to its own. */
export function paginate<Row extends { id: string; createdAt: Date }, View>(
  query: PageQuery,
  { list, sort }: Listing & { sort: 'createdAt' | '-createdAt' },
  find: (page: { where: object; orderBy: object[]; take: number }) => Promise<Row[]>,
  toView: (row: Row) => View,
): Promise<Page<View>> {
  const findSlice = async ({ descending, after, take }: Slice): Promise<Found<Row>[]> => {
    const direction = descending ? 'desc' : 'asc';
    const where = after === null ? {} : behind(after, descending);
    const rows = await find({ where, orderBy: [{ createdAt: direction }, { id: direction }], take });
    return rows.map((row) => ({ position: { at: row.createdAt, id: row.id }, row }));
  };
  return pageOf(query, { list, sort }, findSlice, toView);
}

/** The rows behind a position. */
function behind({ at, id }: Position, descending: boolean): object {
  const beyond = descending ? 'lt' : 'gt';
  // The bound on the time alone is implied; it lets the index begin at the cursor instead of at the top.
  const bound = { createdAt: { [descending ? 'lte' : 'gte']: at } };
  return { AND: [bound, { OR: [{ createdAt: { [beyond]: at } }, { createdAt: at, id: { [beyond]: id } }] }] };
}

function encodeCursor({ list, sort }: Listing, { at, id }: Position): string {
  return Buffer.from(JSON.stringify([list, sort, at?.toISOString() ?? null, id])).toString('base64url');
}

function decodeCursor(cursor: string, { list, sort }: Listing): Position {
  const refusal = new LatchkeyError('INVALID_CURSOR', 'The cursor is not one that this list gave with this sort.');
  try {
    const [cursorList, cursorSort, value, id] = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8')) as unknown[];
    const isTime =
      (value === null && !/^-?createdAt$/.test(sort)) ||
      (typeof value === 'string' && /^(?!0000)\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(value) && !Number.isNaN(Date.parse(value)));
    if (cursorList !== list || cursorSort !== sort || !isTime || typeof id !== 'string' || !ID.test(id)) throw refusal;
    return { at: value === null ? null : new Date(value), id };
  } catch {
    throw refusal;
  }
}
