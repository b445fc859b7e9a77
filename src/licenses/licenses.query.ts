import type { Db, Tenant } from '../core/database.js';
import { hold } from '../core/segment.js';
import { notFound } from '../domain/errors.js';
import { DAY_MS } from '../domain/expiry.js';
import type { LicenseStatus } from '../domain/license-state.js';
import type { ExpirationStrategy } from '../domain/policy.js';
import type { License, Policy, Prisma, TestClock } from '../generated/prisma/client.js';
import { includeForView, type LicenseRow } from './licenses.dto.js';

/** A living license with all that it is judged and shown with. */
export async function loadLicense(db: Db, id: string): Promise<LicenseRow> {
  const row = await db.license.findFirst({ where: { id, deletedAt: null }, include: includeForView });
  if (row === null) throw notFound('license');
  return row;
}

/** The same, held until the end of the work: whoever changes this license comes one after the other. */
export async function lockLicense(db: Db, tenant: Tenant, id: string): Promise<LicenseRow> {
  await hold(db, tenant, 'license', id);
  return loadLicense(db, id);
}

/** Held likewise, with no more than what judges its seats. `field` names the reference in the body that led here. */
export async function lockSeats(
  db: Db,
  tenant: Tenant,
  id: string,
  field?: string,
): Promise<License & { policy: Policy; testClock: TestClock | null }> {
  await hold(db, tenant, 'license', id, field);
  return db.license.findUniqueOrThrow({ where: { id }, include: { policy: true, testClock: true } });
}

/**
 * The condition under which `licenseStatus` computes this status at `now`. Whether a license is over depends on its
 * policy's grace and strategy; an environment has few pairs of those, however many licenses.
 */
export async function statusIs(db: Db, status: LicenseStatus, now: Date): Promise<Prisma.LicenseWhereInput> {
  const pairs = await db.policy.groupBy({ by: ['expirationStrategy', 'gracePeriodDays'] });
  const isOver = (strategies: ExpirationStrategy[]): Prisma.LicenseWhereInput => ({
    OR: pairs
      .filter(({ expirationStrategy }) => strategies.includes(expirationStrategy))
      .map((pair) => ({ policy: pair, expiresAt: { lte: new Date(now.getTime() - pair.gracePeriodDays * DAY_MS) } })),
  });
  // Spelt out for licenses that never expire: to SQL, "not (null is before now)" is not true.
  const isNotOver = (strategies: ExpirationStrategy[]): Prisma.LicenseWhereInput => ({
    OR: [{ expiresAt: null }, { NOT: isOver(strategies) }],
  });
  const notBanned = { bannedAt: null };
  const inForce = { ...notBanned, revokedAt: null };
  switch (status) {
    case 'banned':
      return { bannedAt: { not: null } };
    case 'revoked':
      return { ...notBanned, OR: [{ revokedAt: { not: null } }, isOver(['REVOKE'])] };
    case 'suspended':
      return { ...inForce, suspendedAt: { not: null }, AND: [isNotOver(['REVOKE'])] };
    case 'expired':
      return { ...inForce, suspendedAt: null, AND: [isOver(['RESTRICT_ACCESS', 'ALLOW_ACCESS'])] };
    case 'active':
      return { ...inForce, suspendedAt: null, AND: [isNotOver(['RESTRICT_ACCESS', 'ALLOW_ACCESS', 'REVOKE'])] };
  }
}
