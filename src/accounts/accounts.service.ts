import { Injectable } from '@nestjs/common';
import { newApiKey, toCreatedApiKeyView } from '../api-keys/api-keys.dto.js';
import { CredentialCache } from '../auth/credential-cache.js';
import { recordChange } from '../core/audit.js';
import { Clock } from '../core/clock.js';
import { Database, type Db, type Tenant } from '../core/database.js';
import { containsAnyCase, equalsAnyCase } from '../core/like.js';
import { MasterKey } from '../core/master-key.js';
import { type Page, paginate } from '../core/page.js';
import type { EnvironmentName } from '../domain/api-key.js';
import { LatchkeyError, notFound } from '../domain/errors.js';
import type { Account, Prisma } from '../generated/prisma/client.js';
import {
  type AccountsQuery,
  type AccountView,
  type CreateAccountBody,
  type CreatedAccountView,
  toAccountChanges,
  toAccountView,
  type UpdateAccountBody,
} from './accounts.dto.js';

@Injectable()
export class AccountsService {
  constructor(
    private readonly database: Database,
    private readonly masterKey: MasterKey,
    private readonly clock: Clock,
    private readonly credentials: CredentialCache,
  ) {}

  /** An account, its two environments, and one full-access key for each: all or nothing. 409 for a taken slug. */
  create(body: CreateAccountBody): Promise<CreatedAccountView> {
    const { name, slug, ownerEmail, metadata } = body;
    return this.database.acrossTenants('create an account', async (db) => {
      const account = await db.account.create({ data: { name, slug, ownerEmail, metadata } });
      const withFirstKey = async (environment: EnvironmentName) => {
        const { id } = await db.environment.create({ data: { accountId: account.id, name: environment } });
        const { key, columns } = newApiKey(environment, this.masterKey);
        const row = await db.apiKey.create({ data: { ...columns, environmentId: id, name: `${environment} key`, scopes: [] } });
        return toCreatedApiKeyView(row, key, environment, this.clock.now());
      };
      const created = {
        account: toAccountView(account),
        apiKeys: { live: await withFirstKey('live'), test: await withFirstKey('test') },
      };
      await recordAcross(db, 'account.created', { after: created.account });
      return created;
    });
  }

  /** Every account of the installation, newest first. For its operator alone. */
  list(query: AccountsQuery): Promise<Page<AccountView>> {
    const where: Prisma.AccountWhereInput = {};
    if (query.slug !== undefined) where.slug = equalsAnyCase(query.slug);
    if (query.q !== undefined) where.OR = [{ name: containsAnyCase(query.q) }, { slug: containsAnyCase(query.q) }];
    return this.database.acrossTenants('list accounts', (db) =>
      paginate(
        query,
        { list: 'accounts', sort: '-createdAt' },
        (page) => db.account.findMany({ ...page, where: { AND: [where, page.where] } }),
        toAccountView,
      ),
    );
  }

  get(tenant: Tenant): Promise<AccountView> {
    return this.database.within(tenant, async (db) =>
      toAccountView(await db.account.findUniqueOrThrow({ where: { id: tenant.accountId } })),
    );
  }

  async update(tenant: Tenant, body: UpdateAccountBody): Promise<AccountView> {
    const { accountId: id } = tenant;
    const view = await this.database.within(tenant, async (db) => {
      const before = toAccountView(await lock(db, id));
      const after = toAccountView(await db.account.update({ where: { id }, data: toAccountChanges(body) }));
      await recordChange(db, { action: 'account.updated', resource: { type: 'account', id }, before, after });
      return after;
    });
    // Requests may name the account by its slug.
    this.credentials.clear();
    return view;
  }

  /** Its keys and users are refused from now on; its customers' licenses go on. 409 when it is suspended already. */
  suspend(id: string): Promise<AccountView> {
    return this.setSuspended(id, 'account.suspended', this.clock.now());
  }

  /** 409 when it is not suspended. */
  reinstate(id: string): Promise<AccountView> {
    return this.setSuspended(id, 'account.reinstated', null);
  }

  private async setSuspended(id: string, action: string, suspendedAt: Date | null): Promise<AccountView> {
    const view = await this.database.acrossTenants('suspend or reinstate an account', async (db) => {
      const before = toAccountView(await lock(db, id));
      if ((before.suspendedAt === null) === (suspendedAt === null))
        throw new LatchkeyError('CONFLICT', `The account is ${before.status} already.`, { status: before.status });
      const after = toAccountView(await db.account.update({ where: { id }, data: { suspendedAt } }));
      await recordAcross(db, action, { before, after });
      return after;
    });
    this.credentials.clear();
    return view;
  }
}

/** The account, held until the end of the work. */
async function lock(db: Db, id: string): Promise<Account> {
  await db.$queryRaw`SELECT 1 FROM account WHERE id = ${id}::uuid FOR UPDATE`;
  const account = await db.account.findUnique({ where: { id } });
  if (account === null) throw notFound('account');
  return account;
}

/** An account belongs to no environment: what its operator does to it stands in the log of the live one. */
async function recordAcross(db: Db, action: string, views: { before?: AccountView; after: AccountView }): Promise<void> {
  const { id } = views.after;
  const live = await db.environment.findUniqueOrThrow({ where: { accountId_name: { accountId: id, name: 'live' } } });
  await recordChange(db, { action, resource: { type: 'account', id }, ...views, environmentId: live.id });
}
