import type { IncomingMessage } from 'node:http';

/** Of a request for which there is no route, or that was answered before one was looked for. */
export const UNMATCHED = 'unmatched';

/** Routes of requests that the framework does not see. */
const named = new WeakMap<IncomingMessage, string>();

/** Says the route of a request that is answered before the framework. */
export function nameRoute(request: IncomingMessage, pattern: string): void {
  named.set(request, pattern);
}

/**
 * The pattern of the request's route, with parameters as `:name`: what a path names in their place is no business of a log,
 * and would make labels without end. Known once the framework has found the route, which is before the guard.
 */
export function routeOf(request: IncomingMessage): string {
  const found = (request as { route?: { path?: unknown } }).route?.path;
  return typeof found === 'string' ? found : (named.get(request) ?? UNMATCHED);
}
