/** What the outcomes of tries do to the endpoint that they went to (contract: webhooks.md, "Delivery"). */

const SECOND_MS = 1000;
const DAY_MS = 86_400 * SECOND_MS;

/** With nothing but failure for so long, an endpoint is disabled. */
export const GIVEN_UP_AFTER_DAYS = 5;
/** With so many failures on end the circuit opens: from then on there is a rest after each, and one try at a time. */
export const FAILURES_BEFORE_REST = 20;
/** No rest is longer: nobody who is back waits for more than that. */
export const LONGEST_REST_SECONDS = 60;

/** Of an answer: the receiver says that it is gone for good (RFC 9110, section 15.5.11; Standard Webhooks). */
const GONE = 410;

export interface EndpointHealth {
  /** False = nothing is sent. */
  isEnabled: boolean;
  /** Why Latchkey disabled it, in words; null = it did not. */
  disabledReason: string | null;
  disabledAt: Date | null;
  /** Since when every try has failed; null = the last one succeeded, or there was none. */
  failingSince: Date | null;
  /** Tries that have failed since the last success. */
  consecutiveFailures: number;
  /** Nothing is sent until then; null = the circuit is closed. */
  restingUntil: Date | null;
}

/** A try that has ended. */
export interface EndedTry {
  endedAt: Date;
  /** HTTP status; null = there was no answer. */
  responseCode: number | null;
}

/** Whether the receiver has taken what was sent (contract: 2xx). */
export function isSuccess(responseCode: number | null): boolean {
  return responseCode !== null && responseCode >= 200 && responseCode < 300;
}

/** Whether what is sent next is to find out if the endpoint is back: one at a time, after each rest. */
export function isOnTrial({ consecutiveFailures }: Pick<EndpointHealth, 'consecutiveFailures'>): boolean {
  return consecutiveFailures >= FAILURES_BEFORE_REST;
}

/**
 * The health after a try. A success forgives everything but enables nobody: that is for its vendor to say. Who is disabled
 * already stays so for the reason that was given first.
 */
export function afterTry(health: EndpointHealth, { endedAt, responseCode }: EndedTry): EndpointHealth {
  if (isSuccess(responseCode)) return { ...health, failingSince: null, consecutiveFailures: 0, restingUntil: null };
  const consecutiveFailures = health.consecutiveFailures + 1;
  const failing = {
    ...health,
    consecutiveFailures,
    // Tries that end together are told in any order.
    failingSince: health.failingSince !== null && health.failingSince < endedAt ? health.failingSince : endedAt,
    restingUntil: isOnTrial({ consecutiveFailures }) ? new Date(endedAt.getTime() + restMs(consecutiveFailures)) : health.restingUntil,
  };
  const disabledReason = health.isEnabled ? reasonToDisable(failing.failingSince, { endedAt, responseCode }) : null;
  return disabledReason === null ? failing : { ...failing, isEnabled: false, disabledReason, disabledAt: endedAt };
}

/** One second longer with each failure. */
function restMs(consecutiveFailures: number): number {
  return Math.min(consecutiveFailures - FAILURES_BEFORE_REST + 1, LONGEST_REST_SECONDS) * SECOND_MS;
}

/** The note on the endpoint; null = it goes on. */
function reasonToDisable(failingSince: Date, { endedAt, responseCode }: EndedTry): string | null {
  if (responseCode === GONE) return 'It answered 410 Gone: it wants no more deliveries.';
  return endedAt.getTime() - failingSince.getTime() >= GIVEN_UP_AFTER_DAYS * DAY_MS
    ? `Every delivery has failed for ${GIVEN_UP_AFTER_DAYS} days.`
    : null;
}
