import { describe, expect, it } from '@jest/globals';
import { type AuditedKey, isLiving, keyFindings } from './key-audit.js';

const now = new Date('2026-06-01T12:00:00Z');
const daysAgo = (days: number): Date => new Date(now.getTime() - days * 86_400_000);
const daysAhead = (days: number): Date => daysAgo(-days);
/** One that needs no care. */
const sound: AuditedKey = {
  scopes: ['licenses:read'],
  createdAt: daysAgo(10),
  expiresAt: daysAhead(60),
  retiresAt: null,
  leakedAt: null,
  lastUsedAt: daysAgo(1),
};

describe('the audit of a key', () => {
  it.each<[Partial<AuditedKey>, string[]]>([
    [{}, []],
    [{ leakedAt: daysAgo(0) }, ['LEAKED']],
    [{ retiresAt: daysAhead(1) }, ['IN_OVERLAP']],
    [{ retiresAt: daysAhead(1), expiresAt: null }, ['IN_OVERLAP']],
    [{ retiresAt: daysAhead(1), expiresAt: daysAhead(1) }, ['IN_OVERLAP']],
    [{ expiresAt: daysAhead(14) }, []],
    [{ expiresAt: daysAhead(13.9) }, ['EXPIRES_SOON']],
    [{ createdAt: daysAgo(89.9) }, []],
    [{ createdAt: daysAgo(90) }, ['NOT_ROTATED']],
    [{ lastUsedAt: null }, ['NEVER_USED']],
    [{ createdAt: daysAgo(80), lastUsedAt: daysAgo(89.9) }, []],
    [{ lastUsedAt: daysAgo(90) }, ['UNUSED']],
    [{ scopes: [] }, ['FULL_ACCESS']],
    [{ expiresAt: null }, ['NO_END']],
    [
      { scopes: [], expiresAt: null, createdAt: daysAgo(400), lastUsedAt: daysAgo(200), leakedAt: daysAgo(3) },
      ['LEAKED', 'NOT_ROTATED', 'UNUSED', 'FULL_ACCESS', 'NO_END'],
    ],
  ])('with %j finds %j', (facts, codes) => {
    expect(keyFindings({ ...sound, ...facts }, now).map(({ code }) => code)).toEqual(codes);
  });

  it('says it in words, with its numbers', () => {
    expect(keyFindings({ ...sound, createdAt: daysAgo(123.4), leakedAt: daysAgo(0) }, now).map(({ message }) => message)).toEqual([
      'was reported as leaked on 2026-06-01',
      'has not been rotated for 123 days',
    ]);
  });

  it('is of keys that still work', () => {
    expect((['active', 'expiring', 'expired', 'revoked'] as const).filter(isLiving)).toEqual(['active', 'expiring']);
  });
});
