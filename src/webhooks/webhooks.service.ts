import { Injectable } from '@nestjs/common';
import { type Change, recordChange, recordEvents } from '../core/audit.js';
import { Clock } from '../core/clock.js';
import { Database, type Db, type Tenant } from '../core/database.js';
import { MasterKey } from '../core/master-key.js';
import { Page, type PageQuery, paginate } from '../core/page.js';
import { acrossSegments } from '../core/segment.js';
import { type Signal, Signals } from '../core/signals.js';
import { invalid } from '../domain/errors.js';
import { healthAfter, overlappingSecrets, requireEnabled, requireRoom } from '../domain/webhook-endpoint.js';
import { generateSecret } from '../domain/webhook-signature.js';
import { type EventView, toEventView } from '../events/events.dto.js';
import type { WebhookEndpoint } from '../generated/prisma/client.js';
import { AddressGuard } from './address-guard.js';
import {
  type CreateWebhookBody,
  type RotateWebhookSecretBody,
  toEndpointChanges,
  toWebhookView,
  type UpdateWebhookBody,
  type WebhookView,
  type WebhookWithSecretView,
} from './webhooks.dto.js';
import { addSecret, countToAddTo, endSecrets, giveUpPending, holdEndpoint, lastDeliveries, loadEndpoint } from './webhooks.query.js';

/** The vendor's addresses that are told of events (contract: webhooks.md, "Endpoints"). */
@Injectable()
export class WebhooksService {
  constructor(
    private readonly database: Database,
    private readonly masterKey: MasterKey,
    private readonly clock: Clock,
    private readonly signals: Signals,
    private readonly addresses: AddressGuard,
  ) {}

  /** 400 for a URL that may not be called, 422 when there are too many. */
  async create(tenant: Tenant, body: CreateWebhookBody): Promise<WebhookWithSecretView> {
    await this.requireUrl(body.url);
    const { url, events = ['*'], description, enabled = true, metadata } = body;
    const view = await this.database.within(tenant, async (db) => {
      const count = () => countToAddTo(db, tenant.environmentId);
      requireRoom(await acrossSegments(db, tenant, 'how many webhook endpoints there are', count));
      const disabledAt = enabled ? null : this.clock.now();
      const row = await db.webhookEndpoint.create({ data: { url, events, description, isEnabled: enabled, disabledAt, metadata } });
      const secret = generateSecret();
      await addSecret(db, this.masterKey, row.id, secret);
      const after = toWebhookView(row, null, tenant.environment);
      await recordChange(db, { action: 'webhook.created', resource: resourceOf(row), after });
      return { ...after, secret };
    });
    this.sendAfterCommit('interests');
    return view;
  }

  list(tenant: Tenant, query: PageQuery): Promise<Page<WebhookView>> {
    return this.database.within(tenant, async (db) => {
      const page = await paginate(
        query,
        { list: 'webhooks', sort: '-createdAt' },
        ({ where, ...slice }) => db.webhookEndpoint.findMany({ ...slice, where: { AND: [{ deletedAt: null }, where] } }),
        (row) => row,
      );
      const last = await lastDeliveries(
        db,
        page.items.map(({ id }) => id),
      );
      const views = page.items.map((row) => toWebhookView(row, last.get(row.id) ?? null, tenant.environment));
      return new Page(views, page.nextCursor);
    });
  }

  get(tenant: Tenant, id: string): Promise<WebhookView> {
    return this.database.within(tenant, async (db) => this.view(db, tenant, await loadEndpoint(db, id)));
  }

  /** 400 for a URL that may not be called. */
  async update(tenant: Tenant, id: string, body: UpdateWebhookBody): Promise<WebhookView> {
    if (body.url !== undefined) await this.requireUrl(body.url);
    const view = await this.database.within(tenant, async (db) => {
      const old = await holdEndpoint(db, id);
      const isOtherUrl = body.url !== undefined && body.url !== old.url;
      const health = healthAfter(old, { enabled: body.enabled, isOtherUrl }, this.clock.now());
      const before = await this.view(db, tenant, old);
      const row = await db.webhookEndpoint.update({ where: { id }, data: { ...toEndpointChanges(body), ...health } });
      const after = toWebhookView(row, before.lastDelivery, tenant.environment);
      await recordChange(db, { action: 'webhook.updated', resource: resourceOf(old), before, after });
      return after;
    });
    this.sendAfterCommit('interests');
    this.sendAfterCommit('deliveries');
    return view;
  }

  /** What is pending is never sent: it has failed. */
  async remove(tenant: Tenant, id: string): Promise<void> {
    await this.database.within(tenant, async (db) => {
      const old = await holdEndpoint(db, id);
      const before = await this.view(db, tenant, old);
      await db.webhookEndpoint.update({ where: { id }, data: { deletedAt: this.clock.now() } });
      await giveUpPending(db, id, this.clock.now());
      await recordChange(db, { action: 'webhook.deleted', resource: resourceOf(old), before });
    });
    this.sendAfterCommit('interests');
  }

  /** A new secret; those before it sign too until the overlap ends. 409 when too many would. */
  rotateSecret(tenant: Tenant, id: string, { overlapSeconds }: RotateWebhookSecretBody): Promise<WebhookWithSecretView> {
    return this.database.within(tenant, async (db) => {
      const endpoint = await holdEndpoint(db, id);
      const secrets = await db.webhookSecret.findMany({ where: { endpointId: id }, select: { id: true, endsAt: true } });
      const overlapping = overlappingSecrets(secrets, overlapSeconds, this.clock.now());
      await endSecrets(db, id, overlapping);
      const secret = generateSecret();
      const secretId = await addSecret(db, this.masterKey, id, secret);
      const view = await this.view(db, tenant, endpoint);
      await recordChange(db, {
        action: 'webhook.secret_rotated',
        resource: resourceOf(endpoint),
        before: { secretId: secrets.find(({ endsAt }) => endsAt === null)?.id },
        after: { secretId, overlapping },
      });
      return { ...view, secret };
    });
  }

  /** An event that only this endpoint is told of. 409 when it is disabled. */
  test(tenant: Tenant, id: string): Promise<EventView> {
    return this.database.within(tenant, async (db) => {
      const endpoint = await loadEndpoint(db, id);
      requireEnabled(endpoint);
      const after = await this.view(db, tenant, endpoint);
      const [eventId] = await recordEvents(db, [{ action: 'webhook.test', resource: resourceOf(endpoint), after }]);
      return toEventView(await db.event.findUniqueOrThrow({ where: { id: eventId } }), tenant.environment);
    });
  }

  private async view(db: Db, { environment }: Tenant, row: WebhookEndpoint): Promise<WebhookView> {
    const last = await lastDeliveries(db, [row.id]);
    return toWebhookView(row, last.get(row.id) ?? null, environment);
  }

  /** Asked before the work begins: it may wait for an answer of the network. */
  private async requireUrl(url: string): Promise<void> {
    const message = await this.addresses.issueOf(url);
    if (message !== null) throw invalid([{ path: 'url', message }]);
  }

  private sendAfterCommit(signal: Signal): void {
    this.database.afterCommit(() => {
      this.signals.send(signal);
    });
  }
}

/** As log and events name it: an endpoint of a segment is in that segment's, whoever changes it. */
function resourceOf({ id, segmentId }: WebhookEndpoint): Change['resource'] {
  return { type: 'webhook', id, segmentId };
}
