import { describe, expect, it } from '@jest/globals';
import { contradictions, type EventRow, type Operation, type SeatHistory } from '../support/seat-history.js';

/** The judge of histories, given wrong ones: each promise, broken, is found. */
describe('a history of seats', () => {
  const T = 1_900_000_000_000;
  const MINUTE_MS = 60_000;
  const at = (seconds: number): number => T + seconds * 1000;
  const operation = (kind: Operation['kind'], second: number, fields: Partial<Operation>): Operation => ({
    kind,
    calledAt: at(second) - 100,
    endedAt: at(second) + 100,
    answer: { status: 200 },
    killed: false,
    licenseId: 'license',
    ...fields,
  });
  const event = (type: string, second: number, resourceId: string, object = {}): EventRow => ({
    type,
    resourceId,
    licenseId: 'license',
    at: at(second),
    object,
  });
  const activation = (second: number, machineId: string): Operation =>
    operation('activate', second, { fingerprint: `print-${machineId}`, answer: { status: 201, machineId } });
  const deactivation = (second: number, machineId: string): Operation =>
    operation('deactivate', second, { machineId, answer: { status: 204 } });
  const beat = (second: number, machineId: string): Operation => operation('beat', second, { machineId });
  const refusal = (second: number, code: string, fields: Partial<Operation> = {}): Operation =>
    operation('activate', second, { fingerprint: 'print-z', answer: { status: 422, code }, ...fields });
  const machine = (id: string, isActive = true) => ({ id, licenseId: 'license', fingerprint: `print-${id}`, cores: 1, isActive });
  const pulse = (machineId: string, fields: Partial<SeatHistory['pulses'][number]> = {}) => ({
    machineId,
    activatedAt: at(0),
    lastHeartbeatAt: null,
    deathAnnounced: false,
    ...fields,
  });

  /** Two seats: `a` is activated, beats and stays; `b` is activated and deactivated; `c` takes its seat; `d` is refused. */
  const right = (): SeatHistory => ({
    policies: [{ id: 'policy', maxMachines: 2, overageStrategy: 'NO_OVERAGE', heartbeatIntervalMinutes: 10, culledAfterMinutes: 5 }],
    operations: [
      activation(0, 'a'),
      activation(1, 'b'),
      refusal(2, 'MACHINE_LIMIT_EXCEEDED'),
      deactivation(3, 'b'),
      activation(4, 'c'),
      beat(5, 'a'),
    ],
    ageings: [],
    events: [
      event('machine.activated', 0, 'a'),
      event('machine.activated', 1, 'b'),
      event('machine.deactivated', 3, 'b'),
      event('machine.activated', 4, 'c'),
    ],
    licenses: [{ id: 'license', policyId: 'policy', machineCount: 2, coresTotal: 2 }],
    machines: [machine('a'), machine('b', false), machine('c')],
    pulses: [pulse('a', { lastHeartbeatAt: at(5) }), pulse('c', { activatedAt: at(4) })],
    sweptAt: at(6),
  });
  /** `a` was set back by so many minutes, between seconds 6 and 7; swept half a minute later. */
  const aged = (minutes: number): SeatHistory => {
    const history = right();
    history.ageings = [{ machineId: 'a', minutes, calledAt: at(6), endedAt: at(7) }];
    history.pulses[0] = pulse('a', { lastHeartbeatAt: at(5) - minutes * MINUTE_MS, deathAnnounced: minutes >= 10 });
    if (minutes >= 10) history.events.push(event('machine.dead', 8, 'a'));
    history.sweptAt = at(30);
    return history;
  };
  /** `a` died, and was taken away for it. */
  const culled = (): SeatHistory => {
    const history = aged(30);
    history.events.push(event('machine.deactivated', 9, 'a'));
    history.machines[0] = machine('a', false);
    history.pulses.shift();
    history.licenses[0] = { ...history.licenses[0]!, machineCount: 1, coresTotal: 1 };
    return history;
  };
  const changed = (second: number, maxMachines: number): EventRow => ({
    ...event('policy.updated', second, 'policy', { maxMachines, overageStrategy: 'NO_OVERAGE' }),
    licenseId: null,
  });

  it.each([
    ['of an ordinary day', right()],
    ['of a death that was told', aged(12)],
    ['of a machine that only grew older', aged(5)],
    ['of a machine that was taken away after its death', culled()],
  ])('%s breaks no promise', (_, history) => {
    expect(contradictions(history)).toEqual([]);
  });

  it('that lowers a limit below what is there breaks none, and an activation that did not know of it yet neither', () => {
    const history = right();
    history.operations.push(operation('change policy', 4, { policyId: 'policy', licenseId: undefined }));
    history.events.push(changed(4, 1));
    expect(contradictions(history)).toEqual([]);
  });

  const wrong: [what: string, change: (history: SeatHistory) => void, told: RegExp, base?: () => SeatHistory][] = [
    ['one seat too many', (h) => h.events.splice(2, 1), /had 3 machines at .* where 2 were allowed/],
    [
      'an activation above a limit that was lowered long before',
      (h) => {
        h.operations.push(operation('change policy', 2, { policyId: 'policy', licenseId: undefined }));
        h.events.push(changed(2, 1));
      },
      /had 2 machines at .* where 1 were allowed/,
    ],
    [
      'a seat given out while suspended',
      (h) => h.events.push(event('license.suspended', 3.5, 'license')),
      /machine c was activated on license license while that was suspended/,
    ],
    ['a seat that nobody asked for', (h) => h.operations.splice(0, 1), /nobody asked for the activation of machine a/],
    ['an acknowledged machine that is not there', (h) => h.machines.splice(0, 1), /machine a was acknowledged, and there is none/],
    [
      'a machine that went without a word',
      (h) => (h.machines[0]!.isActive = false),
      /machine a is not active after 1 activations and 0 deactivations/,
    ],
    [
      'the same seat acknowledged as new twice',
      (h) => h.operations.push(activation(0, 'a')),
      /machine a was acknowledged as new, and was not/,
    ],
    [
      'a seat acknowledged after it was gone',
      (h) => h.operations.push(operation('activate', 5, { fingerprint: 'print-b', answer: { status: 200, machineId: 'b' } })),
      /machine b was acknowledged as active when it was not/,
    ],
    [
      'a deactivation that did not happen',
      (h) => h.operations.push(deactivation(5, 'a')),
      /the deactivation of machine a was acknowledged, and never happened/,
    ],
    ['a deactivation that was undone', (h) => (h.machines[1]!.isActive = true), /machine b was deactivated, and is active/],
    ['a seat freed twice', (h) => h.operations.push(deactivation(3, 'b')), /machine b was deactivated twice/],
    ['a seat taken from the living', (h) => (h.ageings = []), /machine a was taken away while it lived/, culled],
    [
      'a seat taken from the dead before anybody knew',
      (h) => h.events.splice(4, 1),
      /machine a was taken away, and its death was never told/,
      culled,
    ],
    [
      'a seat taken where the dead keep theirs',
      (h) => (h.policies[0]!.culledAfterMinutes = null),
      /where the dead keep their seats/,
      culled,
    ],
    ['a counter that is off', (h) => (h.licenses[0]!.machineCount = 3), /counts 3 machines .* and has 2/],
    ['a sum that is off', (h) => (h.licenses[0]!.coresTotal = 1), /with 1 cores, and has 2 with 2/],
    ['a pulse of nobody', (h) => h.pulses.push(pulse('b')), /pulses are not those of the active machines/],
    ['one fingerprint on two seats', (h) => (h.machines[2]!.fingerprint = 'print-a'), /a fingerprint holds two seats/],
    ['a death told twice', (h) => h.events.push(event('machine.dead', 9, 'a')), /the death of machine a was told twice/, () => aged(12)],
    ['a death never told', (h) => (h.pulses[0]!.deathAnnounced = false), /machine a is dead, and that was not told/, () => aged(12)],
    ['a death marked and not told', (h) => h.events.pop(), /the death of machine a was never told/, () => aged(12)],
    [
      'a machine that outlived its cull',
      (h) => (h.pulses[0]!.lastHeartbeatAt = at(5) - 30 * MINUTE_MS),
      /machine a outlived its cull/,
      () => aged(12),
    ],
    ['a death of the living', (h) => h.events.push(event('machine.dead', 8, 'c')), /machine c was told dead while it lived/],
    [
      'a beat of the living that was refused',
      (h) => h.operations.push(operation('beat', 5, { machineId: 'a', answer: { status: 422, code: 'MACHINE_DEAD' } })),
      /a beat of machine a was refused while it lived/,
    ],
    ['a beat that is lost', (h) => (h.pulses[0]!.lastHeartbeatAt = null), /a beat of machine a .* is lost/],
    [
      'a beat that is lost, when time passed since',
      (h) => (h.pulses[0]!.lastHeartbeatAt = at(3) - 12 * MINUTE_MS),
      /a beat of machine a .* is lost/,
      () => aged(12),
    ],
    ['a beat of a machine that was gone', (h) => h.operations.push(beat(5, 'b')), /machine b beat while it was not active/],
    [
      'a refusal beside a free seat',
      (h) => h.operations.push(refusal(3.5, 'MACHINE_LIMIT_EXCEEDED')),
      /refused a machine .* while a seat was free/,
    ],
    [
      'a fault of a server',
      (h) => h.operations.push(refusal(2, 'INTERNAL_ERROR', { answer: { status: 500 } })),
      /a living server answered 500 to activate/,
    ],
    ['no answer', (h) => h.operations.push(refusal(2, '', { answer: null })), /a living server answered nothing to activate/],
  ];
  it.each(wrong)('with %s is found out', (_, change, told, base = right) => {
    const history = base();
    change(history);
    expect(contradictions(history)).toContainEqual(expect.stringMatching(told));
  });

  it('holds nothing against a server that was killed, nor against what it may have done', () => {
    const history = right();
    history.operations.push(refusal(2, '', { answer: null, killed: true }));
    history.operations[3] = { ...history.operations[3]!, answer: null, killed: true };
    expect(contradictions(history)).toEqual([]);
  });
});
