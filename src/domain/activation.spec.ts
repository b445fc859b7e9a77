import { describe, expect, it } from '@jest/globals';
import { requireMayActivate } from './activation.js';
import type { PolicyAuthentication } from './policy.js';

describe('who may activate machines', () => {
  it.each<[PolicyAuthentication, 'license' | 'apiKey', boolean]>([
    ['LICENSE', 'license', true],
    ['LICENSE', 'apiKey', false],
    ['API_KEY', 'license', false],
    ['API_KEY', 'apiKey', true],
    ['BOTH', 'license', true],
    ['BOTH', 'apiKey', true],
    ['NONE', 'license', false],
    ['NONE', 'apiKey', false],
  ])('under %s, %s: %p', (authentication, credential, may) => {
    const activate = () => {
      requireMayActivate(credential, authentication);
    };
    if (may) expect(activate).not.toThrow();
    else expect(activate).toThrow(expect.objectContaining({ code: 'AUTHENTICATION_NOT_ALLOWED', status: 403 }));
  });
});
