import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';

/**
 * The keys that sign documents (contract: offline.md): Ed25519 (RFC 8032), in the forms in which others take them. `kid` is the
 * key's thumbprint (RFC 7638; RFC 8037, appendix A.3), so that a name is never another key's, and whoever has a key can check it.
 */

/** The public half as a JWK (RFC 8037, section 2), as a key set has it (RFC 7517, section 5). */
export interface PublicJwk {
  kty: 'OKP';
  crv: 'Ed25519';
  /** The 32 bytes as base64url. */
  x: string;
  kid: string;
  use: 'sig';
  alg: 'EdDSA';
}

export interface SigningKeyPair {
  kid: string;
  /** 32 bytes. */
  publicKey: Uint8Array<ArrayBuffer>;
  /** The 32 bytes of the private half as base64url: sealed before it is kept anywhere. */
  privateKey: string;
}

export function generateSigningKey(): SigningKeyPair {
  const { x = '', d = '' } = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
  const publicKey = new Uint8Array(Buffer.from(x, 'base64url'));
  return { kid: thumbprintOf(publicKey), publicKey, privateKey: d };
}

/** RFC 7638: SHA-256 of the required members in the order of their names, as base64url. */
export function thumbprintOf(publicKey: Uint8Array): string {
  return createHash('sha256')
    .update(JSON.stringify({ crv: 'Ed25519', kty: 'OKP', x: base64url(publicKey) }))
    .digest('base64url');
}

/** What signs. Imported once and kept: it costs as much as signing. */
export function privateKeyObject(privateKey: string, publicKey: Uint8Array): KeyObject {
  return createPrivateKey({ key: { kty: 'OKP', crv: 'Ed25519', x: base64url(publicKey), d: privateKey }, format: 'jwk' });
}

export function publicJwkOf({ kid, publicKey }: Pick<SigningKeyPair, 'kid' | 'publicKey'>): PublicJwk {
  return { kty: 'OKP', crv: 'Ed25519', x: base64url(publicKey), kid, use: 'sig', alg: 'EdDSA' };
}

/** SubjectPublicKeyInfo (RFC 8410, section 4) as PEM (RFC 7468). */
export function publicPemOf(publicKey: Uint8Array): string {
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: base64url(publicKey) }, format: 'jwk' });
  return key.export({ format: 'pem', type: 'spki' }) as string;
}

/** The 32 bytes in hex, as libraries take them that know no formats. */
export function publicHexOf(publicKey: Uint8Array): string {
  return Buffer.from(publicKey).toString('hex');
}

/** Each move ahead is a write: so far beyond what is needed that a key in steady use moves about once a day. */
const STEP_MS = 86_400_000;
/** Past this, times have no four-digit year. */
const END_OF_TIME_MS = Date.UTC(9999, 11, 31);

/**
 * How long a key must stay published for a document, in milliseconds: until it expires. Its times may be those of a test clock;
 * an app that lives by real time must find the key for as long as well.
 */
export function publishedForMs({ issuedAt, expiresAt }: { issuedAt: Date; expiresAt: Date }, now: Date): number {
  const lifetimeMs = expiresAt.getTime() - issuedAt.getTime();
  return Math.min(Math.max(expiresAt.getTime(), now.getTime() + lifetimeMs), END_OF_TIME_MS);
}

/** What to keep a key published until that must be so until `neededMs`. */
export function publishedAheadTo(neededMs: number): Date {
  return new Date(Math.min(neededMs + STEP_MS, END_OF_TIME_MS));
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url');
}
