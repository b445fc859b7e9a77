import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Logger } from 'pino';
import { v7 as uuidv7 } from 'uuid';
import { type HighVolumeEventType, highVolumePatterns, highVolumeTypesOf } from '../domain/events.js';
import { Database, type Tenant } from './database.js';
import { LOGGER } from './logger.js';
import { Recurring } from './recurring.js';
import { Signals } from './signals.js';

/** How old what is known may be when no signal comes through: events are made from within this time after somebody begins to listen. */
const LOOK_MS = 1000;
/** How long a stream counts as open without being renewed, which is how long a server that was killed still listens. */
const LEASE_SECONDS = 30;
const RENEW_MS = 10_000;

/**
 * Who listens to types of high volume: one row for each environment and pattern, from endpoints that are enabled and
 * streams that are open. The list stands in the text as it does in the index `webhook_endpoint_high_volume_idx`, which has
 * those endpoints and no others: a million that listen to `*` are not read.
 */
export const FIND_INTERESTS = {
  name: 'find_interests',
  text: `
    SELECT DISTINCT heard.environment_id AS "environmentId", pattern
      FROM (SELECT environment_id, events FROM webhook_endpoint
             WHERE is_enabled AND deleted_at IS NULL AND events && ARRAY[${highVolumePatterns.map((pattern) => `'${pattern}'`).join(', ')}]::text[]
             UNION ALL
            SELECT environment_id, types FROM event_interest WHERE until > now()) AS heard (environment_id, patterns)
     CROSS JOIN LATERAL unnest(heard.patterns) AS pattern`,
};

/** Begin or renew the leases $1, a list of them as JSON, for $2 seconds: also one that had run out, and was removed. */
const KEEP_LEASES = {
  name: 'keep_interests',
  text: `
    INSERT INTO event_interest (id, environment_id, types, until)
    SELECT id, environment_id, types, now() + make_interval(secs => $2)
      FROM jsonb_to_recordset($1::jsonb) AS lease (id uuid, environment_id uuid, types text[])
    ON CONFLICT (id) DO UPDATE SET until = excluded.until`,
};

/** End the leases $1, and remove those of servers that were killed. */
const END_LEASES = {
  name: 'end_interests',
  text: `
    DELETE FROM event_interest
     WHERE id = ANY($1::uuid[])
        OR id IN (SELECT id FROM event_interest WHERE until < now() - interval '1 minute' FOR UPDATE SKIP LOCKED)`,
};

/** The types that somebody listens to, by environment. */
type Listened = Map<string, Set<HighVolumeEventType>>;

interface Lease {
  id: string;
  environment_id: string;
  types: readonly HighVolumeEventType[];
}

/**
 * Which events of high volume somebody listens to, known from memory: nothing is asked where they could be made, and where
 * nobody listens they cost one look into a map (contract: webhooks.md, "Events"; docs/decisions/0017-webhooks.md).
 */
@Injectable()
export class Interests implements OnApplicationBootstrap, OnApplicationShutdown {
  private listened: Listened = new Map();
  /** Of streams that are open in this process. */
  private readonly leases = new Map<string, Lease>();
  private readonly looking: Recurring;
  private readonly renewing: Recurring;
  private renewal: Promise<void> = Promise.resolve();
  private stopHearing: () => void = () => undefined;

  constructor(
    private readonly database: Database,
    private readonly signals: Signals,
    @Inject(LOGGER) logger: Logger,
  ) {
    this.looking = new Recurring('who listens to events could not be looked up', LOOK_MS, () => this.look(), logger);
    this.renewing = new Recurring('open streams could not be kept in mind', RENEW_MS, () => this.renew(), logger);
  }

  /** Before the first request comes in, it is known who listens. */
  async onApplicationBootstrap(): Promise<void> {
    this.stopHearing = this.signals.on('interests', () => {
      this.looking.wake();
    });
    this.looking.start();
    this.renewing.start();
    await this.looking.run();
  }

  async onApplicationShutdown(): Promise<void> {
    this.stopHearing();
    await Promise.all([this.looking.stop(), this.renewing.stop()]);
    await this.end([...this.leases.keys()]);
  }

  /** Whether somebody listens to events of this type in the environment: from memory, at most a second old. */
  wants(environmentId: string, type: HighVolumeEventType): boolean {
    return this.listened.get(environmentId)?.has(type) === true;
  }

  /**
   * Somebody listens, until the answer is called: once this resolves this process makes such events, and every other does
   * within a second. It is kept in the database for as long as the process lives, and ends by itself soon after.
   */
  async listen({ environmentId }: Tenant, types: readonly HighVolumeEventType[]): Promise<() => Promise<void>> {
    if (types.length === 0) return () => Promise.resolve();
    const lease = { id: uuidv7(), environment_id: environmentId, types };
    await this.keep([lease]);
    this.leases.set(lease.id, lease);
    add(this.listened, environmentId, types);
    this.signals.send('interests');
    return async () => {
      if (!this.leases.delete(lease.id)) return;
      // One that is under way would bring it back.
      await this.renewal;
      await this.end([lease.id]);
      this.signals.send('interests');
    };
  }

  private async look(): Promise<void> {
    const rows = await this.database.lookup<{ environmentId: string; pattern: string }>(FIND_INTERESTS, []);
    const listened: Listened = new Map();
    for (const { environmentId, pattern } of rows) add(listened, environmentId, highVolumeTypesOf([pattern]));
    // One that began while the database was looking is not among what it found.
    for (const { environment_id: environmentId, types } of this.leases.values()) add(listened, environmentId, types);
    this.listened = listened;
  }

  private renew(): Promise<void> {
    const renewed = this.keep([...this.leases.values()]);
    this.renewal = renewed.catch(() => undefined);
    return renewed;
  }

  private async keep(leases: readonly Lease[]): Promise<void> {
    if (leases.length > 0) await this.database.stamp(KEEP_LEASES, [JSON.stringify(leases), LEASE_SECONDS]);
  }

  private async end(ids: readonly string[]): Promise<void> {
    if (ids.length > 0) await this.database.stamp(END_LEASES, [ids]);
  }
}

function add(listened: Listened, environmentId: string, types: readonly HighVolumeEventType[]): void {
  listened.set(environmentId, new Set([...(listened.get(environmentId) ?? []), ...types]));
}
