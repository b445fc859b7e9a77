import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { endpointUrlIssue, NOT_PUBLIC } from './endpoint-url.js';
import { mayConnectTo } from './public-address.js';

const FAR = { allowLoopback: false };
const NEAR = { allowLoopback: true };
const MUST_BE_HTTPS = 'must begin with https://';

/** The ways to write one address of IPv4 that programs understand, and some that only few do. */
function spellings(number: number): string[] {
  const octets = [24, 16, 8, 0].map((shift) => (number >>> shift) & 255);
  const dotted = octets.join('.');
  const [a, b] = octets as [number, number];
  return [
    ...[dotted, `${dotted}.`, String(number), `0x${number.toString(16)}`, `0X${number.toString(16)}`, `0${number.toString(8)}`],
    ...[octets.map((octet) => `0x${octet.toString(16)}`).join('.'), octets.map((octet) => `0${octet.toString(8)}`).join('.')],
    ...[`${a}.${number & 0xffffff}`, `${a}.${b}.${number & 0xffff}`, dotted.replaceAll('.', '。'), dotted.replaceAll('.', '%2E')],
    dotted.replace(/\d/g, (digit) => String.fromCodePoint(0xff10 + Number(digit))),
    dotted.replace(/\d/g, (digit) => `%3${digit}`),
  ];
}

/** `fc.webUrl` takes seconds to begin. */
const anyUrl = fc
  .tuple(
    fc.constantFrom('https://', 'HTTPS://', 'http://', 'https:'),
    fc.string(),
    fc.constantFrom('', '@', '.com', '.com:8443'),
    fc.string(),
  )
  .map((parts) => parts.join(''));
const anyText = fc.array(fc.integer({ min: 0, max: 0x10ffff })).map((codes) => String.fromCodePoint(...codes));

describe('the URL of an endpoint', () => {
  it.each([
    ...['https://example.com', 'https://example.com/', 'https://hooks.example.com:8443/latchkey?tenant=1&x=%20', 'HTTPS://EXAMPLE.COM/A'],
    ...[
      'https://example.com.',
      'https://xn--bcher-kva.example',
      'https://bücher.example/straße',
      'https://a_b.example',
      'https://8.8.8.8/',
    ],
    ...['https://[2606:4700:4700::1111]/hook', 'https://1.1.1.1:443', 'https://localhost.example.com', 'https://internal.example.com'],
    `https://example.com/${'a'.repeat(2028)}`,
  ])('may be %s', (url) => {
    expect(endpointUrlIssue(url, FAR)).toBeNull();
    expect(endpointUrlIssue(url, NEAR)).toBeNull();
  });

  it.each([
    ['', 'must be a URL like https://example.com/webhooks'],
    ['example.com', 'must be a URL like https://example.com/webhooks'],
    ['https:', 'must be a URL like https://example.com/webhooks'],
    ['https:example.com', 'must be a URL like https://example.com/webhooks'],
    ['https:///example.com', 'must be a URL like https://example.com/webhooks'],
    ['//example.com', 'must be a URL like https://example.com/webhooks'],
    ['ftp://example.com', 'must be a URL like https://example.com/webhooks'],
    ['file:///etc/passwd', 'must be a URL like https://example.com/webhooks'],
    ['javascript:alert(1)', 'must be a URL like https://example.com/webhooks'],
    ['https://[::1%25lo]/', 'must be a URL like https://example.com/webhooks'],
    ['https://example.com:99999', 'must be a URL like https://example.com/webhooks'],
    ['https://1.2.3.4.5', 'must be a URL like https://example.com/webhooks'],
    [' https://example.com', 'must not contain spaces, control characters or backslashes'],
    ['https://exam\tple.com', 'must not contain spaces, control characters or backslashes'],
    ['https://example.com/\n', 'must not contain spaces, control characters or backslashes'],
    ['https://example.com/\0', 'must not contain spaces, control characters or backslashes'],
    ['https://example.com\\@127.0.0.1', 'must not contain spaces, control characters or backslashes'],
    ['https://example.com/\ud800', 'must not contain spaces, control characters or backslashes'],
    ['https://user@example.com', 'must not contain a user name or password'],
    ['https://user:password@example.com', 'must not contain a user name or password'],
    ['https://@example.com', 'must not contain a user name or password'],
    ['https://example.com/#part', 'must not have a fragment (#…)'],
    ['https://example.com#', 'must not have a fragment (#…)'],
    ['https://a..example.com', 'must name a host, like example.com'],
    ['https://example.com../', 'must name a host, like example.com'],
    ['https://-a.example.com', 'must name a host, like example.com'],
    ['https://*.example.com', 'must name a host, like example.com'],
    [`https://${'a'.repeat(64)}.com`, 'must name a host, like example.com'],
    [`https://${'a.'.repeat(127)}com`, 'must name a host, like example.com'],
    [`https://example.com/${'a'.repeat(2029)}`, 'must not be longer than 2048 characters'],
    ['http://example.com', MUST_BE_HTTPS],
    ['http://8.8.8.8', MUST_BE_HTTPS],
  ])('is not %j', (url, issue) => {
    expect(endpointUrlIssue(url, FAR)).toBe(issue);
    expect(endpointUrlIssue(url, NEAR)).toBe(issue);
  });

  it.each([
    ...[
      'localhost',
      'LOCALHOST',
      'localhost.',
      'a.localhost',
      'a.b.localhost.',
      'ⓛocalhost',
      '%6cocalhost',
      'lo%63alhost',
      'ｌｏｃａｌｈｏｓｔ',
    ],
    ...['127.0.0.1', '127.1', '127.0.0.1.', '2130706433', '0x7f.1', '017700000001', '[::1]', '[0:0:0:0:0:0:0:1]', '[::0001]', '127.8.8.8'],
  ])('leads to this machine by %s only where that is allowed', (host) => {
    for (const scheme of ['https', 'http']) {
      expect(endpointUrlIssue(`${scheme}://${host}:8080/hook`, FAR)).toBe(NOT_PUBLIC);
      expect(endpointUrlIssue(`${scheme}://${host}:8080/hook`, NEAR)).toBeNull();
    }
  });

  it.each([
    ...[
      'metadata',
      'metadata.google.internal',
      'METADATA.Google.Internal.',
      'metadata.goog',
      'instance-data.ec2.internal',
      'router',
      'com',
    ],
    ...[
      'host.docker.internal',
      'printer.local',
      'db.lan',
      'nas.home',
      'nas.home.arpa',
      'intranet.corp',
      'wiki.intranet',
      'localhost.localdomain',
    ],
    ...['kubernetes.default.svc', 'kubernetes.default.svc.cluster.local', 'vault.service.consul', 'db.private', 'ip6-localhost'],
    ...[
      '[::ffff:127.0.0.1]',
      '[::ffff:7f00:1]',
      '[::127.0.0.1]',
      '[64:ff9b::7f00:1]',
      '[2002:7f00:1::]',
      '[fe80::1]',
      '[fd00:ec2::254]',
      '[::]',
      '0',
    ],
  ])('does not lead to %s, whatever is allowed', (host) => {
    expect(endpointUrlIssue(`https://${host}/`, FAR)).toBe(NOT_PUBLIC);
    expect(endpointUrlIssue(`https://${host}/`, NEAR)).toBe(NOT_PUBLIC);
  });

  it('is judged by its address, however that is spelt', () => {
    const interesting = fc.constantFrom(0x7f000001, 0x0a000001, 0xa9fea9fe, 0x64646464, 0x6464_64c8, 0xc0a80001, 0xac100001, 0, 0xffffffff);
    fc.assert(
      fc.property(fc.oneof(interesting, fc.integer({ min: 0, max: 2 ** 32 - 1 })), (number) => {
        const [dotted, ...others] = spellings(number);
        const isFine = mayConnectTo(dotted!, FAR);
        expect(endpointUrlIssue(`https://${dotted!}/`, FAR) === null).toBe(isFine);
        const judgedOtherwise = others.filter((other) => (endpointUrlIssue(`https://${other}/`, FAR) === null) !== isFine);
        expect(judgedOtherwise).toEqual([]);
      }),
    );
  });

  it('is never accepted where the URL standard reads it as something else than is written', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          anyUrl,
          anyText,
          fc.string().map((text) => `https://${text}`),
        ),
        (text) => {
          if (endpointUrlIssue(text, FAR) !== null) return;
          const { protocol, username, password, hash } = new URL(text);
          expect({ protocol, username, password, hash }).toEqual({ protocol: 'https:', username: '', password: '', hash: '' });
        },
      ),
      { numRuns: 300 },
    );
  });
});
