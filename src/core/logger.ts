import type { IncomingMessage } from 'node:http';
import { type DestinationStream, pino, type Logger } from 'pino';
import { v7 as uuidv7 } from 'uuid';
import type { RequestContext } from './request-context.js';
import { routeOf } from './route.js';
import { traceIdOf } from './spans.js';

/** The token under which Nest hands out the logger. */
export const LOGGER = Symbol('logger');

const REQUEST_ID = /^[A-Za-z0-9._-]{1,128}$/;

/** What came of a request, and who had sent it as far as that is known. */
export interface Answered extends Pick<RequestContext, 'requestId' | 'accountId' | 'environmentId' | 'keyPrefix'> {
  status: number;
  /** From the head of the request to the end of its answer. */
  ms: number;
  /** Of a refusal or a failure. */
  errorCode?: string;
}

/** Lines of JSON, to the standard output where no destination is given; `mixin` gives more fields for each. */
export function createLogger(level: string, destination?: DestinationStream, mixin?: () => object): Logger {
  const options = mixin === undefined ? { level } : { level, mixin };
  return destination === undefined ? pino(options) : pino(options, destination);
}

/**
 * The one line of a request (docs/operations/README.md), whoever answered it: no body, no query, no header, and of the path
 * its pattern alone, because what stands in a path may be a key that was put there by mistake.
 */
export function logAnswer(logger: Logger, request: IncomingMessage, { status, ms, ...answered }: Answered): void {
  const level = status >= 500 ? 'error' : 'info';
  if (!logger.isLevelEnabled(level)) return;
  const { requestId, accountId, environmentId, keyPrefix, errorCode } = answered;
  const method = request.method ?? '';
  const route = routeOf(request);
  logger[level](
    {
      requestId,
      // Said here: it is told where nothing is in hand any more.
      traceId: traceIdOf(request),
      method,
      route,
      status,
      ms: Math.round(ms * 10) / 10,
      accountId: accountId ?? undefined,
      environmentId: environmentId ?? undefined,
      keyPrefix: keyPrefix ?? undefined,
      errorCode,
    },
    `${method} ${route} ${String(status)}`,
  );
}

/** The caller's own id when it is a sound one, else a new one. */
export function requestIdOf(request: IncomingMessage): string {
  const given = request.headers['x-request-id'];
  return typeof given === 'string' && REQUEST_ID.test(given) ? given : uuidv7();
}
