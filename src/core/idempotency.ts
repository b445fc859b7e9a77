import { type CallHandler, type ExecutionContext, Injectable, type NestInterceptor } from '@nestjs/common';
import type { Request, Response } from 'express';
import { from, lastValueFrom, type Observable } from 'rxjs';
import { canonicalJson } from '../domain/canonical-json.js';
import { invalid, LatchkeyError } from '../domain/errors.js';
import { IDEMPOTENCY_HEADER, isSettled, keptUntil, readIdempotencyKey } from '../domain/idempotency.js';
import { textIssues, TOO_DEEP } from '../domain/text.js';
import { AuthFailures } from './auth-failures.js';
import { Clock } from './clock.js';
import { Database } from './database.js';
import { toErrorAnswer } from './error.filter.js';
import { MasterKey } from './master-key.js';
import { isFresh } from './openapi.js';
import { currentRequest } from './request-context.js';
import { routeOf } from './route.js';
import { sealedAnswerContext } from './sealed-columns.js';
import { fileRuleOf } from './spool.js';

/** As Node spells it. */
const HEADER = IDEMPOTENCY_HEADER.toLowerCase();
const RETRY_AFTER_SECONDS = 1;
/** Statuses that say that the caller is not who may do this. */
const REFUSALS = [401, 403];

/** An answer as it leaves; an empty body is none at all. */
interface KeptAnswer {
  status: number;
  location: string | null;
  contentType: string;
  body: string;
}

/** The answer to a request that was done for the first time, and what was thrown when it is an error. */
interface FirstAnswer extends KeptAnswer {
  thrown?: unknown;
}

/** What stands for a request: its key in its place, and what was asked. */
interface Claim {
  digest: Uint8Array<ArrayBuffer>;
  requestDigest: Uint8Array<ArrayBuffer>;
}

/**
 * `Idempotency-Key` on POST (contract: http.md, "Idempotency"; docs/decisions/0010-idempotency.md). The outermost
 * interceptor: what it keeps is the finished answer, in the transaction that does the work, and it answers only when
 * that is committed.
 */
@Injectable()
export class IdempotencyInterceptor implements NestInterceptor {
  constructor(
    private readonly database: Database,
    private readonly masterKey: MasterKey,
    private readonly clock: Clock,
    private readonly authFailures: AuthFailures,
  ) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const request = context.switchToHttp().getRequest<Request>();
    const isKeyed = request.method === 'POST' && request.headers[HEADER] !== undefined;
    if (!isKeyed || isFresh(context.getHandler())) return next.handle();
    const response = context.switchToHttp().getResponse<Response>();
    return from(this.once(request, response, next, fileRuleOf(context.getHandler())?.workTimeoutMs));
  }

  private async once(request: Request, response: Response, next: CallHandler, timeoutMs?: number): Promise<string | undefined> {
    const claim = this.claimOf(request);
    const { answer, isReplay } = await this.database.inOneTransaction(async () => {
      const kept = await this.claim(claim, response);
      if (kept !== null) return { answer: kept, isReplay: true };
      const first = await firstAnswer(request, response, next);
      // Rejecting is what takes the work back, and the error filter answers.
      if (!isSettled(first.status)) throw first.thrown;
      await this.keep(claim, first);
      return { answer: first, isReplay: false };
    }, timeoutMs);
    // The filter logs and answers an error, with the very body that is kept.
    if ('thrown' in answer) throw answer.thrown;
    if (isReplay) {
      response.setHeader('Idempotent-Replayed', 'true');
      // The filter does not see it, and a refusal is evidence each time.
      if (REFUSALS.includes(answer.status)) this.authFailures.note(codeOf(answer), request.method, routeOf(request));
    }
    return write(answer, response);
  }

  /** @throws 400 for a key that is none */
  private claimOf(request: Request): Claim {
    const key = readIdempotencyKey(request.headersDistinct[HEADER] ?? []);
    // Here, and not only where bodies are validated: the canonical form is made recursively.
    const issues = textIssues(request.body);
    if (issues.some(({ message }) => message === TOO_DEEP)) throw invalid(issues);
    const query = request.originalUrl.split('?', 2)[1] ?? '';
    return {
      digest: this.masterKey.digestIdempotencyKey(JSON.stringify([...callerOf(request), request.method, request.path, key])),
      requestDigest: this.masterKey.digestIdempotentRequest(JSON.stringify([query, ...contentOf(request)])),
    };
  }

  /**
   * The answer that was given before; or null, and the request is this transaction's to do until it ends. The lock is
   * what "still running" means: PostgreSQL lets go of it with the transaction, also when the process is killed.
   * @throws 409 IDEMPOTENCY_IN_PROGRESS, 422 IDEMPOTENCY_KEY_REUSED
   */
  private claim({ digest, requestDigest }: Claim, response: Response): Promise<KeptAnswer | null> {
    return this.database.acrossTenants('claim an idempotency key', async (db) => {
      const lock = Buffer.from(digest).readBigInt64BE();
      const [claimed] = await db.$queryRaw<{ isOurs: boolean }[]>`SELECT pg_try_advisory_xact_lock(${lock}::bigint) AS "isOurs"`;
      if (claimed?.isOurs !== true) {
        response.setHeader('Retry-After', RETRY_AFTER_SECONDS);
        throw new LatchkeyError('IDEMPOTENCY_IN_PROGRESS', 'The first request with this Idempotency-Key is still running.');
      }
      // A statement of its own, after the lock: it sees what the holder before has committed.
      const row = await db.idempotencyKey.findUnique({ where: { digest } });
      if (row === null) return null;
      if (row.expiresAt <= this.clock.now()) {
        await db.idempotencyKey.deleteMany({ where: { digest } });
        return null;
      }
      if (!Buffer.from(row.requestDigest).equals(requestDigest))
        throw new LatchkeyError('IDEMPOTENCY_KEY_REUSED', 'This Idempotency-Key was used with another body.');
      const { status, location, contentType, bodySealed } = row;
      return {
        status,
        location,
        contentType,
        body: this.masterKey.open(bodySealed, sealedAnswerContext(Buffer.from(digest).toString('hex'))),
      };
    });
  }

  private async keep({ digest, requestDigest }: Claim, { status, location, contentType, body }: KeptAnswer): Promise<void> {
    const bodySealed = this.masterKey.seal(body, sealedAnswerContext(Buffer.from(digest).toString('hex')));
    const expiresAt = keptUntil(this.clock.now());
    await this.database.acrossTenants('keep the first answer to an idempotency key', (db) =>
      db.idempotencyKey.createMany({ data: { digest, requestDigest, status, location, contentType, bodySealed, expiresAt } }),
    );
  }
}

/** What was sent, whatever its form. */
function contentOf({ file, body }: Request): string[] {
  return file === undefined ? [canonicalJson(body ?? {})] : [file.contentType, file.digest];
}

/** Whose key it is. Without a credential an address stands for the caller: nobody else gets the answer. */
function callerOf(request: Request): unknown[] {
  const caller = currentRequest();
  if (caller === null) throw new Error('An idempotency key was used outside of a request.');
  const { actor, credential, environmentId, ip } = caller;
  if (actor.type !== 'anonymous') return [environmentId, actor.type, actor.id, credential];
  // With what was shown, where no credential is asked for: two that differ are never taken for one.
  return [environmentId, actor.type, ip, request.headers.authorization, request.headers['x-api-key']];
}

/** Do the work. An error is an answer too. */
async function firstAnswer(request: Request, response: Response, next: CallHandler): Promise<FirstAnswer> {
  try {
    const envelope: unknown = await lastValueFrom(next.handle(), { defaultValue: undefined });
    const location = response.getHeader('Location');
    return {
      status: response.statusCode,
      location: typeof location === 'string' ? location : null,
      ...(envelope === undefined ? { contentType: '', body: '' } : { contentType: 'application/json', body: JSON.stringify(envelope) }),
    };
  } catch (thrown) {
    return { ...toErrorAnswer(thrown, request), location: null, thrown };
  }
}

/** Head of the answer; gives back the body that the framework then sends. */
function write({ status, location, contentType, body }: KeptAnswer, response: Response): string | undefined {
  response.status(status);
  // The route may have set one before the handler ran, for what it would make.
  if (location === null) response.removeHeader('Location');
  else response.setHeader('Location', location);
  if (contentType === '') return undefined;
  response.type(contentType);
  return body;
}

function codeOf({ body }: KeptAnswer): string {
  return (JSON.parse(body) as { code: string }).code;
}
