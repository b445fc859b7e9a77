import { PartialType, PickType } from '@nestjs/swagger';
import { CreatedApiKeyView } from '../api-keys/api-keys.dto.js';
import { Choice, Email, Flag, Id, MetadataField, Nested, Text, Timestamp } from '../core/fields.js';
import { PageQuery } from '../core/page.js';
import type { Metadata } from '../domain/metadata.js';
import type { Account, Prisma } from '../generated/prisma/client.js';

const accountStatuses = ['active', 'suspended'] as const;

export class CreateAccountBody {
  @Text({ help: 'Name of the vendor.', max: 255, example: 'Acme Software' })
  name!: string;

  @Text({
    help: 'Short name, unique in the installation; lower case. Stands for the id wherever an account is named.',
    min: 2,
    max: 63,
    // Not what could be taken for an id, because both name an account.
    pattern: /^(?![0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?$/,
    patternHelp: 'must be lower-case letters, digits and inner dashes, and no UUID',
    example: 'acme',
  })
  slug!: string;

  @Email({ help: 'Where the owner is reached.' })
  ownerEmail!: string;

  @MetadataField({ optional: true, default: {} })
  metadata?: Metadata;
}

export class UpdateAccountBody extends PartialType(PickType(CreateAccountBody, ['name', 'slug', 'ownerEmail', 'metadata']), {
  skipNullProperties: false,
}) {
  @Flag({ help: 'Whether an API key that a secret scanner reports is revoked at once.', optional: true, example: true })
  revokeLeakedKeys?: boolean;
}

export class AccountView {
  @Id({ help: 'UUID v7.' })
  id!: string;

  @Text({ help: 'Name of the vendor.', max: 255, example: 'Acme Software' })
  name!: string;

  @Text({ help: 'Short name, unique in the installation.', max: 63, example: 'acme' })
  slug!: string;

  @Email({ help: 'Where the owner is reached.' })
  ownerEmail!: string;

  @Choice(accountStatuses, { help: 'Suspended: its keys and its users are refused, while the licenses of its customers go on.' })
  status!: (typeof accountStatuses)[number];

  @Timestamp({ help: 'Since when its keys are refused; null = not suspended.', nullable: true, example: null })
  suspendedAt!: Date | null;

  @Flag({ help: 'Whether an API key that a secret scanner reports is revoked at once.', example: false })
  revokeLeakedKeys!: boolean;

  @MetadataField()
  metadata!: Metadata;

  @Timestamp({ help: 'When it was created.' })
  createdAt!: Date;

  @Timestamp({ help: 'When it was last changed by a request.' })
  updatedAt!: Date;
}

export class AccountsQuery extends PageQuery {
  @Text({ help: 'Only the account with this short name, whatever its case.', max: 63, optional: true, example: 'acme' })
  slug?: string;

  @Text({ help: 'Only accounts whose name or short name contains this, whatever the case.', max: 255, optional: true, example: 'acme' })
  q?: string;
}

export class AccountKeysView {
  @Nested(() => CreatedApiKeyView, { help: 'Full access to the live environment.' })
  live!: CreatedApiKeyView;

  @Nested(() => CreatedApiKeyView, { help: 'Full access to the test environment.' })
  test!: CreatedApiKeyView;
}

export class CreatedAccountView {
  @Nested(() => AccountView, { help: 'The new account.' })
  account!: AccountView;

  @Nested(() => AccountKeysView, { help: 'One key for each environment. Their secrets are shown this once.' })
  apiKeys!: AccountKeysView;
}

export function toAccountView(account: Account): AccountView {
  return {
    id: account.id,
    name: account.name,
    slug: account.slug,
    ownerEmail: account.ownerEmail,
    status: account.suspendedAt === null ? 'active' : 'suspended',
    suspendedAt: account.suspendedAt,
    revokeLeakedKeys: account.revokeLeakedKeys,
    metadata: account.metadata as Metadata,
    createdAt: account.createdAt,
    updatedAt: account.updatedAt,
  };
}

export function toAccountChanges(body: UpdateAccountBody): Prisma.AccountUpdateInput {
  const { name, slug, ownerEmail, metadata, revokeLeakedKeys } = body;
  return { name, slug, ownerEmail, metadata, revokeLeakedKeys };
}
