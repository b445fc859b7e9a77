import { HOURS_KEPT_DAYS, MONTHS_KEPT_BEFORE } from './roll-ups.js';

/** How far back what is counted in hours, and what is told apart by month, is kept (docs/decisions/0022-roll-ups.md). */

const DAY_MS = 86_400_000;

/** Hours that begin at this time or later are kept; a day begins here, UTC. */
export function hoursKeptFrom(now: Date): Date {
  return new Date((Math.floor(now.getTime() / DAY_MS) - HOURS_KEPT_DAYS) * DAY_MS);
}

/** The first month that is kept, UTC. */
export function monthsKeptFrom(now: Date): Date {
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - MONTHS_KEPT_BEFORE));
}

/** Start of the month that `name` says (YYYY-MM), UTC; undefined = that of `now`. */
export function monthNamed(name: string | undefined, now: Date): Date {
  return name === undefined ? new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth())) : new Date(`${name}-01T00:00:00Z`);
}
