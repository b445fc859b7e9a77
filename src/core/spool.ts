import { type CallHandler, type ExecutionContext, Injectable, type NestInterceptor, SetMetadata } from '@nestjs/common';
import type { Request } from 'express';
import { createHash } from 'node:crypto';
import { mkdtemp, open, type FileHandle, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { finalize, from, mergeMap, type Observable } from 'rxjs';
import { currentRequest } from './request-context.js';
import { invalid, LatchkeyError } from '../domain/errors.js';

/**
 * Bodies that are files (contract: http.md, "Base"): written to disk as they come, so that none is ever whole in memory
 * and a slow client holds no connection of the database.
 */

/** The file that a request brought; gone when it is answered. */
export interface SpooledFile {
  /** As sent, without parameters. */
  contentType: string;
  /** SHA-256 of the content, in hex. */
  digest: string;
  /** From the beginning, as often as need be. */
  read: () => Readable;
}

declare module 'express-serve-static-core' {
  interface Request {
    /** On routes that take a file. */
    file?: SpooledFile;
  }
}

interface FileRule {
  types: readonly string[];
  limitBytes: number;
  /** For how long the work may hold its transaction, where all of it is one. */
  workTimeoutMs: number;
}

const FILE = 'latchkey:file';
const MIB = 1024 * 1024;
/** At once, in this process. */
const MAX_FILES = 2;
const RETRY_AFTER_SECONDS = 5;

/** The route takes a file of one of these types instead of JSON. */
export const TakesFile = (rule: FileRule): MethodDecorator => SetMetadata(FILE, rule);

export function fileRuleOf(handler: object): FileRule | undefined {
  return Reflect.getMetadata(FILE, handler) as FileRule | undefined;
}

/** The file that a handler which takes one was sent. */
export function requireFile({ file }: Request): SpooledFile {
  if (file === undefined) throw new Error('a route without @TakesFile asks for a file');
  return file;
}

/** Before all others: what reads the request's content finds it. */
@Injectable()
export class SpoolInterceptor implements NestInterceptor {
  /** Of whom a file is being taken, from its first byte to the answer. */
  private readonly busy = new Set<string>();

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const rule = fileRuleOf(context.getHandler());
    if (rule === undefined) return next.handle();
    const request = context.switchToHttp().getRequest<Request>();
    const environmentId = currentRequest()?.environmentId ?? '';
    this.admit(environmentId);
    return from(spool(request, rule)).pipe(
      mergeMap(({ file, close }) => {
        request.file = file;
        return next.handle().pipe(finalize(close));
      }),
      finalize(() => this.busy.delete(environmentId)),
    );
  }

  /** Files are long work: no tenant keeps the disk and the database's connections from the others. */
  private admit(environmentId: string): void {
    if (this.busy.has(environmentId)) {
      const details = { policy: 'files', limit: 1, retryAfterSeconds: RETRY_AFTER_SECONDS };
      throw new LatchkeyError(
        'RATE_LIMITED',
        'Another file of this environment is being taken: send this one when that is answered.',
        details,
      );
    }
    if (this.busy.size >= MAX_FILES) throw new LatchkeyError('UNAVAILABLE', 'Too many files are being taken. Try again shortly.');
    this.busy.add(environmentId);
  }
}

/** @throws 415, 413, 400 for a body that ends early or is not there, 503 when there is no room for it */
async function spool(request: Request, rule: FileRule): Promise<{ file: SpooledFile; close: () => void }> {
  const contentType = requireType(request, rule.types);
  if (Number(request.headers['content-length'] ?? 0) > rule.limitBytes) throw tooLarge(rule.limitBytes);
  const handle = await openNameless();
  const close = (): void => void handle.close().catch(() => undefined);
  try {
    const digest = createHash('sha256');
    for await (const chunk of bounded(request, rule.limitBytes)) {
      digest.update(chunk);
      await handle.appendFile(chunk).catch(refuseForWantOfRoom);
    }
    const read = (): Readable => handle.createReadStream({ start: 0, autoClose: false });
    return { file: { contentType, digest: digest.digest('hex'), read }, close };
  } catch (error) {
    close();
    throw error;
  }
}

/** UTF-8 and plain: neither is worth a second way to read a file. */
function requireType(request: Request, types: readonly string[]): string {
  const [contentType = '', ...parameters] = (request.headers['content-type'] ?? '')
    .toLowerCase()
    .split(';')
    .map((part) => part.trim());
  const charset = parameters.find((parameter) => parameter.startsWith('charset='))?.replace(/^charset=|"/g, '');
  const encoding = request.headers['content-encoding'] ?? 'identity';
  if (!types.includes(contentType) || (charset !== undefined && !/^utf-?8$/.test(charset)) || encoding !== 'identity')
    throw new LatchkeyError('UNSUPPORTED_MEDIA_TYPE', `The file is sent as Content-Type: ${types.join(' or ')}; UTF-8, not compressed.`);
  return contentType;
}

async function* bounded(request: Request, limitBytes: number): AsyncGenerator<Buffer> {
  let bytes = 0;
  try {
    // Left alive when this ends early: its socket is still to carry the answer.
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > limitBytes) throw tooLarge(limitBytes);
      yield chunk;
    }
  } catch (error) {
    throw error instanceof LatchkeyError ? error : new LatchkeyError('MALFORMED_JSON', 'The body ended early.');
  }
  if (bytes === 0) throw invalid([{ path: '', message: 'a file must be sent' }]);
}

/** Its name is taken away at once: whatever happens to this process, nothing of the file is left behind. */
async function openNameless(): Promise<FileHandle> {
  const directory = await mkdtemp(join(tmpdir(), `latchkey-upload-${String(process.pid)}-`)).catch(refuseForWantOfRoom);
  try {
    return await open(join(directory, 'body'), 'wx+', 0o600);
  } catch (error) {
    return refuseForWantOfRoom(error);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function refuseForWantOfRoom(error: unknown): never {
  const reason = (error as NodeJS.ErrnoException).code ?? 'unknown';
  throw new LatchkeyError('UNAVAILABLE', `The file could not be kept on the server's disk (${reason}). Try again later.`);
}

function tooLarge(limitBytes: number): LatchkeyError {
  return new LatchkeyError('PAYLOAD_TOO_LARGE', `The file is larger than ${String(limitBytes / MIB)} MiB.`);
}
