import { isUUID } from 'class-validator';
import { CreateApiKeyBody } from '../api-keys/api-keys.dto.js';
import { ApiKeysService } from '../api-keys/api-keys.service.js';
import type { EnvironmentName } from '../domain/api-key.js';
import { notFound } from '../domain/errors.js';
import { bodyOf } from './input.js';
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
  /** Print the key and nothing else. */
  quiet?: true;
}

/** `keys create`: the one time that the key is shown. */
export async function createKey({ account, environment, name, scopes, preset, expiresAt, quiet }: CreateKeyOptions): Promise<Outcome> {
  const body = await bodyOf(CreateApiKeyBody, { name, scopes, preset, expiresAt });
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

/** `keys revoke`: at once and for good; revoking twice is no error. */
export async function revokeKey(id: string, { account, environment }: TenantOptions): Promise<Outcome> {
  const revoked = await inSession(async (session) => {
    const { tenant } = await session.caller(account, environment);
    if (!isUUID(id)) throw notFound('API key');
    const keys = session.get(ApiKeysService);
    await keys.revoke(tenant, id.toLowerCase());
    return keys.get(tenant, id.toLowerCase());
  });
  return { document: revoked, text: `API key "${printable(revoked.name)}" (${revoked.maskedKey}) is revoked.` };
}
