import { describe, expect, it } from '@jest/globals';
import type { Response } from 'express';
import { pino } from 'pino';
import type { LatchkeyError } from '../domain/errors.js';
import { loadConfig } from './config.js';
import { MasterKey } from './master-key.js';
import { Metrics } from './metrics.js';
import { RateLimits } from './rate-limits.js';
import { onBehalfOf } from './request-context.js';

const NOW = new Date('2026-01-15T10:30:00Z');

describe('a request', () => {
  const setUp = (environment: Record<string, string> = {}) => {
    const clock = { now: () => NOW };
    const limits = new RateLimits(
      loadConfig(environment),
      clock,
      new MasterKey(Buffer.alloc(32)),
      pino({ level: 'silent' }),
      new Metrics(),
    );
    /** One request on which these are counted, in turn: its answer's headers, and what refused it. */
    const ask = async (...counted: Parameters<RateLimits['admit']>[]) => {
      const headers: Record<string, string> = {};
      const response = { locals: {}, set: (more: object) => Object.assign(headers, more) } as unknown as Response;
      const context = {
        requestId: null,
        ip: null,
        credential: null,
        accountId: null,
        environmentId: null,
        segmentId: null,
        keyPrefix: null,
        response,
      };
      const refusal = await onBehalfOf({ ...context, actor: { type: 'anonymous', id: null } }, async () => {
        for (const one of counted) await limits.admit(...one);
      }).then(
        () => null,
        (error: unknown) => error as LatchkeyError,
      );
      return { headers, refusal };
    };
    return { limits, ask };
  };

  it('is counted by the limit that is given, which may be another from call to call', async () => {
    const { ask } = setUp();
    for (const remaining of [2, 1, 0])
      expect(await ask(['management', 'a', 3])).toMatchObject({ refusal: null, headers: { 'X-RateLimit-Remaining': String(remaining) } });
    const { refusal, headers } = await ask(['management', 'a', 3]);
    expect(refusal).toMatchObject({
      code: 'RATE_LIMITED',
      message: 'More than 3 requests a minute for this API key. Try again in 60 seconds.',
      details: { policy: 'management', limit: 3, retryAfterSeconds: 60 },
    });
    expect(headers).toMatchObject({ 'X-RateLimit-Limit': '3', 'X-RateLimit-Remaining': '0', RateLimit: '"management";r=0;t=60' });
    // The fifth of ten, now that the key may ask more often.
    expect((await ask(['management', 'a', 10])).headers).toMatchObject({ 'X-RateLimit-Limit': '10', 'X-RateLimit-Remaining': '5' });
    expect((await ask(['management', 'b'])).headers).toMatchObject({ 'X-RateLimit-Limit': '120', 'X-RateLimit-Remaining': '119' });
  });

  it.each([
    [
      'auth-failures',
      'More than 1 failed authentications a minute from this address. Right credentials still work. Try again in 60 seconds.',
    ],
    ['validate-unknown', 'More than 1 unknown license keys a minute from this address. Known keys still work. Try again in 60 seconds.'],
    ['validate', 'More than 1 requests a minute for this license and address. Try again in 60 seconds.'],
  ] as const)('tells what there was too much of: %s', async (policy, message) => {
    const { ask } = setUp();
    expect((await ask([policy, 'a', 1])).refusal).toBeNull();
    expect((await ask([policy, 'a', 1])).refusal).toMatchObject({ message });
  });

  it('shows every limit that it was counted by', async () => {
    const { ask } = setUp();
    expect((await ask(['management', 'a'], ['activate', 'a'])).headers).toMatchObject({
      'RateLimit-Policy': '"management";q=120;w=60, "activate";q=10;w=60',
      RateLimit: '"management";r=119;t=60, "activate";r=9;t=60',
      'X-RateLimit-Limit': '10',
    });
  });

  it.each([
    ['by the setting', { LIMIT_PUBLIC_PER_MINUTE: '0' }, undefined],
    ['by the call', {}, 0],
  ])('has no limit and no headers where it is switched off %s', async (_, environment, perMinute) => {
    const { ask } = setUp(environment);
    for (let n = 0; n < 400; n += 1) expect(await ask(['public', 'a', perMinute])).toEqual({ headers: {}, refusal: null });
  });

  it('is what is limited: work of the server’s own is not', async () => {
    const { limits } = setUp();
    for (let n = 0; n < 20; n += 1) await limits.admit('activate', 'a', 1);
  });
});
