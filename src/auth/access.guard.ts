import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import type { Request } from 'express';
import { Config } from '../core/config.js';
import { LatchkeyError } from '../domain/errors.js';
import { allScopes, insufficientScope, isFullAccess, missingScopes, requireScopes } from '../domain/scopes.js';
import { ACCESS, type Access } from './access.js';
import { Authenticator } from './authenticator.js';
import { readCredential } from './credentials.js';
import type { Principal, VendorPrincipal } from './principal.js';

/** The one guard: who is calling, and may they call this. */
@Injectable()
export class AccessGuard implements CanActivate {
  constructor(
    private readonly authenticator: Authenticator,
    private readonly config: Config,
  ) {}

  async canActivate(context: ExecutionContext): Promise<true> {
    const access = accessOf(context.getHandler());
    if (access === undefined) throw new Error(`${context.getClass().name}.${context.getHandler().name} declares no access`);
    const request = context.switchToHttp().getRequest<Request>();
    request.principal = access.kind === 'public' ? { kind: 'anonymous' } : await this.identify(request, access);
    if (access.kind !== 'platform' || !(access.orOpenSignup && this.config.openSignup)) admit(request.principal, access);
    return true;
  }

  private identify(request: Request, access: Access): Promise<Principal> {
    const hints = { account: textOf(request.headers['x-account-id']), environment: textOf(request.headers['x-environment']) };
    const credential = readCredential(request);
    // What is about a user as such asks in none of their accounts.
    return access.kind === 'userKey' ? this.authenticator.identify(credential, hints) : this.authenticator.authenticate(credential, hints);
  }
}

/** The access rule beside a handler, or undefined when its author forgot it. */
export function accessOf(handler: object): Access | undefined {
  return Reflect.getMetadata(ACCESS, handler) as Access | undefined;
}

/** @throws 401 without a credential, 403 with one of another kind or with too few scopes */
function admit(principal: Principal, access: Access): void {
  if (access.kind === 'public') return;
  if (principal.kind === 'anonymous') throw new LatchkeyError('AUTH_FAILED', 'A credential is needed.');
  if ((principal.kind === 'apiKey' || principal.kind === 'user') && access.kind === 'apiKey') {
    if (access.fullAccess === true) requireFullAccess(principal);
    requireScopes(principal.scopes, access.scopes);
    return;
  }
  if (principal.kind === 'license' && (access.kind === 'license' || (access.kind === 'apiKey' && access.orLicense))) return;
  if (principal.kind === 'platform' && access.kind === 'platform') return;
  if (principal.kind === 'userKey' && access.kind === 'userKey') return;
  throw access.kind === 'apiKey' && access.scopes.length > 0
    ? insufficientScope(access.scopes)
    : new LatchkeyError('INSUFFICIENT_SCOPE', 'This route takes another kind of credential.', { requiredScopes: [] });
}

/** What is above every scope is no part of a segment either. */
function requireFullAccess({ scopes, tenant }: VendorPrincipal): void {
  if (!isFullAccess(scopes)) throw insufficientScope(missingScopes(scopes, allScopes));
  if (tenant.segmentId !== null)
    throw new LatchkeyError('INSUFFICIENT_SCOPE', 'A key that sees only what it made may not do this.', { requiredScopes: [] });
}

function textOf(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' ? header.trim() : undefined;
}
