import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Logger } from 'pino';
import { Database } from '../core/database.js';
import { LOGGER } from '../core/logger.js';
import { WriteBehind } from '../core/write-behind.js';

/** A key's last use is kept to the minute (contract: auth.md, "API keys"). */
const RESOLUTION_MS = 60_000;

interface Use {
  kind: 'apiKey' | 'userKey';
  id: string;
  ip: string | null;
  at: Date;
}

/** Writes `lastUsedAt` and `lastUsedIp` behind the answers: at most once a minute a key. */
@Injectable()
export class KeyUseWorker implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly uses: WriteBehind<Use>;

  constructor(
    private readonly database: Database,
    @Inject(LOGGER) logger: Logger,
  ) {
    this.uses = new WriteBehind('the last use of keys', (uses) => this.write([...uses.values()]), logger);
  }

  note(kind: Use['kind'], id: string, ip: string | null, lastUsedAt: Date | null, at: Date): void {
    if (lastUsedAt !== null && at.getTime() - lastUsedAt.getTime() < RESOLUTION_MS) return;
    this.uses.note(id, { kind, id, ip, at });
  }

  onApplicationBootstrap(): void {
    this.uses.start();
  }

  onApplicationShutdown(): Promise<void> {
    return this.uses.stop();
  }

  private async write(uses: Use[]): Promise<void> {
    const columns = (kind: Use['kind']) => {
      const chosen = uses.filter((use) => use.kind === kind);
      return { ids: chosen.map(({ id }) => id), ips: chosen.map(({ ip }) => ip), times: chosen.map(({ at }) => at) };
    };
    const [apiKeys, userKeys] = [columns('apiKey'), columns('userKey')];
    await this.database.acrossTenants('keep the last use of keys', async (db) => {
      if (apiKeys.ids.length > 0)
        await db.$executeRaw`
        WITH held AS (SELECT id FROM api_key WHERE id = ANY(${apiKeys.ids}::uuid[]) ORDER BY id FOR NO KEY UPDATE)
        UPDATE api_key SET last_used_at = used.at, last_used_ip = used.ip
          FROM held JOIN unnest(${apiKeys.ids}::uuid[], ${apiKeys.ips}::text[], ${apiKeys.times}::timestamptz[]) AS used (id, ip, at) USING (id)
         WHERE api_key.id = held.id AND (api_key.last_used_at IS NULL OR api_key.last_used_at <= used.at - interval '1 minute')`;
      if (userKeys.ids.length > 0)
        await db.$executeRaw`
        WITH held AS (SELECT id FROM user_key WHERE id = ANY(${userKeys.ids}::uuid[]) ORDER BY id FOR NO KEY UPDATE)
        UPDATE user_key SET last_used_at = used.at, last_used_ip = used.ip
          FROM held JOIN unnest(${userKeys.ids}::uuid[], ${userKeys.ips}::text[], ${userKeys.times}::timestamptz[]) AS used (id, ip, at) USING (id)
         WHERE user_key.id = held.id AND (user_key.last_used_at IS NULL OR user_key.last_used_at <= used.at - interval '1 minute')`;
    });
  }
}
