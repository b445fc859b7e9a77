import { isUtf8 } from 'node:buffer';
import express, { type NextFunction, type Request, type RequestHandler, type Response } from 'express';
import { LatchkeyError } from '../domain/errors.js';

const BODY_LIMIT_BYTES = 256 * 1024;
const KIB = 1024;
const FORM_TYPE = 'application/x-www-form-urlencoded';

/** Where bodies are something else than in most places. */
interface Exceptions {
  /** The one path that takes forms too. */
  formsAt: string;
  /** Larger limits than the common one, by path. */
  limitsBytes: Readonly<Record<string, number>>;
  /** What is posted here is left unread, for whoever takes it (spool.ts). */
  filesAt: string;
}

/** JSON bodies (contract: http.md, "Base"): the right type, the right size, real UTF-8; anything else is its own 4xx. */
export function jsonBody({ formsAt, limitsBytes, filesAt }: Exceptions): RequestHandler {
  const parseForm = express.urlencoded({ limit: BODY_LIMIT_BYTES, extended: false });
  const parsers = new Map([BODY_LIMIT_BYTES, ...Object.values(limitsBytes)].map((limitBytes) => [limitBytes, parserOf(limitBytes)]));
  return (request: Request, response: Response, next: NextFunction) => {
    const path = routePath(request);
    if (request.method === 'POST' && path === filesAt) {
      next();
      return;
    }
    const takesForms = request.path === formsAt;
    const limitBytes = limitsBytes[path] ?? BODY_LIMIT_BYTES;
    const settle = (error?: unknown): void => {
      next(error === undefined ? undefined : toLatchkeyError(error, { takesForms, limitBytes }));
    };
    if (takesForms && request.is(FORM_TYPE) !== false) {
      parseForm(request, response, (error?: unknown) => {
        if (error === undefined) dropEmptyFields(request);
        settle(error);
      });
      return;
    }
    if (hasBody(request) && request.is('application/json') === false) {
      next(
        new LatchkeyError(
          'UNSUPPORTED_MEDIA_TYPE',
          `Bodies are sent as Content-Type: application/json${takesForms ? ` or ${FORM_TYPE}` : ''}.`,
        ),
      );
      return;
    }
    parsers.get(limitBytes)?.(request, response, settle);
  };
}

/** As the router takes it: in any case, with a slash at its end or without. */
function routePath(request: Request): string {
  return request.path.toLowerCase().replace(/\/$/, '');
}

function parserOf(limitBytes: number): RequestHandler {
  return express.json({
    limit: limitBytes,
    type: 'application/json',
    verify: (_request, _response, bytes) => {
      // The parser would put replacement characters where the bytes are wrong, and the vendor's text would be changed.
      // A plain error: the parser writes a status onto it, which one of ours does not take, and that would end the process.
      if (!isUtf8(bytes)) throw new Error('not UTF-8');
    },
  });
}

/** What is sent without a value counts as left out (RFC 6749, section 3.2). */
function dropEmptyFields(request: Request): void {
  request.body = Object.fromEntries(Object.entries((request.body ?? {}) as Record<string, unknown>).filter(([, value]) => value !== ''));
}

function hasBody(request: Request): boolean {
  return request.headers['transfer-encoding'] !== undefined || (request.headers['content-length'] ?? '0') !== '0';
}

/** `type` is set by the parser: https://github.com/expressjs/body-parser#errors */
function toLatchkeyError(error: unknown, { takesForms, limitBytes }: { takesForms: boolean; limitBytes: number }): unknown {
  const { type } = error as { type?: string };
  switch (type) {
    case 'entity.too.large':
      return new LatchkeyError('PAYLOAD_TOO_LARGE', `The body is larger than ${sizeOf(limitBytes)}.`);
    case 'parameters.too.many':
      return new LatchkeyError('PAYLOAD_TOO_LARGE', 'The form has more than 1000 fields.');
    case 'entity.parse.failed':
      return new LatchkeyError(
        'MALFORMED_JSON',
        `The body is not valid JSON: an object was expected${takesForms ? `, or a form as Content-Type: ${FORM_TYPE}` : ''}.`,
      );
    case 'entity.verify.failed':
      return new LatchkeyError('MALFORMED_JSON', 'The body is not valid UTF-8.');
    case 'charset.unsupported':
    case 'encoding.unsupported':
      return new LatchkeyError('UNSUPPORTED_MEDIA_TYPE', 'Bodies are sent as UTF-8, plain or compressed with gzip, deflate or br.');
    case 'request.size.invalid':
    case 'request.aborted':
      return new LatchkeyError('MALFORMED_JSON', 'The body ended early.');
    default:
      // Broken compression comes without a type.
      return (error as { status?: number }).status === 400 ? new LatchkeyError('MALFORMED_JSON', 'The body could not be read.') : error;
  }
}

function sizeOf(bytes: number): string {
  return bytes % (KIB * KIB) === 0 ? `${String(bytes / KIB / KIB)} MiB` : `${String(bytes / KIB)} KiB`;
}
