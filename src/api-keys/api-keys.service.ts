import { Injectable } from '@nestjs/common';
import type { VendorPrincipal } from '../auth/principal.js';
import { Clock } from '../core/clock.js';
import { Database, type Db, type Tenant } from '../core/database.js';
import { MasterKey } from '../core/master-key.js';
import { type Page, type PageQuery, paginate } from '../core/page.js';
import { invalid, LatchkeyError, notFound } from '../domain/errors.js';
import { isFullAccess, requireGrantableScopes, scopePresets } from '../domain/scopes.js';
import type { ApiKey } from '../generated/prisma/client.js';
import {
  type ApiKeyView,
  type CreateApiKeyBody,
  type CreatedApiKeyView,
  type CurrentApiKeyView,
  newApiKey,
  toApiKeyView,
  toCreatedApiKeyView,
  toCurrentApiKeyView,
  type UpdateApiKeyBody,
} from './api-keys.dto.js';

@Injectable()
export class ApiKeysService {
  constructor(
    private readonly database: Database,
    private readonly masterKey: MasterKey,
    private readonly clock: Clock,
  ) {}

  /** 403 for a scope that the caller lacks, or another environment without full access. */
  async create(caller: VendorPrincipal, body: CreateApiKeyBody): Promise<CreatedApiKeyView> {
    if (body.scopes !== undefined && body.preset !== undefined)
      throw invalid([{ path: 'preset', message: 'cannot be combined with scopes' }]);
    const scopes = body.scopes ?? [...scopePresets[body.preset ?? 'full']];
    requireGrantableScopes(caller.scopes, scopes);
    const tenant = await this.tenantOf(caller, body);
    const { key, columns } = newApiKey(tenant.environment, this.masterKey);
    return this.database.within(tenant, async (db) => {
      const row = await db.apiKey.create({
        data: { ...columns, name: body.name, scopes, expiresAt: body.expiresAt, metadata: body.metadata },
      });
      return toCreatedApiKeyView(row, key, tenant.environment, this.clock.now());
    });
  }

  list(tenant: Tenant, query: PageQuery): Promise<Page<ApiKeyView>> {
    const now = this.clock.now();
    return this.database.within(tenant, (db) =>
      paginate(
        query,
        { list: 'api-keys', sort: '-createdAt' },
        (page) => db.apiKey.findMany(page),
        (row) => toApiKeyView(row, tenant.environment, now),
      ),
    );
  }

  get(tenant: Tenant, id: string): Promise<ApiKeyView> {
    return this.database.within(tenant, async (db) => toApiKeyView(await load(db, id), tenant.environment, this.clock.now()));
  }

  current(caller: VendorPrincipal): Promise<CurrentApiKeyView> {
    const { tenant, id } = caller;
    return this.database.within(tenant, async (db) => {
      const account = await db.account.findUniqueOrThrow({ where: { id: tenant.accountId } });
      return toCurrentApiKeyView(await load(db, id), account, tenant.environment, this.clock.now());
    });
  }

  /** 403 when the key has, or would get, a scope that the caller lacks; 409 for a revoked key. */
  update(caller: VendorPrincipal, id: string, body: UpdateApiKeyBody): Promise<ApiKeyView> {
    const { name, scopes, expiresAt, metadata } = body;
    if (scopes !== undefined) requireGrantableScopes(caller.scopes, scopes);
    return this.database.within(caller.tenant, async (db) => {
      const current = await load(db, id);
      // Also what the key holds already: to prolong a stronger key is to grant what it may do.
      requireGrantableScopes(caller.scopes, current.scopes);
      if (current.revokedAt !== null) throw new LatchkeyError('CONFLICT', 'The API key is revoked.', { status: 'revoked' });
      const row = await db.apiKey.update({ where: { id }, data: { name, scopes, expiresAt, metadata } });
      return toApiKeyView(row, caller.tenant.environment, this.clock.now());
    });
  }

  /** At once and for good; revoking twice is no error. */
  revoke(tenant: Tenant, id: string): Promise<void> {
    return this.database.within(tenant, async (db) => {
      const { revokedAt } = await load(db, id);
      if (revokedAt === null) await db.apiKey.update({ where: { id }, data: { revokedAt: this.clock.now() } });
    });
  }

  private tenantOf(caller: VendorPrincipal, { environment }: CreateApiKeyBody): Promise<Tenant> | Tenant {
    const { tenant } = caller;
    if (environment === undefined || environment === tenant.environment) return tenant;
    if (!isFullAccess(caller.scopes)) {
      throw new LatchkeyError('INSUFFICIENT_SCOPE', 'A key for the other environment needs a full-access key.', { requiredScopes: [] });
    }
    return this.database.within(tenant, async (db) => {
      const other = await db.environment.findUniqueOrThrow({
        where: { accountId_name: { accountId: tenant.accountId, name: environment } },
      });
      return { ...tenant, environmentId: other.id, environment };
    });
  }
}

async function load(db: Db, id: string): Promise<ApiKey> {
  const row = await db.apiKey.findUnique({ where: { id } });
  if (row === null) throw notFound('API key');
  return row;
}
