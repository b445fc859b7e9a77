import { v7 as uuidv7 } from 'uuid';
import { AddressRanges, Choice, ChoiceList, Id, Integer, MetadataField, Text, TextList, Timestamp } from '../core/fields.js';
import type { MasterKey } from '../core/master-key.js';
import { ResourceView, resourceFields } from '../core/resource.js';
import { newSecretKey } from '../core/secret-key.js';
import { canonicalRange } from '../domain/addresses.js';
import { type ApiKeyStatus, apiKeyStatus, apiKeyStatuses, type EnvironmentName, maskApiKey } from '../domain/api-key.js';
import { flairsOf } from '../domain/flairs.js';
import type { Metadata } from '../domain/metadata.js';
import { allScopes, type Scope, type ScopePreset, scopePresets } from '../domain/scopes.js';
import type { ApiKey } from '../generated/prisma/client.js';

export const MAX_NAME_LENGTH = 255;
const MAX_RANGES = 100;
const MAX_RATE_PER_MINUTE = 1_000_000;
const MAX_OVERLAP_SECONDS = 2_592_000;
const DEFAULT_OVERLAP_SECONDS = 86_400;

const apiKeyKinds = ['account', 'service'] as const;

export class CreateApiKeyBody {
  @Text({
    help: 'What the key is for. Tags in square brackets are its flairs: `[bulk]` has ten times the rate limit, `[segment]` sees and changes only what it created.',
    max: MAX_NAME_LENGTH,
    example: 'billing back office',
  })
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
    help: "When the key ends: from then on 401 `API_KEY_EXPIRED`. A time that is past ends it at once. null = never; absent = with the caller's.",
    optional: true,
    nullable: true,
    example: '2027-01-15T10:30:00.000Z',
  })
  expiresAt?: Date | null;

  @AddressRanges({
    help: "Where it may be used from: CIDR ranges and addresses, v4 and v6; others get 403 `IP_NOT_ALLOWED`. Empty or null = anywhere; absent = where the caller's may.",
    maxItems: MAX_RANGES,
    optional: true,
    nullable: true,
  })
  allowedIps?: string[] | null;

  @Integer({
    help: "Requests a minute. null = the installation's default, ten times as many with the flair `bulk`; absent = the caller's own limit, if it has one.",
    min: 1,
    max: MAX_RATE_PER_MINUTE,
    optional: true,
    nullable: true,
    example: 600,
  })
  rateLimitPerMinute?: number | null;

  @Choice(apiKeyKinds, { help: '`service`: a service account, with a name of its own.', optional: true, default: 'account' })
  kind?: (typeof apiKeyKinds)[number];

  @Text({
    help: 'What the service account is called; with kind `service`, and only then.',
    max: MAX_NAME_LENGTH,
    optional: true,
    nullable: true,
    example: 'nightly-export',
  })
  serviceName?: string | null;

  @MetadataField({ optional: true, default: {} })
  metadata?: Metadata;
}

/** Not made of the body of creation: what is absent there is the caller's, and here it stays as it is. */
export class UpdateApiKeyBody {
  @Text({
    help: 'What the key is for, with its flairs in square brackets. Absent = unchanged.',
    max: MAX_NAME_LENGTH,
    optional: true,
    example: 'billing back office',
  })
  name?: string;

  @ChoiceList(allScopes, {
    help: 'What the key may do; empty = full access, absent = unchanged. Never more than the key that changes it.',
    optional: true,
    example: ['licenses:read', 'licenses:write'],
  })
  scopes?: Scope[];

  @Timestamp({
    help: 'When the key ends: from then on 401 `API_KEY_EXPIRED`. A time that is past ends it at once. null = never; absent = unchanged.',
    optional: true,
    nullable: true,
    example: '2027-01-15T10:30:00.000Z',
  })
  expiresAt?: Date | null;

  @AddressRanges({
    help: 'Where it may be used from: CIDR ranges and addresses, v4 and v6; others get 403 `IP_NOT_ALLOWED`. Empty or null = anywhere; absent = unchanged.',
    maxItems: MAX_RANGES,
    optional: true,
    nullable: true,
  })
  allowedIps?: string[] | null;

  @Integer({
    help: "Requests a minute. null = the installation's default, ten times as many with the flair `bulk`; absent = unchanged.",
    min: 1,
    max: MAX_RATE_PER_MINUTE,
    optional: true,
    nullable: true,
    example: 600,
  })
  rateLimitPerMinute?: number | null;

  @MetadataField({ optional: true })
  metadata?: Metadata;
}

export class RotateApiKeyBody {
  @Integer({
    help: 'For how long the old key keeps working, in seconds; 0 = it stops at once. It never works longer than until its own end.',
    max: MAX_OVERLAP_SECONDS,
    optional: true,
    default: DEFAULT_OVERLAP_SECONDS,
    example: 3600,
  })
  overlapSeconds: number = DEFAULT_OVERLAP_SECONDS;
}

export class ApiKeyView extends ResourceView {
  @Text({ help: 'What the key is for.', max: MAX_NAME_LENGTH, example: 'billing back office' })
  name!: string;

  @Choice(apiKeyKinds, { help: '`service`: a service account.' })
  kind!: (typeof apiKeyKinds)[number];

  @Text({ help: 'What the service account is called.', max: MAX_NAME_LENGTH, nullable: true, example: null })
  serviceName!: string | null;

  @ChoiceList(allScopes, { help: 'What the key may do; empty = full access.', example: ['licenses:read', 'licenses:write'] })
  scopes!: Scope[];

  @AddressRanges({ help: 'Where it may be used from; empty = anywhere.', maxItems: MAX_RANGES, example: ['203.0.113.0/24'] })
  allowedIps!: string[];

  @Integer({ help: "Requests a minute; null = the installation's default.", max: MAX_RATE_PER_MINUTE, nullable: true, example: null })
  rateLimitPerMinute!: number | null;

  @TextList({ help: 'Tags in its name: `bulk` and `segment` have a meaning.', max: MAX_NAME_LENGTH, maxItems: 127, example: ['bulk'] })
  flairs!: string[];

  @Timestamp({ help: 'When the key ends; null = never.', nullable: true, example: null })
  expiresAt!: Date | null;

  @Timestamp({ help: 'Of a key that was rotated out: until when it still works.', nullable: true, example: null })
  retiresAt!: Date | null;

  @Id({ help: 'Of a key that was rotated out: the key that took its place.', nullable: true, example: null })
  successorId!: string | null;

  @Timestamp({ help: 'When it was first reported as leaked.', nullable: true, example: null })
  leakedAt!: Date | null;

  @Timestamp({ help: 'When it was last used, to the minute.', nullable: true })
  lastUsedAt!: Date | null;

  @Text({ help: 'From which address.', max: 45, nullable: true, example: '203.0.113.7' })
  lastUsedIp!: string | null;

  @Text({ help: 'First 12 and last 4 characters.', max: 20, example: 'lk_live_a1b2…9xyz' })
  maskedKey!: string;

  @Choice(apiKeyStatuses, { help: 'Computed now. `expiring`: rotated out, and still working until `retiresAt`.' })
  status!: ApiKeyStatus;
}

export class CreatedApiKeyView extends ApiKeyView {
  @Text({ help: 'The secret. Shown this once and stored only as a digest.', max: 60, example: 'lk_live_8fJ2…' })
  key!: string;
}

/** A new secret, and the columns that keep all that is kept of it. `lineageId`: of the key that it succeeds. */
export function newApiKey(environment: EnvironmentName, masterKey: MasterKey, lineageId?: string) {
  const id = uuidv7();
  const { key, columns: secretColumns } = newSecretKey(environment, masterKey);
  const columns = { id, lineageId: lineageId ?? id, ...secretColumns };
  return { key, columns };
}

/** The columns that a PATCH changes; what it does not say stays. */
export function toApiKeyChanges({ name, scopes, expiresAt, allowedIps, rateLimitPerMinute, metadata }: UpdateApiKeyBody) {
  return {
    ...(name === undefined ? {} : { name }),
    ...(scopes === undefined ? {} : { scopes }),
    ...(expiresAt === undefined ? {} : { expiresAt }),
    ...(allowedIps === undefined ? {} : { allowedIps: toRanges(allowedIps) }),
    ...(rateLimitPerMinute === undefined ? {} : { rateLimitPerMinute }),
    ...(metadata === undefined ? {} : { metadata }),
  };
}

/** Each range once, in its one spelling. */
export function toRanges(allowedIps: readonly string[] | null): string[] {
  return [...new Set((allowedIps ?? []).map(canonicalRange))];
}

export function toApiKeyView(row: ApiKey, environment: EnvironmentName, now: Date): ApiKeyView {
  return {
    ...resourceFields(row, environment),
    name: row.name,
    kind: row.kind,
    serviceName: row.serviceName,
    scopes: row.scopes as Scope[],
    allowedIps: row.allowedIps,
    rateLimitPerMinute: row.rateLimitPerMinute,
    flairs: flairsOf(row.name),
    expiresAt: row.expiresAt,
    retiresAt: row.retiresAt,
    successorId: row.successorId,
    leakedAt: row.leakedAt,
    lastUsedAt: row.lastUsedAt,
    lastUsedIp: row.lastUsedIp,
    maskedKey: maskApiKey(row.prefix, row.suffix),
    status: apiKeyStatus(row, now),
  };
}

export function toCreatedApiKeyView(row: ApiKey, key: string, environment: EnvironmentName, now: Date): CreatedApiKeyView {
  return { ...toApiKeyView(row, environment, now), key };
}
