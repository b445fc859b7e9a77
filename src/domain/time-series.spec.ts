import { describe, expect, it } from '@jest/globals';
import { dayFrom, requireSeries, seriesOf, type SeriesAsked } from './time-series.js';

const [first, second, third] = [1, 2, 3].map((day) => new Date(Date.UTC(2026, 0, day))) as [Date, Date, Date];

describe('a series', () => {
  it('has a point for each bucket, and groups that come to something', () => {
    const totals = [{ start: second, name: '', value: 3 }];
    const groups = [
      { start: second, name: 'a', value: 3 },
      { start: second, name: 'b', value: 0 },
    ];
    expect(seriesOf([first, second, third], totals, groups, false)).toEqual([
      { start: first, value: 0, groups: {} },
      { start: second, value: 3, groups: { a: 3 } },
      { start: third, value: 0, groups: {} },
    ]);
    expect(seriesOf([first], totals, null, false)).toEqual([{ start: first, value: 0 }]);
  });

  it('of changes is what they came to, with what was before', () => {
    const changes = [
      { start: null, name: '', value: 5 },
      { start: second, name: '', value: -2 },
      { start: third, name: '', value: -3 },
    ];
    expect(seriesOf([first, second, third], changes, null, true).map(({ value }) => value)).toEqual([5, 3, 0]);
  });

  it('is refused by what it cannot be told by', () => {
    const now = new Date('2026-06-01T00:00:00Z');
    const asked: SeriesAsked = { metric: 'activations', interval: 'day', groupBy: null, from: first, to: third };
    expect(requireSeries(asked, now)).toEqual([first, second]);
    expect(() => requireSeries({ ...asked, groupBy: 'code' }, now)).toThrow('groupBy: must be one of productId, policyId, platform');
    expect(() => requireSeries({ ...asked, interval: 'hour' }, now)).toThrow('from: must be within the last 90 days');
  });

  it('knows the first whole day', () => {
    expect(dayFrom(first)).toEqual(first);
    expect(dayFrom(new Date(first.getTime() + 1))).toEqual(second);
  });
});
