import type { LicenseClaims, Proof, ValidationClaims } from './documents.js';
import type { Entitlement } from './types.js';

/**
 * What signed documents, and nothing else, say about a license at a moment. Pure: the client verifies, keeps and asks.
 */

/** The documents that are kept, all verified and about this license, account, environment and machine. */
export interface Held {
  /** The newest answer to each question (see `scopeOf`), newest first. */
  answers: readonly Proof<'validation'>[];
  /** The newest answer, if it refused the license whatever is asked. */
  refusal: Proof<'validation'> | null;
  /** The newest license or machine file. */
  file: Proof<'license' | 'machine'> | null;
  /** The document with the newest signed time: the clock cannot be before it. */
  newest: Proof | null;
}

export const nothing: Held = { answers: [], refusal: null, file: null, newest: null };

/** What is asked besides "is the license good for this machine". */
export interface Question {
  /** Of the answers that are about the same question. */
  scope: string;
  /** The first that was sent, which is the one that answers name; null = none was. */
  fingerprint: string | null;
  entitlements: readonly string[];
  product?: string;
  policy?: string;
}

/** Why something that is kept does not make the license valid. */
export type HeldReason = 'none' | 'refused' | 'expired_proof' | 'clock_set_back';

export interface Judgement {
  valid: boolean;
  /** Why not; null = valid. */
  reason: HeldReason | null;
  /** Of the signed answer, or the SDK's own reading of it (`ENTITLEMENTS_MISSING`); null = nothing was signed. */
  code: string | null;
  entitlements: Entitlement[];
  /** What decided; null = nothing. */
  proof: Proof | null;
}

/** How many questions' answers are kept. */
const MAX_ANSWERS = 8;

/** They are about what was asked, not about the license: another question may still be answered with yes. */
const ABOUT_THE_QUESTION = ['SCOPE_REQUIRED', 'PRODUCT_MISMATCH', 'POLICY_MISMATCH', 'USER_MISMATCH', 'VERSION_NOT_ALLOWED'];
const ENTITLEMENTS_MISSING = 'ENTITLEMENTS_MISSING';

/** A nonce is `<random>.<digest of the question>`: so a kept answer says what was asked. */
export function scopeOf({ nonce }: Pick<ValidationClaims, 'nonce'>): string {
  return nonce.slice(nonce.indexOf('.') + 1);
}

/** What is kept once the server has given this answer, late or not. A refusal takes the place of what it refuses. */
export function withAnswer(held: Held, answer: Proof<'validation'>): Held {
  const alone = { ...nothing, newest: answer };
  const { valid, code } = answer.claims;
  // The list that came with it narrows what is kept (see `judge`); the rest of the license is as good as it was.
  if (code === ENTITLEMENTS_MISSING) return merged(alone, held);
  const isRefusal = !valid && !ABOUT_THE_QUESTION.includes(code);
  return merged(isRefusal ? { ...alone, refusal: answer } : { ...alone, answers: [answer] }, held);
}

/** What is kept once this file was taken in: the newer one, unless it has ended. `nowMs` is the local clock. */
export function withFile(held: Held, file: Proof<'license' | 'machine'>, nowMs: number): Held {
  const kept = held.file !== null && nowMs < held.file.claims.exp * 1000 ? held.file : null;
  return merged({ ...nothing, file, newest: file }, { ...held, file: kept });
}

/** What two know of one license: the newest of each. Of two of one moment, that of `one`. */
export function merged(one: Held, other: Held): Held {
  const answers: Proof<'validation'>[] = [];
  for (const answer of [...other.answers].reverse().concat([...one.answers].reverse())) {
    const at = answers.findIndex(({ claims }) => scopeOf(claims) === scopeOf(answer.claims));
    const [older = null] = at < 0 ? [] : answers.splice(at, 1);
    answers.push(newestOf([older, answer]) ?? answer);
  }
  const refusal = newestOf([other.refusal, one.refusal]);
  const later = answers.reverse().filter((answer) => refusal === null || isAfter(answer, refusal));
  return {
    answers: later.slice(0, MAX_ANSWERS),
    // A later yes undoes it; a later no to some question does not.
    refusal: later.some(({ claims }) => claims.valid) ? null : refusal,
    file: newestOf([other.file, one.file]),
    newest: newestOf([other.newest, one.newest]),
  };
}

/** Whether it was signed later: in one second the id tells, a UUID v7 of the server (RFC 9562, section 5.7). */
export function isAfter({ claims: one }: Proof, { claims: other }: Proof): boolean {
  return one.iat === other.iat ? one.jti > other.jti : one.iat > other.iat;
}

/** The document signed last; of the same one, the later of the list. */
export function newestOf<P extends Proof>(proofs: readonly (P | null)[]): P | null {
  return proofs.reduce<P | null>((newest, proof) => (proof === null || (newest !== null && isAfter(newest, proof)) ? newest : proof), null);
}

/** A fresh answer: that it is to this moment's nonce makes it true now, whatever the local clock says. */
export function judgeAnswer(answer: Proof<'validation'>, question: Question): Judgement {
  const { valid, code, entitlements, iat } = answer.claims;
  if (!valid) return { valid: false, reason: 'refused', code, entitlements, proof: answer };
  return granting(answer, code, entitlements, question, iat * 1000);
}

/** May this copy run, by what is kept? `nowMs` is the local clock, which may be `toleranceMs` behind the signed times. */
export function judge(held: Held, question: Question, nowMs: number, toleranceMs: number): Judgement {
  const isAnswer = ({ claims }: Proof<'validation'>): boolean =>
    scopeOf(claims) === question.scope && claims.fingerprint === question.fingerprint;
  const answer = held.answers.find(isAnswer) ?? null;
  const refusal = newestOf([held.refusal, answer?.claims.valid === false ? answer : null]);
  const candidates = [answer?.claims.valid === true ? answer : null, fits(held.file, question) ? held.file : null].filter(
    (proof) => proof !== null && (refusal === null || isAfter(proof, refusal)),
  );
  const best = candidates.reduce(
    (one, other) => (one === null || (other !== null && other.claims.exp > one.claims.exp) ? other : one),
    null,
  );
  if (best === null) {
    if (refusal === null) return { valid: false, reason: 'none', code: null, entitlements: [], proof: null };
    return { valid: false, reason: 'refused', code: refusal.claims.code, entitlements: [], proof: refusal };
  }
  const code = best.kind === 'validation' ? best.claims.code : 'VALID';
  const no = (reason: HeldReason): Judgement => ({ valid: false, reason, code, entitlements: [], proof: best });
  if (nowMs + toleranceMs < (held.newest?.claims.iat ?? 0) * 1000) return no('clock_set_back');
  if (nowMs >= best.claims.exp * 1000) return no('expired_proof');
  // Whatever the newest document no longer names has been taken away since.
  const left = new Set((held.newest ?? best).claims.entitlements.map((entitlement) => entitlement.code));
  return granting(
    best,
    code,
    best.claims.entitlements.filter((entitlement) => left.has(entitlement.code)),
    question,
    nowMs,
  );
}

/** Valid, if it grants what is asked for: seen here too, for the question is not signed. */
function granting(proof: Proof, code: string, granted: readonly Entitlement[], question: Question, nowMs: number): Judgement {
  const entitlements = granted.filter(({ expiresAt }) => expiresAt === null || nowMs < Date.parse(expiresAt));
  const has = new Set(entitlements.map((entitlement) => entitlement.code));
  const isMissing = question.entitlements.some((asked) => !has.has(asked));
  if (isMissing) return { valid: false, reason: 'refused', code: ENTITLEMENTS_MISSING, entitlements, proof };
  return { valid: true, reason: null, code, entitlements, proof };
}

/** A file names its product and policy. What else is asked (version, user) no file can say: it stands for the license. */
function fits(file: Held['file'], { product, policy }: Question): boolean {
  if (file === null) return false;
  const claims: LicenseClaims = file.claims;
  const isProduct = product === undefined || claims.product.id === product || claims.product.code.toLowerCase() === product.toLowerCase();
  return isProduct && (policy === undefined || claims.policy.id === policy);
}
