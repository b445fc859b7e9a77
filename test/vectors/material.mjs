/** What the vectors are made of: keys, genuine claims, and the forms in which documents are written. */
import { createCipheriv, createHash, createHmac, createPrivateKey, createPublicKey, sign as signBytes } from 'node:crypto';

export const sha256 = (text) => createHash('sha256').update(text, 'utf8').digest();
export const base64url = (data) => Buffer.from(data).toString('base64url');

/** 2026-11-22T12:00:00Z, in seconds. */
export const EPOCH = Date.UTC(2026, 10, 22, 12) / 1000;
const DAY = 86_400;

export const TYPES = { validation: 'latchkey-validation+jwt', license: 'latchkey-license+jwt', machine: 'latchkey-machine+jwt' };

const id = (last) => `019aab00-0000-7000-8000-${String(last).padStart(12, '0')}`;
export const ACCOUNT = id(1);
export const OTHER_ACCOUNT = id(2);
export const LICENSE_ID = id(10);
export const LICENSE_KEY = 'ACME-7K2M-9XQ4-3VBN-0HTR-5WPC-8DZF';
export const FINGERPRINT = 'adas-laptop-0001';
export const NONCE = 'f3a9c1d27e6b4058';

// ---- Keys ------------------------------------------------------------------------------------------------------------------------

/** PKCS #8 of an Ed25519 private key (RFC 8410): these bytes, then the seed. */
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');

/** The key of a name: its seed is the SHA-256 of it. */
function keyOf(name) {
  const privateKey = createPrivateKey({ key: Buffer.concat([PKCS8, sha256(`latchkey vectors: ${name}`)]), format: 'der', type: 'pkcs8' });
  const publicKey = createPublicKey(privateKey);
  const { x } = publicKey.export({ format: 'jwk' });
  // RFC 7638: the members that make the key, in the order of the alphabet.
  const kid = createHash('sha256').update(`{"crv":"Ed25519","kty":"OKP","x":"${x}"}`).digest('base64url');
  const raw = Buffer.from(x, 'base64url');
  const forms = { raw, hex: raw.toString('hex'), base64url: x, PEM: publicKey.export({ format: 'pem', type: 'spki' }) };
  return { kid, privateKey, forms, jwk: { kty: 'OKP', crv: 'Ed25519', x, kid, use: 'sig', alg: 'EdDSA' } };
}

export const KEYS = {
  live: keyOf('live'),
  retired: keyOf('live, before the rotation'),
  test: keyOf('test'),
  otherAccount: keyOf('another account'),
  attacker: keyOf('attacker'),
};

const set = (...keys) => ({ keys: keys.map(({ jwk }) => jwk) });
export const keySets = {
  live: set(KEYS.live, KEYS.retired),
  'live-later': set(KEYS.live),
  test: set(KEYS.test),
  all: set(KEYS.otherAccount, KEYS.test, KEYS.retired, KEYS.live),
  empty: set(),
};

// ---- Forms -----------------------------------------------------------------------------------------------------------------------

const encode = (value) => base64url(typeof value === 'string' ? value : JSON.stringify(value));

/** A compact JWS (RFC 7515) with EdDSA (RFC 8037). */
export function sign(key, header, payload) {
  const input = `${encode(header)}.${encode(payload)}`;
  return `${input}.${base64url(signBytes(null, Buffer.from(input), key.privateKey))}`;
}

/** What an attacker makes who knows the public key alone. */
export function hmac(header, payload, secret) {
  const input = `${encode(header)}.${encode(payload)}`;
  return `${input}.${createHmac(header.alg.replace('HS', 'sha'), secret).update(input).digest('base64url')}`;
}

/** A compact JWE (RFC 7516), `dir` and A256GCM; the initialization vector is made of a name, so that it is the same every time. */
export function encrypt(content, secret, ivName, header = { alg: 'dir', enc: 'A256GCM', cty: 'JWT' }) {
  const protectedHeader = encode(header);
  const iv = sha256(ivName).subarray(0, 12);
  const cipher = createCipheriv('aes-256-gcm', sha256(secret), iv).setAAD(Buffer.from(protectedHeader, 'ascii'));
  const text = Buffer.concat([cipher.update(content), cipher.final()]);
  return [protectedHeader, '', base64url(iv), base64url(text), base64url(cipher.getAuthTag())].join('.');
}

export function licFile(document, label) {
  const lines = Buffer.from(document)
    .toString('base64')
    .match(/.{1,64}/g);
  return [`-----BEGIN LATCHKEY ${label}-----`, ...lines, `-----END LATCHKEY ${label}-----`, ''].join('\n');
}

// ---- Claims ----------------------------------------------------------------------------------------------------------------------

const registered = (lifeSeconds, jti, changes = {}) => ({
  iss: 'latchkey',
  aud: ACCOUNT,
  environment: 'live',
  sub: LICENSE_ID,
  iat: EPOCH,
  exp: EPOCH + lifeSeconds,
  jti: id(jti),
  ...changes,
});

const entitlements = [
  { code: 'export-pdf', expiresAt: null, quantity: null },
  { code: 'seats-in-cloud', expiresAt: '2027-03-01T00:00:00.000Z', quantity: 5 },
];
const answer = { valid: true, code: 'VALID', nonce: NONCE, fingerprint: FINGERPRINT, entitlements };

const snapshot = {
  license: {
    id: LICENSE_ID,
    name: 'Ada, editor',
    status: 'active',
    productId: id(20),
    policyId: id(30),
    expiresAt: '2027-11-22T12:00:00.000Z',
    isTrial: false,
    maxMachines: 2,
    machineCount: 1,
    maxUses: null,
    usesCount: 0,
    userName: 'Ada Lovelace',
    metadata: { team: 'Größe ☃' },
    environment: 'live',
  },
  policy: { id: id(30), name: 'Pro' },
  product: { id: id(20), code: 'acme-editor', name: 'Acme Editor' },
  entitlements,
};
const machine = { fingerprint: FINGERPRINT, machine: { id: id(40), name: "Ada's laptop", platform: 'linux' } };

const claims = {
  validation: { ...registered(14 * DAY, 101), ...answer },
  invalid: { ...registered(300, 102), ...answer, valid: false, code: 'SUSPENDED', entitlements: [] },
  anyMachine: { ...registered(14 * DAY, 103), ...answer, fingerprint: null },
  test: { ...registered(14 * DAY, 104, { environment: 'test', sub: id(11) }), ...answer },
  rotated: { ...registered(14 * DAY, 105), ...answer },
  otherAccount: { ...registered(14 * DAY, 106, { aud: OTHER_ACCOUNT, sub: id(12) }), ...answer },
  license: { ...registered(30 * DAY, 107), ...snapshot },
  machine: { ...registered(30 * DAY, 108), ...snapshot, ...machine },
  answer: { ...registered(30 * DAY, 109), ...snapshot, ...machine, nonce: NONCE },
};

const signedAs = (kind, key, name) => sign(key, { alg: 'EdDSA', typ: TYPES[kind], kid: key.kid }, claims[name]);

/** What Latchkey would have signed. */
export const GOOD = {
  claims,
  validation: signedAs('validation', KEYS.live, 'validation'),
  invalid: signedAs('validation', KEYS.live, 'invalid'),
  anyMachine: signedAs('validation', KEYS.live, 'anyMachine'),
  test: signedAs('validation', KEYS.test, 'test'),
  rotated: signedAs('validation', KEYS.retired, 'rotated'),
  otherAccount: signedAs('validation', KEYS.otherAccount, 'otherAccount'),
  license: signedAs('license', KEYS.live, 'license'),
  machine: signedAs('machine', KEYS.live, 'machine'),
  answer: signedAs('machine', KEYS.live, 'answer'),
};

const here = { audience: ACCOUNT, environment: 'live' };

/** What an app expects that gets the right thing. */
export const EXPECT = {
  validation: { kind: 'validation', ...here, nonce: NONCE, fingerprint: FINGERPRINT },
  license: { kind: 'license', ...here },
  machine: { kind: 'machine', ...here, fingerprint: FINGERPRINT },
  test: { kind: 'validation', ...here, environment: 'test', nonce: NONCE, fingerprint: FINGERPRINT },
};
