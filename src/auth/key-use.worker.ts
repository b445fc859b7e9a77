import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Logger } from 'pino';
import { Database } from '../core/database.js';
import { LOGGER } from '../core/logger.js';
import { WriteBehind } from '../core/write-behind.js';
import { Prisma } from '../generated/prisma/client.js';

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
    await this.database.acrossTenants('keep the last use of keys', async (db) => {
      for (const kind of ['apiKey', 'userKey'] as const) {
        const chosen = uses.filter((use) => use.kind === kind);
        if (chosen.length > 0) await db.$executeRaw(lastUseOf(tables[kind], chosen));
      }
    });
  }
}

const tables = { apiKey: Prisma.raw('api_key'), userKey: Prisma.raw('user_key') };

/** One statement for many keys; also of several servers none writes a key's use twice in its minute. */
function lastUseOf(table: Prisma.Sql, uses: Use[]): Prisma.Sql {
  const [ids, ips, times] = [uses.map(({ id }) => id), uses.map(({ ip }) => ip), uses.map(({ at }) => at)];
  return Prisma.sql`
    WITH held AS (SELECT id FROM ${table} WHERE id = ANY(${ids}::uuid[]) ORDER BY id FOR NO KEY UPDATE)
    UPDATE ${table} AS key SET last_used_at = used.at, last_used_ip = used.ip
      FROM held JOIN unnest(${ids}::uuid[], ${ips}::text[], ${times}::timestamptz[]) AS used (id, ip, at) USING (id)
     WHERE key.id = held.id AND (key.last_used_at IS NULL OR key.last_used_at <= used.at - interval '1 minute')`;
}
