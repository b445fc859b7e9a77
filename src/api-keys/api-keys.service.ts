import { HttpStatus, Injectable } from '@nestjs/common';
import { CredentialCache } from '../auth/credential-cache.js';
import type { VendorPrincipal } from '../auth/principal.js';
import { Answer } from '../core/answer.interceptor.js';
import { type Change, recordChange } from '../core/audit.js';
import { Clock } from '../core/clock.js';
import { Config } from '../core/config.js';
import { Database, type Db, type Tenant } from '../core/database.js';
import { MasterKey } from '../core/master-key.js';
import { type Page, type PageQuery, paginate } from '../core/page.js';
import { apiKeyStatus } from '../domain/api-key.js';
import { type Issue, invalid, LatchkeyError } from '../domain/errors.js';
import { flairsOf, withFlair } from '../domain/flairs.js';
import { type Grant, grantOf, inheritedGrant, isUnrestricted, requireGrantable, SEGMENT } from '../domain/grant.js';
import { requireGrantableScopes, scopePresets } from '../domain/scopes.js';
import type { ApiKey, Prisma } from '../generated/prisma/client.js';
import {
  type ApiKeyView,
  type CreateApiKeyBody,
  type CreatedApiKeyView,
  MAX_NAME_LENGTH,
  newApiKey,
  type RotateApiKeyBody,
  toApiKeyChanges,
  toApiKeyView,
  toCreatedApiKeyView,
  toRanges,
  type UpdateApiKeyBody,
} from './api-keys.dto.js';
import { holdApiKey, loadApiKey } from './api-keys.query.js';

@Injectable()
export class ApiKeysService {
  constructor(
    private readonly database: Database,
    private readonly masterKey: MasterKey,
    private readonly clock: Clock,
    private readonly config: Config,
    private readonly credentials: CredentialCache,
  ) {}

  /** 403 for whatever the caller lacks itself, or for another environment without full access. */
  async create(caller: VendorPrincipal, body: CreateApiKeyBody): Promise<CreatedApiKeyView> {
    const issues = creationIssues(body);
    if (issues.length > 0) throw invalid(issues);
    const holder = holderOf(caller);
    const name = holder.flairs.includes(SEGMENT) ? withFlair(body.name, SEGMENT, MAX_NAME_LENGTH) : body.name;
    const scopes = body.scopes ?? [...scopePresets[body.preset ?? 'full']];
    const allowedIps = body.allowedIps === undefined ? undefined : toRanges(body.allowedIps);
    const { rateLimitPerMinute, expiresAt, kind, serviceName, metadata } = body;
    const grant = inheritedGrant(holder, { name, scopes, rateLimitPerMinute, allowedIps, expiresAt });
    this.requireGrantable(holder, grant);
    const tenant = await this.tenantOf(caller, body);
    const limits = { allowedIps: [...grant.allowedIps], rateLimitPerMinute: grant.rateLimitPerMinute, expiresAt: grant.endsAt };
    return this.database.within(tenant, (db) => this.insert(db, tenant, { name, scopes, ...limits, kind, serviceName, metadata }));
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

  get(caller: VendorPrincipal, id: string): Promise<ApiKeyView> {
    return this.database.within(reachOf(caller, id), async (db) => this.view(await loadApiKey(db, id), caller.tenant));
  }

  /** 403 when the key has, or would get, what the caller lacks; 409 for a revoked key. */
  async update(caller: VendorPrincipal, id: string, body: UpdateApiKeyBody): Promise<ApiKeyView> {
    const changes = toApiKeyChanges(body);
    const view = await this.database.within(reachOf(caller, id), async (db) => {
      const old = await holdApiKey(db, id);
      const holder = holderOf(caller);
      // Also what the key holds already: to prolong a stronger key is to grant what it may do.
      this.requireGrantable(holder, grantOf(old));
      this.requireGrantable(holder, grantOf({ ...old, ...changes }));
      if (old.revokedAt !== null) throw new LatchkeyError('CONFLICT', 'The API key is revoked.', { status: 'revoked' });
      if (isSegment(old.name) !== isSegment(changes.name ?? old.name))
        throw invalid([{ path: 'name', message: 'cannot give or take the flair segment: it says which resources are the key’s' }]);
      return this.change(db, caller.tenant, old, changes, 'api_key.updated');
    });
    this.credentials.clear();
    return view;
  }

  /** At once and for good; revoking twice is no error. 403 for a key with scopes that the caller lacks: nobody locks out who may do more. */
  async revoke(caller: VendorPrincipal, id: string): Promise<void> {
    await this.database.within(reachOf(caller, id), async (db) => {
      const old = await holdApiKey(db, id);
      requireGrantableScopes(caller.scopes, old.scopes);
      if (old.revokedAt === null) await this.change(db, caller.tenant, old, { revokedAt: this.clock.now() }, 'api_key.revoked');
    });
    this.credentials.clear();
  }

  /**
   * A successor with the same grants, and an end to the old key. 403 when it holds what the caller lacks; 409 for a key
   * that is over, or was rotated before: of many at once, one gets the successor.
   */
  async rotate(caller: VendorPrincipal, id: string, { overlapSeconds }: RotateApiKeyBody): Promise<Answer<CreatedApiKeyView>> {
    const successor = await this.database.within(reachOf(caller, id), async (db) => {
      const old = await holdApiKey(db, id);
      this.requireGrantable(holderOf(caller), grantOf(old));
      const now = this.clock.now();
      const status = apiKeyStatus(old, now);
      if (status !== 'active') throw new LatchkeyError('CONFLICT', `The API key is ${status}.`, { status });
      const { name, scopes, allowedIps, rateLimitPerMinute, expiresAt, kind, serviceName, segmentId, lineageId } = old;
      const same = { name, scopes, allowedIps, rateLimitPerMinute, expiresAt, kind, serviceName, segmentId };
      const made = await this.insert(db, caller.tenant, { ...same, metadata: old.metadata as object }, lineageId);
      const overlapEnd = new Date(now.getTime() + overlapSeconds * 1000);
      const retiresAt = expiresAt !== null && expiresAt < overlapEnd ? expiresAt : overlapEnd;
      await this.change(db, caller.tenant, old, { retiresAt, successorId: made.id }, 'api_key.rotated');
      return made;
    });
    this.credentials.clear();
    return new Answer(HttpStatus.CREATED, successor, `/api/v1/api-keys/${successor.id}`);
  }

  /** A new key in the tenant of the work, with its entry in the log. `lineageId`: of the key that it succeeds. */
  private async insert(
    db: Db,
    { environment }: Tenant,
    fields: Omit<Prisma.ApiKeyUncheckedCreateInput, keyof ReturnType<typeof newApiKey>['columns']>,
    lineageId?: string,
  ): Promise<CreatedApiKeyView> {
    const { key, columns } = newApiKey(environment, this.masterKey, lineageId);
    const row = await db.apiKey.create({ data: { ...fields, ...columns } });
    const view = toCreatedApiKeyView(row, key, environment, this.clock.now());
    await recordChange(db, { action: 'api_key.created', resource: resourceOf(row), after: view });
    return view;
  }

  private async change(db: Db, tenant: Tenant, old: ApiKey, data: Prisma.ApiKeyUncheckedUpdateInput, action: string): Promise<ApiKeyView> {
    const before = this.view(old, tenant);
    const after = this.view(await db.apiKey.update({ where: { id: old.id }, data }), tenant);
    await recordChange(db, { action, resource: resourceOf(old), before, after });
    return after;
  }

  private view(row: ApiKey, { environment }: Tenant): ApiKeyView {
    return toApiKeyView(row, environment, this.clock.now());
  }

  private requireGrantable(holder: Grant, wanted: Grant): void {
    requireGrantable(holder, wanted, this.config.limitManagementPerMinute);
  }

  private tenantOf(caller: VendorPrincipal, { environment }: CreateApiKeyBody): Promise<Tenant> | Tenant {
    const { tenant } = caller;
    if (environment === undefined || environment === tenant.environment) return tenant;
    if (!isUnrestricted(holderOf(caller))) {
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

/** As the log names it: what others do to a key that a segment made is in that segment's log too. */
function resourceOf({ id, segmentId }: ApiKey): Change['resource'] {
  return { type: 'api_key', id, segmentId };
}

/** What the caller may pass on: never more than this request may do, also where its credential could do more. */
function holderOf({ grant, scopes }: VendorPrincipal): Grant {
  return { ...grant, scopes };
}

/** Where the caller finds this key. A key with the flair `segment` sees those that it made, and itself, whoever made it. */
function reachOf({ kind, id: callerId, tenant }: VendorPrincipal, id: string): Tenant {
  return kind === 'apiKey' && callerId === id ? { ...tenant, segmentId: null } : tenant;
}

function isSegment(name: string): boolean {
  return flairsOf(name).includes(SEGMENT);
}

function creationIssues({ scopes, preset, kind, serviceName }: CreateApiKeyBody): Issue[] {
  const isService = kind === 'service';
  const issues: Issue[] = [];
  if (scopes !== undefined && preset !== undefined) issues.push({ path: 'preset', message: 'cannot be combined with scopes' });
  if (isService && (serviceName ?? null) === null) issues.push({ path: 'serviceName', message: 'is required with kind service' });
  if (!isService && (serviceName ?? null) !== null) issues.push({ path: 'serviceName', message: 'is only for kind service' });
  return issues;
}
