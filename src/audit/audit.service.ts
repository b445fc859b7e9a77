import { Injectable } from '@nestjs/common';
import type { PlatformPrincipal, VendorPrincipal } from '../auth/principal.js';
import { AUTH_FAILED_ACTION, AuthFailures } from '../core/auth-failures.js';
import { Database, type Db, type Tenant } from '../core/database.js';
import { type Page, paginate } from '../core/page.js';
import { LatchkeyError, notFound } from '../domain/errors.js';
import type { Prisma } from '../generated/prisma/client.js';
import { checkChain } from './audit-chain.query.js';
import { AuditChainWorker } from './audit-chain.worker.js';
import {
  type AuditChainView,
  type AuditEntryView,
  type AuditQuery,
  type AuthFailuresByCodeView,
  type AuthFailuresByIpView,
  type AuthFailuresByKeyPrefixView,
  type AuthFailuresQuery,
  toAuditChainView,
  toAuditEntryView,
} from './audit.dto.js';

type AuthFailuresView = AuthFailuresByIpView | AuthFailuresByCodeView | AuthFailuresByKeyPrefixView;

const DEFAULT_LIMIT = 25;

@Injectable()
export class AuditService {
  constructor(
    private readonly database: Database,
    private readonly failures: AuthFailures,
    private readonly chain: AuditChainWorker,
  ) {}

  list(tenant: Tenant, query: AuditQuery): Promise<Page<AuditEntryView>> {
    const where = { ...ofSegment(tenant), ...conditionsOf(query) };
    return this.database.within(tenant, (db) =>
      paginate(
        query,
        { list: 'audit-logs', sort: '-createdAt' },
        (page) => db.auditEntry.findMany({ ...page, where: { AND: [where, page.where] } }),
        (row) => toAuditEntryView(row, tenant.environment),
      ),
    );
  }

  get(tenant: Tenant, id: string): Promise<AuditEntryView> {
    return this.database.within(tenant, async (db) => {
      const row = await db.auditEntry.findFirst({ where: { id } });
      if (row === null) throw notFound('entry');
      return toAuditEntryView(row, tenant.environment);
    });
  }

  /** Everything that was committed before is linked first, and so covered. 403 for a key that does not see all of it. */
  async verify(tenant: Tenant): Promise<AuditChainView> {
    if (tenant.segmentId !== null)
      throw new LatchkeyError('INSUFFICIENT_SCOPE', 'A key that sees only what it made cannot verify the whole log.', {
        requiredScopes: [],
      });
    await this.failures.flush();
    await this.chain.seal(tenant.environmentId);
    const { end, broken } = await checkChain(this.database, tenant);
    return toAuditChainView(end, broken);
  }

  /** What the caller has just caused is among them. */
  async authFailures(caller: VendorPrincipal | PlatformPrincipal, query: AuthFailuresQuery): Promise<AuthFailuresView[]> {
    await this.failures.flush();
    if (caller.kind === 'platform')
      return this.database.acrossTenants('count failures of authentication for the operator', (db) => countFailures(db, query, {}));
    const { tenant } = caller;
    return this.database.within(tenant, (db) => countFailures(db, query, ofSegment(tenant)));
  }
}

/** Row security says so too; said here, the index on segments serves. */
function ofSegment({ segmentId }: Tenant): Prisma.AuditEntryWhereInput {
  return segmentId === null ? {} : { segmentId };
}

function conditionsOf({ actor, action, resource, ip, from, to }: AuditQuery): Prisma.AuditEntryWhereInput {
  const [actorType, actorId] = typeAndId(actor);
  const [resourceType, resourceId] = typeAndId(resource);
  return {
    actorType,
    actorId,
    action: action?.endsWith('.*') === true ? beginsWith(action.slice(0, -2)) : action,
    resourceType,
    resourceId,
    ip,
    createdAt: { gte: from, lt: to },
  };
}

/**
 * Everything from `name.` up to what comes next in the order of bytes, which is that of the column. Not LIKE: row security
 * comes before what may leak, so no index would serve it.
 */
function beginsWith(name: string): Prisma.StringFilter {
  return { gte: `${name}.`, lt: `${name}/` };
}

/** `type` or `type:id`. */
function typeAndId(filter: string | undefined): [string?, string?] {
  if (filter === undefined) return [];
  const colon = filter.indexOf(':');
  return colon === -1 ? [filter] : [filter.slice(0, colon), filter.slice(colon + 1)];
}

async function countFailures(
  db: Db,
  { groupBy = 'ip', from, to, limit = DEFAULT_LIMIT }: AuthFailuresQuery,
  where: Prisma.AuditEntryWhereInput,
): Promise<AuthFailuresView[]> {
  const groups = await db.auditEntry.groupBy({
    by: [groupBy],
    where: { ...where, action: AUTH_FAILED_ACTION, createdAt: { gte: from, lt: to } },
    _sum: { count: true },
    _max: { createdAt: true },
    orderBy: [{ _sum: { count: 'desc' } }, { _max: { createdAt: 'desc' } }],
    take: limit,
  });
  return groups.map(
    (group) => ({ [groupBy]: group[groupBy], count: group._sum.count, lastAt: group._max.createdAt }) as unknown as AuthFailuresView,
  );
}
