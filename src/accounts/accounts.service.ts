import { Injectable } from '@nestjs/common';
import { newApiKey, toCreatedApiKeyView } from '../api-keys/api-keys.dto.js';
import { Clock } from '../core/clock.js';
import { Database, type Tenant } from '../core/database.js';
import { MasterKey } from '../core/master-key.js';
import { type Page, type PageQuery, paginate } from '../core/page.js';
import type { EnvironmentName } from '../domain/api-key.js';
import {
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
      return { account: toAccountView(account), apiKeys: { live: await withFirstKey('live'), test: await withFirstKey('test') } };
    });
  }

  /** Every account of the installation, newest first. For its operator alone. */
  list(query: PageQuery): Promise<Page<AccountView>> {
    return this.database.acrossTenants('list accounts', (db) =>
      paginate(query, { list: 'accounts', sort: '-createdAt' }, (page) => db.account.findMany(page), toAccountView),
    );
  }

  get(tenant: Tenant): Promise<AccountView> {
    return this.database.within(tenant, async (db) =>
      toAccountView(await db.account.findUniqueOrThrow({ where: { id: tenant.accountId } })),
    );
  }

  update(tenant: Tenant, body: UpdateAccountBody): Promise<AccountView> {
    return this.database.within(tenant, async (db) => {
      return toAccountView(await db.account.update({ where: { id: tenant.accountId }, data: toAccountChanges(body) }));
    });
  }
}
