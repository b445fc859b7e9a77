import { get, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { createParser } from 'eventsource-parser';
import { WebSocket } from 'ws';
import { noteSecretsOf } from './run-record.js';

/** What a stream tells: an event, `reset` or `closed`; the last two have no id. */
export interface Told {
  id: string | null;
  event: string;
  // Tests look at what they expect to find.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  data: any;
}

/** How a stream was refused. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly headers: IncomingHttpHeaders,
    readonly body: { code?: string; details?: { issues?: { path: string }[] } },
  ) {
    super(`refused with ${String(status)}: ${JSON.stringify(body)}`);
  }
}

/** An open stream, as a client has it. */
export interface OpenStream {
  headers: IncomingHttpHeaders;
  told: Told[];
  /** Of server-sent events. */
  comments: string[];
  retryMs: number | null;
  /** Called with each frame as it comes. */
  onTold: (frame: Told) => void;
  /** Resolves when it has ended; with code and reason of a WebSocket. */
  ended: Promise<{ code: number | null; reason: string }>;
  /** Read no further; what has come is no longer taken from the connection. */
  pause: () => void;
  resume: () => void;
  /** Break the connection off, as a network does. */
  cut: () => void;
}

export interface Asking {
  headers?: Record<string, string>;
  /** Parameters of the query. */
  query?: Record<string, string>;
}

export type Kind = 'sse' | 'ws';

/** Resolves when the stream is open. @throws Refused */
export function openStream(kind: Kind, baseUrl: string, { headers = {}, query = {} }: Asking): Promise<OpenStream> {
  const url = new URL(`/api/v1/events/${kind === 'sse' ? 'stream' : 'ws'}`, baseUrl);
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  noteSecretsOf(200, { ...headers, ...(query.api_key === undefined ? {} : { 'x-api-key': query.api_key }) }, undefined);
  return kind === 'sse' ? openSse(url, headers) : openWebSocket(url, headers);
}

function openSse(url: URL, headers: Record<string, string>): Promise<OpenStream> {
  return new Promise((resolve, reject) => {
    const request = get(url, { headers: { accept: 'text/event-stream', ...headers } }, (response) => {
      if (response.statusCode !== 200) {
        void refuse(response).then(reject, reject);
        return;
      }
      const told: Told[] = [];
      const comments: string[] = [];
      const stream: OpenStream = {
        headers: response.headers,
        told,
        comments,
        retryMs: null,
        onTold: () => undefined,
        ended: new Promise((done) => {
          response.once('close', () => {
            const last = told.at(-1);
            done({ code: null, reason: last?.event === 'closed' ? last.data.reason : '' });
          });
        }),
        pause: () => response.pause(),
        resume: () => response.resume(),
        cut: () => {
          response.destroy();
        },
      };
      const parser = createParser({
        onEvent: ({ id = null, event = 'message', data }) => {
          if (!response.destroyed) take(stream, { id, event, data: JSON.parse(data) });
        },
        onComment: (comment) => comments.push(comment),
        onRetry: (retryMs) => (stream.retryMs = retryMs),
      });
      response.setEncoding('utf8').on('data', (text: string) => {
        parser.feed(text);
      });
      response.on('error', () => undefined);
      resolve(stream);
    });
    request.on('error', reject);
  });
}

function openWebSocket(url: URL, headers: Record<string, string>): Promise<OpenStream> {
  url.protocol = 'ws:';
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, { headers });
    let answered: IncomingHttpHeaders = {};
    const stream: OpenStream = {
      headers: answered,
      told: [],
      comments: [],
      retryMs: null,
      onTold: () => undefined,
      ended: new Promise((done) => {
        socket.once('close', (code, reason) => {
          done({ code, reason: reason.toString() });
        });
      }),
      pause: () => {
        socket.pause();
      },
      resume: () => {
        socket.resume();
      },
      cut: () => {
        socket.terminate();
      },
    };
    socket.on('upgrade', (response) => (answered = response.headers));
    socket.on('unexpected-response', (_, response) => void refuse(response).then(reject, reject));
    socket.on('error', reject);
    socket.on('message', (data: Buffer) => {
      if (socket.readyState === WebSocket.OPEN) take(stream, JSON.parse(data.toString()) as Told);
    });
    socket.on('open', () => {
      resolve(Object.assign(stream, { headers: answered }));
    });
  });
}

function take(stream: OpenStream, frame: Told): void {
  stream.told.push(frame);
  stream.onTold(frame);
}

async function refuse(response: IncomingMessage): Promise<Refused> {
  let text = '';
  for await (const chunk of response) text += String(chunk);
  return new Refused(response.statusCode ?? 0, response.headers, JSON.parse(text) as Refused['body']);
}
