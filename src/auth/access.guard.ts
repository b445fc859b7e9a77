import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import type { Request } from 'express';
import { Config } from '../core/config.js';
import { RateLimits } from '../core/rate-limits.js';
import { currentRequest } from '../core/request-context.js';
import { LatchkeyError } from '../domain/errors.js';
import { requestLimitPerMinute } from '../domain/grant.js';
import { ipKey } from '../domain/rate-limit.js';
import { allScopes, isFullAccess, missingScopes, requireScopes } from '../domain/scopes.js';
import { ACCESS, type Access } from './access.js';
import { Authenticator } from './authenticator.js';
import { readCredential, readHints } from './credentials.js';
import type { Principal, VendorPrincipal } from './principal.js';
import { admitScraper } from './scraper.js';

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
    request.principal = await this.authenticator.countingFailures(() => this.letIn(request, access));
    if (this.isLimitedAsPublic(request.principal, access)) await this.rateLimits.admit('public', ipKey(currentRequest()?.ip));
    return true;
  }

  /** Who calls, once it is known that they may, and often enough. */
  private async letIn(request: Request, access: Access): Promise<Principal> {
    if (access.kind === 'public') return { kind: 'anonymous' };
    if (access.kind === 'metrics') return admitScraper(request, this.config.metricsToken);
    const principal = await this.identify(request, access);
    await this.limit(principal);
    if (!this.isOpenSignup(access)) admit(principal, access);
    return principal;
  }

  private isOpenSignup(access: Access): boolean {
    return access.kind === 'platform' && access.orOpenSignup && this.config.openSignup;
  }

  /** Whoever shows no credential can only be told by the address; so can, where anyone may sign up, all but the operator. */
  private isLimitedAsPublic(principal: Principal, access: Access): boolean {
    if (access.kind === 'public') return access.limit !== 'none';
    return this.isOpenSignup(access) && principal.kind !== 'platform';
  }

  private identify(request: Request, access: Access): Promise<Principal> {
    const hints = readHints(request);
    const credential = readCredential(request, { alsoInQuery: access.kind === 'apiKey' && access.orInQuery === true });
    // What is about a user as such asks in none of their accounts.
    return access.kind === 'userKey' ? this.authenticator.identify(credential, hints) : this.authenticator.authenticate(credential, hints);
  }

  /** A vendor's requests count by their key, whatever token stands for it, and also when they are refused. */
  private async limit(principal: Principal): Promise<void> {
    const perMinute = this.config.limitManagementPerMinute;
    if (principal.kind === 'apiKey')
      await this.rateLimits.admit('management', principal.id, requestLimitPerMinute(principal.grant, perMinute));
    if (principal.kind === 'user' || principal.kind === 'userKey') await this.rateLimits.admit('management', principal.keyId, perMinute);
  }
}

/** The access rule beside a handler, or undefined when its author forgot it. */
export function accessOf(handler: object): Access | undefined {
  return Reflect.getMetadata(ACCESS, handler) as Access | undefined;
}

/** @throws 401 without a credential, 403 with one of another kind or with too few scopes */
function admit(principal: Principal, access: Access): void {
  if (access.kind === 'public' || access.kind === 'metrics') return;
  if (principal.kind === 'anonymous') throw new LatchkeyError('AUTH_FAILED', 'A credential is needed.');
  if ((principal.kind === 'apiKey' || principal.kind === 'user') && access.kind === 'apiKey') {
    if (access.fullAccess === true) requireFullAccess(principal);
    requireScopes(principal.scopes, access.scopes);
    return;
  }
  if (principal.kind === 'license' && (access.kind === 'license' || (access.kind === 'apiKey' && access.orLicense))) return;
  if (principal.kind === 'platform' && (access.kind === 'platform' || (access.kind === 'apiKey' && access.orPlatform === true))) return;
  if (principal.kind === 'userKey' && access.kind === 'userKey') return;
  const requiredScopes = access.kind === 'apiKey' ? access.scopes : [];
  throw new LatchkeyError('INSUFFICIENT_SCOPE', `This route takes ${accepted(access)}.`, { requiredScopes });
}

/** What a route takes, in words. */
function accepted(access: Exclude<Access, { kind: 'public' | 'metrics' }>): string {
  if (access.kind !== 'apiKey') return { platform: 'the platform token', license: 'a license key', userKey: 'a user key' }[access.kind];
  const { scopes, fullAccess, orLicense, orPlatform } = access;
  const named = scopes.length === 0 ? '' : ` with the ${scopes.length === 1 ? 'scope' : 'scopes'} ${scopes.join(', ')}`;
  const vendor = `an API key or user key${fullAccess === true ? ' with full access' : named}`;
  return [vendor, ...(orLicense ? ['a license key'] : []), ...(orPlatform === true ? ['the platform token'] : [])].join(', or ');
}

/** What is above every scope is no part of a segment either. */
function requireFullAccess({ scopes, tenant }: VendorPrincipal): void {
  // Every scope by its name is still less.
  if (!isFullAccess(scopes))
    throw new LatchkeyError('INSUFFICIENT_SCOPE', 'This route needs full access: an API key without a list of scopes, or an owner.', {
      requiredScopes: missingScopes(scopes, allScopes),
    });
  if (tenant.segmentId !== null)
    throw new LatchkeyError('INSUFFICIENT_SCOPE', 'A key that sees only what it made may not do this.', { requiredScopes: [] });
}
