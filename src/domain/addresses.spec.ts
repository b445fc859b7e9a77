import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { addressIsAllowed, canonicalAddress, canonicalRange, rangeIssue, rangesCover } from './addresses.js';

/** Few addresses, close together, so that ranges overlap, touch and nest. */
const v4 = fc.tuple(fc.constantFrom(10, 11), fc.constantFrom(0, 1, 255)).map(([a, b]) => `${a}.0.0.${b}`);
const v6 = fc.tuple(fc.constantFrom('2001:db8', 'fe80', '2001:DB8:0'), fc.constantFrom('0', '1', 'ffff')).map(([a, b]) => `${a}::${b}`);
const mapped = v4.map((address) => `::ffff:${address}`);
const address = fc.oneof(v4, v6, mapped);
const range = fc.oneof(
  address,
  fc.tuple(v4, fc.integer({ min: 0, max: 32 })).map(([ip, length]) => `${ip}/${length}`),
  fc.tuple(fc.oneof(v6, mapped), fc.integer({ min: 0, max: 128 })).map(([ip, length]) => `${ip}/${length}`),
);
const ranges = fc.array(range, { maxLength: 4 });

describe('a range of addresses', () => {
  it.each([
    ['203.0.113.7', '203.0.113.7/32'],
    ['203.0.113.7/24', '203.0.113.0/24'],
    ['0.0.0.0/0', '0.0.0.0/0'],
    ['255.255.255.255/1', '128.0.0.0/1'],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1/128'],
    ['2001:db8::ffff/32', '2001:db8::/32'],
    ['::/0', '::/0'],
    ['::1', '::1/128'],
    ['::ffff:10.0.0.0/104', '10.0.0.0/8'],
    ['::ffff:a00:1', '10.0.0.1/32'],
    ['::FFFF:10.0.0.1/128', '10.0.0.1/32'],
    ['::ffff:0:0/96', '0.0.0.0/0'],
    // Wider than IPv4 is there, so it stays what it is.
    ['::ffff:0:0/95', '::fffe:0:0/95'],
    ['::a00:1', '::a00:1/128'],
    ['64:ff9b::192.0.2.33/96', '64:ff9b::/96'],
  ])('%s is kept as %s', (text, canonical) => {
    expect(rangeIssue(text)).toBeNull();
    expect(canonicalRange(text)).toBe(canonical);
  });

  it.each([
    ...[
      '',
      ' ',
      '10.0.0.1 ',
      ' 10.0.0.1',
      '10.0.0.1\n',
      '10.0.0',
      '10.0.0.0.1',
      '10.0.0.256',
      '10.0.0.-1',
      '1',
      '167772161',
      '*',
      '10.0.0.*',
    ],
    // The same address to nobody or to some: octal, hexadecimal, shortened.
    ...['010.0.0.1', '10.0.0.01', '0x7f.0.0.1', '0x7f000001', '0x7f.1', '127.1', '::ffff:010.0.0.1', '::ffff:0x7f.1', '::ffff:1.2.3'],
    ...['10.0.0.0/', '10.0.0.0/33', '10.0.0.0/08', '10.0.0.0/-1', '10.0.0.0/+8', '10.0.0.0/8/8', '10.0.0.0/8.0', '10.0.0.0/ 8', '10/8'],
    ...[
      '10.0.0.0/255.0.0.0',
      '10.0.0.1-10.0.0.9',
      '::/129',
      '::/0x10',
      '::1::',
      ':::',
      ':',
      '1:2:3:4:5:6:7',
      '1:2:3:4:5:6:7:8:9',
      '2001:db8::g',
    ],
    ...[
      '12345::',
      '[::1]',
      'fe80::1%eth0',
      'fe80::1%1/64',
      '1.2.3.4::',
      '١.٢.٣.٤',
      'localhost',
      'example.com',
      '::ffff:1.2.3.4.5',
      '::1.2.3.4:5',
    ],
  ])('%j is refused', (text) => {
    expect(rangeIssue(text)).toEqual(expect.stringMatching(/^must be /));
    expect(() => canonicalRange(text)).toThrow();
    expect(addressIsAllowed([text], text)).toBe(false);
  });

  it('has one spelling, which means the same', () => {
    fc.assert(
      fc.property(range, address, (text, ip) => {
        const canonical = canonicalRange(text);
        expect(canonicalRange(canonical)).toBe(canonical);
        expect(addressIsAllowed([canonical], ip)).toBe(addressIsAllowed([text], ip));
      }),
    );
  });
});

describe('an address', () => {
  it.each<[string[], string | null, boolean]>([
    [[], '203.0.113.7', true],
    [[], null, true],
    [['203.0.113.0/24'], '203.0.113.7', true],
    [['203.0.113.0/24'], '203.0.114.0', false],
    [['203.0.113.0/24'], '203.0.112.255', false],
    [['203.0.113.0/24'], null, false],
    [['203.0.113.0/24'], 'unknown', false],
    [['203.0.113.0/24'], '::ffff:203.0.113.7', true],
    [['203.0.113.0/24'], '::ffff:cb00:7107', true],
    [['::ffff:203.0.113.0/120'], '203.0.113.7', true],
    [['203.0.113.7/32'], '203.0.113.7', true],
    [['203.0.113.7/32'], '203.0.113.6', false],
    [['0.0.0.0/0'], '203.0.113.7', true],
    [['0.0.0.0/0'], '2001:db8::1', false],
    // All of IPv6 is not all of IPv4, though that can be written as IPv6.
    [['::/0'], '2001:db8::1', true],
    [['::/0'], '203.0.113.7', false],
    [['::/0'], '::ffff:203.0.113.7', false],
    [['2001:db8::/33'], '2001:db8:7fff::1', true],
    [['2001:db8::/33'], '2001:db8:8000::1', false],
    [['10.0.0.0/8', '2001:db8::/32'], '2001:DB8::1', true],
  ])('with %j, from %s: %s', (allowed, ip, expected) => {
    expect(addressIsAllowed(allowed, ip)).toBe(expected);
  });
});

describe('ranges within ranges', () => {
  it.each<[string[], string[], boolean]>([
    [[], [], true],
    [[], ['10.0.0.0/8'], true],
    [['10.0.0.0/8'], [], false],
    [['0.0.0.0/0', '::/0'], [], false],
    [['10.0.0.0/8'], ['10.0.0.0/8'], true],
    [['10.0.0.0/8'], ['10.1.0.0/16', '10.2.3.4'], true],
    [['10.0.0.0/8'], ['10.1.0.0/16', '11.0.0.0/32'], false],
    [['10.0.0.0/8'], ['10.0.0.0/7'], false],
    [['10.0.0.0/8'], ['2001:db8::/32'], false],
    [['::/0'], ['10.0.0.0/8'], false],
    [['10.0.0.0/8'], ['::ffff:10.1.2.3'], true],
    // Together they are the whole; with a gap they are not.
    [['10.0.0.0/25', '10.0.0.128/25'], ['10.0.0.0/24'], true],
    [['10.0.0.128/25', '10.0.0.0/25', '10.0.0.64/26'], ['10.0.0.0/24'], true],
    [['10.0.0.0/25', '10.0.0.129/32'], ['10.0.0.0/24'], false],
    [['255.255.255.255/32', '::/128'], ['255.255.255.254/31'], false],
  ])('%j cover %j: %s', (outer, inner, expected) => {
    expect(rangesCover(outer, inner)).toBe(expected);
  });

  it('cover themselves, and what is covered by what they cover', () => {
    fc.assert(
      fc.property(ranges, ranges, ranges, (a, b, c) => {
        expect(rangesCover(a, a)).toBe(true);
        if (rangesCover(a, b) && rangesCover(b, c)) expect(rangesCover(a, c)).toBe(true);
      }),
    );
  });

  it('never cover an address that they do not allow', () => {
    fc.assert(
      fc.property(ranges, ranges, address, (outer, inner, ip) => {
        if (rangesCover(outer, inner) && addressIsAllowed(inner, ip)) expect(addressIsAllowed(outer, ip)).toBe(true);
        expect(rangesCover(outer, [ip])).toBe(addressIsAllowed(outer, ip));
      }),
    );
  });
});

describe('the one spelling of an address', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['192.0.2.1:4711', '192.0.2.1'],
    ['2001:DB8:0::5', '2001:db8::5'],
    ['[2001:db8::5]:4711', '2001:db8::5'],
    ['[2001:db8::5]', '2001:db8::5'],
    ['fe80::1%eth0', 'fe80::1'],
    ['', null],
    ['unknown', null],
    ['192.0.2', null],
    ['192.0.2.1:4711:1', null],
    ['[192.0.2.1', null],
  ])('of %s is %s', (text, spelling) => {
    expect(canonicalAddress(text)).toBe(spelling);
  });
});
