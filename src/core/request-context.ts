import { AsyncLocalStorage } from 'node:async_hooks';
import type { NextFunction, Request, Response } from 'express';
import { canonicalAddress } from '../domain/addresses.js';
import { requestIdOf } from './logger.js';

/** Who acts, as the audit log names them. */
export interface Actor {
  type: 'api_key' | 'user' | 'license' | 'platform' | 'operator' | 'system' | 'anonymous';
  id: string | null;
}

/** What is known of the request in hand, wherever in its work one is; filled as it becomes known. */
export interface RequestContext {
  requestId: string | null;
  /** Address of the client: the socket's, or what a trusted proxy says. */
  ip: string | null;
  /** Anonymous until the guard knows better. */
  actor: Actor;
  /**
   * The very credential: two that may do different things are two, like a key and a token with less, though their actor is
   * one. Null = none was recognised.
   */
  credential: string | null;
  /** The account that the credential belongs to, or that a user asks for, also when it was refused; null = none that can be told. */
  accountId: string | null;
  /** The tenant that the credential belongs to, also when it was refused; null = none that can be told. */
  environmentId: string | null;
  /** The segment of an API key with that flair. */
  segmentId: string | null;
  /** First characters of the API key that was shown. */
  keyPrefix: string | null;
  /** Where headers of the answer are set; null on the command line. */
  response: Response | null;
}

declare module 'http' {
  interface IncomingMessage {
    /** Set with the context of a request; answered in `X-Request-Id`. */
    id: string;
  }
}

const storage = new AsyncLocalStorage<RequestContext>();

/** Work and everything that it leads to, on behalf of this request. */
export function onBehalfOf<T>(context: RequestContext, work: () => T): T {
  return storage.run(context, work);
}

/** The request in hand, or null in a job of the server's own. */
export function currentRequest(): RequestContext | null {
  return storage.getStore() ?? null;
}

/** Middleware: everything behind it is on behalf of its request, which has an id from here on. */
export function openRequestContext(request: Request, response: Response, next: NextFunction): void {
  request.id = requestIdOf(request);
  // Answered in the header, whosever it is.
  response.setHeader('X-Request-Id', request.id);
  const context: RequestContext = {
    requestId: request.id,
    // One spelling, so that what is counted, compared and looked for is the same; what is no address at all is none.
    ip: canonicalAddress(request.ip ?? ''),
    actor: { type: 'anonymous', id: null },
    credential: null,
    accountId: null,
    environmentId: null,
    segmentId: null,
    keyPrefix: null,
    response,
  };
  onBehalfOf(context, next);
}
