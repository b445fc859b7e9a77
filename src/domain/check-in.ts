import { DAY_MS } from './expiry.js';
import type { PolicyRules } from './policy.js';

/** When the next check-in is due; null when none is. Before the first it counts from the start, else from creation. */
export function nextCheckInAt(
  license: { lastCheckInAt: Date | null; startsAt: Date | null; createdAt: Date },
  policy: Pick<PolicyRules, 'requireCheckIn' | 'checkInIntervalDays'>,
): Date | null {
  if (!policy.requireCheckIn || policy.checkInIntervalDays === null) return null;
  const last = license.lastCheckInAt ?? license.startsAt ?? license.createdAt;
  return new Date(last.getTime() + policy.checkInIntervalDays * DAY_MS);
}
