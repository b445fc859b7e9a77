import { CreateAccountBody } from '../accounts/accounts.dto.js';
import { AccountsService } from '../accounts/accounts.service.js';
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
  const created = await inSession((session) => session.get(AccountsService).create(body));
  const { account, apiKeys } = created;
  const text = `Account ${account.slug} was created (${account.id}). Its full-access keys are shown this once:

  live  ${apiKeys.live.key}
  test  ${apiKeys.test.key}`;
  return { document: created, text };
}

/** `accounts list` */
export async function listAccounts(): Promise<Outcome> {
  const accounts = await inSession((session) => everyItem((query) => session.get(AccountsService).list(query)));
  const rows = accounts.map(({ slug, name, ownerEmail, createdAt, suspendedAt, id }) => {
    return [slug, name, ownerEmail, suspendedAt === null ? 'active' : 'suspended', time(createdAt, ''), id];
  });
  return { document: accounts, text: table(['SLUG', 'NAME', 'E-MAIL', 'STATUS', 'CREATED', 'ID'], rows, 'There are no accounts.') };
}
