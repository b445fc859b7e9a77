import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { due, type DueLicense, type DueMachine, type DuePolicy, type Happening, type Span } from './due.js';

const DAY_MS = 86_400_000;
const NOTICE_DAYS = 3;
const start = new Date('2026-01-01T00:00:00.000Z');
const day = (days: number): Date => new Date(start.getTime() + days * DAY_MS);

const policy: DuePolicy = {
  expirationStrategy: 'RESTRICT_ACCESS',
  gracePeriodDays: 0,
  requireHeartbeat: false,
  heartbeatIntervalMinutes: 1440,
  heartbeatBasis: 'FROM_ACTIVATION',
  heartbeatResurrectionMinutes: 0,
  heartbeatCullStrategy: 'DEACTIVATE_DEAD',
};
const license: DueLicense = {
  expiresAt: day(30),
  suspendedAt: null,
  bannedAt: null,
  revokedAt: null,
  expiringAnnouncedFor: null,
  expiredAnnouncedFor: null,
};
const machine: DueMachine = { id: 'machine', activatedAt: day(0), lastHeartbeatAt: null, deathAnnounced: false };

const told = (happenings: Happening[]): [string, number][] =>
  happenings.map(({ type, at }) => [type, (at.getTime() - start.getTime()) / DAY_MS]);

describe('what falls due for a license', () => {
  it.each<{ what: string; license?: Partial<DueLicense>; policy?: Partial<DuePolicy>; from?: number; to?: number; is: [string, number][] }>([
    { what: 'its notice and its end', is: [['license.expiring', 27], ['license.expired', 30]] },
    { what: 'at the very instant', from: 29, to: 30, license: { expiringAnnouncedFor: day(30) }, is: [['license.expired', 30]] },
    { what: 'nothing a moment before', to: 26.999, is: [] },
    { what: 'nothing when perpetual', license: { expiresAt: null }, is: [] },
    { what: 'its end after the grace', policy: { gracePeriodDays: 7 }, is: [['license.expiring', 27], ['license.expired', 37]] },
    { what: 'only notice while in its grace', policy: { gracePeriodDays: 7 }, to: 36.9, is: [['license.expiring', 27]] },
    { what: 'expiry where access goes on', policy: { expirationStrategy: 'ALLOW_ACCESS' }, from: 28, is: [['license.expiring', 28], ['license.expired', 30]] },
    {
      what: 'revocation where expiry revokes',
      policy: { expirationStrategy: 'REVOKE' },
      is: [['license.expiring', 27], ['license.expired', 30], ['license.revoked', 30]],
    },
    { what: 'notice at once of a short term', license: { expiresAt: day(1) }, is: [['license.expiring', 0], ['license.expired', 1]] },
    { what: 'no notice of what is over', from: 31, is: [['license.expired', 31]] },
    { what: 'nothing twice', license: { expiringAnnouncedFor: day(30), expiredAnnouncedFor: day(30) }, is: [] },
    { what: 'anew after a renewal', license: { expiringAnnouncedFor: day(2), expiredAnnouncedFor: day(2) }, is: [['license.expiring', 27], ['license.expired', 30]] },
    { what: 'nothing while suspended', license: { suspendedAt: day(0) }, is: [] },
    {
      what: 'revocation of a suspended one',
      license: { suspendedAt: day(0) },
      policy: { expirationStrategy: 'REVOKE' },
      is: [['license.expired', 30], ['license.revoked', 30]],
    },
    { what: 'nothing while banned', license: { bannedAt: day(0) }, policy: { expirationStrategy: 'REVOKE' }, is: [] },
    { what: 'nothing once revoked', license: { revokedAt: day(0) }, policy: { expirationStrategy: 'REVOKE' }, is: [] },
  ])('$what', ({ license: changes, policy: rules, from = 0, to = 100, is }) => {
    const span = { from: day(from), to: day(to) };
    expect(told(due({ ...license, ...changes }, [], { ...policy, ...rules }, span, NOTICE_DAYS))).toEqual(is);
  }); // prettier-ignore
});

describe('what falls due for a machine', () => {
  it.each<{ what: string; machine?: Partial<DueMachine>; policy?: Partial<DuePolicy>; from?: number; to?: number; is: [string, number][] }>([
    { what: 'death and removal', is: [['machine.dead', 1], ['machine.deactivated', 1]] },
    { what: 'removal when its window has passed', policy: { heartbeatResurrectionMinutes: 2880 }, is: [['machine.dead', 1], ['machine.deactivated', 3]] },
    { what: 'death within its window', policy: { heartbeatResurrectionMinutes: 2880 }, to: 2.9, is: [['machine.dead', 1]] },
    { what: 'removal alone of what is known to be dead', machine: { deathAnnounced: true }, from: 2, is: [['machine.deactivated', 2]] },
    { what: 'death alone where the dead are kept', policy: { heartbeatCullStrategy: 'KEEP_DEAD' }, is: [['machine.dead', 1]] },
    { what: 'nothing where that was said', policy: { heartbeatCullStrategy: 'KEEP_DEAD' }, machine: { deathAnnounced: true }, is: [] },
    {
      what: 'another death after another beat',
      policy: { heartbeatCullStrategy: 'KEEP_DEAD' },
      machine: { lastHeartbeatAt: day(5) },
      is: [['machine.dead', 6]],
    },
    { what: 'nothing where no beat is required', policy: { requireHeartbeat: false }, is: [] },
    { what: 'nothing before the first beat that starts its clock', policy: { heartbeatBasis: 'FROM_FIRST_BEAT' }, is: [] },
  ])('$what', ({ machine: changes, policy: rules, from = 0, to = 100, is }) => {
    const span = { from: day(from), to: day(to) };
    const happenings = due({ ...license, expiresAt: null }, [{ ...machine, ...changes }], { ...policy, requireHeartbeat: true, ...rules }, span, NOTICE_DAYS);
    expect(told(happenings)).toEqual(is);
  }); // prettier-ignore
});

/** The license and its machines after what happened to them. */
function after(license: DueLicense, machines: DueMachine[], happenings: Happening[]): [DueLicense, DueMachine[]] {
  const has = (type: Happening['type'], machineId?: string): boolean =>
    happenings.some(
      (happening) =>
        happening.type === type && (machineId === undefined || ('machineId' in happening && happening.machineId === machineId)),
    );
  return [
    {
      ...license,
      expiringAnnouncedFor: has('license.expiring') ? license.expiresAt : license.expiringAnnouncedFor,
      expiredAnnouncedFor: has('license.expired') ? license.expiresAt : license.expiredAnnouncedFor,
    },
    machines
      .filter(({ id }) => !has('machine.deactivated', id))
      .map((machine) => (has('machine.dead', machine.id) ? { ...machine, deathAnnounced: true } : machine)),
  ];
}

describe('the order of things', () => {
  const time = fc.integer({ min: 0, max: 60 * 24 }).map((hours) => new Date(start.getTime() + hours * 3_600_000));
  const maybe = fc.option(time, { freq: 3 });
  const licenses = fc.record({
    expiresAt: fc.option(time, { freq: 5 }),
    suspendedAt: maybe,
    bannedAt: maybe,
    revokedAt: maybe,
    expiringAnnouncedFor: fc.constant(null),
    expiredAnnouncedFor: fc.constant(null),
  });
  const pulses = fc.array(fc.record({ activatedAt: time, lastHeartbeatAt: maybe, deathAnnounced: fc.constant(false) }), { maxLength: 4 });
  const machines = pulses.map((list): DueMachine[] => list.map((pulse, index) => ({ id: String(index), ...pulse })));
  const policies: fc.Arbitrary<DuePolicy> = fc.record({
    expirationStrategy: fc.constantFrom('RESTRICT_ACCESS' as const, 'ALLOW_ACCESS' as const, 'REVOKE' as const),
    gracePeriodDays: fc.nat({ max: 10 }),
    requireHeartbeat: fc.boolean(),
    heartbeatIntervalMinutes: fc.integer({ min: 1, max: 10_000 }),
    heartbeatBasis: fc.constantFrom('FROM_ACTIVATION' as const, 'FROM_FIRST_BEAT' as const),
    heartbeatResurrectionMinutes: fc.option(fc.nat({ max: 10_000 })),
    heartbeatCullStrategy: fc.constantFrom('DEACTIVATE_DEAD' as const, 'KEEP_DEAD' as const),
  });
  const times = fc.tuple(time, time, time).map((all) => all.sort((one, other) => one.getTime() - other.getTime()));
  const look = (of: [DueLicense, DueMachine[]], rules: DuePolicy, span: Span): Happening[] => due(of[0], of[1], rules, span, NOTICE_DAYS);

  it('does not depend on when somebody looks: twice half way says what once says', () => {
    fc.assert(
      fc.property(licenses, machines, policies, times, (license, machines, rules, [from, between, to]) => {
        const first = look([license, machines], rules, { from: from, to: between });
        const then = look(after(license, machines, first), rules, { from: between, to: to });
        expect([...first, ...then]).toEqual(look([license, machines], rules, { from: from, to: to }));
      }),
      { numRuns: 500 },
    );
  });

  it('is that of time, within the span, and nothing happens again', () => {
    fc.assert(
      fc.property(licenses, machines, policies, times, (license, machines, rules, [from, , to]) => {
        const happenings = look([license, machines], rules, { from: from, to: to });
        const instants = happenings.map(({ at }) => at.getTime());
        expect(instants).toEqual([...instants].sort((one, other) => one - other));
        expect(instants.every((at) => at >= from.getTime() && at <= to.getTime())).toBe(true);
        expect(look(after(license, machines, happenings), rules, { from: to, to: to })).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });
});
