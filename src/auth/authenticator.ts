import { timingSafeEqual, createHash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { Clock } from '../core/clock.js';
import { Config } from '../core/config.js';
import { Database } from '../core/database.js';
import { MasterKey } from '../core/master-key.js';
import { currentRequest, type RequestContext } from '../core/request-context.js';
import { parseApiKey, SHOWN_PREFIX_LENGTH, type EnvironmentName } from '../domain/api-key.js';
import { LatchkeyError } from '../domain/errors.js';
import { type ParsedLicenseKey, parseLicenseKey } from '../domain/license-key.js';
import type { Credential } from './credentials.js';
import type { Principal } from './principal.js';

/** By the digest, which only the key's holder can make; one read, prepared. */
const FIND_API_KEY = {
  name: 'find_api_key',
  text: `
    SELECT api_key.id, api_key.scopes, api_key.expires_at AS "expiresAt", api_key.revoked_at AS "revokedAt",
           environment.id AS "environmentId", environment.name AS environment,
           account.id AS "accountId", account.suspended_at AS "accountSuspendedAt"
      FROM api_key
      JOIN environment ON environment.id = api_key.environment_id
      JOIN account ON account.id = environment.account_id
     WHERE api_key.digest = $1`,
};

const FIND_LICENSE = {
  name: 'find_license_by_key',
  text: `
    SELECT license.id, environment.id AS "environmentId", environment.name AS environment, environment.account_id AS "accountId"
      FROM license
      JOIN environment ON environment.id = license.environment_id
     WHERE license.key_digest = $1 AND license.deleted_at IS NULL`,
};

const FIND_ACCOUNT = {
  name: 'find_account',
  text: 'SELECT id FROM account WHERE id = $1 OR slug = $2',
};

interface TenantColumns {
  id: string;
  environmentId: string;
  environment: EnvironmentName;
  accountId: string;
}

/** Turns a credential into who is calling. Every way to fail looks the same from outside. */
@Injectable()
export class Authenticator {
  constructor(
    private readonly database: Database,
    private readonly masterKey: MasterKey,
    private readonly clock: Clock,
    private readonly config: Config,
  ) {}

  /**
   * `accountHint` is X-Account-Id: needed beside a vendor-chosen license key, checked beside any license key.
   * @throws 401 AUTH_FAILED, API_KEY_EXPIRED, API_KEY_REVOKED; 403 ACCOUNT_SUSPENDED
   */
  authenticate(credential: Credential | null, accountHint: string | undefined): Promise<Principal> {
    if (credential === null) return Promise.resolve({ kind: 'anonymous' });
    return credential.scheme === 'license' ? this.license(credential.value, accountHint) : this.key(credential.value);
  }

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
  licenseKeyDigest(typed: string, accountId: string | null): Uint8Array<ArrayBuffer> | null {
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

  private async key(value: string): Promise<Principal> {
    if (this.isPlatformToken(value)) {
      attribute({ actor: { type: 'platform', id: null } });
      return { kind: 'platform' };
    }
    if (parseApiKey(value) === null) throw failed();
    attribute({ keyPrefix: value.slice(0, SHOWN_PREFIX_LENGTH) });
    const [key] = await this.database.lookup<
      TenantColumns & { scopes: string[]; expiresAt: Date | null; revokedAt: Date | null; accountSuspendedAt: Date | null }
    >(FIND_API_KEY, [this.masterKey.digestApiKey(value)]);
    if (key === undefined) throw failed();
    attribute({ actor: { type: 'api_key', id: key.id }, environmentId: key.environmentId });
    if (key.revokedAt !== null) throw new LatchkeyError('API_KEY_REVOKED', 'This API key was revoked.');
    if (key.expiresAt !== null && key.expiresAt <= this.clock.now())
      throw new LatchkeyError('API_KEY_EXPIRED', 'This API key has expired.');
    if (key.accountSuspendedAt !== null) throw new LatchkeyError('ACCOUNT_SUSPENDED', 'The account is suspended.');
    const grant = { scopes: key.scopes, rateLimitPerMinute: null, allowedIps: [], endsAt: key.expiresAt, flairs: [] };
    return { kind: 'apiKey', tenant: tenantOf(key), id: key.id, scopes: key.scopes, grant, token: null };
  }

  private async license(value: string, accountHint: string | undefined): Promise<Principal> {
    const wanted = await this.findBy(value, accountHint);
    const [license] = wanted === null ? [] : await this.database.lookup<TenantColumns>(FIND_LICENSE, [wanted.digest]);
    if (license === undefined || (wanted?.accountId ?? license.accountId) !== license.accountId) throw failed();
    attribute({ actor: { type: 'license', id: license.id }, environmentId: license.environmentId });
    return { kind: 'license', tenant: tenantOf(license), licenseId: license.id };
  }

  /** Digests are compared, so that neither content nor length shows in the time it takes. */
  private isPlatformToken(value: string): boolean {
    if (this.config.platformToken === undefined) return false;
    return timingSafeEqual(sha256(value), sha256(this.config.platformToken));
  }
}

function tenantOf({ accountId, environmentId, environment }: TenantColumns) {
  return { accountId, environmentId, environment, segmentId: null };
}

/** Says who it is as soon as that is known: a refusal is evidence too. */
function attribute(known: Partial<RequestContext>): void {
  const request = currentRequest();
  if (request !== null) Object.assign(request, known);
}

function failed(): LatchkeyError {
  return new LatchkeyError('AUTH_FAILED', 'The credential is malformed or unknown.');
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
