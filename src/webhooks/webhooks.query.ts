import { v7 as uuidv7 } from 'uuid';
import type { Db } from '../core/database.js';
import type { MasterKey } from '../core/master-key.js';
import { notFound } from '../domain/errors.js';
import type { WebhookEndpoint } from '../generated/prisma/client.js';
import type { LastDeliveryView } from './webhooks.dto.js';

/** @throws 404 */
export async function loadEndpoint(db: Db, id: string): Promise<WebhookEndpoint> {
  const row = await db.webhookEndpoint.findFirst({ where: { id, deletedAt: null } });
  if (row === null) throw notFound('webhook endpoint');
  return row;
}

/** The same, held until the end of the work: what is judged is what is changed. What refers to it does not wait. */
export async function holdEndpoint(db: Db, id: string): Promise<WebhookEndpoint> {
  await db.$queryRaw`SELECT 1 FROM webhook_endpoint WHERE id = ${id}::uuid FOR NO KEY UPDATE`;
  return loadEndpoint(db, id);
}

/**
 * How many there are in the environment, whoever made them; until the end of the work nobody else adds one. Asked before
 * each creation, so that of many at once no more are made than there may be.
 */
export async function countToAddTo(db: Db, environmentId: string): Promise<number> {
  await db.$executeRaw`SELECT pg_advisory_xact_lock(hashtextextended(${`webhook endpoints of ${environmentId}`}, 0))`;
  return db.webhookEndpoint.count({ where: { deletedAt: null } });
}

/** The newest try of each of these endpoints that has one: a step of the index `webhook_attempt_endpoint_idx` for each. */
export async function lastDeliveries(db: Db, endpointIds: readonly string[]): Promise<Map<string, LastDeliveryView>> {
  if (endpointIds.length === 0) return new Map();
  const rows = await db.$queryRaw<(LastDeliveryView & { id: string })[]>`
    SELECT endpoint.id, newest.started_at AS at, newest.response_code AS "responseCode", delivery.status::text AS status
      FROM unnest(${endpointIds}::uuid[]) AS endpoint (id)
     CROSS JOIN LATERAL (
           SELECT environment_id, delivery_id, started_at, response_code FROM webhook_attempt
            WHERE endpoint_id = endpoint.id ORDER BY started_at DESC LIMIT 1) AS newest
      JOIN webhook_delivery AS delivery ON delivery.environment_id = newest.environment_id AND delivery.id = newest.delivery_id`;
  return new Map(rows.map(({ id, ...last }) => [id, last]));
}

/** A secret of the endpoint, sealed; it signs until another one takes its place. Answers its id. */
export async function addSecret(db: Db, masterKey: MasterKey, endpointId: string, secret: string): Promise<string> {
  const id = uuidv7();
  await db.webhookSecret.create({ data: { id, endpointId, sealed: masterKey.seal(secret, `webhook-secret:${id}`) } });
  return id;
}

/** Secrets end when they are told to, and those that are not told to are gone. */
export async function endSecrets(db: Db, endpointId: string, ending: readonly { id: string; endsAt: Date }[]): Promise<void> {
  await db.webhookSecret.deleteMany({ where: { endpointId, id: { notIn: ending.map(({ id }) => id) } } });
  await db.$executeRaw`
    UPDATE webhook_secret SET ends_at = ending.ends_at
      FROM unnest(${ending.map(({ id }) => id)}::uuid[], ${ending.map(({ endsAt }) => endsAt)}::timestamptz[]) AS ending (id, ends_at)
     WHERE webhook_secret.id = ending.id`;
}

/** Of one statement. What is beyond it is never sent either, and goes with its events. */
const MAX_GIVEN_UP = 10_000;

/** What waits for an endpoint that is gone has failed: workers look at nothing of it again. */
export async function giveUpPending(db: Db, endpointId: string, now: Date): Promise<void> {
  await db.$executeRaw`
    UPDATE webhook_delivery SET status = 'failed', finished_at = ${now}::timestamptz
     WHERE id IN (
       SELECT id FROM webhook_delivery WHERE endpoint_id = ${endpointId}::uuid AND status = 'pending'
        LIMIT ${MAX_GIVEN_UP}::int FOR NO KEY UPDATE SKIP LOCKED)`;
}
