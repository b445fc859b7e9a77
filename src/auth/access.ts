import { applyDecorators, SetMetadata } from '@nestjs/common';
import { ApiExtension, ApiSecurity } from '@nestjs/swagger';
import type { Scope } from '../domain/scopes.js';

/**
 * Who may call a route: one decorator beside the handler. The guard enforces it, the reference shows it, and start-up
 * fails for a route that has none (access.guard.ts).
 */
export type Access =
  | { kind: 'public'; crossOrigin: boolean; limit: PublicLimit }
  | { kind: 'platform'; orOpenSignup: boolean }
  | { kind: 'apiKey'; scopes: readonly Scope[]; orLicense: boolean; fullAccess?: true; orPlatform?: true; orInQuery?: true }
  | { kind: 'userKey' }
  | { kind: 'license' }
  | { kind: 'metrics' };

/** Whether a public route counts against its callers' limit for those; `none` for one that limits itself, or must always answer. */
type PublicLimit = 'public' | 'none';

export const ACCESS = 'latchkey:access';

/** Anyone. `crossOrigin`: also from browsers on any site. */
export const Public = ({ crossOrigin = false, limit = 'public' }: { crossOrigin?: boolean; limit?: PublicLimit } = {}): MethodDecorator =>
  declare({ kind: 'public', crossOrigin, limit });

/** An API key with all of these scopes. */
export const Requires = (...scopes: [Scope, ...Scope[]]): MethodDecorator => declare({ kind: 'apiKey', scopes, orLicense: false });

/** An API key with all of these scopes, for any license; or a license key, for its own. */
export const RequiresOrLicense = (...scopes: [Scope, ...Scope[]]): MethodDecorator => declare({ kind: 'apiKey', scopes, orLicense: true });

/** An API key with all of these scopes, for its own environment; or the operator's platform token, for all of them. */
export const RequiresOrPlatform = (...scopes: [Scope, ...Scope[]]): MethodDecorator =>
  declare({ kind: 'apiKey', scopes, orLicense: false, orPlatform: true });

/** An API key with all of these scopes, also as `?api_key=`: for what browsers open without headers of their own, and nothing else. */
export const RequiresAlsoInQuery = (...scopes: [Scope, ...Scope[]]): MethodDecorator =>
  declare({ kind: 'apiKey', scopes, orLicense: false, orInQuery: true });

/** Any valid API key, whatever its scopes. */
export const AnyApiKey = (): MethodDecorator => declare({ kind: 'apiKey', scopes: [], orLicense: false });

/** An API key without restriction: for what is above every scope. */
export const FullAccessOnly = (): MethodDecorator => declare({ kind: 'apiKey', scopes: [], orLicense: false, fullAccess: true });

/** A user key, for what is about the user and in none of their accounts. */
export const UserKeyOnly = (): MethodDecorator => declare({ kind: 'userKey' });

/** A license key, for its own license. */
export const LicenseOnly = (): MethodDecorator => declare({ kind: 'license' });

/** Whoever collects this process's metrics: who has METRICS_TOKEN, or where none is set this machine itself (scraper.ts). */
export const MetricsOnly = (): MethodDecorator => declare({ kind: 'metrics' });

/** The operator's platform token; or anyone where OPEN_SIGNUP is true. */
export const PlatformOrOpenSignup = (): MethodDecorator => declare({ kind: 'platform', orOpenSignup: true });

/** The operator's platform token. */
export const PlatformOnly = (): MethodDecorator => declare({ kind: 'platform', orOpenSignup: false });

/** Whether browsers of any origin may call the route (contract: http.md, "CORS"). */
export function isCrossOrigin(access: Access): boolean {
  return access.kind === 'license' || (access.kind === 'public' && access.crossOrigin) || (access.kind === 'apiKey' && access.orLicense);
}

function declare(access: Access): MethodDecorator {
  return applyDecorators(SetMetadata(ACCESS, access), ...describe(access));
}

function describe(access: Access): MethodDecorator[] {
  switch (access.kind) {
    case 'public':
    case 'metrics':
      return [];
    case 'platform':
      return [ApiSecurity('platform')];
    case 'license':
      return [ApiSecurity('license')];
    case 'userKey':
      return [ApiSecurity('userKey')];
    case 'apiKey': {
      const scopes = [...access.scopes];
      const license = access.orLicense ? [ApiSecurity('license')] : [];
      const inQuery = access.orInQuery === true ? [ApiSecurity('apiKeyQuery', scopes)] : [];
      const platform = access.orPlatform === true ? [ApiSecurity('platform')] : [];
      return [
        ApiSecurity('apiKey', scopes),
        ApiSecurity('apiKeyHeader', scopes),
        ...inQuery,
        ...license,
        ...platform,
        ApiExtension('x-required-scopes', scopes),
      ];
    }
  }
}
