import { AsyncLocalStorage } from 'node:async_hooks';
import type { IncomingMessage } from 'node:http';
import { LatchkeyError } from '../domain/errors.js';

/**
 * The steps of traces that the work in hand belongs to (docs/decisions/0021-tracing.md). Where nothing is traced there are
 * none, and all of this costs one look. OpenTelemetry is behind `Span`: it is loaded only where traces go somewhere.
 */

/**
 * By the semantic conventions of OpenTelemetry where they have a name, else `latchkey.…`; never a key, a body or a value of a
 * row. Undefined = not said.
 */
export type SpanAttributes = Record<string, string | number | boolean | undefined>;

/** What is begun. */
export interface Step {
  name: string;
  kind: 'server' | 'client' | 'producer' | 'internal';
  attributes: SpanAttributes;
  /** Undefined = now. */
  startedAt?: Date;
}

/** A step of a trace that is under way; of one that is kept, for there are no others. */
export interface Span {
  readonly traceId: string;
  /** For whoever goes on elsewhere (domain/traceparent.ts). */
  readonly traceparent: string;
  /** Begin a step within. */
  begin(step: Step): Span;
  /** What is known by now; attributes are added. */
  note(known: { name?: string; attributes?: SpanAttributes }): void;
  /** It went wrong: of this kind, which is a word and never a text. */
  fail(kind: string): void;
  /** Once, and nothing more is said of it then. */
  end(): void;
}

const NONE: readonly Span[] = [];
const storage = new AsyncLocalStorage<readonly Span[]>();

/** More than one where something is done for several requests together. */
export function activeSpans(): readonly Span[] {
  return storage.getStore() ?? NONE;
}

/** Work and everything that it leads to, as part of these steps and of no others. */
export function inSpans<T>(spans: readonly Span[], work: () => T): T {
  return spans.length === 0 && activeSpans().length === 0 ? work() : storage.run(spans, work);
}

/** For a row that somebody goes on from; undefined = nothing is traced, or it is done for several. */
export function currentTraceparent(): string | undefined {
  const spans = activeSpans();
  return spans.length === 1 ? spans[0]?.traceparent : undefined;
}

/** Say more of the step in hand. */
export function noteInSpan(attributes: SpanAttributes): void {
  for (const span of activeSpans()) span.note({ attributes });
}

const ofRequests = new WeakMap<IncomingMessage, Span>();

/** The request and everything that comes of it is this step. */
export function inSpanOf(request: IncomingMessage, span: Span, work: () => void): void {
  ofRequests.set(request, span);
  inSpans([span], work);
}

/** Also when the request has ended, and nothing is in hand. */
export function traceIdOf(request: IncomingMessage): string | undefined {
  return ofRequests.get(request)?.traceId;
}

/** Fields of every line of the log. */
export function traceFields(): { traceId?: string } {
  const spans = activeSpans();
  return spans.length === 1 && spans[0] !== undefined ? { traceId: spans[0].traceId } : {};
}

/** Work as a step of what is in hand; just the work where that is not traced. */
export function asStep<T>(step: Step, work: () => Promise<T>): Promise<T> {
  const parents = activeSpans();
  if (parents.length === 0) return work();
  return endingWith(
    parents.map((parent) => parent.begin(step)),
    work,
  );
}

/** Work within these steps, which end with it. */
export async function endingWith<T>(spans: readonly Span[], work: () => Promise<T>): Promise<T> {
  try {
    return await inSpans(spans, work);
  } catch (error) {
    const failure = failureOf(error);
    if (failure !== undefined) for (const span of spans) span.fail(failure);
    throw error;
  } finally {
    for (const span of spans) span.end();
  }
}

/** What went wrong, in a word; undefined = nothing did: to refuse is an answer. Messages may show what was sent. */
function failureOf(error: unknown): string | undefined {
  if (error instanceof LatchkeyError) return error.status < 500 ? undefined : error.code;
  const { code, name } = (error ?? {}) as { code?: unknown; name?: unknown };
  if (typeof code === 'string') return code;
  return typeof name === 'string' ? name : 'Error';
}
