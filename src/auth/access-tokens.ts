import type { KeyObject } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { errors, jwtVerify, type JWTVerifyOptions, SignJWT } from 'jose';
import { LRUCache } from 'lru-cache';
import { v7 as uuidv7 } from 'uuid';
import { MasterKey } from '../core/master-key.js';
import { Metrics } from '../core/metrics.js';
import { LatchkeyError } from '../domain/errors.js';

/**
 * Short-lived tokens (contract: auth.md, "Short-lived tokens"): JWTs (RFC 7519) signed with EdDSA (RFC 8037). `typ` keeps
 * them apart from every other document that Latchkey signs (RFC 8725, section 3.11), `kid` names the key.
 */
const TYPE = 'latchkey-access+jwt';
const ISSUER = 'latchkey';
const AUDIENCE = 'latchkey-api';
const ALGORITHM = 'EdDSA';
const MAX_REMEMBERED = 2_000;

/** What a token says. What its key may do is looked up at every use: a token never outlives a change to it. */
export interface AccessClaims {
  /** Of the token. */
  id: string;
  /** The key that it was made with. */
  key: { kind: 'apiKey' | 'userKey'; id: string };
  /** The one account that a user's token opens; null = all of the user's. An API key has only one. */
  accountId: string | null;
  /** What the token was narrowed to; null = whatever its key may do. */
  scopes: string[] | null;
  expiresAt: Date;
}

/** Beside the registered ones. */
interface OwnClaims {
  api_key?: string;
  user_key?: string;
  oid?: string;
  /** Separated by spaces (RFC 8693, section 4.2). */
  scope?: string;
}

/** A JWT's three parts; keys of ours have no dots. */
const FORM = /^[\w-]+\.[\w-]+\.[\w-]+$/;

@Injectable()
export class AccessTokens {
  /** Signatures that were checked already: the check costs more than all the rest of a request's authentication. */
  private readonly checked = new LRUCache<string, AccessClaims>({ max: MAX_REMEMBERED });

  constructor(
    private readonly masterKey: MasterKey,
    private readonly metrics: Metrics,
  ) {}

  isToken(text: string): boolean {
    return FORM.test(text);
  }

  /** The compact form. `subject` is the account or user that the token speaks for. */
  sign(claims: Omit<AccessClaims, 'id'>, subject: string, now: Date): Promise<string> {
    const { id, privateKey } = this.masterKey.accessTokenKey;
    const { key, accountId, scopes, expiresAt } = claims;
    return new SignJWT({
      [key.kind === 'apiKey' ? 'api_key' : 'user_key']: key.id,
      ...(accountId === null ? {} : { oid: accountId }),
      ...(scopes === null ? {} : { scope: scopes.join(' ') }),
    })
      .setProtectedHeader({ alg: ALGORITHM, typ: TYPE, kid: id })
      .setIssuer(ISSUER)
      .setAudience(AUDIENCE)
      .setSubject(subject)
      .setJti(uuidv7())
      .setIssuedAt(now)
      .setExpirationTime(expiresAt)
      .sign(privateKey);
  }

  /** @throws 401 TOKEN_EXPIRED, or AUTH_FAILED for what is not a token of ours */
  async verify(token: string, now: Date): Promise<AccessClaims> {
    const known = this.checked.get(token);
    this.metrics.cacheRead('access_tokens', known !== undefined);
    const claims = known ?? (await this.check(token, now));
    this.requireLiving(claims, now);
    if (known === undefined) this.checked.set(token, claims);
    return claims;
  }

  /** @throws 401 TOKEN_EXPIRED */
  requireLiving({ expiresAt }: AccessClaims, now: Date): void {
    if (expiresAt <= now) throw expired();
  }

  private async check(token: string, now: Date): Promise<AccessClaims> {
    const options: JWTVerifyOptions = { algorithms: [ALGORITHM], typ: TYPE, issuer: ISSUER, audience: AUDIENCE, currentDate: now };
    // By a server whose master key is another one of those that this one can read, too.
    const verifier = ({ kid }: { kid?: string }): KeyObject => {
      const key = this.masterKey.accessTokenVerifier(kid);
      if (key === null) throw new Error('another key');
      return key;
    };
    try {
      const { payload } = await jwtVerify<OwnClaims>(token, verifier, {
        ...options,
        requiredClaims: ['jti', 'sub', 'exp', 'iat'],
      });
      const { jti = '', exp = 0, api_key: apiKey, user_key: userKey = '', oid = null, scope } = payload;
      return {
        id: jti,
        key: apiKey === undefined ? { kind: 'userKey', id: userKey } : { kind: 'apiKey', id: apiKey },
        accountId: oid,
        scopes: scope?.split(' ') ?? null,
        expiresAt: new Date(exp * 1000),
      };
    } catch (error) {
      throw error instanceof errors.JWTExpired ? expired() : new LatchkeyError('AUTH_FAILED', 'The credential is malformed or unknown.');
    }
  }
}

function expired(): LatchkeyError {
  return new LatchkeyError('TOKEN_EXPIRED', 'The token has expired.');
}
