import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { CredentialCache } from '../auth/credential-cache.js';
import { recordChange } from '../core/audit.js';
import { Clock } from '../core/clock.js';
import { Database, type Db } from '../core/database.js';
import { LOGGER } from '../core/logger.js';
import { MasterKey } from '../core/master-key.js';
import { currentRequest } from '../core/request-context.js';
import { parseApiKey } from '../domain/api-key.js';
import { toApiKeyView } from './api-keys.dto.js';
import type { LeakView, VerifyLeakBody } from './leak-check.dto.js';

/** What a leak changes of a key, of whichever kind. */
interface Leak {
  leakedAt: Date | null;
  revokedAt: Date | null;
}

interface LeakedKey extends Leak {
  type: 'api_key' | 'user_key';
  id: string;
  prefix: string;
  /** Whose log tells the owner. */
  environmentId: string;
  segmentId: string | null;
  revokeLeakedKeys: boolean;
  /** The key's view with these; null = others are not told of keys of its kind. */
  view: ((leak: Leak, now: Date) => object) | null;
}

const NO_MATCH: LeakView = { match: false, revoked: false };

/** For secret scanners, which report what they found (contract: auth.md, "API keys"). */
@Injectable()
export class LeakCheckService {
  constructor(
    private readonly database: Database,
    private readonly masterKey: MasterKey,
    private readonly clock: Clock,
    private readonly credentials: CredentialCache,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Each report of a key that exists is recorded, and the key revoked where its account wants that. */
  async verify(body: VerifyLeakBody): Promise<LeakView> {
    // As it stands in a file or log: with the line's end, perhaps.
    const key = body.key.trim();
    const kind = parseApiKey(key);
    if (kind === null) return NO_MATCH;
    const digest = this.masterKey.digestApiKey(key);
    const find = kind === 'user' ? holdUserKey : holdApiKey;
    const found = await this.database.acrossTenants('record that a key leaked', async (db) => {
      const leaked = await find(db, digest);
      return leaked === null ? null : this.record(db, leaked);
    });
    if (found === null) return NO_MATCH;
    this.credentials.clear();
    return { match: true, revoked: found.revokedAt !== null };
  }

  private async record(db: Db, key: LeakedKey): Promise<Leak> {
    const now = this.clock.now();
    const { type, id, environmentId, prefix: keyPrefix } = key;
    const before: Leak = { leakedAt: key.leakedAt, revokedAt: key.revokedAt };
    const after: Leak = { leakedAt: key.leakedAt ?? now, revokedAt: key.revokedAt ?? (key.revokeLeakedKeys ? now : null) };
    const [isNew, isRevokedNow] = [before.leakedAt === null, before.revokedAt !== after.revokedAt];
    if (isNew || isRevokedNow) {
      if (type === 'api_key') await db.apiKey.updateMany({ where: { id }, data: after });
      else await db.userKey.updateMany({ where: { id }, data: after });
    }
    const told = { resource: { type, id, segmentId: key.segmentId }, environmentId };
    const { leakedAt, revokedAt } = after;
    // Each report is evidence, also that of a key that was known to have leaked.
    const reported = key.view?.({ ...before, leakedAt }, now);
    await recordChange(db, { ...told, action: `${type}.leaked`, after: { leakedAt, reportedAt: now }, object: reported });
    const revocation = { before: reported ?? { revokedAt: null }, after: key.view?.(after, now) ?? { revokedAt } };
    if (isRevokedNow) await recordChange(db, { ...told, action: `${type}.revoked`, ...revocation });
    const { requestId, ip } = currentRequest() ?? {};
    const facts = { event: 'KEY_LEAKED', type, id, keyPrefix, environmentId, isRevoked: revokedAt !== null, requestId, ip };
    this.logger.warn(facts, 'a key was reported as leaked');
    return after;
  }
}

async function holdApiKey(db: Db, digest: Uint8Array<ArrayBuffer>): Promise<LeakedKey | null> {
  await db.$queryRaw`SELECT 1 FROM api_key WHERE digest = ${digest} FOR UPDATE`;
  const row = await db.apiKey.findUnique({ where: { digest }, include: { environment: { include: { account: true } } } });
  if (row === null) return null;
  const { environment, environmentId, segmentId } = row;
  const view = (leak: Leak, now: Date): object => toApiKeyView({ ...row, ...leak }, environment.name, now);
  return { ...factsOf(row), type: 'api_key', environmentId, segmentId, view, ...optionOf(environment) };
}

/** A user key may open several accounts; that in which it was made is told, and decides. */
async function holdUserKey(db: Db, digest: Uint8Array<ArrayBuffer>): Promise<LeakedKey | null> {
  await db.$queryRaw`SELECT 1 FROM user_key WHERE digest = ${digest} FOR UPDATE`;
  const row = await db.userKey.findUnique({ where: { digest }, include: { account: true } });
  if (row === null) return null;
  const live = await db.environment.findUniqueOrThrow({ where: { accountId_name: { accountId: row.accountId, name: 'live' } } });
  return { ...factsOf(row), type: 'user_key', environmentId: live.id, segmentId: null, view: null, ...optionOf(row) };
}

function factsOf({ id, prefix, leakedAt, revokedAt }: Leak & { id: string; prefix: string }) {
  return { id, prefix, leakedAt, revokedAt };
}

function optionOf({ account }: { account: { revokeLeakedKeys: boolean } }) {
  return { revokeLeakedKeys: account.revokeLeakedKeys };
}
