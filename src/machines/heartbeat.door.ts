import type { IncomingMessage, ServerResponse } from 'node:http';
import { Injectable } from '@nestjs/common';
import { OPEN_TO_ALL } from '../auth/cors.js';
import { LicenseKeys } from '../auth/license-keys.js';
import { HEADERS_OF_ALL } from '../core/answer.headers.js';
import { Config } from '../core/config.js';
import { requestIdOf } from '../core/logger.js';
import { Readiness } from '../core/readiness.js';
import { RequestLog } from '../core/request-log.js';
import { nameRoute } from '../core/route.js';
import { noteInSpan } from '../core/spans.js';
import { type Beaten, HeartbeatsService } from './heartbeats.service.js';

const PATH = /^\/api\/v1\/machines\/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\/heartbeat$/;
/** As the framework calls it. */
const ROUTE = '/api/v1/machines/:id/heartbeat';
const SCHEME = 'License ';

/** What says more than a plain beat does, or who else is asking. */
const NOT_PLAIN = [
  'transfer-encoding',
  'expect',
  'upgrade',
  'origin',
  'x-api-key',
  'x-account-id',
  'x-environment',
  'idempotency-key',
] as const;

const FIXED_HEADERS = Object.entries({ ...HEADERS_OF_ALL, ...OPEN_TO_ALL, 'Content-Type': 'application/json; charset=utf-8' }).flat();

/** Whoever answers what the door does not. */
type Framework = (request: IncomingMessage, response: ServerResponse) => void;

/**
 * The front door for heartbeats (docs/decisions/0016-heartbeats.md): a beat with a license key is answered before the
 * framework sees it, which is most of what it would cost. Only the plain 200 is: whatever else is asked, and whatever else
 * comes of it, is the framework's, from the beginning and untouched. So there is one behaviour, and this is a short cut.
 */
@Injectable()
export class HeartbeatDoor {
  constructor(
    private readonly heartbeats: HeartbeatsService,
    private readonly licenseKeys: LicenseKeys,
    private readonly readiness: Readiness,
    private readonly config: Config,
    private readonly requestLog: RequestLog,
  ) {}

  /** Listens to the requests of a server, before the framework. */
  before(framework: Framework): Framework {
    if (!this.config.frontDoor) return framework;
    return (request, response) => {
      const machineId = this.readiness.isStopping ? null : machineOf(request);
      const keyDigest = machineId === null ? null : this.licenseKeys.digest(keyOf(request), null);
      if (machineId === null || keyDigest === null) {
        framework(request, response);
        return;
      }
      const startedAt = performance.now();
      const requestId = requestIdOf(request);
      const handOver = (): void => {
        // Whoever has gone does not ask again.
        if (!response.destroyed) framework(request, response);
      };
      this.heartbeats.beatWithKey(keyDigest, machineId, requestId).then((beaten) => {
        if (beaten === null) handOver();
        else this.answer(request, response, beaten, { requestId, startedAt });
      }, handOver);
    };
  }

  /** As the framework would, to the byte. */
  private answer(
    request: IncomingMessage,
    response: ServerResponse,
    { view, accountId, environmentId }: Beaten,
    { requestId, startedAt }: { requestId: string; startedAt: number },
  ): void {
    nameRoute(request, ROUTE);
    noteInSpan({ 'latchkey.request_id': requestId });
    // As text: it then leaves in one piece with the head.
    const body = JSON.stringify({ data: view });
    response.writeHead(200, ['X-Request-Id', requestId, ...FIXED_HEADERS, 'Content-Length', String(Buffer.byteLength(body))]);
    response.end(body);
    const ms = performance.now() - startedAt;
    this.requestLog.note(request, { requestId, accountId, environmentId, keyPrefix: null, status: 200, ms });
  }
}

/** The machine whose plain beat this is; null = it is something else, or may be. */
function machineOf({ method, url, headers, rawHeaders }: IncomingMessage): string | null {
  if (method !== 'POST') return null;
  const machineId = PATH.exec(url ?? '')?.[1];
  if (machineId === undefined || headers.authorization?.startsWith(SCHEME) !== true) return null;
  if ((headers['content-length'] ?? '0') !== '0' || NOT_PLAIN.some((name) => headers[name] !== undefined)) return null;
  // Of several Node shows the first alone.
  const credentials = rawHeaders.filter((text, index) => index % 2 === 0 && text.toLowerCase() === 'authorization');
  return credentials.length === 1 ? machineId : null;
}

function keyOf({ headers }: IncomingMessage): string {
  return headers.authorization?.slice(SCHEME.length) ?? '';
}
