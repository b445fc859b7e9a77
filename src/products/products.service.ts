import { Injectable } from '@nestjs/common';
import { recordChange } from '../core/audit.js';
import { Clock } from '../core/clock.js';
import { Database, type Db, type Tenant } from '../core/database.js';
import { containsAnyCase, equalsAnyCase } from '../core/like.js';
import { type Page, paginate } from '../core/page.js';
import { hold, holdToDelete, ofSegment } from '../core/segment.js';
import { LatchkeyError, notFound } from '../domain/errors.js';
import { DEFAULT_KEY_PREFIX } from '../domain/license-key.js';
import type { Prisma, Product } from '../generated/prisma/client.js';
import { type CreateProductBody, type ProductsQuery, type ProductView, toProductView, type UpdateProductBody } from './products.dto.js';

@Injectable()
export class ProductsService {
  constructor(
    private readonly database: Database,
    private readonly clock: Clock,
  ) {}

  /** 409 for a taken code. */
  create(tenant: Tenant, body: CreateProductBody): Promise<ProductView> {
    const { name, code, description, url, keyPrefix = DEFAULT_KEY_PREFIX, metadata } = body;
    return this.database.within(tenant, async (db) => {
      const row = await db.product.create({ data: { name, code, description, url, keyPrefix, metadata } });
      const after = toProductView(row, tenant.environment);
      await recordChange(db, { action: 'product.created', resource: { type: 'product', id: row.id }, after });
      return after;
    });
  }

  list(tenant: Tenant, query: ProductsQuery): Promise<Page<ProductView>> {
    const where: Prisma.ProductWhereInput = { deletedAt: null, ...ofSegment(tenant) };
    if (query.code !== undefined) where.code = equalsAnyCase(query.code);
    if (query.q !== undefined) where.OR = [{ name: containsAnyCase(query.q) }, { code: containsAnyCase(query.q) }];
    return this.database.within(tenant, (db) =>
      paginate(
        query,
        { list: 'products', sort: '-createdAt' },
        async (page) => withCounts(db, tenant, await db.product.findMany({ ...page, where: { AND: [where, page.where] } })),
        (row) => toProductView(row, tenant.environment),
      ),
    );
  }

  get(tenant: Tenant, id: string): Promise<ProductView> {
    return this.database.within(tenant, async (db) => toProductView(await load(db, tenant, id), tenant.environment));
  }

  update(tenant: Tenant, id: string, body: UpdateProductBody): Promise<ProductView> {
    const { name, code, description, url, keyPrefix, metadata } = body;
    return this.database.within(tenant, async (db) => {
      const resource = await hold(db, tenant, 'product', id);
      const { licensesCount, ...before } = await load(db, tenant, id);
      const saved = await db.product.update({ where: { id }, data: { name, code, description, url, keyPrefix, metadata } });
      const view = (row: Product): ProductView => toProductView({ ...row, licensesCount }, tenant.environment);
      const after = view(saved);
      await recordChange(db, { action: 'product.updated', resource, before: view({ ...before, licensesCount }), after });
      return after;
    });
  }

  /** A license that is being created holds the product's row, and either it or this comes first. */
  remove(tenant: Tenant, id: string): Promise<void> {
    return this.database.within(tenant, async (db) => {
      await holdToDelete(db, tenant, 'product', id);
      const [row] = await db.product.updateManyAndReturn({
        where: { id, deletedAt: null, licensesCount: 0, ...ofSegment(tenant) },
        data: { deletedAt: this.clock.now() },
      });
      if (row === undefined) {
        const { licensesCount } = await load(db, tenant, id);
        throw new LatchkeyError('PRODUCT_HAS_LICENSES', 'The product has licenses: delete or transfer them first.', { licensesCount });
      }
      const resource = { type: 'product', id, segmentId: row.segmentId };
      await recordChange(db, { action: 'product.deleted', resource, before: toProductView(row, tenant.environment) });
    });
  }
}

async function load(db: Db, tenant: Tenant, id: string): Promise<Product> {
  const [row] = await withCounts(db, tenant, await db.product.findMany({ where: { id, deletedAt: null, ...ofSegment(tenant) } }));
  if (row === undefined) throw notFound('product');
  return row;
}

/** `licensesCount` counts everyone's; a segment key is told of its own. */
async function withCounts(db: Db, tenant: Tenant, rows: Product[]): Promise<Product[]> {
  if (tenant.segmentId === null || rows.length === 0) return rows;
  const counted = await db.license.groupBy({
    by: ['productId'],
    where: { productId: { in: rows.map(({ id }) => id) }, deletedAt: null, ...ofSegment(tenant) },
    _count: true,
  });
  const counts = new Map(counted.map(({ productId, _count }) => [productId, _count]));
  return rows.map((row) => ({ ...row, licensesCount: counts.get(row.id) ?? 0 }));
}
