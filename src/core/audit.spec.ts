import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { differences } from './audit.js';

describe('the differences that the audit log keeps', () => {
  it.each<[string, object | undefined, object | undefined, object, object]>([
    ['of a change only the changed fields', { name: 'a', code: 'x' }, { name: 'b', code: 'x' }, { name: 'a' }, { name: 'b' }],
    ['of what was created everything, also nulls', undefined, { name: 'a', url: null }, {}, { name: 'a', url: null }],
    ['of what was deleted everything', { name: 'a', url: null }, undefined, { name: 'a', url: null }, {}],
    ['nothing when nothing differs', { a: [1, { b: 2 }] }, { a: [1, { b: 2 }] }, {}, {}],
    ['no order of keys', { metadata: { a: 1, b: 2 } }, { metadata: { b: 2, a: 1 } }, {}, {}],
    ['the order of lists', { scopes: ['a', 'b'] }, { scopes: ['b', 'a'] }, { scopes: ['a', 'b'] }, { scopes: ['b', 'a'] }],
    ['a nested field whole', { metadata: { a: 1, b: 2 } }, { metadata: { a: 1 } }, { metadata: { a: 1, b: 2 } }, { metadata: { a: 1 } }],
    ['null apart from absent', { a: null }, {}, { a: null }, {}],
    ['undefined as absent', { a: undefined, b: 1 }, { b: 1 }, {}, {}],
    ['no time of change', { updatedAt: new Date(0), a: 1 }, { updatedAt: new Date(1), a: 1 }, {}, {}],
    [
      'times as the API answers them',
      { expiresAt: null },
      { expiresAt: new Date(0) },
      { expiresAt: null },
      { expiresAt: '1970-01-01T00:00:00.000Z' },
    ],
    ['equal times as equal', { at: new Date(0) }, { at: new Date(0) }, {}, {}],
    ['large numbers to the digit', { size: 2n ** 63n }, { size: 1n }, { size: '9223372036854775808' }, { size: '1' }],
    ['no secret', { key: 'a', secret: 'b', jwt: 'c', access_token: 'd' }, { key: 'e', secret: 'f', jwt: 'g', accessToken: 'h' }, {}, {}],
    [
      'what only sounds like one',
      { keyPrefix: 'A', maskedKey: 'x' },
      { keyPrefix: 'B', maskedKey: 'x' },
      { keyPrefix: 'A' },
      { keyPrefix: 'B' },
    ],
    [
      'that something changed inside, without the secret',
      { metadata: { secret: 'a', n: 1 } },
      { metadata: { secret: 'b', n: 1 } },
      { metadata: { secret: '[redacted]', n: 1 } },
      { metadata: { secret: '[redacted]', n: 1 } },
    ],
    [
      'no secret in lists',
      {},
      { keys: [{ id: 1, key: 'a' }, [{ jwt: 'b' }]] },
      {},
      { keys: [{ id: 1, key: '[redacted]' }, [{ jwt: '[redacted]' }]] },
    ],
  ])('are %s', (_what, before, after, expectedBefore, expectedAfter) => {
    expect(differences(before, after)).toEqual({ before: expectedBefore, after: expectedAfter });
  });

  it('lead from before to after: what is not in them is the same', () => {
    // Without fields that are called like secrets: of those nothing is kept.
    const plain = fc.letrec<{ value: unknown }>((tie) => ({
      value: fc.oneof(
        { depthSize: 'small' },
        fc.constant(null),
        fc.boolean(),
        fc.integer(),
        fc.string(),
        fc.array(tie('value')),
        fc.dictionary(fc.constantFrom('d', 'e'), tie('value')),
      ),
    })).value;
    const view = fc.dictionary(fc.constantFrom('a', 'b', 'c'), plain);
    fc.assert(
      fc.property(view, view, (before, after) => {
        const json = (value: unknown): Record<string, unknown> => JSON.parse(JSON.stringify(value));
        const changed = differences(before, after);
        const rebuilt = { ...json(before) };
        for (const name of Object.keys(changed.before)) Reflect.deleteProperty(rebuilt, name);
        expect({ ...rebuilt, ...changed.after }).toEqual(json(after));
      }),
    );
  });
});
