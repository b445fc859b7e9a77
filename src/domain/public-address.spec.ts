import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { isLoopback, mayConnectTo } from './public-address.js';

const FAR = { allowLoopback: false };
const NEAR = { allowLoopback: true };

/** IANA's special-purpose registries, what is not "globally reachable" in them, and multicast; written down once more. */
const refusedV4: [string, number][] = [
  ...([['0.0.0.0', 8], ['10.0.0.0', 8], ['100.64.0.0', 10], ['127.0.0.0', 8], ['169.254.0.0', 16], ['172.16.0.0', 12]] as [string, number][]),
  ...([['192.0.0.0', 24], ['192.0.2.0', 24], ['192.88.99.0', 24], ['192.168.0.0', 16], ['198.18.0.0', 15]] as [string, number][]),
  ...([['198.51.100.0', 24], ['203.0.113.0', 24], ['224.0.0.0', 4], ['240.0.0.0', 4]] as [string, number][]),
  // Reachable, and only ever infrastructure: AS112, AMT, a cloud's inner service.
  ...([['192.31.196.0', 24], ['192.52.193.0', 24], ['192.175.48.0', 24], ['168.63.129.16', 32]] as [string, number][]),
]; // prettier-ignore

const toNumber = (address: string): number => address.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0);
const toDotted = (number: number): string => [24, 16, 8, 0].map((shift) => (number >>> shift) & 255).join('.');
const spans = refusedV4.map(([first, length]) => ({ first: toNumber(first), last: toNumber(first) + 2 ** (32 - length) - 1 }));
const isRefused = (number: number): boolean => spans.some(({ first, last }) => first <= number && number <= last);

/** Anywhere, and at the edges of what is refused. */
const v4 = fc.oneof(
  fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  fc
    .tuple(fc.constantFrom(...spans), fc.constantFrom(-1, 0, 1), fc.boolean())
    .map(([{ first, last }, by, atStart]) => ((atStart ? first : last) + by + 2 ** 32) % 2 ** 32),
);
const groups = (count: number) => fc.array(fc.integer({ min: 0, max: 0xffff }), { minLength: count, maxLength: count });
const hex = (number: number): string => number.toString(16);

describe('an address', () => {
  it.each(['1.1.1.1', '8.8.8.8', '93.184.216.34', '172.15.255.255', '172.32.0.1', '100.63.255.255', '100.128.0.1', '223.255.255.254'])(
    '%s is public',
    (address) => {
      expect(mayConnectTo(address, FAR)).toBe(true);
    },
  );

  it.each(['2606:4700:4700::1111', '2a00:1450:4001:81b::200e', '2400:cb00::1', '2001:4860:4860::8888', '2600::'])(
    '%s is public',
    (address) => {
      expect(mayConnectTo(address, FAR)).toBe(true);
    },
  );

  it('of IPv4 is public where no registry says otherwise', () => {
    fc.assert(
      fc.property(v4, (number) => {
        expect(mayConnectTo(toDotted(number), FAR)).toBe(!isRefused(number));
      }),
      { numRuns: 2000 },
    );
  });

  it('of IPv6 that carries one of IPv4 is refused, whatever it carries', () => {
    const carriers = [
      ...['::', '::ffff:', '::ffff:0:', '64:ff9b::', '64:ff9b:1::', '64:ff9b:1:abcd::', '2001::', '2001:0:1234::', 'fe80::5efe:'],
    ];
    fc.assert(
      fc.property(v4, groups(5), fc.constantFrom(...carriers), (number, rest, carrier) => {
        const [high, low] = [hex(number >>> 16), hex(number & 0xffff)];
        for (const text of [`${carrier}${toDotted(number)}`, `${carrier}${high}:${low}`]) expect(mayConnectTo(text, FAR)).toBe(false);
        expect(mayConnectTo(`2002:${high}:${low}:${rest.map(hex).join(':')}`, FAR)).toBe(false);
      }),
    );
  });

  it('of IPv6 is refused outside of 2000::/3, and among what is kept apart inside', () => {
    const apart = ['2001:db8', '2001:2:0', '2001:10', '2001:1', '3fff:0', '2002:0', '2001:0', '2001:4:112', '2620:4f:8000'];
    fc.assert(
      fc.property(groups(8), fc.constantFrom(...apart), (all, prefix) => {
        const first = all[0]!;
        if (first >> 13 !== 1) expect(mayConnectTo(all.map(hex).join(':'), FAR)).toBe(false);
        const inside = [...prefix.split(':'), ...all.map(hex)].slice(0, 8).join(':');
        expect(mayConnectTo(inside, NEAR)).toBe(false);
      }),
    );
  });

  it.each([
    ...['169.254.169.254', '169.254.170.2', '100.100.100.200', '192.0.0.192', '168.63.129.16', 'fd00:ec2::254', 'fd20:ce::254'],
    ...['fe80::1', 'fec0::1', 'fc00::1', 'fdff::1', 'ff02::1', '::', '100::1', '5f00::1', '4000::1', 'e000::1'],
    ...['0.0.0.0', '255.255.255.255', '10.0.0.1', '192.168.0.1', '100.64.0.1', '::ffff:127.0.0.1', '::127.0.0.1'],
  ])('%s is refused, also where loopback is allowed', (address) => {
    expect(mayConnectTo(address, FAR)).toBe(false);
    expect(mayConnectTo(address, NEAR)).toBe(false);
  });

  it.each(['127.0.0.1', '127.255.255.254', '::1', '0:0:0:0:0:0:0:1'])('%s is this machine, refused unless allowed', (address) => {
    expect(isLoopback(address)).toBe(true);
    expect(mayConnectTo(address, FAR)).toBe(false);
    expect(mayConnectTo(address, NEAR)).toBe(true);
  });

  it.each([
    ...[
      '',
      ' ',
      '1',
      '8',
      '0x08080808',
      '8.8.2056',
      '8.8.8.8 ',
      '08.8.8.8',
      '010.8.8.8',
      '0x8.8.8.8',
      '8.8.8.8.',
      '8.8.8.8/32',
      '8.8.8.256',
    ],
    ...['example.com', '[2600::]', '2600::%eth0', 'fe80::1%lo', '2600:::', '2600::1::1', '２６００::'],
  ])('%j is none that anybody connects to', (text) => {
    expect(mayConnectTo(text, FAR)).toBe(false);
  });
});
