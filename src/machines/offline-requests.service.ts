import { Injectable } from '@nestjs/common';
import type { VendorPrincipal } from '../auth/principal.js';
import { Answer } from '../core/answer.interceptor.js';
import { Clock } from '../core/clock.js';
import { Database, type Db, type Tenant } from '../core/database.js';
import { MasterKey } from '../core/master-key.js';
import { notFound } from '../domain/errors.js';
import { isRotatedOut } from '../domain/license-key.js';
import { type OfflineRequest, parseOfflineRequest } from '../domain/offline-request.js';
import { loadLicense } from '../licenses/licenses.query.js';
import type { LicenseFileView } from '../offline/check-out.dto.js';
import { LicenseFiles } from '../offline/license-files.js';
import { ActivationService } from './activation.service.js';
import type { OfflineAnswerView, OfflineRequestBody } from './offline-requests.dto.js';
import { findByOfflineDigest } from './offline-requests.query.js';

/** Machines without a network: what they ask for is brought here by hand, and so is the answer to them. */
@Injectable()
export class OfflineRequestsService {
  constructor(
    private readonly database: Database,
    private readonly clock: Clock,
    private readonly masterKey: MasterKey,
    private readonly activation: ActivationService,
    private readonly files: LicenseFiles,
  ) {}

  /** Activates like any other activation, and makes the machine's file; where there can be no file, nothing is activated. */
  async answer(caller: VendorPrincipal, body: OfflineRequestBody, ip: string): Promise<Answer<OfflineAnswerView>> {
    const request = parseOfflineRequest(body.request);
    const licenseId = await this.licenseOf(caller.tenant, request);
    const { fingerprint, name, platform } = request;
    let file: LicenseFileView | undefined;
    const makeFile = async (db: Db, machineId: string): Promise<void> => {
      file = await this.makeFile(db, caller, { licenseId, machineId, nonce: request.nonce }, body.ttlSeconds);
    };
    const { status, view } = await this.activation.activate(caller, { licenseId, fingerprint, name, platform }, {}, ip, makeFile);
    if (file === undefined) throw new Error('A machine was activated without its file.');
    return new Answer(status, { ...file, machineId: view.id }, `/api/v1/machines/${view.id}`);
  }

  /** @throws 404 for a key that nobody has, that another has, and that was rotated out for too long */
  private async licenseOf({ accountId, ...tenant }: Tenant, { keyDigest }: OfflineRequest): Promise<string> {
    const digest = this.masterKey.digestOfflineKey(accountId, keyDigest);
    const found = await this.database.within({ accountId, ...tenant }, (db) => findByOfflineDigest(db, tenant.environmentId, digest));
    if (found === null) throw notFound('license', 'request');
    const { keyValidUntil, frozenAt } = found;
    if (isRotatedOut(keyValidUntil, this.clock.now(frozenAt === null ? null : { frozenAt }))) throw notFound('license', 'request');
    return found.id;
  }

  private async makeFile(
    db: Db,
    caller: VendorPrincipal,
    { licenseId, machineId, nonce }: { licenseId: string; machineId: string; nonce: string },
    ttlSeconds: number | undefined,
  ): Promise<LicenseFileView> {
    const license = await loadLicense(db, licenseId);
    const machine = await db.machine.findFirst({ where: { id: machineId, deletedAt: null }, include: { pulse: true } });
    if (machine === null) throw notFound('machine');
    return this.files.make(db, caller, { license, machine, nonce }, { ttlSeconds });
  }
}
