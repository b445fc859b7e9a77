import type { Db, Tenant } from '../core/database.js';
import { hold } from '../core/segment.js';
import { notFound } from '../domain/errors.js';
import type { License, Policy, TestClock } from '../generated/prisma/client.js';
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
