import { invalid } from './errors.js';

/** Rules of `Idempotency-Key` (contract: http.md, "Idempotency"). */

export const IDEMPOTENCY_HEADER = 'Idempotency-Key';
/** How long a first answer stands for its request. */
const KEPT_HOURS = 24;
export const MAX_IDEMPOTENCY_KEY_LENGTH = 255;

const PRINTABLE = /^[\x20-\x7e]+$/;

/**
 * The key among the values of the header; the same one sent twice is one. Null when there is none.
 * @throws 400 for several different ones, or one that is not 1–255 printable ASCII characters
 */
export function readIdempotencyKey(values: readonly string[]): string | null {
  const [key] = values;
  if (key === undefined) return null;
  const refuse = (message: string): Error => invalid([{ path: IDEMPOTENCY_HEADER, message }]);
  if (values.some((other) => other !== key)) throw refuse('must be one key: different ones were sent');
  if (key.length > MAX_IDEMPOTENCY_KEY_LENGTH || !PRINTABLE.test(key))
    throw refuse(`must be 1 to ${String(MAX_IDEMPOTENCY_KEY_LENGTH)} printable ASCII characters`);
  return key;
}

/** Whether an answer settles its request. Our own faults and "too many requests" do not: trying again is what they ask for. */
export function isSettled(status: number): boolean {
  return status < 500 && status !== 429;
}

/** When an answer that is given now may be forgotten. */
export function keptUntil(now: Date): Date {
  return new Date(now.getTime() + KEPT_HOURS * 3_600_000);
}
