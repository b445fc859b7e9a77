import { Injectable } from '@nestjs/common';
import { LicenseKeys } from '../auth/license-keys.js';
import { Clock } from '../core/clock.js';
import { Database } from '../core/database.js';
import { RateLimits } from '../core/rate-limits.js';
import { currentRequest } from '../core/request-context.js';
import { clockStartedBy } from '../domain/expiry.js';
import { isRotatedOut } from '../domain/license-key.js';
import { ipKey } from '../domain/rate-limit.js';
import { type Facts, judge, type LicenseFacts, notFoundVerdict, usesExceeded, type Verdict } from '../domain/validation.js';
import { LastValidatedWorker } from './last-validated.worker.js';
import { toNotFoundView, toValidationRequest, toValidationView, type ValidateKeyBody, type ValidationView } from './validation.dto.js';
import { FIND_VALIDATION_FACTS, toLicenseFacts, type ValidationFactsRow } from './validation.query.js';

/** The hot path: load once, judge once, answer once. */
@Injectable()
export class ValidationService {
  constructor(
    private readonly database: Database,
    private readonly licenseKeys: LicenseKeys,
    private readonly clock: Clock,
    private readonly lastValidated: LastValidatedWorker,
    private readonly rateLimits: RateLimits,
  ) {}

  /** Never an error for a business outcome: also an unknown key is an answer. 429 for who asks too often, or guesses. */
  async validateKey(body: ValidateKeyBody): Promise<ValidationView> {
    const request = toValidationRequest(body);
    const found = await this.load(body, request.fingerprints);
    await this.limit(found);
    const now = this.clock.now(found?.testClock);
    if (found === null) return toNotFoundView(notFoundVerdict, now, body.nonce);
    const facts = { ...found, request, now };
    const [verdict, settled] = await this.record(judge(facts), facts);
    this.lastValidated.note(settled.license, now);
    return toValidationView(verdict, settled, body.nonce);
  }

  /** After the look-up: whoever has used up their guesses still gets verdicts on keys that there are. */
  private limit(found: LicenseFacts | null): Promise<void> {
    const address = ipKey(currentRequest()?.ip);
    return found === null
      ? this.rateLimits.admit('validate-unknown', address)
      : this.rateLimits.admit('validate', `${found.license.id}:${address}`);
  }

  /** Null for every way in which there is no such license: made up, unknown, deleted, another account's. */
  private async load({ key, account }: ValidateKeyBody, fingerprints: string[]): Promise<LicenseFacts | null> {
    const wanted = await this.licenseKeys.findBy(key, account);
    if (wanted === null) return null;
    const [row] = await this.database.lookup<ValidationFactsRow>(FIND_VALIDATION_FACTS, [wanted.digest, fingerprints]);
    if (row === undefined || (wanted.accountId ?? row.accountId) !== row.accountId) return null;
    const facts = toLicenseFacts(row);
    return isRotatedOut(facts.keyValidUntil, this.clock.now(facts.testClock)) ? null : facts;
  }

  /**
   * What a success leaves behind: the first one starts the license's life, `increment` counts. Both are one guarded
   * statement that answers what is stored then, so that of many at once each answers the truth.
   */
  private async record(verdict: Verdict, facts: Facts): Promise<[Verdict, Facts]> {
    const { license, policy, request, now } = facts;
    const increment = request.increment ?? 0;
    const term =
      clockStartedBy('FROM_FIRST_VALIDATION', license, policy, now) ??
      (increment > 0 ? clockStartedBy('FROM_FIRST_USE', license, policy, now) : null);
    const leavesTraces = license.firstValidatedAt === null || term !== null || increment > 0;
    if (!verdict.valid || !leavesTraces) return [verdict, facts];

    const [saved] = await this.database.within(
      { ...facts, segmentId: null },
      (db) => db.$queryRaw<{ usesCount: number; expiresAt: Date | null }[]>`
      UPDATE license
         SET first_validated_at = COALESCE(first_validated_at, ${now}),
             expires_at     = CASE WHEN clock_pending AND ${term !== null} THEN ${term?.expiresAt ?? null}::timestamptz ELSE expires_at END,
             term_anchor_at = CASE WHEN clock_pending AND ${term !== null} THEN ${term?.termAnchorAt ?? null}::timestamptz ELSE term_anchor_at END,
             clock_pending  = clock_pending AND ${term === null},
             uses_count     = uses_count + ${increment}
       WHERE id = ${license.id}::uuid AND deleted_at IS NULL
         AND uses_count::bigint + ${increment} <= COALESCE(max_uses_override, ${policy.maxUses}::int, 2147483647)
      RETURNING uses_count AS "usesCount", expires_at AS "expiresAt"`,
    );

    if (saved !== undefined) return [verdict, { ...facts, license: { ...license, ...saved } }];
    // Others took the last uses between our look and our count. Without a count the look itself is the answer.
    return [increment > 0 ? usesExceeded(verdict) : verdict, facts];
  }
}
