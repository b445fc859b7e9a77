import { Injectable } from '@nestjs/common';
import { Clock } from '../core/clock.js';
import { Database, type Db, type Tenant } from '../core/database.js';
import { containsAnyCase, equalsAnyCase } from '../core/like.js';
import { type Page, paginate } from '../core/page.js';
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
      return toProductView(await db.product.create({ data: { name, code, description, url, keyPrefix, metadata } }), tenant.environment);
    });
  }

  list(tenant: Tenant, query: ProductsQuery): Promise<Page<ProductView>> {
    const where: Prisma.ProductWhereInput = { deletedAt: null };
    if (query.code !== undefined) where.code = equalsAnyCase(query.code);
    if (query.q !== undefined) where.OR = [{ name: containsAnyCase(query.q) }, { code: containsAnyCase(query.q) }];
    return this.database.within(tenant, (db) =>
      paginate(
        query,
        { list: 'products', sort: '-createdAt' },
        (page) => db.product.findMany({ ...page, where: { AND: [where, page.where] } }),
        (row) => toProductView(row, tenant.environment),
      ),
    );
  }

  get(tenant: Tenant, id: string): Promise<ProductView> {
    return this.database.within(tenant, async (db) => toProductView(await load(db, id), tenant.environment));
  }

  update(tenant: Tenant, id: string, body: UpdateProductBody): Promise<ProductView> {
    const { name, code, description, url, keyPrefix, metadata } = body;
    return this.database.within(tenant, async (db) => {
      await load(db, id);
      return toProductView(
        await db.product.update({ where: { id }, data: { name, code, description, url, keyPrefix, metadata } }),
        tenant.environment,
      );
    });
  }

  /** One guarded statement: a license that is being created holds the product's row, and either it or this comes first. */
  remove(tenant: Tenant, id: string): Promise<void> {
    return this.database.within(tenant, async (db) => {
      const { count } = await db.product.updateMany({
        where: { id, deletedAt: null, licensesCount: 0 },
        data: { deletedAt: this.clock.now() },
      });
      if (count === 1) return;
      const { licensesCount } = await load(db, id);
      throw new LatchkeyError('PRODUCT_HAS_LICENSES', 'The product has licenses: delete or transfer them first.', { licensesCount });
    });
  }
}

async function load(db: Db, id: string): Promise<Product> {
  const row = await db.product.findFirst({ where: { id, deletedAt: null } });
  if (row === null) throw notFound('product');
  return row;
}
