import { LatchkeyError } from './errors.js';
import type { Grant } from './grant.js';
import { isFullAccess } from './scopes.js';

/** What a new user key opens, and until when (docs/decisions/0012-users.md). */

/** Who makes a key for a user. */
export interface UserKeyMaker {
  /** What the maker's credential may do in the account; empty = full access. */
  scopes: readonly string[];
  grant: Pick<Grant, 'endsAt' | 'allowedIps' | 'rateLimitPerMinute'>;
  /** Set when the maker sees only a part of the account. */
  segmentId: string | null;
  /** Null when the maker is not the user: an owner then. */
  own: OwnCredential | null;
}

/** The user's own credential, with all that the user's role has in the account. */
export interface OwnCredential {
  isToken: boolean;
  opensAllAccounts: boolean;
}

/**
 * The user's own credential, or full access to the whole account. A key of a user knows neither addresses nor a rate of
 * its own, so one that is bound to some makes none.
 * @throws 403 INSUFFICIENT_SCOPE
 */
export function requireKeyMaker({ scopes, grant, segmentId, own }: UserKeyMaker): void {
  if (own === null && (!isFullAccess(scopes) || segmentId !== null))
    throw refused("A user's key is made by the user's own credential or with an owner's full access.");
  if (grant.allowedIps.length > 0) throw refused('A credential that is bound to addresses cannot make a key that is not.');
  if (grant.rateLimitPerMinute !== null) throw refused('A credential with a rate limit of its own cannot make a key without.');
}

/**
 * Whether the key opens every account of its user, or only the one where it is made. The user's own key passes on what
 * it opens, a token no more than the account it was used in. An owner could otherwise make a key for someone who works
 * for another vendor too, and read that vendor's data: theirs opens the other accounts only when there are none yet.
 * `otherAccounts`: how many further accounts the user is a member of, held still while the key is made.
 */
export function opensAllAccounts({ own }: UserKeyMaker, otherAccounts: number): boolean {
  return own === null ? otherAccounts === 0 : own.opensAllAccounts && !own.isToken;
}

/**
 * When the key ends; null = never. No later than the credential that makes it, or else one key would live on in the next.
 * @throws 403 INSUFFICIENT_SCOPE for a later end
 */
export function userKeyEnd(wanted: Date | null | undefined, { grant: { endsAt } }: UserKeyMaker): Date | null {
  if (wanted === undefined) return endsAt;
  if (endsAt !== null && (wanted === null || wanted > endsAt))
    throw refused('A key cannot outlive the credential that makes it.', 'expiresAt');
  return wanted;
}

/** `field`: of the body, where it asks for too much. */
function refused(message: string, field?: string): LatchkeyError {
  return new LatchkeyError('INSUFFICIENT_SCOPE', message, { requiredScopes: [], ...(field === undefined ? {} : { field }) });
}
