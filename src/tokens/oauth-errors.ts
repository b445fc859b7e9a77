import type { NextFunction, Request, Response } from 'express';
import type { AnswerShape } from '../core/error.filter.js';
import type { Issue, LatchkeyError } from '../domain/errors.js';

/** Where tokens are made; the one path that takes forms, and whose errors also speak OAuth. */
export const TOKEN_PATH = '/api/v1/auth/token';

/** Middleware of that path: its errors have the shape of all others, and OAuth's fields and challenge (RFC 6749, section 5.2) beside it. */
export function speakOAuth(request: Request, response: Response, next: NextFunction): void {
  const shape: AnswerShape = (error) => ({
    error_description: error.message,
    ...(asksAsOAuth(request) ? { error: oauthError(error) } : {}),
  });
  response.locals.errorShape = shape;
  response.locals.takesBasic = true;
  next();
}

/** A form with a grant type, or with the credentials where OAuth clients put them. */
function asksAsOAuth(request: Request): boolean {
  const body = request.body as { grant_type?: unknown } | undefined;
  return request.is('application/x-www-form-urlencoded') !== false && body?.grant_type !== undefined;
}

function oauthError({ code, status, details }: LatchkeyError): string {
  const paths = ((details?.issues as Issue[] | undefined) ?? []).map(({ path }) => path);
  if (paths.includes('grant_type')) return 'unsupported_grant_type';
  if (code === 'INSUFFICIENT_SCOPE' || (paths.length > 0 && paths.every((path) => path.startsWith('scope')))) return 'invalid_scope';
  if (status === 401) return 'invalid_client';
  if (status === 403) return 'unauthorized_client';
  return status >= 500 ? 'server_error' : 'invalid_request';
}
