import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { canonicalJson } from './canonical-json.js';

describe('the canonical spelling of JSON', () => {
  it.each<[unknown, string]>([
    [null, 'null'],
    [undefined, 'null'],
    [-0, '0'],
    [1e21, '1e+21'],
    ['"\\\n€', '"\\"\\\\\\n€"'],
    [{}, '{}'],
    [{ b: 1, a: [{ d: true, c: null }] }, '{"a":[{"c":null,"d":true}],"b":1}'],
    [{ 10: 1, 9: 2, a: undefined }, '{"10":1,"9":2}'],
    [{ é: 1, z: 2, Z: 3 }, '{"Z":3,"z":2,"é":1}'],
  ])('of %j is %s', (value, text) => {
    expect(canonicalJson(value)).toBe(text);
  });

  it('says the same value, and the same of every order of its keys', () => {
    const reversed = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(reversed);
      if (typeof value !== 'object' || value === null) return value;
      return Object.fromEntries(
        Object.entries(value)
          .reverse()
          .map(([name, item]) => [name, reversed(item)]),
      );
    };
    fc.assert(
      fc.property(fc.json(), (json) => {
        const value: unknown = JSON.parse(json);
        const text = canonicalJson(value);
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
        expect(canonicalJson(reversed(value))).toBe(text);
        expect(canonicalJson(JSON.parse(text))).toBe(text);
      }),
    );
  });

  it.each<[string, string, string]>([
    ['another value', '{"a":1}', '{"a":2}'],
    ['another type', '{"a":1}', '{"a":"1"}'],
    ['another order of a list', '{"a":[1,2]}', '{"a":[2,1]}'],
    ['a field more', '{"a":1}', '{"a":1,"b":null}'],
    ['a field named __proto__', '{}', '{"__proto__":{"a":1}}'],
  ])('tells apart: %s', (_, one, other) => {
    expect(canonicalJson(JSON.parse(one))).not.toBe(canonicalJson(JSON.parse(other)));
  });
});
