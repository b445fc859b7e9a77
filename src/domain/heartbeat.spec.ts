import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { machineStatus, mayBeat, nextHeartbeatAt, type HeartbeatPolicy } from './heartbeat.js';

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
  it.each<{ what: string; policy: HeartbeatPolicy; lastHeartbeatAt: Date | null; resurrectionMinutes: number | null; counts: boolean }>([
    { what: 'of the living', policy: required, lastHeartbeatAt: ago(9), resurrectionMinutes: 0, counts: true },
    { what: 'that is the first', policy: firstBeat, lastHeartbeatAt: null, resurrectionMinutes: 0, counts: true },
    { what: 'that is not required', policy: notRequired, lastHeartbeatAt: ago(999), resurrectionMinutes: 0, counts: true },
    { what: 'at the moment of death', policy: required, lastHeartbeatAt: ago(10), resurrectionMinutes: 0, counts: false },
    { what: 'within the resurrection window', policy: required, lastHeartbeatAt: ago(15, -1), resurrectionMinutes: 5, counts: true },
    { what: 'at the end of the window', policy: required, lastHeartbeatAt: ago(15), resurrectionMinutes: 5, counts: false },
    { what: 'of the long dead, always allowed', policy: required, lastHeartbeatAt: ago(999_999), resurrectionMinutes: null, counts: true },
  ])('$what counts: $counts', ({ policy, lastHeartbeatAt, resurrectionMinutes, counts }) => {
    const pulse = { activatedAt: ago(1_000_000), lastHeartbeatAt };
    expect(mayBeat(pulse, { ...policy, heartbeatResurrectionMinutes: resurrectionMinutes }, now)).toBe(counts);
  });
});
