import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type Grant, grantOf, inheritedGrant, isUnrestricted, requestLimitPerMinute, requireGrantable, segmentOf } from './grant.js';
import { allScopes } from './scopes.js';

const root: Grant = { scopes: [], rateLimitPerMinute: null, allowedIps: [], endsAt: null, flairs: [] };
const scoped: Grant = { ...root, scopes: ['licenses:read', 'api-keys:write'] };
const soon = new Date('2030-01-01T00:00:00Z');
const later = new Date('2031-01-01T00:00:00Z');

/** Null when it may be granted; else the field that asks for too much, or the scopes that are missing. */
function refusal(holder: Grant, wanted: Grant, defaultPerMinute = 120): unknown {
  try {
    requireGrantable(holder, wanted, defaultPerMinute);
    return null;
  } catch (error) {
    const { code, details } = error as { code: string; details: { field?: string; requiredScopes: string[] } };
    expect(code).toBe('INSUFFICIENT_SCOPE');
    return details.field ?? details.requiredScopes;
  }
}

describe('the rate limit of a key', () => {
  it.each<[number | null, string[], number, number]>([
    [null, [], 120, 120],
    [null, ['bulk'], 120, 1200],
    [7, [], 120, 7],
    [7, ['bulk'], 120, 7],
    [100_000, [], 120, 100_000],
    [null, ['nightly'], 120, 120],
    [null, ['bulk'], 0, 0],
    [null, [], 0, 0],
    [7, [], 0, 7],
  ])('own %j, flairs %j, default %i: %i', (rateLimitPerMinute, flairs, defaultPerMinute, limit) => {
    expect(requestLimitPerMinute({ rateLimitPerMinute, flairs }, defaultPerMinute)).toBe(limit);
  });
});

describe('what a key is', () => {
  it('ends when it expires or its overlap does, whichever is first', () => {
    const facts = { name: 'a[bulk]', scopes: [], rateLimitPerMinute: 5, allowedIps: ['10.0.0.0/8'], expiresAt: null, retiresAt: null };
    expect(grantOf(facts)).toEqual({ scopes: [], rateLimitPerMinute: 5, allowedIps: ['10.0.0.0/8'], endsAt: null, flairs: ['bulk'] });
    expect(grantOf({ ...facts, expiresAt: soon }).endsAt).toEqual(soon);
    expect(grantOf({ ...facts, retiresAt: soon }).endsAt).toEqual(soon);
    expect(grantOf({ ...facts, expiresAt: later, retiresAt: soon }).endsAt).toEqual(soon);
    expect(grantOf({ ...facts, expiresAt: soon, retiresAt: later }).endsAt).toEqual(soon);
  });

  it('is held to the segment of its line with the flair, and is then above no scope', () => {
    expect(segmentOf({ flairs: ['segment'] }, 'line')).toBe('line');
    expect(segmentOf({ flairs: ['bulk'] }, 'line')).toBeNull();
    expect([root, scoped, { ...root, flairs: ['segment'] }, { ...root, scopes: allScopes }].map(isUnrestricted)).toEqual([
      ...[true, false, false, false],
    ]);
  });
});

describe('a new key', () => {
  const limited: Grant = { scopes: [], rateLimitPerMinute: 9, allowedIps: ['10.0.0.0/8'], endsAt: soon, flairs: [] };

  it('inherits the limits of its maker where nothing is said', () => {
    const wish = { name: 'a[bulk]', scopes: ['licenses:read'] };
    expect(inheritedGrant(limited, wish)).toEqual({ ...limited, scopes: ['licenses:read'], flairs: ['bulk'] });
    expect(inheritedGrant(root, { name: 'a', scopes: [] })).toEqual(root);
  });

  it('wishes for what is said, also for no limit', () => {
    const wish = { name: 'a', scopes: [], rateLimitPerMinute: null, allowedIps: null, expiresAt: null };
    expect(inheritedGrant(limited, wish)).toEqual(root);
    expect(inheritedGrant(limited, { ...wish, allowedIps: [] }).allowedIps).toEqual([]);
    const other = { rateLimitPerMinute: 5, allowedIps: ['10.1.0.0/16'], expiresAt: later };
    expect(inheritedGrant(limited, { ...wish, ...other })).toMatchObject({
      rateLimitPerMinute: 5,
      allowedIps: ['10.1.0.0/16'],
      endsAt: later,
    });
  });
});

describe('granting', () => {
  it.each<[string, Partial<Grant>, Partial<Grant>, unknown]>([
    [
      'the root anything',
      {},
      { rateLimitPerMinute: 1_000_000, flairs: ['bulk', 'segment'], allowedIps: ['10.0.0.0/8'], endsAt: soon },
      null,
    ],
    ['scopes that are held', { scopes: scoped.scopes }, { scopes: ['licenses:read'] }, null],
    ['a scope that is not', { scopes: scoped.scopes }, { scopes: ['licenses:read', 'licenses:write'] }, ['licenses:write']],
    ['full access by every scope', { scopes: allScopes }, {}, 'scopes'],
    ['addresses within', { allowedIps: ['10.0.0.0/8'] }, { allowedIps: ['10.1.0.0/16'] }, null],
    ['addresses beyond', { allowedIps: ['10.0.0.0/8'] }, { allowedIps: ['10.1.0.0/16', '11.0.0.0/8'] }, 'allowedIps'],
    ['anywhere', { allowedIps: ['10.0.0.0/8'] }, {}, 'allowedIps'],
    ['the same end', { endsAt: soon }, { endsAt: soon }, null],
    ['a later end', { endsAt: soon }, { endsAt: later }, 'expiresAt'],
    ['no end', { endsAt: soon }, {}, 'expiresAt'],
    ['all of the environment', { flairs: ['segment'] }, {}, 'name'],
    ['a segment of a segment', { flairs: ['segment'] }, { flairs: ['segment'] }, null],
    ['its own rate', { rateLimitPerMinute: 60 }, { rateLimitPerMinute: 60 }, null],
    ['more than its own rate', { rateLimitPerMinute: 60 }, { rateLimitPerMinute: 61 }, 'rateLimitPerMinute'],
    ['the default, which is more', { rateLimitPerMinute: 60 }, {}, 'rateLimitPerMinute'],
    // Full access without a limit of its own could then grant any rate.
    ['root by full access of a large own limit', { rateLimitPerMinute: 5000 }, {}, 'rateLimitPerMinute'],
    ['the default, which is less', { rateLimitPerMinute: 5000 }, { scopes: ['licenses:read'] }, null],
    ['bulk of a large own limit', { rateLimitPerMinute: 1200 }, { scopes: ['licenses:read'], flairs: ['bulk'] }, null],
    ['bulk of too small an own limit', { rateLimitPerMinute: 1199 }, { rateLimitPerMinute: 5, flairs: ['bulk'] }, 'name'],
    [
      'bulk that is held, with the own limit',
      { rateLimitPerMinute: 60, flairs: ['bulk'] },
      { rateLimitPerMinute: 60, flairs: ['bulk'] },
      null,
    ],
    [
      'bulk that is held, without',
      { ...scoped, rateLimitPerMinute: 60, flairs: ['bulk'] },
      { ...scoped, flairs: ['bulk'] },
      'rateLimitPerMinute',
    ],
    ['the default by a scoped key', scoped, scoped, null],
    ['above the default by a scoped key', scoped, { ...scoped, rateLimitPerMinute: 121 }, 'rateLimitPerMinute'],
    ['bulk by a scoped key', scoped, { ...scoped, flairs: ['bulk'] }, 'name'],
    ['ten times the default by bulk', { ...scoped, flairs: ['bulk'] }, { ...scoped, rateLimitPerMinute: 1200 }, null],
    ['more by bulk', { ...scoped, flairs: ['bulk'] }, { ...scoped, rateLimitPerMinute: 1201 }, 'rateLimitPerMinute'],
    [
      'a rate above the default by a segment',
      { flairs: ['segment'] },
      { flairs: ['segment'], rateLimitPerMinute: 121 },
      'rateLimitPerMinute',
    ],
  ])('%s', (_what, holder, wanted, expected) => {
    expect(refusal({ ...root, ...holder }, { ...root, ...wanted })).toEqual(expected);
  });

  it.each<[string, Partial<Grant>, Partial<Grant>, unknown]>([
    ['any rate by one that is not limited', scoped, { ...scoped, rateLimitPerMinute: 1_000_000, flairs: ['bulk'] }, null],
    ['no limit by one that is', { ...scoped, rateLimitPerMinute: 60 }, scoped, 'rateLimitPerMinute'],
    ['bulk by one that is', { ...scoped, rateLimitPerMinute: 60 }, { ...scoped, rateLimitPerMinute: 60, flairs: ['bulk'] }, 'name'],
  ])('where the installation sets no limit: %s', (_what, holder, wanted, expected) => {
    expect(refusal({ ...root, ...holder }, { ...root, ...wanted }, 0)).toEqual(expected);
  });

  const grants: fc.Arbitrary<Grant> = fc.record({
    scopes: fc.constantFrom([], ['licenses:read'], ['licenses:read', 'api-keys:write'], allScopes),
    rateLimitPerMinute: fc.constantFrom(null, 1, 120, 121, 1200, 1_000_000),
    allowedIps: fc.constantFrom([], ['10.1.0.0/16'], ['10.1.0.0/17', '10.1.128.0/17'], ['10.0.0.0/8', '::/0']),
    endsAt: fc.constantFrom(null, soon, later),
    flairs: fc.subarray(['bulk', 'segment']),
  });
  const defaults = fc.constantFrom(0, 12, 120, 1200);

  it('what one holds is possible', () => {
    fc.assert(
      fc.property(grants, defaults, (grant, perMinute) => {
        expect(refusal(grant, grant, perMinute)).toBeNull();
      }),
    );
  });

  it('in two steps gives nothing that one step would not', () => {
    let chains = 0;
    fc.assert(
      fc.property(fc.array(grants, { minLength: 8, maxLength: 8 }), defaults, (all, perMinute) => {
        const may = all.map((holder) => all.map((wanted) => refusal(holder, wanted, perMinute) === null));
        for (const [a, first] of may.entries())
          for (const [b, second] of may.entries())
            for (const c of second.keys()) {
              if (a === b || b === c || !first[b] || !second[c]) continue;
              chains += 1;
              expect([all[a], all[b], all[c], first[c]]).toEqual([all[a], all[b], all[c], true]);
            }
      }),
    );
    expect(chains).toBeGreaterThan(50);
  });

  it('never gives more requests than the holder has, but by the root', () => {
    fc.assert(
      fc.property(grants, grants, defaults, (holder, wanted, perMinute) => {
        if (refusal(holder, wanted, perMinute) !== null || (isUnrestricted(holder) && holder.rateLimitPerMinute === null)) return;
        const [most, given] = [holder, wanted].map((grant) => requestLimitPerMinute(grant, perMinute) || Infinity);
        expect(given).toBeLessThanOrEqual(most!);
      }),
      { numRuns: 2000 },
    );
  });
});
