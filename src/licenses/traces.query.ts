import { recordEvents } from '../core/audit.js';
import type { Db } from '../core/database.js';
import type { Facts, Traces } from '../domain/validation.js';
import { type LicenseRow, toLicenseEntry } from './licenses.dto.js';

/**
 * What a success leaves on the license, which the caller holds and has read as `before`; answers what it is then. The first success and each count are told to others; the
 * audit log is for what somebody manages.
 */
export async function leaveTraces(db: Db, before: LicenseRow, { environment, now }: Facts, traces: Traces): Promise<LicenseRow> {
  const { id } = before;
  await db.license.update({ where: { id }, data: { ...traces, updatedAt: before.updatedAt }, select: { id: true } });
  const { usesCount = before.usesCount, ...start } = traces;
  const started = { ...before, ...start };
  const entry = (row: LicenseRow): object => toLicenseEntry(row, environment, now);
  const about = { resource: { type: 'license', id, segmentId: before.segmentId }, occurredAt: before.testClock?.frozenAt };
  await recordEvents(db, [
    // A clock that starts later than with the first success changes the license, which was activated before.
    {
      ...about,
      action: start.firstValidatedAt === undefined ? 'license.updated' : 'license.activated',
      before: entry(before),
      after: entry(started),
    },
    { ...about, action: 'usage.incremented', before: entry(started), after: entry({ ...started, usesCount }) },
  ]);
  return { ...started, usesCount };
}
