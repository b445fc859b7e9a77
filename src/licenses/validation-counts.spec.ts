import { describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import type { Database } from '../core/database.js';
import type { ValidationCount } from '../domain/validation-count.js';
import type { Decision } from './validation-events.service.js';
import { ValidationCounts } from './validation-counts.js';

const decision = (id: string): Decision =>
  ({
    verdict: { valid: true, code: 'VALID' },
    facts: {
      license: { id, productId: 'product', policyId: 'policy' },
      environmentId: 'environment',
      request: { fingerprints: [] },
      machines: [],
      now: new Date('2026-01-15T10:59:59.999Z'),
    },
  }) as unknown as Decision;

/** A database whose writes fail until they are let through. */
class Writes {
  readonly tried: [processId: string, sequence: number, counts: string, countedAt: Date][] = [];
  readonly kept: typeof this.tried = [];
  areLost = true;

  stamp = (_statement: unknown, values: unknown): Promise<[]> => {
    this.tried.push(values as (typeof this.tried)[number]);
    if (this.areLost) return Promise.reject(new Error('disk full'));
    this.kept.push(values as (typeof this.tried)[number]);
    return Promise.resolve([]);
  };
}

const countsOf = (writes: Writes): ValidationCount[] => writes.kept.flatMap(([, , counts]) => JSON.parse(counts) as ValidationCount[]);

describe('counts of validations', () => {
  it('wait while they cannot be written: one batch is tried again as it was, the others are bounded and lose nothing', async () => {
    const writes = new Writes();
    const counts = new ValidationCounts(writes as unknown as Database, pino({ level: 'silent' }));
    const flush = () => (counts as unknown as { flush: () => Promise<void> }).flush();
    counts.note(decision('first'), null);
    for (let round = 0; round < 5; round += 1) {
      await flush().catch(() => undefined);
      for (let ask = 0; ask < 10; ask += 1) counts.note(decision(`later ${ask}`), '203.0.113.9');
    }
    // Always the same one, of the same number: nobody knows whether it was written.
    expect(new Set(writes.tried.map(([, sequence, text]) => `${sequence} ${text}`)).size).toBe(1);
    writes.areLost = false;
    await counts.onApplicationShutdown();
    expect(writes.kept.map(([, sequence]) => sequence)).toEqual([1, 2]);
    expect(countsOf(writes).map(({ licenseId, count }) => [licenseId, count])).toEqual([
      ['first', 1],
      ...Array.from({ length: 10 }, (_, ask) => [`later ${ask}`, 5]),
    ]);
  });

  it('are told apart by all that is counted apart, and are of the hour in which they were', async () => {
    const writes = new Writes();
    writes.areLost = false;
    const counts = new ValidationCounts(writes as unknown as Database, pino({ level: 'silent' }));
    for (const ip of ['203.0.113.9', '203.0.113.9', null]) counts.note(decision('one'), ip);
    await counts.onApplicationShutdown();
    expect(countsOf(writes).map(({ ip, count, hour }) => [ip, count, hour])).toEqual([
      ['203.0.113.9', 2, '2026-01-15T10:00:00.000Z'],
      [null, 1, '2026-01-15T10:00:00.000Z'],
    ]);
  });
});
