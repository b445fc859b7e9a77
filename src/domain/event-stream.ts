import { patternIssue } from './events.js';

/** Event streams (contract: webhooks.md, "Streams"): what is sent over them. */

/** One thing that a stream tells: an event, or something about the stream itself, which has no id. */
export interface Frame {
  /** Of the event: what a client names to go on behind it. Null leaves what it has remembered as it is. */
  id: string | null;
  /** The event's type, or `reset` or `closed`. */
  event: string;
  data: unknown;
}

/** How long a client waits before it connects again, in milliseconds. */
export const RETRY_MS = 2000;

/** The frame as server-sent events have it (WHATWG HTML, "Server-sent events"): JSON has no line breaks, so `data` is one line. */
export function toSse({ id, event, data }: Frame): string {
  const idLine = id === null ? '' : `id: ${id}\n`;
  return `${idLine}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}

/** The same frame as a message of a WebSocket. */
export function toMessage({ id, event, data }: Frame): string {
  return JSON.stringify({ id, event, data });
}

/** The event that somebody names to go on behind is not there (any more): what comes next may have a gap before it. */
export function resetFrame(lastEventId: string): Frame {
  return { id: null, event: 'reset', data: { lastEventId } };
}

/** The last words of a stream that the server ends. */
export function closedFrame(reason: string): Frame {
  return { id: null, event: 'closed', data: { reason } };
}

/** The patterns in a comma list; nothing = everything but the types of high volume. */
export function patternsOf(list: string | undefined): string[] {
  return list === undefined ? ['*'] : list.split(',').map((item) => item.trim());
}

/** What is wrong with a comma list of patterns, to follow the field's name; null = nothing. */
export function patternListIssue(list: string): string | null {
  for (const pattern of patternsOf(list)) {
    const issue = patternIssue(pattern);
    if (issue !== null) return `each ${issue}`;
  }
  return null;
}

/**
 * The code with which a WebSocket is closed (RFC 6455, section 7.4): of its own ones those that say what to do, else 4000
 * and the HTTP status that a new attempt would get.
 */
export function closeCodeOf({ reason, status }: Ending): number {
  if (reason === 'SERVER_STOPPING') return 1001;
  return status === null ? 1013 : 4000 + status;
}

/** Why the server ends a stream. */
export interface Ending {
  /** TOO_SLOW, SERVER_STOPPING, UNAVAILABLE, or the code of an error. */
  reason: string;
  /** Of the error, for a credential that is good no more; null = try again. */
  status: number | null;
}
