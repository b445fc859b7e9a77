import { createHash, randomUUID } from 'node:crypto';

/** What an app writes down on a machine without a network (contract: offline.md). */
export function offlineRequest(licenseKey: string, fields: object = {}): string {
  const keyDigest = createHash('sha256').update(licenseKey).digest('hex');
  const request = { v: 1, keyDigest, fingerprint: `fingerprint-${randomUUID()}`, nonce: randomUUID(), ...fields };
  return Buffer.from(JSON.stringify(request)).toString('base64');
}
