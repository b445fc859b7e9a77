import { sha256, toHex } from './encoding.js';
import { LatchkeyError } from './errors.js';
import type { Judgement, Question } from './judge.js';
import type { Entitlement, ValidationBody } from './types.js';

/** What is asked of a validation, beside the license and this machine. */
export interface ValidateOptions {
  /** Codes that the license must have. */
  entitlements?: string[];
  /** Id or code of the product that asks. */
  product?: string;
  /** Id of the policy that the license must follow. */
  policy?: string;
  /** Version of the software that asks (semver). Send it only if your licenses allow some versions and not others: a kept answer is about the version that asked. */
  version?: string;
  /** The user that the license must belong to. */
  userEmail?: string;
  /** Further fingerprints of this machine, where the policy matches several (`fingerprintMatching`). */
  fingerprints?: string[];
  signal?: AbortSignal;
}

/** Why the server's word could not be taken. */
export interface ServerProblem {
  kind: 'unreachable' | 'proof_missing' | 'proof_invalid';
  message: string;
  /** What the server said without proof: the code of its answer or error (`NOT_FOUND` for a mistyped key); null = nothing. */
  code: string | null;
  cause: Error | null;
}

/**
 * May this copy run? `valid` rests on a signed document, always. `source` says on which: an answer given just now, the
 * last one that is kept (`cache`), a license or machine file, or `none` – then `valid` is false.
 */
export interface Validation {
  valid: boolean;
  source: 'server' | 'cache' | 'file' | 'none';
  /**
   * Why not; null = valid. `refused`: a signed answer says no, and `code` why. `expired_proof`: what is kept is too old to
   * go on with. `clock_set_back`: the local clock is before a time that was signed. The others: nothing signed is kept, and
   * the server could not be asked or its answer not be believed.
   */
  reason: 'refused' | 'expired_proof' | 'clock_set_back' | ServerProblem['kind'] | null;
  /** Code of the signed answer: `VALID`, `IN_GRACE_PERIOD`, `EXPIRED`, …; null = nothing was signed. */
  code: string | null;
  /** What the license grants, as signed; none if it is not valid for want of a proof. */
  entitlements: Entitlement[];
  licenseId: string | null;
  /** When it was signed. */
  signedAt: Date | null;
  /** Until when it may be relied on without the server; exclusive. */
  graceEndsAt: Date | null;
  /** Null when the server answered and proved it, or was not asked. */
  serverProblem: ServerProblem | null;
  /** The server's whole answer, for display: name, seats, metadata. Not signed: decide nothing by it. Null without one. */
  body: ValidationBody | null;
}

/** Two questions with one scope have one answer. Entitlements are no part of it: every answer names them all. */
export async function questionOf(options: ValidateOptions, own: string | null): Promise<Question> {
  const { entitlements = [], product, policy, version, userEmail, fingerprints = [] } = options;
  const asked = [product?.toLowerCase(), policy, version, userEmail?.toLowerCase(), ...fingerprints].map((value) => value ?? null);
  const scope = toHex(await sha256(JSON.stringify(asked))).slice(0, 32);
  return { scope, fingerprint: own ?? fingerprints[0] ?? null, entitlements, product, policy };
}

export function toValidation(
  judgement: Judgement,
  serverProblem: ServerProblem | null,
  body: ValidationBody | null,
  isFresh = false,
): Validation {
  const { valid, reason, code, entitlements, proof } = judgement;
  return {
    valid,
    source: isFresh ? 'server' : sourceOf(judgement),
    reason: reason === 'none' ? (serverProblem?.kind ?? 'proof_missing') : reason,
    code,
    entitlements,
    licenseId: proof?.claims.sub ?? null,
    signedAt: proof && new Date(proof.claims.iat * 1000),
    graceEndsAt: proof && new Date(proof.claims.exp * 1000),
    serverProblem,
    body,
  };
}

function sourceOf({ proof }: Judgement): Validation['source'] {
  if (proof === null) return 'none';
  return proof.kind === 'validation' ? 'cache' : 'file';
}

export function problemOf(kind: ServerProblem['kind'], message: string, cause: Error | null, body: ValidationBody | null): ServerProblem {
  const said: unknown = body?.code ?? (cause instanceof LatchkeyError && /^[A-Z]/.test(cause.code) ? cause.code : null);
  return { kind, message, code: typeof said === 'string' ? said : null, cause };
}
