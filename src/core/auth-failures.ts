import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Logger } from 'pino';
import { v7 as uuidv7 } from 'uuid';
import type { LatchkeyError } from '../domain/errors.js';
import { Clock } from './clock.js';
import { Database } from './database.js';
import { LOGGER } from './logger.js';
import { Metrics } from './metrics.js';
import { type Actor, currentRequest } from './request-context.js';
import { WriteBehind } from './write-behind.js';

/** What the audit log calls a request that was refused for who sent it. */
export const AUTH_FAILED_ACTION = 'auth.failed';

/** The rate limit that only failing credentials run into. */
const FAILURES_POLICY = 'auth-failures';

/** Failures alike within this time are one row; the first of them is written within a second all the same. */
const WINDOW_MS = 10_000;
/** New rows of one tenant (or of none) in a window: with everything that is known, and with nothing but their address. */
const DETAILED_ROWS = 50;
const ADDRESS_ROWS = 100;
/** While the database is away no more wait than this; then failures are told apart by tenant and code alone. */
const MAX_WAITING_ROWS = 2_000;

interface Failure {
  environmentId: string | null;
  segmentId: string | null;
  actor: Actor;
  code: string;
  ip: string | null;
  route: string | null;
  keyPrefix: string | null;
}

interface FailureRow extends Failure {
  /** Made here, so that a row whose writing is tried again is never there twice. */
  id: string;
  kind: string;
  /** Of the first failure that it stands for. */
  requestId: string | null;
  count: number;
  /** Of the last failure that it stands for. */
  at: Date;
  dueAt: number;
}

const NOBODY: Actor = { type: 'anonymous', id: null };

/** Whether the answer says that the caller is not who may do this: every 401 and 403, and a 429 for failing too often. */
export function isAuthFailure({ status, code, details }: LatchkeyError): boolean {
  return status === 401 || status === 403 || (code === 'RATE_LIMITED' && details?.policy === FAILURES_POLICY);
}

/**
 * Failures of authentication are evidence (contract: auth.md): each is a line in the log, and a row in the audit log.
 * Rows are written behind the answers, and a flood makes few of them: what is alike is counted in one row, and what is
 * more than a window's share loses first its details, then its address, but never its count.
 */
@Injectable()
export class AuthFailures implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly rows: WriteBehind<FailureRow>;
  /** The waiting row of each kind. */
  private readonly open = new Map<string, FailureRow>();
  private readonly writtenAt = new Map<string, number>();
  /** How many rows each tenant has begun in the window. */
  private begun = new Map<string, { detailed: number; addresses: number }>();
  private windowStart = 0;

  constructor(
    private readonly database: Database,
    private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly metrics: Metrics,
  ) {
    const isDue = ({ dueAt }: FailureRow): boolean => dueAt <= this.clock.now().getTime();
    this.rows = new WriteBehind('failures of authentication', (rows) => this.write([...rows.values()]), logger, isDue);
  }

  /** One failure of the request in hand. `route` is the pattern of its path; null where none was found. */
  note(code: string, method: string, route: string | null): void {
    this.metrics.authFailures.inc({ code });
    const request = currentRequest();
    const { requestId = null, ip = null, keyPrefix = null, environmentId = null, segmentId = null, actor = NOBODY } = request ?? {};
    this.logger.warn(
      { event: 'AUTH_FAILED', code, ip, method, route, ...(keyPrefix === null ? {} : { keyPrefix }), requestId },
      'a request was refused for who sent it',
    );
    this.count({ environmentId, segmentId, actor, code, ip, route, keyPrefix }, requestId);
  }

  /** Resolves when everything that was noted before can be read in the audit log. */
  flush(): Promise<void> {
    return this.rows.flush();
  }

  onApplicationBootstrap(): void {
    this.rows.start();
  }

  onApplicationShutdown(): Promise<void> {
    return this.rows.stop();
  }

  private count(failure: Failure, requestId: string | null): void {
    const at = this.clock.now();
    const known = this.asKnown(failure, at.getTime());
    const kind = kindOf(known);
    const waiting = this.open.get(kind);
    if (waiting !== undefined) {
      waiting.count += 1;
      waiting.at = at;
      return;
    }
    const dueAt = (this.writtenAt.get(kind) ?? -WINDOW_MS) + WINDOW_MS;
    const row = { ...known, id: uuidv7(), kind, requestId: known === failure ? requestId : null, count: 1, at, dueAt };
    this.open.set(kind, row);
    this.rows.note(row.id, row);
  }

  /** The failure with as much of it as there is room for: a row that waits for it, or one that may still be begun. */
  private asKnown(failure: Failure, nowMs: number): Failure {
    if (nowMs - this.windowStart >= WINDOW_MS || nowMs < this.windowStart) {
      this.windowStart = nowMs;
      this.begun = new Map();
    }
    if (this.open.has(kindOf(failure))) return failure;
    const tenant = `${failure.environmentId ?? ''} ${failure.segmentId ?? ''}`;
    const begun = this.begun.get(tenant) ?? { detailed: 0, addresses: 0 };
    this.begun.set(tenant, begun);
    const isFull = this.rows.size >= MAX_WAITING_ROWS;
    if (!isFull && begun.detailed < DETAILED_ROWS) {
      begun.detailed += 1;
      return failure;
    }
    const ofAddress = { ...failure, actor: NOBODY, route: null, keyPrefix: null };
    if (this.open.has(kindOf(ofAddress))) return ofAddress;
    if (!isFull && begun.addresses < ADDRESS_ROWS) {
      begun.addresses += 1;
      return ofAddress;
    }
    return { ...ofAddress, ip: null };
  }

  private async write(rows: FailureRow[]): Promise<void> {
    const now = this.clock.now().getTime();
    for (const [kind, at] of this.writtenAt) if (now - at >= WINDOW_MS) this.writtenAt.delete(kind);
    for (const { id, kind } of rows) {
      // From here on it stands for what it has counted; what comes next begins another.
      if (this.open.get(kind)?.id === id) this.open.delete(kind);
      this.writtenAt.set(kind, now);
    }
    await this.database.acrossTenants('write failures of authentication', (db) =>
      db.auditEntry.createMany({ data: rows.map(columnsOf), skipDuplicates: true }),
    );
  }
}

function kindOf({ environmentId, segmentId, actor, code, ip, route, keyPrefix }: Failure): string {
  return JSON.stringify([environmentId, segmentId, actor.type, actor.id, code, ip, route, keyPrefix]);
}

function columnsOf({ id, environmentId, segmentId, actor, code, ip, route, keyPrefix, requestId, count, at }: FailureRow) {
  return {
    id,
    environmentId,
    segmentId,
    action: AUTH_FAILED_ACTION,
    actorType: actor.type,
    actorId: actor.id,
    ip,
    requestId,
    code,
    route,
    keyPrefix,
    count,
    createdAt: at,
  };
}
