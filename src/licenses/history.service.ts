import { Injectable } from '@nestjs/common';
import type { TenantPrincipal } from '../auth/principal.js';
import { Clock } from '../core/clock.js';
import { Database, type Db, type Tenant } from '../core/database.js';
import { type Page, paginate } from '../core/page.js';
import { invalid, notFound } from '../domain/errors.js';
import { typesOf } from '../domain/events.js';
import { type EventView, toEventView } from '../events/events.dto.js';
import { ChangeService } from './change.service.js';
import type { LicenseAtQuery, LicenseHistoryQuery } from './history.dto.js';
import { licenseAt } from './history.query.js';
import { type LicenseRow, type LicenseView, toLicenseView } from './licenses.dto.js';
import { loadLicense } from './licenses.query.js';

/** What a license was, and what happened to it (contract: resources.md, "Licenses": history and `?at=`). */
@Injectable()
export class HistoryService {
  constructor(
    private readonly database: Database,
    private readonly changes: ChangeService,
    private readonly clock: Clock,
  ) {}

  /** The license's events and those of its machines, newest first. */
  events(tenant: Tenant, id: string, query: LicenseHistoryQuery): Promise<Page<EventView>> {
    const where = { licenseId: id, ...(query.type === undefined ? {} : { type: { in: typesOf(query.type) } }) };
    return this.database.within(tenant, async (db) => {
      await loadLicense(db, id);
      return paginate(
        query,
        { list: 'license-history', sort: '-createdAt' },
        (page) => db.event.findMany({ ...page, where: { AND: [where, page.where] } }),
        (row) => toEventView(row, tenant.environment),
      );
    });
  }

  /** As it is, or as it was `at` a time: 400 in the future, 404 before its creation. */
  get(caller: TenantPrincipal, id: string, { at }: LicenseAtQuery): Promise<LicenseView> {
    return this.database.within(caller.tenant, async (db) => {
      const present = await loadLicense(db, id);
      const view = this.changes.view(caller, present);
      return at === undefined ? view : this.asItWas(db, caller.tenant, present, view, at);
    });
  }

  /**
   * Status and all that is computed are of that time too. The key is shown as long as it was the present one: former ones
   * are kept nowhere. So is only the last time of validation: null when that was later, for then nobody knows it.
   */
  private async asItWas(db: Db, tenant: Tenant, present: LicenseRow, view: LicenseView, at: Date): Promise<LicenseView> {
    if (at > this.clock.now(present.testClock))
      throw invalid([{ path: 'at', message: "must not be in the future of the license's clock" }]);
    if (at < present.createdAt) throw notFound('license');
    const { license, hasSameKey } = await licenseAt(db, present, at);
    const { lastValidatedAt } = present;
    return {
      ...toLicenseView(license, tenant.environment, hasSameKey ? view.key : null, at),
      lastValidatedAt: lastValidatedAt !== null && lastValidatedAt <= at ? lastValidatedAt : null,
    };
  }
}
