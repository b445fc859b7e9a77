import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { canonicalEntry, CHAIN_START, type ChainedEntry, type ChainLink, extendChain, followChain } from './audit-chain.js';

const entryOf = (id: string, fields: Partial<ChainedEntry> = {}): ChainedEntry => ({
  id,
  environmentId: 'environment',
  segmentId: null,
  action: 'license.suspended',
  actorType: 'api_key',
  actorId: 'key',
  ip: '203.0.113.7',
  requestId: 'request',
  resourceType: 'license',
  resourceId: 'license',
  before: { status: 'active' },
  after: { status: 'suspended' },
  code: null,
  route: null,
  keyPrefix: null,
  count: 1,
  createdAt: new Date('2026-01-15T10:30:00.000Z'),
  ...fields,
});

const entries = Array.from({ length: 6 }, (_, index) => entryOf(`entry-${index}`));
const links = extendChain(CHAIN_START, entries);
const follow = (chained: readonly ChainLink[], kept: readonly ChainedEntry[] = entries) =>
  followChain(CHAIN_START, chained, new Map(kept.map((entry) => [entry.id, entry])));

describe('the canonical form of an entry', () => {
  it('never changes: hashes of years ago are made of it', () => {
    expect(canonicalEntry(entryOf('entry', { before: { b: [1, null], a: { d: 'x', c: true } } }))).toBe(
      '{"action":"license.suspended","actorId":"key","actorType":"api_key","after":{"status":"suspended"},' +
        '"before":{"a":{"c":true,"d":"x"},"b":[1,null]},"code":null,"count":1,"createdAt":"2026-01-15T10:30:00.000Z",' +
        '"environmentId":"environment","id":"entry","ip":"203.0.113.7","keyPrefix":null,"requestId":"request",' +
        '"resourceId":"license","resourceType":"license","route":null,"segmentId":null}',
    );
    expect(Buffer.from(extendChain(CHAIN_START, [entryOf('entry')])[0]!.hash).toString('hex')).toBe(
      'e279c3a83354e0c240e7177a78f6327ac48b64074d04636ad088499ed289e85e',
    );
  });

  it('is another one when any field is another one', () => {
    const original = entryOf('entry');
    for (const field of Object.keys(original) as (keyof ChainedEntry)[]) {
      const other = field === 'createdAt' ? new Date(0) : field === 'count' ? 2 : 'other';
      expect([field, canonicalEntry({ ...original, [field]: other }) === canonicalEntry(original)]).toEqual([field, false]);
    }
  });

  it('does not let the text of one field be mistaken for another', () => {
    const text = fc.string();
    fc.assert(
      fc.property(text, text, text, text, (ip, requestId, otherIp, otherRequestId) => {
        const same =
          canonicalEntry(entryOf('e', { ip, requestId })) === canonicalEntry(entryOf('e', { ip: otherIp, requestId: otherRequestId }));
        expect(same).toBe(ip === otherIp && requestId === otherRequestId);
      }),
    );
  });
});

describe('a chain', () => {
  it('has positions from 1 without gaps, and goes on the same in one step or many', () => {
    expect(links.map(({ position }) => position)).toEqual([1, 2, 3, 4, 5, 6]);
    const first = extendChain(CHAIN_START, entries.slice(0, 2));
    expect([...first, ...extendChain(first[1]!, entries.slice(2))]).toEqual(links);
    expect(follow(links)).toEqual({ end: { position: 6, hash: links[5]!.hash }, broken: null });
    expect(follow([])).toEqual({ end: CHAIN_START, broken: null });
  });

  it('is followed from any end that holds', () => {
    const kept = new Map(entries.map((entry) => [entry.id, entry]));
    const half = followChain(CHAIN_START, links.slice(0, 3), kept);
    expect(followChain(half.end, links.slice(3), kept)).toEqual(follow(links));
  });

  it.each<[string, () => ReturnType<typeof follow>, object]>([
    [
      'a changed entry',
      () =>
        follow(
          links,
          entries.map((entry, index) => (index === 3 ? { ...entry, actorId: 'somebody else' } : entry)),
        ),
      { problem: 'hash_differs', position: 4, entryId: 'entry-3' },
    ],
    ['a deleted entry', () => follow(links, entries.toSpliced(3, 1)), { problem: 'entry_missing', position: 4, entryId: 'entry-3' }],
    ['a deleted link', () => follow(links.toSpliced(3, 1)), { problem: 'link_missing', position: 4, entryId: null }],
    ['the first link deleted', () => follow(links.slice(1)), { problem: 'link_missing', position: 1, entryId: null }],
    [
      'two links in each other’s place',
      () =>
        follow(
          links
            .map((link) => ({ ...link, position: link.position === 2 ? 3 : link.position === 3 ? 2 : link.position }))
            .sort((a, b) => a.position - b.position),
        ),
      { problem: 'hash_differs', position: 2, entryId: 'entry-2' },
    ],
    [
      'a link and entry taken out and the rest moved up',
      () =>
        follow(
          links.toSpliced(3, 1).map((link, index) => ({ ...link, position: index + 1 })),
          entries.toSpliced(3, 1),
        ),
      { problem: 'hash_differs', position: 4, entryId: 'entry-4' },
    ],
    [
      'an entry linked in between, the rest moved down',
      () => {
        const slipped = entryOf('slipped in');
        const [link] = extendChain(links[2]!, [slipped]);
        const moved = links.slice(3).map((later) => ({ ...later, position: later.position + 1 }));
        return follow([...links.slice(0, 3), link!, ...moved], [...entries, slipped]);
      },
      { problem: 'hash_differs', position: 5, entryId: 'entry-3' },
    ],
  ])('is broken by %s', (_what, check, expected) => {
    expect(check().broken).toEqual(expected);
  });
});
