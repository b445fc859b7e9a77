import { recordChange } from '../core/audit.js';
import type { Db } from '../core/database.js';
import type { UserKey } from '../generated/prisma/client.js';
import { toUserKeyView } from './user-keys.dto.js';

/** At once and for good. */
export async function revokeKey(db: Db, key: UserKey, now: Date): Promise<void> {
  const row = await db.userKey.update({ where: { id: key.id }, data: { revokedAt: now } });
  const [before, after] = [toUserKeyView(key, now), toUserKeyView(row, now)];
  await recordChange(db, { action: 'user_key.revoked', resource: { type: 'user_key', id: key.id }, before, after });
}
