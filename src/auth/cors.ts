import cors, { type CorsOptions } from 'cors';
import type { Request, RequestHandler } from 'express';
import { LatchkeyError } from '../domain/errors.js';
import { RATE_LIMIT_HEADERS } from '../domain/rate-limit.js';
import { isCrossOrigin } from './access.js';
import type { Route } from './routes.js';

const SHOWN_HEADERS = ['X-Request-Id', 'Location', 'Retry-After', 'Idempotent-Replayed', ...RATE_LIMIT_HEADERS];
/** What an answer to browsers of any origin says. */
export const OPEN_TO_ALL = { 'Access-Control-Allow-Origin': '*', 'Access-Control-Expose-Headers': SHOWN_HEADERS.join(',') };
const PREFLIGHT_MAX_AGE_SECONDS = 600;

/**
 * Open to browsers of any origin where the access rule says so, closed elsewhere except to `origins`
 * (contract: http.md, "CORS"). Never with cookies: there are none.
 */
export function corsOf(routes: Route[], origins: string[]): RequestHandler {
  const open = routes.filter(({ access }) => isCrossOrigin(access)).map(({ method, path }) => ({ method, pattern: patternOf(path) }));
  const options: CorsOptions = { exposedHeaders: SHOWN_HEADERS, maxAge: PREFLIGHT_MAX_AGE_SECONDS };
  return cors((request, answer) => {
    const method = request.method === 'OPTIONS' ? request.headers['access-control-request-method'] : request.method;
    const path = (request as { path?: string }).path ?? '';
    const anyOrigin = open.some((route) => route.method === method && route.pattern.test(path));
    answer(null, { ...options, origin: anyOrigin ? '*' : origins });
  }) as RequestHandler;
}

/**
 * A browser shows a page of another origin no answer that does not say it may; but a WebSocket it opens whatever the
 * answer says. So who may is asked here. What is no browser sends no origin.
 * @throws 403 ORIGIN_NOT_ALLOWED
 */
export function requireOrigin({ headers: { origin, host } }: Pick<Request, 'headers'>, origins: readonly string[]): void {
  if (origin === undefined || origins.includes(origin)) return;
  if (!URL.canParse(origin) || new URL(origin).host !== host)
    throw new LatchkeyError('ORIGIN_NOT_ALLOWED', 'Pages of this origin may not open a WebSocket here.');
}

function patternOf(path: string): RegExp {
  return new RegExp(`^${path.replace(/:[^/]+/g, '[^/]+')}/?$`);
}
