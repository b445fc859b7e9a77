import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { Request } from 'express';
import type { Tenant } from '../core/database.js';

/** Who is calling. */
export type Principal = ApiKeyPrincipal | LicensePrincipal | { kind: 'platform' } | { kind: 'anonymous' };

export interface ApiKeyPrincipal {
  kind: 'apiKey';
  tenant: Tenant;
  id: string;
  /** Empty = full access. */
  scopes: string[];
}

/** A license, with nothing but its own key. */
export interface LicensePrincipal {
  kind: 'license';
  tenant: Tenant;
  licenseId: string;
}

/** The ones that belong to a tenant: what the guard lets through to routes with scopes or a license mark. */
export type TenantPrincipal = ApiKeyPrincipal | LicensePrincipal;

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

/** Address of the client: the socket's, or what a trusted proxy says. An IPv4 address is one, however the socket spells it. */
export const ClientIp = createParamDecorator((_: unknown, context: ExecutionContext) =>
  context
    .switchToHttp()
    .getRequest<Request>()
    .ip?.replace(/^::ffff:(?=\d+\.)/, ''),
);
