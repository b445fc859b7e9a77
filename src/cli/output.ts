/** What a command has to say: the same facts for programs (`--json`) and for people. */
export interface Outcome {
  /** Absent = what there was to say is on stdout already. */
  document?: unknown;
  text: string;
  /** 1 when the answer is a refusal; absent = 0. */
  exitCode?: number;
}

/** Exit codes (contract: operations.md). */
export const REFUSED = 1;
export const USAGE = 2;

/** The outcome on stdout, its exit code for the process. */
export function print({ document, text, exitCode = 0 }: Outcome, json: boolean): void {
  process.stdout.write(json && document !== undefined ? `${JSON.stringify(document, null, 2)}\n` : text === '' ? '' : `${text}\n`);
  process.exitCode = exitCode;
}

/** Rows under headings, each column as wide as its widest cell; `none` when there are no rows. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[], none: string): string {
  if (rows.length === 0) return none;
  const lines = [headings, ...rows].map((cells) => cells.map(printable));
  const widths = headings.map((_, column) => Math.max(...lines.map((cells) => lengthOf(cells[column] ?? ''))));
  return lines
    .map((cells) =>
      cells
        .map((cell, column) => pad(cell, widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Names and their values, a line each, the values under one another. */
export function fields(entries: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(...entries.map(([name]) => lengthOf(name)));
  return entries.map(([name, value]) => `${pad(name, width)}  ${printable(value)}`.trimEnd()).join('\n');
}

/** To the second, in UTC. */
export function time(at: Date | null, none: string): string {
  return at === null ? none : at.toISOString().replace(/\.\d+Z$/, 'Z');
}

/** Names are free text: what a terminal would obey must not reach it. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu, '?');
}

function pad(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - lengthOf(text)));
}

/** In characters as people count them, not in UTF-16 units. */
export function lengthOf(text: string): number {
  return Array.from(text).length;
}
