/**
 * Verifies what Latchkey signs, with the package jose: copy everything above the line into an app. docs/offline.md says why each
 * step is there.
 *
 *     node verify.mjs [tokens.json ...]    checks the vectors in these files, or all; exit code 1 if one has another result than it says
 */
import { createHash } from 'node:crypto';
import { compactDecrypt, compactVerify, importJWK } from 'jose';

const TYPES = { validation: 'latchkey-validation+jwt', license: 'latchkey-license+jwt', machine: 'latchkey-machine+jwt' };
const LABELS = { license: 'LICENSE', machine: 'MACHINE' };

/** Why a document is refused: `reason` is one of those in docs/offline.md. */
export class Refused extends Error {
  constructor(reason) {
    super(`The document is refused: ${reason}.`);
    this.reason = reason;
  }
}

/**
 * The claims of a document or .lic file, or Refused.
 * `keys`: the pinned key set, as of /.well-known/jwks.json.
 * `expect.kind`: validation, license or machine. `expect.audience`: the id of your account. `expect.environment`: live or test.
 * `expect.now`: seconds since 1970. `expect.fingerprint`: of this machine; a must for machine documents.
 * Where they are known: `expect.nonce` (that was sent), `expect.license` (its id), `expect.product` (its code; not in validations),
 * `expect.licenseKey` (as displayed; opens what is encrypted).
 */
export async function verify(document, keys, expect) {
  if (!Object.hasOwn(TYPES, expect.kind)) throw new TypeError(`There is no kind ${expect.kind}.`);
  if (expect.kind === 'machine' && expect.fingerprint === undefined) throw new TypeError('A machine document needs a fingerprint.');
  let token = document.startsWith('-----') || /^\s*-----/.test(document) ? readFile(document, expect.kind) : document;
  if (token.split('.').length === 5) token = await decrypt(token, expect);
  const claims = await verifySignature(token, keys, TYPES[expect.kind]);

  if (!Number.isSafeInteger(claims.exp)) throw new Refused('malformed');
  if (claims.iss !== 'latchkey') throw new Refused('wrong_issuer');
  if (claims.aud !== expect.audience) throw new Refused('wrong_audience');
  if (claims.environment !== expect.environment) throw new Refused('wrong_environment');
  if (expect.now >= claims.exp) throw new Refused('expired');
  if (expect.license !== undefined && claims.sub !== expect.license) throw new Refused('wrong_license');
  if (expect.product !== undefined && claims.product?.code !== expect.product) throw new Refused('wrong_product');
  if (expect.nonce !== undefined && claims.nonce !== expect.nonce) throw new Refused('wrong_nonce');
  if (expect.fingerprint !== undefined && expect.kind !== 'license' && claims.fingerprint !== expect.fingerprint) {
    throw new Refused('wrong_fingerprint');
  }
  return claims;
}

/** The claims of a compact JWS that one of the keys signed as a document of this type. */
async function verifySignature(token, keys, type) {
  const [encodedHeader, payload, signature] = partsOf(token, 3);
  const header = objectOf(encodedHeader);
  if (header.alg !== 'EdDSA') throw new Refused('wrong_algorithm');
  if ('crit' in header || 'b64' in header) throw new Refused('malformed');
  if (header.typ !== type) throw new Refused('wrong_type');
  // A key of the header itself (jwk, jku, x5c) is never looked at.
  const jwk = keys.keys.find(({ kid }) => kid === header.kid);
  if (jwk === undefined) throw new Refused('unknown_key');
  const key = await importJWK(jwk, 'EdDSA');
  if (signature.length !== 64) throw new Refused('bad_signature');
  try {
    await compactVerify(token, key, { algorithms: ['EdDSA'] });
  } catch {
    throw new Refused('bad_signature');
  }
  return objectOf(payload);
}

/** The JWS inside a compact JWE (`dir`, A256GCM). */
async function decrypt(token, { kind, licenseKey, fingerprint }) {
  const [encodedHeader, encryptedKey, iv, , tag] = partsOf(token, 5);
  const header = objectOf(encodedHeader);
  if (header.alg !== 'dir' || header.enc !== 'A256GCM') throw new Refused('wrong_algorithm');
  if ('crit' in header || 'zip' in header || kind === 'validation') throw new Refused('malformed');
  if (encryptedKey.length !== 0 || iv.length !== 12 || tag.length !== 16) throw new Refused('malformed');
  if (licenseKey === undefined) throw new Refused('cannot_decrypt');
  const secret = kind === 'machine' ? licenseKey + fingerprint : licenseKey;
  const key = createHash('sha256').update(secret, 'utf8').digest();
  const { plaintext } = await compactDecrypt(token, key).catch(() => {
    throw new Refused('cannot_decrypt');
  });
  return textOf(plaintext);
}

/** The document in a .lic file. Line ends may be CRLF, lines of any length, and white space around the whole is ignored. */
function readFile(file, kind) {
  const lines = file.replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, '').split(/\r?\n/);
  const label = /^-----BEGIN LATCHKEY (LICENSE|MACHINE)-----$/.exec(lines[0])?.[1];
  const body = lines.slice(1, -1);
  if (label === undefined || lines.at(-1) !== `-----END LATCHKEY ${label}-----`) throw new Refused('malformed');
  if (body.some((line) => line === '')) throw new Refused('malformed');
  const token = textOf(bytesOf(body.join(''), 'base64'));
  if (label !== LABELS[kind]) throw new Refused('wrong_type');
  return token;
}

/** The bytes of each part between the dots. */
function partsOf(token, count) {
  const parts = token.split('.');
  if (parts.length !== count) throw new Refused('malformed');
  return parts.map((part) => bytesOf(part, 'base64url'));
}

/** Only the one text that these bytes are written as: decoders take others too. */
function bytesOf(text, encoding) {
  const bytes = Buffer.from(text, encoding);
  if (bytes.toString(encoding) !== text) throw new Refused('malformed');
  return bytes;
}

function textOf(bytes) {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Refused('malformed');
  }
}

function objectOf(bytes) {
  const text = textOf(bytes);
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Refused('malformed');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value) || !isPlain(value, 64)) throw new Refused('malformed');
  return value;
}

/** What every language reads alike: nested no deeper than this, and no number beyond a double. */
function isPlain(value, depth) {
  if (typeof value === 'number') return Number.isFinite(value);
  if (typeof value !== 'object' || value === null) return true;
  return depth > 0 && Object.values(value).every((member) => isPlain(member, depth - 1));
}

/** What an app without a network writes down for its activation: base64 of JSON. */
export function makeRequest({ licenseKey, fingerprint, name, platform, nonce }) {
  const keyDigest = createHash('sha256').update(licenseKey, 'utf8').digest('hex');
  return Buffer.from(JSON.stringify({ v: 1, keyDigest, fingerprint, name, platform, nonce })).toString('base64');
}

// ---- The line: from here on it is about the vectors ------------------------------------------------------------------------------

async function resultOf({ document, make, keySet, expect }, keySets) {
  if (make !== undefined) return { request: makeRequest(make) };
  try {
    return { claims: await verify(document, keySets[keySet], expect) };
  } catch (error) {
    if (error instanceof Refused) return { refused: error.reason };
    throw error;
  }
}

if (process.argv[1] === import.meta.filename) {
  const { readFileSync } = await import('node:fs');
  const read = (file) => JSON.parse(readFileSync(file, 'utf8'));
  const keySets = read(new URL('keys.json', import.meta.url));
  const { isDeepStrictEqual } = await import('node:util');
  const all = ['tokens', 'files', 'encrypted', 'air-gapped', 'bit-flips'].map((name) => new URL(`${name}.json`, import.meta.url));
  const vectors = (process.argv.length > 2 ? process.argv.slice(2) : all).flatMap(read);
  let failed = 0;
  for (const vector of vectors) {
    const result = await resultOf(vector, keySets);
    if (isDeepStrictEqual(result, vector.result)) continue;
    failed += 1;
    console.log(`FAIL ${vector.name}\n  expected ${JSON.stringify(vector.result)}\n  got      ${JSON.stringify(result)}`);
  }
  console.log(`${vectors.length - failed} passed, ${failed} failed`);
  process.exitCode = failed === 0 && vectors.length > 0 ? 0 : 1;
}
