import { Injectable } from '@nestjs/common';
import { CredentialCache } from '../auth/credential-cache.js';
import type { UserPrincipal, VendorPrincipal } from '../auth/principal.js';
import { recordChange } from '../core/audit.js';
import { Clock } from '../core/clock.js';
import { Database, type Db } from '../core/database.js';
import { MasterKey } from '../core/master-key.js';
import { type Page, type PageQuery, paginate } from '../core/page.js';
import { newSecretKey } from '../core/secret-key.js';
import { notFound } from '../domain/errors.js';
import { holdsRole, requireRole } from '../domain/roles.js';
import { requireScopes } from '../domain/scopes.js';
import { opensAllAccounts, requireKeyMaker, type UserKeyMaker, userKeyEnd } from '../domain/user-key.js';
import { type CreateUserKeyBody, type CreatedUserKeyView, toUserKeyView, type UserKeyView } from './user-keys.dto.js';
import { revokeKey } from './user-keys.query.js';
import { loadMember, lockMember, lockUser } from './users.query.js';

/** Keys of users. An account sees and revokes those that were made in it (docs/decisions/0012-users.md). */
@Injectable()
export class UserKeysService {
  constructor(
    private readonly database: Database,
    private readonly masterKey: MasterKey,
    private readonly clock: Clock,
    private readonly credentials: CredentialCache,
  ) {}

  /**
   * Across tenants to know whether the user works for other accounts too; both the membership and the user are held, so
   * that neither ends nor begins meanwhile. 403 for who is neither the user nor an owner.
   */
  async create(caller: VendorPrincipal, userId: string, body: CreateUserKeyBody): Promise<CreatedUserKeyView> {
    const { accountId, environmentId, segmentId } = caller.tenant;
    const own = isOwn(caller, userId) ? caller : null;
    const maker = (ownReach: boolean): UserKeyMaker => ({
      scopes: caller.scopes,
      grant: caller.grant,
      segmentId,
      own: own === null ? null : { isToken: own.token !== null, opensAllAccounts: ownReach },
    });
    requireKeyMaker(maker(false));
    const expiresAt = userKeyEnd(body.expiresAt, maker(false));
    const { key, columns } = newSecretKey('user', this.masterKey);
    return this.database.acrossTenants('make a key of a user', async (db) => {
      await lockMember(db, accountId, userId);
      await lockUser(db, userId);
      const otherAccounts = await db.membership.count({ where: { userId, accountId: { not: accountId } } });
      const allAccounts = opensAllAccounts(maker(own !== null && (await reachOf(db, own))), otherAccounts);
      const row = await db.userKey.create({ data: { ...columns, userId, accountId, allAccounts, name: body.name, expiresAt } });
      const after = toUserKeyView(row, this.clock.now());
      await recordChange(db, { action: 'user_key.created', resource: { type: 'user_key', id: row.id }, after, environmentId });
      return { ...after, key };
    });
  }

  async list(caller: VendorPrincipal, userId: string, query: PageQuery): Promise<Page<UserKeyView>> {
    if (!isOwn(caller, userId)) requireScopes(caller.scopes, ['users:read']);
    const { accountId } = caller.tenant;
    const now = this.clock.now();
    return this.database.within(caller.tenant, async (db) => {
      await loadMember(db, accountId, userId);
      return paginate(
        query,
        { list: 'user-keys', sort: '-createdAt' },
        (page) => db.userKey.findMany({ ...page, where: { AND: [{ accountId, userId }, page.where] } }),
        (row) => toUserKeyView(row, now),
      );
    });
  }

  /** At once and for good; revoking twice is no error. 403 for a user whose role may do more than the caller. */
  async revoke(caller: VendorPrincipal, userId: string, keyId: string): Promise<void> {
    const own = isOwn(caller, userId);
    if (!own) requireScopes(caller.scopes, ['users:write']);
    const { accountId } = caller.tenant;
    await this.database.within(caller.tenant, async (db) => {
      const member = await lockMember(db, accountId, userId);
      if (!own) requireRole(caller.scopes, member.role);
      const key = await db.userKey.findFirst({ where: { id: keyId, accountId, userId } });
      if (key === null) throw notFound('user key');
      if (key.revokedAt === null) await revokeKey(db, key, this.clock.now());
    });
    this.credentials.clear();
  }
}

/** The user's own credential, unless it is a token with less than the user's role. */
function isOwn(caller: VendorPrincipal, userId: string): caller is UserPrincipal {
  return caller.kind === 'user' && caller.id === userId && holdsRole(caller.scopes, caller.role);
}

/** Whether the key in use opens all accounts of its user. */
async function reachOf(db: Db, { keyId }: UserPrincipal): Promise<boolean> {
  return (await db.userKey.findUniqueOrThrow({ where: { id: keyId } })).allAccounts;
}
