import 'reflect-metadata';
import { RequestValidationPipe } from '../core/validation.pipe.js';
import { invalid, type Issue, LatchkeyError } from '../domain/errors.js';

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
  try {
    return (await new RequestValidationPipe().transform(given, { type: 'body', metatype: bodyClass })) as Body;
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
