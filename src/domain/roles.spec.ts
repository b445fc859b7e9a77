import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { memberRoles, requireRole, roles, type MemberRole } from './roles.js';
import { allScopes, effectiveScopes, isFullAccess } from './scopes.js';

const mayHandle = (granted: readonly string[], role: MemberRole): boolean => {
  try {
    requireRole(granted, role);
    return true;
  } catch (error) {
    expect(error).toMatchObject({ code: 'INSUFFICIENT_SCOPE', status: 403 });
    return false;
  }
};

describe('the roles', () => {
  it('are those of the contract', () => {
    expect(memberRoles).toEqual(['owner', 'admin', 'developer', 'support', 'read-only']);
  });

  it('have full access for the owner alone', () => {
    expect(memberRoles.filter((role) => isFullAccess(roles[role]))).toEqual(['owner']);
  });

  it.each<[MemberRole, MemberRole]>([
    ['owner', 'admin'],
    ['admin', 'developer'],
    ['developer', 'support'],
    ['developer', 'read-only'],
  ])('%s may do all that %s may', (more, less) => {
    expect(effectiveScopes(roles[more])).toEqual(expect.arrayContaining([...effectiveScopes(roles[less])]));
  });

  it('let only owner and admin hand out access, and read-only change nothing', () => {
    for (const scope of ['users:write', 'api-keys:write'] as const) {
      expect(memberRoles.filter((role) => effectiveScopes(roles[role]).includes(scope))).toEqual(['owner', 'admin']);
    }
    expect(effectiveScopes(roles['read-only']).filter((scope) => scope.endsWith(':write'))).toEqual([]);
  });
});

describe('handling a role', () => {
  it.each<[string, readonly string[], MemberRole[]]>([
    ['full access', [], memberRoles],
    ['every scope', allScopes, ['admin', 'developer', 'support', 'read-only']],
    ['an admin', roles.admin, ['admin', 'developer', 'support', 'read-only']],
    ['a developer', roles.developer, ['developer', 'support', 'read-only']],
    ['support', roles.support, ['support']],
    ['a reader', roles['read-only'], ['read-only']],
    ['a key for users alone', ['users:read', 'users:write'], []],
    ['a scope that there is no more', ['abolished:read'], []],
  ])('%s: only what it holds itself', (_who, granted, handled) => {
    expect(memberRoles.filter((role) => mayHandle(granted, role))).toEqual(handled);
  });

  it('takes every scope of the role, and full access for full access', () => {
    fc.assert(
      fc.property(fc.subarray(allScopes, { minLength: 1 }), fc.constantFrom(...memberRoles), (granted, role) => {
        const holdsAll = !isFullAccess(roles[role]) && roles[role].every((scope) => granted.includes(scope));
        expect(mayHandle(granted, role)).toBe(holdsAll);
      }),
    );
  });

  it('says which scopes are missing', () => {
    expect(() => {
      requireRole(
        allScopes.filter((scope) => scope !== 'machines:write'),
        'support',
      );
    }).toThrow(expect.objectContaining({ details: { requiredScopes: ['machines:write'] } }));
  });
});
