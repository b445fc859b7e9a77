import { Injectable } from '@nestjs/common';
import { v7 as uuidv7 } from 'uuid';
import { LicenseKeys } from '../auth/license-keys.js';
import type { TenantPrincipal } from '../auth/principal.js';
import { recordChange } from '../core/audit.js';
import { Clock } from '../core/clock.js';
import { Database, type Db, type Tenant } from '../core/database.js';
import { MasterKey } from '../core/master-key.js';
import { containsAnyCase, equalsAnyCase } from '../core/like.js';
import { type Page, paginate } from '../core/page.js';
import { ofSegment } from '../core/segment.js';
import { invalid, notFound } from '../domain/errors.js';
import { announcedAlready, explicitTerm, initialTerm } from '../domain/expiry.js';
import { generateLicenseKey, hasGeneratedFormat, parseLicenseKey } from '../domain/license-key.js';
import { totalsOfNone } from '../domain/seats.js';
import { entitlementIds } from '../entitlements/entitlements.query.js';
import type { Policy, Prisma, Product, TestClock } from '../generated/prisma/client.js';
import { ChangeService } from './change.service.js';
import {
  type CreateLicenseBody,
  includeForView,
  type LicensesQuery,
  type LicenseView,
  toLicenseColumns,
  toLicenseEntry,
  toLicenseView,
  type UpdateLicenseBody,
} from './licenses.dto.js';
import { loadLicense, lockLicense, statusIs } from './licenses.query.js';

@Injectable()
export class LicensesService {
  constructor(
    private readonly database: Database,
    private readonly masterKey: MasterKey,
    private readonly clock: Clock,
    private readonly licenseKeys: LicenseKeys,
    private readonly changes: ChangeService,
  ) {}

  /** 404 naming a reference that is unknown, 409 for a taken key. */
  create(caller: TenantPrincipal, body: CreateLicenseBody): Promise<LicenseView> {
    if (body.key !== undefined && hasGeneratedFormat(body.key)) {
      throw invalid([{ path: 'key', message: 'must not look like a generated key' }]);
    }
    const { tenant } = caller;
    return this.database.within(tenant, async (db) => {
      const product = await countOneMore(db, body.productId);
      const policy = await holdPolicy(db, body.policyId, product.id);
      const now = this.clock.now(await findTestClock(db, body.testClockId, tenant.segmentId));
      const owned = await entitlementIds(db, body.entitlements ?? [], 'entitlements');
      const id = uuidv7();
      const row = await db.license.create({
        data: {
          id,
          productId: product.id,
          policyId: policy.id,
          ...this.keyColumns(tenant, id, product, body.key),
          ...toLicenseColumns(body),
          ...initialTerm(body.expiresAt, policy, now),
          createdAt: now,
          updatedAt: now,
          ...announcedAlready(body.expiresAt, now),
          entitlements: { create: owned.map((entitlementId) => ({ entitlementId, createdAt: now })) },
        },
        include: includeForView,
      });
      await recordChange(db, {
        action: 'license.created',
        resource: { type: 'license', id },
        occurredAt: row.testClock?.frozenAt,
        after: toLicenseEntry(row, tenant.environment, now),
      });
      // Whoever makes a license is shown its key.
      return toLicenseView(row, tenant.environment, this.masterKey.open(row.keySealed, id), now);
    });
  }

  list(caller: TenantPrincipal, query: LicensesQuery): Promise<Page<LicenseView>> {
    return this.database.within(caller.tenant, async (db) => {
      const filters = await this.filters(db, caller.tenant, query);
      return paginate(
        query,
        { list: 'licenses', sort: query.sort ?? '-createdAt' },
        (page) => db.license.findMany({ ...page, where: { AND: [filters, page.where] }, include: includeForView }),
        (row) => this.changes.view(caller, row),
      );
    });
  }

  get(caller: TenantPrincipal, id: string): Promise<LicenseView> {
    return this.database.within(caller.tenant, async (db) => this.changes.view(caller, await loadLicense(db, id)));
  }

  /** 409 for a revoked license. */
  update(caller: TenantPrincipal, id: string, body: UpdateLicenseBody): Promise<LicenseView> {
    return this.changes.change(caller, id, 'changing it', async (db, license) => {
      if (body.testClockId !== license.testClockId) await findTestClock(db, body.testClockId, license.segmentId);
      return { columns: { ...toLicenseColumns(body), ...(body.expiresAt === undefined ? {} : explicitTerm(body.expiresAt)) } };
    });
  }

  /** Its machines go with it, and its key is unknown from now on. */
  remove(tenant: Tenant, id: string): Promise<void> {
    return this.database.within(tenant, async (db) => {
      const license = await lockLicense(db, tenant, id);
      const deletedAt = this.clock.now(license.testClock);
      await db.machine.updateMany({ where: { licenseId: id, deletedAt: null }, data: { deletedAt } });
      await db.license.update({ where: { id }, data: { deletedAt, ...totalsOfNone } });
      await db.$executeRaw`UPDATE product SET licenses_count = licenses_count - 1 WHERE id = ${license.productId}::uuid`;
      await recordChange(db, {
        action: 'license.deleted',
        resource: { type: 'license', id, segmentId: license.segmentId },
        occurredAt: license.testClock?.frozenAt,
        before: toLicenseEntry(license, tenant.environment, deletedAt),
      });
    });
  }

  private keyColumns(tenant: Tenant, id: string, product: Product, vendorKey: string | undefined) {
    const key = vendorKey ?? generateLicenseKey(product.keyPrefix, this.masterKey.licenseKeyTagSecret);
    return {
      keyOrigin: vendorKey === undefined ? ('generated' as const) : ('vendor' as const),
      keyDigest:
        vendorKey === undefined
          ? this.masterKey.digestGeneratedKey(bodyOf(key, this.masterKey))
          : this.masterKey.digestVendorKey(tenant.accountId, vendorKey),
      keySealed: this.masterKey.seal(key, id),
      pepperId: this.masterKey.id,
    };
  }

  private async filters(db: Db, tenant: Tenant, query: LicensesQuery): Promise<Prisma.LicenseWhereInput> {
    const all: Prisma.LicenseWhereInput[] = [
      { deletedAt: null, productId: query.productId, policyId: query.policyId, ...ofSegment(tenant) },
    ];
    if (query.status !== undefined) all.push(await statusIs(db, query.status, this.clock.now()));
    if (query.userEmail !== undefined) all.push({ userEmail: equalsAnyCase(query.userEmail) });
    if (query.key !== undefined) {
      const digest = this.licenseKeys.digest(query.key, tenant.accountId);
      all.push(digest === null ? { id: { in: [] } } : { keyDigest: digest });
    }
    if (query.entitlement !== undefined) {
      const attached = { some: { entitlement: { code: query.entitlement } } };
      all.push({ OR: [{ entitlements: attached }, { policy: { entitlements: attached } }] });
    }
    if (query.expiresBefore !== undefined) all.push({ expiresAt: { lt: query.expiresBefore } });
    if (query.expiresAfter !== undefined) all.push({ expiresAt: { gte: query.expiresAfter } });
    if (query.q !== undefined) {
      const contains = containsAnyCase(query.q);
      all.push({ OR: [{ name: contains }, { userName: contains }, { userEmail: contains }] });
    }
    for (const [key, value] of Object.entries(query.metadata ?? {})) all.push(metadataIs(key, value));
    return { AND: all };
  }
}

/** In a query every value is text: `metadata[seats]=5` means the number 5 or the text "5". */
function metadataIs(key: string, text: string): Prisma.LicenseWhereInput {
  const asJson = /^(-?(0|[1-9]\d{0,15})(\.\d{1,15})?|true|false)$/.test(text)
    ? [{ metadata: { path: [key], equals: JSON.parse(text) as number | boolean } }]
    : [];
  return { OR: [{ metadata: { path: [key], equals: text } }, ...asJson] };
}

/** One guarded statement: the product is there, and its deletion will see this license. */
async function countOneMore(db: Db, productId: string): Promise<Product> {
  const counted =
    await db.$executeRaw`UPDATE product SET licenses_count = licenses_count + 1 WHERE id = ${productId}::uuid AND deleted_at IS NULL`;
  if (counted === 0) throw notFound('product', 'productId');
  return db.product.findUniqueOrThrow({ where: { id: productId } });
}

/** A policy of the product, held so that it is not deleted meanwhile. */
async function holdPolicy(db: Db, policyId: string, productId: string): Promise<Policy> {
  const rows = await db.$queryRaw<unknown[]>`SELECT 1 FROM policy WHERE id = ${policyId}::uuid AND deleted_at IS NULL FOR SHARE`;
  const policy = rows.length === 0 ? null : await db.policy.findUnique({ where: { id: policyId } });
  if (policy === null) throw notFound('policy', 'policyId');
  if (policy.productId !== productId) throw invalid([{ path: 'policyId', message: 'must be a policy of the product' }]);
  return policy;
}

/**
 * The clock that a license is to be attached to; null = none is named. Held, so that it is neither turned nor deleted
 * before the license is attached. Whoever turns it acts on the license: they must be of one segment.
 */
async function findTestClock(db: Db, id: string | null | undefined, segmentId: string | null): Promise<TestClock | null> {
  if (id === undefined || id === null) return null;
  const rows = await db.$queryRaw<unknown[]>`SELECT 1 FROM test_clock WHERE id = ${id}::uuid AND deleted_at IS NULL FOR SHARE`;
  const clock = rows.length === 0 ? null : await db.testClock.findUnique({ where: { id } });
  if (clock === null) throw notFound('test clock', 'testClockId');
  if (clock.segmentId !== segmentId) throw invalid([{ path: 'testClockId', message: "must be a clock of the license's segment" }]);
  return clock;
}

function bodyOf(generatedKey: string, masterKey: MasterKey): string {
  const parsed = parseLicenseKey(generatedKey, masterKey.licenseKeyTagSecret);
  if (parsed.origin !== 'generated' || parsed.body === null) throw new Error('a generated key was not recognised as one');
  return parsed.body;
}
