import { createReadStream } from 'node:fs';
import { access, constants, open, stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { invalid } from '../domain/errors.js';
import { ExportService } from '../licenses/export.service.js';
import type { ImportReport } from '../licenses/import.dto.js';
import type { ImportFormat } from '../licenses/import.file.js';
import { ImportService } from '../licenses/import.service.js';
import type { TenantOptions } from './keys.js';
import { type Outcome, REFUSED, table } from './output.js';
import { inSession } from './session.js';

export interface ImportOptions extends TenantOptions {
  /** Absent = as the file's name says. */
  format?: ImportFormat;
  dryRun?: boolean;
}

export interface ExportOptions extends TenantOptions {
  /** Absent = the standard output. */
  output?: string;
}

const SHOWN_FAILURES = 100;

/** `licenses import`: what can be taken is; exit code 1 when a row was not. */
export async function importLicenses(path: string, options: ImportOptions): Promise<Outcome> {
  const { account, environment, dryRun = false } = options;
  const file = { format: options.format ?? formatOf(path), read: () => createReadStream(path) };
  const isReadable = await access(path, constants.R_OK).then(
    async () => (await stat(path)).isFile(),
    () => false,
  );
  if (!isReadable) throw invalid([{ path: '<file>', message: `cannot be read: ${path}` }]);
  const startedAt = performance.now();
  const progress = (rows: number): void => {
    const seconds = (performance.now() - startedAt) / 1000;
    process.stderr.write(`${String(rows)} rows, ${String(Math.round(rows / seconds))} a second\n`);
  };
  const report = await inSession(async (session) =>
    session.get(ImportService).import(await session.caller(account, environment), file, { dryRun, progress }),
  );
  return { document: report, text: describe(report, dryRun), exitCode: report.failed > 0 ? REFUSED : 0 };
}

/** `licenses export`: a line for each license, to the standard output or a file. */
export async function exportLicenses({ account, environment, output }: ExportOptions): Promise<Outcome> {
  let exported = 0;
  // Keys are in it: for its owner alone.
  const file =
    output === undefined
      ? null
      : await open(output, 'w', 0o600).catch(() => {
          throw invalid([{ path: '--output', message: `cannot be written: ${output}` }]);
        });
  await inSession(async (session) => {
    const lines = session.get(ExportService).lines(await session.caller(account, environment), {});
    const counted = async function* (): AsyncGenerator<string> {
      for await (const text of lines) {
        exported += text.split('\n').length - 1;
        yield text;
      }
    };
    if (file === null) await pipeline(Readable.from(counted()), process.stdout, { end: false });
    else await pipeline(Readable.from(counted()), file.createWriteStream());
  });
  process.stderr.write(`${String(exported)} licenses exported\n`);
  return { document: output === undefined ? undefined : { exported }, text: '' };
}

function formatOf(path: string): ImportFormat {
  if (/\.csv$/i.test(path)) return 'csv';
  if (/\.(ndjson|jsonl)$/i.test(path)) return 'ndjson';
  throw invalid([{ path: '--format', message: "must be csv or ndjson, because the file's name does not end in .csv, .ndjson or .jsonl" }]);
}

function describe({ created, failed, rows }: ImportReport, dryRun: boolean): string {
  const failures = rows.filter(({ outcome }) => outcome === 'failed');
  const problems = failures
    .slice(0, SHOWN_FAILURES)
    .flatMap(({ row, issues = [] }) => issues.map(({ path, message }) => [String(row), path, message]));
  const summary = `${String(created)} ${dryRun ? 'would be created' : 'created'}, ${String(failed)} failed`;
  const more = failures.length > SHOWN_FAILURES ? [`(and ${String(failures.length - SHOWN_FAILURES)} rows more; --json has them all)`] : [];
  return [summary, ...(problems.length > 0 ? [table(['row', 'field', 'problem'], problems, '')] : []), ...more].join('\n');
}
