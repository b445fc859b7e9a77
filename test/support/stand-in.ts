import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { calculateJwkThumbprint, CompactSign, exportJWK, generateKeyPair, importJWK } from 'jose';

/** A server that says what a test wants, and keys to sign it with: for what the real one never does. */

export const ACCOUNT = '019aab00-0000-7000-8000-000000000001';
export const LICENSE = '019aab00-0000-7000-8000-000000000010';
export const FINGERPRINT = 'machine-of-the-test';
/** The tests' time, in seconds. */
export const NOW = 1_795_348_800;
export const DAY = 86_400;

export class Key {
  private constructor(
    private readonly privateKey: Awaited<ReturnType<typeof generateKeyPair>>['privateKey'],
    readonly jwk: { kty: string; crv: string; x: string; kid: string },
  ) {}

  static async make(): Promise<Key> {
    const { publicKey, privateKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true });
    const { x = '' } = await exportJWK(publicKey);
    const jwk = { kty: 'OKP', crv: 'Ed25519', x };
    return new Key(privateKey, { ...jwk, kid: await calculateJwkThumbprint(jwk) });
  }

  /** A compact JWS; `header` and `claims` may say anything. */
  sign(claims: object, header: object = {}): Promise<string> {
    return new CompactSign(new TextEncoder().encode(JSON.stringify(claims)))
      .setProtectedHeader({ alg: 'EdDSA', typ: 'latchkey-validation+jwt', kid: this.jwk.kid, ...header })
      .sign(this.privateKey);
  }

  /** What someone makes who knows the public key alone: `alg: HS256` with its bytes as the secret. */
  async signAsSecret(claims: object): Promise<string> {
    const secret = await importJWK({ kty: 'oct', k: this.jwk.x }, 'HS256');
    return new CompactSign(new TextEncoder().encode(JSON.stringify(claims)))
      .setProtectedHeader({ alg: 'HS256', typ: 'latchkey-validation+jwt', kid: this.jwk.kid })
      .sign(secret);
  }
}

const registered = { iss: 'latchkey', aud: ACCOUNT, environment: 'live', sub: LICENSE, iat: NOW, exp: NOW + 14 * DAY };
let documents = 0;
/** As the server makes them: a later one is larger. */
const nextId = () => `019aab00-0000-7000-9000-${String((documents += 1)).padStart(12, '0')}`;

export const entitlement = (code: string, expiresAt: string | null = null) => ({ code, expiresAt, quantity: null });

export const validationClaims = (changes: object = {}) => ({
  ...registered,
  jti: nextId(),
  valid: true,
  code: 'VALID',
  nonce: '',
  fingerprint: FINGERPRINT,
  entitlements: [entitlement('pro')],
  ...changes,
});

export const machineClaims = (changes: object = {}) => ({
  ...registered,
  jti: nextId(),
  license: { id: LICENSE },
  policy: { id: 'policy-1', name: 'Pro' },
  product: { id: 'product-1', code: 'editor', name: 'Editor' },
  entitlements: [entitlement('pro')],
  fingerprint: FINGERPRINT,
  machine: { id: 'machine-1', name: null, platform: null },
  ...changes,
});

export interface Heard {
  method: string;
  path: string;
  headers: IncomingMessage['headers'];
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  body: any;
}

export type Behaviour = (heard: Heard, response: ServerResponse) => unknown;

export class StandIn {
  readonly heard: Heard[] = [];
  behave: Behaviour = () => ({});

  private constructor(private readonly server: Server) {}

  static async start(): Promise<StandIn> {
    const server = createServer();
    const standIn = new StandIn(server);
    server.on('request', (request, response) => {
      void standIn.answer(request, response);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return standIn;
  }

  get url(): string {
    return `http://127.0.0.1:${String((this.server.address() as AddressInfo).port)}`;
  }

  stop(): void {
    this.server.closeAllConnections();
    this.server.close();
  }

  /** What `behave` returns is sent as JSON in the envelope, unless it has answered by itself or never will. */
  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const heard = {
      method: request.method ?? '',
      path: request.url ?? '',
      headers: request.headers,
      body: text === '' ? null : JSON.parse(text),
    };
    this.heard.push(heard);
    const data = await this.behave(heard, response);
    if (data !== undefined && !response.headersSent && !response.destroyed) sendJson(response, 200, { data });
  }
}

export function sendJson(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): object {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
  return {};
}

/** An error as the API has it; the answer is then complete. */
export const refuse = (response: ServerResponse, status: number, code: string, headers: Record<string, string> = {}): object =>
  sendJson(response, status, { error: 'Refused', code, message: code, requestId: 'request-1' }, headers);
