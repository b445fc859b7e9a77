import { Choice, Flag, Id, Text, Timestamp } from '../core/fields.js';
import { maskApiKey } from '../domain/api-key.js';
import type { UserKey } from '../generated/prisma/client.js';

const userKeyStatuses = ['active', 'expired', 'revoked'] as const;

export class CreateUserKeyBody {
  @Text({ help: 'What the key is for.', max: 255, example: 'my laptop' })
  name!: string;

  @Timestamp({
    help: 'When the key ends; null = never. Absent = with the credential that makes it, which it cannot outlive (403).',
    optional: true,
    nullable: true,
    example: '2027-01-15T10:30:00.000Z',
  })
  expiresAt?: Date | null;
}

export class UserKeyView {
  @Id({ help: 'UUID v7.' })
  id!: string;

  @Text({ help: 'What the key is for.', max: 255, example: 'my laptop' })
  name!: string;

  @Flag({ help: 'Whether it opens every account of the user, or only the one where it was made.', example: true })
  allAccounts!: boolean;

  @Timestamp({ help: 'When the key ends; null = never.', nullable: true, example: null })
  expiresAt!: Date | null;

  @Text({ help: 'First 12 and last 4 characters.', max: 20, example: 'lk_user_a1b2…9xyz' })
  maskedKey!: string;

  @Choice(userKeyStatuses, { help: 'Computed now.' })
  status!: (typeof userKeyStatuses)[number];

  @Timestamp({ help: 'When it was created.' })
  createdAt!: Date;

  @Timestamp({ help: 'When it was last changed by a request.' })
  updatedAt!: Date;
}

export class CreatedUserKeyView extends UserKeyView {
  @Text({ help: 'The secret. Shown this once and stored only as a digest.', max: 60, example: 'lk_user_8fJ2…' })
  key!: string;
}

/** When and where it was last used stays out: that may have been in another account. */
export function toUserKeyView(row: UserKey, now: Date): UserKeyView {
  return {
    id: row.id,
    name: row.name,
    allAccounts: row.allAccounts,
    expiresAt: row.expiresAt,
    maskedKey: maskApiKey(row.prefix, row.suffix),
    status: row.revokedAt !== null ? 'revoked' : row.expiresAt !== null && row.expiresAt <= now ? 'expired' : 'active',
    createdAt: row.createdAt,
    updatedAt: row.updatedAt,
  };
}
