import { describe, expect, it } from '@jest/globals';
import { coversVersion, isVersion, isVersionRange } from './versions.js';

describe('versions', () => {
  it.each<[string, string, boolean]>([
    ['^1.2.0', '1.2.0', true],
    ['^1.2.0', '1.1.9', false],
    ['^1.2.0', '2.0.0', false],
    ['1.x || 3.x', '3.1.4', true],
    ['1.x || 3.x', '2.0.0', false],
    ['*', '0.0.1', true],
    ['*', '1.0.0-alpha', true],
    ['>=1', '2.0.0-beta.1', true],
    ['^1.0.0', '2.0.0-beta.1', false],
    ['>=2.0.0', '2.0.0-beta.1', false],
    ['1.0.0', '1.0.0+build.7', true],
  ])('%s and %s: covered %p', (range, version, covered) => {
    expect(coversVersion(range, version)).toBe(covered);
  });

  it.each<[string, boolean]>([
    ['1.2.3', true],
    ['1.2.3-rc.1+build', true],
    ['1.2', false],
    ['latest', false],
    ['', false],
  ])('%j is a version: %p', (text, valid) => {
    expect(isVersion(text)).toBe(valid);
  });

  it.each<[string, boolean]>([
    ['>=1.0.0 <2.0.0', true],
    ['1.x', true],
    ['not a range', false],
    ['>=one', false],
  ])('%j is a range: %p', (text, valid) => {
    expect(isVersionRange(text)).toBe(valid);
  });
});
