import { randomInt } from 'node:crypto';
import { crc32 } from 'node:zlib';

/**
 * `lk_<live|test|user>_` + 32 random base62 characters + 6 base62 characters of CRC-32 over what precedes them
 * (contract: auth.md, "API keys"). The check sum lets a typo be refused without a look-up.
 */
export type EnvironmentName = 'live' | 'test';

/** What a key opens: one environment of an account, or whatever its user may. */
export type KeyKind = EnvironmentName | 'user';

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const SECRET_LENGTH = 32;
const CHECK_SUM_LENGTH = 6;
const FORMAT = new RegExp(`^lk_(live|test|user)_[0-9A-Za-z]{${String(SECRET_LENGTH + CHECK_SUM_LENGTH)}}$`);

/** How much of a key may be stored and shown: enough to tell keys apart, far too little to use one. */
export const SHOWN_PREFIX_LENGTH = 12;
export const SHOWN_SUFFIX_LENGTH = 4;

/** `randomIndex(n)` answers an unbiased integer in [0, n); the default draws from the CSPRNG. */
export function generateApiKey(kind: KeyKind, randomIndex: (size: number) => number = randomInt): string {
  let body = `lk_${kind}_`;
  for (let index = 0; index < SECRET_LENGTH; index += 1) body += BASE62.charAt(randomIndex(BASE62.length));
  return body + checkSum(body);
}

/** What a well-formed key opens, or null for anything else: also for a single wrong character. */
export function parseApiKey(text: string): KeyKind | null {
  const match = FORMAT.exec(text);
  if (match === null) return null;
  const body = text.slice(0, -CHECK_SUM_LENGTH);
  return checkSum(body) === text.slice(-CHECK_SUM_LENGTH) ? (match[1] as KeyKind) : null;
}

export const apiKeyStatuses = ['active', 'expiring', 'expired', 'revoked'] as const;

/** `expiring`: rotated out, and in the overlap in which it still works. */
export type ApiKeyStatus = (typeof apiKeyStatuses)[number];

/** What an API key is at `now` (contract: auth.md, "API keys": status). */
export function apiKeyStatus(key: { expiresAt: Date | null; retiresAt: Date | null; revokedAt: Date | null }, now: Date): ApiKeyStatus {
  if (key.revokedAt !== null) return 'revoked';
  if ([key.expiresAt, key.retiresAt].some((end) => end !== null && end <= now)) return 'expired';
  return key.retiresAt === null ? 'active' : 'expiring';
}

/** `lk_live_a1b2…9xyz` */
export function maskApiKey(prefix: string, suffix: string): string {
  return `${prefix}…${suffix}`;
}

function checkSum(text: string): string {
  let rest = crc32(text);
  let digits = '';
  for (let index = 0; index < CHECK_SUM_LENGTH; index += 1) {
    digits = BASE62.charAt(rest % BASE62.length) + digits;
    rest = Math.floor(rest / BASE62.length);
  }
  return digits;
}
