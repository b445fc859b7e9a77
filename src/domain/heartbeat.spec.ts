import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { beaten, type BeatVerdict, type HeartbeatPolicy, judgeBeat, machineStatus, nextHeartbeatAt } from './heartbeat.js';

const MINUTE_MS = 60_000;
const now = new Date('2026-06-15T12:00:00.000Z');
const ago = (minutes: number, milliseconds = 0): Date => new Date(now.getTime() - minutes * MINUTE_MS - milliseconds);

const required: HeartbeatPolicy = {
  requireHeartbeat: true,
  heartbeatIntervalMinutes: 10,
  heartbeatBasis: 'FROM_ACTIVATION',
  heartbeatResurrectionMinutes: 0,
};
const firstBeat: HeartbeatPolicy = { ...required, heartbeatBasis: 'FROM_FIRST_BEAT' };
const notRequired: HeartbeatPolicy = { ...required, requireHeartbeat: false };

describe('a machine', () => {
  it.each<{ what: string; policy: HeartbeatPolicy; activatedAt: Date; lastHeartbeatAt: Date | null; next: Date | null; status: string }>([
    { what: 'activated lately', policy: required, activatedAt: ago(4), lastHeartbeatAt: null, next: ago(-6), status: 'active' },
    { what: 'activated an interval ago', policy: required, activatedAt: ago(10), lastHeartbeatAt: null, next: now, status: 'dead' },
    { what: 'beat just in time', policy: required, activatedAt: ago(99), lastHeartbeatAt: ago(10, -1), next: ago(0, -1), status: 'active' },
    { what: 'whose interval ends now', policy: required, activatedAt: ago(99), lastHeartbeatAt: ago(10), next: now, status: 'dead' },
    { what: 'that has to beat first', policy: firstBeat, activatedAt: ago(99), lastHeartbeatAt: null, next: null, status: 'not_started' },
    { what: 'that has beaten first', policy: firstBeat, activatedAt: ago(99), lastHeartbeatAt: ago(4), next: ago(-6), status: 'active' },
    {
      what: 'that beat once and no more',
      policy: firstBeat,
      activatedAt: ago(99),
      lastHeartbeatAt: ago(50),
      next: ago(40),
      status: 'dead',
    },
    { what: 'free to beat', policy: notRequired, activatedAt: ago(99), lastHeartbeatAt: null, next: null, status: 'active' },
    {
      what: 'free to beat, and silent',
      policy: notRequired,
      activatedAt: ago(99),
      lastHeartbeatAt: ago(50),
      next: ago(40),
      status: 'active',
    },
  ])('$what is $status', ({ policy, activatedAt, lastHeartbeatAt, next, status }) => {
    expect(machineStatus({ activatedAt, lastHeartbeatAt }, policy, now)).toBe(status);
    expect(nextHeartbeatAt({ activatedAt, lastHeartbeatAt }, policy)).toEqual(next);
  });

  it('never dies where no beat is required', () => {
    fc.assert(
      fc.property(fc.option(fc.nat({ max: 1_000_000 })), fc.nat({ max: 1_000_000 }), (beatMinutesAgo, activatedMinutesAgo) => {
        const lastHeartbeatAt = beatMinutesAgo === null ? null : ago(beatMinutesAgo);
        expect(machineStatus({ activatedAt: ago(activatedMinutesAgo), lastHeartbeatAt }, notRequired, now)).toBe('active');
      }),
    );
  });
});

describe('a beat', () => {
  it.each<{
    what: string;
    policy: HeartbeatPolicy;
    lastHeartbeatAt: Date | null;
    resurrectionMinutes: number | null;
    verdict: BeatVerdict;
  }>([
    { what: 'of the living', policy: required, lastHeartbeatAt: ago(9), resurrectionMinutes: 0, verdict: 'beats' },
    { what: 'in the last moment', policy: required, lastHeartbeatAt: ago(10, -1), resurrectionMinutes: 0, verdict: 'beats' },
    { what: 'that is the first', policy: firstBeat, lastHeartbeatAt: null, resurrectionMinutes: 0, verdict: 'beats' },
    { what: 'that is the first, of one dead since', policy: required, lastHeartbeatAt: null, resurrectionMinutes: 5, verdict: 'too_late' },
    { what: 'that is not required', policy: notRequired, lastHeartbeatAt: ago(999), resurrectionMinutes: 0, verdict: 'beats' },
    { what: 'at the moment of death', policy: required, lastHeartbeatAt: ago(10), resurrectionMinutes: 0, verdict: 'too_late' },
    { what: 'at that moment, with a window', policy: required, lastHeartbeatAt: ago(10), resurrectionMinutes: 1, verdict: 'resurrects' },
    { what: 'within the window', policy: required, lastHeartbeatAt: ago(15, -1), resurrectionMinutes: 5, verdict: 'resurrects' },
    { what: 'at the end of the window', policy: required, lastHeartbeatAt: ago(15), resurrectionMinutes: 5, verdict: 'too_late' },
    {
      what: 'of the long dead, always allowed',
      policy: required,
      lastHeartbeatAt: ago(999_999),
      resurrectionMinutes: null,
      verdict: 'resurrects',
    },
    { what: 'older than the last', policy: required, lastHeartbeatAt: ago(-1), resurrectionMinutes: 0, verdict: 'beats' },
  ])('$what: $verdict', ({ policy, lastHeartbeatAt, resurrectionMinutes, verdict }) => {
    const pulse = { activatedAt: ago(1_000_000), lastHeartbeatAt };
    expect(judgeBeat(pulse, { ...policy, heartbeatResurrectionMinutes: resurrectionMinutes }, now)).toBe(verdict);
  });

  const policies = fc.record({
    requireHeartbeat: fc.boolean(),
    heartbeatIntervalMinutes: fc.integer({ min: 1, max: 100 }),
    heartbeatBasis: fc.constantFrom<HeartbeatPolicy['heartbeatBasis']>('FROM_ACTIVATION', 'FROM_FIRST_BEAT'),
    heartbeatResurrectionMinutes: fc.option(fc.nat({ max: 100 })),
  });
  const activatedAt = ago(1000);
  /** Since the activation. */
  const times = fc.nat({ max: 2000 }).map((minutes) => ago(1000 - minutes));

  it('leaves the machine alive when it counts, and never shortens a life', () => {
    fc.assert(
      fc.property(policies, fc.option(times), times, (policy, lastHeartbeatAt, at) => {
        const before = { activatedAt, lastHeartbeatAt };
        fc.pre(judgeBeat(before, policy, at) !== 'too_late');
        const after = beaten(before, at);
        expect(machineStatus(after, policy, at)).toBe('active');
        const deadline = nextHeartbeatAt(before, policy)?.getTime() ?? 0;
        expect(nextHeartbeatAt(after, policy)?.getTime()).toBeGreaterThanOrEqual(deadline);
      }),
    );
  });

  it('is the same in any order, and however often it arrives', () => {
    fc.assert(
      fc.property(fc.array(times, { minLength: 1 }), fc.option(times), (beats, lastHeartbeatAt) => {
        const after = (inOrder: Date[]) => inOrder.reduce(beaten, { activatedAt, lastHeartbeatAt });
        const last = Math.max(...[...beats, lastHeartbeatAt ?? new Date(0)].map((at) => at.getTime()));
        expect(after(beats).lastHeartbeatAt?.getTime()).toBe(last);
        expect(after([...beats, ...beats].reverse())).toEqual(after(beats));
      }),
    );
  });

  it('brings back exactly what is dead and not beyond its window', () => {
    fc.assert(
      fc.property(policies, fc.option(times), times, (policy, lastHeartbeatAt, at) => {
        const pulse = { activatedAt, lastHeartbeatAt };
        expect(judgeBeat(pulse, policy, at) === 'beats').toBe(machineStatus(pulse, policy, at) !== 'dead');
        expect(judgeBeat(pulse, { ...policy, heartbeatResurrectionMinutes: null }, at)).not.toBe('too_late');
        expect(judgeBeat(pulse, { ...policy, heartbeatResurrectionMinutes: 0 }, at)).not.toBe('resurrects');
      }),
    );
  });
});
