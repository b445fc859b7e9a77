import type { Db } from '../core/database.js';
import type { EnvironmentName } from '../domain/api-key.js';
import { type EndedTry, type EndpointHealth, isSuccess } from '../domain/endpoint-health.js';
import type { WebhookEndpoint } from '../generated/prisma/client.js';

/** A try, and where it went. */
export interface TryOf extends EndedTry {
  endpointId: string;
}

/** An endpoint with the environment that it is in. */
export interface HeldEndpoint extends WebhookEndpoint {
  environmentName: EnvironmentName;
}

/**
 * Hold the endpoints whose health these tries change, in the order in which everyone holds them: those that one failed at,
 * and those that are better now. Most are well and stay so: of them nothing is held and nothing written.
 */
export async function holdChanging(db: Db, tries: readonly TryOf[]): Promise<HeldEndpoint[]> {
  const idsOf = (all: readonly TryOf[]): string[] => [...new Set(all.map(({ endpointId }) => endpointId))];
  const failed = idsOf(tries.filter(({ responseCode }) => !isSuccess(responseCode)));
  const held = await db.$queryRaw<{ id: string }[]>`
    SELECT id FROM webhook_endpoint
     WHERE id = ANY(${idsOf(tries)}::uuid[]) AND deleted_at IS NULL
       AND (id = ANY(${failed}::uuid[]) OR consecutive_failures > 0 OR failing_since IS NOT NULL OR resting_until IS NOT NULL)
     ORDER BY id
       FOR NO KEY UPDATE`;
  if (held.length === 0) return [];
  const rows = await db.webhookEndpoint.findMany({
    where: { id: { in: held.map(({ id }) => id) } },
    include: { environment: { select: { name: true } } },
  });
  return rows.map(({ environment, ...row }) => ({ ...row, environmentName: environment.name }));
}

/** Write the health of endpoints that are held, in one statement. */
export async function keepHealth(db: Db, endpoints: readonly ({ id: string } & EndpointHealth)[], now: Date): Promise<void> {
  const rows = endpoints.map(({ id, isEnabled, disabledReason, disabledAt, failingSince, consecutiveFailures, restingUntil }) => ({
    id,
    isEnabled,
    disabledReason,
    disabledAt,
    failingSince,
    consecutiveFailures,
    restingUntil,
  }));
  await db.$executeRaw`
    UPDATE webhook_endpoint AS endpoint
       SET is_enabled = kept."isEnabled", disabled_reason = kept."disabledReason", disabled_at = kept."disabledAt",
           failing_since = kept."failingSince", consecutive_failures = kept."consecutiveFailures", resting_until = kept."restingUntil",
           updated_at = CASE WHEN endpoint.is_enabled = kept."isEnabled" THEN endpoint.updated_at ELSE ${now}::timestamptz END
      FROM jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) AS kept (
        "id" uuid, "isEnabled" boolean, "disabledReason" text, "disabledAt" timestamptz, "failingSince" timestamptz,
        "consecutiveFailures" int, "restingUntil" timestamptz)
     WHERE endpoint.id = kept.id`;
}
