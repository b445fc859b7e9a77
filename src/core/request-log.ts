import type { IncomingMessage } from 'node:http';
import { Inject, Injectable } from '@nestjs/common';
import type { NextFunction, Request, Response } from 'express';
import type { Logger } from 'pino';
import { type Answered, LOGGER, logAnswer } from './logger.js';
import { Metrics } from './metrics.js';
import { currentRequest } from './request-context.js';
import { routeOf } from './route.js';

/** As web servers have come to say that the client went before it was answered. */
const CLIENT_GONE = 499;
const MS_PER_SECOND = 1000;

/** Where every request is noted once it has been answered, whoever answered it: a line in the log, and the numbers of its route. */
@Injectable()
export class RequestLog {
  constructor(
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly metrics: Metrics,
  ) {}

  /** Middleware, right behind the one that opens the request's context: notes what comes of everything behind it. */
  readonly follow = (request: Request, response: Response, next: NextFunction): void => {
    const startedAt = performance.now();
    const context = currentRequest();
    let isNoted = false;
    const note = (): void => {
      if (isNoted) return;
      isNoted = true;
      const { requestId = null, accountId = null, environmentId = null, keyPrefix = null } = context ?? {};
      const { errorCode } = response.locals as { errorCode?: string };
      const who = { requestId, accountId, environmentId, keyPrefix };
      const status = response.headersSent ? response.statusCode : CLIENT_GONE;
      this.note(request, { ...who, status, errorCode, ms: performance.now() - startedAt }, isStream(response));
    };
    response.once('finish', note);
    // Without the other where the client has gone.
    response.once('close', note);
    next();
  };

  /** Of a stream it is no measure how long it was open. */
  note(request: IncomingMessage, answered: Answered, isStream = false): void {
    logAnswer(this.logger, request, answered);
    const { status, ms } = answered;
    this.metrics.answered(request.method ?? '', routeOf(request), status, isStream ? null : ms / MS_PER_SECOND);
  }
}

function isStream(response: Response): boolean {
  return String(response.getHeader('content-type')).startsWith('text/event-stream');
}
