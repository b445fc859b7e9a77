import { recordChanges } from '../core/audit.js';
import type { Db, Tenant } from '../core/database.js';
import { type Entitlement, Prisma } from '../generated/prisma/client.js';
import { includeForView, toLicenseEntry } from '../licenses/licenses.dto.js';
import { includeEntitlementCodes, toPolicyView } from '../policies/policies.dto.js';
import { toldOf } from './entitlements.query.js';

/** How many licenses are told of at once. */
const BATCH = 500;

/**
 * Hold the licenses, then the policies, that have the entitlement, and mark them as changed: the database then keeps what
 * they were, with it. Before the entitlement itself is held, in the order in which everyone holds them who attaches one;
 * after it, for those that got it meanwhile, without waiting.
 */
export async function holdHolders(db: Db, entitlementId: string, others: 'wait' | 'skip'): Promise<void> {
  const skip = others === 'skip' ? Prisma.sql`SKIP LOCKED` : Prisma.empty;
  await db.$executeRaw`
    WITH held AS (
      SELECT license.id, COALESCE(test_clock.frozen_at, date_trunc('milliseconds', clock_timestamp())) AS now
        FROM license LEFT JOIN test_clock ON test_clock.id = license.test_clock_id
       WHERE license.id IN (SELECT license_id FROM license_entitlement WHERE entitlement_id = ${entitlementId}::uuid)
         AND license.xmin <> pg_current_xact_id()::xid
       ORDER BY license.id FOR NO KEY UPDATE OF license ${skip})
    UPDATE license SET updated_at = held.now FROM held WHERE license.id = held.id`;
  await db.$executeRaw`
    WITH held AS (
      SELECT id FROM policy
       WHERE id IN (SELECT policy_id FROM policy_entitlement WHERE entitlement_id = ${entitlementId}::uuid)
         AND xmin <> pg_current_xact_id()::xid
       ORDER BY id FOR NO KEY UPDATE ${skip})
    UPDATE policy SET updated_at = date_trunc('milliseconds', clock_timestamp()) FROM held WHERE policy.id = held.id`;
}

/** Take the entitlement from all that have it, and tell it of each. */
export async function detachEverywhere(db: Db, { environment }: Tenant, { id, code }: Entitlement, now: Date): Promise<void> {
  const where = { entitlementId: id };
  const ofLicenses = await db.licenseEntitlement.findMany({ where, orderBy: { licenseId: 'asc' } });
  const ofPolicies = await db.policyEntitlement.findMany({ where, orderBy: { policyId: 'asc' } });
  await db.licenseEntitlement.deleteMany({ where });
  await db.policyEntitlement.deleteMany({ where });
  const policies = await db.policy.findMany({
    where: { id: { in: ofPolicies.map(({ policyId }) => policyId) }, deletedAt: null },
    include: includeEntitlementCodes,
  });
  await recordChanges(
    db,
    policies.map((policy) => ({
      action: 'entitlement.detached',
      resource: { type: 'policy', id: policy.id, segmentId: policy.segmentId },
      before: { code },
      beside: toldOf({ code }),
      object: toPolicyView(policy, environment),
    })),
  );
  for (let from = 0; from < ofLicenses.length; from += BATCH) {
    const terms = new Map(ofLicenses.slice(from, from + BATCH).map((one) => [one.licenseId, one]));
    const licenses = await db.license.findMany({ where: { id: { in: [...terms.keys()] }, deletedAt: null }, include: includeForView });
    await recordChanges(
      db,
      licenses.map((license) => {
        const { expiresAt = null, quantity = null } = terms.get(license.id) ?? {};
        return {
          action: 'entitlement.detached',
          resource: { type: 'license', id: license.id, segmentId: license.segmentId },
          occurredAt: license.testClock?.frozenAt,
          before: { code, expiresAt, quantity },
          beside: toldOf({ code, expiresAt, quantity }),
          object: toLicenseEntry(license, environment, license.testClock?.frozenAt ?? now),
        };
      }),
    );
  }
}
