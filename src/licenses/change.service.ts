import { Injectable } from '@nestjs/common';
import type { TenantPrincipal } from '../auth/principal.js';
import { recordChange } from '../core/audit.js';
import { Clock } from '../core/clock.js';
import { Database, type Db } from '../core/database.js';
import { MasterKey } from '../core/master-key.js';
import { type LicenseAction, licenseActions, requireAllowed } from '../domain/license-actions.js';
import { missingScopes } from '../domain/scopes.js';
import { recordAttachments } from '../entitlements/entitlements.query.js';
import type { Prisma } from '../generated/prisma/client.js';
import { includeForView, type LicenseRow, type LicenseView, ownEntitlements, toLicenseEntry, toLicenseView } from './licenses.dto.js';
import { loadLicense, lockLicense } from './licenses.query.js';

/** What to set on the license, and what to do about it once that is done. */
export interface Decision {
  columns?: Prisma.LicenseUncheckedUpdateInput;
  /** After the license's own row, whose change makes the database keep what it was, entitlements included. */
  afterwards?: () => Promise<unknown>;
  /** Told with the change in log and event, where the license itself does not show it. */
  facts?: object;
}

/** The one way in which a license is changed, and in which it is shown. */
@Injectable()
export class ChangeService {
  constructor(
    private readonly database: Database,
    private readonly masterKey: MasterKey,
    private readonly clock: Clock,
  ) {}

  /** Hold the license, refuse what its state does not allow, let `decide` say what to do, save, record, show. */
  change(
    caller: TenantPrincipal,
    id: string,
    action: LicenseAction,
    decide: (db: Db, license: LicenseRow, now: Date) => Promise<Decision> | Decision,
  ): Promise<LicenseView> {
    const { tenant } = caller;
    return this.database.within(tenant, async (db) => {
      const license = await lockLicense(db, tenant, id);
      // After the lock: whoever waited for it judges by the time at which it may act.
      const now = this.clock.now(license.testClock);
      requireAllowed(license, license.policy, action, now);
      const { columns, afterwards, facts } = await decide(db, license, now);
      const updated = await db.license.update({ where: { id }, data: { ...columns, updatedAt: now }, include: includeForView });
      await afterwards?.();
      const saved = afterwards === undefined ? updated : await loadLicense(db, id);
      const entry = (row: LicenseRow): object => toLicenseEntry(row, tenant.environment, now);
      const about = { resource: { type: 'license', id, segmentId: license.segmentId }, occurredAt: license.testClock?.frozenAt };
      const { recordedAs } = licenseActions[action];
      if (recordedAs !== null)
        await recordChange(db, { ...about, action: recordedAs, before: entry(license), after: { ...entry(saved), ...facts } });
      else await recordAttachments(db, { ...about, object: entry(saved) }, ownEntitlements(license), ownEntitlements(saved));
      return this.view(caller, saved);
    });
  }

  /**
   * Keys are shown to those who may read licenses, and a license's own to itself: to a key that was rotated out, be it a
   * moment ago, never its successor. Whoever rotates a key that leaked gives nobody the new one.
   */
  view({ tenant, ...caller }: TenantPrincipal, row: LicenseRow, now = this.clock.now(row.testClock)): LicenseView {
    const seesKey =
      caller.kind === 'license'
        ? Buffer.compare(caller.keyDigest, row.keyDigest) === 0
        : missingScopes(caller.scopes, ['licenses:read']).length === 0;
    const key = seesKey ? this.masterKey.open(row.keySealed, row.id) : null;
    return toLicenseView(row, tenant.environment, key, now);
  }
}
