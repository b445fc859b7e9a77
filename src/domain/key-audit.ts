import { type ApiKeyStatus, apiKeyStatus } from './api-key.js';
import { DAY_MS } from './expiry.js';

/** How long a key may go without being rotated, or used, before that is worth a look. */
const OLD_DAYS = 90;
const UNUSED_DAYS = 90;
/** How long before its end a key should have a successor. */
const SOON_DAYS = 14;

export interface KeyFinding {
  code: 'LEAKED' | 'IN_OVERLAP' | 'EXPIRES_SOON' | 'NOT_ROTATED' | 'NEVER_USED' | 'UNUSED' | 'FULL_ACCESS' | 'NO_END';
  message: string;
}

export interface AuditedKey {
  scopes: readonly string[];
  createdAt: Date;
  expiresAt: Date | null;
  retiresAt: Date | null;
  leakedAt: Date | null;
  lastUsedAt: Date | null;
}

/** Whether a key can still be used, now or later: what is over needs no care. */
export function isLiving(status: ApiKeyStatus): boolean {
  return status === 'active' || status === 'expiring';
}

/** What whoever runs an account should act on, the most urgent first. */
export function keyFindings(key: AuditedKey, now: Date): KeyFinding[] {
  const { expiresAt, retiresAt, leakedAt, lastUsedAt } = key;
  const findings: KeyFinding[] = [];
  const find = (code: KeyFinding['code'], message: string): number => findings.push({ code, message });
  const age = daysBetween(key.createdAt, now);
  if (leakedAt !== null) find('LEAKED', `was reported as leaked on ${day(leakedAt)}`);
  if (apiKeyStatus({ ...key, revokedAt: null }, now) === 'expiring' && retiresAt !== null)
    find('IN_OVERLAP', `was rotated, and works until ${day(retiresAt)}`);
  else if (expiresAt !== null && daysBetween(now, expiresAt) < SOON_DAYS) find('EXPIRES_SOON', `expires on ${day(expiresAt)}`);
  if (age >= OLD_DAYS) find('NOT_ROTATED', `has not been rotated for ${String(age)} days`);
  if (lastUsedAt === null) find('NEVER_USED', 'was never used');
  else if (daysBetween(lastUsedAt, now) >= UNUSED_DAYS)
    find('UNUSED', `has not been used for ${String(daysBetween(lastUsedAt, now))} days`);
  if (key.scopes.length === 0) find('FULL_ACCESS', 'has full access');
  if (expiresAt === null && retiresAt === null) find('NO_END', 'has no end');
  return findings;
}

function daysBetween(from: Date, to: Date): number {
  return Math.floor((to.getTime() - from.getTime()) / DAY_MS);
}

function day(at: Date): string {
  return at.toISOString().slice(0, 10);
}
