import { OmitType, PartialType } from '@nestjs/swagger';
import { Choice, Email, Id, MetadataField, Text, Timestamp } from '../core/fields.js';
import { PageQuery } from '../core/page.js';
import type { Metadata } from '../domain/metadata.js';
import { memberRoles, type MemberRole } from '../domain/roles.js';
import type { Membership } from '../generated/prisma/client.js';

export class CreateUserBody {
  @Email({ help: 'Address of the user; unique in the account whatever its case.' })
  email!: string;

  @Text({ help: 'What the user is called.', max: 255, example: 'Ada Lovelace' })
  name!: string;

  @Choice(memberRoles, { help: 'What the user may do in this account. Never more than the caller may; `owner` is full access.' })
  role!: MemberRole;

  @Id({
    help: 'The id of somebody who is a user already, of another account: the same keys then open both. Who made those keys may have kept a copy: add by id only whom you trust together with the account that they come from. Absent = a new user.',
    optional: true,
  })
  userId?: string;

  @MetadataField({ optional: true, default: {} })
  metadata?: Metadata;
}

export class UpdateUserBody extends PartialType(OmitType(CreateUserBody, ['userId']), { skipNullProperties: false }) {}

/** A user as this account knows them: what another account calls the same user is its own. */
export class UserView {
  @Id({ help: 'UUID v7. Of the user: the same in every account.' })
  id!: string;

  @Email({ help: 'Address of the user.' })
  email!: string;

  @Text({ help: 'What the user is called.', max: 255, example: 'Ada Lovelace' })
  name!: string;

  @Choice(memberRoles, { help: 'What the user may do in this account.' })
  role!: MemberRole;

  @MetadataField()
  metadata!: Metadata;

  @Timestamp({ help: 'When the user was added to this account.' })
  createdAt!: Date;

  @Timestamp({ help: 'When it was last changed by a request.' })
  updatedAt!: Date;
}

export class UsersQuery extends PageQuery {
  @Text({ help: 'Only the user with this address, whatever its case.', max: 254, optional: true, example: 'ada@example.com' })
  email?: string;

  @Choice(memberRoles, { help: 'Only users with this role.', optional: true })
  role?: MemberRole;

  @Text({ help: 'Only users whose name or address contains this, whatever the case.', max: 255, optional: true, example: 'ada' })
  q?: string;
}

export function toUserView(row: Membership): UserView {
  return {
    id: row.userId,
    email: row.email,
    name: row.name,
    role: row.role as MemberRole,
    metadata: row.metadata as Metadata,
    createdAt: row.createdAt,
    updatedAt: row.updatedAt,
  };
}
