import type { Request } from 'express';
import { LatchkeyError } from '../domain/errors.js';

/** What a request says beside its credential: X-Account-Id (an id or slug) and X-Environment. */
export interface TenantHints {
  account?: string;
  environment?: string;
}

/** What a request holds up: a key (API key or platform token) or a license key. */
export interface Credential {
  scheme: 'key' | 'license';
  value: string;
}

const schemes = new Map<string, Credential['scheme']>([
  ['bearer', 'key'],
  ['apikey', 'key'],
  ['license', 'license'],
]);

/** The parameter of a query that holds a key, where a route takes one there. */
export const KEY_PARAMETER = 'api_key';

/**
 * The credential of a request (contract: auth.md, "API keys"): `Authorization: Bearer|ApiKey|License …` or `X-API-Key`,
 * and `?api_key=` where the route takes it (`alsoInQuery`). The same one sent twice is one. Null when there is none.
 * @throws 401 AUTH_FAILED for two different ones, or one that cannot be read
 */
export function readCredential(
  request: Pick<Request, 'headersDistinct' | 'query'>,
  { alsoInQuery }: { alsoInQuery: boolean },
): Credential | null {
  const { authorization = [], 'x-api-key': apiKeys = [] } = request.headersDistinct;
  const keys = [...apiKeys, ...(alsoInQuery ? keysOfQuery(request.query[KEY_PARAMETER]) : [])];
  const found = [...authorization.map(parseAuthorization), ...keys.map((value): Credential => ({ scheme: 'key', value: value.trim() }))];
  const [first] = found;
  if (first === undefined) return null;
  if (found.some((other) => other.scheme !== first.scheme || other.value !== first.value)) {
    throw new LatchkeyError('AUTH_FAILED', 'Two different credentials were sent.');
  }
  if (first.value === '') throw new LatchkeyError('AUTH_FAILED', 'The credential is empty.');
  return first;
}

/** Which account and environment a request names. */
export function readHints({ headers }: Pick<Request, 'headers'>): TenantHints {
  return { account: textOf(headers['x-account-id']), environment: textOf(headers['x-environment']) };
}

function keysOfQuery(given: unknown): string[] {
  return [given ?? []].flat().map((value) => {
    if (typeof value !== 'string') throw new LatchkeyError('AUTH_FAILED', `The parameter ${KEY_PARAMETER} must be a key.`);
    return value;
  });
}

function textOf(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' ? header.trim() : undefined;
}

function parseAuthorization(header: string): Credential {
  const [name = ''] = header.trim().split(/\s/, 1);
  const value = header.trim().slice(name.length).trim();
  const scheme = schemes.get(name.toLowerCase());
  if (scheme === undefined)
    throw new LatchkeyError('AUTH_FAILED', 'The Authorization header must be Bearer, ApiKey or License, and a key.');
  return { scheme, value };
}
