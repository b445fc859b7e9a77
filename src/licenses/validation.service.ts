import { Injectable } from '@nestjs/common';
import { LicenseKeys } from '../auth/license-keys.js';
import { Clock } from '../core/clock.js';
import { Database, type Tenant } from '../core/database.js';
import { Metrics } from '../core/metrics.js';
import { RateLimits } from '../core/rate-limits.js';
import { currentRequest } from '../core/request-context.js';
import { notFound } from '../domain/errors.js';
import { isRotatedOut } from '../domain/license-key.js';
import { ipKey } from '../domain/rate-limit.js';
import {
  explain,
  type Facts,
  judge,
  type LicenseFacts,
  notFoundVerdict,
  settled,
  tracesOf,
  type ValidationRequest,
} from '../domain/validation.js';
import { validationClaims, validationValidity } from '../domain/validation-token.js';
import { Signer } from '../signing/signer.js';
import { LastValidatedWorker } from './last-validated.worker.js';
import { loadLicense } from './licenses.query.js';
import { leaveTraces } from './traces.query.js';
import { ValidationCounts } from './validation-counts.js';
import { type Decision, ValidationEventsService } from './validation-events.service.js';
import {
  type ExplanationView,
  toNotFoundView,
  toValidationRequest,
  toValidationView,
  type ValidateBody,
  type ValidateKeyBody,
  type ValidationView,
} from './validation.dto.js';
import { FIND_VALIDATION_FACTS, holdLicense, loadFacts, toLicenseFacts, type ValidationFactsRow } from './validation.query.js';

/** The hot path: load once, judge once, answer once. */
@Injectable()
export class ValidationService {
  constructor(
    private readonly database: Database,
    private readonly licenseKeys: LicenseKeys,
    private readonly clock: Clock,
    private readonly lastValidated: LastValidatedWorker,
    private readonly rateLimits: RateLimits,
    private readonly events: ValidationEventsService,
    private readonly counts: ValidationCounts,
    private readonly signer: Signer,
    private readonly metrics: Metrics,
  ) {}

  /** Never an error for a business outcome: also an unknown key is an answer. 429 for who asks too often, or guesses. */
  async validateKey(body: ValidateKeyBody): Promise<ValidationView> {
    const request = toValidationRequest(body);
    const now = this.clock.now();
    const found = await this.load(body, request.fingerprints, now);
    await this.limit(found);
    const decision = found === null ? null : await this.decide(asked(found, request, now), currentRequest()?.ip ?? null);
    this.metrics.validated(decision?.verdict ?? notFoundVerdict);
    if (decision === null) return toNotFoundView(notFoundVerdict, now, body.nonce);
    return this.answer(decision, body.nonce);
  }

  /** The same by id, within the tenant. 404 for a license that is not there. */
  async validate(tenant: Tenant, id: string, body: ValidateBody): Promise<ValidationView> {
    const decision = await this.decide(await this.find(tenant, id, body), null);
    if (decision === null) throw notFound('license');
    this.metrics.validated(decision.verdict);
    return this.answer(decision, body.nonce);
  }

  /** What `validate` would answer, with every rule's part in it; leaves nothing behind, and is nothing for an app to go on by. */
  async explain(tenant: Tenant, id: string, body: ValidateBody): Promise<ExplanationView> {
    const facts = await this.find(tenant, id, body);
    const { verdict, rules } = explain(facts);
    return { ...toValidationView(verdict, settled(facts, verdict), body.nonce), rules };
  }

  /** Signed where a nonce was sent: after all that the decision leaves is stored, and at no cost to who sends none. */
  private async answer({ verdict, facts }: Decision, nonce: string | undefined): Promise<ValidationView> {
    if (nonce === undefined) return toValidationView(verdict, facts, nonce);
    const claims = validationClaims(verdict, facts, nonce);
    const { document } = await this.signer.sign(facts, 'validation', facts.license.id, claims, validationValidity(verdict, facts));
    return toValidationView(verdict, facts, nonce, document);
  }

  /** After the look-up: whoever has used up their guesses still gets verdicts on keys that there are. */
  private limit(found: LicenseFacts | null): Promise<void> {
    const address = ipKey(currentRequest()?.ip);
    return found === null
      ? this.rateLimits.admit('validate-unknown', address)
      : this.rateLimits.admit('validate', `${found.license.id}:${address}`);
  }

  /** Null for every way in which there is no such license: made up, unknown, deleted, another account's. */
  private async load({ key, account }: ValidateKeyBody, fingerprints: string[], now: Date): Promise<LicenseFacts | null> {
    const wanted = await this.licenseKeys.findBy(key, account);
    if (wanted === null) return null;
    const [row] = await this.database.lookup<ValidationFactsRow>(FIND_VALIDATION_FACTS, [wanted.digest, fingerprints, now]);
    if (row === undefined || (wanted.accountId ?? row.accountId) !== row.accountId) return null;
    const facts = toLicenseFacts(row);
    return isRotatedOut(facts.keyValidUntil, timeOf(facts, now)) ? null : facts;
  }

  private async find(tenant: Tenant, id: string, body: ValidateBody): Promise<Facts> {
    const request = toValidationRequest(body);
    const now = this.clock.now();
    const found = await this.database.within(tenant, (db) => loadFacts(db, id, request.fingerprints, now));
    if (found === null) throw notFound('license');
    return asked(found, request, now);
  }

  /**
   * Null when the license was deleted meanwhile. Only a success that leaves traces takes more than the look. `ip` is that of the
   * copy that asks; null = another asks about it.
   */
  private async decide(seen: Facts, ip: string | null): Promise<Decision | null> {
    const verdict = judge(seen);
    const leavesTraces = verdict.valid && tracesOf(seen) !== null;
    const decision = leavesTraces ? await this.decideHeld(seen) : { verdict, facts: seen };
    if (decision === null) return null;
    if (!leavesTraces && this.events.isWanted(decision)) await this.events.tell(decision);
    this.lastValidated.note(decision.facts.license, decision.facts.now);
    this.counts.note(decision, ip);
    return decision;
  }

  /**
   * Judged again while the license is held, so that of many at once each is answered what is stored then, and nothing is
   * counted or started for a license that was suspended or used up after the look.
   */
  private decideHeld({ request, ...seen }: Facts): Promise<Decision | null> {
    const { id } = seen.license;
    // As who sees the whole environment: what happens to a license of a segment is no less told.
    return this.database.within({ ...seen, segmentId: null }, async (db) => {
      await holdLicense(db, id);
      const now = this.clock.now();
      const found = await loadFacts(db, id, request.fingerprints, now);
      if (found === null) return null;
      // Which key was sent, the license does not know.
      const facts = asked({ ...found, keyValidUntil: seen.keyValidUntil }, request, now);
      const verdict = judge(facts);
      const traces = verdict.valid ? tracesOf(facts) : null;
      if (traces !== null) await leaveTraces(db, await loadLicense(db, id), facts, traces);
      const decision = { verdict, facts: settled(facts, verdict) };
      if (this.events.isWanted(decision)) await this.events.record(db, decision);
      return decision;
    });
  }
}

/** The time at which it is judged: that of the license's clock, else the real time for which its facts were loaded. */
function timeOf({ testClock }: LicenseFacts, now: Date): Date {
  return testClock?.frozenAt ?? now;
}

function asked(found: LicenseFacts, request: ValidationRequest, now: Date): Facts {
  return { ...found, request, now: timeOf(found, now) };
}
