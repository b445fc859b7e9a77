import { createHash, createHmac, type KeyObject, randomBytes, timingSafeEqual } from 'node:crypto';

/**
 * Generated license keys: `<prefix>-XXXX-XXXX-XXXX-XXXX-XXXX-XXXX` in Crockford base32
 * (https://www.crockford.com/base32.html): 80 random bits and a 40-bit keyed tag over them, so that a made-up key is
 * refused without a look-up (contract: resources.md, "Licenses"). The prefix is for people: it is not part of what
 * identifies the license, so a misread prefix still finds it.
 */
const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const RANDOM_BYTES = 10;
const TAG_BYTES = 5;
const BODY_LENGTH = ((RANDOM_BYTES + TAG_BYTES) * 8) / 5;
const GROUP = 4;
const GENERATED_FORMAT = new RegExp(`^[A-Z]{2,10}[${ALPHABET}]{${String(BODY_LENGTH)}}$`);

export const KEY_PREFIX_PATTERN = /^[A-Z]{2,10}$/;
export const DEFAULT_KEY_PREFIX = 'LIC';

/** Secrets are arguments: `tagSecret` is derived from the master key. */
export function generateLicenseKey(prefix: string, tagSecret: KeyObject, random: Buffer = randomBytes(RANDOM_BYTES)): string {
  const body = encode(Buffer.concat([random, tagOf(random, tagSecret)]));
  const groups = body.match(new RegExp(`.{${String(GROUP)}}`, 'g')) ?? [];
  return [prefix, ...groups].join('-');
}

/**
 * What a typed key is. `generated` with a null `body` has the format but not our tag: nobody was ever given it.
 * Anything that does not have the format is a vendor's own key, to be compared exactly.
 */
export type ParsedLicenseKey = { origin: 'generated'; body: string | null } | { origin: 'vendor' };

export function parseLicenseKey(typed: string, tagSecret: KeyObject): ParsedLicenseKey {
  const body = generatedBody(typed);
  if (body === null) return { origin: 'vendor' };
  const bytes = decode(body);
  const expected = tagOf(bytes.subarray(0, RANDOM_BYTES), tagSecret);
  return { origin: 'generated', body: timingSafeEqual(bytes.subarray(RANDOM_BYTES), expected) ? body : null };
}

/** Whether a vendor's own key would be read as a generated one. */
export function hasGeneratedFormat(key: string): boolean {
  return generatedBody(key) !== null;
}

/** The 24 canonical characters, forgiving case, spaces, missing dashes, O for 0 and I or L for 1; null = other format. */
function generatedBody(typed: string): string | null {
  const compact = typed.toUpperCase().replace(/[\s-]/g, '');
  if (compact.length < BODY_LENGTH + 2 || compact.length > BODY_LENGTH + 10) return null;
  const prefix = compact.slice(0, -BODY_LENGTH).replace(/0/g, 'O').replace(/1/g, 'I');
  const body = compact.slice(-BODY_LENGTH).replace(/O/g, '0').replace(/[IL]/g, '1');
  return GENERATED_FORMAT.test(prefix + body) ? body : null;
}

/** A key that was rotated out is unknown from `validUntil` on; null = it was not rotated out. */
export function isRotatedOut(validUntil: Date | null, now: Date): boolean {
  return validUntil !== null && now >= validUntil;
}

/** SHA-256 of the key as displayed, in hex: what an app on a machine without a network shows of its key (contract: offline.md). */
export function shownDigest(key: string): string {
  return createHash('sha256').update(key).digest('hex');
}

function tagOf(random: Buffer, tagSecret: KeyObject): Buffer {
  return createHmac('sha256', tagSecret).update(random).digest().subarray(0, TAG_BYTES);
}

function encode(bytes: Buffer): string {
  let bits = 0n;
  for (const byte of bytes) bits = (bits << 8n) | BigInt(byte);
  let text = '';
  for (let index = 0; index < (bytes.length * 8) / 5; index += 1) {
    text = ALPHABET.charAt(Number(bits & 31n)) + text;
    bits >>= 5n;
  }
  return text;
}

function decode(text: string): Buffer {
  let bits = 0n;
  for (const character of text) bits = (bits << 5n) | BigInt(ALPHABET.indexOf(character));
  return Buffer.from(bits.toString(16).padStart((text.length * 5) / 4, '0'), 'hex');
}
