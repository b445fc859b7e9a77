import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException } from '@nestjs/common';
import { STATUS_CODES } from 'node:http';
import type { Request, Response } from 'express';
import type { Logger } from 'pino';
import { errorCodes, LatchkeyError } from '../domain/errors.js';
import { AuthFailures, isAuthFailure } from './auth-failures.js';
import { fromDatabase } from './database-errors.js';
import { routeOf, UNMATCHED } from './route.js';

const RETRY_AFTER_SECONDS = 5;

/** What a path adds to the body of its errors, over the fields that every error has: set as `response.locals.errorShape`. */
export type AnswerShape = (error: LatchkeyError) => object;

/** The one place where an error becomes an answer (contract: http.md, "Errors"). */
@Catch()
export class ErrorFilter implements ExceptionFilter {
  constructor(
    private readonly logger: Logger,
    private readonly authFailures: AuthFailures,
  ) {}

  catch(thrown: unknown, host: ArgumentsHost): void {
    const request = host.switchToHttp().getRequest<Request>();
    const response = host.switchToHttp().getResponse<Response>();
    const error = toLatchkeyError(thrown);
    if (error.status >= 500) this.logger.error({ requestId: request.id, err: thrown }, error.message);
    if (isAuthFailure(error)) this.authFailures.note(error.code, request.method, foundRouteOf(request));
    if (response.headersSent) {
      response.destroy();
      return;
    }
    response.locals.errorCode = error.code;
    // Set before the handler ran; nothing was made.
    response.removeHeader('Location');
    if (error.status === 401) response.setHeader('WWW-Authenticate', challenges(request));
    if (error.status === 503) response.setHeader('Retry-After', RETRY_AFTER_SECONDS);
    // Said by whoever refused (rate-limits.ts).
    if (error.status === 429) response.setHeader('Retry-After', error.details?.retryAfterSeconds as number);
    const { contentType, body } = toErrorAnswer(error, request);
    response.status(error.status).type(contentType).send(body);
  }
}

/** Where HTTP Basic is taken (`response.locals.takesBasic`), whoever used it is answered in kind (RFC 6749, section 5.2). */
function challenges(request: Request): string {
  const usedBasic = request.res?.locals.takesBasic === true && /^basic\s/i.test(request.headers.authorization ?? '');
  const schemes = [...(usedBasic ? ['Basic'] : []), 'Bearer', 'ApiKey', 'License'];
  return schemes.map((scheme) => `${scheme} realm="latchkey"`).join(', ');
}

/** What the client of this request reads when it fails like this. */
export function toErrorAnswer(thrown: unknown, request: Request): { status: number; contentType: string; body: string } {
  const error = toLatchkeyError(thrown);
  const [contentType, body] = wantsProblem(request)
    ? ['application/problem+json', toProblem(error, request)]
    : ['application/json', toBody(error, request)];
  return { status: error.status, contentType, body: JSON.stringify(body) };
}

/** Null when it is none of ours, the framework's or the database's: a fault, whose message no caller may see. */
function toLatchkeyError(thrown: unknown): LatchkeyError {
  if (thrown instanceof LatchkeyError) return thrown;
  // Nest's own: no such route, or a path that cannot be decoded.
  if (thrown instanceof HttpException && thrown.getStatus() < 500) return new LatchkeyError('NOT_FOUND', 'No such route.');
  return fromDatabase(thrown) ?? new LatchkeyError('INTERNAL_ERROR', 'Something broke on our side.');
}

function foundRouteOf(request: Request): string | null {
  const route = routeOf(request);
  return route === UNMATCHED ? null : route;
}

/** Only when the caller ranks it above plain JSON. */
function wantsProblem(request: Request): boolean {
  return request.accepts(['application/json', 'application/problem+json']) === 'application/problem+json';
}

function toBody(error: LatchkeyError, request: Request): object {
  return {
    error: STATUS_CODES[error.status],
    code: error.code,
    message: error.message,
    requestId: request.id,
    ...(error.details === undefined ? {} : { details: error.details }),
    ...(request.res?.locals.errorShape as AnswerShape | undefined)?.(error),
  };
}

/** RFC 9457. `type` leads to the code's entry in the reference that this server serves. */
function toProblem(error: LatchkeyError, request: Request): object {
  return {
    type: `/docs/errors#${error.code}`,
    title: errorCodes[error.code].title,
    status: error.status,
    detail: error.message,
    instance: request.path,
    code: error.code,
    requestId: request.id,
    ...(error.details === undefined ? {} : { details: error.details }),
  };
}
