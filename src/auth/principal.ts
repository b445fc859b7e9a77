import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { Request } from 'express';
import type { Tenant } from '../core/database.js';
import { currentRequest } from '../core/request-context.js';
import type { AccessClaims } from './access-tokens.js';
import type { UserKeyAccount } from './credentials.query.js';
import type { Grant } from '../domain/grant.js';
import type { MemberRole } from '../domain/roles.js';

/** Who is calling. */
export type Principal = VendorPrincipal | LicensePrincipal | UserKeyPrincipal | PlatformPrincipal | { kind: 'anonymous' };

/** The operator of the installation. */
export interface PlatformPrincipal {
  kind: 'platform';
}

/** Someone who works for the vendor: what management routes take. */
export type VendorPrincipal = ApiKeyPrincipal | UserPrincipal;

export interface ApiKeyPrincipal {
  kind: 'apiKey';
  tenant: Tenant;
  /** Of the key; also behind a token that was made with it. */
  id: string;
  /** What this request may do; empty = full access. A token may have less than its key. */
  scopes: string[];
  /** What it may pass on to other keys. */
  grant: Grant;
  /** Set when the credential is a short-lived token. */
  token: AccessClaims | null;
}

/** A user in one of their accounts. */
export interface UserPrincipal {
  kind: 'user';
  tenant: Tenant;
  /** Of the user. */
  id: string;
  /** Of the user key; also behind a token that was made with it. */
  keyId: string;
  /** Those of the role in this account, or what a token has of them; empty = full access. */
  scopes: string[];
  grant: Grant;
  role: MemberRole;
  token: AccessClaims | null;
}

/** A user in none of their accounts yet: for routes that are about the user. */
export interface UserKeyPrincipal {
  kind: 'userKey';
  /** Of the user. */
  id: string;
  keyId: string;
  /** Those that the key opens, each with its environments. */
  accounts: UserKeyAccount[];
  /** The account where the key was made. */
  homeAccountId: string;
  /** When the key ends; null = never. */
  endsAt: Date | null;
  token: AccessClaims | null;
}

/** A license, with nothing but its own key. */
export interface LicensePrincipal {
  kind: 'license';
  tenant: Tenant;
  licenseId: string;
  /** Of the key that was sent. While it is the license's own, the license is shown with its key. */
  keyDigest: Uint8Array;
}

/** The ones that belong to a tenant: what the guard lets through to routes with scopes or a license mark. */
export type TenantPrincipal = VendorPrincipal | LicensePrincipal;

declare module 'express-serve-static-core' {
  interface Request {
    /** Set by the guard, on every route. */
    principal?: Principal;
  }
}

/** The principal that the route's access rule let through; the handler's parameter type says which kinds those are. */
export const Caller = createParamDecorator(
  (_: unknown, context: ExecutionContext) => context.switchToHttp().getRequest<Request>().principal,
);

/** Address of the client. */
export const ClientIp = createParamDecorator(() => currentRequest()?.ip);
