import { createSecretKey } from 'node:crypto';
import { createHash } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { DEFAULT_KEY_PREFIX, KEY_PREFIX_PATTERN, generateLicenseKey, hasGeneratedFormat, parseLicenseKey } from './license-key.js';

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const secret = createSecretKey(Buffer.from('a secret derived from the master key'));
const otherSecret = createSecretKey(Buffer.from('another'));
const key = generateLicenseKey('LIC', secret, Buffer.from('00443214c74254b635cf', 'hex'));
const body = key.slice('LIC-'.length).replaceAll('-', '');
const anyRandom = fc.uint8Array({ minLength: 10, maxLength: 10 }).map((bytes) => Buffer.from(bytes));
const prefixes = fc.stringMatching(/^[A-Z]{2,10}$/);

describe('a generated key', () => {
  it('is prefix and six groups of four in Crockford base32, and finds its body again', () => {
    fc.assert(
      fc.property(prefixes, anyRandom, (prefix, random) => {
        const generated = generateLicenseKey(prefix, secret, random);
        expect(generated).toMatch(/^[A-Z]{2,10}(-[0-9A-HJKMNP-TV-Z]{4}){6}$/);
        const groups = generated.split('-');
        expect(groups[0]).toBe(prefix);
        expect(parseLicenseKey(generated, secret)).toEqual({ origin: 'generated', body: groups.slice(1).join('') });
        expect(hasGeneratedFormat(generated)).toBe(true);
      }),
    );
  });

  it('begins with its 80 random bits, five a character', () => {
    // By Crockford's table: 0x00443214c7 is 00000 00001 00010 00011 00100 00101 00110 00111, and so on to 15.
    expect(body.slice(0, 16)).toBe('0123456789ABCDEF');
  });

  it('has 40 bits of tag that depend on the secret and on all the random bits', () => {
    const random = Buffer.alloc(10);
    const other = Buffer.from(random);
    other[9] = 1;
    const tagOf = (generated: string): string => generated.replaceAll('-', '').slice(-8);
    const tags = [
      tagOf(generateLicenseKey('LIC', secret, random)),
      tagOf(generateLicenseKey('LIC', secret, other)),
      tagOf(generateLicenseKey('LIC', otherSecret, random)),
    ];
    expect(new Set(tags).size).toBe(3);
  });

  it('is drawn anew each time, and not the same body under another prefix', () => {
    const drawn = Array.from({ length: 100 }, () => generateLicenseKey(DEFAULT_KEY_PREFIX, secret).slice(4));
    expect(new Set(drawn).size).toBe(100);
    expect(DEFAULT_KEY_PREFIX).toMatch(KEY_PREFIX_PATTERN);
  });
});

describe('a typed key', () => {
  const forgiving: [string, string][] = [
    ['as printed', key],
    ['in lower case', key.toLowerCase()],
    ['without dashes', key.replaceAll('-', '')],
    ['with spaces for dashes', key.replaceAll('-', ' ')],
    ['with space around it', `  ${key}\n`],
    ['with a tab and a no-break space in it', `${key.slice(0, 9)}\t\u00a0${key.slice(9)}`],
    ['grouped otherwise', `LIC${body.slice(0, 12)}--${body.slice(12)}`],
    ['with O for 0', key.replaceAll('0', 'O')],
    ['with o for 0', key.replaceAll('0', 'o')],
    ['with I for 1', key.replaceAll('1', 'I')],
    ['with l for 1', key.replaceAll('1', 'l')],
    ['with a misread prefix', key.replace('LIC', 'L1C')],
    ['with another prefix', key.replace('LIC', 'SOLO')],
    ['with another prefix, misread', key.replace('LIC', 'S0L0')],
  ];

  it.each(forgiving)('%s is the same key', (_how, typed) => {
    expect(parseLicenseKey(typed, secret)).toEqual({ origin: 'generated', body });
    expect(hasGeneratedFormat(typed)).toBe(true);
  });

  it('with one character exchanged is refused, whichever it is', () => {
    fc.assert(
      fc.property(anyRandom, fc.nat({ max: 23 }), fc.integer({ min: 1, max: 31 }), (random, position, shift) => {
        const text = generateLicenseKey('LIC', secret, random).slice(4).replaceAll('-', '');
        const wrong = ALPHABET.charAt((ALPHABET.indexOf(text.charAt(position)) + shift) % 32);
        const typed = `LIC${text.slice(0, position)}${wrong}${text.slice(position + 1)}`;
        expect(parseLicenseKey(typed, secret)).toEqual({ origin: 'generated', body: null });
      }),
      { numRuns: 500 },
    );
    for (let position = 0; position < body.length; position += 1) {
      for (const wrong of ALPHABET.replace(body.charAt(position), '')) {
        const typed = `LIC${body.slice(0, position)}${wrong}${body.slice(position + 1)}`;
        expect(parseLicenseKey(typed, secret)).toEqual({ origin: 'generated', body: null });
      }
    }
  });

  it('that is made up is refused: 10,000 of them', () => {
    const madeUp = Array.from({ length: 10_000 }, (_, index) => {
      const bytes = createHash('sha256').update(String(index)).digest().subarray(0, 24);
      return `LIC${Array.from(bytes, (byte) => ALPHABET.charAt(byte % 32)).join('')}`;
    });
    expect(madeUp.every(hasGeneratedFormat)).toBe(true);
    expect(madeUp.filter((typed) => JSON.stringify(parseLicenseKey(typed, secret)) !== '{"origin":"generated","body":null}')).toEqual([]);
  });

  it('of another installation is refused', () => {
    expect(parseLicenseKey(key, otherSecret)).toEqual({ origin: 'generated', body: null });
  });
});

describe("a vendor's own key", () => {
  it.each<[string, string]>([
    ['something else', 'MY-OWN-KEY-2026'],
    ['an e-mail address', 'ada@example.com'],
    ['a UUID', '01890a5d-ac96-774b-bcce-b302099a8057'],
    ['too short for a prefix and a body', `AB-${body.slice(1)}`],
    ['without a prefix', body],
    ['a prefix of one letter', `L-${body}`],
    ['a prefix of eleven letters', `ABCDEFGHIJK-${body}`],
    ['a prefix with a digit that is no misreading', `L2C-${body}`],
    ['U, which Crockford leaves out', `LIC-U${body.slice(1)}`],
    ['punctuation', key.replaceAll('-', '_')],
    ['empty', ''],
  ])('%s', (_what, typed) => {
    expect(parseLicenseKey(typed, secret)).toEqual({ origin: 'vendor' });
    expect(hasGeneratedFormat(typed)).toBe(false);
  });
});

describe('a prefix', () => {
  it.each<[string, boolean]>([
    ['LIC', true],
    ['AB', true],
    ['ABCDEFGHIJ', true],
    ['A', false],
    ['ABCDEFGHIJK', false],
    ['lic', false],
    ['L1C', false],
    ['LIC\n', false],
  ])('%j: %p', (prefix, allowed) => {
    expect(KEY_PREFIX_PATTERN.test(prefix)).toBe(allowed);
  });
});
