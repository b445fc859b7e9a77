import { CreateAccountBody } from '../accounts/accounts.dto.js';
import { AccountsService } from '../accounts/accounts.service.js';
import { LicenseKeys } from '../auth/license-keys.js';
import { visitDatabase } from '../core/open-database.js';
import { notFound } from '../domain/errors.js';
import { bodyOf } from './input.js';
import { type Outcome, table, time } from './output.js';
import { everyItem, inSession } from './session.js';

export interface CreateAccountOptions {
  name: string;
  slug: string;
  email: string;
}

/** `accounts create`: the one time that the two keys are shown. */
export async function createAccount({ name, slug, email }: CreateAccountOptions): Promise<Outcome> {
  const body = await bodyOf(CreateAccountBody, { name, slug, ownerEmail: email }, { ownerEmail: '--email' });
  const created = await inSession((session) => session.get(AccountsService).create(body), visitDatabase);
  const { account, apiKeys } = created;
  const text = `Account ${account.slug} was created (${account.id}). Its full-access keys are shown this once:

  live  ${apiKeys.live.key}
  test  ${apiKeys.test.key}`;
  return { document: created, text };
}

/** `accounts list` */
export async function listAccounts(): Promise<Outcome> {
  const accounts = await inSession((session) => everyItem((query) => session.get(AccountsService).list(query)));
  const rows = accounts.map(({ slug, name, ownerEmail, status, createdAt, id }) => {
    return [slug, name, ownerEmail, status, time(createdAt, ''), id];
  });
  return { document: accounts, text: table(['SLUG', 'NAME', 'E-MAIL', 'STATUS', 'CREATED', 'ID'], rows, 'There are no accounts.') };
}

/** `accounts suspend` and `accounts reinstate`; `account` is a slug or id. */
export async function setAccountState(action: 'suspend' | 'reinstate', account: string): Promise<Outcome> {
  const changed = await inSession(async (session) => {
    const id = await session.get(LicenseKeys).accountId(account);
    if (id === null) throw notFound('account');
    return session.get(AccountsService)[action](id);
  });
  return { document: changed, text: `Account ${changed.slug} is ${changed.status}.` };
}
