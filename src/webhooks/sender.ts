import { Inject, Injectable, type OnApplicationShutdown, Optional } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { buildConnector, type Dispatcher, Pool } from 'undici';
import { VERSION } from '../core/version.js';
import { endpointUrlIssue } from '../domain/endpoint-url.js';
import { sign } from '../domain/webhook-signature.js';
import { AddressGuard, NotPublicError } from './address-guard.js';
import { describeFailure } from './attempt-errors.js';

/** One event on its way to one endpoint. */
export interface Sendable {
  url: string;
  /** Secrets that sign, the newest first; several during a rotation. */
  secrets: readonly string[];
  /** The id of the event: the same on every try. */
  eventId: string;
  /** The event as JSON, sent as it is. */
  body: string;
}

/** What came of one try. It has succeeded where `error` is null, which is so for 2xx and nothing else. */
export interface AttemptOutcome {
  startedAt: Date;
  durationMs: number;
  /** Status of the answer; null = none came. */
  responseCode: number | null;
  /** A sentence for the vendor. */
  error: string | null;
  /** Beginning of the answer, at most 2 KiB of it, as text that PostgreSQL can store; null = no answer came. */
  responseBody: string | null;
  /** The header `Retry-After` as it came (RFC 9110, section 10.2.3). */
  retryAfter: string | null;
}

/** How long a try may take, in milliseconds. */
export interface SendingLimits {
  /** Name, TCP and TLS together. */
  connectTimeoutMs: number;
  /** Silence within the answer's body. */
  bodyTimeoutMs: number;
  /** All of it (contract: webhooks.md, "Delivery"). */
  timeoutMs: number;
}

/** Token of limits other than the usual ones. */
export const SENDING_LIMITS = Symbol('SendingLimits');
const USUAL_LIMITS: SendingLimits = { connectTimeoutMs: 5000, bodyTimeoutMs: 5000, timeoutMs: 15_000 };

const MAX_READ_BYTES = 64 * 1024;
const MAX_KEPT_BYTES = 2 * 1024;
const MAX_HEADER_BYTES = 16 * 1024;
const MAX_RETRY_AFTER_LENGTH = 100;
/** A URL that is called more often at a time than this waits for itself. */
const MAX_CONNECTIONS_PER_URL = 50;
const MAX_KEPT_POOLS = 1000;
const KEEP_ALIVE_MS = 4000;
const MAX_KEEP_ALIVE_MS = 30_000;

type Answer = Pick<AttemptOutcome, 'responseCode' | 'error' | 'responseBody' | 'retryAfter'>;

/**
 * Sends signed events (Standard Webhooks) to vendors' endpoints, and to nobody else: redirects are not followed, proxies of
 * the environment not used, certificates verified, addresses checked at every connection.
 */
@Injectable()
export class WebhookSender implements OnApplicationShutdown {
  private readonly limits: SendingLimits;
  private readonly connector: buildConnector.connector;
  /** By URL, not by host: where many vendors use one host, the slow answers of one fill no connection of another. */
  private readonly pools = new LRUCache<string, Pool>({
    max: MAX_KEPT_POOLS,
    dispose: (pool, _, reason) => {
      if (reason === 'evict') void pool.close();
    },
  });
  private isClosed = false;

  constructor(
    private readonly guard: AddressGuard,
    @Optional() @Inject(SENDING_LIMITS) limits: SendingLimits = USUAL_LIMITS,
  ) {
    this.limits = limits;
    const connect = buildConnector({ lookup: guard.lookup, timeout: limits.connectTimeoutMs, allowH2: false });
    this.connector = (options, done) => {
      // Nothing is looked up for an address, so this is where it is judged.
      if (guard.refuses(options.hostname)) done(new NotPublicError(), null);
      else connect(options, done);
    };
  }

  /** Makes one try. Never rejects: whatever goes wrong is told in the outcome. */
  async send(what: Sendable): Promise<AttemptOutcome> {
    const startedAt = new Date();
    const started = performance.now();
    const answer = await this.request(what, startedAt).catch((error: unknown) => noAnswer(describeFailure(error)));
    return { startedAt, durationMs: Math.round(performance.now() - started), ...answer };
  }

  /** Ends all connections; what is under way fails. */
  async close(): Promise<void> {
    this.isClosed = true;
    const pools = [...this.pools.values()];
    this.pools.clear();
    await Promise.all(pools.map((pool) => pool.destroy()));
  }

  async onApplicationShutdown(): Promise<void> {
    await this.close();
  }

  private async request({ url, secrets, eventId, body }: Sendable, startedAt: Date): Promise<Answer> {
    if (this.isClosed) return noAnswer('The server was stopped.');
    // Settings may have changed since the endpoint was made.
    const issue = endpointUrlIssue(url, this.guard.reach);
    if (issue !== null) return noAnswer(`The URL ${issue}.`);
    const { pathname, search } = new URL(url);
    const timestamp = Math.floor(startedAt.getTime() / 1000);
    const response = await this.poolOf(url).request({
      method: 'POST',
      path: pathname + search,
      headers: {
        'content-type': 'application/json',
        'user-agent': `Latchkey/${VERSION}`,
        'webhook-id': eventId,
        'webhook-timestamp': String(timestamp),
        'webhook-signature': sign(secrets, eventId, timestamp, body),
      },
      body,
      signal: AbortSignal.timeout(this.limits.timeoutMs),
      headersTimeout: this.limits.timeoutMs,
      bodyTimeout: this.limits.bodyTimeoutMs,
    });
    return answerOf(response);
  }

  private poolOf(url: string): Pool {
    const known = this.pools.get(url);
    if (known !== undefined) return known;
    const pool = new Pool(new URL(url).origin, {
      connect: this.connector,
      connections: MAX_CONNECTIONS_PER_URL,
      pipelining: 1,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: MAX_KEEP_ALIVE_MS,
      maxHeaderSize: MAX_HEADER_BYTES,
    });
    this.pools.set(url, pool);
    return pool;
  }
}

/**
 * The status is the receiver's word, and stands even where the rest does not come, or comes without end: the body is only
 * shown to the vendor.
 */
async function answerOf({ statusCode, headers, body }: Dispatcher.ResponseData): Promise<Answer> {
  const retryAfter = headers['retry-after'];
  return {
    responseCode: statusCode,
    error: errorOf(statusCode),
    responseBody: await beginningOf(body),
    retryAfter: (Array.isArray(retryAfter) ? retryAfter[0] : retryAfter)?.slice(0, MAX_RETRY_AFTER_LENGTH) ?? null,
  };
}

function errorOf(statusCode: number): string | null {
  if (statusCode >= 200 && statusCode < 300) return null;
  const answered = `The answer was ${String(statusCode)}`;
  return statusCode >= 300 && statusCode < 400 ? `${answered}, and redirects are not followed.` : `${answered}.`;
}

async function beginningOf(body: Dispatcher.ResponseData['body']): Promise<string> {
  const kept: Buffer[] = [];
  let readBytes = 0;
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      if (readBytes < MAX_KEPT_BYTES) kept.push(chunk.subarray(0, MAX_KEPT_BYTES - readBytes));
      readBytes += chunk.length;
      if (readBytes >= MAX_READ_BYTES) break;
    }
  } catch {
    // What came before it broke off is kept.
  }
  return toText(Buffer.concat(kept));
}

/** A character that was cut in two is left out, and NUL, which PostgreSQL cannot store. What is no UTF-8 becomes U+FFFD. */
function toText(bytes: Buffer): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes, { stream: true }).replaceAll('\0', '');
}

function noAnswer(error: string): Answer {
  return { responseCode: null, error, responseBody: null, retryAfter: null };
}
