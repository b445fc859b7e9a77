import type { Db } from '../core/database.js';

/**
 * Statements on signing keys. Making one and moving `published_until` ahead stand alone, in no request's transaction: others may
 * have answered with what they led to before that request is kept or lost.
 */

/** A key in use, as it is kept. */
export interface KeyInUseRow {
  id: string;
  kid: string;
  publicKey: Uint8Array;
  /** Opened with the context `sealContext(id)`. */
  privateKeySealed: Uint8Array;
  publishedUntil: Date;
}

/** That of the environment $1. */
export const FIND_KEY_IN_USE = {
  name: 'find_signing_key_in_use',
  text: `
    SELECT id, kid, public_key AS "publicKey", private_key_sealed AS "privateKeySealed", published_until AS "publishedUntil"
      FROM signing_key WHERE environment_id = $1 AND retired_at IS NULL`,
};

/** The first key $1 of the environment $2, unless another process was faster. It has signed nothing, so it is published from now on. */
export const ADD_FIRST_KEY = {
  name: 'add_first_signing_key',
  text: `
    INSERT INTO signing_key (id, environment_id, kid, public_key, private_key_sealed, published_until, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $6)
    ON CONFLICT (environment_id) WHERE retired_at IS NULL DO NOTHING`,
};

/**
 * The key $1 stays published until $2 at least. No row = it was rotated out, or is being: it waits for nobody, and a key that signs
 * no more never stays published for longer than it said when it was rotated out.
 */
export const KEEP_KEY_PUBLISHED = {
  name: 'keep_signing_key_published',
  text: `
    UPDATE signing_key SET published_until = GREATEST(published_until, $2::timestamptz)
     WHERE id = (SELECT id FROM signing_key WHERE id = $1 AND retired_at IS NULL FOR NO KEY UPDATE SKIP LOCKED)
    RETURNING published_until AS "publishedUntil"`,
};

/** What a private half is sealed with. */
export function sealContext(id: string): string {
  return `signing-key:${id}`;
}

const PUBLIC_COLUMNS = `
  id, environment_id AS "environmentId", kid, public_key AS "publicKey", published_until AS "publishedUntil", created_at AS "createdAt",
  retired_at AS "retiredAt"`;

/**
 * The keys of the environment $1 that are published at the time $2: the one in use first, then those that were rotated out and
 * whose documents have not all expired, the newest first.
 */
export const FIND_PUBLISHED_KEYS = {
  name: 'find_published_signing_keys',
  text: `
    SELECT ${PUBLIC_COLUMNS} FROM signing_key
     WHERE environment_id = $1 AND (retired_at IS NULL OR published_until > $2)
     ORDER BY retired_at DESC NULLS FIRST, created_at DESC`,
};

/** That which the account $1 calls $2. */
export const FIND_ENVIRONMENT = {
  name: 'find_environment_of_account',
  text: 'SELECT id FROM environment WHERE account_id = $1 AND name = $2',
};

/** One rotation of an environment after the other; a validation waits for none. */
export async function holdRotation(db: Db, environmentId: string): Promise<void> {
  await db.$executeRaw`SELECT pg_advisory_xact_lock(hashtextextended(${`signing keys of ${environmentId}`}, 0))`;
}

/** The key in use signs no more: its private half is gone. Answers its name. */
export async function retireKey(db: Db, retiredAt: Date): Promise<string> {
  const { id, kid } = await db.signingKey.findFirstOrThrow({ where: { retiredAt: null }, select: { id: true, kid: true } });
  await db.signingKey.update({ where: { id }, data: { retiredAt, privateKeySealed: null }, select: { id: true } });
  return kid;
}

/** Those that were rotated out leave the key set now. Answers their names, of those that were in it. */
export async function unpublishRetired(db: Db, now: Date): Promise<string[]> {
  const keys = await db.signingKey.updateManyAndReturn({
    where: { retiredAt: { not: null }, publishedUntil: { gt: now } },
    data: { publishedUntil: now },
    select: { kid: true },
  });
  return keys.map(({ kid }) => kid);
}
