import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  afterTry,
  type EndedTry,
  type EndpointHealth,
  FAILURES_BEFORE_REST,
  isOnTrial,
  isSuccess,
  LONGEST_REST_SECONDS,
} from './endpoint-health.js';

const now = new Date('2026-11-22T12:00:00.000Z');
const DAY_MS = 86_400_000;
const ago = (milliseconds: number): Date => new Date(now.getTime() - milliseconds);
const healthy: EndpointHealth = {
  isEnabled: true,
  disabledReason: null,
  disabledAt: null,
  failingSince: null,
  consecutiveFailures: 0,
  restingUntil: null,
};
const failed = (responseCode: number | null = 500): EndedTry => ({ endedAt: now, responseCode });

describe('an answer', () => {
  it.each([
    [200, true], [201, true], [204, true], [299, true],
    [null, false], [100, false], [199, false], [300, false], [301, false], [302, false], [304, false],
    [400, false], [404, false], [410, false], [429, false], [500, false], [503, false],
  ] as const)('of %s is a success: %s', (responseCode, success) => {
    expect(isSuccess(responseCode)).toBe(success);
  }); // prettier-ignore
});

describe('an endpoint', () => {
  it('is well after a success, however ill it was', () => {
    const ill = { ...healthy, failingSince: ago(4 * DAY_MS), consecutiveFailures: 700, restingUntil: now };
    expect(afterTry(ill, { endedAt: now, responseCode: 204 })).toEqual(healthy);
  });

  it('fails since its first failure', () => {
    const first = afterTry(healthy, failed());
    expect(first).toEqual({ ...healthy, failingSince: now, consecutiveFailures: 1 });
    const second = afterTry(first, { endedAt: new Date(now.getTime() + 5000), responseCode: null });
    expect(second).toEqual({ ...healthy, failingSince: now, consecutiveFailures: 2 });
  });

  it.each([
    { failures: FAILURES_BEFORE_REST - 2, rest: null },
    { failures: FAILURES_BEFORE_REST - 1, rest: 1 },
    { failures: FAILURES_BEFORE_REST, rest: 2 },
    { failures: FAILURES_BEFORE_REST + 58, rest: 60 },
    { failures: FAILURES_BEFORE_REST + 59, rest: LONGEST_REST_SECONDS },
    { failures: 1_000_000, rest: LONGEST_REST_SECONDS },
  ])('that fails after $failures failures rests for $rest seconds', ({ failures, rest }) => {
    const { restingUntil } = afterTry({ ...healthy, failingSince: ago(1000), consecutiveFailures: failures }, failed());
    expect(restingUntil).toEqual(rest === null ? null : new Date(now.getTime() + rest * 1000));
  });

  it.each([
    { what: 'has failed for almost five days', since: ago(5 * DAY_MS - 1), code: 500, reason: null },
    { what: 'has failed for five days', since: ago(5 * DAY_MS), code: 500, reason: 'Every delivery has failed for 5 days.' },
    { what: 'has not answered for five days', since: ago(6 * DAY_MS), code: null, reason: 'Every delivery has failed for 5 days.' },
    { what: 'answers after five days', since: ago(6 * DAY_MS), code: 200, reason: null },
    { what: 'is gone at once', since: null, code: 410, reason: 'It answered 410 Gone: it wants no more deliveries.' },
    { what: 'was not found', since: null, code: 404, reason: null },
  ])('that $what', ({ since, code, reason }) => {
    const after = afterTry({ ...healthy, failingSince: since, consecutiveFailures: since === null ? 0 : 9 }, failed(code));
    expect(after).toMatchObject({ isEnabled: reason === null, disabledReason: reason, disabledAt: reason === null ? null : now });
  });

  it('that is disabled keeps the reason and the time, and no success enables it', () => {
    const byItself = { ...healthy, isEnabled: false, disabledReason: 'It answered 410 Gone.', disabledAt: ago(DAY_MS) };
    expect(afterTry(byItself, failed(410))).toMatchObject({ ...byItself, failingSince: now, consecutiveFailures: 1 });
    expect(afterTry(byItself, failed(200))).toEqual(byItself);
    const byItsVendor = { ...healthy, isEnabled: false };
    expect(afterTry(byItsVendor, failed(410))).toMatchObject({ isEnabled: false, disabledReason: null, disabledAt: null });
  });

  const tries = fc.array(
    fc.record({ responseCode: fc.constantFrom(200, 204, 302, 404, 429, 500, null), afterMs: fc.nat({ max: DAY_MS }) }),
  );

  it('counts what failed since the last success, rests no longer than it may, and is disabled only for a reason', () => {
    fc.assert(
      fc.property(tries, (all) => {
        let health = healthy;
        let at = now;
        const codes: (number | null)[] = [];
        for (const { responseCode, afterMs } of all) {
          at = new Date(at.getTime() + afterMs);
          const before = health;
          health = afterTry(health, { endedAt: at, responseCode });
          codes.push(responseCode);
          const failures = codes.length - 1 - codes.findLastIndex(isSuccess);
          expect(health.consecutiveFailures).toBe(failures);
          expect(health.failingSince === null).toBe(failures === 0);
          expect(health.restingUntil === null).toBe(!isOnTrial(health));
          if (health.restingUntil !== null) expect(health.restingUntil.getTime() - at.getTime()).toBeLessThanOrEqual(60_000);
          expect(health.isEnabled).toBe(health.disabledReason === null);
          if (!before.isEnabled) expect(health.disabledAt).toEqual(before.disabledAt);
        }
      }),
    );
  });
});
