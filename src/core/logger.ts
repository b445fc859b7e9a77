import type { IncomingMessage, ServerResponse } from 'node:http';
import { type DestinationStream, pino, type Logger } from 'pino';
import { pinoHttp, type HttpLogger } from 'pino-http';
import { v7 as uuidv7 } from 'uuid';

/** The token under which Nest hands out the logger. */
export const LOGGER = Symbol('logger');

const REQUEST_ID = /^[A-Za-z0-9._-]{1,128}$/;

/** Lines of JSON, to the standard output where no destination is given. */
export function createLogger(level: string, destination?: DestinationStream): Logger {
  return destination === undefined ? pino({ level }) : pino({ level }, destination);
}

/** One line a request: what was asked and what came of it. No bodies, no queries, no headers: nothing secret. */
export function requestLogger(logger: Logger): HttpLogger {
  return pinoHttp({
    logger,
    genReqId: requestIdOf,
    customLogLevel: (_request, response) => (response.statusCode >= 500 ? 'error' : 'info'),
    customSuccessMessage: (request, response) => `${request.method ?? ''} ${pathOf(request)} ${String(response.statusCode)}`,
    customErrorMessage: (request, response) => `${request.method ?? ''} ${pathOf(request)} ${String(response.statusCode)}`,
    customProps: (_request, response) => ({
      errorCode: (response as ServerResponse & { locals?: { errorCode?: string } }).locals?.errorCode,
    }),
    serializers: { req: () => undefined, res: () => undefined },
    quietReqLogger: true,
    customAttributeKeys: { reqId: 'requestId' },
  });
}

/** The caller's own id when it is a sound one, else a new one; answered in the header either way. */
function requestIdOf(request: IncomingMessage, response: ServerResponse): string {
  const given = request.headers['x-request-id'];
  const id = typeof given === 'string' && REQUEST_ID.test(given) ? given : uuidv7();
  response.setHeader('X-Request-Id', id);
  return id;
}

function pathOf(request: IncomingMessage & { originalUrl?: string }): string {
  return (request.originalUrl ?? request.url ?? '').split('?', 1)[0] ?? '';
}
