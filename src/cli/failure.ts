import { fromDatabase } from '../core/database-errors.js';
import { operatorProblems } from '../core/open-database.js';
import { type Issue, LatchkeyError } from '../domain/errors.js';
import { REFUSED, USAGE } from './output.js';

/**
 * Why a command was not done: words on stderr, and with `--json` a document on stdout too. A value that the command
 * cannot take is a mistake of usage, everything else a refusal; a fault of the program keeps its stack.
 */
export function reportFailure(thrown: unknown, json: boolean): void {
  const { code, lines, details } = describe(thrown);
  process.stderr.write(lines.map((line) => `error: ${line}\n`).join(''));
  if (json) process.stdout.write(`${JSON.stringify({ error: { code, message: lines.join('\n'), details } }, null, 2)}\n`);
  process.exitCode = code === 'VALIDATION_ERROR' ? USAGE : REFUSED;
}

function describe(thrown: unknown): { code: string; lines: string[]; details?: unknown } {
  const problems = operatorProblems(thrown);
  if (problems !== null) return { code: 'NOT_USABLE', lines: problems };
  const error = thrown instanceof LatchkeyError ? thrown : fromDatabase(thrown);
  if (error === null) {
    return { code: 'INTERNAL_ERROR', lines: [thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)] };
  }
  const issues = error.details?.issues as Issue[] | undefined;
  return { code: error.code, lines: issues?.map(inWords) ?? [error.message], details: error.details };
}

function inWords({ path, message }: Issue): string {
  return path === '' ? message : `${path}: ${message}`;
}
