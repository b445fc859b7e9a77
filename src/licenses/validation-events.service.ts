import { Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { type Change, recordOccurrence, withoutSecrets } from '../core/audit.js';
import { Database, type Db } from '../core/database.js';
import { Grouped } from '../core/grouped.js';
import { recordsOf } from '../core/insert.js';
import { Interests } from '../core/interests.js';
import { currentTeller, KEEP_EVENTS, type Teller, toEventRow } from '../core/outbox.js';
import { Signals } from '../core/signals.js';
import type { HighVolumeEventType } from '../domain/events.js';
import type { Facts, Verdict } from '../domain/validation.js';
import { type LicenseRow, toLicenseEntry } from './licenses.dto.js';
import { loadLicense } from './licenses.query.js';
import { toValidationView } from './validation.dto.js';
import { FIND_REST_OF_LICENSES, type RestOfLicense } from './validation.query.js';

/** One group is being read while another is being written. */
const GROUPS = { runs: 2, size: 200, waiting: 5000, waitMs: 10_000 };

/** A verdict, and what is so after it. */
export interface Decision {
  verdict: Verdict;
  facts: Facts;
}

interface Told extends Decision {
  by: Teller | null;
}

/**
 * `validation.success` and `validation.failed` (contract: webhooks.md, "Events"), made where somebody listens and stored
 * before the answer: alone in the transaction of what the validation leaves, else with others in groups, two statements each.
 */
@Injectable()
export class ValidationEventsService implements OnApplicationShutdown {
  private readonly groups = new Grouped<Told, void>((all) => this.keep(all), GROUPS);

  constructor(
    private readonly database: Database,
    private readonly interests: Interests,
    private readonly signals: Signals,
  ) {}

  isWanted({ verdict, facts }: Decision): boolean {
    return this.interests.wants(facts.environmentId, typeOf(verdict));
  }

  /** Resolves when it is stored. */
  tell(decision: Decision): Promise<void> {
    return this.groups.do({ ...decision, by: currentTeller() });
  }

  /** In the transaction that leaves what the validation leaves. */
  async record(db: Db, decision: Decision): Promise<void> {
    await recordOccurrence(db, toChange(decision, await loadLicense(db, decision.facts.license.id)));
  }

  onApplicationShutdown(): Promise<void> {
    return this.groups.drain();
  }

  private async keep(all: readonly Told[]): Promise<undefined[]> {
    const found = await this.database.lookup<RestOfLicense>(FIND_REST_OF_LICENSES, [all.map(({ facts }) => facts.license.id)]);
    const rest = new Map(found.map((row) => [row.id, row]));
    const events = all.flatMap(({ by, ...decision }) => {
      const row = rest.get(decision.facts.license.id);
      return row === undefined ? [] : [toEventRow(toChange(decision, licenseOf(decision.facts, row)), by)];
    });
    await this.database.stamp(KEEP_EVENTS, [recordsOf(events)]);
    this.signals.send('events');
    return all.map(() => undefined);
  }
}

function typeOf({ valid }: Verdict): HighVolumeEventType {
  return valid ? 'validation.success' : 'validation.failed';
}

/** The license as it was judged: what the view shows besides what the verdict depends on, `rest` has. */
function licenseOf({ license, policy, ...facts }: Facts, rest: RestOfLicense): LicenseRow {
  const codeOf = (code: string) => ({ entitlement: { code } });
  return {
    ...license,
    ...rest,
    policy: { ...policy, entitlements: facts.inheritedEntitlements.map(codeOf) },
    entitlements: facts.ownEntitlements.map(({ code, ...terms }) => ({ ...codeOf(code), ...terms })),
  } as unknown as LicenseRow;
}

/** `data.object` is the license, `data.validation` the verdict and what was sent that it depends on. */
function toChange({ verdict, facts }: Decision, license: LicenseRow): Change {
  const { environment, environmentId, testClock, request, now } = facts;
  const { valid, code, message, warnings, machine, checkedAt } = toValidationView(verdict, facts, undefined);
  const { fingerprints, version = null } = request;
  return {
    action: typeOf(verdict),
    resource: { type: 'license', id: license.id, segmentId: license.segmentId },
    environmentId,
    occurredAt: testClock?.frozenAt,
    after: toLicenseEntry(license, environment, now),
    beside: { validation: withoutSecrets({ valid, code, message, warnings, fingerprints, version, machine, checkedAt }) },
  };
}
