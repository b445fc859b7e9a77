import { PartialType, PickType } from '@nestjs/swagger';
import { v7 as uuidv7 } from 'uuid';
import { ChoiceList, Choice, MetadataField, Nested, Text, Timestamp, Id } from '../core/fields.js';
import type { MasterKey } from '../core/master-key.js';
import { ResourceView, resourceFields } from '../core/resource.js';
import { newSecretKey } from '../core/secret-key.js';
import { type EnvironmentName, maskApiKey } from '../domain/api-key.js';
import type { Metadata } from '../domain/metadata.js';
import { allScopes, effectiveScopes, type Scope, type ScopePreset, scopePresets } from '../domain/scopes.js';
import type { ApiKey } from '../generated/prisma/client.js';

const apiKeyStatuses = ['active', 'expired', 'revoked'] as const;

export class CreateApiKeyBody {
  @Text({ help: 'What the key is for.', max: 255, example: 'billing back office' })
  name!: string;

  @Choice(['live', 'test'], {
    help: "The environment that it opens; absent = the caller's. Another needs a full-access key.",
    optional: true,
  })
  environment?: EnvironmentName;

  @ChoiceList(allScopes, {
    help: 'What the key may do; empty or absent = full access. Never more than the key that creates it.',
    optional: true,
    default: [],
    example: ['licenses:read', 'licenses:write'],
  })
  scopes?: Scope[];

  @Choice(Object.keys(scopePresets), { help: 'Shorthand that fills `scopes`; not together with it.', optional: true, example: 'read-only' })
  preset?: ScopePreset;

  @Timestamp({
    help: 'When the key ends: from then on 401 `API_KEY_EXPIRED`. null = never.',
    optional: true,
    nullable: true,
    default: null,
    example: '2027-01-15T10:30:00.000Z',
  })
  expiresAt?: Date | null;

  @MetadataField({ optional: true, default: {} })
  metadata?: Metadata;
}

export class UpdateApiKeyBody extends PartialType(PickType(CreateApiKeyBody, ['name', 'scopes', 'expiresAt', 'metadata']), {
  skipNullProperties: false,
}) {}

export class ApiKeyView extends ResourceView {
  @Text({ help: 'What the key is for.', max: 255, example: 'billing back office' })
  name!: string;

  @ChoiceList(allScopes, { help: 'What the key may do; empty = full access.', example: ['licenses:read', 'licenses:write'] })
  scopes!: Scope[];

  @Timestamp({ help: 'When the key ends; null = never.', nullable: true, example: null })
  expiresAt!: Date | null;

  @Text({ help: 'First 12 and last 4 characters.', max: 20, example: 'lk_live_a1b2…9xyz' })
  maskedKey!: string;

  @Choice(apiKeyStatuses, { help: 'Computed now.' })
  status!: (typeof apiKeyStatuses)[number];
}

export class CreatedApiKeyView extends ApiKeyView {
  @Text({ help: 'The secret. Shown this once and stored only as a digest.', max: 60, example: 'lk_live_8fJ2…' })
  key!: string;
}

export class CurrentAccountView {
  @Id({ help: 'UUID v7.' })
  id!: string;

  @Text({ help: 'Name of the vendor.', max: 255, example: 'Acme Software' })
  name!: string;

  @Text({ help: 'Short name.', max: 63, example: 'acme' })
  slug!: string;
}

export class CurrentApiKeyView extends ApiKeyView {
  @Nested(() => CurrentAccountView, { help: 'The account that it belongs to.' })
  account!: CurrentAccountView;

  @ChoiceList(allScopes, { help: 'Everything that it may do, spelt out.', example: ['licenses:read'] })
  effectiveScopes!: Scope[];
}

/** A new secret, and the columns that keep all that is kept of it. `lineageId`: of the key that it succeeds. */
export function newApiKey(environment: EnvironmentName, masterKey: MasterKey, lineageId?: string) {
  const id = uuidv7();
  const { key, columns: secretColumns } = newSecretKey(environment, masterKey);
  const columns = { id, lineageId: lineageId ?? id, ...secretColumns };
  return { key, columns };
}

export function toApiKeyView(row: ApiKey, environment: EnvironmentName, now: Date): ApiKeyView {
  return {
    ...resourceFields(row, environment),
    name: row.name,
    scopes: row.scopes as Scope[],
    expiresAt: row.expiresAt,
    maskedKey: maskApiKey(row.prefix, row.suffix),
    status: row.revokedAt !== null ? 'revoked' : row.expiresAt !== null && row.expiresAt <= now ? 'expired' : 'active',
  };
}

export function toCreatedApiKeyView(row: ApiKey, key: string, environment: EnvironmentName, now: Date): CreatedApiKeyView {
  return { ...toApiKeyView(row, environment, now), key };
}

export function toCurrentApiKeyView(row: ApiKey, account: CurrentAccountView, environment: EnvironmentName, now: Date): CurrentApiKeyView {
  const { id, name, slug } = account;
  return { ...toApiKeyView(row, environment, now), account: { id, name, slug }, effectiveScopes: [...effectiveScopes(row.scopes)] };
}
