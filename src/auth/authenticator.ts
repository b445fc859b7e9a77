import { Injectable } from '@nestjs/common';
import { Clock } from '../core/clock.js';
import { Config } from '../core/config.js';
import { Database, type Tenant } from '../core/database.js';
import { MasterKey } from '../core/master-key.js';
import { RateLimits } from '../core/rate-limits.js';
import { currentRequest, type RequestContext } from '../core/request-context.js';
import { addressIsAllowed } from '../domain/addresses.js';
import { type EnvironmentName, parseApiKey, SHOWN_PREFIX_LENGTH } from '../domain/api-key.js';
import { invalid, LatchkeyError } from '../domain/errors.js';
import { earlier, segmentOf } from '../domain/grant.js';
import { isRotatedOut } from '../domain/license-key.js';
import { ipKey } from '../domain/rate-limit.js';
import { flairsOf } from '../domain/flairs.js';
import { roles } from '../domain/roles.js';
import { type AccessClaims, AccessTokens } from './access-tokens.js';
import { CredentialCache } from './credential-cache.js';
import type { Credential, TenantHints } from './credentials.js';
import {
  type ApiKeyFacts,
  FIND_API_KEY,
  FIND_API_KEY_OF_TOKEN,
  FIND_LICENSE,
  type LicenseOfKey,
  FIND_USER_KEY,
  FIND_USER_KEY_OF_TOKEN,
  type TenantColumns,
  type UserKeyFacts,
} from './credentials.query.js';
import { KeyUseWorker } from './key-use.worker.js';
import { LicenseKeys } from './license-keys.js';
import { isSame } from './same-secret.js';
import type { ApiKeyPrincipal, Principal, UserKeyPrincipal, UserPrincipal } from './principal.js';

/** Turns a credential into who is calling. Every way in which there is no such credential looks the same from outside. */
@Injectable()
export class Authenticator {
  constructor(
    private readonly database: Database,
    private readonly masterKey: MasterKey,
    private readonly clock: Clock,
    private readonly config: Config,
    private readonly cache: CredentialCache,
    private readonly tokens: AccessTokens,
    private readonly licenseKeys: LicenseKeys,
    private readonly keyUse: KeyUseWorker,
    private readonly rateLimits: RateLimits,
  ) {}

  /**
   * Who calls, in which tenant. The hints choose among a user's accounts, find a vendor-chosen license key, and must not
   * contradict any other credential.
   * @throws 401 AUTH_FAILED, API_KEY_EXPIRED, API_KEY_REVOKED, TOKEN_EXPIRED; 403 ACCOUNT_SUSPENDED, IP_NOT_ALLOWED; 400 when
   *   a user with several accounts names none
   */
  async authenticate(credential: Credential | null, hints: TenantHints): Promise<Principal> {
    const caller = await this.identify(credential, hints);
    return caller.kind === 'userKey' ? this.userIn(caller, hints) : caller;
  }

  /**
   * Whoever fails too often is told that instead: from then on 429 for an address, for a minute, and only for what fails.
   * A right credential is never held up by wrong ones.
   */
  async countingFailures<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof LatchkeyError && error.status === 401) await this.rateLimits.admit('auth-failures', ipKey(currentRequest()?.ip));
      throw error;
    }
  }

  /** Who calls, without asking in which of a user's accounts. */
  async identify(credential: Credential | null, hints: TenantHints): Promise<Principal> {
    if (credential === null) return { kind: 'anonymous' };
    if (credential.scheme === 'license') return this.license(credential.value, hints);
    if (this.isPlatformToken(credential.value)) {
      attribute({ actor: { type: 'platform', id: null } });
      return { kind: 'platform' };
    }
    if (this.tokens.isToken(credential.value)) return this.token(credential.value, hints);
    const kind = parseApiKey(credential.value);
    attribute({ keyPrefix: credential.value.startsWith('lk_') ? credential.value.slice(0, SHOWN_PREFIX_LENGTH) : null });
    if (kind === null) throw failed();
    const digest = this.masterKey.digestApiKey(credential.value);
    const name = Buffer.from(digest).toString('base64');
    if (kind === 'user') {
      const load = () => this.database.lookup<UserKeyFacts>(FIND_USER_KEY, [digest]);
      return this.userKey(await this.cache.read(name, async () => (await load())[0] ?? null), null);
    }
    const load = () => this.database.lookup<ApiKeyFacts>(FIND_API_KEY, [digest]);
    return this.apiKey(await this.cache.read(name, async () => (await load())[0] ?? null), null, hints);
  }

  /**
   * Who the holder of an API key is by what is known of it now: for whoever stays after they were let in.
   * @throws what `authenticate` would
   */
  apiKeyAgain({ token }: ApiKeyPrincipal, facts: ApiKeyFacts | null, hints: TenantHints): ApiKeyPrincipal {
    if (token !== null) this.tokens.requireLiving(token, this.clock.now());
    return this.apiKey(facts, token, hints);
  }

  /** The same for a user in one of their accounts. */
  userAgain({ token }: UserPrincipal, facts: UserKeyFacts | null, hints: TenantHints): UserPrincipal {
    if (token !== null) this.tokens.requireLiving(token, this.clock.now());
    return this.userIn(this.userKey(facts, token), hints);
  }

  private async token(text: string, hints: TenantHints): Promise<Principal> {
    const claims = await this.tokens.verify(text, this.clock.now());
    const { kind, id } = claims.key;
    if (kind === 'apiKey') {
      const load = () => this.database.lookup<ApiKeyFacts>(FIND_API_KEY_OF_TOKEN, [id]);
      return this.apiKey(await this.cache.read(id, async () => (await load())[0] ?? null), claims, hints);
    }
    const load = () => this.database.lookup<UserKeyFacts>(FIND_USER_KEY_OF_TOKEN, [id]);
    return this.userKey(await this.cache.read(id, async () => (await load())[0] ?? null), claims);
  }

  private apiKey(key: ApiKeyFacts | null, token: AccessClaims | null, hints: TenantHints): ApiKeyPrincipal {
    if (key === null) throw failed();
    const { id, scopes, rateLimitPerMinute, allowedIps } = key;
    const endsAt = earlier(key.endsAt, token?.expiresAt ?? null);
    const flairs = flairsOf(key.name);
    const segmentId = segmentOf({ flairs }, key.lineageId);
    const tenant = { ...tenantOf(key), segmentId };
    const { accountId, environmentId } = tenant;
    const credential = credentialOf(id, { accountId: null, scopes: token?.scopes ?? null });
    attribute({ actor: { type: 'api_key', id }, credential, accountId, environmentId, segmentId, keyPrefix: key.prefix });
    this.requireLiving(key);
    if (key.accountSuspendedAt !== null) throw suspended();
    this.requireAddress(allowedIps);
    if (
      ![undefined, key.accountId, key.accountSlug].includes(hints.account?.toLowerCase()) ||
      contradicts(hints.environment, key.environment)
    )
      throw new LatchkeyError('AUTH_FAILED', 'The key belongs to another account or environment than the request names.');
    this.noteUse('apiKey', key);
    const held = narrowed(scopes, token);
    return { kind: 'apiKey', tenant, id, scopes: held, grant: { scopes: held, rateLimitPerMinute, allowedIps, endsAt, flairs }, token };
  }

  private userKey(key: UserKeyFacts | null, token: AccessClaims | null): UserKeyPrincipal {
    if (key === null) throw failed();
    const credential = credentialOf(key.id, { accountId: token?.accountId ?? null, scopes: token?.scopes ?? null });
    attribute({ actor: { type: 'user', id: key.userId }, credential, keyPrefix: key.prefix });
    this.requireLiving(key);
    const only = token?.accountId ?? null;
    const accounts = (key.accounts ?? []).filter(({ id }) => only === null || only === id);
    this.noteUse('userKey', key);
    const endsAt = earlier(key.endsAt, token?.expiresAt ?? null);
    return { kind: 'userKey', id: key.userId, keyId: key.id, accounts, homeAccountId: key.accountId, endsAt, token };
  }

  /**
   * A user in the account that the request names; else in the one where the key was made, or in their only one. That
   * another account adds them changes nothing for requests that name none.
   */
  private userIn(user: UserKeyPrincipal, hints: TenantHints): UserPrincipal {
    const { id, keyId, accounts, homeAccountId, endsAt, token } = user;
    const named = hints.account?.toLowerCase() ?? accounts.find((one) => one.id === homeAccountId)?.id;
    if (named === undefined && accounts.length > 1)
      throw invalid([{ path: 'X-Account-Id', message: 'is required: this user has several accounts' }]);
    const account = named === undefined ? accounts[0] : accounts.find((one) => one.id === named || one.slug === named);
    if (account === undefined) throw failed();
    const environment = environmentOf(hints.environment);
    const tenant = { accountId: account.id, environmentId: account.environments[environment], environment, segmentId: null };
    attribute({ accountId: tenant.accountId, environmentId: tenant.environmentId });
    if (account.isSuspended) throw suspended();
    const scopes = narrowed([...roles[account.role]], token);
    const grant = { scopes, rateLimitPerMinute: null, allowedIps: [], endsAt, flairs: [] };
    return { kind: 'user', tenant, id, keyId, scopes, grant, role: account.role, token };
  }

  private async license(value: string, { account, environment }: TenantHints): Promise<Principal> {
    const wanted = await this.licenseKeys.findBy(value, account);
    if (wanted === null) throw failed();
    const load = () => this.database.lookup<TenantColumns & LicenseOfKey>(FIND_LICENSE, [wanted.digest]);
    const license = await this.cache.read(Buffer.from(wanted.digest).toString('base64'), async () => (await load())[0] ?? null);
    if (license === null || (wanted.accountId ?? license.accountId) !== license.accountId) throw failed();
    const { keyValidUntil, frozenAt } = license;
    if (isRotatedOut(keyValidUntil, this.clock.now(frozenAt === null ? null : { frozenAt }))) throw failed();
    const { accountId, environmentId } = license;
    attribute({ actor: { type: 'license', id: license.id }, credential: license.id, accountId, environmentId });
    if (contradicts(environment, license.environment)) throw failed();
    return { kind: 'license', tenant: tenantOf(license), licenseId: license.id, keyDigest: wanted.digest };
  }

  private requireLiving({ revokedAt, endsAt }: { revokedAt: Date | null; endsAt: Date | null }): void {
    if (revokedAt !== null) throw new LatchkeyError('API_KEY_REVOKED', 'This API key was revoked.');
    if (endsAt !== null && endsAt <= this.clock.now()) throw new LatchkeyError('API_KEY_EXPIRED', 'This API key has expired.');
  }

  private requireAddress(allowedIps: string[]): void {
    if (!addressIsAllowed(allowedIps, currentRequest()?.ip ?? null))
      throw new LatchkeyError('IP_NOT_ALLOWED', 'This API key may not be used from this address.');
  }

  private noteUse(kind: 'apiKey' | 'userKey', { id, lastUsedAt }: { id: string; lastUsedAt: Date | null }): void {
    this.keyUse.note(kind, id, currentRequest()?.ip ?? null, lastUsedAt, this.clock.now());
  }

  private isPlatformToken(value: string): boolean {
    if (this.config.platformToken === undefined) return false;
    return isSame(value, this.config.platformToken);
  }
}

/**
 * What a token may do of what its key may do now.
 * @throws 401 when that is nothing: an empty list would mean everything
 */
function narrowed(held: string[], token: AccessClaims | null): string[] {
  if (token?.scopes == null) return held;
  const left = held.length === 0 ? token.scopes : token.scopes.filter((scope) => held.includes(scope));
  if (left.length === 0) throw new LatchkeyError('AUTH_FAILED', 'The key of this token lost all that the token was made for.');
  return left;
}

/** A token of the same key with the same powers is the same credential, whichever hour it is from. */
function credentialOf(keyId: string, { accountId, scopes }: Pick<AccessClaims, 'accountId' | 'scopes'>): string {
  return JSON.stringify([keyId, accountId, scopes === null ? null : [...scopes].sort()]);
}

function environmentOf(named: string | undefined): EnvironmentName {
  const environment = named?.toLowerCase() ?? 'live';
  if (environment !== 'live' && environment !== 'test') throw invalid([{ path: 'X-Environment', message: 'must be live or test' }]);
  return environment;
}

function contradicts(named: string | undefined, actual: EnvironmentName): boolean {
  return named !== undefined && named.toLowerCase() !== actual;
}

/** Says who it is as soon as that is known: a refusal is evidence too. */
function attribute(known: Partial<RequestContext>): void {
  Object.assign(currentRequest() ?? {}, known);
}

function tenantOf({ accountId, environmentId, environment }: TenantColumns): Tenant {
  return { accountId, environmentId, environment, segmentId: null };
}

function failed(): LatchkeyError {
  return new LatchkeyError('AUTH_FAILED', 'The credential is malformed or unknown.');
}

function suspended(): LatchkeyError {
  return new LatchkeyError('ACCOUNT_SUSPENDED', 'The account is suspended.');
}
