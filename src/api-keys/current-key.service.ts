import { Injectable } from '@nestjs/common';
import type { VendorPrincipal } from '../auth/principal.js';
import { Clock } from '../core/clock.js';
import { Database, type Db } from '../core/database.js';
import { effectiveScopes, type Scope } from '../domain/scopes.js';
import { toApiKeyView } from './api-keys.dto.js';
import { loadApiKey } from './api-keys.query.js';
import { type CurrentApiKeyView, type CurrentUserView, toUserKeyView } from './current-key.dto.js';

/** Who am I, and what may I do? */
@Injectable()
export class CurrentKeyService {
  constructor(
    private readonly database: Database,
    private readonly clock: Clock,
  ) {}

  async current(caller: VendorPrincipal): Promise<CurrentApiKeyView> {
    const { tenant, token } = caller;
    const userKey = caller.kind === 'user' ? await this.userKey(caller.keyId) : null;
    // A key with the flair `segment` sees only what it made, which it did not make itself.
    return this.database.within({ ...tenant, segmentId: null }, async (db) => {
      const now = this.clock.now();
      const { environment } = tenant;
      const key =
        userKey === null ? toApiKeyView(await loadApiKey(db, caller.id), environment, now) : toUserKeyView(userKey, environment, now);
      const { id, name, slug } = await db.account.findUniqueOrThrow({ where: { id: tenant.accountId } });
      return {
        ...key,
        credential: userKey === null ? 'apiKey' : 'userKey',
        token: token === null ? null : { id: token.id, expiresAt: token.expiresAt },
        user: await userOf(db, caller),
        account: { id, name, slug },
        scopes: caller.scopes as Scope[],
        effectiveScopes: [...effectiveScopes(caller.scopes)],
      };
    });
  }

  /** An account sees the keys that were made in it, and this one may have been made in another of the user's. */
  private userKey(id: string) {
    return this.database.acrossTenants('show a user key to itself', (db) => db.userKey.findUniqueOrThrow({ where: { id } }));
  }
}

async function userOf(db: Db, caller: VendorPrincipal): Promise<CurrentUserView | null> {
  if (caller.kind !== 'user') return null;
  const { accountId } = caller.tenant;
  const { email, name } = await db.membership.findUniqueOrThrow({ where: { accountId_userId: { accountId, userId: caller.id } } });
  return { id: caller.id, email, name, role: caller.role };
}
