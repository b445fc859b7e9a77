import { Injectable } from '@nestjs/common';
import { Database } from '../core/database.js';
import { MasterKey } from '../core/master-key.js';
import { type ParsedLicenseKey, parseLicenseKey } from '../domain/license-key.js';
import { FIND_ACCOUNT } from './credentials.query.js';

/** What a license key is looked up by. */
@Injectable()
export class LicenseKeys {
  constructor(
    private readonly database: Database,
    private readonly masterKey: MasterKey,
  ) {}

  /**
   * What to look a license key up by, and the account that it must then belong to (null = any); `account` is an id or
   * slug. Null for a key that cannot exist, which is known before anything is asked of the database.
   */
  async findBy(typed: string, account: string | undefined): Promise<{ digest: Uint8Array<ArrayBuffer>; accountId: string | null } | null> {
    const parsed = parseLicenseKey(typed, this.masterKey.licenseKeyTagSecret);
    if (parsed.origin === 'generated' && parsed.body === null) return null;
    const accountId = account === undefined ? null : await this.accountId(account);
    if (account !== undefined && accountId === null) return null;
    const digest = this.digestOf(parsed, typed, accountId);
    return digest === null ? null : { digest, accountId };
  }

  /** The digest by which a license key is stored; null for a made-up one, or a vendor's own without its account's id. */
  digest(typed: string, accountId: string | null): Uint8Array<ArrayBuffer> | null {
    return this.digestOf(parseLicenseKey(typed, this.masterKey.licenseKeyTagSecret), typed, accountId);
  }

  /** The account that an id or slug names, or null. */
  async accountId(idOrSlug: string): Promise<string | null> {
    const id = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(idOrSlug) ? idOrSlug : null;
    const [account] = await this.database.lookup<{ id: string }>(FIND_ACCOUNT, [id, idOrSlug.toLowerCase()]);
    return account?.id ?? null;
  }

  private digestOf(parsed: ParsedLicenseKey, typed: string, accountId: string | null): Uint8Array<ArrayBuffer> | null {
    if (parsed.origin === 'generated') return parsed.body === null ? null : this.masterKey.digestGeneratedKey(parsed.body);
    return accountId === null ? null : this.masterKey.digestVendorKey(accountId, typed);
  }
}
