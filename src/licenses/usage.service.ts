import { Injectable } from '@nestjs/common';
import type { TenantPrincipal } from '../auth/principal.js';
import { recordChange } from '../core/audit.js';
import { Clock } from '../core/clock.js';
import { Database, type Db } from '../core/database.js';
import { RateLimits } from '../core/rate-limits.js';
import { currentRequest } from '../core/request-context.js';
import { invalid, notFound } from '../domain/errors.js';
import { clockStartedBy } from '../domain/expiry.js';
import { ipKey } from '../domain/rate-limit.js';
import { type Counter, requireCountable } from '../domain/usage.js';
import { ChangeService } from './change.service.js';
import { type IncrementUsageBody } from './actions.dto.js';
import { includeForView, type LicenseRow, type LicenseView, toLicenseEntry } from './licenses.dto.js';
import { loadLicense, lockLicense } from './licenses.query.js';
import { recordStartedTerm } from './term.query.js';
import { countUses } from './usage.query.js';

/** Under the license's lock only changes of its policy can come between a count and its reason. */
const MAX_ATTEMPTS = 5;

/** The usage counter of licenses. */
@Injectable()
export class UsageService {
  constructor(
    private readonly database: Database,
    private readonly clock: Clock,
    private readonly changes: ChangeService,
    private readonly rateLimits: RateLimits,
  ) {}

  /**
   * 422 above the limit or below zero, 409 for a revoked license. A license key counts up, on its own license, and gets
   * 403 with the state's code where that may not run.
   */
  async increment(caller: TenantPrincipal, id: string, { increment }: IncrementUsageBody): Promise<LicenseView> {
    const counter: Counter = caller.kind === 'license' ? 'license' : 'vendor';
    if (caller.kind === 'license' && caller.licenseId !== id) throw notFound('license');
    if (increment === 0) throw invalid([{ path: 'increment', message: 'must not be 0' }]);
    if (counter === 'license' && increment < 0) throw invalid([{ path: 'increment', message: 'must be at least 1 with a license key' }]);
    // As for validations, which can count too.
    if (caller.kind === 'license') await this.rateLimits.admit('validate', `${id}:${ipKey(currentRequest()?.ip)}`);
    return this.database.within(caller.tenant, async (db) => {
      for (let attempt = 1; !(await countUses(db, caller.tenant, id, increment, counter, this.clock.now())); attempt += 1) {
        const license = await lockLicense(db, caller.tenant, id);
        requireCountable(license, license.policy, increment, counter, this.clock.now(license.testClock));
        // No reason under the lock: a change of the license or its policy stood in the way, which is over now.
        if (attempt === MAX_ATTEMPTS) throw new Error('the statement that counts uses and the rule about it disagree');
      }
      return this.changes.view(caller, await this.settle(db, caller, id, increment));
    });
  }

  /** What a count leaves behind, in its transaction, which holds the license: the first use may begin its term. */
  private async settle(db: Db, { tenant }: TenantPrincipal, id: string, increment: number): Promise<LicenseRow> {
    const license = await loadLicense(db, id);
    const now = this.clock.now(license.testClock);
    await recordChange(db, {
      action: 'usage.incremented',
      resource: { type: 'license', id, segmentId: license.segmentId },
      occurredAt: license.testClock?.frozenAt,
      before: toLicenseEntry({ ...license, usesCount: license.usesCount - increment }, tenant.environment, now),
      after: toLicenseEntry(license, tenant.environment, now),
    });
    const term = increment > 0 ? clockStartedBy('FROM_FIRST_USE', license, license.policy, now) : null;
    if (term === null) return license;
    const started = await db.license.update({ where: { id }, data: { ...term, updatedAt: now }, include: includeForView });
    await recordStartedTerm(db, tenant, id, license, now);
    return started;
  }
}
