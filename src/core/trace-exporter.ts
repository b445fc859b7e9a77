import { setTimeout as wait } from 'node:timers/promises';
import {
  ROOT_CONTEXT,
  type Span as OtelSpan,
  SpanKind,
  SpanStatusCode,
  type Tracer as OtelTracer,
  trace,
  TraceFlags,
} from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import { ATTR_ERROR_TYPE, ATTR_SERVICE_NAME, ATTR_SERVICE_VERSION } from '@opentelemetry/semantic-conventions';
import type { Logger } from 'pino';
import { formatTraceparent } from '../domain/traceparent.js';
import type { Span, Step } from './spans.js';
import type { Tracer } from './tracing.js';
import { VERSION } from './version.js';

/** At stop, what has ended has so long to be sent. */
const STOP_MS = 1000;
const WARNING_INTERVAL_MS = 60_000;

const KINDS = {
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  internal: SpanKind.INTERNAL,
} as const;

/**
 * Sends traces by OTLP over HTTP to the base URL of a collector (OpenTelemetry Protocol Exporter: `/v1/traces` is added), many
 * spans together and behind the answers. Nothing is registered for the whole process. What else the specification has for the
 * environment, like `OTEL_TRACES_SAMPLER` and `OTEL_EXPORTER_OTLP_HEADERS`, the SDK reads by itself.
 */
export function exportTraces(endpoint: string, logger: Logger): Tracer {
  const ours = resourceFromAttributes({ [ATTR_SERVICE_NAME]: 'latchkey', [ATTR_SERVICE_VERSION]: VERSION });
  const provider = new NodeTracerProvider({
    resource: ours.merge(detectResources({ detectors: [envDetector] })),
    spanProcessors: [new BatchSpanProcessor(new WarningExporter(tracesUrl(endpoint), logger))],
  });
  const tracer = provider.getTracer('latchkey', VERSION);
  return {
    begin: (step, parent) => {
      const context =
        parent === null
          ? ROOT_CONTEXT
          : trace.setSpanContext(ROOT_CONTEXT, {
              traceId: parent.traceId,
              spanId: parent.spanId,
              traceFlags: parent.isSampled ? TraceFlags.SAMPLED : TraceFlags.NONE,
              isRemote: true,
            });
      const span = beginSpan(tracer, step, context);
      return span.isRecording() ? new SentSpan(tracer, span) : null;
    },
    stop: async () => {
      const sent = provider.shutdown().then(
        () => true,
        () => true,
      );
      const late = wait(STOP_MS, false, { ref: false });
      if (!(await Promise.race([sent, late]))) logger.warn('the last traces could not be sent in time');
    },
  };
}

class SentSpan implements Span {
  readonly traceId: string;

  constructor(
    private readonly tracer: OtelTracer,
    private readonly span: OtelSpan,
  ) {
    this.traceId = span.spanContext().traceId;
  }

  get traceparent(): string {
    const { traceId, spanId } = this.span.spanContext();
    return formatTraceparent({ traceId, spanId, isSampled: true });
  }

  begin(step: Step): Span {
    return new SentSpan(this.tracer, beginSpan(this.tracer, step, trace.setSpan(ROOT_CONTEXT, this.span)));
  }

  note({ name, attributes }: Parameters<Span['note']>[0]): void {
    if (name !== undefined) this.span.updateName(name);
    if (attributes !== undefined) this.span.setAttributes(attributes);
  }

  fail(kind: string): void {
    this.span.setAttribute(ATTR_ERROR_TYPE, kind).setStatus({ code: SpanStatusCode.ERROR });
  }

  end(): void {
    this.span.end();
  }
}

function beginSpan(tracer: OtelTracer, { name, kind, attributes, startedAt }: Step, context: typeof ROOT_CONTEXT): OtelSpan {
  return tracer.startSpan(name, { kind: KINDS[kind], attributes, startTime: startedAt }, context);
}

function tracesUrl(endpoint: string): string {
  const url = new URL(endpoint);
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/v1/traces`;
  return url.href;
}

type Export = Parameters<OTLPTraceExporter['export']>;

/** What could not be sent is gone: said in the log once a minute at most, and no fault of anything that was traced. */
class WarningExporter extends OTLPTraceExporter {
  private lostSpans = 0;
  private isSilentUntil = 0;

  constructor(
    url: string,
    private readonly logger: Logger,
  ) {
    super({ url });
  }

  override export(spans: Export[0], done: Export[1]): void {
    super.export(spans, (result) => {
      if (result.error !== undefined) this.warn(result.error, spans.length);
      done(result);
    });
  }

  private warn({ message }: Error, lost: number): void {
    this.lostSpans += lost;
    if (Date.now() < this.isSilentUntil) return;
    this.isSilentUntil = Date.now() + WARNING_INTERVAL_MS;
    this.logger.warn({ reason: message, lostSpans: this.lostSpans }, 'traces could not be sent');
    this.lostSpans = 0;
  }
}
