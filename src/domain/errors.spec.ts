import { describe, expect, it } from '@jest/globals';
import { LatchkeyError, errorCodes, invalid, notFound, taken, type ErrorCode } from './errors.js';

describe('an error', () => {
  /** http.md, "Errors": clients switch on the code, and retry by the status. */
  const contract: Record<number, ErrorCode[]> = {
    400: ['VALIDATION_ERROR', 'MALFORMED_JSON', 'INVALID_CURSOR'],
    401: ['AUTH_FAILED', 'API_KEY_EXPIRED', 'API_KEY_REVOKED'],
    403: [
      ...(['INSUFFICIENT_SCOPE', 'LICENSE_SUSPENDED', 'LICENSE_REVOKED', 'LICENSE_EXPIRED', 'LICENSE_BANNED'] as const),
      ...(['ACCOUNT_SUSPENDED', 'AUTHENTICATION_NOT_ALLOWED'] as const),
    ],
    404: ['NOT_FOUND'],
    409: ['CONFLICT'],
    413: ['PAYLOAD_TOO_LARGE'],
    415: ['UNSUPPORTED_MEDIA_TYPE'],
    422: [
      ...(['MACHINE_LIMIT_EXCEEDED', 'CORE_LIMIT_EXCEEDED', 'MEMORY_LIMIT_EXCEEDED', 'DISK_LIMIT_EXCEEDED'] as const),
      ...(['MACHINE_DEAD', 'PRODUCT_HAS_LICENSES', 'NOT_RENEWABLE'] as const),
    ],
    500: ['INTERNAL_ERROR'],
    503: ['UNAVAILABLE'],
  };

  it.each(Object.entries(contract).flatMap(([status, codes]) => codes.map((code) => [code, Number(status)] as const)))(
    '%s answers %d',
    (code, status) => {
      expect(new LatchkeyError(code, 'x').status).toBe(status);
    },
  );

  it('has a title and help of its own for people', () => {
    const texts = Object.values(errorCodes).map(({ title }) => title);
    expect(new Set(texts).size).toBe(texts.length);
    expect(Object.values(errorCodes).filter(({ help }) => help.length < 10)).toEqual([]);
  });

  it('carries its code, message and details', () => {
    expect({ ...taken('slug') }).toEqual({ name: 'LatchkeyError', code: 'CONFLICT', details: { field: 'slug' } });
    expect(taken('slug').message).toBe('This slug is taken.');
    expect(taken('slug')).toBeInstanceOf(Error);
  });
});

describe('not found', () => {
  it('says what, and names the field of the body that referred to it', () => {
    expect(notFound('license')).toMatchObject({ code: 'NOT_FOUND', message: 'No such license.', details: undefined });
    expect(notFound('policy', 'policyId')).toMatchObject({ code: 'NOT_FOUND', details: { field: 'policyId' } });
  });
});

describe('invalid', () => {
  it.each<[string, { path: string; message: string }[], string]>([
    ['one issue', [{ path: 'name', message: 'must be text' }], 'name: must be text'],
    ['an issue of the whole body', [{ path: '', message: 'must be an object' }], 'must be an object'],
    [
      'two',
      [
        { path: 'a', message: 'b' },
        { path: 'c', message: 'd' },
      ],
      'a: b (and 1 more)',
    ],
    ['none', [], 'The request is not valid.'],
  ])('%s: the message tells the first, the details list all', (_what, issues, message) => {
    expect(invalid(issues)).toMatchObject({ code: 'VALIDATION_ERROR', message, details: { issues } });
  });
});
