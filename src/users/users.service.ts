import { Injectable } from '@nestjs/common';
import { v7 as uuidv7 } from 'uuid';
import { CredentialCache } from '../auth/credential-cache.js';
import type { VendorPrincipal } from '../auth/principal.js';
import { recordChange } from '../core/audit.js';
import { Clock } from '../core/clock.js';
import { Database, type Db, type Tenant } from '../core/database.js';
import { containsAnyCase, equalsAnyCase } from '../core/like.js';
import { type Page, paginate } from '../core/page.js';
import { LatchkeyError, notFound } from '../domain/errors.js';
import { requireRole, requireRoleGiver } from '../domain/roles.js';
import type { Membership, Prisma } from '../generated/prisma/client.js';
import { revokeKey } from './user-keys.query.js';
import { type CreateUserBody, toUserView, type UpdateUserBody, type UsersQuery, type UserView } from './users.dto.js';
import { loadMember, lockMember, lockUser } from './users.query.js';

/**
 * The people of an account. A user is no more than an id; what an account calls the user is the account's own
 * (docs/decisions/0012-users.md).
 */
@Injectable()
export class UsersService {
  constructor(
    private readonly database: Database,
    private readonly clock: Clock,
    private readonly credentials: CredentialCache,
  ) {}

  /** 403 for a role that may do more than the caller; 404 for an unknown `userId`; 409 for a member or a taken address. */
  async create(caller: VendorPrincipal, body: CreateUserBody): Promise<UserView> {
    const { tenant, scopes } = caller;
    requireRole(scopes, body.role);
    requireRoleGiver(caller);
    requireWholeAccount(tenant);
    if (body.userId === undefined) return this.invite(tenant, body);
    const user = await this.adopt(tenant, body, body.userId.toLowerCase());
    // The user's keys open this account from now on.
    this.credentials.clear();
    return user;
  }

  list(tenant: Tenant, query: UsersQuery): Promise<Page<UserView>> {
    const where: Prisma.MembershipWhereInput = { accountId: tenant.accountId };
    if (query.email !== undefined) where.email = equalsAnyCase(query.email);
    if (query.role !== undefined) where.role = query.role;
    if (query.q !== undefined) where.OR = [{ name: containsAnyCase(query.q) }, { email: containsAnyCase(query.q) }];
    return this.database.within(tenant, (db) =>
      paginate(
        query,
        { list: 'users', sort: '-createdAt' },
        (page) => db.membership.findMany({ ...page, where: { AND: [where, page.where] } }),
        toUserView,
      ),
    );
  }

  get(tenant: Tenant, id: string): Promise<UserView> {
    return this.database.within(tenant, async (db) => toUserView(await loadMember(db, tenant.accountId, id)));
  }

  /** 403 when the user has, or would get, a role that may do more than the caller; 409 for a taken address. */
  async update(caller: VendorPrincipal, id: string, body: UpdateUserBody): Promise<UserView> {
    const { tenant, scopes } = caller;
    const { email, name, role, metadata } = body;
    const view = await this.database.within(tenant, async (db) => {
      const current = await lockMember(db, tenant.accountId, id);
      requireRole(scopes, current.role);
      if (role !== undefined && role !== current.role) {
        requireRole(scopes, role);
        requireRoleGiver(caller);
      }
      const row = await db.membership.update({ where: { id: current.id }, data: { email, name, role, metadata } });
      const [before, after] = [toUserView(current), toUserView(row)];
      await recordChange(db, { action: 'user.updated', resource: { type: 'user', id }, before, after });
      return after;
    });
    this.credentials.clear();
    return view;
  }

  /** The user's keys that were made in this account end with the membership. 403 for a role beyond the caller's. */
  async remove({ tenant, scopes }: VendorPrincipal, id: string): Promise<void> {
    const now = this.clock.now();
    await this.database.within(tenant, async (db) => {
      const member = await lockMember(db, tenant.accountId, id);
      requireRole(scopes, member.role);
      const keys = await db.userKey.findMany({ where: { accountId: tenant.accountId, userId: id, revokedAt: null } });
      for (const key of keys) await revokeKey(db, key, now);
      await db.membership.delete({ where: { id: member.id } });
      await recordChange(db, { action: 'user.deleted', resource: { type: 'user', id }, before: toUserView(member) });
    });
    this.credentials.clear();
  }

  private invite(tenant: Tenant, { email, name, role, metadata }: CreateUserBody): Promise<UserView> {
    const userId = uuidv7();
    return this.database.within(tenant, async (db) => {
      // Without reading it back: a tenant sees only users who are its members.
      await db.vendorUser.createMany({ data: { id: userId } });
      return recordCreated(db, await db.membership.create({ data: { userId, email, name, role, metadata } }));
    });
  }

  /** Across tenants only to find the id, of which nothing but its existence is told. */
  private adopt(tenant: Tenant, { email, name, role, metadata }: CreateUserBody, userId: string): Promise<UserView> {
    const { accountId, environmentId } = tenant;
    return this.database.acrossTenants('add a user of another account', async (db) => {
      if (!(await lockUser(db, userId))) throw notFound('user', 'userId');
      if ((await db.membership.count({ where: { accountId, userId } })) > 0)
        throw new LatchkeyError('CONFLICT', 'The user is a member of this account already.', { field: 'userId' });
      const row = await db.membership.create({ data: { accountId, userId, email, name, role, metadata } });
      return recordCreated(db, row, environmentId);
    });
  }
}

async function recordCreated(db: Db, row: Membership, environmentId?: string): Promise<UserView> {
  const after = toUserView(row);
  await recordChange(db, { action: 'user.created', resource: { type: 'user', id: after.id }, after, environmentId });
  return after;
}

/** A user sees the whole account, which a key with the flair `segment` does not: it would give what it lacks. */
function requireWholeAccount({ segmentId }: Tenant): void {
  if (segmentId !== null)
    throw new LatchkeyError('INSUFFICIENT_SCOPE', 'A key with the flair segment cannot give access to a whole account.', {
      requiredScopes: [],
    });
}
