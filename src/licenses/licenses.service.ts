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
import { explicitTerm, initialTerm, renewedExpiry } from '../domain/expiry.js';
import { generateLicenseKey, hasGeneratedFormat, parseLicenseKey } from '../domain/license-key.js';
import { requireNotRevoked, type StateAction, transition } from '../domain/license-state.js';
import { missingScopes } from '../domain/scopes.js';
import { totalsOfNone } from '../domain/seats.js';
import { entitlementIds, recordAttachments } from '../entitlements/entitlements.query.js';
import type { Policy, Prisma, Product } from '../generated/prisma/client.js';
import {
  type AttachLicenseEntitlementsBody,
  type CreateLicenseBody,
  includeForView,
  type LicenseRow,
  type LicensesQuery,
  type LicenseView,
  ownEntitlements,
  toLicenseColumns,
  toLicenseEntry,
  toLicenseView,
  type UpdateLicenseBody,
} from './licenses.dto.js';
import { loadLicense, lockLicense, statusIs } from './licenses.query.js';

/** What changes a license, as refusals name it, and as the audit log does; attachments have entries of their own. */
const recordedAs = {
  'changing it': 'license.updated',
  suspend: 'license.suspended',
  reinstate: 'license.reinstated',
  ban: 'license.banned',
  unban: 'license.unbanned',
  revoke: 'license.revoked',
  renew: 'license.renewed',
  'check-in': 'license.checked_in',
  'attaching entitlements': null,
  'detaching entitlements': null,
} as const satisfies Record<StateAction, string> & Record<string, string | null>;

@Injectable()
export class LicensesService {
  constructor(
    private readonly database: Database,
    private readonly masterKey: MasterKey,
    private readonly clock: Clock,
    private readonly licenseKeys: LicenseKeys,
  ) {}

  /** 404 naming a reference that is unknown, 409 for a taken key. */
  create(caller: TenantPrincipal, body: CreateLicenseBody): Promise<LicenseView> {
    if (body.key !== undefined && hasGeneratedFormat(body.key)) {
      throw invalid([{ path: 'key', message: 'must not look like a generated key' }]);
    }
    const now = this.clock.now();
    const { tenant } = caller;
    return this.database.within(tenant, async (db) => {
      const product = await countOneMore(db, body.productId);
      const policy = await holdPolicy(db, body.policyId, product.id);
      await requireTestClock(db, body.testClockId);
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
          entitlements: { create: owned.map((entitlementId) => ({ entitlementId })) },
        },
        include: includeForView,
      });
      await recordChange(db, {
        action: 'license.created',
        resource: { type: 'license', id },
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
        (row) => this.view(caller, row, this.clock.now()),
      );
    });
  }

  get(caller: TenantPrincipal, id: string): Promise<LicenseView> {
    return this.database.within(caller.tenant, async (db) => this.view(caller, await loadLicense(db, id), this.clock.now()));
  }

  /** 409 for a revoked license. */
  update(caller: TenantPrincipal, id: string, body: UpdateLicenseBody): Promise<LicenseView> {
    return this.change(caller, id, 'changing it', async (db) => {
      await requireTestClock(db, body.testClockId);
      return { ...toLicenseColumns(body), ...(body.expiresAt === undefined ? {} : explicitTerm(body.expiresAt)) };
    });
  }

  /** Its machines go with it, and its key is unknown from now on. */
  remove(tenant: Tenant, id: string): Promise<void> {
    const deletedAt = this.clock.now();
    return this.database.within(tenant, async (db) => {
      const license = await lockLicense(db, tenant, id);
      await db.machine.updateMany({ where: { licenseId: id, deletedAt: null }, data: { deletedAt } });
      await db.license.update({ where: { id }, data: { deletedAt, ...totalsOfNone } });
      await db.$executeRaw`UPDATE product SET licenses_count = licenses_count - 1 WHERE id = ${license.productId}::uuid`;
      await recordChange(db, {
        action: 'license.deleted',
        resource: { type: 'license', id, segmentId: license.segmentId },
        before: toLicenseEntry(license, tenant.environment, deletedAt),
      });
    });
  }

  /** suspend, reinstate, ban, unban, revoke. 409 naming the state for an illegal one. */
  move(caller: TenantPrincipal, id: string, action: StateAction): Promise<LicenseView> {
    return this.change(caller, id, action, (_, license, now) => transition(license, license.policy, action, now));
  }

  /** 422 NOT_RENEWABLE for a perpetual license, 409 for a revoked one. */
  renew(caller: TenantPrincipal, id: string): Promise<LicenseView> {
    return this.change(caller, id, 'renew', (_, license, now) => renewedExpiry(license, license.policy, now));
  }

  checkIn(caller: TenantPrincipal, id: string): Promise<LicenseView> {
    return this.change(caller, id, 'check-in', (_, _license, now) => ({ lastCheckInAt: now }));
  }

  /** Attaching again sets the expiry and quantity anew. */
  attach(caller: TenantPrincipal, id: string, body: AttachLicenseEntitlementsBody): Promise<LicenseView> {
    const { codes, expiresAt = null, quantity = null } = body;
    return this.change(caller, id, 'attaching entitlements', async (db) => {
      const ids = await entitlementIds(db, codes, 'codes');
      await db.licenseEntitlement.deleteMany({ where: { licenseId: id, entitlementId: { in: ids } } });
      await db.licenseEntitlement.createMany({ data: ids.map((entitlementId) => ({ licenseId: id, entitlementId, expiresAt, quantity })) });
      return {};
    });
  }

  /** Only the license's own: what it inherits stays. */
  async detach(caller: TenantPrincipal, id: string, code: string): Promise<void> {
    await this.change(caller, id, 'detaching entitlements', async (db) => {
      const { count } = await db.licenseEntitlement.deleteMany({ where: { licenseId: id, entitlement: { code } } });
      if (count === 0) throw notFound('entitlement of the license');
      return {};
    });
  }

  /** Hold the license, refuse if it is revoked, let `decide` say what to set, save, record, show. */
  private change(
    caller: TenantPrincipal,
    id: string,
    action: keyof typeof recordedAs,
    decide: (db: Db, license: LicenseRow, now: Date) => Promise<Prisma.LicenseUncheckedUpdateInput> | Prisma.LicenseUncheckedUpdateInput,
  ): Promise<LicenseView> {
    const { tenant } = caller;
    return this.database.within(tenant, async (db) => {
      const license = await lockLicense(db, tenant, id);
      // After the lock: whoever waited for it judges by the time at which it may act.
      const now = this.clock.now();
      requireNotRevoked(license, license.policy, now, action);
      const data = await decide(db, license, now);
      const saved = await db.license.update({ where: { id }, data, include: includeForView });
      const resource = { type: 'license', id, segmentId: license.segmentId };
      const entry = (row: LicenseRow): object => toLicenseEntry(row, tenant.environment, now);
      const recorded = recordedAs[action];
      if (recorded === null) await recordAttachments(db, resource, ownEntitlements(license), ownEntitlements(saved));
      else await recordChange(db, { action: recorded, resource, before: entry(license), after: entry(saved) });
      return this.view(caller, saved, now);
    });
  }

  /** Keys are shown to those who may read licenses, and a license's own to itself. */
  private view({ tenant, ...caller }: TenantPrincipal, row: LicenseRow, now: Date): LicenseView {
    const seesKey = caller.kind === 'license' || missingScopes(caller.scopes, ['licenses:read']).length === 0;
    return toLicenseView(row, tenant.environment, seesKey ? this.masterKey.open(row.keySealed, row.id) : null, now);
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

async function requireTestClock(db: Db, id: string | null | undefined): Promise<void> {
  if (id === undefined || id === null) return;
  if ((await db.testClock.findFirst({ where: { id, deletedAt: null } })) === null) throw notFound('test clock', 'testClockId');
}

function bodyOf(generatedKey: string, masterKey: MasterKey): string {
  const parsed = parseLicenseKey(generatedKey, masterKey.licenseKeyTagSecret);
  if (parsed.origin !== 'generated' || parsed.body === null) throw new Error('a generated key was not recognised as one');
  return parsed.body;
}
