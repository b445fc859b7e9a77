import { describe, expect, it } from '@jest/globals';
import { LocalCounters } from './window-counters.js';

const at = (ms: number): Date => new Date(1_768_473_000_000 + ms);

describe('counters in memory', () => {
  it('begin a window with a key’s first count, end it to the millisecond, and begin anew', () => {
    const counters = new LocalCounters(60_000);
    expect(counters.count('a', at(500))).toEqual({ count: 1, endsInMs: 60_000 });
    expect(counters.count('a', at(20_500))).toEqual({ count: 2, endsInMs: 40_000 });
    expect(counters.count('b', at(30_000))).toEqual({ count: 1, endsInMs: 60_000 });
    expect(counters.count('a', at(60_499))).toEqual({ count: 3, endsInMs: 1 });
    expect(counters.count('a', at(60_500))).toEqual({ count: 1, endsInMs: 60_000 });
    expect(counters.count('b', at(60_500))).toEqual({ count: 2, endsInMs: 29_500 });
  });

  it('lock nobody out when the clock is set back', () => {
    const counters = new LocalCounters(60_000);
    counters.count('a', at(3_600_000));
    expect(counters.count('a', at(0))).toEqual({ count: 1, endsInMs: 60_000 });
  });

  it('hold no more keys than they may, and forget of a flood none that keeps asking', () => {
    const counters = new LocalCounters(60_000);
    const asked = 300;
    for (let n = 1; n <= asked; n += 1) {
      expect(counters.count('often', at(n)).count).toBe(n);
      for (let other = 0; other < 1000; other += 1) counters.count(`${String(n)}:${String(other)}`, at(n));
    }
    // Long out of sight.
    expect(counters.count('1:0', at(asked)).count).toBe(1);
    expect(counters.count(`${String(asked)}:0`, at(asked)).count).toBe(2);
  });
});
