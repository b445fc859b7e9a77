import { Injectable } from '@nestjs/common';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { LatchkeyError } from '../domain/errors.js';
import type { ValidationCode } from '../domain/validation.js';
import { VERSION } from './version.js';

/** What is kept in memory. */
type CacheName = 'access_tokens' | 'credentials' | 'signing_keys' | 'webhook_secrets';

/** A value of a gauge, for one set of labels. */
export interface Reading<Label extends string> {
  labels: Partial<Record<Label, string>>;
  value: number;
}

/** What a gauge shows when somebody looks; null = it cannot be said at the moment, and is left out. */
export type Source<Label extends string> = () => readonly Reading<Label>[] | null | Promise<readonly Reading<Label>[] | null>;

const FASTEST_TO_SLOWEST_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const DELIVERY_SECONDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60, 300, 900, 3600];
const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'];

/**
 * Every number that this process shows at `/metrics` (docs/operations/README.md): declared here and nowhere else, noted by
 * whoever does what it counts. Labels are from closed sets – routes by their patterns, codes, names of ours – and never
 * anybody's: no id, no tenant, nothing that a caller writes. Noting one costs about half a microsecond.
 */
@Injectable()
export class Metrics {
  private readonly registry = new Registry();
  private readonly readers: (() => Promise<void>)[] = [];

  private readonly info = this.gauge('info', 'Always 1; the labels say what runs.', ['version', 'node']);

  private readonly httpRequests = this.counter('http_requests_total', 'Requests that were answered.', ['method', 'route', 'status']);
  private readonly httpSeconds = this.histogram(
    'http_request_duration_seconds',
    'From the head of a request to the end of its answer; without streams.',
    ['method', 'route'],
    FASTEST_TO_SLOWEST_SECONDS,
  );
  readonly rateLimitRefusals = this.counter('rate_limit_refusals_total', 'Requests refused for asking too often.', ['policy']);
  readonly authFailures = this.counter('auth_failures_total', 'Requests refused for who sent them.', ['code']);

  private readonly validations = this.counter('validations_total', 'Verdicts on licenses.', ['code', 'outcome']);
  readonly activations = this.counter('activations_total', 'Machines that asked for a seat; dry runs are none.', ['outcome', 'code']);
  readonly heartbeats = this.counter('heartbeats_total', 'Heartbeats of machines.', ['outcome', 'code']);
  readonly seatsInUse = this.gauge('seats_in_use', 'Machines that hold a seat, of all tenants; shown by workers.', []);

  readonly outboxEvents = this.gauge('outbox_events', 'Events that are committed and not yet passed on; counted up to 100000.', []);
  readonly outboxOldestSeconds = this.gauge('outbox_oldest_event_age_seconds', 'Age of the oldest of them; 0 = none waits.', []);
  readonly deliveriesPending = this.gauge('deliveries_pending', 'Deliveries that have not ended, retries too; counted up to 100000.', []);
  readonly deliveriesOldestSeconds = this.gauge(
    'deliveries_oldest_due_age_seconds',
    'How long the delivery has been due that has waited longest, of endpoints that may be called; 0 = none is due.',
    [],
  );
  readonly deliveryAttempts = this.counter('delivery_attempts_total', 'Tries to deliver an event.', ['outcome']);
  readonly deliveryAttemptSeconds = this.histogram(
    'delivery_attempt_duration_seconds',
    'How long endpoints took to answer, or not to.',
    [],
    DELIVERY_SECONDS,
  );
  readonly deliverySeconds = this.histogram(
    'delivery_latency_seconds',
    'From when a try was due to when the event was delivered by it.',
    [],
    DELIVERY_SECONDS,
  );
  readonly deliveriesFinished = this.counter('deliveries_finished_total', 'Deliveries that ended.', ['status']);

  readonly rollUpsOldestSeconds = this.gauge(
    'roll_ups_oldest_waiting_age_seconds',
    'Age of the oldest of what waits to be folded into the roll-ups of analytics, of all tenants; 0 = nothing waits.',
    [],
  );

  readonly jobAgeSeconds = this.gauge('job_last_round_age_seconds', 'Since the last round of a job ended well, or since its start.', [
    'name',
  ]);
  readonly jobIntervalSeconds = this.gauge('job_interval_seconds', 'How often a round of the job is due.', ['name']);

  private readonly cacheReads = this.counter('cache_reads_total', 'Reads of what is kept in memory.', ['cache', 'outcome']);
  readonly poolSize = this.gauge('database_pool_size', 'Most connections of a pool.', ['pool']);
  readonly poolConnections = this.gauge('database_pool_connections', 'Connections that are open.', ['pool', 'state']);
  readonly poolWaiting = this.gauge('database_pool_waiting', 'Units of work that wait for a connection.', ['pool']);
  readonly ready = this.gauge('ready', '1 = /health/ready answers 200, 0 = it does not.', []);

  constructor() {
    this.info.set({ version: VERSION, node: process.version }, 1);
  }

  /** One request was answered: the rate, the errors and the duration of its route. `seconds` is null for a stream. */
  answered(method: string, route: string, status: number, seconds: number | null): void {
    const labels = { method: METHODS.includes(method) ? method : 'other', route };
    this.httpRequests.inc({ ...labels, status: `${Math.floor(status / 100)}xx` });
    if (seconds !== null) this.httpSeconds.observe(labels, seconds);
  }

  /** A verdict was reached: by validate-key, or by id. */
  validated({ code, valid }: { code: ValidationCode; valid: boolean }): void {
    this.validations.inc({ code, outcome: valid ? 'valid' : 'invalid' });
  }

  /** Whether it was there, and recent enough. */
  cacheRead(cache: CacheName, isHit: boolean): void {
    this.cacheReads.inc({ cache, outcome: isHit ? 'hit' : 'miss' });
  }

  /** Counts what comes of the work, which goes on untouched: the outcome of what it resolves to, or the code that it is refused with. */
  counting<T>(counter: Counter<'outcome' | 'code'>, work: Promise<T>, outcomeOf: (result: T) => string): Promise<T> {
    work.then(
      (result) => {
        counter.inc({ outcome: outcomeOf(result), code: '' });
      },
      (error: unknown) => {
        const isRefusal = error instanceof LatchkeyError && error.status < 500;
        counter.inc(isRefusal ? { outcome: 'refused', code: error.code } : { outcome: 'failed', code: '' });
      },
    );
    return work;
  }

  /** From now on the gauge shows what the source says when somebody looks. */
  watch<Label extends string>(gauge: Gauge<Label>, source: Source<Label>): void {
    this.readers.push(async () => {
      const readings = await source();
      gauge.reset();
      // A gauge without labels is 0 when it is reset, which is not the same as unknown.
      if (readings === null || readings.length === 0) gauge.remove({});
      for (const { labels, value } of readings ?? []) gauge.set(labels as Record<Label, string>, value);
    });
  }

  /** All there is, in the text format of Prometheus, with the numbers of Node's process. */
  async text(): Promise<string> {
    await Promise.all(this.readers.map((read) => read()));
    return Registry.merge([this.registry, ofProcess()]).metrics();
  }

  private counter<Label extends string>(name: string, help: string, labelNames: readonly Label[]): Counter<Label> {
    return new Counter({ name: `latchkey_${name}`, help, labelNames, registers: [this.registry] });
  }

  private gauge<Label extends string>(name: string, help: string, labelNames: readonly Label[]): Gauge<Label> {
    return new Gauge({ name: `latchkey_${name}`, help, labelNames, registers: [this.registry] });
  }

  private histogram<Label extends string>(name: string, help: string, labelNames: readonly Label[], buckets: number[]): Histogram<Label> {
    return new Histogram({ name: `latchkey_${name}`, help, labelNames, buckets, registers: [this.registry] });
  }
}

let registryOfProcess: Registry | undefined;

/** Memory, processor time, garbage collection and the lag of the event loop: the process has one of each, and names of its own. */
function ofProcess(): Registry {
  if (registryOfProcess === undefined) {
    registryOfProcess = new Registry();
    collectDefaultMetrics({ register: registryOfProcess });
  }
  return registryOfProcess;
}
