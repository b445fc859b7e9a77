import { describe, expect, it } from '@jest/globals';
import { hoursKeptFrom, monthNamed, monthsKeptFrom } from './kept.js';

describe('what is kept', () => {
  it('keeps hours for 90 whole days before today', () => {
    expect(hoursKeptFrom(new Date('2026-04-01T13:45:00Z'))).toEqual(new Date('2026-01-01T00:00:00Z'));
    expect(hoursKeptFrom(new Date('2026-04-01T00:00:00Z'))).toEqual(new Date('2026-01-01T00:00:00Z'));
  });

  it('keeps this month and two before it, over the end of a year too', () => {
    expect(monthsKeptFrom(new Date('2026-11-30T23:59:59.999Z'))).toEqual(new Date('2026-09-01T00:00:00Z'));
    expect(monthsKeptFrom(new Date('2026-01-31T00:00:00Z'))).toEqual(new Date('2025-11-01T00:00:00Z'));
  });

  it('reads a month by its name', () => {
    const now = new Date('2026-11-22T10:00:00Z');
    expect(monthNamed('2026-02', now)).toEqual(new Date('2026-02-01T00:00:00Z'));
    expect(monthNamed('9999-12', now)).toEqual(new Date('9999-12-01T00:00:00Z'));
    expect(monthNamed(undefined, now)).toEqual(new Date('2026-11-01T00:00:00Z'));
  });
});
