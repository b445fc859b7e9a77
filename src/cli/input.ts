import 'reflect-metadata';
import { isUUID } from 'class-validator';
import { RequestValidationPipe } from '../core/validation.pipe.js';
import { invalid, type Issue, LatchkeyError, notFound } from '../domain/errors.js';

/**
 * What was typed, as the body that the HTTP route takes, checked by the body's own class: one set of rules and messages.
 * Problems name the option; `flags` has those that are not the field's name with dashes.
 * @throws 400 VALIDATION_ERROR with every issue
 */
export async function bodyOf<Body extends object>(
  bodyClass: new () => Body,
  typed: { [Field in keyof Body]?: unknown },
  flags: { [Field in keyof Body]?: string } = {},
): Promise<Body> {
  const given = Object.fromEntries(Object.entries(typed).filter(([, value]) => value !== undefined));
  return namingFlags(
    async () => (await new RequestValidationPipe().transform(given, { type: 'body', metatype: bodyClass })) as Body,
    flags,
  );
}

/**
 * The work, with its problems named by their options too: what a service finds wrong with what was typed.
 * @throws what the work throws; a 400 with issues names options instead of fields
 */
export async function namingFlags<T>(work: () => Promise<T>, flags: Record<string, string | undefined> = {}): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const issues = error instanceof LatchkeyError ? (error.details?.issues as Issue[] | undefined) : undefined;
    if (issues === undefined) throw error;
    throw invalid(issues.map(({ path, message }) => ({ path: flagOf(path, flags), message })));
  }
}

function flagOf(path: string, flags: Record<string, string | undefined>): string {
  const field = path.replace(/[.[].*$/, '');
  return flags[field] ?? `--${field.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** As a path does: what is no id names nothing. */
export function idOf(what: string, text: string): string {
  if (!isUUID(text)) throw notFound(what);
  return text.toLowerCase();
}

/** A number as it was typed; anything else is left for the body's class to refuse. */
export function wholeNumber(text: string | undefined): number | string | undefined {
  return text !== undefined && /^-?\d{1,15}$/.test(text) ? Number(text) : text;
}
