import { createHmac, randomBytes } from 'node:crypto';

/** Signatures of webhooks (Standard Webhooks, "Signature scheme", symmetric; contract: webhooks.md, "Delivery"). */

const SECRET_PREFIX = 'whsec_';
const SECRET_BYTES = 32;

/** A new secret of an endpoint: `whsec_` and 32 random bytes in base64. */
export function generateSecret(): string {
  return SECRET_PREFIX + randomBytes(SECRET_BYTES).toString('base64');
}

/**
 * The header `webhook-signature`: for every secret `v1,` and the HMAC-SHA-256 in base64 over `id.timestamp.body`, separated by
 * spaces. During a rotation two secrets sign, and either verifies.
 * @param timestamp Seconds since 1970, as in the header `webhook-timestamp`.
 * @throws for a secret that `generateSecret` did not make, without naming it
 */
export function sign(secrets: readonly string[], id: string, timestamp: number, body: string): string {
  return secrets
    .map(
      (secret) =>
        `v1,${createHmac('sha256', keyOf(secret))
          .update(`${id}.${String(timestamp)}.${body}`)
          .digest('base64')}`,
    )
    .join(' ');
}

function keyOf(secret: string): Buffer {
  const key = Buffer.from(secret.slice(SECRET_PREFIX.length), 'base64');
  if (!secret.startsWith(SECRET_PREFIX) || key.length !== SECRET_BYTES) throw new Error('not the secret of a webhook');
  return key;
}
