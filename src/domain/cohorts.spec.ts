import { expect, it } from '@jest/globals';
import { cohortsOf } from './cohorts.js';

it('cohorts have a month each, and rates where there is something to divide by', () => {
  const months = [new Date('2025-12-01Z'), new Date('2026-01-01Z')];
  expect(cohortsOf(months, new Map([['2026-01', { licenses: 4, trials: 2, converted: 1, due: 0, renewed: 0 }]]))).toEqual([
    { cohort: '2025-12', licenses: 0, trials: 0, converted: 0, conversionRate: null, due: 0, renewed: 0, renewalRate: null },
    { cohort: '2026-01', licenses: 4, trials: 2, converted: 1, conversionRate: 0.5, due: 0, renewed: 0, renewalRate: null },
  ]);
});
