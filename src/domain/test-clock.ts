import { invalid } from './errors.js';

/** How far a test clock goes (contract: resources.md, "Test clocks"). */

/** Terms and intervals are a century at most, and what they lead to has to have a year of four digits. */
const END_OF_CLOCKS_MS = Date.UTC(9000, 0, 1);

/**
 * A time that a clock may show. `field` names it in the request.
 * @throws 400
 */
export function requireClockTime(time: Date, field: string): void {
  if (time.getTime() >= END_OF_CLOCKS_MS) throw invalid([{ path: field, message: 'must be before the year 9000' }]);
}

/**
 * Clocks go forward only: what has happened cannot be taken back.
 * @throws 400
 */
export function requireForward(frozenAt: Date, to: Date): void {
  requireClockTime(to, 'to');
  if (to <= frozenAt) throw invalid([{ path: 'to', message: `must be after the clock's time, ${frozenAt.toISOString()}` }]);
}
