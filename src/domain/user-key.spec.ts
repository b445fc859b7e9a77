import { describe, expect, it } from '@jest/globals';
import { roles } from './roles.js';
import { allScopes } from './scopes.js';
import { opensAllAccounts, requireKeyMaker, userKeyEnd, type UserKeyMaker } from './user-key.js';

const maker = (changes: Partial<UserKeyMaker> = {}): UserKeyMaker => ({
  scopes: [],
  grant: { endsAt: null, allowedIps: [], rateLimitPerMinute: null },
  segmentId: null,
  own: null,
  ...changes,
});
const own = (changes = {}) => ({ own: { isToken: false, opensAllAccounts: true, ...changes } });

describe('making a key for a user', () => {
  it.each<[string, Partial<UserKeyMaker>, boolean]>([
    ['an owner', {}, true],
    ['every scope, which is less than full access', { scopes: allScopes }, false],
    ['an admin', { scopes: roles.admin }, false],
    ['full access to a segment', { segmentId: 'segment' }, false],
    ['full access from some addresses', { grant: { endsAt: null, allowedIps: ['192.0.2.0/24'], rateLimitPerMinute: null } }, false],
    ['full access at a rate of its own', { grant: { endsAt: null, allowedIps: [], rateLimitPerMinute: 10 } }, false],
    ["the user's own key, whatever the role", { scopes: roles.support, ...own() }, true],
    ["the user's own token", { scopes: roles.support, ...own({ isToken: true }) }, true],
  ])('%s', (_who, changes, allowed) => {
    const use = () => {
      requireKeyMaker(maker(changes));
    };
    if (allowed) expect(use).not.toThrow();
    else expect(use).toThrow(expect.objectContaining({ code: 'INSUFFICIENT_SCOPE' }));
  });

  it.each<[string, Partial<UserKeyMaker>, number, boolean]>([
    ['by an owner, for a user of no other account', {}, 0, true],
    ['by an owner, for a user of another account too', {}, 1, false],
    ['by a key that opens all, for a user of one account', own(), 0, true],
    ['by a key that opens all, for a user of several', own(), 2, true],
    ['by a key that opens one account, for a user of one', own({ opensAllAccounts: false }), 0, false],
    ['by a key that opens one account, for a user of several', own({ opensAllAccounts: false }), 2, false],
    ['by a token', own({ isToken: true }), 0, false],
  ])('%s (and %j, %d others): all accounts = %s', (_how, changes, others, expected) => {
    expect(opensAllAccounts(maker(changes), others)).toBe(expected);
  });

  const [early, late] = [new Date('2027-01-01T00:00:00Z'), new Date('2027-01-02T00:00:00Z')];
  it.each<[wanted: Date | null | undefined, endsAt: Date | null, end: Date | null | 'refused']>([
    [undefined, null, null],
    [null, null, null],
    [late, null, late],
    [undefined, early, early],
    [early, early, early],
    [early, late, early],
    [late, early, 'refused'],
    [null, early, 'refused'],
  ])('wanted until %s by one that ends %s: %s', (wanted, endsAt, end) => {
    const decide = () => userKeyEnd(wanted, maker({ grant: { endsAt, allowedIps: [], rateLimitPerMinute: null } }));
    if (end === 'refused') expect(decide).toThrow(expect.objectContaining({ code: 'INSUFFICIENT_SCOPE' }));
    else expect(decide()).toEqual(end);
  });
});
