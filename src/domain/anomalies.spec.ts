import { describe, expect, it } from '@jest/globals';
import { anomaliesAmong, explainingSeats, suspicionOf } from './anomalies.js';

describe('anomalies', () => {
  it.each([
    // limit, machines that hold seats, the seats that explain
    [5, 2, 5],
    [5, 7, 7],
    [0, 0, 1],
    [1, 0, 1],
    [null, 1000, null],
  ])('takes a limit of %p with %p machines for %p seats', (maxMachines, machineCount, seats) => {
    expect(explainingSeats(maxMachines, machineCount)).toBe(seats);
  });

  it.each([
    // fingerprints, addresses, seats, how many times more than they explain
    [3, 10, 1, 1],
    [4, 0, 1, 4 / 3],
    [0, 11, 1, 1.1],
    [30, 50, 5, 2],
    [6, 100, 5, 2],
    [0, 0, 1, 0],
    [1000, 1000, null, 0],
  ])('judges %p fingerprints and %p addresses on %p seats as %p', (fingerprints, ips, seats, suspicion) => {
    expect(suspicionOf({ fingerprints, ips }, seats)).toBeCloseTo(suspicion, 12);
  });

  it('tells those beyond what their seats explain, the most suspicious first', () => {
    const seen = (licenseId: string, fingerprints: number, maxMachines: number | null) => ({
      licenseId,
      fingerprints,
      ips: 0,
      maxMachines,
      machineCount: 0,
    });
    const rows = [seen('d', 3, 1), seen('c', 6, 1), seen('a', 12, 1), seen('b', 60, 10), seen('e', 900, null)];
    expect(anomaliesAmong(rows).map(({ licenseId, seats, suspicion }) => [licenseId, seats, suspicion])).toEqual([
      ['a', 1, 4],
      ['b', 10, 2],
      ['c', 1, 2],
    ]);
  });
});
