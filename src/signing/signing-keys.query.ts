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
