import { Injectable, type StreamableFile } from '@nestjs/common';
import type { TenantPrincipal } from '../auth/principal.js';
import { Database } from '../core/database.js';
import { RateLimits } from '../core/rate-limits.js';
import { currentRequest } from '../core/request-context.js';
import { ipKey } from '../domain/rate-limit.js';
import { loadLicense } from '../licenses/licenses.query.js';
import { type FileWish, type LicenseFileView, toDownload } from '../offline/check-out.dto.js';
import { LicenseFiles } from '../offline/license-files.js';
import { lockMachine } from './machines.service.js';

/** Machine files. */
@Injectable()
export class MachineCheckOutService {
  constructor(
    private readonly database: Database,
    private readonly rateLimits: RateLimits,
    private readonly files: LicenseFiles,
  ) {}

  /** A license key gets the files of its own license's machines. */
  async checkOut(caller: TenantPrincipal, id: string, wish: FileWish): Promise<LicenseFileView> {
    if (caller.kind === 'license') await this.rateLimits.admit('validate', `${caller.licenseId}:${ipKey(currentRequest()?.ip)}`);
    return this.database.within(caller.tenant, async (db) => {
      const { machine } = await lockMachine(db, caller, id);
      return this.files.make(db, caller, { license: await loadLicense(db, machine.licenseId), machine }, wish);
    });
  }

  /** The same as a `.lic` file. */
  async download(caller: TenantPrincipal, id: string, wish: FileWish): Promise<StreamableFile> {
    return toDownload('machine', id, await this.checkOut(caller, id, wish));
  }
}
