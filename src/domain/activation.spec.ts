import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type ActivationFacts, type ActivationPolicy, decideActivation, requireMayActivate, type SeatedPulse } from './activation.js';
import { machineStatus, MINUTE_MS } from './heartbeat.js';
import type { PolicyAuthentication } from './policy.js';
import { type MachineSize, passedLimit, totalsOfNone, totalsWith } from './seats.js';

describe('who may activate machines', () => {
  it.each<[PolicyAuthentication, 'license' | 'apiKey', boolean]>([
    ['LICENSE', 'license', true],
    ['LICENSE', 'apiKey', false],
    ['API_KEY', 'license', false],
    ['API_KEY', 'apiKey', true],
    ['BOTH', 'license', true],
    ['BOTH', 'apiKey', true],
    ['NONE', 'license', false],
    ['NONE', 'apiKey', false],
  ])('under %s, %s: %p', (authentication, credential, may) => {
    const activate = () => {
      requireMayActivate(credential, authentication);
    };
    if (may) expect(activate).not.toThrow();
    else expect(activate).toThrow(expect.objectContaining({ code: 'AUTHENTICATION_NOT_ALLOWED', status: 403 }));
  });
});

const now = new Date('2026-06-15T12:00:00.000Z');
const policy: ActivationPolicy = {
  authentication: 'BOTH',
  floating: true,
  allowMachineTransfer: true,
  maxMachines: 2,
  maxCores: null,
  maxMemoryMb: null,
  maxDiskMb: null,
  overageStrategy: 'NO_OVERAGE',
  requireHeartbeat: true,
  heartbeatIntervalMinutes: 10,
  heartbeatBasis: 'FROM_ACTIVATION',
  heartbeatResurrectionMinutes: 0,
  expirationStrategy: 'RESTRICT_ACCESS',
  gracePeriodDays: 0,
};
const noSize: MachineSize = { cores: null, memoryMb: null, diskMb: null };

/** A machine that was silent for so many minutes. */
const silent = (id: string, minutes: number, cores: number | null = null): SeatedPulse => ({
  ...noSize,
  id,
  cores,
  activatedAt: new Date(now.getTime() - minutes * MINUTE_MS),
  lastHeartbeatAt: null,
});
const factsOf = (machines: readonly MachineSize[], changes: Partial<ActivationFacts> = {}): ActivationFacts => ({
  credential: 'license',
  license: {
    expiresAt: null,
    suspendedAt: null,
    bannedAt: null,
    revokedAt: null,
    maxMachinesOverride: null,
    maxCoresOverride: null,
    maxMemoryMbOverride: null,
    maxDiskMbOverride: null,
  },
  totals: machines.reduce((totals, machine) => totalsWith(totals, machine, 1), totalsOfNone),
  policy,
  existing: null,
  replaced: undefined,
  isTakenElsewhere: false,
  size: noSize,
  now,
  ...changes,
});
const seated = (id: string, deletedAt: Date | null = null) => ({ ...noSize, id, deletedAt });

describe('a seat', () => {
  const full = [noSize, noSize];

  it.each<[string, Partial<ActivationFacts>, object]>([
    ['that is free is given', { totals: totalsOfNone }, { outcome: 'granted', replaced: null, takenOver: [], totals: { machineCount: 1 } }],
    ['is not given beyond the limit', {}, { outcome: 'refused', passed: { limit: { code: 'MACHINE_LIMIT_EXCEEDED' }, used: 3 } }],
    ['that the machine has stays its own', { existing: seated('a') }, { outcome: 'existing', replaced: null, totals: { machineCount: 2 } }],
    ['passes to what replaces', { replaced: seated('a') }, { outcome: 'granted', replaced: 'a', totals: { machineCount: 2 } }],
    ['stays with who replaces itself', { replaced: seated('a'), existing: seated('a') }, { outcome: 'existing', replaced: null }],
    ['is given back by what is replaced by a machine that has one', { replaced: seated('a'), existing: seated('b') }, { outcome: 'existing', replaced: 'a', totals: { machineCount: 1 } }],
    ['was swapped already', { replaced: seated('a', now), existing: seated('b') }, { outcome: 'existing', replaced: null, totals: { machineCount: 2 } }],
  ])('%s', (_, changes, expected) => {
    expect(decideActivation(factsOf(full, changes), [])).toMatchObject(expected);
  }); // prettier-ignore

  it('may be swapped on a license that is over its limits, which were lowered', () => {
    expect(decideActivation(factsOf([noSize, noSize, noSize], { replaced: seated('a') }), [])).toMatchObject({ outcome: 'granted' });
    expect(decideActivation(factsOf([noSize, noSize, noSize]), [])).toMatchObject({ outcome: 'refused' });
  });

  it('is judged by size after the swap', () => {
    const facts = { policy: { ...policy, maxCores: 8 }, replaced: { ...seated('a'), cores: 6 } };
    const machines = [{ ...noSize, cores: 6 }, { ...noSize, cores: 2 }];
    expect(decideActivation(factsOf(machines, { ...facts, size: { ...noSize, cores: 6 } }), []).outcome).toBe('granted');
    expect(decideActivation(factsOf(machines, { ...facts, size: { ...noSize, cores: 7 } }), [])).toMatchObject({
      outcome: 'refused',
      passed: { limit: { code: 'CORE_LIMIT_EXCEEDED' } },
    });
  }); // prettier-ignore

  it.each<[string, Partial<ActivationFacts>, number, string]>([
    ['a fingerprint that is active elsewhere, also on a full license', { isTakenElsewhere: true }, 422, 'FINGERPRINT_TAKEN'],
    ['a machine that is not there to be replaced', { replaced: null }, 404, 'NOT_FOUND'],
    ['a machine that has gone, and nothing came for it', { replaced: seated('a', now) }, 404, 'NOT_FOUND'],
    ['a swap that the policy does not allow', { replaced: seated('a'), policy: { ...policy, allowMachineTransfer: false } }, 403, 'TRANSFER_NOT_ALLOWED'],
    ['a license that is suspended', { license: { ...factsOf([]).license, suspendedAt: now } }, 403, 'LICENSE_SUSPENDED'],
  ])('is refused to %s', (_, changes, status, code) => {
    expect(() => decideActivation(factsOf(full, changes), [])).toThrow(expect.objectContaining({ status, code }));
  }); // prettier-ignore

  it('may be swapped by the vendor whatever the policy says', () => {
    const facts = factsOf(full, { credential: 'apiKey', replaced: seated('a'), policy: { ...policy, allowMachineTransfer: false } });
    expect(decideActivation(facts, []).outcome).toBe('granted');
  });
});

describe('seats of the dead', () => {
  const take = (machines: SeatedPulse[], changes: Partial<ActivationFacts> = {}): string[] | string => {
    const activation = decideActivation(factsOf(machines, changes), machines);
    return activation.outcome === 'granted' ? activation.takenOver : activation.outcome;
  };

  it.each<[string, SeatedPulse[], Partial<ActivationFacts>, string[] | string]>([
    ['the longest dead goes', [silent('a', 11), silent('b', 12)], {}, ['b']],
    ['the living stay', [silent('a', 9), silent('b', 10)], {}, ['b']],
    ['nobody is dead', [silent('a', 9), silent('b', 1)], {}, 'refused'],
    ['none goes where a seat is free', [silent('a', 99)], {}, []],
    ['not without floating', [silent('a', 99), silent('b', 99)], { policy: { ...policy, floating: false } }, 'refused'],
    ['nothing dies without heartbeats', [silent('a', 99), silent('b', 99)], { policy: { ...policy, requireHeartbeat: false } }, 'refused'],
    ['as many as it takes', [silent('a', 20, 4), silent('b', 30, 4)], { policy: { ...policy, maxCores: 8 }, size: { ...noSize, cores: 8 } }, ['b', 'a']],
    ['none when all are not enough', [silent('a', 20, 4), silent('b', 30, 4)], { policy: { ...policy, maxCores: 8 }, size: { ...noSize, cores: 9 } }, 'refused'],
    ['one that gives too little is spared', [silent('a', 30, 1), silent('b', 20, 8)], { policy: { ...policy, maxMachines: 9, maxCores: 9 }, size: { ...noSize, cores: 8 } }, ['b']],
    ['none makes room where the limit was lowered, and the living are too many', [silent('a', 30), silent('b', 1), silent('c', 1)], {}, 'refused'],
    ['all the dead go where the limit was lowered', [silent('a', 30), silent('b', 20), silent('c', 1)], {}, ['a', 'b']],
    ['the one that is replaced is not taken twice', [silent('a', 30), silent('b', 20)], { replaced: seated('a') }, []],
  ])('%s', (_, machines, changes, expected) => {
    expect(take(machines, changes)).toEqual(expected);
  }); // prettier-ignore

  it('never go for nothing: every limit holds afterwards, only the dead go, and with one less it would not do', () => {
    const machine = fc.record({ silentMinutes: fc.nat({ max: 20 }), cores: fc.option(fc.integer({ min: 1, max: 9 })) });
    fc.assert(
      fc.property(fc.array(machine, { maxLength: 8 }), fc.integer({ min: 1, max: 8 }), fc.nat({ max: 30 }), (all, maxMachines, cores) => {
        const machines = all.map((one, index) => silent(String(index), one.silentMinutes, one.cores));
        const rules = { ...policy, maxMachines, maxCores: 20 };
        const facts = factsOf(machines, { policy: rules, size: { ...noSize, cores } });
        const fits = (gone: readonly SeatedPulse[]): boolean => {
          const left = gone.reduce((totals, one) => totalsWith(totals, one, -1), facts.totals);
          return passedLimit(left, totalsWith(left, facts.size, 1), facts.license, rules) === null;
        };
        const dead = machines.filter((one) => machineStatus(one, rules, now) === 'dead');
        const activation = decideActivation(facts, machines);
        expect(activation.outcome === 'granted').toBe(fits(dead));
        if (activation.outcome !== 'granted') return;
        const gone = dead.filter(({ id }) => activation.takenOver.includes(id));
        expect(gone).toHaveLength(activation.takenOver.length);
        expect(fits(gone)).toBe(true);
        for (const one of gone) expect(fits(gone.filter((other) => other !== one))).toBe(false);
      }),
    );
  });
});
