/** When a delivery that failed is tried again (contract: webhooks.md, "Delivery"). */

const SECOND_MS = 1000;
const DAY_SECONDS = 86_400;

/** Tries come earlier or later by up to this share of their delay, so that what failed together does not come back together. */
export const JITTER = 0.2;

/** The longest wait that a receiver can ask for: beyond that it might as well be gone. */
export const LONGEST_RETRY_AFTER_SECONDS = DAY_SECONDS;

/** Seconds before each try, the first included; as many tries as entries. */
export type RetrySchedule = readonly number[];

/** A try that has ended and was no success. */
export interface FailedTry {
  endedAt: Date;
  /** Tries that have ended, this one included. */
  attemptCount: number;
  /** What the receiver sent as `Retry-After`; null = nothing. */
  retryAfter: string | null;
}

/**
 * When the next try is due; null = there is none, the delivery has failed for good. `random` is from 0 up to 1. A receiver
 * that asks for time gets it, but never makes a try come earlier than the schedule has it.
 */
export function nextAttemptAt({ endedAt, attemptCount, retryAfter }: FailedTry, schedule: RetrySchedule, random: number): Date | null {
  const delaySeconds = schedule[attemptCount];
  if (delaySeconds === undefined) return null;
  const scheduled = endedAt.getTime() + Math.round(delaySeconds * SECOND_MS * (1 + JITTER * (2 * random - 1)));
  const asked = retryAfter === null ? null : parseRetryAfter(retryAfter, endedAt);
  if (asked === null) return new Date(scheduled);
  const latest = endedAt.getTime() + LONGEST_RETRY_AFTER_SECONDS * SECOND_MS;
  return new Date(Math.max(scheduled, Math.min(asked.getTime(), latest)));
}

/** The instant that `Retry-After` names, as seconds from `now` or as a date (RFC 9110, section 10.2.3); null = it is neither. */
export function parseRetryAfter(value: string, now: Date): Date | null {
  const text = value.trim();
  if (!/^\d+$/.test(text)) return parseHttpDate(text, now);
  // As many digits as anyone likes: what a Date cannot hold is beyond every cap as well.
  return new Date(now.getTime() + Math.min(Number(text), LONGEST_RETRY_AFTER_SECONDS) * SECOND_MS);
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const CLOCK = '(?<hour>\\d{2}):(?<minute>\\d{2}):(?<second>\\d{2})';

/** All three forms, which every recipient must accept (RFC 9110, section 5.6.7): IMF-fixdate, that of RFC 850, and asctime's. */
const HTTP_DATES = [
  new RegExp(`^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (?<day>\\d{2}) (?<month>[A-Z][a-z]{2}) (?<year>\\d{4}) ${CLOCK} GMT$`),
  new RegExp(`^(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?<day>\\d{2})-(?<month>[A-Z][a-z]{2})-(?<year>\\d{2}) ${CLOCK} GMT$`),
  new RegExp(`^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (?<month>[A-Z][a-z]{2}) (?<day>[ \\d]\\d) ${CLOCK} (?<year>\\d{4})$`),
];

function parseHttpDate(text: string, now: Date): Date | null {
  const parts = HTTP_DATES.map((form) => form.exec(text)?.groups).find((groups) => groups !== undefined);
  const month = MONTHS.indexOf(parts?.month ?? '');
  if (parts === undefined || month === -1) return null;
  const [day, hour, minute, second] = [parts.day, parts.hour, parts.minute, parts.second].map(Number);
  const instant = new Date(Date.UTC(fullYear(parts.year ?? '', now), month, day, hour, minute, second));
  // 31 February is no date; 60 is a leap second, and the next minute.
  return instant.getUTCMonth() === month || second === 60 ? instant : null;
}

/** Two digits that would lie more than 50 years ahead are of the century before. */
function fullYear(digits: string, now: Date): number {
  if (digits.length === 4) return Number(digits);
  const thisYear = now.getUTCFullYear();
  const year = Math.floor(thisYear / 100) * 100 + Number(digits);
  return year > thisYear + 50 ? year - 100 : year;
}
