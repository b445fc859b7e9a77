import { Injectable } from '@nestjs/common';
import { Clock } from '../core/clock.js';
import { Database, type Db, type Tenant } from '../core/database.js';
import { containsAnyCase } from '../core/like.js';
import { type Page, paginate } from '../core/page.js';
import { notFound } from '../domain/errors.js';
import type { Entitlement, Prisma } from '../generated/prisma/client.js';
import {
  type CreateEntitlementBody,
  type EntitlementsQuery,
  type EntitlementView,
  toEntitlementView,
  type UpdateEntitlementBody,
} from './entitlements.dto.js';

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
      return toEntitlementView(await db.entitlement.create({ data: { code, name, description, metadata } }), tenant.environment);
    });
  }

  list(tenant: Tenant, query: EntitlementsQuery): Promise<Page<EntitlementView>> {
    const where: Prisma.EntitlementWhereInput = { deletedAt: null, code: query.code };
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
    return this.database.within(tenant, async (db) => toEntitlementView(await load(db, id), tenant.environment));
  }

  update(tenant: Tenant, id: string, body: UpdateEntitlementBody): Promise<EntitlementView> {
    const { code, name, description, metadata } = body;
    return this.database.within(tenant, async (db) => {
      await load(db, id);
      return toEntitlementView(
        await db.entitlement.update({ where: { id }, data: { code, name, description, metadata } }),
        tenant.environment,
      );
    });
  }

  /** Detached from every policy and license that has it. */
  remove(tenant: Tenant, id: string): Promise<void> {
    return this.database.within(tenant, async (db) => {
      const { count } = await db.entitlement.updateMany({ where: { id, deletedAt: null }, data: { deletedAt: this.clock.now() } });
      if (count === 0) throw notFound('entitlement');
      await db.policyEntitlement.deleteMany({ where: { entitlementId: id } });
      await db.licenseEntitlement.deleteMany({ where: { entitlementId: id } });
    });
  }
}

async function load(db: Db, id: string): Promise<Entitlement> {
  const row = await db.entitlement.findFirst({ where: { id, deletedAt: null } });
  if (row === null) throw notFound('entitlement');
  return row;
}
