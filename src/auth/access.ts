import { applyDecorators, SetMetadata } from '@nestjs/common';
import { ApiExtension, ApiSecurity } from '@nestjs/swagger';
import type { Scope } from '../domain/scopes.js';

/**
 * Who may call a route: one decorator beside the handler. The guard enforces it, the reference shows it, and start-up
 * fails for a route that has none (access.guard.ts).
 */
export type Access =
  | { kind: 'public'; crossOrigin: boolean }
  | { kind: 'platform'; orOpenSignup: boolean }
  | { kind: 'apiKey'; scopes: readonly Scope[]; orLicense: boolean; fullAccess?: true }
  | { kind: 'userKey' }
  | { kind: 'license' };

export const ACCESS = 'latchkey:access';

/** Anyone. `crossOrigin`: also from browsers on any site. */
export const Public = ({ crossOrigin = false } = {}): MethodDecorator => declare({ kind: 'public', crossOrigin });

/** An API key with all of these scopes. */
export const Requires = (...scopes: [Scope, ...Scope[]]): MethodDecorator => declare({ kind: 'apiKey', scopes, orLicense: false });

/** An API key with all of these scopes, for any license; or a license key, for its own. */
export const RequiresOrLicense = (...scopes: [Scope, ...Scope[]]): MethodDecorator => declare({ kind: 'apiKey', scopes, orLicense: true });

/** Any valid API key, whatever its scopes. */
export const AnyApiKey = (): MethodDecorator => declare({ kind: 'apiKey', scopes: [], orLicense: false });

/** An API key without restriction: for what is above every scope. */
export const FullAccessOnly = (): MethodDecorator => declare({ kind: 'apiKey', scopes: [], orLicense: false, fullAccess: true });

/** A user key, for what is about the user and in none of their accounts. */
export const UserKeyOnly = (): MethodDecorator => declare({ kind: 'userKey' });

/** A license key, for its own license. */
export const LicenseOnly = (): MethodDecorator => declare({ kind: 'license' });

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
      return [ApiSecurity('apiKey', scopes), ApiSecurity('apiKeyHeader', scopes), ...license, ApiExtension('x-required-scopes', scopes)];
    }
  }
}
