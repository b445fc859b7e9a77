import { Injectable } from '@nestjs/common';
import type { TenantPrincipal } from '../auth/principal.js';
import { notFound } from '../domain/errors.js';
import { renewedExpiry } from '../domain/expiry.js';
import { type StateAction, transition } from '../domain/license-state.js';
import { entitlementIds } from '../entitlements/entitlements.query.js';
import { ChangeService } from './change.service.js';
import type { AttachLicenseEntitlementsBody, LicenseView } from './licenses.dto.js';

/** The life of a license (contract: resources.md, "Licenses": actions and state rules). */
@Injectable()
export class ActionsService {
  constructor(private readonly changes: ChangeService) {}

  /** suspend, reinstate, ban, unban, revoke. 409 naming the state for an illegal one. */
  move(caller: TenantPrincipal, id: string, action: StateAction): Promise<LicenseView> {
    return this.changes.change(caller, id, action, (_, license, now) => ({ columns: transition(license, license.policy, action, now) }));
  }

  /** 422 NOT_RENEWABLE for a perpetual license, 409 for a revoked one. */
  renew(caller: TenantPrincipal, id: string): Promise<LicenseView> {
    return this.changes.change(caller, id, 'renew', (_, license, now) => ({ columns: renewedExpiry(license, license.policy, now) }));
  }

  checkIn(caller: TenantPrincipal, id: string): Promise<LicenseView> {
    return this.changes.change(caller, id, 'check-in', (_, _license, now) => ({ columns: { lastCheckInAt: now } }));
  }

  /** Attaching again sets the expiry and quantity anew. */
  attach(caller: TenantPrincipal, id: string, body: AttachLicenseEntitlementsBody): Promise<LicenseView> {
    const { codes, expiresAt = null, quantity = null } = body;
    return this.changes.change(caller, id, 'attaching entitlements', async (db, _license, createdAt) => {
      const ids = await entitlementIds(db, codes, 'codes');
      const data = ids.map((entitlementId) => ({ licenseId: id, entitlementId, expiresAt, quantity, createdAt }));
      return {
        afterwards: async () => {
          await db.licenseEntitlement.deleteMany({ where: { licenseId: id, entitlementId: { in: ids } } });
          await db.licenseEntitlement.createMany({ data });
        },
      };
    });
  }

  /** Only the license's own: what it inherits stays. */
  async detach(caller: TenantPrincipal, id: string, code: string): Promise<void> {
    await this.changes.change(caller, id, 'detaching entitlements', (db) => ({
      afterwards: async () => {
        const { count } = await db.licenseEntitlement.deleteMany({ where: { licenseId: id, entitlement: { code } } });
        if (count === 0) throw notFound('entitlement of the license');
      },
    }));
  }
}
