import { invalid, type LatchkeyError } from './errors.js';
import { FINGERPRINT, MAX_MACHINE_NAME_LENGTH, type MachinePlatform, machinePlatforms } from './machine.js';
import { textIssues } from './text.js';

/** What an app on a machine without a network asks for, carried to the vendor by hand (contract: offline.md). */
export interface OfflineRequest {
  /** SHA-256 of the license key as displayed, in lower-case hex. */
  keyDigest: string;
  fingerprint: string;
  name: string | null;
  platform: MachinePlatform | null;
  /** Comes back in the machine file: the app knows that it is the answer to this request. */
  nonce: string;
}

/** Characters of base64. The largest request that there can be is well below. */
export const MAX_OFFLINE_REQUEST_LENGTH = 8192;
const MAX_NONCE_LENGTH = 128;
const BASE64 = /^[A-Za-z0-9+/_-]+={0,2}$/;
const HEX_SHA_256 = /^[0-9a-fA-F]{64}$/;
const FIELDS = ['v', 'keyDigest', 'fingerprint', 'name', 'platform', 'nonce'];

/**
 * Read a request: base64 or base64url (RFC 4648), with or without padding and white space, of a JSON object.
 * @throws 400 that names `request`, and says what is wrong without a word of what was sent
 */
export function parseOfflineRequest(text: string): OfflineRequest {
  const value = jsonIn(text.replace(/\s+/g, ''));
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong('must be a JSON object in base64');
  // Before anything is looked at by its name.
  if (textIssues(value).length > 0) throw wrong('must hold well-formed text without null bytes, in known fields');
  if (Object.keys(value).some((field) => !FIELDS.includes(field))) throw wrong(`must have no other fields than ${FIELDS.join(', ')}`);
  const { v, keyDigest, fingerprint, name = null, platform = null, nonce } = value as Record<string, unknown>;
  if (v !== 1) throw wrong('must be of version 1 (`v`)');
  if (!isText(keyDigest, 64, 64) || !HEX_SHA_256.test(keyDigest)) throw wrong('must have a `keyDigest` of 64 hexadecimal digits');
  if (!isText(fingerprint, FINGERPRINT.min, FINGERPRINT.max) || !FINGERPRINT.pattern.test(fingerprint))
    throw wrong(`must have a \`fingerprint\` of ${String(FINGERPRINT.min)} to ${String(FINGERPRINT.max)} printable ASCII characters`);
  if (name !== null && !isText(name, 1, MAX_MACHINE_NAME_LENGTH))
    throw wrong(`may have a \`name\` of 1 to ${String(MAX_MACHINE_NAME_LENGTH)} characters`);
  if (platform !== null && !isPlatform(platform)) throw wrong(`may have a \`platform\`, one of ${machinePlatforms.join(', ')}`);
  if (!isText(nonce, 1, MAX_NONCE_LENGTH)) throw wrong(`must have a \`nonce\` of 1 to ${String(MAX_NONCE_LENGTH)} characters`);
  return { keyDigest: keyDigest.toLowerCase(), fingerprint, name, platform, nonce };
}

function jsonIn(compact: string): unknown {
  if (compact.length > MAX_OFFLINE_REQUEST_LENGTH || !BASE64.test(compact) || compact.replaceAll('=', '').length % 4 === 1)
    throw wrong('must be base64');
  const bytes = Buffer.from(compact, 'base64');
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as unknown;
  } catch {
    throw wrong('must be JSON in base64, as UTF-8');
  }
}

function isText(value: unknown, min: number, max: number): value is string {
  return typeof value === 'string' && value.length >= min && value.length <= max;
}

function isPlatform(value: unknown): value is MachinePlatform {
  return typeof value === 'string' && (machinePlatforms as readonly string[]).includes(value);
}

function wrong(message: string): LatchkeyError {
  return invalid([{ path: 'request', message }]);
}
