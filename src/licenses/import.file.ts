import { CsvError, parse } from 'csv-parse';
import { pipeline, Readable } from 'node:stream';
import { NDJSON } from '../core/lines.js';
import { invalid, type Issue } from '../domain/errors.js';

/** What an import reads: rows out of CSV or NDJSON, one at a time. */

export const importFormats = ['csv', 'ndjson'] as const;
export type ImportFormat = (typeof importFormats)[number];

/** By media type. */
export const formatOfType: Readonly<Record<string, ImportFormat>> = { 'text/csv': 'csv', [NDJSON]: 'ndjson' };

export interface ImportFile {
  format: ImportFormat;
  /** From the beginning, as often as need be. */
  read: () => Readable;
}

/** A row of data, counted from 1; `issues` when it could not even be read. */
export interface FileRow {
  row: number;
  /** How much of the file it is, about. */
  length: number;
  value: unknown;
  issues?: Issue[];
}

const MAX_ROWS = 100_000;
/** Of one row; in characters. */
const MAX_ROW_LENGTH = 4 * 1024 * 1024;

/**
 * Reads the file to its end, so that what is wrong with all of it is said before anything is written.
 * @throws 400 for what is not UTF-8, no CSV, has unknown columns or too many rows
 */
export async function requireReadable(file: ImportFile, columns: ReadonlyMap<string, ColumnKind>): Promise<void> {
  for await (const { row } of file.format === 'csv' ? csvRows(file, columns) : linesOf(file)) {
    if (row > MAX_ROWS) throw broken(`the file has more than ${MAX_ROWS.toLocaleString('en')} rows: split it`);
  }
}

/** @throws as `requireReadable` */
export function rowsOf(file: ImportFile, columns: ReadonlyMap<string, ColumnKind>): AsyncGenerator<FileRow> {
  return file.format === 'csv' ? csvRows(file, columns) : jsonRows(file);
}

async function* jsonRows(file: ImportFile): AsyncGenerator<FileRow> {
  for await (const { row, line } of linesOf(file)) {
    const read = { row, length: line.length };
    try {
      yield { ...read, value: withShortForms(JSON.parse(line)) };
    } catch {
      yield { ...read, value: undefined, issues: [{ path: '', message: 'is not valid JSON' }] };
    }
  }
}

/** Lines that are not blank. */
async function* linesOf(file: ImportFile): AsyncGenerator<{ row: number; line: string }> {
  let [rest, row] = ['', 0];
  for await (const text of textOf(file)) {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > MAX_ROW_LENGTH) throw broken(`row ${String(row + 1)} is too long`);
    for (const line of lines) if (line.trim() !== '') yield { row: (row += 1), line };
  }
  if (rest.trim() !== '') yield { row: row + 1, line: rest };
}

/** What a cell of a column is; objects and lists are JSON, lists of names also `a;b`. */
export type ColumnKind = 'text' | 'number' | 'flag' | 'names' | 'object';

const METADATA = 'metadata.';
/** Every field, and metadata as wide as it may be. */
const MAX_COLUMNS = 100;

async function* csvRows(file: ImportFile, columns: ReadonlyMap<string, ColumnKind>): AsyncGenerator<FileRow> {
  const parser = parse({
    record_delimiter: ['\r\n', '\n', '\r'],
    relax_column_count: true,
    skip_empty_lines: true,
    max_record_size: MAX_ROW_LENGTH,
  });
  // Whatever fails on the way reaches whoever reads the parser.
  pipeline(Readable.from(textOf(file)), parser, () => undefined);
  let header: string[] | null = null;
  let row = 0;
  try {
    for await (const cells of parser as AsyncIterable<string[]>) {
      if (header === null) header = requireKnown(cells, columns);
      else yield toRow((row += 1), header, cells, columns);
    }
  } catch (error) {
    throw error instanceof CsvError ? broken(`is not valid CSV: ${error.message}`) : error;
  }
  if (header === null) throw broken('the file has no header');
}

function requireKnown(header: string[], columns: ReadonlyMap<string, ColumnKind>): string[] {
  if (header.length > MAX_COLUMNS) throw broken(`has ${String(header.length)} columns; at most ${String(MAX_COLUMNS)} are taken`);
  if (header.length === 1 && header[0]?.includes(';') === true) throw broken('must have its columns separated by commas, not semicolons');
  const seen = new Set<string>();
  const issues = header.flatMap((name): Issue[] => {
    if (seen.has(name)) return [{ path: name, message: 'the column is there twice' }];
    seen.add(name);
    return columns.has(name) || (name.startsWith(METADATA) && name !== METADATA) ? [] : [{ path: name, message: 'is not a known column' }];
  });
  if (issues.length > 0) throw invalid(issues);
  return header;
}

function toRow(row: number, header: string[], cells: string[], columns: ReadonlyMap<string, ColumnKind>): FileRow {
  const length = cells.reduce((sum, cell) => sum + cell.length, 0);
  if (cells.length !== header.length) {
    const message = `has ${String(cells.length)} cells, and the header ${String(header.length)}`;
    return { row, length, value: undefined, issues: [{ path: '', message }] };
  }
  const value: Record<string, unknown> = {};
  // Without a prototype, so that `metadata.__proto__` is a key like any other, and refused as one.
  const metadata = Object.create(null) as Record<string, string | null>;
  for (const [index, name] of header.entries()) {
    const cell = cells[index] ?? '';
    if (cell === '') continue;
    const kind = columns.get(name);
    if (kind === undefined) metadata[name.slice(METADATA.length)] = cell === 'null' ? null : cell;
    else value[name] = cell === 'null' ? null : valueOf(cell, kind);
  }
  if (Object.keys(metadata).length > 0) {
    const { metadata: whole = {} } = value;
    const isObject = typeof whole === 'object' && whole !== null && !Array.isArray(whole);
    if (!isObject) return { row, length, value: undefined, issues: [{ path: 'metadata', message: 'must be a JSON object' }] };
    value.metadata = { ...whole, ...metadata };
  }
  return { row, length, value: withShortForms(value) };
}

/** What cannot be read stays the text that it is, and is refused as such. */
function valueOf(cell: string, kind: ColumnKind): unknown {
  switch (kind) {
    case 'text':
      return cell;
    case 'number':
      return /^-?\d{1,15}$/.test(cell) ? Number(cell) : cell;
    case 'flag':
      return cell === 'true' ? true : cell === 'false' ? false : cell;
    case 'names':
      return /^\s*\[/.test(cell) ? jsonOr(cell) : cell.split(';');
    case 'object':
      return jsonOr(cell);
  }
}

function jsonOr(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** `["pro"]` for `[{"code": "pro"}]`, and fingerprints likewise. */
function withShortForms(row: unknown): unknown {
  if (typeof row !== 'object' || row === null || Array.isArray(row)) return row;
  const { entitlements, machines } = row as { entitlements?: unknown; machines?: unknown };
  return {
    ...row,
    ...(Array.isArray(entitlements)
      ? { entitlements: entitlements.map((item: unknown) => (typeof item === 'string' ? { code: item } : item)) }
      : {}),
    ...(Array.isArray(machines)
      ? { machines: machines.map((item: unknown) => (typeof item === 'string' ? { fingerprint: item } : item)) }
      : {}),
  };
}

/** Without a byte order mark. */
async function* textOf(file: ImportFile): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const decode = (bytes?: Buffer): string => {
    try {
      return decoder.decode(bytes, { stream: bytes !== undefined });
    } catch {
      throw broken('is not valid UTF-8');
    }
  };
  for await (const chunk of file.read() as AsyncIterable<Buffer>) yield decode(chunk);
  yield decode();
}

function broken(message: string): Error {
  return invalid([{ path: '', message }]);
}
