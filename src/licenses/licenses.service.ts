import { Injectable } from '@nestjs/common';
import { LicenseKeys } from '../auth/license-keys.js';
import type { LicensePrincipal, TenantPrincipal } from '../auth/principal.js';
import { recordChange } from '../core/audit.js';
import { Clock } from '../core/clock.js';
import { Database, type Db, type Tenant } from '../core/database.js';
import { MasterKey } from '../core/master-key.js';
import { type Page, pageOf } from '../core/page.js';
import { findSlice, loadSlice } from '../core/slice.js';
import { invalid, notFound, taken } from '../domain/errors.js';
import { changedTerm } from '../domain/expiry.js';
import { requireAllowed } from '../domain/license-actions.js';
import { totalsOfNone } from '../domain/seats.js';
import type { TestClock } from '../generated/prisma/client.js';
import { toMachineView } from '../machines/machines.dto.js';
import { deactivateAll } from '../machines/machines.query.js';
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
import { loadLicense, lockLicense } from './licenses.query.js';
import { waysToMeet } from './list.query.js';
import type { MyLicenseView } from './my-license.dto.js';

/** How many of its machines a license shows its holder. */
const SHOWN_MACHINES = 100;

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
    const { tenant } = caller;
    return this.database.within(tenant, async (db) => {
      const now = this.clock.now();
      const digest = query.key === undefined ? null : this.licenseKeys.digest(query.key, tenant.accountId);
      const ways = await waysToMeet(db, tenant, query, { now, digest });
      return pageOf(
        query,
        { list: 'licenses', sort: query.sort ?? '-createdAt' },
        async (slice) =>
          loadSlice(await findSlice(db, 'license', ways, slice), (where) => db.license.findMany({ where, include: includeForView })),
        // Shown as of the time that they were chosen by.
        (row) => this.changes.view(caller, row, row.testClock?.frozenAt ?? now),
      );
    });
  }

  get(caller: TenantPrincipal, id: string): Promise<LicenseView> {
    return this.database.within(caller.tenant, async (db) => this.changes.view(caller, await loadLicense(db, id)));
  }

  /** What its holder may see of it, whatever its state. */
  mine(caller: LicensePrincipal): Promise<MyLicenseView> {
    const { tenant, licenseId } = caller;
    return this.database.within(tenant, async (db) => {
      const license = await loadLicense(db, licenseId);
      const machines = await db.machine.findMany({
        where: { licenseId, deletedAt: null },
        orderBy: [{ createdAt: 'desc' }, { id: 'desc' }],
        take: SHOWN_MACHINES,
        include: { pulse: true },
      });
      const now = this.clock.now(license.testClock);
      return {
        ...this.changes.view(caller, license, now),
        machines: machines.map((machine) => toMachineView(machine, license.policy, tenant.environment, now)),
      };
    });
  }

  /** 409 for a revoked license. */
  update(caller: TenantPrincipal, id: string, body: UpdateLicenseBody): Promise<LicenseView> {
    return this.changes.change(caller, id, 'changing it', async (db, license) => {
      if (body.testClockId !== license.testClockId) await findTestClock(db, body.testClockId, license.segmentId);
      return { columns: { ...toLicenseColumns(body), ...changedTerm(license, body.expiresAt) } };
    });
  }

  /** Its machines go with it, and its key is unknown from now on. */
  remove(tenant: Tenant, id: string): Promise<void> {
    return this.database.within(tenant, async (db) => {
      const license = await lockLicense(db, tenant, id);
      const deletedAt = this.clock.now(license.testClock);
      requireAllowed(license, license.policy, 'deleting', deletedAt);
      await deactivateAll(db, tenant, license, deletedAt);
      await db.formerLicenseKey.deleteMany({ where: { licenseId: id } });
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

function toNewLicense({ entitlements, ...body }: CreateLicenseBody): NewLicense {
  return { ...body, entitlements: entitlements?.map((code) => ({ code })) };
}
