import { crc32 } from 'node:zlib';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { SHOWN_PREFIX_LENGTH, SHOWN_SUFFIX_LENGTH, apiKeyStatus, generateApiKey, maskApiKey, parseApiKey } from './api-key.js';

const BASE62 = [...'0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'];
const environments = fc.constantFrom('live' as const, 'test' as const);

/** The secret that is made of the given indexes, in turn. */
const indexed = (indexes: readonly number[]) => {
  let next = 0;
  return (): number => indexes[next++ % indexes.length]!;
};
const keys = fc
  .tuple(environments, fc.array(fc.nat({ max: 61 }), { minLength: 32, maxLength: 32 }))
  .map(([environment, indexes]) => generateApiKey(environment, indexed(indexes)));
const key = generateApiKey('live', indexed([10, 36, 0, 61]));

describe('an API key', () => {
  it('names its environment, and is read back as that', () => {
    fc.assert(
      fc.property(environments, fc.array(fc.nat({ max: 61 }), { minLength: 32, maxLength: 32 }), (environment, indexes) => {
        const generated = generateApiKey(environment, indexed(indexes));
        expect(generated).toMatch(new RegExp(`^lk_${environment}_[0-9A-Za-z]{38}$`));
        expect(parseApiKey(generated)).toBe(environment);
      }),
    );
  });

  it('ends in the CRC-32 of what precedes, as six base62 digits', () => {
    fc.assert(
      fc.property(keys, (generated) => {
        const value = [...generated.slice(-6)].reduce((sum, digit) => sum * 62 + BASE62.indexOf(digit), 0);
        expect(value).toBe(crc32(generated.slice(0, -6)));
      }),
    );
  });

  it('uses the alphabet without bias: 32 draws of 1 in 62, each to a character of its own', () => {
    const sizes: number[] = [];
    generateApiKey('live', (size) => {
      sizes.push(size);
      return 0;
    });
    expect(sizes).toEqual(Array.from({ length: 32 }, () => 62));
    const drawn = BASE62.map((_, index) => generateApiKey('test', () => index).charAt('lk_test_'.length));
    expect([...drawn].sort()).toEqual([...BASE62].sort());
  });

  it('is drawn anew each time', () => {
    expect(new Set(Array.from({ length: 100 }, () => generateApiKey('live'))).size).toBe(100);
  });

  it('with any one character exchanged, inserted or lost is refused', () => {
    const characters = fc.oneof(fc.constantFrom(...BASE62), fc.string({ unit: 'grapheme', minLength: 1, maxLength: 1 }));
    fc.assert(
      fc.property(keys, fc.nat({ max: 45 }), characters, (generated, position, character) => {
        const [before, after] = [generated.slice(0, position), generated.slice(position + 1)];
        fc.pre(character !== generated.charAt(position));
        expect(parseApiKey(before + character + after)).toBeNull();
        expect(parseApiKey(before + character + generated.slice(position))).toBeNull();
        expect(parseApiKey(before + after)).toBeNull();
      }),
      { numRuns: 1000 },
    );
  });

  it('with every character exchanged by every other, one at a time, is refused', () => {
    const accepted = [...key].flatMap((right, position) =>
      BASE62.filter((wrong) => wrong !== right && parseApiKey(key.slice(0, position) + wrong + key.slice(position + 1)) !== null),
    );
    expect(key).toHaveLength(46);
    expect(accepted).toEqual([]);
  });

  it.each<[string, string]>([
    ['nothing', ''],
    ['of the other environment', key.replace('live', 'test')],
    ['of no environment', key.replace('live', 'prod')],
    ['in other case', key.toUpperCase()],
    ['with a line feed', `${key}\n`],
    ['with space before it', ` ${key}`],
    ['twice', key + key],
  ])('%s is refused', (_what, text) => {
    expect(parseApiKey(text)).toBeNull();
  });

  it('is shown by its first twelve and last four characters', () => {
    const shown = maskApiKey(key.slice(0, SHOWN_PREFIX_LENGTH), key.slice(-SHOWN_SUFFIX_LENGTH));
    expect(shown).toBe(`lk_live_Aa0z…${key.slice(42)}`);
  });
});

describe('the status of an API key', () => {
  const now = new Date('2026-06-01T00:00:00Z');
  const past = new Date('2026-05-31T23:59:59.999Z');
  const future = new Date('2026-06-01T00:00:00.001Z');
  it.each<[string, { expiresAt?: Date; retiresAt?: Date; revokedAt?: Date }]>([
    ['active', {}],
    ['active', { expiresAt: future }],
    ['expired', { expiresAt: now }],
    ['expiring', { retiresAt: future }],
    ['expiring', { retiresAt: future, expiresAt: future }],
    ['expired', { retiresAt: future, expiresAt: past }],
    ['expired', { retiresAt: now }],
    ['expired', { retiresAt: past, expiresAt: future }],
    ['revoked', { revokedAt: past }],
    ['revoked', { revokedAt: past, expiresAt: past, retiresAt: past }],
    ['revoked', { revokedAt: now, retiresAt: future }],
  ])('is %s with %j', (status, times) => {
    expect(apiKeyStatus({ expiresAt: null, retiresAt: null, revokedAt: null, ...times }, now)).toBe(status);
  });
});
