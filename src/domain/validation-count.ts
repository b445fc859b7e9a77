import { matchesOf } from './matching.js';
import type { Facts, Verdict } from './validation.js';
import { nameOfVersion } from './versions.js';

/** So many validations that were alike, within an hour; as a process leaves them for the roll-ups. */
export interface ValidationCount {
  environmentId: string;
  licenseId: string;
  productId: string;
  policyId: string;
  /** Start of the hour, UTC, by the license's clock. */
  hour: string;
  code: string;
  valid: boolean;
  /** The machine that was found, and its own fingerprint; without one the first that was sent. */
  machineId: string | null;
  fingerprint: string | null;
  /** Of the copy that asked; null = it was not the copy that asked, but the vendor. */
  ip: string | null;
  version: string | null;
  count: number;
}

const HOUR_MS = 3_600_000;

/** One validation, to be counted. */
export function countOf({ valid, code }: Verdict, facts: Facts, ip: string | null): ValidationCount {
  const { license, environmentId, request, machines, now } = facts;
  const machine = matchesOf(request.fingerprints, machines)[0]?.machines[0];
  return {
    environmentId,
    licenseId: license.id,
    productId: license.productId,
    policyId: license.policyId,
    hour: new Date(Math.floor(now.getTime() / HOUR_MS) * HOUR_MS).toISOString(),
    code,
    valid,
    machineId: machine?.id ?? null,
    fingerprint: machine?.fingerprint ?? request.fingerprints[0] ?? null,
    ip,
    version: request.version === undefined ? null : nameOfVersion(request.version),
    count: 1,
  };
}

/** Validations of one sort: what is alike in everything that is counted apart. */
export function sortOf(count: ValidationCount): string {
  const { licenseId, hour, code, valid, productId, policyId, machineId, fingerprint, ip, version } = count;
  return [licenseId, hour, code, valid, productId, policyId, machineId, fingerprint, ip, version].join('\n');
}

/** Without what makes most sorts: for when there are too many to keep apart. The totals stay what they are. */
export function coarse(count: ValidationCount): ValidationCount {
  return { ...count, machineId: null, fingerprint: null, ip: null, version: null };
}
