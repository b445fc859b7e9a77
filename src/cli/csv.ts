/** A line of a CSV document: texts, and numbers. */
export type Row = readonly (string | number)[];

/** What a spreadsheet would take for a formula (CWE-1236): a customer's version or name must not be one. */
const FORMULA = /^[=+\-@\t\r]/;

/**
 * Rows as RFC 4180 has them: each ends with CRLF, and a field with a comma, a quotation mark or a line break is in quotation
 * marks. A text that a spreadsheet would compute has an apostrophe before it.
 */
export function csv(rows: readonly Row[]): string {
  return rows.map((row) => `${row.map(field).join(',')}\r\n`).join('');
}

function field(value: string | number): string {
  const text = typeof value === 'string' && FORMULA.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
