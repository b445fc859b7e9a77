import { setTimeout as wait } from 'node:timers/promises';
import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { invalid, type Issue, LatchkeyError } from '../domain/errors.js';
import { type Outcome, printable } from './output.js';

const DEFAULT_URL = 'http://127.0.0.1:3000';
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;
/** Refusals that do not go away by asking again. */
const FINAL = [400, 401, 403, 404];

export interface TailOptions {
  /** Of the server; absent = LATCHKEY_URL. */
  url?: string;
  /** Absent = LATCHKEY_API_KEY. */
  apiKey?: string;
  types?: string;
  since?: string;
  json?: boolean;
}

/** An event as far as people are told of it. */
interface Told {
  id: string;
  type: string;
  createdAt: string;
  data: { object?: { id?: string } };
  actor: { type: string; id: string | null };
}

/**
 * `events tail`: print events as they happen, over HTTP, until Ctrl-C. A connection that is cut is made again, and goes on
 * behind the last event that was printed.
 * @throws what the server refuses it with; 400 for what was typed
 */
export async function tailEvents(options: TailOptions): Promise<Outcome> {
  const interrupted = new AbortController();
  const interrupt = (): void => {
    interrupted.abort();
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, interrupt);
  try {
    await new Tail(options, interrupted.signal).follow();
  } catch (error) {
    if (!interrupted.signal.aborted) throw error;
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, interrupt);
  }
  return { text: '' };
}

class Tail {
  private readonly stream: URL;
  private readonly apiKey: string;
  private lastEventId: string | undefined;
  private pauseMs = FIRST_PAUSE_MS;

  constructor(
    private readonly options: TailOptions,
    private readonly interrupted: AbortSignal,
  ) {
    this.stream = streamOf(options);
    this.apiKey = options.apiKey ?? textOf(process.env.LATCHKEY_API_KEY) ?? '';
    if (this.apiKey === '') throw invalid([{ path: '--api-key', message: 'is required (or the variable LATCHKEY_API_KEY)' }]);
    // Nothing else can stand in a header, and no connection would come of it.
    if (!/^[\x21-\x7e]+$/.test(this.apiKey))
      throw invalid([{ path: '--api-key', message: 'must be an API key, without spaces or line breaks' }]);
    this.lastEventId = options.since;
  }

  /** For ever, or until something is final. */
  async follow(): Promise<never> {
    for (;;) {
      const why = await this.connect();
      if (this.interrupted.aborted) throw new Error('interrupted');
      process.stderr.write(`${why}; connecting again in ${String(this.pauseMs / 1000)} s\n`);
      await wait(this.pauseMs, undefined, { signal: this.interrupted });
      this.pauseMs = Math.min(this.pauseMs * 2, LONGEST_PAUSE_MS);
    }
  }

  /** Print what comes over one connection; answers why it ended. */
  private async connect(): Promise<string> {
    try {
      const headers = {
        accept: 'text/event-stream, application/json',
        authorization: `Bearer ${this.apiKey}`,
        ...(this.lastEventId === undefined ? {} : { 'last-event-id': this.lastEventId }),
      };
      const response = await fetch(this.stream, { headers, signal: this.interrupted, redirect: 'error' });
      if (FINAL.includes(response.status)) throw await refusalOf(response);
      if (response.status !== 200 || response.body === null) return `the server answered ${String(response.status)}`;
      return await this.read(response.body);
    } catch (error) {
      if (error instanceof LatchkeyError) throw error;
      return `no connection to ${this.stream.origin}${reasonOf(error)}`;
    }
  }

  private async read(body: ReadableStream<Uint8Array>): Promise<string> {
    let why = 'the connection was cut';
    const parser = createParser({
      onEvent: (message) => {
        this.pauseMs = FIRST_PAUSE_MS;
        if (message.event === 'closed') why = `the server ended the stream: ${(JSON.parse(message.data) as { reason: string }).reason}`;
        else this.print(message);
      },
    });
    const decoder = new TextDecoder();
    for await (const chunk of body) parser.feed(decoder.decode(chunk, { stream: true }));
    return why;
  }

  private print({ id, event, data }: EventSourceMessage): void {
    if (event === 'reset') {
      process.stderr.write('the event to go on behind is not known (any more): there may be a gap here\n');
      return;
    }
    process.stdout.write(`${this.options.json === true ? data : lineOf(JSON.parse(data) as Told)}\n`);
    this.lastEventId = id;
  }
}

function streamOf({ url, types }: TailOptions): URL {
  const base = url ?? textOf(process.env.LATCHKEY_URL) ?? DEFAULT_URL;
  if (!URL.canParse(base) || !/^https?:$/.test(new URL(base).protocol))
    throw invalid([{ path: '--url', message: 'must be an http or https URL' }]);
  const stream = new URL(`${base.replace(/\/+$/, '')}/api/v1/events/stream`);
  if (types !== undefined) stream.searchParams.set('types', types);
  return stream;
}

/** The server's own words, with the option in the field's place. */
async function refusalOf(response: Response): Promise<LatchkeyError> {
  const { code, message, details } = (await response.json().catch(() => ({}))) as Partial<LatchkeyError>;
  const issues = details?.issues as Issue[] | undefined;
  if (issues !== undefined) return invalid(issues.map(({ path, message: issue }) => ({ path: `--${path}`, message: issue })));
  return new LatchkeyError(code ?? 'INTERNAL_ERROR', message ?? `The server answered ${String(response.status)}.`, details);
}

function lineOf({ id, type, createdAt, data, actor }: Told): string {
  return printable([createdAt, type.padEnd(22), data.object?.id ?? '-', `by ${actor.type} ${actor.id ?? ''}`.trim(), id].join('  '));
}

/** Of an error of `fetch`, which keeps what happened in its cause. */
function reasonOf(error: unknown): string {
  const { cause } = error as { cause?: { code?: string } };
  return cause?.code === undefined ? '' : ` (${cause.code})`;
}

function textOf(variable: string | undefined): string | undefined {
  return variable === '' ? undefined : variable;
}
