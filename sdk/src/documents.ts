import { compactVerify, type CompactJWSHeaderParameters, decodeProtectedHeader, errors } from 'jose';
import { isCompact } from './encoding.js';
import type { Entitlement, License } from './types.js';
import { isObject, ProofError, type ProofProblem } from './errors.js';
import type { PublicKeys } from './keys.js';

/** Latchkey's signed documents (compact JWS, RFC 7515; Ed25519, RFC 8037), and the checks that every one must pass. */

const types = {
  validation: 'latchkey-validation+jwt',
  license: 'latchkey-license+jwt',
  machine: 'latchkey-machine+jwt',
} as const;

export type DocumentKind = keyof typeof types;

/** What all documents say. Times are seconds since 1970. */
export interface CommonClaims {
  iss: 'latchkey';
  /** The account. */
  aud: string;
  environment: 'live' | 'test';
  /** The license. */
  sub: string;
  iat: number;
  /** Good until then, exclusive. */
  exp: number;
  jti: string;
  entitlements: Entitlement[];
}

/** The answer of a validation. */
export interface ValidationClaims extends CommonClaims {
  valid: boolean;
  code: string;
  nonce: string;
  fingerprint: string | null;
}

/** What a file says of the license at the moment it was made. */
export interface LicenseClaims extends CommonClaims {
  license: License;
  policy: { id: string; name: string };
  product: { id: string; code: string; name: string };
}

/** The same, for one machine. */
export interface MachineClaims extends LicenseClaims {
  fingerprint: string;
  machine: { id: string; name: string | null; platform: string | null };
  /** Of the offline request that it answers. */
  nonce?: string;
}

export interface ClaimsOf {
  validation: ValidationClaims;
  license: LicenseClaims;
  machine: MachineClaims;
}

/** A document whose signature and binding were checked. `text` is what it was read from. */
export type Proof<K extends DocumentKind = DocumentKind> = {
  [Kind in K]: { kind: Kind; kid: string; text: string; claims: ClaimsOf[Kind] };
}[K];

/** Whom a document must be about. */
export interface Binding {
  account: string;
  environment: 'live' | 'test';
  /** null = this copy has none: then nothing that names a machine is about it. Undefined = who asks compares. */
  fingerprint: string | null | undefined;
  /** Undefined = not known yet. */
  licenseId?: string;
}

/**
 * The document's claims, once its `alg`, `typ`, `kid`, signature, issuer, account, environment, license and fingerprint
 * are what they must be. Times are judged by who asks: see `judge`. Fails with a ProofError.
 */
export async function verifyDocument<K extends DocumentKind>(
  jws: string,
  kinds: readonly K[],
  keys: PublicKeys,
  binding: Binding,
): Promise<Proof<K>> {
  const { typ, kid = '' } = headerOf(jws);
  const kind = kinds.find((candidate) => types[candidate] === typ);
  if (kind === undefined) throw new ProofError('wrong_type', `It is no ${kinds.join(' or ')} document.`);
  const claims = claimsOf(await payloadOf(jws, keys), kind);
  const { account, environment, fingerprint, licenseId } = binding;
  refuseUnless(claims.aud === account, 'wrong_account', 'It is about a license of another account.');
  refuseUnless(claims.environment === environment, 'wrong_environment', `It is of the ${claims.environment} environment.`);
  refuseUnless(licenseId === undefined || claims.sub === licenseId, 'wrong_license', 'It is about another license.');
  const bound = fingerprint === undefined || !('fingerprint' in claims) || claims.fingerprint === fingerprint;
  refuseUnless(bound, 'wrong_fingerprint', 'It is about another machine.');
  return { kind, kid, text: jws, claims } as Proof<K>;
}

function headerOf(jws: string): CompactJWSHeaderParameters {
  if (!isCompact(jws, 3)) throw new ProofError('malformed', 'It is no signed document.');
  try {
    return decodeProtectedHeader(jws) as CompactJWSHeaderParameters;
  } catch (cause) {
    throw new ProofError('malformed', 'It is no signed document.', { cause });
  }
}

async function payloadOf(jws: string, keys: PublicKeys): Promise<unknown> {
  try {
    const { payload } = await compactVerify(
      jws,
      ({ kid, crit, b64 }) => {
        // Latchkey makes no extensions: one that must be understood (RFC 7515, section 4.1.11) is not ours.
        if (crit !== undefined || b64 !== undefined) throw new ProofError('malformed', 'Its header has an extension.');
        const key = kid === undefined ? undefined : keys.find(kid);
        if (key === undefined) throw new ProofError('unknown_key', `No key ${kid ?? ''} is known.`);
        return key;
      },
      { algorithms: ['EdDSA'] },
    );
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(payload));
  } catch (cause) {
    if (cause instanceof ProofError) throw cause;
    const isForged = cause instanceof errors.JWSSignatureVerificationFailed || cause instanceof errors.JOSEAlgNotAllowed;
    if (isForged) throw new ProofError('bad_signature', 'Its signature is not that of the key that it names.', { cause });
    throw new ProofError('malformed', 'It is no signed document.', { cause });
  }
}

const MAX_DEPTH = 64;
/** What every language reads alike: nested no deeper than this, and no number beyond a double. */
function isPlain(value: unknown, depth: number): boolean {
  if (typeof value === 'number') return Number.isFinite(value);
  if (typeof value !== 'object' || value === null) return true;
  return depth > 0 && Object.values(value).every((member) => isPlain(member, depth - 1));
}

const isText = (value: unknown): value is string => typeof value === 'string';
const isTextOrNull = (value: unknown): boolean => value === null || isText(value);
const isEntitlement = (value: unknown): boolean => isObject(value) && isText(value.code) && isTextOrNull(value.expiresAt);

const common: Record<string, (value: unknown) => boolean> = {
  iss: (value) => value === 'latchkey',
  aud: isText,
  environment: isText,
  sub: isText,
  iat: Number.isSafeInteger,
  exp: Number.isSafeInteger,
  jti: isText,
  entitlements: (value) => Array.isArray(value) && value.every(isEntitlement),
};
const license = { ...common, license: isObject, policy: isObject, product: isObject };
const shapes: Record<DocumentKind, Record<string, (value: unknown) => boolean>> = {
  validation: { ...common, valid: (value) => typeof value === 'boolean', code: isText, nonce: isText, fingerprint: isTextOrNull },
  license,
  machine: { ...license, fingerprint: isText, machine: isObject, nonce: (value) => value === undefined || isText(value) },
};

function claimsOf<K extends DocumentKind>(payload: unknown, kind: K): ClaimsOf[K] {
  if (!isObject(payload) || !isPlain(payload, MAX_DEPTH)) throw new ProofError('malformed', 'It has no claims.');
  for (const [name, isRight] of Object.entries(shapes[kind])) {
    refuseUnless(isRight(payload[name]), 'malformed', `Its claim ${name} is not what it must be.`);
  }
  refuseUnless(Number(payload.exp) >= Number(payload.iat), 'malformed', 'It ends before it begins.');
  return payload as unknown as ClaimsOf[K];
}

function refuseUnless(holds: boolean, problem: ProofProblem, message: string): void {
  if (!holds) throw new ProofError(problem, message);
}
