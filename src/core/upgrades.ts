import { type IncomingMessage, type Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type BeforeApplicationShutdown, Injectable } from '@nestjs/common';
import type { Request, Response } from 'express';
import { type WebSocket, WebSocketServer } from 'ws';
import { LatchkeyError } from '../domain/errors.js';
import { currentRequest } from './request-context.js';
import { RequestLog } from './request-log.js';

/** Clients have nothing to say. */
const MAX_MESSAGE_BYTES = 4096;
const HANDSHAKE_KEY = /^[+/0-9A-Za-z]{22}==$/;
/** What a server that stops waits for at most; it knows nothing of connections that asked for another protocol. */
const STOP_GRACE_MS = 2000;
const HANDSHAKE_VERSION = '13';
/** Of the answer in which they were set: a handshake has its own. */
const OWN_HEADERS = ['connection', 'upgrade', 'content-type', 'content-length'];

/** A request that would rather have a WebSocket than an answer. */
interface Offer {
  socket: Socket;
  head: Buffer;
}

/**
 * WebSockets (RFC 6455) whose opening requests go the way of all others: routed, logged, let in or refused, limited and
 * answered by the same parts, so that there is one set of rules. Only the handler takes the connection over.
 */
@Injectable()
export class Upgrades implements BeforeApplicationShutdown {
  private readonly connections = new Set<Socket>();
  private readonly offers = new WeakMap<IncomingMessage, Offer>();
  private readonly webSockets = new WebSocketServer({ noServer: true, clientTracking: false, maxPayload: MAX_MESSAGE_BYTES });

  constructor(private readonly requestLog: RequestLog) {
    // What belongs to every answer, like its request id and how the caller stands against their limits.
    this.webSockets.on('headers', (headers, { headersOfAnswer }: IncomingMessage & { headersOfAnswer?: string[] }) => {
      headers.push(...(headersOfAnswer ?? []));
    });
  }

  beforeApplicationShutdown(): void {
    setTimeout(() => {
      for (const socket of this.connections) socket.destroy();
    }, STOP_GRACE_MS).unref();
  }

  /** Hear who asks the server for another protocol. */
  attach(server: Server): void {
    // From Node 24.9 on, other protocols are left out of it: those requests are answered as if they had not asked.
    Object.assign(server, { shouldUpgradeCallback: asksForWebSocket });
    server.on('upgrade', (request, socket, head) => {
      this.hear(server, request, socket as Socket, head);
    });
  }

  /** @throws 426 when the request does not open a WebSocket */
  requireOffer(request: Request, response: Response): void {
    if (this.offers.has(request) && isHandshake(request)) return;
    response.setHeader('Upgrade', 'websocket');
    response.setHeader('Connection', 'Upgrade, close');
    response.setHeader('Sec-WebSocket-Version', HANDSHAKE_VERSION);
    throw new LatchkeyError('UPGRADE_REQUIRED', 'This is a WebSocket: open it with a client for those.');
  }

  /**
   * Take the connection over, and answer 101.
   * @throws 426 when the client broke off
   */
  accept(request: Request, response: Response): Promise<{ webSocket: WebSocket; socket: Socket }> {
    const offer = this.offers.get(request);
    if (offer === undefined) throw new Error('Nobody offered a WebSocket.');
    const { socket, head } = offer;
    const startedAt = performance.now();
    const { accountId = null, environmentId = null, keyPrefix = null } = currentRequest() ?? {};
    const who = { requestId: request.id, accountId, environmentId, keyPrefix };
    Object.assign(request, { headersOfAnswer: headersOf(response) });
    response.detachSocket(socket);
    return new Promise((resolve, reject) => {
      const broken = (): void => {
        reject(new LatchkeyError('UPGRADE_REQUIRED', 'The handshake was broken off.'));
      };
      socket.once('close', broken);
      this.webSockets.handleUpgrade(request, socket, head, (webSocket) => {
        socket.off('close', broken);
        webSocket.once('close', () => {
          this.requestLog.note(request, { ...who, status: 101, ms: performance.now() - startedAt }, true);
        });
        resolve({ webSocket, socket });
      });
    });
  }

  private hear(server: Server, request: IncomingMessage, socket: Socket, head: Buffer): void {
    this.connections.add(socket);
    socket.once('close', () => this.connections.delete(socket));
    socket.on('error', () => undefined);
    const response = new ServerResponse(request);
    // Nobody reads further requests from this connection.
    response.shouldKeepAlive = false;
    response.assignSocket(socket);
    response.once('finish', () => {
      socket.destroySoon();
    });
    // Of a body nothing more is read either.
    request.push(null);
    if (asksForWebSocket(request)) this.offers.set(request, { socket, head });
    server.emit('request', request, response);
  }
}

function asksForWebSocket({ headers }: IncomingMessage): boolean {
  return headers.upgrade?.toLowerCase() === 'websocket';
}

function isHandshake({ method, headers }: IncomingMessage): boolean {
  const { 'sec-websocket-key': key = '', 'sec-websocket-version': version } = headers;
  return method === 'GET' && HANDSHAKE_KEY.test(key) && version === HANDSHAKE_VERSION;
}

function headersOf(response: Response): string[] {
  return Object.entries(response.getHeaders())
    .filter(([name]) => !OWN_HEADERS.includes(name))
    .map(([name, value]) => `${name}: ${String(value)}`);
}
