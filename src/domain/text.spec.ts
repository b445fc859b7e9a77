import { describe, expect, it } from '@jest/globals';
import { textIssues } from './text.js';

const NULL_BYTES = 'must not contain null bytes';
const SURROGATE = 'must be well-formed Unicode (it has an unpaired surrogate)';
const BAD_KEY = 'keys must be well-formed text without null bytes';

/** `levels` objects inside each other, under `outer`. */
const nested = (levels: number): unknown => {
  let value: unknown = 'inmost';
  for (let level = 1; level < levels; level += 1) value = { inner: value };
  return { outer: value };
};

describe('text in a request', () => {
  it.each<[string, unknown]>([
    ['nothing', undefined],
    ['null', null],
    ['a number', 7],
    ['an empty object', {}],
    ['every kind of value', { text: 'x', number: 1, yes: true, none: null, list: ['a', 1, null, { deep: '' }] }],
    ['paired surrogates and line breaks', { text: '🔑\n\t\u{10ffff}' }],
    ['20 levels', nested(20)],
  ])('%s is fine', (_what, value) => {
    expect(textIssues(value)).toEqual([]);
  });

  it.each<[string, unknown, string, string]>([
    ['a null byte', { name: 'a\0b' }, 'name', NULL_BYTES],
    ['a high surrogate alone', { name: 'a\ud83d' }, 'name', SURROGATE],
    ['a low surrogate alone', { name: '\udd11a' }, 'name', SURROGATE],
    ['surrogates the wrong way round', { name: '\udd11\ud83d' }, 'name', SURROGATE],
    ['a null byte deep inside', { components: [{ kind: 'ok' }, { kind: '\0' }] }, 'components[1].kind', NULL_BYTES],
    ['a list of the root', ['ok', '\0'], '[1]', NULL_BYTES],
    ['the root itself', '\0', '', NULL_BYTES],
    // The key is not echoed: it could not be shown.
    ['a null byte in a key', { metadata: { 'a\0': 1 } }, 'metadata', BAD_KEY],
    ['half a surrogate in a key', { metadata: { '\ud83d': 1 } }, 'metadata', BAD_KEY],
    // Only JSON.parse makes a key of its own of this.
    ['a key that would be dropped in silence', JSON.parse('{"metadata":{"__proto__":"x"}}'), 'metadata.__proto__', 'is not a known field'],
    ['a name that every object has', { constructor: 'x' }, 'constructor', 'is not a known field'],
    ['21 levels', nested(21), 'outer', 'must not be nested deeper than 20 levels'],
    ['100,000 levels, without exhausting the stack', nested(100_000), 'outer', 'must not be nested deeper than 20 levels'],
  ])('%s is refused at its path', (_what, value, path, message) => {
    expect(textIssues(value)).toEqual([{ path, message }]);
  });

  it('every issue is listed, by path', () => {
    const issues = textIssues({ metadata: { fine: 'ok', broken: '\ud83d' }, zone: '\0', name: '\0' });
    expect(issues.map(({ path }) => path)).toEqual(['metadata.broken', 'name', 'zone']);
  });
});
