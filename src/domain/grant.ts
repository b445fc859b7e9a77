import { rangesCover } from './addresses.js';
import { LatchkeyError } from './errors.js';
import { flairsOf } from './flairs.js';
import { isFullAccess, requireGrantableScopes } from './scopes.js';

/** What a credential may do, in all the ways in which keys are limited (contract: auth.md, "API keys"). */
export interface Grant {
  /** Empty = full access. */
  scopes: readonly string[];
  /** Requests a minute; null = no limit of its own. */
  rateLimitPerMinute: number | null;
  /** CIDR ranges; empty = anywhere. */
  allowedIps: readonly string[];
  /** When it ends; null = never. */
  endsAt: Date | null;
  flairs: readonly string[];
}

/** What is kept of an API key, as far as it says what the key may do. */
export interface ApiKeyFacts {
  name: string;
  scopes: readonly string[];
  rateLimitPerMinute: number | null;
  allowedIps: readonly string[];
  expiresAt: Date | null;
  /** Of a key that was rotated out: the end of its overlap. */
  retiresAt: Date | null;
}

/** Sees and changes only what it created; so do the keys that it makes. */
export const SEGMENT = 'segment';
/** `BULK_FACTOR` times the rate limit. */
export const BULK = 'bulk';
const BULK_FACTOR = 10;

export function grantOf({ name, scopes, rateLimitPerMinute, allowedIps, expiresAt, retiresAt }: ApiKeyFacts): Grant {
  return { scopes, rateLimitPerMinute, allowedIps, endsAt: earlier(expiresAt, retiresAt), flairs: flairsOf(name) };
}

/** The segment that a key with this grant is held to, and whose mark its resources bear; null = all of the environment. */
export function segmentOf({ flairs }: Pick<Grant, 'flairs'>, lineageId: string): string | null {
  return flairs.includes(SEGMENT) ? lineageId : null;
}

/** Whether it may do what is above every scope: change the account, or open its other environment. */
export function isUnrestricted({ scopes, flairs }: Pick<Grant, 'scopes' | 'flairs'>): boolean {
  return isFullAccess(scopes) && !flairs.includes(SEGMENT);
}

/** How many requests a minute the key may make: its own limit, else the installation's, with `bulk` ten times. 0 = any number. */
export function requestLimitPerMinute(
  { rateLimitPerMinute, flairs }: Pick<Grant, 'rateLimitPerMinute' | 'flairs'>,
  defaultPerMinute: number,
): number {
  return rateLimitPerMinute ?? defaultPerMinute * (flairs.includes(BULK) ? BULK_FACTOR : 1);
}

/** The wishes for a new key: undefined = nothing was said. */
export interface GrantWish {
  name: string;
  scopes: readonly string[];
  rateLimitPerMinute?: number | null;
  allowedIps?: readonly string[] | null;
  expiresAt?: Date | null;
}

/** What a new key is to have: where nothing is said, the limits of its maker. Whether that may be is `requireGrantable`'s. */
export function inheritedGrant(holder: Grant, wish: GrantWish): Grant {
  return {
    scopes: wish.scopes,
    rateLimitPerMinute: wish.rateLimitPerMinute === undefined ? holder.rateLimitPerMinute : wish.rateLimitPerMinute,
    allowedIps: wish.allowedIps === undefined ? holder.allowedIps : (wish.allowedIps ?? []),
    endsAt: wish.expiresAt === undefined ? holder.endsAt : wish.expiresAt,
    flairs: flairsOf(wish.name),
  };
}

/**
 * No sequence of calls gives a key what its maker lacked: whoever makes or changes a key holds at least what the key has,
 * before and after. "Holds at least" is an order (everyone holds what they hold; what is passed on twice is still held by
 * the first), so that it cannot be got around in steps.
 * @throws 403 INSUFFICIENT_SCOPE: `details.requiredScopes` has the scopes that are missing, `details.field` names another
 * field of the body that asks for too much
 */
export function requireGrantable(holder: Grant, wanted: Grant, defaultRatePerMinute: number): void {
  requireGrantableScopes(holder.scopes, wanted.scopes);
  if (!rangesCover(holder.allowedIps, wanted.allowedIps))
    throw beyond('allowedIps', 'This credential may grant only addresses that it may be used from itself.');
  if (holder.endsAt !== null && (wanted.endsAt === null || wanted.endsAt > holder.endsAt))
    throw beyond('expiresAt', `This credential ends at ${holder.endsAt.toISOString()}, and grants nothing that outlives it.`);
  if (holder.flairs.includes(SEGMENT) && !wanted.flairs.includes(SEGMENT))
    throw beyond('name', 'A key with the flair segment grants only keys with it.');
  const most = grantableRate(holder, defaultRatePerMinute);
  // Also where the key's own limit leaves the flair without effect: the limit can be taken away later.
  const plain = { ...wanted, rateLimitPerMinute: null, flairs: [BULK] };
  if (wanted.flairs.includes(BULK) && !holder.flairs.includes(BULK) && unlimited(requestLimitPerMinute(plain, defaultRatePerMinute)) > most)
    throw beyond('name', 'This credential lacks the rate that the flair bulk stands for.');
  if (grantableRate(wanted, defaultRatePerMinute) > most)
    throw beyond('rateLimitPerMinute', `This credential may grant at most ${String(most)} requests a minute.`);
}

/** How many requests a minute it may grant at most. The account's root, full access without a limit of its own, may grant any. */
function grantableRate(grant: Grant, defaultPerMinute: number): number {
  if (isUnrestricted(grant) && grant.rateLimitPerMinute === null) return Infinity;
  return unlimited(requestLimitPerMinute(grant, defaultPerMinute));
}

function unlimited(limit: number): number {
  return limit === 0 ? Infinity : limit;
}

function beyond(field: string, message: string): LatchkeyError {
  return new LatchkeyError('INSUFFICIENT_SCOPE', message, { requiredScopes: [], field });
}

/** Of two ends the one that comes first; null = never. */
export function earlier(a: Date | null, b: Date | null): Date | null {
  if (a === null || b === null) return a ?? b;
  return a < b ? a : b;
}
