import { LatchkeyError } from './errors.js';
import { type Grant, isUnrestricted } from './grant.js';
import { allScopes, insufficientScope, isFullAccess, missingScopes, type Scope } from './scopes.js';

/**
 * What a user may do in an account: each role is a set of scopes, empty = full access (contract: auth.md, "Users").
 * Each of the first four holds all that the next one does; a developer also holds all that read-only does.
 */
export const roles = {
  owner: [],
  admin: allScopes,
  developer: allScopes.filter((scope) => !['users:write', 'api-keys:write'].includes(scope)),
  support: [
    'licenses:read',
    'licenses:write',
    'machines:read',
    'machines:write',
    'products:read',
    'policies:read',
    'entitlements:read',
    'analytics:read',
    'events:read',
  ],
  'read-only': allScopes.filter((scope) => scope.endsWith(':read')),
} as const satisfies Record<string, readonly Scope[]>;

export type MemberRole = keyof typeof roles;

export const memberRoles = Object.keys(roles) as MemberRole[];

/**
 * Nobody gives, changes or takes a role that may do more than they may. An owner's full access is more than every scope
 * together (an account itself is above them), so only full access makes owners.
 * @throws 403 INSUFFICIENT_SCOPE
 */
export function requireRole(granted: readonly string[], role: MemberRole): void {
  if (holdsRole(granted, role)) return;
  if (isFullAccess(roles[role]))
    throw new LatchkeyError('INSUFFICIENT_SCOPE', 'This needs full access, like that of an owner.', { requiredScopes: [] });
  throw insufficientScope(missingScopes(granted, roles[role]));
}

/**
 * A role opens both environments, from anywhere and at the common rate. An API key that is held to less gives none: it
 * could otherwise get by a user what it lacks itself. (Users are held to their roles by `requireRole`.)
 * @throws 403 INSUFFICIENT_SCOPE
 */
export function requireRoleGiver(giver: { kind: 'apiKey' | 'user'; grant: Grant }): void {
  if (giver.kind === 'user') return;
  const { grant } = giver;
  if (isUnrestricted(grant) && grant.allowedIps.length === 0 && grant.rateLimitPerMinute === null) return;
  throw new LatchkeyError(
    'INSUFFICIENT_SCOPE',
    'A role opens both environments, from anywhere: only an API key with full access and no limits of its own gives one.',
    { requiredScopes: [] },
  );
}

/** Whether the grant allows all that the role does. */
export function holdsRole(granted: readonly string[], role: MemberRole): boolean {
  if (isFullAccess(granted)) return true;
  return !isFullAccess(roles[role]) && missingScopes(granted, roles[role]).length === 0;
}
