import { Injectable } from '@nestjs/common';
import { v7 as uuidv7 } from 'uuid';
import { LicenseKeys } from '../auth/license-keys.js';
import { recordChange } from '../core/audit.js';
import { Clock } from '../core/clock.js';
import { Database, type Tenant } from '../core/database.js';
import { MasterKey } from '../core/master-key.js';
import { notFound } from '../domain/errors.js';
import { generateSigningKey } from '../domain/signing-key.js';
import { KeysInUse } from './keys-in-use.js';
import {
  type KeySetQuery,
  type KeySetView,
  type PublicKeyRow,
  type RotateSigningKeyBody,
  type SigningKeyView,
  toKeySetView,
  toSigningKeyView,
} from './signing-keys.dto.js';
import {
  FIND_ENVIRONMENT,
  FIND_PUBLISHED_KEYS,
  holdRotation,
  publishedKeys,
  retireKey,
  sealContext,
  unpublishRetired,
} from './signing-keys.query.js';

/** The keys that vendors and their apps check documents with (contract: offline.md). */
@Injectable()
export class SigningKeysService {
  constructor(
    private readonly database: Database,
    private readonly masterKey: MasterKey,
    private readonly clock: Clock,
    private readonly accounts: LicenseKeys,
    private readonly keysInUse: KeysInUse,
  ) {}

  /** 404 for an unknown account. */
  async keySet({ account, environment }: KeySetQuery): Promise<KeySetView> {
    const accountId = await this.accounts.accountId(account);
    const [found] = await this.database.lookup<{ id: string }>(FIND_ENVIRONMENT, [accountId, environment]);
    if (found === undefined) throw notFound('account');
    const find = () => this.database.lookup<PublicKeyRow>(FIND_PUBLISHED_KEYS, [found.id, this.clock.now()]);
    return toKeySetView(await this.withOneInUse(found.id, find));
  }

  /** As the key set has them. */
  async list(tenant: Tenant): Promise<SigningKeyView[]> {
    const find = () => this.database.within(tenant, (db) => publishedKeys(db, this.clock.now()));
    return (await this.withOneInUse(tenant.environmentId, find)).map(toSigningKeyView);
  }

  /** A new key signs from now on. What those before it signed stays good until it expires, unless they are revoked. */
  async rotate(tenant: Tenant, { revokePrevious = false }: RotateSigningKeyBody): Promise<SigningKeyView> {
    // There always is one to retire: who makes the first is settled before, and nobody's first key meets this one.
    await this.keysInUse.of(tenant.environmentId);
    const [id, { kid, publicKey, privateKey }] = [uuidv7(), generateSigningKey()];
    const privateKeySealed = this.masterKey.seal(privateKey, sealContext(id));
    const row = await this.database.within(tenant, async (db) => {
      await holdRotation(db, tenant.environmentId);
      const now = this.clock.now();
      const retired = await retireKey(db, now);
      const revoked = revokePrevious ? await unpublishRetired(db, now) : [];
      const made = await db.signingKey.create({
        data: { id, kid, publicKey, privateKeySealed, publishedUntil: now, createdAt: now },
        omit: { privateKeySealed: true },
      });
      await recordChange(db, {
        action: 'signing_key.rotated',
        resource: { type: 'signing_key', id },
        before: { kid: retired },
        after: { kid, revoked },
      });
      return made;
    });
    this.database.afterCommit(() => {
      this.keysInUse.forget(tenant.environmentId);
    });
    return toSigningKeyView(row);
  }

  /** The first one is made for who asks before anything is signed: apps are built with it. */
  private async withOneInUse(environmentId: string, find: () => Promise<PublicKeyRow[]>): Promise<PublicKeyRow[]> {
    const found = await find();
    if (found.some(({ retiredAt }) => retiredAt === null)) return found;
    await this.keysInUse.of(environmentId);
    return find();
  }
}
