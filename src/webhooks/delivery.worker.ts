import { setTimeout as wait } from 'node:timers/promises';
import { type BeforeApplicationShutdown, Inject, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';
import { Clock } from '../core/clock.js';
import { Database } from '../core/database.js';
import { LOGGER } from '../core/logger.js';
import { MasterKey } from '../core/master-key.js';
import { Metrics } from '../core/metrics.js';
import { Recurring } from '../core/recurring.js';
import { Role } from '../core/role.js';
import { Signals } from '../core/signals.js';
import { Tracing } from '../core/tracing.js';
import { isSuccess } from '../domain/endpoint-health.js';
import {
  claimDue,
  type Claimed,
  findWaiting,
  giveBack,
  keyOf,
  type LoadedEvent,
  loadEvents,
  loadSecrets,
  type SealedSecret,
} from './delivery.query.js';
import { noteOutcome, stepOfTry } from './delivery.spans.js';
import { Lanes } from './lanes.js';
import { DeliveryOutcomes } from './outcomes.js';
import { type AttemptOutcome, WebhookSender } from './sender.js';

/** For when nobody wakes it: the signal of a process that was killed, a pooler that passes on none. */
const INTERVAL_MS = 1000;
/** How long a claim is good for; then another process may take it over. Longer than any try with what comes before and after. */
const CLAIM_MS = 30_000;
/** A claim is that old at most when its try begins. */
const LATEST_START_MS = 10_000;
/** At stop, tries under way have so long to end. */
const GRACE_MS = 2500;
const LIMITS = { held: 1024, heldForFailing: 256, firstWidth: 2, width: 8 };
const KEPT_SECRETS = 10_000;
const SECRET_TTL_MS = 300_000;

/** A claim with all that is sent. */
interface Parcel extends Claimed {
  claimedAt: Date;
  /** The event as JSON; null = it is no longer kept. */
  body: string | null;
  eventType: string;
  traceContext: string | null;
  secrets: string[];
}

/** What a look at the queue came to. */
interface Found {
  claims: Claimed[];
  /** By `keyOf`. */
  events: Map<string, LoadedEvent>;
  secrets: SealedSecret[];
}

/**
 * Delivers events to endpoints (contract: webhooks.md, "Delivery"; docs/decisions/0017-webhooks.md, "Delivering"). Any number
 * of processes do: each claims what is due, shared fairly between endpoints, tries it, and writes down what came of it.
 */
@Injectable()
export class DeliveryWorker implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly work: Recurring;
  private readonly lanes = new Lanes<Parcel>(LIMITS);
  private readonly inHand = new Set<Promise<void>>();
  /** Opened secrets; what lies under an id never changes. */
  private readonly opened = new LRUCache<string, string>({ max: KEPT_SECRETS, ttl: SECRET_TTL_MS });
  private alarm?: NodeJS.Timeout;
  private isStopping = false;
  /** What is still under way is left. */
  private isCutOff = false;

  constructor(
    private readonly database: Database,
    private readonly signals: Signals,
    private readonly sender: WebhookSender,
    private readonly outcomes: DeliveryOutcomes,
    private readonly masterKey: MasterKey,
    private readonly clock: Clock,
    private readonly role: Role,
    private readonly metrics: Metrics,
    private readonly tracing: Tracing,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.work = new Recurring('deliveries could not be claimed', INTERVAL_MS, (goesOn) => this.claimAll(goesOn), logger);
  }

  onApplicationBootstrap(): void {
    const wake = (): void => {
      this.work.wake();
    };
    this.signals.on('feed', wake);
    this.signals.on('deliveries', wake);
    this.role.startJob('deliveries', this.work);
  }

  /** Before the sender ends its connections. Tries that do not end in time are left for another process to repeat. */
  async beforeApplicationShutdown(): Promise<void> {
    this.isStopping = true;
    clearTimeout(this.alarm);
    const endAll = async (): Promise<void> => {
      await this.work.stop();
      await this.release(this.lanes.takeWaiting());
      await Promise.all(this.inHand);
    };
    await Promise.race([endAll(), wait(GRACE_MS, undefined, { ref: false })]);
    this.isCutOff = true;
  }

  /** Until nothing more is due, or as much is in hand as there may be. */
  private async claimAll(goesOn: () => boolean): Promise<void> {
    await this.release(this.lanes.takeStalled(this.clock.now()));
    for (let claimed = 1; claimed > 0 && goesOn();) claimed = await this.claimSome();
  }

  /** How many were claimed; they are on their way. */
  private async claimSome(): Promise<number> {
    const claimedAt = this.clock.now();
    const found = await this.database.acrossTenants('claim deliveries that are due, with what they consist of', async (db) => {
      const waiting = await findWaiting(db);
      const dueIds = waiting.filter(({ dueAt }) => dueAt <= claimedAt).map(({ endpointId }) => endpointId);
      const shares = this.lanes.share(dueIds);
      const claims = shares.size === 0 ? [] : await claimDue(db, shares, claimedAt, new Date(claimedAt.getTime() + CLAIM_MS));
      const [events, secrets] =
        claims.length === 0
          ? [new Map<string, LoadedEvent>(), []]
          : [await loadEvents(db, claims), await loadSecrets(db, claims, claimedAt)];
      return { nextDueAt: waiting[dueIds.length]?.dueAt, shares, claims, events, secrets };
    });
    this.setAlarm(found.nextDueAt);
    this.lanes.add(found.shares, this.pack(found, claimedAt));
    this.begin(found.shares.keys());
    return found.claims.length;
  }

  /** In the order in which they are to leave. */
  private pack({ claims, events, secrets }: Found, claimedAt: Date): Parcel[] {
    const bodies = new Map([...events].map(([key, { view }]) => [key, JSON.stringify(view)]));
    const secretsOf = new Map<string, string[]>();
    for (const secret of secrets) {
      const key = keyOf(secret, secret.endpointId);
      secretsOf.set(key, [...(secretsOf.get(key) ?? []), ...this.open(secret)]);
    }
    return claims
      .map((claim) => {
        const event = events.get(keyOf(claim, claim.eventId));
        return {
          ...claim,
          claimedAt,
          body: bodies.get(keyOf(claim, claim.eventId)) ?? null,
          eventType: event?.view.type ?? '',
          traceContext: event?.traceContext ?? null,
          secrets: secretsOf.get(keyOf(claim, claim.endpointId)) ?? [],
        };
      })
      .sort((a, b) => a.dueAt.getTime() - b.dueAt.getTime() || (a.position < b.position ? -1 : 1));
  }

  private open({ id, sealed }: SealedSecret): string[] {
    try {
      const known = this.opened.get(id);
      this.metrics.cacheRead('webhook_secrets', known !== undefined);
      const secret = known ?? this.masterKey.open(sealed, `webhook-secret:${id}`);
      this.opened.set(id, secret);
      return [secret];
    } catch (error) {
      this.logger.error({ err: error, secretId: id }, 'a secret of a webhook endpoint cannot be opened');
      return [];
    }
  }

  private begin(endpointIds: Iterable<string>): void {
    if (this.isStopping) return;
    for (const parcel of this.lanes.start(endpointIds)) {
      const done = this.deliver(parcel).finally(() => this.inHand.delete(done));
      this.inHand.add(done);
    }
  }

  private async deliver(parcel: Parcel): Promise<void> {
    const attempt = await this.attempt(parcel);
    const ended =
      attempt === null || parcel.body === null ? null : { isSuccess: isSuccess(attempt.responseCode), durationMs: attempt.durationMs };
    this.lanes.ended(parcel, ended);
    this.begin([parcel.endpointId]);
    if (attempt === null) {
      await this.release([parcel]);
      return;
    }
    await this.outcomes.keep({ claim: parcel, attempt, isEventKept: parcel.body !== null }, () => !this.isCutOff);
    this.settle(parcel);
  }

  /** Null = none was made, or what it came to says nothing: it is to be made again. */
  private async attempt(parcel: Parcel): Promise<AttemptOutcome | null> {
    const { claimedAt, body, secrets } = parcel;
    if (body === null) return notSent(this.clock.now(), 'The event is no longer kept.');
    if (secrets.length === 0) return notSent(this.clock.now(), 'There is no secret to sign with.');
    if (this.clock.now().getTime() - claimedAt.getTime() > LATEST_START_MS) return null;
    const attempt = await this.send({ ...parcel, body });
    // What breaks off because this process ends is nobody else's failure.
    return this.isStopping && attempt.responseCode === null ? null : attempt;
  }

  /** As a step of what wrote the event. The receiver is not told of the trace: it is the operator's, and no vendor's. */
  private send(parcel: Parcel & { body: string }): Promise<AttemptOutcome> {
    return this.tracing.goOn(parcel.traceContext, stepOfTry(parcel, parcel.eventType), async (span) => {
      const { url, secrets, eventId, body } = parcel;
      const attempt = await this.sender.send({ url, secrets, eventId, body });
      if (span !== null) noteOutcome(span, attempt);
      return attempt;
    });
  }

  /** Give claims back. Where that fails they end by themselves. */
  private async release(parcels: readonly Parcel[]): Promise<void> {
    if (parcels.length === 0) return;
    try {
      await this.database.acrossTenants('give back deliveries that were claimed', (db) => giveBack(db, parcels));
    } catch (error) {
      this.logger.debug({ err: error }, 'claims of deliveries could not be given back');
    }
    for (const parcel of parcels) this.settle(parcel);
  }

  private settle(parcel: Parcel): void {
    if (this.lanes.settled(parcel)) this.work.wake();
  }

  /** For what is due before this process looks by itself. */
  private setAlarm(at?: Date): void {
    clearTimeout(this.alarm);
    const delayMs = (at?.getTime() ?? Infinity) - this.clock.now().getTime();
    if (delayMs >= INTERVAL_MS || this.isStopping) return;
    this.alarm = setTimeout(
      () => {
        this.work.wake();
      },
      Math.max(0, delayMs),
    ).unref();
  }
}

function notSent(startedAt: Date, error: string): AttemptOutcome {
  return { startedAt, durationMs: 0, responseCode: null, error, responseBody: null, retryAfter: null };
}
