import { setTimeout as wait } from 'node:timers/promises';
import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { v7 as uuidv7 } from 'uuid';
import { recordChanges } from '../core/audit.js';
import { Clock } from '../core/clock.js';
import { Config } from '../core/config.js';
import { Database, type Db } from '../core/database.js';
import { Grouped } from '../core/grouped.js';
import { LOGGER } from '../core/logger.js';
import { Metrics } from '../core/metrics.js';
import { afterTry, isSuccess } from '../domain/endpoint-health.js';
import { nextAttemptAt } from '../domain/retry.js';
import { classOf } from './attempt-errors.js';
import { type Claimed, keepTries, type KeptTry } from './delivery.query.js';
import { type HeldEndpoint, holdChanging, keepHealth } from './health.query.js';
import type { AttemptOutcome } from './sender.js';
import { type LastDeliveryView, toWebhookView } from './webhooks.dto.js';

/** What came of a claim. */
export interface Outcome {
  claim: Claimed;
  attempt: AttemptOutcome;
  /** False = there is nothing to send: it is tried no more, which says nothing about the endpoint. */
  isEventKept: boolean;
}

interface Kept extends Omit<Outcome, 'attempt'> {
  row: KeptTry;
}

const GROUP = 500;
const RETRY_MS = 1000;

/** Writes down what came of deliveries: many in one transaction, and again and again until it is kept. */
@Injectable()
export class DeliveryOutcomes {
  private readonly together: Grouped<Kept, undefined>;
  /** For what could not be written with others: perhaps one of them was to blame. */
  private readonly alone: Grouped<Kept, undefined>;

  constructor(
    private readonly database: Database,
    private readonly clock: Clock,
    private readonly config: Config,
    private readonly metrics: Metrics,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    const keep = async (outcomes: readonly Kept[]): Promise<undefined[]> => {
      await this.keepAll(outcomes);
      return outcomes.map(() => undefined);
    };
    // One after the other: deliveries never take more than one connection for this. As many wait as were claimed.
    const bounds = { runs: 1, waiting: Infinity, waitMs: Infinity };
    this.together = new Grouped(keep, { ...bounds, size: GROUP });
    this.alone = new Grouped(keep, { ...bounds, size: 1 });
  }

  /** Resolves when it is kept, however long the database is away; or when `goesOn` says that nobody waits for it any more. */
  async keep(outcome: Outcome, goesOn: () => boolean): Promise<void> {
    const kept = this.judge(outcome);
    for (let group = this.together; goesOn(); group = this.alone) {
      try {
        await group.do(kept);
        this.count(outcome, kept.row);
        return;
      } catch (error) {
        this.logger.warn({ err: error, deliveryId: outcome.claim.id }, 'what came of a delivery could not be kept; it is tried again');
      }
      await wait(RETRY_MS, undefined, { ref: false });
    }
  }

  private count({ claim, attempt, isEventKept }: Outcome, { status, endedAt }: KeptTry): void {
    const { deliveryAttempts, deliveryAttemptSeconds, deliverySeconds, deliveriesFinished } = this.metrics;
    deliveryAttempts.inc({ outcome: isEventKept ? classOf(attempt) : 'not_sent' });
    if (isEventKept) deliveryAttemptSeconds.observe(attempt.durationMs / 1000);
    if (status !== 'pending') deliveriesFinished.inc({ status });
    // A try begins after it is due, by clocks that may differ.
    if (status === 'succeeded') deliverySeconds.observe(Math.max(0, endedAt.getTime() - claim.dueAt.getTime()) / 1000);
  }

  /** What becomes of the delivery. */
  private judge({ claim, attempt, isEventKept }: Outcome): Kept {
    const { retryAfter, ...told } = attempt;
    const endedAt = new Date(attempt.startedAt.getTime() + attempt.durationMs);
    const failed = { endedAt, attemptCount: claim.attemptCount + 1, retryAfter };
    const isDelivered = isSuccess(attempt.responseCode);
    const next = isDelivered || !isEventKept ? null : nextAttemptAt(failed, this.config.webhookRetryScheduleSeconds, Math.random());
    const status = isDelivered ? 'succeeded' : next === null ? 'failed' : 'pending';
    const row = {
      ...told,
      id: uuidv7(),
      deliveryId: claim.id,
      attemptCount: claim.attemptCount,
      status,
      nextAttemptAt: next,
      endedAt,
    } as const;
    return { claim, isEventKept, row };
  }

  private keepAll(outcomes: readonly Kept[]): Promise<void> {
    return this.database.acrossTenants('keep what came of deliveries', async (db) => {
      // Endpoints before their deliveries, as everybody holds them.
      await this.keepHealth(db, outcomes);
      await keepTries(
        db,
        outcomes.map(({ row }) => row),
      );
    });
  }

  private async keepHealth(db: Db, outcomes: readonly Kept[]): Promise<void> {
    const tries = outcomes
      .filter(({ isEventKept }) => isEventKept)
      .map(({ claim, row }) => ({ endpointId: claim.endpointId, endedAt: row.endedAt, responseCode: row.responseCode }))
      .sort((a, b) => a.endedAt.getTime() - b.endedAt.getTime());
    if (tries.length === 0) return;
    const before = await holdChanging(db, tries);
    if (before.length === 0) return;
    const after = before.map((endpoint) => ({
      ...endpoint,
      ...tries.filter(({ endpointId }) => endpointId === endpoint.id).reduce(afterTry, endpoint),
    }));
    await keepHealth(db, after, this.clock.now());
    await tellDisabled(db, before, after, outcomes, this.clock.now());
  }
}

/** `webhook.disabled` for each that is not enabled any more, because of its last try: others of its environment hear of it. */
async function tellDisabled(
  db: Db,
  before: readonly HeldEndpoint[],
  after: readonly HeldEndpoint[],
  outcomes: readonly Kept[],
  now: Date,
): Promise<void> {
  const changes = after.flatMap((endpoint, index) => {
    const old = before[index];
    if (old === undefined || old.isEnabled === endpoint.isEnabled) return [];
    const last = outcomes
      .filter(({ claim }) => claim.endpointId === endpoint.id)
      .map(({ row }) => lastDeliveryOf(row))
      .sort((a, b) => a.at.getTime() - b.at.getTime())
      .at(-1);
    const view = (row: HeldEndpoint) => toWebhookView(row, last ?? null, row.environmentName);
    const { id, environmentId, segmentId } = endpoint;
    return [
      {
        action: 'webhook.disabled',
        resource: { type: 'webhook', id, segmentId },
        environmentId,
        before: view(old),
        after: { ...view(endpoint), updatedAt: now },
      },
    ];
  });
  await recordChanges(db, changes);
}

function lastDeliveryOf({ startedAt, responseCode, status }: KeptTry): LastDeliveryView {
  return { at: startedAt, status, responseCode };
}
