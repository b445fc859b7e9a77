import { Injectable } from '@nestjs/common';
import { Clock } from '../core/clock.js';
import { Database, type Tenant } from '../core/database.js';
import { type Page, pageOf } from '../core/page.js';
import { RateLimits } from '../core/rate-limits.js';
import { Signals } from '../core/signals.js';
import { LatchkeyError, notFound } from '../domain/errors.js';
import { isRetriedLater, replayedTypes, requireEnabled, requireRange, requireReplayable } from '../domain/webhook-endpoint.js';
import { type DeliveriesQuery, type DeliveryView, type QueuedView, type ReplayWebhookBody, toDeliveryView } from './deliveries.dto.js';
import { findDeliveries, findDelivery, queueReplay, withDetails } from './deliveries.query.js';
import { loadEndpoint } from './webhooks.query.js';

/** What an endpoint was told, and what it is to be told again (contract: webhooks.md, "Endpoints"). */
@Injectable()
export class DeliveriesService {
  constructor(
    private readonly database: Database,
    private readonly clock: Clock,
    private readonly signals: Signals,
    private readonly rateLimits: RateLimits,
  ) {}

  /** Newest first. */
  list(tenant: Tenant, endpointId: string, query: DeliveriesQuery): Promise<Page<DeliveryView>> {
    return this.database.within(tenant, async (db) => {
      await loadEndpoint(db, endpointId);
      const find = (slice: Parameters<typeof findDeliveries>[3]) => findDeliveries(db, endpointId, query, slice);
      return pageOf(query, { list: 'webhook-deliveries', sort: '-createdAt' }, find, toDeliveryView);
    });
  }

  /**
   * It is tried now, and when that fails for as often as its schedule has tries left. One that is being tried, or will be
   * within half a minute, is left as it is. 409 when its endpoint is disabled, or its event is kept no longer.
   */
  async retry(tenant: Tenant, id: string): Promise<DeliveryView> {
    const view = await this.database.within(tenant, async (db) => {
      await db.$queryRaw`SELECT 1 FROM webhook_delivery WHERE id = ${id}::uuid FOR NO KEY UPDATE`;
      const delivery = await findDelivery(db, id);
      if (delivery === null) throw notFound('delivery');
      requireEnabled(delivery.endpoint);
      const event = await db.event.findUnique({ where: { id: delivery.eventId }, select: { id: true } });
      if (event === null) throw new LatchkeyError('CONFLICT', 'The event is kept no longer.', { status: 'expired' });
      const now = this.clock.now();
      const data = { status: 'pending', nextAttemptAt: now, finishedAt: null } as const;
      const retried = isRetriedLater(delivery, now) ? await db.webhookDelivery.update({ where: { id }, data }) : delivery;
      const [row] = await withDetails(db, [retried]);
      if (row === undefined) throw notFound('delivery');
      return toDeliveryView(row);
    });
    this.wakeAfterCommit();
    return view;
  }

  /**
   * Queue again what happened in a time. 400 for more than one replay takes, 409 when the endpoint is disabled, 429 when it
   * is asked for too often.
   */
  async replay(tenant: Tenant, id: string, { from, to, types }: ReplayWebhookBody): Promise<QueuedView> {
    requireRange({ from, to });
    requireEnabled(await this.database.within(tenant, (db) => loadEndpoint(db, id)));
    // Only of those that are the caller's, and between two units of work: the limits may be shared by way of the network.
    await this.rateLimits.admit('replay', id);
    const queued = await this.database.within(tenant, async (db) => {
      const endpoint = await loadEndpoint(db, id);
      requireEnabled(endpoint);
      const chosen = { from, to, types: replayedTypes(types ?? endpoint.events) };
      const outcome = await queueReplay(db, endpoint, chosen, this.clock.now());
      requireReplayable(outcome.found);
      return outcome.queued;
    });
    this.wakeAfterCommit();
    return { queued };
  }

  private wakeAfterCommit(): void {
    this.database.afterCommit(() => {
      this.signals.send('deliveries');
    });
  }
}
