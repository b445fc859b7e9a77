import { type StateAction } from '../domain/license-actions.js';
import { ActionsService } from '../licenses/actions.service.js';
import { IncrementUsageBody, RotateLicenseKeyBody, TransferLicenseBody } from '../licenses/actions.dto.js';
import { CreateLicenseBody, LicensesQuery, type LicenseView } from '../licenses/licenses.dto.js';
import { LicensesService } from '../licenses/licenses.service.js';
import { UsageService } from '../licenses/usage.service.js';
import { ValidateKeyBody, type ValidationView } from '../licenses/validation.dto.js';
import { ValidationService } from '../licenses/validation.service.js';
import { bodyOf, idOf, wholeNumber } from './input.js';
import type { TenantOptions } from './keys.js';
import { fields, type Outcome, REFUSED, table, time } from './output.js';
import { everyItem, inSession } from './session.js';

export interface CreateLicenseOptions extends TenantOptions {
  product: string;
  policy: string;
  /** The vendor's own; absent = one is generated. */
  key?: string;
  name?: string;
  email?: string;
  userName?: string;
  expiresAt?: string;
  entitlement?: string[];
  /** Print the key and nothing else. */
  quiet?: true;
}

export interface ListLicensesOptions extends TenantOptions {
  status?: string;
  product?: string;
  policy?: string;
  email?: string;
  q?: string;
}

export interface RotateLicenseKeyOptions extends TenantOptions {
  /** For how long the old key goes on working. */
  overlapSeconds?: string;
  key?: string;
  /** Print the key and nothing else. */
  quiet?: true;
}

/** What can be done to a license without saying more. */
export type PlainAction = StateAction | 'renew' | 'check-in';

/** `licenses create` */
export async function createLicense(options: CreateLicenseOptions): Promise<Outcome> {
  const { account, environment, product: productId, policy: policyId, email: userEmail, entitlement: entitlements, quiet } = options;
  const { key, name, userName, expiresAt } = options;
  const body = await bodyOf(
    CreateLicenseBody,
    { productId, policyId, key, name, userEmail, userName, expiresAt, entitlements },
    { productId: '--product', policyId: '--policy', userEmail: '--email', entitlements: '--entitlement' },
  );
  const created = await inSession(async (session) => session.get(LicensesService).create(await session.caller(account, environment), body));
  return { document: created, text: quiet === true ? (created.key ?? '') : inWords(created) };
}

/** `licenses show` */
export async function showLicense(id: string, { account, environment }: TenantOptions): Promise<Outcome> {
  const license = await inSession(async (session) =>
    session.get(LicensesService).get(await session.caller(account, environment), idOf('license', id)),
  );
  return { document: license, text: inWords(license) };
}

/** `licenses list` */
export async function listLicenses(options: ListLicensesOptions): Promise<Outcome> {
  const { account, environment, status, product: productId, policy: policyId, email: userEmail, q } = options;
  const flags = { productId: '--product', policyId: '--policy', userEmail: '--email' };
  const filters = await bodyOf(LicensesQuery, { status, productId, policyId, userEmail, q }, flags);
  const licenses = await inSession(async (session) => {
    const caller = await session.caller(account, environment);
    return everyItem((page) => session.get(LicensesService).list(caller, { ...filters, ...page }));
  });
  const rows = licenses.map(({ id, key, name, status: state, expiresAt, machineCount }) => {
    return [id, key ?? '', name ?? '', state, time(expiresAt, 'never'), String(machineCount)];
  });
  return { document: licenses, text: table(['ID', 'KEY', 'NAME', 'STATUS', 'EXPIRES', 'MACHINES'], rows, 'There are no licenses.') };
}

/** `licenses suspend`, `reinstate`, `ban`, `unban`, `revoke`, `renew` and `check-in`. */
export async function actOnLicense(action: PlainAction, id: string, { account, environment }: TenantOptions): Promise<Outcome> {
  const changed = await inSession(async (session) => {
    const caller = await session.caller(account, environment);
    const actions = session.get(ActionsService);
    if (action === 'renew') return actions.renew(caller, idOf('license', id));
    if (action === 'check-in') return actions.checkIn(caller, idOf('license', id));
    return actions.move(caller, idOf('license', id), action);
  });
  return { document: changed, text: inWords(changed) };
}

/** `licenses transfer` */
export async function transferLicense(id: string, options: TenantOptions & { policy: string }): Promise<Outcome> {
  const { account, environment, policy: policyId } = options;
  const body = await bodyOf(TransferLicenseBody, { policyId }, { policyId: '--policy' });
  const moved = await inSession(async (session) =>
    session.get(ActionsService).transfer(await session.caller(account, environment), idOf('license', id), body),
  );
  return { document: moved, text: inWords(moved) };
}

/** `licenses usage` */
export async function countUsage(id: string, options: TenantOptions & { increment: string }): Promise<Outcome> {
  const { account, environment, increment } = options;
  const body = await bodyOf(IncrementUsageBody, { increment: wholeNumber(increment) });
  const counted = await inSession(async (session) =>
    session.get(UsageService).increment(await session.caller(account, environment), idOf('license', id), body),
  );
  return { document: counted, text: inWords(counted) };
}

/** `licenses rotate-key` */
export async function rotateLicenseKey(id: string, options: RotateLicenseKeyOptions): Promise<Outcome> {
  const { account, environment, overlapSeconds, key, quiet } = options;
  const body = await bodyOf(RotateLicenseKeyBody, { overlapSeconds: wholeNumber(overlapSeconds), key });
  const rotated = await inSession(async (session) =>
    session.get(ActionsService).rotateKey(await session.caller(account, environment), idOf('license', id), body),
  );
  return { document: rotated, text: quiet === true ? (rotated.key ?? '') : inWords(rotated) };
}

function inWords(license: LicenseView): string {
  const { id, key, name, status, expiresAt, productId, policyId, usesCount, machineCount, entitlements, userEmail } = license;
  const facts: [string, string][] = [
    ['license', name === null ? id : `${name} (${id})`],
    ['key', key ?? 'hidden'],
    ['status', status],
    ['expires', time(expiresAt, 'never, or not yet begun')],
    ['product', productId],
    ['policy', policyId],
    ['machines', String(machineCount)],
    ['uses', String(usesCount)],
  ];
  if (userEmail !== null) facts.push(['user', userEmail]);
  if (entitlements.length > 0) facts.push(['entitlements', entitlements.map(({ code }) => code).join(', ')]);
  return fields(facts);
}

/** What the software would send beside the key. */
export interface ValidateOptions {
  account?: string;
  fingerprint?: string[];
  product?: string;
  version?: string;
  entitlement?: string[];
}

/** `licenses validate`: what the software would be answered, with all that follows from being asked. */
export async function validateLicense(key: string, options: ValidateOptions): Promise<Outcome> {
  const { account, fingerprint: fingerprints, product, version, entitlement: entitlements } = options;
  const body = await bodyOf(
    ValidateKeyBody,
    { key, account, fingerprints, product, version, entitlements },
    { key: '<key>', fingerprints: '--fingerprint', entitlements: '--entitlement' },
  );
  const verdict = await inSession((session) => session.get(ValidationService).validateKey(body));
  return { document: verdict, text: describe(verdict), exitCode: verdict.valid ? 0 : REFUSED };
}

function describe({ valid, code, message, warnings, license, machine, entitlements }: ValidationView): string {
  const facts: [string, string][] = [[valid ? 'valid' : 'not valid', code === 'VALID' ? message : `${code}: ${message}`]];
  // The code of a valid license with warnings is that of its first warning, which is told already.
  for (const warning of warnings) if (warning.code !== code) facts.push(['warning', `${warning.code}: ${warning.message}`]);
  if (license !== null) {
    facts.push(['license', license.name === null ? license.id : `${license.name} (${license.id})`]);
    facts.push(['environment', license.environment]);
    facts.push(['status', license.status]);
    facts.push(['expires', time(license.expiresAt, 'never')]);
    facts.push([
      'machines',
      license.maxMachines === null ? `${license.machineCount}` : `${license.machineCount} of ${license.maxMachines}`,
    ]);
  }
  if (machine !== null) facts.push(['machine', `${machine.fingerprint} (${machine.status})`]);
  if (entitlements.length > 0) facts.push(['entitlements', entitlements.map((entitlement) => entitlement.code).join(', ')]);
  return fields(facts);
}
