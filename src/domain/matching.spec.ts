import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type MatchedMachine, matchesNeeded, matchesOf } from './matching.js';
import { fingerprintMatchings } from './policy.js';

const machine = (id: string, fingerprint: string, ...components: string[]): MatchedMachine => ({ id, fingerprint, components });

/** Each sent fingerprint that is active, with the ids of its machines. */
const idsOf = (sent: string[], ...machines: MatchedMachine[]): [fingerprint: string, ids: string][] =>
  matchesOf(sent, machines).map((match) => [match.fingerprint, match.machines.map(({ id }) => id).join(' ')]);

describe('how many fingerprints must be active', () => {
  it.each([
    ['ANY', [0, 1, 1, 1, 1, 1, 1]],
    ['TWO', [0, 1, 2, 2, 2, 2, 2]],
    ['MOST', [0, 1, 1, 2, 2, 3, 3]],
    ['ALL', [0, 1, 2, 3, 4, 5, 6]],
  ] as const)('%s: of none, one, two … sent: %j', (matching, needed) => {
    expect(needed.map((_, sent) => matchesNeeded(matching, sent))).toEqual(needed);
  });

  it.each(fingerprintMatchings)('%s: one more sent asks for at most one more, and never for less', (matching) => {
    for (let sent = 0; sent < 20; sent += 1) {
      const more = matchesNeeded(matching, sent + 1) - matchesNeeded(matching, sent);
      expect([sent, more === 0 || more === 1]).toEqual([sent, true]);
    }
  });
});

describe('which fingerprints are active', () => {
  it.each<{ what: string; sent: string[]; machines: MatchedMachine[]; matches: [string, string][] }>([
    { what: 'those of machines', sent: ['x', 'y'], machines: [machine('a', 'x')], matches: [['x', 'a']] },
    { what: 'those of components', sent: ['board', 'disk'], machines: [machine('a', 'x', 'board')], matches: [['board', 'a']] },
    {
      what: 'each by itself, though of one machine',
      sent: ['disk', 'x', 'board'],
      machines: [machine('a', 'x', 'board', 'disk')],
      matches: [['disk', 'a'], ['x', 'a'], ['board', 'a']], // prettier-ignore
    },
    {
      what: "that of a machine, which it stands for rather than another's component",
      sent: ['x'],
      machines: [machine('b', 'y', 'x'), machine('a', 'x')],
      matches: [['x', 'a']],
    },
    {
      what: 'of a part of several machines, first the one whose own was sent too',
      sent: ['board', 'x'],
      machines: [machine('b', 'y', 'board'), machine('a', 'x', 'board')],
      matches: [['board', 'a b'], ['x', 'a']], // prettier-ignore
    },
    { what: 'one that is a part of itself once', sent: ['x'], machines: [machine('a', 'x', 'x')], matches: [['x', 'a']] },
    { what: 'none of none', sent: [], machines: [machine('a', 'x', 'board')], matches: [] },
  ])('$what', ({ sent, machines, matches }) => {
    expect(idsOf(sent, ...machines)).toEqual(matches);
  });

  it('are never more than were sent, and another machine takes none away', () => {
    const names = fc.constantFrom('1', '2', '3', '4', '5');
    const machines = fc.array(fc.tuple(names, fc.uniqueArray(names)).map(([own, parts]) => machine('id', own, ...parts)));
    fc.assert(
      fc.property(fc.uniqueArray(names), machines, machines, (sent, some, more) => {
        const active = matchesOf(sent, some).map(({ fingerprint }) => fingerprint);
        const after = matchesOf(sent, [...some, ...more]).map(({ fingerprint }) => fingerprint);
        expect(sent).toEqual(expect.arrayContaining(after));
        expect(after).toEqual(expect.arrayContaining(active));
        expect(new Set(after).size).toBe(after.length);
      }),
    );
  });
});
