import { createPublicKey, sign, verify } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import {
  generateSigningKey,
  privateKeyObject,
  publicHexOf,
  publicJwkOf,
  publicPemOf,
  publishedAheadTo,
  publishedForMs,
  thumbprintOf,
} from './signing-key.js';

const DAY_MS = 86_400_000;

/** The key of RFC 8037, appendix A. */
const X = '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo';
const D = 'nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A';
const publicKey = new Uint8Array(Buffer.from(X, 'base64url'));

describe('a signing key', () => {
  it('is named by its thumbprint: RFC 8037, appendix A.3', () => {
    expect(thumbprintOf(publicKey)).toBe('kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k');
  });

  it('signs as RFC 8037, appendix A.4, does', () => {
    const input = 'eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc';
    expect(sign(null, Buffer.from(input), privateKeyObject(D, publicKey)).toString('base64url')).toBe(
      'hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg',
    );
  });

  it('is the same key in every form', () => {
    const { kid, publicKey: made, privateKey } = generateSigningKey();
    const signature = sign(null, Buffer.from('x'), privateKeyObject(privateKey, made));
    const jwk = publicJwkOf({ kid, publicKey: made });
    expect(kid).toBe(thumbprintOf(made));
    expect(jwk).toEqual({ kty: 'OKP', crv: 'Ed25519', x: Buffer.from(made).toString('base64url'), kid, use: 'sig', alg: 'EdDSA' });
    for (const key of [createPublicKey(publicPemOf(made)), createPublicKey({ key: { ...jwk }, format: 'jwk' })])
      expect(verify(null, Buffer.from('x'), key, signature)).toBe(true);
    expect(publicHexOf(made)).toBe(Buffer.from(jwk.x, 'base64url').toString('hex'));
  });
});

describe('how long a key stays published for a document', () => {
  const now = new Date('2026-06-15T12:00:00.000Z');
  const at = (days: number): Date => new Date(now.getTime() + days * DAY_MS);
  it.each([
    ['until it expires', at(0), at(7), at(7)],
    ['until it expires by a clock that is ahead', at(100), at(107), at(107)],
    ['for as long as it is good for, by a clock that is behind', at(-100), at(-93), at(7)],
  ])('%s', (_what, issuedAt, expiresAt, until) => {
    expect(publishedForMs({ issuedAt, expiresAt }, now)).toBe(until.getTime());
  });

  it('moves ahead in steps of a day, and not past what times can say', () => {
    expect(publishedAheadTo(at(7).getTime())).toEqual(at(8));
    const last = publishedForMs({ issuedAt: now, expiresAt: new Date('9999-12-31T23:00:00.000Z') }, now);
    expect(publishedAheadTo(last).getTime()).toBe(last);
  });
});
