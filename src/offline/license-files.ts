import { Injectable } from '@nestjs/common';
import { CompactEncrypt } from 'jose';
import type { TenantPrincipal } from '../auth/principal.js';
import { type Change, recordChange } from '../core/audit.js';
import { Clock } from '../core/clock.js';
import type { Db } from '../core/database.js';
import { MasterKey } from '../core/master-key.js';
import { LatchkeyError, notFound } from '../domain/errors.js';
import { fileKey, fileTtl, fileValidity, requireValidForFile } from '../domain/license-file.js';
import { isRotatedOut } from '../domain/license-key.js';
import { entitlementsOf, type Facts, tracesOf } from '../domain/validation.js';
import { type LicenseRow, toLicenseEntry } from '../licenses/licenses.dto.js';
import { leaveTraces } from '../licenses/traces.query.js';
import { toValidatedLicense } from '../licenses/validation.dto.js';
import { loadFacts } from '../licenses/validation.query.js';
import { type MachineRow, toMachineView } from '../machines/machines.dto.js';
import { Signer } from '../signing/signer.js';
import type { FileWish, LicenseFileView } from './check-out.dto.js';

/** What a file is of, as it stands in the unit of work that makes the file. */
export interface FileSubject {
  license: LicenseRow;
  /** Null = a file of the license, for whatever machine. */
  machine: MachineRow | null;
  /** Of the request that a machine file answers. */
  nonce?: string;
}

/** License and machine files (contract: offline.md). */
@Injectable()
export class LicenseFiles {
  constructor(
    private readonly clock: Clock,
    private readonly masterKey: MasterKey,
    private readonly signer: Signer,
  ) {}

  /**
   * Judge, sign and tell, in a unit of work that holds the license: the file says what was so when it was made, and there is
   * none that nobody was told of.
   * @throws 403 with the code of the license's state; 422 MACHINE_DEAD, LICENSE_NOT_VALID, OFFLINE_NOT_ALLOWED,
   *   OFFLINE_TTL_EXCEEDED; 409 for a key that was rotated out and wants the file encrypted
   */
  async make(db: Db, caller: TenantPrincipal, asked: FileSubject, { ttlSeconds, encrypt = false }: FileWish): Promise<LicenseFileView> {
    const { machine } = asked;
    const [realNow, now] = [this.clock.now(), this.clock.now(asked.license.testClock)];
    const found = await loadFacts(db, asked.license.id, machine === null ? [] : [machine.fingerprint], realNow);
    if (found === null) throw notFound('license');
    const { facts, license } = await this.begin(
      db,
      requireValidForFile(found, machine, caller.kind === 'license' ? 'holder' : 'vendor', now),
      asked.license,
    );
    const subject = { ...asked, license };
    const ttl = fileTtl(ttlSeconds, license.policy);
    const key = encrypt ? this.keyFor(caller, subject) : null;
    const validity = fileValidity(license, license.policy, ttl, await formerKeyEnd(db, caller, license, now), now);
    const claims = await claimsOf(db, facts, subject);
    const signed = await this.signer.sign(caller.tenant, machine === null ? 'license' : 'machine', license.id, claims, validity);
    const { kid, expiresAt } = signed;
    await recordChange(db, changeOf(caller, subject, { kid, expiresAt, ttlSeconds: ttl, encrypted: encrypt }, now));
    return key === null ? signed : { ...signed, document: await encrypted(signed.document, key) };
  }

  /** A file is a success like that of a validation: the first one begins what waits for that. */
  private async begin(db: Db, facts: Facts, license: LicenseRow): Promise<{ facts: Facts; license: LicenseRow }> {
    const traces = tracesOf(facts);
    if (traces === null) return { facts, license };
    return {
      facts: { ...facts, license: { ...facts.license, ...traces } },
      license: await leaveTraces(db, license, facts, traces),
    };
  }

  /**
   * Made with the license's own key. Whoever has one that was rotated out is told so: a file that it cannot open is none, and
   * the successor's key is nothing that it may learn of.
   */
  private keyFor(caller: TenantPrincipal, { license, machine }: FileSubject): Uint8Array {
    if (hasFormerKey(caller, license)) {
      const message = 'This key was rotated out, and the file would only open with its successor: ask for it unencrypted, or with that.';
      throw new LatchkeyError('CONFLICT', message, { field: 'encrypt' });
    }
    return fileKey(this.masterKey.open(license.keySealed, license.id), machine?.fingerprint ?? null);
  }
}

function hasFormerKey(caller: TenantPrincipal, license: LicenseRow): boolean {
  return caller.kind === 'license' && Buffer.compare(caller.keyDigest, license.keyDigest) !== 0;
}

/** When the key that asks is no key any more; null = it is the license's own, or a vendor's. */
async function formerKeyEnd(db: Db, caller: TenantPrincipal, license: LicenseRow, now: Date): Promise<Date | null> {
  if (caller.kind !== 'license' || !hasFormerKey(caller, license)) return null;
  const keyDigest = new Uint8Array(caller.keyDigest);
  const former = await db.formerLicenseKey.findFirst({ where: { licenseId: license.id, keyDigest }, orderBy: { createdAt: 'desc' } });
  // Since the look at the credential, which may have been a moment ago, it has become unknown.
  if (former === null || isRotatedOut(former.validUntil, now))
    throw new LatchkeyError('AUTH_FAILED', 'The credential is malformed or unknown.');
  return former.validUntil;
}

/** What the file says beside whose it is and until when. No key, no address. */
async function claimsOf(db: Db, facts: Facts, { license, machine, nonce }: FileSubject): Promise<object> {
  const product = await db.product.findUniqueOrThrow({ where: { id: license.productId }, select: { id: true, code: true, name: true } });
  const { id, name } = license.policy;
  const ofLicense = { license: toValidatedLicense(facts), policy: { id, name }, product, entitlements: entitlementsOf(facts) };
  if (machine === null) return ofLicense;
  const { fingerprint, platform } = machine;
  return { ...ofLicense, fingerprint, machine: { id: machine.id, name: machine.name, platform }, nonce };
}

/** What others are told of a file: never the file. */
interface CheckOut {
  kid: string;
  expiresAt: Date;
  ttlSeconds: number;
  encrypted: boolean;
}

function changeOf({ tenant }: TenantPrincipal, { license, machine }: FileSubject, checkOut: CheckOut, now: Date): Change {
  const { kid, expiresAt, ttlSeconds, encrypted } = checkOut;
  const told = { kid, expiresAt: expiresAt.toISOString(), ttlSeconds, encrypted };
  const about = { licenseId: license.id, occurredAt: license.testClock?.frozenAt, after: told, beside: { checkOut: told } };
  const { segmentId } = license;
  return machine === null
    ? {
        ...about,
        action: 'license.checked_out',
        resource: { type: 'license', id: license.id, segmentId },
        object: toLicenseEntry(license, tenant.environment, now),
      }
    : {
        ...about,
        action: 'machine.checked_out',
        resource: { type: 'machine', id: machine.id, segmentId },
        object: toMachineView(machine, license.policy, tenant.environment, now),
      };
}

/** As a compact JWE (RFC 7516) with the signed document inside (RFC 7519, section 5.2, for `cty`). */
function encrypted(document: string, key: Uint8Array): Promise<string> {
  return new CompactEncrypt(new TextEncoder().encode(document)).setProtectedHeader({ alg: 'dir', enc: 'A256GCM', cty: 'JWT' }).encrypt(key);
}
