import { type Bytes, sha256, toHex } from './encoding.js';

const BODY_LENGTH = 24;
const GENERATED = /^[A-Z]{2,10}[0-9A-HJKMNP-TV-Z]{24}$/;

/**
 * The key as Latchkey displays it. A generated key is typed in many ways (case, spaces, missing dashes, O for 0, I or L
 * for 1), and has one form from which files are encrypted; a vendor's own key is what it is.
 */
export function displayedKey(typed: string): string {
  const compact = typed.toUpperCase().replace(/[\s-]/g, '');
  const prefix = compact.slice(0, -BODY_LENGTH).replace(/0/g, 'O').replace(/1/g, 'I');
  const body = compact.slice(-BODY_LENGTH).replace(/O/g, '0').replace(/[IL]/g, '1');
  if (!GENERATED.test(prefix + body)) return typed;
  return [prefix, ...(body.match(/.{4}/g) ?? [])].join('-');
}

/** Names the key in an offline request, and in the store, without telling it: hex SHA-256 of its displayed form. */
export async function keyDigest(licenseKey: string): Promise<string> {
  return toHex(await sha256(displayedKey(licenseKey)));
}

/** What an encrypted file is opened with: a machine's own takes its fingerprint too. */
export function encryptionKey(licenseKey: string, fingerprint: string | null): Promise<Bytes> {
  return sha256(displayedKey(licenseKey) + (fingerprint ?? ''));
}
