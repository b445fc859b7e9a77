import { Injectable } from '@nestjs/common';
import { AccessTokens } from '../auth/access-tokens.js';
import { Authenticator } from '../auth/authenticator.js';
import type { ApiKeyPrincipal, Principal, UserKeyPrincipal, UserPrincipal } from '../auth/principal.js';
import { Clock } from '../core/clock.js';
import { parseApiKey } from '../domain/api-key.js';
import { invalid, type Issue, LatchkeyError } from '../domain/errors.js';
import { allScopes, effectiveScopes, requireScopes, type Scope } from '../domain/scopes.js';
import type { BasicCredential } from './basic-credential.js';
import { type ExchangeKeyBody, scopeCatalogue, type ScopeView, type TokenView, type UserKeyInfoView } from './tokens.dto.js';

const LIFETIME_SECONDS = 3600;

/** What is asked for, whichever way it is spelt. */
interface Exchange {
  secret: string;
  /** The account of an API key, or the one that a user wants the token for: id or slug. */
  account?: string;
  /** With a user key. */
  user?: string;
  /** Undefined = whatever the key may do. */
  scopes?: Scope[];
}

@Injectable()
export class TokensService {
  constructor(
    private readonly authenticator: Authenticator,
    private readonly tokens: AccessTokens,
    private readonly clock: Clock,
  ) {}

  /**
   * A token for a key (contract: auth.md, "Short-lived tokens").
   * @throws 401 for a secret that is unknown, or not that of the account or user it is said to be; 403 for a scope that it lacks
   */
  async exchange(body: ExchangeKeyBody, basic: BasicCredential | null): Promise<TokenView> {
    const wish = readWish(body, basic);
    return this.issue(await this.holderOf(wish), wish);
  }

  userKeyInfo({ id, endsAt, accounts }: UserKeyPrincipal): UserKeyInfoView {
    return { userId: id, expiresAt: endsAt, accounts: accounts.map(({ id, name, slug, role }) => ({ id, name, slug, role })) };
  }

  scopes(): ScopeView[] {
    return scopeCatalogue();
  }

  private holderOf(wish: Exchange): Promise<Holder> {
    const { secret, account, user } = wish;
    return this.authenticator.countingFailures(async () => {
      // Only a key makes tokens: one that a token could prolong would not be short-lived.
      if (parseApiKey(secret) === null) throw mismatch();
      const credential = { scheme: 'key' as const, value: secret };
      const isBound = user === undefined || account !== undefined;
      const caller = await (isBound
        ? this.authenticator.authenticate(credential, { account })
        : this.authenticator.identify(credential, {}));
      return requireHolder(caller, wish);
    });
  }

  private async issue(caller: Holder, { scopes }: Exchange): Promise<TokenView> {
    const held = caller.kind === 'userKey' ? [] : caller.scopes;
    if (scopes !== undefined) requireScopes(held, scopes);
    const now = this.clock.now();
    const endsAt = caller.kind === 'userKey' ? caller.endsAt : caller.grant.endsAt;
    const leftMs = Math.min(LIFETIME_SECONDS * 1000, endsAt === null ? Infinity : endsAt.getTime() - now.getTime());
    // Whole seconds, counted from the second that a JWT's times are in: never longer than the key has left.
    const expiresAt = new Date(Math.floor((now.getTime() + leftMs) / 1000) * 1000);
    const key = caller.kind === 'apiKey' ? { kind: 'apiKey' as const, id: caller.id } : { kind: 'userKey' as const, id: caller.keyId };
    const accountId = caller.kind === 'userKey' ? null : caller.tenant.accountId;
    const subject = caller.kind === 'apiKey' ? caller.tenant.accountId : caller.id;
    const jwt = await this.tokens.sign({ key, accountId, scopes: scopes ?? null, expiresAt }, subject, now);
    return {
      jwt,
      access_token: jwt,
      token_type: 'Bearer',
      expires_in: Math.max(0, expiresAt.getTime() / 1000 - Math.floor(now.getTime() / 1000)),
      scope: [...(scopes ?? effectiveScopes(held))].join(' '),
    };
  }
}

type Holder = ApiKeyPrincipal | UserPrincipal | UserKeyPrincipal;

/** @throws 401 when the secret is not that of the account or user that was named: no difference to an unknown one */
function requireHolder(caller: Principal, { user }: Exchange): Holder {
  if (caller.kind === 'apiKey' && user === undefined) return caller;
  if ((caller.kind === 'user' || caller.kind === 'userKey') && user?.toLowerCase() === caller.id) return caller;
  throw mismatch();
}

/** @throws 400 with every issue */
function readWish(body: ExchangeKeyBody, basic: BasicCredential | null): Exchange {
  const issues: Issue[] = [];
  const secrets = [body.secret, body.client_secret, basic?.secret].filter((secret) => secret !== undefined);
  const [secret] = secrets;
  if (secret === undefined) issues.push({ path: body.grant_type === undefined ? 'secret' : 'client_secret', message: 'is required' });
  if (secrets.length > 1) issues.push({ path: 'secret', message: 'must be sent in one place only' });
  // The client of OAuth 2 is an account, or a user where the secret is a user's.
  const clientId = body.client_id ?? basic?.id;
  const isUser = secret !== undefined && parseApiKey(secret) === 'user';
  const account = body.oid ?? (isUser ? undefined : clientId);
  const user = body.uid ?? (isUser ? clientId : undefined);
  if (account === undefined && user === undefined)
    issues.push({ path: body.grant_type === undefined ? 'oid' : 'client_id', message: 'is required: the account, or uid with a user key' });
  if (body.scopes !== undefined && body.scope !== undefined) issues.push({ path: 'scope', message: 'cannot be combined with scopes' });
  const scopes = body.scopes ?? body.scope?.split(' ').filter((name) => name !== '');
  const unknown = (scopes ?? []).filter((name) => !allScopes.includes(name as Scope));
  if (unknown.length > 0) issues.push({ path: 'scope', message: `names no scope: ${unknown.join(', ')}` });
  if (issues.length > 0 || secret === undefined) throw invalid(issues);
  return { secret, account, user, scopes: scopes === undefined || scopes.length === 0 ? undefined : (scopes as Scope[]) };
}

function mismatch(): LatchkeyError {
  return new LatchkeyError('AUTH_FAILED', 'The credential is malformed or unknown.');
}
