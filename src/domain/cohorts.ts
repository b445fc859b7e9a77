import { monthName } from './buckets.js';

/** What became of the licenses of a month (contract: resources.md, "Analytics", `retention`). */

/** Counts of the living licenses that were made in one month. */
export interface CohortCounts {
  licenses: number;
  /** Began as trials; of those, how many came to a policy that is for none. */
  trials: number;
  converted: number;
  /** Have expired once or were renewed; of those, how many were renewed. */
  due: number;
  renewed: number;
}

export interface Cohort extends CohortCounts {
  /** `2026-01` */
  cohort: string;
  /** Null = there is nothing to divide by. */
  conversionRate: number | null;
  renewalRate: number | null;
}

const nobody: CohortCounts = { licenses: 0, trials: 0, converted: 0, due: 0, renewed: 0 };

/** One for each month, whether anything was made in it or not. `counts` by the month's name. */
export function cohortsOf(months: readonly Date[], counts: ReadonlyMap<string, CohortCounts>): Cohort[] {
  return months.map(monthName).map((cohort) => {
    const { licenses, trials, converted, due, renewed } = counts.get(cohort) ?? nobody;
    const conversionRate = rateOf(converted, trials);
    return { cohort, licenses, trials, converted, conversionRate, due, renewed, renewalRate: rateOf(renewed, due) };
  });
}

function rateOf(part: number, whole: number): number | null {
  return whole === 0 ? null : part / whole;
}
