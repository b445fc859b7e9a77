import { allScopes, type Scope } from './scopes.js';

/** What a user may do in an account: each role is a set of scopes, empty = full access (contract: auth.md, "Users"). */
export const roles = {
  owner: [],
  admin: allScopes,
  developer: allScopes.filter((scope) => !['users:write', 'api-keys:write', 'audit:read'].includes(scope)),
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
