import { v7 as uuidv7 } from 'uuid';
import { withClient } from '../support/database.js';

/** Environments of vendors of their own, two of each: answers their ids. */
export function plantEnvironments(url, count) {
  return withClient(url, async (client) => {
    await client.query(
      `INSERT INTO account (id, name, slug, owner_email, updated_at)
       SELECT gen_random_uuid(), 'Vendor ' || n, 'vendor-' || n, 'owner@vendor-' || n || '.example', now() FROM generate_series(1, $1) AS n`,
      [Math.ceil(count / 2)],
    );
    const { rows } = await client.query(
      `INSERT INTO environment (id, account_id, name)
       SELECT gen_random_uuid(), account.id, environment_name
         FROM account CROSS JOIN unnest(enum_range(NULL::environment_name)) AS environment_name
        WHERE account.slug LIKE 'vendor-%'
       RETURNING id`,
    );
    return rows.slice(0, count).map(({ id }) => id);
  });
}

/** An endpoint in each environment, at the URL that `urlOf` says for its index; what there was before is gone. */
export function plantEndpoints(url, masterKey, environmentIds, secret, urlOf) {
  const rows = environmentIds.map((environmentId, index) => {
    const secretId = uuidv7();
    const sealed = Buffer.from(masterKey.seal(secret, `webhook-secret:${secretId}`)).toString('hex');
    return { id: uuidv7(), environmentId, url: urlOf(index), secretId, sealed };
  });
  return withClient(url, async (client) => {
    await client.query('DELETE FROM webhook_endpoint');
    await client.query(
      `INSERT INTO webhook_endpoint (id, environment_id, url, events, updated_at)
       SELECT id, "environmentId", url, '{*}', now()
         FROM jsonb_to_recordset($1) AS planted (id uuid, "environmentId" uuid, url text)`,
      [JSON.stringify(rows)],
    );
    await client.query(
      `INSERT INTO webhook_secret (id, environment_id, endpoint_id, sealed)
       SELECT "secretId", "environmentId", id, decode(sealed, 'hex')
         FROM jsonb_to_recordset($1) AS planted (id uuid, "environmentId" uuid, "secretId" uuid, sealed text)`,
      [JSON.stringify(rows)],
    );
  });
}

/**
 * So many events in each environment, each about a license of its own, in one transaction; answers when it was committed, in
 * milliseconds since 1970. Whoever waits is woken as by another server.
 */
export function plantEvents(url, environmentIds, countOfEach) {
  return withClient(url, async (client) => {
    await client.query(
      `INSERT INTO event (id, environment_id, type, resource_type, resource_id, license_id, data, actor_type)
       SELECT gen_random_uuid(), environment_id, 'license.created', 'license', license_id, license_id,
              jsonb_build_object('object', jsonb_build_object('id', license_id, 'status', 'active', 'metadata', jsonb_build_object('note', repeat('x', 500)))),
              'system'
         FROM unnest($1::uuid[]) AS environment_id
        CROSS JOIN LATERAL (SELECT gen_random_uuid() AS license_id FROM generate_series(1, $2) WHERE environment_id IS NOT NULL) AS license`,
      [environmentIds, countOfEach],
    );
    const committedAt = performance.timeOrigin + performance.now();
    await client.query(`SELECT pg_notify('latchkey', 'bench events')`);
    return committedAt;
  });
}
