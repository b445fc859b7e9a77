import cors, { type CorsOptions } from 'cors';
import type { RequestHandler } from 'express';
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

function patternOf(path: string): RegExp {
  return new RegExp(`^${path.replace(/:[^/]+/g, '[^/]+')}/?$`);
}
