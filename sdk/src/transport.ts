import { ApiError, LatchkeyError, UnreachableError } from './errors.js';

/** Time, as an argument: tests bring their own. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Resolves when the time has passed, or a day; rejects when `signal` is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** A day: timers take no more than 2^31 − 1 ms, and do not wait at all for longer. */
export const LONGEST_WAIT_MS = 86_400_000;

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      const stop = (): void => {
        clearTimeout(timer);
        reject(reasonOf(signal));
      };
      const timer = setTimeout(
        () => {
          signal?.removeEventListener('abort', stop);
          resolve();
        },
        Math.min(ms, LONGEST_WAIT_MS),
      );
      // A wait keeps no command line alive that has nothing else to do.
      (timer as { unref?: () => void }).unref?.();
      if (signal?.aborted === true) stop();
      else signal?.addEventListener('abort', stop, { once: true });
    }),
};

export interface RetryOptions {
  /** How often a call is tried again; default 2, 0 = never. */
  retries?: number;
  /** The first wait is up to this long, and each further one up to twice the last; default 250. */
  baseDelayMs?: number;
  /** No wait is longer, unless the server asks for it; default 5,000. */
  maxDelayMs?: number;
}

export interface TransportOptions {
  baseUrl: string;
  fetch: typeof globalThis.fetch;
  clock: Clock;
  timeoutMs: number;
  retry: RetryOptions;
  /** In [0, 1). */
  random: () => number;
}

export interface Call {
  method: 'GET' | 'POST' | 'DELETE';
  /** From the root of the server, with its query. */
  path: string;
  body?: object;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

const RETRIED_STATUSES = [408, 429, 500, 502, 503, 504];

/** Calls to the server. Only what may be repeated goes through here: every call is, when it gets no answer. */
export class Transport {
  constructor(private readonly options: TransportOptions) {}

  /**
   * The body of a 2xx answer (null = none), tried again with back-off and full jitter while the time for the call lasts.
   * Fails with ApiError, UnreachableError, or the reason of the caller's own signal.
   */
  async call(call: Call): Promise<unknown> {
    const { timeoutMs, clock, retry, random } = this.options;
    const { retries = 2, baseDelayMs = 250, maxDelayMs = 5000 } = retry;
    const limit = new Limit(timeoutMs, call.signal);
    try {
      for (let attempt = 0; ; attempt += 1) {
        try {
          return await this.attempt(call, limit.signal);
        } catch (error) {
          if (call.signal?.aborted === true) throw reasonOf(call.signal);
          if (limit.signal.aborted || attempt >= retries || !isWorthRetrying(error)) throw error;
          const asked = error instanceof ApiError ? error.retryAfterMs : null;
          const delayMs = Math.max(asked ?? 0, random() * Math.min(maxDelayMs, baseDelayMs * 2 ** attempt));
          if (delayMs >= limit.remainingMs()) throw error;
          await clock.sleep(delayMs, limit.signal).catch(() => {
            throw call.signal?.aborted === true ? reasonOf(call.signal) : error;
          });
        }
      }
    } finally {
      limit.end();
    }
  }

  private async attempt({ method, path, body, headers }: Call, signal: AbortSignal): Promise<unknown> {
    const { baseUrl, fetch } = this.options;
    try {
      const response = await untilAborted(
        fetch(baseUrl + path, {
          method,
          headers: { accept: 'application/json', ...(body && { 'content-type': 'application/json' }), ...headers },
          body: body && JSON.stringify(body),
          signal,
          // A license key goes nowhere but to the server that was named.
          redirect: 'error',
          credentials: 'omit',
          cache: 'no-store',
        }),
        signal,
      );
      const text = await untilAborted(response.text(), signal);
      const parsed: unknown = text === '' ? null : JSON.parse(text);
      if (!response.ok) throw toApiError(response, parsed);
      return parsed;
    } catch (cause) {
      if (cause instanceof ApiError) throw cause;
      throw new UnreachableError(
        signal.aborted ? 'The server did not answer in time.' : 'The server cannot be reached, or talks nonsense.',
        {
          cause,
        },
      );
    }
  }
}

/** The time that a call has, and the caller's own signal, as one. */
class Limit {
  private readonly controller = new AbortController();
  private readonly startedAt = performance.now();
  private readonly timer: ReturnType<typeof setTimeout>;

  constructor(
    private readonly timeoutMs: number,
    private readonly caller: AbortSignal | undefined,
  ) {
    this.timer = setTimeout(this.abort, Math.min(timeoutMs, LONGEST_WAIT_MS));
    if (caller?.aborted === true) this.abort();
    else caller?.addEventListener('abort', this.abort, { once: true });
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  remainingMs(): number {
    return this.timeoutMs - (performance.now() - this.startedAt);
  }

  end(): void {
    clearTimeout(this.timer);
    this.caller?.removeEventListener('abort', this.abort);
  }

  private readonly abort = (): void => {
    this.controller.abort();
  };
}

/** For a `fetch` of the caller's own that does not look at its signal. */
function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      reject(reasonOf(signal));
    };
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    work.then(resolve, reject).finally(() => {
      signal.removeEventListener('abort', stop);
    });
  });
}

export function reasonOf(signal: AbortSignal | undefined): Error {
  const reason: unknown = signal?.reason;
  return reason instanceof Error ? reason : new LatchkeyError('aborted', 'The call was aborted.');
}

function isWorthRetrying(error: unknown): boolean {
  if (!(error instanceof ApiError)) return error instanceof UnreachableError;
  return RETRIED_STATUSES.includes(error.status) || error.code === 'IDEMPOTENCY_IN_PROGRESS';
}

function toApiError(response: Response, body: unknown): ApiError {
  const { code, message, details, requestId } = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>;
  return new ApiError(
    response.status,
    typeof code === 'string' ? code : `HTTP_${String(response.status)}`,
    typeof message === 'string' ? message : `The server answered ${String(response.status)}.`,
    typeof details === 'object' && details !== null ? (details as Record<string, unknown>) : {},
    typeof requestId === 'string' ? requestId : null,
    retryAfterMs(response.headers.get('retry-after')),
  );
}

/** RFC 9110, section 10.2.3: seconds. The form with a date is of the server's clock, and Latchkey does not send it. */
function retryAfterMs(value: string | null): number | null {
  return value !== null && /^\d{1,6}$/.test(value) ? Number(value) * 1000 : null;
}
