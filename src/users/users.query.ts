import type { Db } from '../core/database.js';
import { notFound } from '../domain/errors.js';
import type { MemberRole } from '../domain/roles.js';
import type { Membership } from '../generated/prisma/client.js';

/** A user's membership; 404 for who is none of this account's. */
export async function loadMember(db: Db, accountId: string, userId: string): Promise<Membership & { role: MemberRole }> {
  const row = await db.membership.findUnique({ where: { accountId_userId: { accountId, userId } } });
  if (row === null) throw notFound('user');
  return { ...row, role: row.role as MemberRole };
}

/** The same, held until the end of the work: a role does not change between being judged and being acted upon. */
export async function lockMember(db: Db, accountId: string, userId: string): Promise<Membership & { role: MemberRole }> {
  await db.$queryRaw`SELECT 1 FROM membership WHERE account_id = ${accountId}::uuid AND user_id = ${userId}::uuid FOR UPDATE`;
  return loadMember(db, accountId, userId);
}

/**
 * Hold a user, in work across tenants: the accounts that the user is a member of are then those that one sees, until the
 * end of the work. Also a membership that is being inserted waits, by its foreign key. Answers whether there is one.
 */
export async function lockUser(db: Db, userId: string): Promise<boolean> {
  return (await db.$queryRaw<unknown[]>`SELECT 1 FROM vendor_user WHERE id = ${userId}::uuid FOR UPDATE`).length > 0;
}
