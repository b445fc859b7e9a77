import { type ApiKeyView, CreateApiKeyBody, RotateApiKeyBody } from '../api-keys/api-keys.dto.js';
import { ApiKeysService } from '../api-keys/api-keys.service.js';
import type { EnvironmentName } from '../domain/api-key.js';
import { isLiving, keyFindings } from '../domain/key-audit.js';
import { bodyOf, idOf, wholeNumber } from './input.js';
import { type Outcome, printable, table, time } from './output.js';
import { everyItem, inSession } from './session.js';

/** Which tenant's keys: an account by its slug or id, and one of its environments. */
export interface TenantOptions {
  account: string;
  environment: EnvironmentName;
}

export interface CreateKeyOptions extends TenantOptions {
  name: string;
  /** Absent = full access. */
  scopes?: string[];
  preset?: string;
  expiresAt?: string;
  allowedIps?: string[];
  /** Requests a minute. */
  rateLimit?: string;
  /** Name of a service account. */
  service?: string;
  /** Print the key and nothing else. */
  quiet?: true;
}

export interface RotateKeyOptions extends TenantOptions {
  /** For how long the old key keeps working. */
  overlapSeconds?: string;
  /** Print the key and nothing else. */
  quiet?: true;
}

export interface AuditKeysOptions {
  account: string;
  /** Absent = both. */
  environment?: EnvironmentName;
}

/** `keys create`: the one time that the key is shown. */
export async function createKey(options: CreateKeyOptions): Promise<Outcome> {
  const { account, environment, name, scopes, preset, expiresAt, allowedIps, rateLimit, service, quiet } = options;
  const kind = service === undefined ? undefined : 'service';
  const body = await bodyOf(
    CreateApiKeyBody,
    { name, scopes, preset, expiresAt, allowedIps, rateLimitPerMinute: wholeNumber(rateLimit), kind, serviceName: service },
    { rateLimitPerMinute: '--rate-limit', serviceName: '--service' },
  );
  const created = await inSession(async (session) => session.get(ApiKeysService).create(await session.caller(account, environment), body));
  const { id, key } = created;
  if (quiet === true) return { document: created, text: key };
  return { document: created, text: `API key "${printable(created.name)}" was created (${id}). It is shown this once:\n\n  ${key}` };
}

/** `keys list` */
export async function listKeys({ account, environment }: TenantOptions): Promise<Outcome> {
  const keys = await inSession(async (session) => {
    const { tenant } = await session.caller(account, environment);
    return everyItem((query) => session.get(ApiKeysService).list(tenant, query));
  });
  const rows = keys.map((key) => {
    const scopes = key.scopes.length === 0 ? 'full access' : key.scopes.join(',');
    return [key.id, key.name, key.maskedKey, key.status, time(key.createdAt, ''), time(key.expiresAt, 'never'), scopes];
  });
  return { document: keys, text: table(['ID', 'NAME', 'KEY', 'STATUS', 'CREATED', 'EXPIRES', 'SCOPES'], rows, 'There are no API keys.') };
}

/** `keys rotate`: the one time that the successor is shown. */
export async function rotateKey(id: string, { account, environment, overlapSeconds, quiet }: RotateKeyOptions): Promise<Outcome> {
  const body = await bodyOf(RotateApiKeyBody, { overlapSeconds: wholeNumber(overlapSeconds) });
  const { view, old } = await inSession(async (session) => {
    const caller = await session.caller(account, environment);
    const keys = session.get(ApiKeysService);
    const { view } = await keys.rotate(caller, idOf('API key', id), body);
    return { view, old: await keys.get(caller, idOf('API key', id)) };
  });
  if (quiet === true) return { document: view, text: view.key };
  const until = old.status === 'expiring' ? `works until ${time(old.retiresAt, '')}` : 'is over';
  return {
    document: view,
    text: `The successor of API key "${printable(old.name)}" was created (${view.id}); the old one ${until}. It is shown this once:\n\n  ${view.key}`,
  };
}

/** `keys revoke`: at once and for good; revoking twice is no error. */
export async function revokeKey(id: string, { account, environment }: TenantOptions): Promise<Outcome> {
  const revoked = await inSession(async (session) => {
    const caller = await session.caller(account, environment);
    const keys = session.get(ApiKeysService);
    await keys.revoke(caller, idOf('API key', id));
    return keys.get(caller, idOf('API key', id));
  });
  return { document: revoked, text: `API key "${printable(revoked.name)}" (${revoked.maskedKey}) is revoked.` };
}

/** `keys audit`: every key that still works, with what to act on. Without an environment, those of both. */
export async function auditKeys({ account, environment }: AuditKeysOptions): Promise<Outcome> {
  const environments = environment === undefined ? (['live', 'test'] as const) : [environment];
  const keys = await inSession(async (session) => {
    const found: ApiKeyView[] = [];
    for (const name of environments) {
      const { tenant } = await session.caller(account, name);
      found.push(...(await everyItem((query) => session.get(ApiKeysService).list(tenant, query))));
    }
    return found;
  });
  const now = new Date();
  const audited = keys.filter(({ status }) => isLiving(status)).map((key) => ({ ...key, findings: keyFindings(key, now) }));
  const rows = audited.map(({ id, name, environment: of, maskedKey, findings }) => {
    return [id, name, of, maskedKey, findings.map(({ message }) => message).join('; ')];
  });
  return { document: audited, text: table(['ID', 'NAME', 'ENVIRONMENT', 'KEY', 'FINDINGS'], rows, 'There are no API keys that work.') };
}
