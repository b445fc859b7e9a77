import { request as httpRequest } from 'node:http';
import { noteSecretsOf } from './run-record.js';

/** What came back, with the body parsed when it is JSON. */
export interface Reply {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
  // Tests look at what they expect to find; the contract is asserted, not typed.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  body: any;
}

export interface Sending {
  headers?: Record<string, string | string[]>;
  /** Sent as it is; `body` is sent as JSON. */
  raw?: string | Buffer;
  body?: unknown;
}

/** One request over a real socket, so that what is asserted is what a client sees. */
export function send(baseUrl: string, method: string, path: string, { headers = {}, raw, body }: Sending = {}): Promise<Reply> {
  const payload = raw ?? (body === undefined ? undefined : JSON.stringify(body));
  const type = payload === undefined || 'content-type' in headers ? {} : { 'content-type': 'application/json' };
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(new URL(path, baseUrl), { method, headers: { ...type, ...headers } }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        const isJson = /\bjson\b/.test(String(response.headers['content-type']));
        const status = response.statusCode ?? 0;
        const answered = isJson && text !== '' ? (JSON.parse(text) as unknown) : undefined;
        noteSecretsOf(status, headers, answered);
        resolve({ status, headers: response.headers, text, body: answered });
      });
    });
    outgoing.on('error', reject);
    outgoing.end(payload);
  });
}

/** A caller that always sends the same headers, under /api/v1. */
export class Client {
  constructor(
    readonly baseUrl: string,
    readonly headers: Record<string, string>,
  ) {}

  get = (path: string): Promise<Reply> => this.call('GET', path);
  post = (path: string, body?: unknown): Promise<Reply> => this.call('POST', path, { body });
  patch = (path: string, body?: unknown): Promise<Reply> => this.call('PATCH', path, { body });
  delete = (path: string): Promise<Reply> => this.call('DELETE', path);

  /** The same caller with more headers. */
  with(headers: Record<string, string>): Client {
    return new Client(this.baseUrl, { ...this.headers, ...headers });
  }

  call(method: string, path: string, sending: Sending = {}): Promise<Reply> {
    return send(this.baseUrl, method, `/api/v1${path}`, { ...sending, headers: { ...this.headers, ...sending.headers } });
  }
}

export const withKey = (baseUrl: string, key: string): Client => new Client(baseUrl, { authorization: `Bearer ${key}` });
export const withLicense = (baseUrl: string, key: string, account?: string): Client =>
  new Client(baseUrl, { authorization: `License ${key}`, ...(account === undefined ? {} : { 'x-account-id': account }) });
export const anyone = (baseUrl: string): Client => new Client(baseUrl, {});
