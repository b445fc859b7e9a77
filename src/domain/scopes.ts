import { LatchkeyError } from './errors.js';

/** Every scope that an API key can hold (contract: auth.md, "Scopes"). `x:write` does not imply `x:read`. */
export const scopes = {
  'licenses:read': 'See licenses and their keys, and validate them by id',
  'licenses:write': 'Create, change, renew, suspend, revoke and delete licenses',
  'machines:read': 'See machines',
  'machines:write': 'Activate, change, beat and deactivate the machines of any license',
  'products:read': 'See products',
  'products:write': 'Create, change and delete products',
  'policies:read': 'See policies',
  'policies:write': 'Create, change and delete policies, and their entitlements',
  'entitlements:read': 'See entitlements',
  'entitlements:write': 'Create, change and delete entitlements',
  'webhooks:read': 'See webhook endpoints and their deliveries',
  'webhooks:write': 'Create, change and delete webhook endpoints',
  'analytics:read': 'Read analytics',
  'events:read': 'Read events and event streams',
  'api-keys:read': 'See API keys (never their secrets)',
  'api-keys:write': 'Create, change and revoke API keys',
  'audit:read': 'Read the audit log',
  'users:read': "See the account's users",
  'users:write': "Invite, change and remove the account's users",
  'test-clocks:write': 'Make and turn test clocks',
} as const;

export type Scope = keyof typeof scopes;

export const allScopes = Object.keys(scopes) as Scope[];

/** Shorthands that fill `scopes` when a key is created (contract: auth.md, "API keys"). `full` is no restriction. */
export const scopePresets = {
  full: [],
  'read-only': allScopes.filter((scope) => scope.endsWith(':read')),
  webhooks: ['webhooks:read', 'webhooks:write', 'events:read'],
  validation: ['licenses:read', 'machines:read', 'machines:write'],
} as const satisfies Record<string, readonly Scope[]>;

export type ScopePreset = keyof typeof scopePresets;

/** What the grant really allows: an empty list is full access. */
export function effectiveScopes(granted: readonly string[]): readonly Scope[] {
  return granted.length === 0 ? allScopes : allScopes.filter((scope) => granted.includes(scope));
}

export function isFullAccess(granted: readonly string[]): boolean {
  return granted.length === 0;
}

/** The scopes of `required` that the grant lacks. */
export function missingScopes(granted: readonly string[], required: readonly Scope[]): Scope[] {
  if (isFullAccess(granted)) return [];
  return required.filter((scope) => !granted.includes(scope));
}

/** @throws 403 INSUFFICIENT_SCOPE naming what is missing. */
export function requireScopes(granted: readonly string[], required: readonly Scope[]): void {
  const missing = missingScopes(granted, required);
  if (missing.length > 0) throw insufficientScope(missing);
}

export function insufficientScope(missing: readonly string[]): LatchkeyError {
  const names = missing.join(', ');
  return new LatchkeyError('INSUFFICIENT_SCOPE', `This credential lacks the ${missing.length === 1 ? 'scope' : 'scopes'} ${names}.`, {
    requiredScopes: missing,
  });
}

/**
 * A key can never give away what it does not hold: neither by creating a key nor by editing one. Full access is more than
 * every scope, so only full access may give it.
 * @throws 403 INSUFFICIENT_SCOPE
 */
export function requireGrantableScopes(granted: readonly string[], wanted: readonly string[]): void {
  if (isFullAccess(granted)) return;
  const missing = wanted.length === 0 ? missingScopes(granted, allScopes) : wanted.filter((scope) => !granted.includes(scope));
  if (missing.length > 0) throw insufficientScope(missing);
  if (wanted.length === 0)
    throw new LatchkeyError('INSUFFICIENT_SCOPE', 'Only full access can grant full access.', { requiredScopes: [], field: 'scopes' });
}
