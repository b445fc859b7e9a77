import { Injectable } from '@nestjs/common';
import { CredentialCache } from '../auth/credential-cache.js';
import type { TenantPrincipal } from '../auth/principal.js';
import { Clock } from '../core/clock.js';
import { Database } from '../core/database.js';
import { MasterKey } from '../core/master-key.js';
import { invalid, LatchkeyError, notFound, taken } from '../domain/errors.js';
import { renewedExpiry, transferredTerm } from '../domain/expiry.js';
import { requireAllowed, type StateAction, transition } from '../domain/license-actions.js';
import { hasGeneratedFormat } from '../domain/license-key.js';
import { licenseStatus } from '../domain/license-state.js';
import { totalsOfNone } from '../domain/seats.js';
import { entitlementIds } from '../entitlements/entitlements.query.js';
import { deactivateAll } from '../machines/machines.query.js';
import { ChangeService } from './change.service.js';
import { keyColumns, offlineDigest } from './creation.plan.js';
import { requireKeyIsFree } from './keys.query.js';
import type { AttachLicenseEntitlementsBody, RotateLicenseKeyBody, TransferLicenseBody } from './actions.dto.js';
import type { LicenseView } from './licenses.dto.js';
import { loadLicense, lockLicense } from './licenses.query.js';
import { moveBetweenProducts } from './transfer.query.js';

/** The life of a license (contract: resources.md, "Licenses": actions and state rules). */
@Injectable()
export class ActionsService {
  constructor(
    private readonly changes: ChangeService,
    private readonly database: Database,
    private readonly clock: Clock,
    private readonly masterKey: MasterKey,
    private readonly credentials: CredentialCache,
  ) {}

  /** suspend, reinstate, ban, unban, revoke. 409 naming the state for an illegal one. */
  move(caller: TenantPrincipal, id: string, action: StateAction): Promise<LicenseView> {
    return this.changes.change(caller, id, action, (_, license, now) => ({ columns: transition(license, license.policy, action, now) }));
  }

  /** 422 NOT_RENEWABLE for a perpetual license, 409 for a revoked one. */
  renew(caller: TenantPrincipal, id: string): Promise<LicenseView> {
    return this.changes.change(caller, id, 'renew', (_, license, now) => ({
      columns: { ...renewedExpiry(license, license.policy, now), firstRenewedAt: license.firstRenewedAt ?? now },
    }));
  }

  checkIn(caller: TenantPrincipal, id: string): Promise<LicenseView> {
    return this.changes.change(caller, id, 'check-in', (_, _license, now) => ({ columns: { lastCheckInAt: now } }));
  }

  /** To another policy of the environment, and with it to its product. 409 for the policy that it follows already. */
  transfer(caller: TenantPrincipal, id: string, { policyId }: TransferLicenseBody): Promise<LicenseView> {
    return this.changes.change(caller, id, 'transfer', async (db, license, now) => {
      if (license.policyId === policyId.toLowerCase()) {
        const details = { status: licenseStatus(license, license.policy, now), field: 'policyId' };
        throw new LatchkeyError('CONFLICT', 'The license follows this policy already.', details);
      }
      const policy = await moveBetweenProducts(db, license.productId, policyId);
      const convertedAt = license.convertedAt ?? (license.beganAsTrial && !policy.isTrial ? now : null);
      return { columns: { policyId: policy.id, productId: policy.productId, convertedAt, ...transferredTerm(license, policy, now) } };
    });
  }

  resetUsage(caller: TenantPrincipal, id: string): Promise<LicenseView> {
    return this.changes.change(caller, id, 'usage/reset', () => ({ columns: { usesCount: 0 } }));
  }

  /** A new key; the old one, and those before it, work until their overlaps end. 409 for a taken key. */
  async rotateKey(caller: TenantPrincipal, id: string, { key, overlapSeconds }: RotateLicenseKeyBody): Promise<LicenseView> {
    if (key !== undefined && hasGeneratedFormat(key)) throw invalid([{ path: 'key', message: 'must not look like a generated key' }]);
    let rotated: string | null = null;
    const view = await this.changes.change(caller, id, 'rotate-key', async (db, license, now) => {
      const product = await db.product.findUniqueOrThrow({ where: { id: license.productId } });
      const columns = keyColumns(id, key, product, { tenant: caller.tenant, masterKey: this.masterKey });
      if (Buffer.compare(columns.keyDigest, license.keyDigest) === 0) throw taken('key');
      rotated = this.masterKey.open(columns.keySealed, id);
      const { keyDigest, pepperId } = license;
      // Of the key itself: of one that is older than offline digests, none may be stored yet.
      const shown = this.masterKey.open(license.keySealed, id);
      const former = { keyDigest, pepperId, offlineDigest: offlineDigest(this.masterKey, caller.tenant.accountId, shown) };
      const validUntil = new Date(now.getTime() + overlapSeconds * 1000);
      return {
        columns,
        afterwards: async () => {
          await requireKeyIsFree(this.database, { id, keyDigest: columns.keyDigest }, this.clock.now());
          // What it had once it may have again: then that is its key, and no former one.
          const isOver = [{ validUntil: { lte: now } }, { keyDigest: columns.keyDigest }];
          await db.formerLicenseKey.deleteMany({ where: { licenseId: id, OR: isOver } });
          if (overlapSeconds > 0) await db.formerLicenseKey.create({ data: { licenseId: id, ...former, validUntil, createdAt: now } });
        },
        facts: { keyOrigin: columns.keyOrigin, formerKeyValidUntil: validUntil },
      };
    });
    this.credentials.clear();
    // Whoever rotates a key is shown the new one.
    return { ...view, key: rotated };
  }

  /** Every machine gives its seat back, in every state of the license. */
  resetMachines(caller: TenantPrincipal, id: string): Promise<LicenseView> {
    const { tenant } = caller;
    return this.database.within(tenant, async (db) => {
      const license = await lockLicense(db, tenant, id);
      const now = this.clock.now(license.testClock);
      requireAllowed(license, license.policy, 'reset-machines', now);
      await deactivateAll(db, tenant, license, now);
      await db.license.update({ where: { id }, data: { ...totalsOfNone, updatedAt: license.updatedAt } });
      return this.changes.view(caller, await loadLicense(db, id));
    });
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
