import { recordChange } from '../core/audit.js';
import type { Db, Tenant } from '../core/database.js';
import type { TermColumns } from '../domain/expiry.js';
import { toLicenseEntry } from './licenses.dto.js';
import { loadLicense } from './licenses.query.js';

/** A term that an event has begun, recorded as the change of the license that it is; `before` is what was stored of it. */
export async function recordStartedTerm(db: Db, tenant: Tenant, id: string, before: TermColumns, now: Date): Promise<void> {
  const { expiresAt, termAnchorAt, clockPending } = before;
  const license = await loadLicense(db, id);
  await recordChange(db, {
    action: 'license.updated',
    resource: { type: 'license', id, segmentId: license.segmentId },
    occurredAt: license.testClock?.frozenAt,
    before: toLicenseEntry({ ...license, expiresAt, termAnchorAt, clockPending }, tenant.environment, now),
    after: toLicenseEntry(license, tenant.environment, now),
  });
}
