import { Injectable } from '@nestjs/common';
import { recordChange } from '../core/audit.js';
import { Clock } from '../core/clock.js';
import { Database, type Db, type Tenant } from '../core/database.js';
import { containsAnyCase } from '../core/like.js';
import { type Page, paginate } from '../core/page.js';
import { acrossSegments, hold, holdToDelete, ofSegment } from '../core/segment.js';
import { notFound } from '../domain/errors.js';
import type { Entitlement, Prisma } from '../generated/prisma/client.js';
import {
  type CreateEntitlementBody,
  type EntitlementsQuery,
  type EntitlementView,
  toEntitlementView,
  type UpdateEntitlementBody,
} from './entitlements.dto.js';
import { detachEverywhere, holdHolders } from './holders.query.js';

@Injectable()
export class EntitlementsService {
  constructor(
    private readonly database: Database,
    private readonly clock: Clock,
  ) {}

  /** 409 for a taken code. */
  create(tenant: Tenant, body: CreateEntitlementBody): Promise<EntitlementView> {
    const { code, name, description, metadata } = body;
    return this.database.within(tenant, async (db) => {
      const row = await db.entitlement.create({ data: { code, name, description, metadata } });
      const after = toEntitlementView(row, tenant.environment);
      await recordChange(db, { action: 'entitlement.created', resource: { type: 'entitlement', id: row.id }, after });
      return after;
    });
  }

  list(tenant: Tenant, query: EntitlementsQuery): Promise<Page<EntitlementView>> {
    const where: Prisma.EntitlementWhereInput = { deletedAt: null, code: query.code, ...ofSegment(tenant) };
    if (query.q !== undefined) where.OR = [{ name: containsAnyCase(query.q) }, { code: containsAnyCase(query.q) }];
    return this.database.within(tenant, (db) =>
      paginate(
        query,
        { list: 'entitlements', sort: '-createdAt' },
        (page) => db.entitlement.findMany({ ...page, where: { AND: [where, page.where] } }),
        (row) => toEntitlementView(row, tenant.environment),
      ),
    );
  }

  get(tenant: Tenant, id: string): Promise<EntitlementView> {
    return this.database.within(tenant, async (db) => toEntitlementView(await load(db, tenant, id), tenant.environment));
  }

  update(tenant: Tenant, id: string, body: UpdateEntitlementBody): Promise<EntitlementView> {
    const { code, name, description, metadata } = body;
    return this.database.within(tenant, async (db) => {
      const resource = await hold(db, tenant, 'entitlement', id);
      const before = toEntitlementView(await load(db, tenant, id), tenant.environment);
      const saved = await db.entitlement.update({ where: { id }, data: { code, name, description, metadata } });
      const after = toEntitlementView(saved, tenant.environment);
      await recordChange(db, { action: 'entitlement.updated', resource, before, after });
      return after;
    });
  }

  /** Detached from every policy and license that has it, whoever made those; each of them is told. */
  remove(tenant: Tenant, id: string): Promise<void> {
    return this.database.within(tenant, async (db) => {
      await load(db, tenant, id);
      await acrossSegments(db, tenant, 'the licenses and policies that lose an entitlement', () => holdHolders(db, id, 'wait'));
      const resource = await holdToDelete(db, tenant, 'entitlement', id);
      const deletedAt = this.clock.now();
      const row = await db.entitlement.update({ where: { id }, data: { deletedAt } });
      await acrossSegments(db, tenant, 'the licenses and policies that lose an entitlement', async () => {
        await holdHolders(db, id, 'skip');
        await detachEverywhere(db, tenant, row, deletedAt);
      });
      await recordChange(db, { action: 'entitlement.deleted', resource, before: toEntitlementView(row, tenant.environment) });
    });
  }
}

async function load(db: Db, tenant: Tenant, id: string): Promise<Entitlement> {
  const row = await db.entitlement.findFirst({ where: { id, deletedAt: null, ...ofSegment(tenant) } });
  if (row === null) throw notFound('entitlement');
  return row;
}
