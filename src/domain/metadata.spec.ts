import { describe, expect, it } from '@jest/globals';
import { metadataProblem } from './metadata.js';

const withKeys = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`key${String(index)}`, index]));
/** As JSON `{"k":"…"}`: eight characters around the text. */
const ofBytes = (count: number, character = 'x') => ({ k: character.repeat((count - 8) / Buffer.byteLength(character)) });

describe('metadata', () => {
  it.each<[string, unknown]>([
    ['nothing', {}],
    ['text, numbers, booleans and null', { text: '', number: -1.5, yes: true, no: false, none: null }],
    ['50 keys', withKeys(50)],
    ['a key of 64 characters', { ['k'.repeat(64)]: 1 }],
    ['16 KiB', ofBytes(16 * 1024)],
  ])('%s is allowed', (_what, value) => {
    expect(metadataProblem(value)).toBeNull();
  });

  it.each<[string, unknown, string]>([
    ['null', null, 'must be an object'],
    ['a list', [], 'must be an object'],
    ['text', 'text', 'must be an object'],
    ['absent', undefined, 'must be an object'],
    ['51 keys', withKeys(51), 'must have at most 50 keys'],
    ['a key of 65 characters', { ['k'.repeat(65)]: 1 }, 'keys must have 1 to 64 characters'],
    ['an empty key', { '': 1 }, 'keys must have 1 to 64 characters'],
    ['a list inside', { tags: [] }, 'values must be strings, numbers, booleans or null (tags is not)'],
    ['an object inside', { owner: {} }, 'values must be strings, numbers, booleans or null (owner is not)'],
    ['an object under __proto__', JSON.parse('{"__proto__":{}}'), 'values must be strings, numbers, booleans or null (__proto__ is not)'],
    ['a number too large to keep', JSON.parse('{"n":-1e999}'), 'numbers must be finite (n is not)'],
    ['a byte over 16 KiB', ofBytes(16 * 1024 + 1), 'must be at most 16 KiB as JSON'],
    ['few characters of many bytes', { k: '€'.repeat(6000) }, 'must be at most 16 KiB as JSON'],
  ])('%s is refused', (_what, value, problem) => {
    expect(metadataProblem(value)).toBe(problem);
  });
});
