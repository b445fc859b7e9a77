import { v7 as uuidv7 } from 'uuid';
import type { Tenant } from '../core/database.js';
import type { MasterKey } from '../core/master-key.js';
import { invalid, type Issue, LatchkeyError } from '../domain/errors.js';
import { announcedAlready } from '../domain/expiry.js';
import { generateLicenseKey, parseLicenseKey, shownDigest } from '../domain/license-key.js';
import type { LicenseStatus } from '../domain/license-state.js';
import { totalsOfNone, totalsWith } from '../domain/seats.js';
import { takenOverState, takenOverTerm } from '../domain/taken-over.js';
import type { Prisma, TestClock } from '../generated/prisma/client.js';
import { type ActivateMachineBody, toMachineColumns } from '../machines/machines.dto.js';
import type { PolicyRow } from '../policies/policies.dto.js';
import type { References } from './creation.query.js';
import { type CreateLicenseBody, toLicenseColumns } from './licenses.dto.js';

/** A license that is to be made. */
export interface NewLicense extends Omit<CreateLicenseBody, 'entitlements'> {
  entitlements?: readonly { code: string; expiresAt?: Date | null; quantity?: number | null }[];
  /** What it brings with it when it was somebody's before; absent = it is new. */
  past?: Past;
}

/** The life of a license before it was imported. */
export interface Past {
  status?: LicenseStatus;
  suspendedAt?: Date | null;
  bannedAt?: Date | null;
  revokedAt?: Date | null;
  termAnchorAt?: Date | null;
  clockPending?: boolean;
  usesCount?: number;
  createdAt?: Date;
  firstValidatedAt?: Date | null;
  firstActivatedAt?: Date | null;
  lastValidatedAt?: Date | null;
  lastCheckInAt?: Date | null;
  machines?: readonly PastMachine[];
}

/** What has happened cannot be still to come. */
const pastTimes = [
  'createdAt', 'firstValidatedAt', 'firstActivatedAt', 'lastValidatedAt', 'lastCheckInAt', 'suspendedAt', 'bannedAt', 'revokedAt',
] as const satisfies (keyof Past)[]; // prettier-ignore

export interface PastMachine extends Omit<ActivateMachineBody, 'licenseId' | 'replaces'> {
  createdAt?: Date;
  lastHeartbeatAt?: Date | null;
  ip?: string | null;
}

/** The last beat of a machine that has ever beaten. */
export interface PastBeat {
  machineId: string;
  lastHeartbeatAt: Date;
}

/** Why a license cannot be made; `path` names the field of it. */
export interface Problem extends Issue {
  code: 'VALIDATION_ERROR' | 'NOT_FOUND' | 'CONFLICT';
}

/** The rows of a license that can be made, and what they are judged and shown with. */
export interface PlannedLicense {
  columns: Prisma.LicenseCreateManyInput & { id: string };
  entitlements: { entitlementId: string; code: string; expiresAt: Date | null; quantity: number | null }[];
  machines: (Prisma.MachineCreateManyInput & { id: string })[];
  beats: PastBeat[];
  policy: PolicyRow;
  testClock: TestClock | null;
  now: Date;
}

export type Plan = { planned: PlannedLicense } | { problems: Problem[] };

/** How the keys of an environment's licenses are read and kept. */
export interface KeyRing {
  tenant: Tenant;
  masterKey: MasterKey;
  /** Whether a key of ours that is free may be given again (contract: resources.md: "import excepted"). */
  takesBackKeys: boolean;
}

/** Some licenses cannot be made, and so none is. `pathOf` says where in the request a license stands. */
export function refusal(plans: readonly Plan[], pathOf: (index: number) => string): LatchkeyError | null {
  const problems = plans.flatMap((plan, index) =>
    'problems' in plan ? plan.problems.map((problem) => ({ ...problem, path: pathOf(index) + problem.path })) : [],
  );
  const [first] = problems;
  if (first === undefined) return null;
  const invalidities = problems.filter(({ code }) => code === 'VALIDATION_ERROR').map(({ path, message }) => ({ path, message }));
  return invalidities.length > 0 ? invalid(invalidities) : new LatchkeyError(first.code, first.message, { field: first.path });
}

export const keyTaken: Problem = { code: 'CONFLICT', path: 'key', message: 'This key is taken.' };

/** Decide about one license; `nowOf` says what time it is for a license that is attached to this clock. */
export function planLicense(license: NewLicense, to: References, keys: KeyRing, nowOf: (testClock: TestClock | null) => Date): Plan {
  const [product, policy] = [to.products.get(license.productId), to.policies.get(license.policyId)];
  const clockId = license.testClockId ?? null;
  const testClock = clockId === null ? null : (to.testClocks.get(clockId) ?? null);
  const problems: Problem[] = [];
  if (product === undefined) problems.push(unknown('product', 'productId'));
  if (policy === undefined) problems.push(unknown('policy', 'policyId'));
  else if (product !== undefined && policy.productId !== product.id) {
    problems.push({ code: 'VALIDATION_ERROR', path: 'policyId', message: 'must be a policy of the product' });
  }
  if (clockId !== null && testClock === null) problems.push(unknown('test clock', 'testClockId'));
  // Whoever turns the clock acts on the license: they must be of one segment.
  if (testClock !== null && testClock.segmentId !== keys.tenant.segmentId) {
    problems.push({ code: 'VALIDATION_ERROR', path: 'testClockId', message: "must be a clock of the license's segment" });
  }
  for (const [index, { code }] of (license.entitlements ?? []).entries()) {
    if (!to.entitlements.has(code)) problems.push(unknown('entitlement', `entitlements[${String(index)}]`));
  }
  const keyProblem = keyProblemOf(license.key, keys);
  if (keyProblem !== null) problems.push({ code: 'VALIDATION_ERROR', path: 'key', message: keyProblem });
  if (product === undefined || policy === undefined) return { problems };
  const planned = rowsOf(license, { product, policy, testClock, to }, keys, nowOf(testClock));
  if ('problem' in planned) problems.push(planned.problem);
  return 'problem' in planned || problems.length > 0 ? { problems } : { planned };
}

interface Found {
  product: { id: string; keyPrefix: string };
  policy: PolicyRow;
  testClock: TestClock | null;
  to: References;
}

function rowsOf(license: NewLicense, found: Found, keys: KeyRing, now: Date): PlannedLicense | { problem: Problem } {
  const { past = {}, entitlements = [] } = license;
  const { product, policy, testClock } = found;
  const id = uuidv7();
  const createdAt = past.createdAt ?? now;
  const machines = (past.machines ?? []).map((machine) => machineColumns(id, machine, now));
  const beats = beatsOf(past.machines ?? [], machines);
  const ahead = pastTimes.find((name) => (past[name]?.getTime() ?? 0) > now.getTime());
  if (ahead !== undefined) return { problem: { code: 'VALIDATION_ERROR', path: ahead, message: 'must not be in the future' } };
  const { firstValidatedAt = null, firstActivatedAt = firstOf(machines) } = past;
  const stated = { ...past, expiresAt: license.expiresAt, createdAt, firstValidatedAt, firstActivatedAt };
  const term = takenOverTerm(stated, policy);
  const { suspendedAt = null, bannedAt = null, revokedAt = null } = past;
  const { times, contradiction } = takenOverState(past.status, { suspendedAt, bannedAt, revokedAt }, term.expiresAt, policy, now);
  if (contradiction !== null)
    return { problem: { code: 'VALIDATION_ERROR', path: 'status', message: `the license would be ${contradiction}` } };
  const columns = {
    id,
    productId: product.id,
    policyId: policy.id,
    ...keyColumns(id, license.key, product, keys),
    ...toLicenseColumns(license),
    metadata: license.metadata ?? {},
    testClockId: testClock?.id ?? null,
    ...term,
    ...announcedAlready(term.expiresAt, now),
    ...times,
    ...machines.reduce((totals, machine) => totalsWith(totals, machine, 1), totalsOfNone),
    beganAsTrial: policy.isTrial,
    usesCount: past.usesCount ?? 0,
    firstValidatedAt,
    firstActivatedAt,
    lastValidatedAt: past.lastValidatedAt ?? null,
    lastCheckInAt: past.lastCheckInAt ?? null,
    createdAt,
    updatedAt: now,
  };
  const owned = entitlements.map(({ code, expiresAt = null, quantity = null }) => ({
    entitlementId: found.to.entitlements.get(code) ?? '',
    code,
    expiresAt,
    quantity,
  }));
  return { columns, entitlements: owned, machines, beats, policy, testClock, now };
}

function machineColumns(licenseId: string, machine: PastMachine, now: Date) {
  const { fingerprint, createdAt = now, ip = null } = machine;
  const columns = toMachineColumns(machine);
  const { cores = null, memoryMb = null, diskMb = null } = columns;
  return { id: uuidv7(), licenseId, fingerprint, ip, ...columns, cores, memoryMb, diskMb, createdAt, updatedAt: now };
}

/** `machines` are the rows of `past`, in the same order. */
function beatsOf(past: readonly PastMachine[], machines: readonly { id: string }[]): PastBeat[] {
  return past.flatMap(({ lastHeartbeatAt }, index) => {
    const machine = machines[index];
    return lastHeartbeatAt == null || machine === undefined ? [] : [{ machineId: machine.id, lastHeartbeatAt }];
  });
}

function firstOf(machines: readonly { createdAt: Date }[]): Date | null {
  return machines.map(({ createdAt }) => createdAt).sort((a, b) => a.getTime() - b.getTime())[0] ?? null;
}

function keyProblemOf(key: string | undefined, { masterKey, takesBackKeys }: KeyRing): string | null {
  if (key === undefined) return null;
  const parsed = parseLicenseKey(key, masterKey.licenseKeyTagSecret);
  if (parsed.origin === 'vendor') return null;
  if (!takesBackKeys) return 'must not look like a generated key';
  return parsed.body === null ? 'looks like a generated key, but was not generated here' : null;
}

/** What a license is found by when a machine without a network asks for it; `key` as displayed. */
export function offlineDigest(masterKey: MasterKey, accountId: string, key: string): Uint8Array<ArrayBuffer> {
  return masterKey.digestOfflineKey(accountId, shownDigest(key));
}

/** What is stored of a license's key: the vendor's own, or one that is generated for the product. */
export function keyColumns(
  id: string,
  given: string | undefined,
  { keyPrefix }: { keyPrefix: string },
  { tenant, masterKey }: Omit<KeyRing, 'takesBackKeys'>,
) {
  const key = given ?? generateLicenseKey(keyPrefix, masterKey.licenseKeyTagSecret);
  const parsed = parseLicenseKey(key, masterKey.licenseKeyTagSecret);
  return {
    keyOrigin: parsed.origin,
    keyDigest:
      parsed.origin === 'vendor' ? masterKey.digestVendorKey(tenant.accountId, key) : masterKey.digestGeneratedKey(parsed.body ?? ''),
    offlineDigest: offlineDigest(masterKey, tenant.accountId, key),
    keySealed: masterKey.seal(key, id),
    pepperId: masterKey.pepperId,
  };
}

function unknown(what: string, path: string): Problem {
  return { code: 'NOT_FOUND', path, message: `No such ${what}.` };
}
