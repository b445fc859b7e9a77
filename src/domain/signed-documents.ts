import type { EnvironmentName } from './api-key.js';

/**
 * What Latchkey signs for apps to check by themselves (contract: offline.md): a compact JWS (RFC 7515) with `alg: EdDSA`
 * (RFC 8037). `typ` keeps one kind from passing for another (RFC 8725, section 3.11); `kid` names the environment's key.
 */

export const documentTypes = {
  /** The answer of a validation that sent a nonce. */
  validation: 'latchkey-validation+jwt',
  /** A license file. */
  license: 'latchkey-license+jwt',
  /** A machine file. */
  machine: 'latchkey-machine+jwt',
} as const;

export type DocumentKind = keyof typeof documentTypes;

export const DOCUMENT_ISSUER = 'latchkey';

/** What every document says beside its own: RFC 7519, section 4.1. */
export interface RegisteredClaims {
  iss: typeof DOCUMENT_ISSUER;
  /** The account: any JOSE library refuses another vendor's document when it is asked to check the audience. */
  aud: string;
  environment: EnvironmentName;
  /** The license. */
  sub: string;
  /** Seconds. By the license's test clock where it has one, as all that is about it. */
  iat: number;
  exp: number;
  jti: string;
}

/** How long something signed is good for. */
export interface Validity {
  issuedAt: Date;
  expiresAt: Date;
}

export function registeredClaims(
  { accountId, environment }: { accountId: string; environment: EnvironmentName },
  licenseId: string,
  { issuedAt, expiresAt }: Validity,
  jti: string,
): RegisteredClaims {
  return {
    iss: DOCUMENT_ISSUER,
    aud: accountId,
    environment,
    sub: licenseId,
    iat: secondsOf(issuedAt),
    exp: secondsOf(expiresAt),
    jti,
  };
}

/** Whole seconds, rounded down: a document never says that it is good for longer than it is. */
export function secondsOf(time: Date): number {
  return Math.floor(time.getTime() / 1000);
}

/** A part of a compact document: JSON as base64url without padding (RFC 7515, section 2). */
export function encodedPart(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

/** What comes first in every document that a key signs. */
export function protectedHeaders(kid: string): Record<DocumentKind, string> {
  const headerOf = (kind: DocumentKind): string => encodedPart({ alg: 'EdDSA', typ: documentTypes[kind], kid });
  return { validation: headerOf('validation'), license: headerOf('license'), machine: headerOf('machine') };
}
