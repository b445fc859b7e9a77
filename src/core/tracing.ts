import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import { parseTraceparent, type TracePlace } from '../domain/traceparent.js';
import type { Config } from './config.js';
import { routeOf, UNMATCHED } from './route.js';
import { endingWith, inSpanOf, type Span, type Step } from './spans.js';

/** What makes traces, and sends them. */
export interface Tracer {
  /** Begin a trace, or go on with one elsewhere; null = it is not kept. */
  begin(step: Step, parent: TracePlace | null): Span | null;
  /** Send what has ended; resolves in time whatever the collector does. */
  stop(): Promise<void>;
}

/** Whoever looks whether the server lives is no trace that anybody wants. */
const PROBE = /^\/(health|metrics)(?:[/?]|$)/;
const SERVER_ERROR = 500;
const SWITCHING_PROTOCOLS = 101;

/**
 * Where traces begin: at a request, and at what a worker goes on with from an event (docs/decisions/0021-tracing.md). What is
 * done on the way finds its trace by itself (`spans.ts`).
 */
export class Tracing {
  static readonly off = new Tracing(null);

  constructor(private readonly tracer: Tracer | null) {}

  /** Without an endpoint to send traces to, nothing of OpenTelemetry is loaded. */
  static async start({ otelExporterOtlpEndpoint: endpoint }: Config, logger: Logger): Promise<Tracing> {
    if (endpoint === undefined) return Tracing.off;
    const { exportTraces } = await import('./trace-exporter.js');
    return new Tracing(exportTraces(endpoint, logger));
  }

  /**
   * Listens to requests in the place of `listener`: each is a trace of its own. What callers say in `traceparent` is not
   * heard: they are strangers, and would decide which traces are kept and whose they belong to.
   */
  before(listener: RequestListener): RequestListener {
    const { tracer } = this;
    if (tracer === null) return listener;
    return (request, response) => {
      const span = PROBE.test(request.url ?? '') ? null : tracer.begin(stepOf(request), null);
      if (span === null) {
        listener(request, response);
        return;
      }
      whenOver(request, response, () => {
        endRequest(span, request, response);
      });
      inSpanOf(request, span, () => {
        listener(request, response);
      });
    };
  }

  /** Go on where an event was written; `work` has null where its trace is not kept. */
  goOn<T>(traceparent: string | null, step: Step, work: (span: Span | null) => Promise<T>): Promise<T> {
    const parent = traceparent === null ? null : parseTraceparent(traceparent);
    const span = parent === null ? null : (this.tracer?.begin(step, parent) ?? null);
    return span === null ? work(null) : endingWith([span], () => work(span));
  }

  /** The same for what is over; `step` says when it began. */
  tell(traceparent: string | null, step: Step): void {
    const parent = traceparent === null ? null : parseTraceparent(traceparent);
    if (parent !== null) this.tracer?.begin(step, parent)?.end();
  }

  /** After everything that is traced. */
  async stop(): Promise<void> {
    await this.tracer?.stop();
  }
}

/** Of a response whose connection is taken over nothing more is heard: then it is over with the connection. */
function whenOver(request: IncomingMessage, response: ServerResponse, over: () => void): void {
  const ends = request.headers.upgrade === undefined ? [response] : [response, request.socket];
  const end = (): void => {
    for (const one of ends) one.off('close', end);
    over();
  };
  for (const one of ends) one.once('close', end);
}

/** By the route, not by the path, which has ids in it; that is known later. */
function stepOf({ method = '' }: IncomingMessage): Step {
  return { name: method, kind: 'server', attributes: { 'http.request.method': method } };
}

function endRequest(span: Span, request: IncomingMessage & { id?: unknown }, response: ServerResponse): void {
  const found = routeOf(request);
  const route = found === UNMATCHED ? undefined : found;
  const status = request.headers.upgrade !== undefined && !response.headersSent ? SWITCHING_PROTOCOLS : response.statusCode;
  span.note({
    name: route === undefined ? undefined : `${request.method ?? ''} ${route}`,
    attributes: {
      'http.route': route,
      'latchkey.request_id': typeof request.id === 'string' ? request.id : undefined,
      'http.response.status_code': status,
    },
  });
  if (status >= SERVER_ERROR) span.fail(String(status));
  span.end();
}
