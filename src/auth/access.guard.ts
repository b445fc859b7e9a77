import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import type { Request } from 'express';
import { Config } from '../core/config.js';
import { RateLimits } from '../core/rate-limits.js';
import { LatchkeyError } from '../domain/errors.js';
import { ipKey } from '../domain/rate-limit.js';
import { allScopes, insufficientScope, isFullAccess, missingScopes, requireScopes } from '../domain/scopes.js';
import { ACCESS, type Access } from './access.js';
import { Authenticator } from './authenticator.js';
import { readCredential } from './credentials.js';
import type { Principal } from './principal.js';

/** The one guard: who is calling, and may they call this. */
@Injectable()
export class AccessGuard implements CanActivate {
  constructor(
    private readonly authenticator: Authenticator,
    private readonly config: Config,
    private readonly rateLimits: RateLimits,
  ) {}

  async canActivate(context: ExecutionContext): Promise<true> {
    const access = accessOf(context.getHandler());
    if (access === undefined) throw new Error(`${context.getClass().name}.${context.getHandler().name} declares no access`);
    const request = context.switchToHttp().getRequest<Request>();
    request.principal = access.kind === 'public' ? { kind: 'anonymous' } : await this.identify(request);
    if (access.kind !== 'platform' || !(access.orOpenSignup && this.config.openSignup)) admit(request.principal, access);
    if (isLimitedAsPublic(request.principal, access)) await this.rateLimits.admit('public', ipKey(request.ip));
    return true;
  }

  private identify(request: Request): Promise<Principal> {
    const accountHint = request.headers['x-account-id'];
    return this.authenticator.authenticate(readCredential(request), typeof accountHint === 'string' ? accountHint.trim() : undefined);
  }
}

/** The access rule beside a handler, or undefined when its author forgot it. */
export function accessOf(handler: object): Access | undefined {
  return Reflect.getMetadata(ACCESS, handler) as Access | undefined;
}

/** Also where anyone may sign up: whoever shows no credential can only be told by the address. */
function isLimitedAsPublic(principal: Principal, access: Access): boolean {
  return principal.kind === 'anonymous' && !(access.kind === 'public' && access.limit === 'none');
}

/** @throws 401 without a credential, 403 with one of another kind or with too few scopes */
function admit(principal: Principal, access: Access): void {
  if (access.kind === 'public') return;
  if (principal.kind === 'anonymous') throw new LatchkeyError('AUTH_FAILED', 'A credential is needed.');
  if ((principal.kind === 'apiKey' || principal.kind === 'user') && access.kind === 'apiKey') {
    if (access.fullAccess === true && !isFullAccess(principal.scopes)) throw insufficientScope(missingScopes(principal.scopes, allScopes));
    requireScopes(principal.scopes, access.scopes);
    return;
  }
  if (principal.kind === 'license' && (access.kind === 'license' || (access.kind === 'apiKey' && access.orLicense))) return;
  if (principal.kind === 'platform' && access.kind === 'platform') return;
  throw access.kind === 'apiKey' && access.scopes.length > 0
    ? insufficientScope(access.scopes)
    : new LatchkeyError('INSUFFICIENT_SCOPE', 'This route takes another kind of credential.', { requiredScopes: [] });
}
