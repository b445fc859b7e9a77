import { Injectable } from '@nestjs/common';
import { LicenseKeys } from '../auth/license-keys.js';
import type { TenantPrincipal } from '../auth/principal.js';
import { recordChange } from '../core/audit.js';
import { Clock } from '../core/clock.js';
import { Database, type Db, type Tenant } from '../core/database.js';
import { MasterKey } from '../core/master-key.js';
import { containsAnyCase, equalsAnyCase } from '../core/like.js';
import { type Page, paginate } from '../core/page.js';
import { ofSegment } from '../core/segment.js';
import { notFound, taken } from '../domain/errors.js';
import { explicitTerm } from '../domain/expiry.js';
import { totalsOfNone } from '../domain/seats.js';
import type { Prisma, TestClock } from '../generated/prisma/client.js';
import { ChangeService } from './change.service.js';
import { type NewLicense, refusal } from './creation.plan.js';
import { CreationService } from './creation.service.js';
import {
  type BulkLicensesBody,
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
    private readonly creation: CreationService,
  ) {}

  /** 404 naming a reference that is unknown, 409 for a taken key. */
  async create(caller: TenantPrincipal, body: CreateLicenseBody): Promise<LicenseView> {
    const [view] = await this.make(caller, [body], () => '');
    if (view === undefined) throw new Error('a license was made and is not there');
    return view;
  }

  /** All or none, in their order. */
  createMany(caller: TenantPrincipal, { licenses }: BulkLicensesBody): Promise<LicenseView[]> {
    return this.make(caller, licenses, (index) => `licenses[${String(index)}].`);
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
    return this.changes.change(caller, id, 'changing it', async (db) => {
      await findTestClock(db, body.testClockId);
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

  private make(
    { tenant }: TenantPrincipal,
    bodies: readonly CreateLicenseBody[],
    pathOf: (index: number) => string,
  ): Promise<LicenseView[]> {
    return this.database.within(tenant, async (db) => {
      const plans = await this.creation.plan(db, tenant, bodies.map(toNewLicense));
      const refused = refusal(plans, pathOf);
      if (refused !== null) throw refused;
      const planned = plans.flatMap((plan) => ('planned' in plan ? [plan.planned] : []));
      const rows = await this.creation.save(db, tenant, planned);
      return rows.map((row, index) => {
        const license = planned[index];
        if (row === null || license === undefined) throw taken(`${pathOf(index)}key`);
        // Whoever makes a license is shown its key.
        return toLicenseView(row, tenant.environment, this.masterKey.open(row.keySealed, row.id), license.now);
      });
    });
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

/** The clock that a license is to be attached to; null = none is named. */
async function findTestClock(db: Db, id: string | null | undefined): Promise<TestClock | null> {
  if (id === undefined || id === null) return null;
  const clock = await db.testClock.findFirst({ where: { id, deletedAt: null } });
  if (clock === null) throw notFound('test clock', 'testClockId');
  return clock;
}

function toNewLicense({ entitlements, ...body }: CreateLicenseBody): NewLicense {
  return { ...body, entitlements: entitlements?.map((code) => ({ code })) };
}
