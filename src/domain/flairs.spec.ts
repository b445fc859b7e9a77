import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { flairsOf, withFlair } from './flairs.js';

describe('flairs', () => {
  it.each<[string, string[]]>([
    ['sync', []],
    ['sync[bulk]', ['bulk']],
    ['[bulk] sync [Segment]', ['bulk', 'segment']],
    ['sync[bulk][bulk][BULK]', ['bulk']],
    ['sync[ bulk ]', ['bulk']],
    ['sync[nightly job]', ['nightly job']],
    ['sync[]', []],
    ['sync[ ]', []],
    ['sync[bulk', []],
    ['sync]bulk[', []],
    ['sync[[bulk]]', ['bulk']],
    ['sync[bul[segment]', ['segment']],
    ['bulk segment', []],
    ['sync(bulk)', []],
  ])('of %j are %j', (name, flairs) => {
    expect(flairsOf(name)).toEqual(flairs);
  });

  it.each([
    ['sync', 20, 'sync[segment]'],
    ['sync[segment]', 20, 'sync[segment]'],
    ['sync [SEGMENT] x', 20, 'sync [SEGMENT] x'],
    ['sync of everything[bulk]', 20, 'sync of eve[segment]'],
    ['🔑🔑🔑🔑', 12, '🔑🔑🔑[segment]'],
    ['sync[bulk]', 15, 'sync[b[segment]'],
  ])('%j, to have segment in %i characters, is %j', (name, maxLength, expected) => {
    expect(withFlair(name, 'segment', maxLength)).toBe(expected);
  });

  it('that are given are there, within the length, beside none that was not', () => {
    const names = fc.string({ unit: fc.constantFrom('[', ']', 'a', 'segment', ' ', '🔑'), maxLength: 30 });
    fc.assert(
      fc.property(names, fc.integer({ min: 9, max: 60 }), (name, maxLength) => {
        const named = withFlair(name, 'segment', maxLength);
        expect(flairsOf(named)).toContain('segment');
        if (named !== name) expect(Array.from(named).length).toBeLessThanOrEqual(maxLength);
        expect(flairsOf(named).filter((flair) => flair !== 'segment' && !flairsOf(name).includes(flair))).toEqual([]);
      }),
    );
  });
});
