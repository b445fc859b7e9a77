import type { IncomingMessage, ServerResponse } from 'node:http';
import { type DestinationStream, pino, type Logger } from 'pino';
import { pinoHttp, type HttpLogger } from 'pino-http';
import { v7 as uuidv7 } from 'uuid';
import { traceIdOf } from './spans.js';

/** The token under which Nest hands out the logger. */
export const LOGGER = Symbol('logger');

const REQUEST_ID = /^[A-Za-z0-9._-]{1,128}$/;

/** Lines of JSON, to the standard output where no destination is given; `mixin` gives more fields for each. */
export function createLogger(level: string, destination?: DestinationStream, mixin?: () => object): Logger {
  const options = mixin === undefined ? { level } : { level, mixin };
  return destination === undefined ? pino(options) : pino(options, destination);
}

/** One line a request: what was asked and what came of it. No bodies, no queries, no headers: nothing secret. */
export function requestLogger(logger: Logger): HttpLogger {
  return pinoHttp({
    logger,
    genReqId: idOfAnswer,
    customLogLevel: (_request, response) => (response.statusCode >= 500 ? 'error' : 'info'),
    customSuccessObject: withTraceId,
    customErrorObject: (request, response, _error, fields: object) => withTraceId(request, response, fields),
    customSuccessMessage: (request, response) => lineOf(request, response.statusCode),
    customErrorMessage: (request, response) => lineOf(request, response.statusCode),
    customProps: (_request, response) => ({
      errorCode: (response as ServerResponse & { locals?: { errorCode?: string } }).locals?.errorCode,
    }),
    serializers: { req: () => undefined, res: () => undefined },
    quietReqLogger: true,
    customAttributeKeys: { reqId: 'requestId' },
  });
}

/** The same line for an answer that was given without the framework; `startedAt` as `performance.now()` said. */
export function logAnswer(
  logger: Logger,
  request: IncomingMessage,
  { requestId, status, startedAt }: { requestId: string; status: number; startedAt: number },
): void {
  if (logger.isLevelEnabled('info'))
    logger.info(
      { requestId, traceId: traceIdOf(request), responseTime: Math.round(performance.now() - startedAt) },
      lineOf(request, status),
    );
}

/** The caller's own id when it is a sound one, else a new one. */
export function requestIdOf(request: IncomingMessage): string {
  const given = request.headers['x-request-id'];
  return typeof given === 'string' && REQUEST_ID.test(given) ? given : uuidv7();
}

/** Answered in the header, whosever it is. */
function idOfAnswer(request: IncomingMessage, response: ServerResponse): string {
  const id = requestIdOf(request);
  response.setHeader('X-Request-Id', id);
  return id;
}

/** It is told where nothing is in hand any more. */
function withTraceId(request: IncomingMessage, _response: ServerResponse, fields: object): object {
  return { ...fields, traceId: traceIdOf(request) };
}

function lineOf(request: IncomingMessage, status: number | undefined): string {
  return `${request.method ?? ''} ${pathOf(request)} ${String(status)}`;
}

function pathOf(request: IncomingMessage & { originalUrl?: string }): string {
  return (request.originalUrl ?? request.url ?? '').split('?', 1)[0] ?? '';
}
