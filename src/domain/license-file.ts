import { createHash } from 'node:crypto';
import { type ErrorCode, LatchkeyError } from './errors.js';
import { DAY_MS, type ExpiryPolicy, expiryState, firstTerm, type TermColumns, type TermPolicy } from './expiry.js';
import type { PolicyRules } from './policy.js';
import type { Validity } from './signed-documents.js';
import { type Facts, judge, type LicenseFacts, type ValidationCode } from './validation.js';

/** License and machine files: for how long, for whom, and how they look (contract: offline.md). */

export const MIN_TTL_SECONDS = 3600;
const DAY_SECONDS = DAY_MS / 1000;

export type OfflinePolicy = Pick<PolicyRules, 'offlineAllowed' | 'offlineMaxDays'>;

/**
 * For how long a file is to be good, in seconds; as long as the policy allows where nothing was asked for. That it is
 * `MIN_TTL_SECONDS` at least is the request's to keep.
 * @throws 422 OFFLINE_NOT_ALLOWED; OFFLINE_TTL_EXCEEDED with `max`
 */
export function fileTtl(requested: number | undefined, { offlineAllowed, offlineMaxDays }: OfflinePolicy): number {
  if (!offlineAllowed) throw new LatchkeyError('OFFLINE_NOT_ALLOWED', 'The policy does not allow license and machine files.');
  const max = offlineMaxDays * DAY_SECONDS;
  if (requested !== undefined && requested > max) {
    const message = `The policy allows files for ${String(max)} seconds (${String(offlineMaxDays)} days) at most.`;
    throw new LatchkeyError('OFFLINE_TTL_EXCEEDED', message, { field: 'ttlSeconds', max });
  }
  return requested ?? max;
}

/**
 * From when to when a file is good: never past the moment from which a validation would fail because the license has
 * expired. That is its expiry, in the grace period the end of that, and none under ALLOW_ACCESS once it has expired. Where
 * the clock waits for what a machine without a network never tells of, the file is good for a term from now at most. Nor is
 * it past `keyEndsAt`, where the key that asks was rotated out.
 */
export function fileValidity(
  license: Pick<TermColumns, 'expiresAt' | 'clockPending'>,
  policy: ExpiryPolicy & TermPolicy,
  ttlSeconds: number,
  keyEndsAt: Date | null,
  now: Date,
): Validity {
  const ends = [new Date(now.getTime() + ttlSeconds * 1000), failsAt(license, policy, now), keyEndsAt];
  const earliest = Math.min(...ends.flatMap((end) => (end === null ? [] : [end.getTime()])));
  return { issuedAt: now, expiresAt: new Date(earliest) };
}

function failsAt(license: Pick<TermColumns, 'expiresAt' | 'clockPending'>, policy: ExpiryPolicy & TermPolicy, now: Date): Date | null {
  if (license.expiresAt === null) return license.clockPending ? (firstTerm(policy, now)?.expiresAt ?? null) : null;
  switch (expiryState(license, policy, now)) {
    case 'perpetual':
      return null;
    case 'running':
      return license.expiresAt;
    case 'grace':
      return new Date(license.expiresAt.getTime() + policy.gracePeriodDays * DAY_MS);
    case 'expired':
      // One that may not run any more gets no file.
      return null;
  }
}

/** The verdicts that have a refusal of their own; every other one is LICENSE_NOT_VALID, and says which. */
const refusals: Partial<Record<ValidationCode, ErrorCode>> = {
  BANNED: 'LICENSE_BANNED',
  REVOKED: 'LICENSE_REVOKED',
  SUSPENDED: 'LICENSE_SUSPENDED',
  EXPIRED: 'LICENSE_EXPIRED',
  HEARTBEAT_DEAD: 'MACHINE_DEAD',
};

/**
 * A file is a validation that is taken along: it is judged by the same rules, on what is known of license and machine. What
 * the policy requires of each request is no matter here, with one exception: a file of the license is good on any machine, so
 * where the policy wants to know the machine, its `holder` gets none. The vendor may hand one out.
 * @throws 403 with the code of the license's state, 422 MACHINE_DEAD or LICENSE_NOT_VALID, where a validation would fail
 */
export function requireValidForFile(
  found: LicenseFacts,
  machine: { id: string; fingerprint: string } | null,
  asking: 'holder' | 'vendor',
  now: Date,
): Facts {
  const requireFingerprint = machine === null && asking === 'holder' && found.policy.requireFingerprint;
  const facts: Facts = {
    ...found,
    policy: { ...found.policy, requiredScopes: [], requireFingerprint },
    request: { fingerprints: machine === null ? [] : [machine.fingerprint] },
    // It alone: others may have a part with the same fingerprint.
    machines: found.machines.filter(({ id }) => id === machine?.id),
    now,
  };
  const { valid, code, message } = judge(facts);
  if (valid) return facts;
  const refusal = refusals[code];
  if (refusal !== undefined) throw new LatchkeyError(refusal, message);
  throw new LatchkeyError('LICENSE_NOT_VALID', message, { code });
}

/** The key that an encrypted file opens with: what only the license's holder has, on the machine that it is for. */
export function fileKey(licenseKey: string, fingerprint: string | null): Uint8Array {
  return new Uint8Array(
    createHash('sha256')
      .update(`${licenseKey}${fingerprint ?? ''}`)
      .digest(),
  );
}

export type FileKind = 'license' | 'machine';

const LINE_LENGTH = 64;
const MARK = /^-----BEGIN LATCHKEY (LICENSE|MACHINE)-----\n((?:[A-Za-z0-9+/=]{1,64}\n)+)-----END LATCHKEY \1-----\n?$/;

/** The text of a `.lic` file: the compact document as base64 (RFC 4648), in lines, between marks that say what it is. */
export function armour(kind: FileKind, document: string): string {
  const lines =
    Buffer.from(document)
      .toString('base64')
      .match(new RegExp(`.{1,${String(LINE_LENGTH)}}`, 'g')) ?? [];
  const name = kind.toUpperCase();
  return [`-----BEGIN LATCHKEY ${name}-----`, ...lines, `-----END LATCHKEY ${name}-----`, ''].join('\n');
}

/** What `armour` was given; null = it is no such file. Line ends may be those of Windows. */
export function unarmour(text: string): { kind: FileKind; document: string } | null {
  const [, name, body] = MARK.exec(text.replaceAll('\r\n', '\n')) ?? [];
  if (name === undefined || body === undefined) return null;
  return { kind: name === 'LICENSE' ? 'license' : 'machine', document: Buffer.from(body, 'base64').toString() };
}
