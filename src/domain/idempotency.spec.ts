import { describe, expect, it } from '@jest/globals';
import { LatchkeyError } from './errors.js';
import { isSettled, keptUntil, readIdempotencyKey } from './idempotency.js';

describe('the Idempotency-Key header', () => {
  it.each<[string, string[], string | null]>([
    ['is optional', [], null],
    ['may be any printable text', ['order 17 / try "1"'], 'order 17 / try "1"'],
    ['may be one character', ['x'], 'x'],
    ['may have 255 characters', ['x'.repeat(255)], 'x'.repeat(255)],
    ['may be repeated unchanged', ['a', 'a'], 'a'],
  ])('%s', (_, values, key) => {
    expect(readIdempotencyKey(values)).toBe(key);
  });

  it.each<[string, string[]]>([
    ['empty', ['']],
    ['longer than 255 characters', ['x'.repeat(256)]],
    ['a tab in it', ['a\tb']],
    ['beyond ASCII', ['schlüssel']],
    ['two different ones', ['a', 'b']],
  ])('is refused by its name: %s', (_, values) => {
    const refusal = { code: 'VALIDATION_ERROR', details: { issues: [{ path: 'Idempotency-Key', message: expect.any(String) }] } };
    expect(() => readIdempotencyKey(values)).toThrow(LatchkeyError);
    expect(() => readIdempotencyKey(values)).toThrow(expect.objectContaining(refusal));
  });
});

it.each([
  [200, true],
  [204, true],
  [400, true],
  [409, true],
  [422, true],
  [429, false],
  [500, false],
  [503, false],
])('an answer of status %i settles its request: %s', (status, settled) => {
  expect(isSettled(status)).toBe(settled);
});

it('an answer is kept for a day', () => {
  expect(keptUntil(new Date('2026-01-15T10:30:00.000Z'))).toEqual(new Date('2026-01-16T10:30:00.000Z'));
});
