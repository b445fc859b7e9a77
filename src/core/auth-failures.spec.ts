import { beforeEach, describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import { LatchkeyError } from '../domain/errors.js';
import { AuthFailures, isAuthFailure } from './auth-failures.js';
import type { Database } from './database.js';
import { Metrics } from './metrics.js';
import { onBehalfOf, type RequestContext } from './request-context.js';

interface Row {
  id: string;
  environmentId: string | null;
  code: string;
  ip: string | null;
  count: number;
}

describe('failures of authentication', () => {
  let nowMs: number;
  let stored: Map<string, Row>;
  /** What becomes of the next writes: done, refused, or done with the answer lost. */
  let fates: ('refused' | 'answer lost')[];
  let failures: AuthFailures;

  beforeEach(() => {
    [nowMs, stored, fates] = [Date.parse('2026-01-15T10:30:00.000Z'), new Map(), []];
    // Like `ON CONFLICT DO NOTHING`.
    const createMany = ({ data }: { data: Row[] }): Promise<void> => {
      const fate = fates.shift();
      if (fate !== 'refused') for (const row of data) if (!stored.has(row.id)) stored.set(row.id, { ...row });
      return fate === undefined ? Promise.resolve() : Promise.reject(new Error(fate));
    };
    const database = { acrossTenants: (_: string, work: (db: object) => unknown) => work({ auditEntry: { createMany } }) };
    failures = new AuthFailures(database as unknown as Database, { now: () => new Date(nowMs) }, pino({ level: 'silent' }), new Metrics());
  });

  function fail(context: Partial<RequestContext> = {}, code = 'AUTH_FAILED'): void {
    const nobody = {
      requestId: 'r',
      ip: '203.0.113.7',
      actor: { type: 'anonymous', id: null },
      credential: null,
      accountId: null,
      environmentId: null,
      segmentId: null,
    } as const;
    onBehalfOf({ ...nobody, keyPrefix: null, response: null, ...context }, () => {
      failures.note(code, 'GET', '/api/v1/products');
    });
  }
  const sum = (rows: Iterable<Row> = stored.values()): number => [...rows].reduce((total, { count }) => total + count, 0);

  it('are every 401 and 403, and a 429 for failing too often', () => {
    const is = (code: ConstructorParameters<typeof LatchkeyError>[0], details?: Record<string, unknown>): boolean =>
      isAuthFailure(new LatchkeyError(code, 'x', details));
    expect([is('AUTH_FAILED'), is('API_KEY_REVOKED'), is('INSUFFICIENT_SCOPE'), is('LICENSE_BANNED')]).toEqual([true, true, true, true]);
    expect([is('NOT_FOUND'), is('CONFLICT'), is('MACHINE_DEAD'), is('INTERNAL_ERROR')]).toEqual([false, false, false, false]);
    expect([is('RATE_LIMITED', { policy: 'auth-failures' }), is('RATE_LIMITED', { policy: 'management' })]).toEqual([true, false]);
  });

  it('that are alike are one row, and what differs in anything is another', async () => {
    for (let index = 0; index < 3; index += 1) fail();
    fail({ ip: '203.0.113.8' });
    fail({ keyPrefix: 'lk_live_a1b2' });
    fail({ environmentId: 'environment' });
    fail({}, 'API_KEY_REVOKED');
    await failures.flush();
    expect([...stored.values()].map(({ count }) => count).sort()).toEqual([1, 1, 1, 1, 3]);
  });

  it('begin a bounded number of rows in a window, with an exact count, however many addresses and keys', async () => {
    const flood = (environmentId: string | null): void => {
      for (let index = 0; index < 5000; index += 1)
        fail({ environmentId, ip: `10.0.${index % 250}.1`, keyPrefix: `lk_live_${index}`.slice(0, 12) });
    };
    flood(null);
    fail({ environmentId: 'of a tenant', ip: '203.0.113.1' });
    flood('flooded');
    await failures.flush();
    expect(sum()).toBe(10_001);
    expect(stored.size).toBeLessThanOrEqual(2 * 151 + 1);
    // A tenant's own is told apart whatever others suffer.
    expect([...stored.values()].filter(({ environmentId }) => environmentId === 'of a tenant')).toMatchObject([
      { ip: '203.0.113.1', count: 1 },
    ]);
    nowMs += 10_000;
    fail({ ip: '10.9.9.9' });
    await failures.flush();
    expect([...stored.values()].filter(({ ip }) => ip === '10.9.9.9')).toHaveLength(1);
  });

  it('are neither lost nor counted twice when the database does not answer', async () => {
    for (const fate of ['refused', 'answer lost'] as const) {
      fates = [fate];
      fail();
      fail();
      await failures.flush();
      fail();
      await failures.flush();
    }
    expect(sum()).toBe(6);
  });

  it('stay bounded in number while the database is away for long, and are all counted when it is back', async () => {
    fates = Array<'refused'>(30).fill('refused');
    for (let window = 0; window < 30; window += 1) {
      for (let index = 0; index < 200; index += 1) fail({ ip: `10.${window}.${index}.1`, keyPrefix: `lk_live_${window}` });
      await failures.flush();
      nowMs += 10_000;
    }
    await failures.flush();
    expect(sum()).toBe(30 * 200);
    expect(stored.size).toBeLessThanOrEqual(2000 + 30);
  });
});
