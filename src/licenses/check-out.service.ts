import { Injectable, type StreamableFile } from '@nestjs/common';
import type { TenantPrincipal } from '../auth/principal.js';
import { Database } from '../core/database.js';
import { RateLimits } from '../core/rate-limits.js';
import { currentRequest } from '../core/request-context.js';
import { notFound } from '../domain/errors.js';
import { ipKey } from '../domain/rate-limit.js';
import { type FileWish, type LicenseFileView, toDownload } from '../offline/check-out.dto.js';
import { LicenseFiles } from '../offline/license-files.js';
import { lockLicense } from './licenses.query.js';

/** License files. */
@Injectable()
export class CheckOutService {
  constructor(
    private readonly database: Database,
    private readonly rateLimits: RateLimits,
    private readonly files: LicenseFiles,
  ) {}

  /** A license key gets the file of its own license. */
  async checkOut(caller: TenantPrincipal, id: string, wish: FileWish): Promise<LicenseFileView> {
    if (caller.kind === 'license') {
      if (caller.licenseId !== id) throw notFound('license');
      // As for validations, which are signed too.
      await this.rateLimits.admit('validate', `${id}:${ipKey(currentRequest()?.ip)}`);
    }
    return this.database.within(caller.tenant, async (db) => {
      const license = await lockLicense(db, caller.tenant, id);
      return this.files.make(db, caller, { license, machine: null }, wish);
    });
  }

  /** The same as a `.lic` file. */
  async download(caller: TenantPrincipal, id: string, wish: FileWish): Promise<StreamableFile> {
    return toDownload('license', id, await this.checkOut(caller, id, wish));
  }
}
