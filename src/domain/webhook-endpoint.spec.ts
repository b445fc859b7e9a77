import { describe, expect, it } from '@jest/globals';
import { eventTypes } from './events.js';
import {
  healthAfter,
  isRetriedLater,
  MAX_ENDPOINTS,
  MAX_REPLAYED,
  overlappingSecrets,
  replayedTypes,
  requireEnabled,
  requireRange,
  requireReplayable,
  requireRoom,
  webhookStatus,
} from './webhook-endpoint.js';

const now = new Date('2026-01-15T12:00:00Z');
const after = (seconds: number): Date => new Date(now.getTime() + seconds * 1000);

describe('the status of an endpoint', () => {
  it.each([
    [true, null, 'enabled'],
    [true, now, 'failing'],
    [false, null, 'disabled'],
    [false, now, 'disabled'],
  ] as const)('enabled: %s, failing since %s is %s', (isEnabled, failingSince, status) => {
    expect(webhookStatus({ isEnabled, failingSince })).toBe(status);
  });

  it('is in the way of what would send something only when it is disabled', () => {
    expect(() => {
      requireEnabled({ isEnabled: true });
    }).not.toThrow();
    expect(() => {
      requireEnabled({ isEnabled: false });
    }).toThrow(expect.objectContaining({ code: 'CONFLICT', details: { status: 'disabled' } }));
  });
});

describe('what becomes of an endpoint', () => {
  const forgotten = { failingSince: null, consecutiveFailures: 0, restingUntil: null };
  it.each([
    ['nothing is said', true, {}, false, {}],
    ['it is disabled', true, { enabled: false }, false, { isEnabled: false, disabledReason: null, disabledAt: now }],
    ['it is disabled again', false, { enabled: false }, false, {}],
    ['it is enabled', false, { enabled: true }, false, { ...forgotten, isEnabled: true, disabledReason: null, disabledAt: null }],
    ['it is enabled again', true, { enabled: true }, false, { ...forgotten, isEnabled: true, disabledReason: null, disabledAt: null }],
    ['it has another address', true, {}, true, forgotten],
    ['it has another address while it is disabled', false, {}, true, forgotten],
    ['both', true, { enabled: false }, true, { ...forgotten, isEnabled: false, disabledReason: null, disabledAt: now }],
  ])('when %s', (_, isEnabled, change, isOtherUrl, columns) => {
    expect(healthAfter({ isEnabled }, { ...change, isOtherUrl }, now)).toEqual(columns);
  });
});

describe('a secret', () => {
  it.each([
    ['the first', [null], 3600, [3600]],
    ['without an overlap, none', [null, 60], 0, []],
    ['none longer than the overlap', [null, 9000], 3600, [3600, 3600]],
    ['none longer than its own end', [null, 60], 3600, [3600, 60]],
    ['none that has ended', [null, 0, -5], 60, [60]],
  ] as const)('signs on beside the next one: %s', (_, ends, overlap, expected) => {
    const secrets = ends.map((seconds, index) => ({ id: String(index), endsAt: seconds === null ? null : after(seconds) }));
    expect(overlappingSecrets(secrets, overlap, now).map(({ endsAt }) => endsAt)).toEqual(expected.map(after));
  });

  it('is one of five at most; who asks for more is told when there is room', () => {
    const secrets = [null, 500, 100, 400, 300].map((seconds, index) => ({
      id: String(index),
      endsAt: seconds === null ? null : after(seconds),
    }));
    expect(() => overlappingSecrets(secrets, 3600, now)).toThrow(
      expect.objectContaining({ code: 'CONFLICT', details: { status: 'rotating', endsAt: after(100) } }),
    );
    expect(overlappingSecrets(secrets, 3600, after(100))).toHaveLength(4);
    expect(overlappingSecrets(secrets, 0, now)).toEqual([]);
  });
});

describe('a delivery', () => {
  it.each([
    ['failed', -60, true],
    ['succeeded', 60, true],
    ['pending', -60, false],
    ['pending', 30, false],
    ['pending', 31, true],
  ] as const)('that is %s and due in %s s is brought forward: %s', (status, seconds, expected) => {
    expect(isRetriedLater({ status, nextAttemptAt: after(seconds) }, now)).toBe(expected);
  });
});

describe('a replay', () => {
  const highVolume = ['validation.success', 'validation.failed', 'machine.heartbeat'];
  it('is of every type that the patterns name, never of a test', () => {
    expect(replayedTypes(['*'])).toEqual(eventTypes.filter((type) => type !== 'webhook.test' && !highVolume.includes(type)));
    expect(replayedTypes(['validation.*', 'webhook.*', 'machine.heartbeat'])).toEqual([
      'machine.heartbeat',
      'validation.success',
      'validation.failed',
      'webhook.disabled',
    ]);
    expect(() => replayedTypes(['webhook.test'])).toThrow(/^types: /);
  });

  it('ends after it begins', () => {
    expect(() => {
      requireRange({ from: now, to: after(0.001) });
    }).not.toThrow();
    for (const to of [now, after(-1)])
      expect(() => {
        requireRange({ from: now, to });
      }).toThrow(/^to: /);
  });

  it('is of a bounded number of events', () => {
    expect(() => {
      requireReplayable(MAX_REPLAYED);
    }).not.toThrow();
    expect(() => {
      requireReplayable(MAX_REPLAYED + 1);
    }).toThrow(/^to: /);
  });
});

it('has room for a bounded number of endpoints', () => {
  expect(() => {
    requireRoom(MAX_ENDPOINTS - 1);
  }).not.toThrow();
  expect(() => {
    requireRoom(MAX_ENDPOINTS);
  }).toThrow(expect.objectContaining({ code: 'WEBHOOK_LIMIT_EXCEEDED', details: { limit: MAX_ENDPOINTS } }));
});
