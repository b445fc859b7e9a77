import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ipKey, rateLimitHeaders, secondsLeft, type Standing } from './rate-limit.js';

describe('what an address counts as', () => {
  it.each([
    ['203.0.113.7', '203.0.113.7'],
    ['::ffff:203.0.113.7', '203.0.113.7'],
    ['::FFFF:cb00:7107', '203.0.113.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:0DB8:0001:0002::', '2001:db8:1:2::/64'],
    ['2001:db8:1:3::1', '2001:db8:1:3::/64'],
    ['fe80::1%eth0', 'fe80::/64'],
    ['::1', '::/64'],
    ['no address', 'no address'],
    [null, 'unknown'],
    [undefined, 'unknown'],
  ])('%s: %s', (ip, key) => {
    expect(ipKey(ip)).toBe(key);
  });

  it('is the same for all addresses of one /64, and another for those of another', () => {
    const group = fc.integer({ min: 0, max: 0xffff }).map((number) => number.toString(16));
    // Not 0: what begins with zeros alone may be a spelling of an IPv4 address.
    const network = fc.tuple(
      fc.integer({ min: 0x2000, max: 0x3fff }).map((number) => number.toString(16)),
      group,
      group,
      group,
    );
    const host = fc.tuple(group, group, group, group);
    fc.assert(
      fc.property(network, host, host, network, (home, one, other, elsewhere) => {
        expect(ipKey([...home, ...one].join(':'))).toBe(ipKey([...home, ...other].join(':')));
        const isElsewhere = home.join(':') !== elsewhere.join(':');
        expect(ipKey([...home, ...one].join(':')) !== ipKey([...elsewhere, ...one].join(':'))).toBe(isElsewhere);
      }),
    );
  });
});

describe('the headers of a limited answer', () => {
  const now = new Date('2026-01-15T10:30:00.250Z');
  const management: Standing = { policy: 'management', limit: 120, remaining: 119, resetsInMs: 60_000 };
  const activate: Standing = { policy: 'activate', limit: 10, remaining: 3, resetsInMs: 12_300 };

  it('say of one limit how it stands, in both families', () => {
    expect(rateLimitHeaders([management], 60, now)).toEqual({
      'X-RateLimit-Limit': '120',
      'X-RateLimit-Remaining': '119',
      'X-RateLimit-Reset': String(Math.ceil(now.getTime() / 1000) + 60),
      'RateLimit-Policy': '"management";q=120;w=60',
      RateLimit: '"management";r=119;t=60',
    });
  });

  it.each([
    ['before', [activate, management]],
    ['after', [management, activate]],
  ] as const)('list every limit, and show the tightest: named %s the other', (_, [first, second]) => {
    expect(rateLimitHeaders([first, second], 60, now)).toMatchObject({
      'X-RateLimit-Limit': '10',
      'X-RateLimit-Remaining': '3',
      'RateLimit-Policy': [first, second].map(({ policy, limit }) => `"${policy}";q=${String(limit)};w=60`).join(', '),
      RateLimit: first === activate ? '"activate";r=3;t=13, "management";r=119;t=60' : '"management";r=119;t=60, "activate";r=3;t=13',
    });
  });

  it('show of two that are used up the one that lasts longer', () => {
    const [short, long] = [
      { ...activate, remaining: 0, resetsInMs: 1000 },
      { ...management, remaining: 0, resetsInMs: 2000 },
    ];
    for (const pair of [[short, long] as const, [long, short] as const])
      expect(rateLimitHeaders([...pair], 60, now)['X-RateLimit-Limit']).toBe('120');
  });

  it.each([
    [0, 1],
    [-5, 1],
    [1, 1],
    [1000, 1],
    [1001, 2],
    [60_000, 60],
  ])('never send anyone away for less than it takes: %d ms is %d s', (resetsInMs, seconds) => {
    expect(secondsLeft({ ...activate, resetsInMs })).toBe(seconds);
  });
});
