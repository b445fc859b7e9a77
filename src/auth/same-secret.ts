import { createHash, timingSafeEqual } from 'node:crypto';

/** Whether it is the secret. Digests are compared, so that neither content nor length shows in the time it takes. */
export function isSame(given: string, secret: string): boolean {
  return timingSafeEqual(sha256(given), sha256(secret));
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
