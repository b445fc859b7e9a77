import { describe, expect, it } from '@jest/globals';
import {
  allScopes,
  effectiveScopes,
  isFullAccess,
  missingScopes,
  requireGrantableScopes,
  requireScopes,
  scopePresets,
  type Scope,
} from './scopes.js';

/** auth.md, "Scopes". */
const contractScopes = [
  ...['licenses:read', 'licenses:write', 'machines:read', 'machines:write', 'products:read', 'products:write'],
  ...['policies:read', 'policies:write', 'entitlements:read', 'entitlements:write', 'webhooks:read', 'webhooks:write', 'analytics:read'],
  ...['events:read', 'api-keys:read', 'api-keys:write', 'audit:read', 'users:read', 'users:write', 'test-clocks:write'],
];

const refusal = (...requiredScopes: Scope[]) =>
  expect.objectContaining({ code: 'INSUFFICIENT_SCOPE', status: 403, details: { requiredScopes } });

describe('the scopes', () => {
  it('are those of the contract, the base set first', () => {
    expect(allScopes).toEqual(contractScopes);
  });

  it.each<[keyof typeof scopePresets, string[]]>([
    ['full', []],
    ['read-only', contractScopes.filter((scope) => scope.endsWith(':read'))],
    ['webhooks', ['webhooks:read', 'webhooks:write', 'events:read']],
    ['validation', ['licenses:read', 'machines:read', 'machines:write']],
  ])('preset %s', (preset, scopes) => {
    expect([...scopePresets[preset]].sort()).toEqual([...scopes].sort());
  });
});

describe('a grant', () => {
  it.each<{ granted: string[]; required: Scope[]; missing: Scope[] }>([
    { granted: [], required: ['licenses:write', 'audit:read'], missing: [] },
    { granted: ['licenses:read'], required: [], missing: [] },
    { granted: ['licenses:read'], required: ['licenses:read'], missing: [] },
    { granted: ['licenses:write'], required: ['licenses:read'], missing: ['licenses:read'] },
    { granted: ['licenses:read'], required: ['licenses:write'], missing: ['licenses:write'] },
    { granted: ['machines:read'], required: ['licenses:read', 'machines:read', 'audit:read'], missing: ['licenses:read', 'audit:read'] },
    { granted: ['abolished:read'], required: ['licenses:read'], missing: ['licenses:read'] },
  ])('of $granted lacks $missing of $required', ({ granted, required, missing }) => {
    const use = () => {
      requireScopes(granted, required);
    };
    expect(missingScopes(granted, required)).toEqual(missing);
    if (missing.length === 0) expect(use).not.toThrow();
    else expect(use).toThrow(refusal(...missing));
  });

  it('says in its refusal what is missing', () => {
    const use = () => {
      requireScopes(['machines:read'], ['licenses:read', 'licenses:write']);
    };
    expect(use).toThrow('licenses:read, licenses:write');
  });

  it('of nothing is full access; of anything it is what it names and what still exists', () => {
    expect(isFullAccess([])).toBe(true);
    expect(effectiveScopes([])).toEqual(contractScopes);
    expect(isFullAccess(['abolished:read'])).toBe(false);
    expect(effectiveScopes(['abolished:read'])).toEqual([]);
    expect(effectiveScopes(['machines:write', 'licenses:read'])).toEqual(['licenses:read', 'machines:write']);
  });
});

describe('giving on', () => {
  it.each<{ what: string; granted: string[]; wanted: Scope[]; missing: Scope[] }>([
    { what: 'full access may give everything', granted: [], wanted: [], missing: [] },
    { what: 'full access may give anything', granted: [], wanted: ['audit:read'], missing: [] },
    { what: 'what is held may be given', granted: ['audit:read', 'users:read'], wanted: ['audit:read'], missing: [] },
    { what: 'what is lacked may not', granted: ['audit:read'], wanted: ['audit:read', 'users:read'], missing: ['users:read'] },
    {
      what: 'full access may not be given by less, whether asked for by name or by naming nothing',
      granted: ['audit:read'],
      wanted: [],
      missing: contractScopes.filter((scope) => scope !== 'audit:read') as Scope[],
    },
    { what: 'every scope by name may give every scope by name', granted: contractScopes, wanted: contractScopes as Scope[], missing: [] },
  ])('$what', ({ granted, wanted, missing }) => {
    const give = () => {
      requireGrantableScopes(granted, wanted);
    };
    if (missing.length === 0) expect(give).not.toThrow();
    else expect(give).toThrow(refusal(...missing));
  });

  it('of full access is not for the holder of every scope by name: it opens what is above every scope', () => {
    expect(() => {
      requireGrantableScopes(contractScopes, []);
    }).toThrow(expect.objectContaining({ code: 'INSUFFICIENT_SCOPE', details: { requiredScopes: [], field: 'scopes' } }));
  });
});
