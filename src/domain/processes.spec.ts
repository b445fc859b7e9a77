import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { leasingStrategies, type LeasingStrategy, type OverageStrategy } from './policy.js';
import { inForceAfter, leaseEndsAt, leaseGroupOf, mayStart, processLimit } from './processes.js';

const MINUTE_MS = 60_000;
const now = new Date('2026-06-15T12:00:00.000Z');
const ago = (minutes: number, milliseconds = 0): Date => new Date(now.getTime() - minutes * MINUTE_MS - milliseconds);

describe('a lease', () => {
  it.each<{ what: string; lastHeartbeatAt: Date; endsAt: Date; isInForce: boolean }>([
    { what: 'beaten just now', lastHeartbeatAt: now, endsAt: ago(-20), isInForce: true },
    { what: 'that missed one beat', lastHeartbeatAt: ago(15), endsAt: ago(-5), isInForce: true },
    { what: 'a millisecond before two intervals', lastHeartbeatAt: ago(20, -1), endsAt: ago(0, -1), isInForce: true },
    { what: 'at two intervals', lastHeartbeatAt: ago(20), endsAt: now, isInForce: false },
    { what: 'long after', lastHeartbeatAt: ago(999), endsAt: ago(979), isInForce: false },
  ])('$what is in force: $isInForce', ({ lastHeartbeatAt, endsAt, isInForce }) => {
    const policy = { heartbeatIntervalMinutes: 10 };
    expect(leaseEndsAt(lastHeartbeatAt, policy)).toEqual(endsAt);
    expect(lastHeartbeatAt > inForceAfter(policy, now)).toBe(isInForce);
  });

  it('is in force exactly until it ends, whatever the interval', () => {
    const beats = fc.integer({ min: -50 * MINUTE_MS, max: 50 * MINUTE_MS }).map((after) => new Date(now.getTime() + after));
    fc.assert(
      fc.property(beats, fc.integer({ min: 1, max: 20 }), (lastHeartbeatAt, heartbeatIntervalMinutes) => {
        const policy = { heartbeatIntervalMinutes };
        expect(lastHeartbeatAt > inForceAfter(policy, now)).toBe(now < leaseEndsAt(lastHeartbeatAt, policy));
      }),
    );
  });
});

describe('leases count together', () => {
  const laptop = { id: 'laptop', licenseId: 'license', userEmail: 'ada@example.com' };
  const desktop = { ...laptop, id: 'desktop' };
  const server = { id: 'server', licenseId: 'license', userEmail: null };

  it.each<{ strategy: LeasingStrategy; together: boolean[] }>([
    { strategy: 'PER_LICENSE', together: [true, true] },
    { strategy: 'PER_MACHINE', together: [false, false] },
    { strategy: 'PER_USER', together: [true, false] },
  ])('$strategy', ({ strategy, together }) => {
    const group = JSON.stringify(leaseGroupOf(strategy, laptop));
    expect([desktop, server].map((machine) => JSON.stringify(leaseGroupOf(strategy, machine)) === group)).toEqual(together);
  });

  it('never with those of another license', () => {
    for (const strategy of leasingStrategies.filter((one) => one !== 'PER_MACHINE')) {
      expect(leaseGroupOf(strategy, laptop)).not.toEqual(leaseGroupOf(strategy, { ...desktop, licenseId: 'another' }));
    }
  });

  it('those of machines without a user count as one', () => {
    expect(leaseGroupOf('PER_USER', server)).toEqual(leaseGroupOf('PER_USER', { ...server, id: 'another' }));
  });
});

describe('one more process', () => {
  it.each<{ running: number; max: number | null; override?: number; overage: OverageStrategy; may: boolean }>([
    { running: 4, max: 5, overage: 'NO_OVERAGE', may: true },
    { running: 5, max: 5, overage: 'NO_OVERAGE', may: false },
    { running: 9, max: 5, overage: 'NO_OVERAGE', may: false },
    { running: 5, max: 5, overage: 'ALLOW_1_25X', may: true },
    { running: 6, max: 5, overage: 'ALLOW_1_25X', may: false },
    { running: 999, max: 5, overage: 'ALWAYS_ALLOW', may: true },
    { running: 999, max: null, overage: 'NO_OVERAGE', may: true },
    { running: 5, max: 5, override: 6, overage: 'NO_OVERAGE', may: true },
    { running: 2, max: null, override: 2, overage: 'NO_OVERAGE', may: false },
  ])('beside $running of $max (override $override) under $overage may start: $may', ({ running, max, override, overage, may }) => {
    const limit = processLimit({ maxProcessesOverride: override ?? null }, { maxProcesses: max, overageStrategy: overage });
    expect(mayStart(running, limit)).toBe(may);
  });
});
