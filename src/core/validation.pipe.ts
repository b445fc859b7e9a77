import { Injectable, type ArgumentMetadata, type PipeTransform, ValidationPipe } from '@nestjs/common';
import type { ValidationError } from 'class-validator';
import { invalid, LatchkeyError, notFound, type Issue } from '../domain/errors.js';
import { textIssues, TOO_DEEP } from '../domain/text.js';

/**
 * Bodies and queries against their classes: everything that is wrong is answered at once, each with its path, and what
 * the class does not know is wrong too (contract: http.md, "Errors").
 */
@Injectable()
export class RequestValidationPipe implements PipeTransform {
  private readonly classes = new ValidationPipe({
    whitelist: true,
    forbidNonWhitelisted: true,
    transform: true,
    stopAtFirstError: true,
    exceptionFactory: (errors: ValidationError[]): LatchkeyError => invalid(errors.flatMap((error) => issuesOf(error, ''))),
  });

  async transform(value: unknown, metadata: ArgumentMetadata): Promise<unknown> {
    // A part of the path that could not even be stored names nothing.
    if (metadata.type === 'param' && textIssues(value).length > 0) throw notFound('resource');
    if (metadata.type !== 'body' && metadata.type !== 'query') return value;
    if (metadata.type === 'body' && (typeof (value ?? {}) !== 'object' || Array.isArray(value))) {
      throw invalid([{ path: '', message: 'the body must be a JSON object' }]);
    }
    const unsound = textIssues(value);
    if (unsound.length === 0) return this.classes.transform(value ?? {}, metadata);
    // What is nested too deeply no class may even look at; of the rest, what is wrong besides is said as well.
    const others = unsound.some(({ message }) => message === TOO_DEEP) ? [] : await this.classIssues(value, metadata);
    // A key that cannot be shown is not echoed.
    const isNew = (path: string): boolean => textIssues(path).length === 0 && !unsound.some((issue) => issue.path === path);
    throw invalid([...unsound, ...others.filter(({ path }) => isNew(path))]);
  }

  private async classIssues(value: unknown, metadata: ArgumentMetadata): Promise<Issue[]> {
    try {
      await this.classes.transform(value, metadata);
      return [];
    } catch (error) {
      return error instanceof LatchkeyError ? (error.details?.issues as Issue[]) : [];
    }
  }
}

function issuesOf(error: ValidationError, parent: string): Issue[] {
  const isIndex = /^\d+$/.test(error.property) && parent !== '';
  const path = isIndex ? `${parent}[${error.property}]` : parent === '' ? error.property : `${parent}.${error.property}`;
  const own = Object.entries(error.constraints ?? {}).map(([name, message]) => ({
    path,
    message: name === 'whitelistValidation' ? 'is not a known field' : error.value === undefined ? 'is required' : message,
  }));
  return [...own, ...(error.children ?? []).flatMap((child) => issuesOf(child, path))];
}
