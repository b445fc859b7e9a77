import type { IncomingMessage } from 'node:http';
import { LatchkeyError } from '../domain/errors.js';

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

/**
 * The credential of a request (contract: auth.md, "API keys"): `Authorization: Bearer|ApiKey|License …` or `X-API-Key`.
 * The same one sent twice is one. Null when there is none.
 * @throws 401 AUTH_FAILED for two different ones, or a header that cannot be read
 */
export function readCredential(request: Pick<IncomingMessage, 'headersDistinct'>): Credential | null {
  const { authorization = [], 'x-api-key': apiKeys = [] } = request.headersDistinct;
  const found = [...authorization.map(parseAuthorization), ...apiKeys.map((value): Credential => ({ scheme: 'key', value: value.trim() }))];
  const [first] = found;
  if (first === undefined) return null;
  if (found.some((other) => other.scheme !== first.scheme || other.value !== first.value)) {
    throw new LatchkeyError('AUTH_FAILED', 'Two different credentials were sent.');
  }
  if (first.value === '') throw new LatchkeyError('AUTH_FAILED', 'The credential is empty.');
  return first;
}

function parseAuthorization(header: string): Credential {
  const [name = ''] = header.trim().split(/\s/, 1);
  const value = header.trim().slice(name.length).trim();
  const scheme = schemes.get(name.toLowerCase());
  if (scheme === undefined)
    throw new LatchkeyError('AUTH_FAILED', 'The Authorization header must be Bearer, ApiKey or License, and a key.');
  return { scheme, value };
}
