import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import type { Response } from 'express';
import type { Logger } from 'pino';
import { LatchkeyError } from '../domain/errors.js';
import { rateLimitHeaders, secondsLeft, type Standing } from '../domain/rate-limit.js';
import { Clock } from './clock.js';
import { Config } from './config.js';
import { LOGGER } from './logger.js';
import { MasterKey } from './master-key.js';
import { Metrics } from './metrics.js';
import { currentRequest } from './request-context.js';
import { LocalCounters, SharedCounters } from './window-counters.js';

/** What is limited (contract: http.md, "Rate limits"), by what, the setting that says how often a minute, and how a refusal tells it. */
export const limitPolicies = {
  validate: { setting: 'limitValidatePerMinute', exceeded: requestsOf('license and address') },
  'validate-unknown': {
    setting: 'limitValidateUnknownPerMinute',
    exceeded: 'unknown license keys a minute from this address. Known keys still work.',
  },
  activate: { setting: 'limitActivatePerMinute', exceeded: requestsOf('license') },
  'auth-failures': {
    setting: 'limitAuthFailuresPerMinute',
    exceeded: 'failed authentications a minute from this address. Right credentials still work.',
  },
  management: { setting: 'limitManagementPerMinute', exceeded: requestsOf('API key') },
  replay: { setting: 'limitReplayPerMinute', exceeded: 'replays a minute to this webhook endpoint.' },
  public: { setting: 'limitPublicPerMinute', exceeded: requestsOf('address') },
} as const satisfies Record<string, { setting: keyof Config; exceeded: string }>;

export type LimitPolicy = keyof typeof limitPolicies;

export const WINDOW_SECONDS = 60;

/** How often may they ask: fixed windows, in memory or shared through Redis (docs/decisions/0009-rate-limits.md). */
@Injectable()
export class RateLimits implements OnApplicationShutdown {
  /** One each, so that a flood of addresses makes none forget what it knows of keys. */
  private readonly local: Record<LimitPolicy, LocalCounters>;
  private readonly shared: SharedCounters | null;

  constructor(
    private readonly config: Config,
    private readonly clock: Clock,
    masterKey: MasterKey,
    @Inject(LOGGER) logger: Logger,
    private readonly metrics: Metrics,
  ) {
    const counters = Object.keys(limitPolicies).map((policy) => [policy, new LocalCounters(WINDOW_SECONDS * 1000)]);
    this.local = Object.fromEntries(counters) as Record<LimitPolicy, LocalCounters>;
    const { redisUrl } = config;
    this.shared = redisUrl === undefined ? null : new SharedCounters(redisUrl, `latchkey:${masterKey.pepperId}`, WINDOW_SECONDS, logger);
  }

  /** Before the first request, so that it is counted where all are. A Redis that is away is no reason to wait or fail. */
  async connect(): Promise<void> {
    await this.shared?.connect();
  }

  /**
   * Count the request in hand, and show in its answer's headers how it stands. `key` is whom to count by – for an address,
   * `ipKey` of it. `perMinute` takes the place of the setting's limit; 0 = no limit. What the server or the command line
   * does of its own is no request, and is not limited.
   * @throws 429 RATE_LIMITED
   */
  async admit(policy: LimitPolicy, key: string, perMinute = this.config[limitPolicies[policy].setting]): Promise<void> {
    const request = currentRequest();
    if (request?.response == null || perMinute === 0) return;
    const { count, endsInMs } = (await this.shared?.count(`${policy}:${key}`)) ?? this.local[policy].count(key, this.clock.now());
    const standing: Standing = { policy, limit: perMinute, remaining: Math.max(0, perMinute - count), resetsInMs: endsInMs };
    this.show(standing, request.response);
    if (count <= perMinute) return;
    this.metrics.rateLimitRefusals.inc({ policy });
    throw refusal(policy, standing);
  }

  onApplicationShutdown(): void {
    this.shared?.close();
  }

  private show(standing: Standing, response: Response): void {
    const standings = [...((response.locals.standings ?? []) as Standing[]), standing];
    response.locals.standings = standings;
    response.set(rateLimitHeaders(standings, WINDOW_SECONDS, this.clock.now()));
  }
}

function refusal(policy: LimitPolicy, standing: Standing): LatchkeyError {
  const { limit } = standing;
  const retryAfterSeconds = secondsLeft(standing);
  const message = `More than ${String(limit)} ${limitPolicies[policy].exceeded} Try again in ${String(retryAfterSeconds)} seconds.`;
  return new LatchkeyError('RATE_LIMITED', message, { policy, limit, retryAfterSeconds });
}

function requestsOf(whom: string): string {
  return `requests a minute for this ${whom}.`;
}
