/** What analytics are answered from (docs/decisions/0022-roll-ups.md; contract: resources.md, "Analytics"). */

/** In a roll-up: not of a segment but of the whole environment; no test clock, but real time. */
export const WHOLE = '00000000-0000-0000-0000-000000000000';

/** Where a walk through ids begins: before every one. */
export const BEFORE_ALL = WHOLE;

export const activityMetrics = [
  'validations',
  'activations',
  'deactivations',
  'licenses_created',
  'licenses_expired',
  'active_machines',
] as const;
export type ActivityMetric = (typeof activityMetrics)[number];

/** What the counts of a metric can be told apart by. */
export const activityDimensions = ['code', 'productId', 'policyId', 'platform', 'version'] as const;
export type ActivityDimension = (typeof activityDimensions)[number];

/** Hours are kept for so many days; days for ever. */
export const HOURS_KEPT_DAYS = 90;
/** What is told by license, address or fingerprint is kept for this month and so many before it. */
export const MONTHS_KEPT_BEFORE = 2;

/** A caller chooses what it says its version is: so many different ones are told apart a day in an environment, others are `OTHER_NAMES`. */
export const VERSIONS_PER_DAY = 500;
export const OTHER_NAMES = '(other)';

/** A license is told apart on so many fingerprints, and so many addresses, a month: more say no more. */
export const SIGHTINGS_PER_LICENSE = 1000;

/** What a process has validated is written at least so often, and waits in its memory until then. */
export const FLUSH_INTERVAL_MS = 500;

/** How fresh the roll-ups are: all that was done before this time is in them. `waitsSince`: the oldest that waits to be folded. */
export function freshAsOf(now: Date, waitsSince: Date | null): Date {
  const oldest = waitsSince === null ? now.getTime() : Math.min(now.getTime(), waitsSince.getTime());
  return new Date(oldest - FLUSH_INTERVAL_MS);
}
