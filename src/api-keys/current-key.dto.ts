import { Choice, ChoiceList, Email, Id, Nested, Text, Timestamp } from '../core/fields.js';
import { apiKeyStatus, type EnvironmentName, maskApiKey } from '../domain/api-key.js';
import { type MemberRole, memberRoles } from '../domain/roles.js';
import { allScopes, type Scope } from '../domain/scopes.js';
import type { UserKey } from '../generated/prisma/client.js';
import { ApiKeyView } from './api-keys.dto.js';

const credentials = ['apiKey', 'userKey'] as const;

export class CurrentAccountView {
  @Id({ help: 'UUID v7.' })
  id!: string;

  @Text({ help: 'Name of the vendor.', max: 255, example: 'Acme Software' })
  name!: string;

  @Text({ help: 'Short name.', max: 63, example: 'acme' })
  slug!: string;
}

export class CurrentTokenView {
  @Id({ help: 'Its `jti`.' })
  id!: string;

  @Timestamp({ help: 'When it ends.' })
  expiresAt!: Date;
}

export class CurrentUserView {
  @Id({ help: 'UUID v7.' })
  id!: string;

  @Email({ help: 'Where the user is reached.' })
  email!: string;

  @Text({ help: 'Name of the user.', max: 255, example: 'Ada Lovelace' })
  name!: string;

  @Choice(memberRoles, { help: 'In this account.' })
  role!: MemberRole;
}

export class CurrentApiKeyView extends ApiKeyView {
  @Choice(credentials, { help: 'What the key is: of an account, or of a user.' })
  credential!: (typeof credentials)[number];

  @Nested(() => CurrentTokenView, { help: 'The short-lived token in use; null = the key itself.', nullable: true })
  token!: CurrentTokenView | null;

  @Nested(() => CurrentUserView, { help: 'Whose key it is; null = an account’s.', nullable: true })
  user!: CurrentUserView | null;

  @Nested(() => CurrentAccountView, { help: 'The account in which it acts.' })
  account!: CurrentAccountView;

  @ChoiceList(allScopes, { help: 'Everything that this request may do, spelt out.', example: ['licenses:read'] })
  effectiveScopes!: Scope[];
}

/** A user's key, in the terms of an account's: it has neither flairs nor limits of its own. */
export function toUserKeyView(row: UserKey, environment: EnvironmentName, now: Date): Omit<ApiKeyView, 'scopes'> {
  const { id, name, createdAt, updatedAt, expiresAt, leakedAt, lastUsedAt, lastUsedIp } = row;
  return {
    ...{ id, environment, metadata: {}, createdAt, updatedAt, name },
    ...{ kind: 'account', serviceName: null, allowedIps: [], rateLimitPerMinute: null, flairs: [] },
    ...{ expiresAt, retiresAt: null, successorId: null, leakedAt, lastUsedAt, lastUsedIp },
    maskedKey: maskApiKey(row.prefix, row.suffix),
    status: apiKeyStatus({ ...row, retiresAt: null }, now),
  };
}
