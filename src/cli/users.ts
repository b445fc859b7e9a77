import { isUUID } from 'class-validator';
import type { VendorPrincipal } from '../auth/principal.js';
import { notFound } from '../domain/errors.js';
import { CreateUserKeyBody } from '../users/user-keys.dto.js';
import { UserKeysService } from '../users/user-keys.service.js';
import { CreateUserBody } from '../users/users.dto.js';
import { UsersService } from '../users/users.service.js';
import { bodyOf } from './input.js';
import { type Outcome, printable, table, time } from './output.js';
import { everyItem, inSession, type Session } from './session.js';

/** Whose users: an account by its slug or id. */
export interface AccountOptions {
  account: string;
}

export interface AddUserOptions extends AccountOptions {
  email: string;
  name: string;
  role: string;
  /** Id of somebody who is a user of another account. */
  user?: string;
}

/** One user of the account. */
export interface UserOptions extends AccountOptions {
  user: string;
}

export interface CreateUserKeyOptions extends UserOptions {
  name: string;
  expiresAt?: string;
  /** Print the key and nothing else. */
  quiet?: true;
}

/** `users list` */
export async function listUsers({ account }: AccountOptions): Promise<Outcome> {
  const users = await inSession(async (session) => {
    const { tenant } = await callerOf(session, account);
    return everyItem((query) => session.get(UsersService).list(tenant, query));
  });
  const rows = users.map(({ id, email, name, role, createdAt }) => [id, email, name, role, time(createdAt, '')]);
  return { document: users, text: table(['ID', 'E-MAIL', 'NAME', 'ROLE', 'ADDED'], rows, 'There are no users.') };
}

/** `users add`: somebody new, or with `--user` somebody whom another account has already. */
export async function addUser({ account, user: userId, email, name, role }: AddUserOptions): Promise<Outcome> {
  const body = await bodyOf(CreateUserBody, { userId, email, name, role }, { userId: '--user' });
  const added = await inSession(async (session) => session.get(UsersService).create(await callerOf(session, account), body));
  return { document: added, text: `User ${printable(added.email)} was added as ${added.role} (${added.id}).` };
}

/** `users remove`: with the keys that were made in the account. */
export async function removeUser({ account, user }: UserOptions): Promise<Outcome> {
  const removed = await inSession(async (session) => {
    const caller = await callerOf(session, account);
    const users = session.get(UsersService);
    const id = idOf(user, 'user');
    const view = await users.get(caller.tenant, id);
    await users.remove(caller, id);
    return view;
  });
  return { document: removed, text: `User ${printable(removed.email)} was removed (${removed.id}).` };
}

/** `users key create`: the one time that the key is shown. */
export async function createUserKey({ account, user, name, expiresAt, quiet }: CreateUserKeyOptions): Promise<Outcome> {
  const body = await bodyOf(CreateUserKeyBody, { name, expiresAt });
  const created = await inSession(async (session) =>
    session.get(UserKeysService).create(await callerOf(session, account), idOf(user, 'user'), body),
  );
  const { id, key, allAccounts } = created;
  if (quiet === true) return { document: created, text: key };
  const reach = allAccounts ? 'all accounts of the user' : 'this account only';
  return {
    document: created,
    text: `User key "${printable(created.name)}" was created (${id}) for ${reach}. It is shown this once:\n\n  ${key}`,
  };
}

/** `users key list` */
export async function listUserKeys({ account, user }: UserOptions): Promise<Outcome> {
  const keys = await inSession(async (session) => {
    const caller = await callerOf(session, account);
    return everyItem((query) => session.get(UserKeysService).list(caller, idOf(user, 'user'), query));
  });
  const rows = keys.map((key) => {
    const reach = key.allAccounts ? 'all' : 'this';
    return [key.id, key.name, key.maskedKey, key.status, reach, time(key.createdAt, ''), time(key.expiresAt, 'never')];
  });
  return {
    document: keys,
    text: table(['ID', 'NAME', 'KEY', 'STATUS', 'ACCOUNTS', 'CREATED', 'EXPIRES'], rows, 'There are no user keys.'),
  };
}

/** `users key revoke`: at once and for good; revoking twice is no error. */
export async function revokeUserKey(id: string, { account, user }: UserOptions): Promise<Outcome> {
  const keyId = await inSession(async (session) => {
    const key = idOf(id, 'user key');
    await session.get(UserKeysService).revoke(await callerOf(session, account), idOf(user, 'user'), key);
    return key;
  });
  return { document: { id: keyId, status: 'revoked' }, text: `User key ${keyId} is revoked.` };
}

/** An account's environments share its users: any of the two will do. */
function callerOf(session: Session, account: string): Promise<VendorPrincipal> {
  return session.caller(account, 'live');
}

function idOf(text: string, what: string): string {
  if (!isUUID(text)) throw notFound(what);
  return text.toLowerCase();
}
