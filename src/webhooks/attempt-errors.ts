import { NoAddressError, NotPublicError } from './address-guard.js';

/**
 * What a vendor reads about a try that got no answer. Plain, and without addresses, ports or the words of a library: those
 * would tell of the network that the server stands in.
 */

const byCode = {
  ECONNREFUSED: 'The connection was refused.',
  ECONNRESET: 'The connection was closed before an answer.',
  EPIPE: 'The connection was closed before an answer.',
  UND_ERR_SOCKET: 'The connection was closed before an answer.',
  ETIMEDOUT: 'No connection in time.',
  UND_ERR_CONNECT_TIMEOUT: 'No connection in time.',
  UND_ERR_HEADERS_TIMEOUT: 'No answer in time.',
  EHOSTUNREACH: 'The host cannot be reached.',
  ENETUNREACH: 'The host cannot be reached.',
  EADDRNOTAVAIL: 'The host cannot be reached.',
  UND_ERR_HEADERS_OVERFLOW: 'The headers of the answer are too large.',
  CERT_HAS_EXPIRED: 'The TLS certificate has expired.',
  CERT_NOT_YET_VALID: 'The TLS certificate is not valid yet.',
  ERR_TLS_CERT_ALTNAME_INVALID: 'The TLS certificate is for another host.',
  EPROTO: 'The TLS handshake failed.',
  UND_ERR_CLOSED: 'The server was stopped.',
  UND_ERR_DESTROYED: 'The server was stopped.',
} as const;

const byPattern = [
  [/^(ERR_SSL_|ERR_TLS_)/, 'The TLS handshake failed.'],
  [/CERT|SIGNATURE|ISSUER|^CRL_/, 'The TLS certificate is not trusted.'],
] as const;

/** One sentence of English for any error of a try. */
export function describeFailure(error: unknown): string {
  if (error instanceof NotPublicError) return 'The address is not public.';
  if (error instanceof NoAddressError) return 'The host name does not resolve.';
  const { name, code } = labelsOf(error);
  if (name === 'TimeoutError') return 'No answer in time.';
  if (name === 'HTTPParserError') return 'The answer is not HTTP.';
  if (code in byCode) return byCode[code as keyof typeof byCode];
  return byPattern.find(([pattern]) => pattern.test(code))?.[1] ?? 'The request failed.';
}

/** How tries end, for who watches over all of them. */
export type AttemptOutcomeClass =
  | 'success'
  | `http_${3 | 4 | 5}xx`
  | 'http_other'
  | 'refused'
  | 'broken_off'
  | 'timeout'
  | 'unreachable'
  | 'tls'
  | 'dns'
  | 'not_public'
  | 'not_sent'
  | 'other';

const CLASSES: readonly (readonly [RegExp, AttemptOutcomeClass])[] = [
  [/refused/, 'refused'],
  [/closed before/, 'broken_off'],
  [/in time/, 'timeout'],
  [/cannot be reached/, 'unreachable'],
  [/TLS/, 'tls'],
  [/does not resolve/, 'dns'],
  [/not public/, 'not_public'],
];

/** By the status of the answer, and where none came by what `describeFailure` said. */
export function classOf({ responseCode, error }: { responseCode: number | null; error: string | null }): AttemptOutcomeClass {
  if (error === null) return 'success';
  if (responseCode === null) return CLASSES.find(([pattern]) => pattern.test(error))?.[1] ?? 'other';
  const hundreds = Math.floor(responseCode / 100);
  return hundreds === 3 || hundreds === 4 || hundreds === 5 ? `http_${hundreds}xx` : 'http_other';
}

/** What libraries tell errors apart by; empty where there is none. */
function labelsOf(error: unknown): { name: string; code: string } {
  const { name, code } = (error ?? {}) as { name?: unknown; code?: unknown };
  return { name: typeof name === 'string' ? name : '', code: typeof code === 'string' ? code : '' };
}
