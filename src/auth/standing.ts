import { Injectable } from '@nestjs/common';
import { Database } from '../core/database.js';
import { onBehalfOf, type RequestContext } from '../core/request-context.js';
import { LatchkeyError } from '../domain/errors.js';
import { requireScopes, type Scope } from '../domain/scopes.js';
import { Authenticator } from './authenticator.js';
import type { TenantHints } from './credentials.js';
import { type ApiKeyFacts, FIND_API_KEYS, FIND_USER_KEYS, type UserKeyFacts } from './credentials.query.js';
import type { ApiKeyPrincipal, UserPrincipal, VendorPrincipal } from './principal.js';

/** Somebody who was let in, and stays. */
export interface Admitted {
  caller: VendorPrincipal;
  /** What they named, and where they came from, when they were let in. */
  hints: TenantHints;
  context: RequestContext;
  scopes: readonly Scope[];
}

/** Whether those who stay may still be there: judged as when they came, by what is known of their credentials now. */
@Injectable()
export class Standing {
  constructor(
    private readonly database: Database,
    private readonly authenticator: Authenticator,
  ) {}

  /** Those who would be let in no more, each with what they would be told. One read for all API keys, and one for all user keys. */
  async findEnded<One extends Admitted>(all: readonly One[]): Promise<Map<One, LatchkeyError>> {
    const facts = await this.read(all.map(({ caller }) => caller));
    const ended = new Map<One, LatchkeyError>();
    for (const one of all) {
      const issue = onBehalfOf(one.context, () => this.judge(one, facts));
      if (issue !== null) ended.set(one, issue);
    }
    return ended;
  }

  private async read(callers: VendorPrincipal[]): Promise<Facts> {
    const apiKeyIds = [...new Set(callers.flatMap((caller) => (caller.kind === 'apiKey' ? [caller.id] : [])))];
    const userKeyIds = [...new Set(callers.flatMap((caller) => (caller.kind === 'user' ? [caller.keyId] : [])))];
    const [apiKeys, userKeys] = await Promise.all([
      apiKeyIds.length === 0 ? [] : this.database.lookup<ApiKeyFacts>(FIND_API_KEYS, [apiKeyIds]),
      userKeyIds.length === 0 ? [] : this.database.lookup<UserKeyFacts>(FIND_USER_KEYS, [userKeyIds]),
    ]);
    return { apiKeys: new Map(apiKeys.map((key) => [key.id, key])), userKeys: new Map(userKeys.map((key) => [key.id, key])) };
  }

  /** Null = they may stay. */
  private judge({ caller, hints, scopes }: Admitted, facts: Facts): LatchkeyError | null {
    try {
      const now = this.again(caller, hints, facts);
      requireScopes(now.scopes, scopes);
      const { environmentId, segmentId } = now.tenant;
      if (environmentId !== caller.tenant.environmentId || segmentId !== caller.tenant.segmentId)
        throw new LatchkeyError('AUTH_FAILED', 'The credential stands for something else now.');
      return null;
    } catch (error) {
      if (error instanceof LatchkeyError) return error;
      throw error;
    }
  }

  private again(caller: VendorPrincipal, hints: TenantHints, { apiKeys, userKeys }: Facts): ApiKeyPrincipal | UserPrincipal {
    return caller.kind === 'apiKey'
      ? this.authenticator.apiKeyAgain(caller, apiKeys.get(caller.id) ?? null, hints)
      : this.authenticator.userAgain(caller, userKeys.get(caller.keyId) ?? null, hints);
  }
}

interface Facts {
  apiKeys: Map<string, ApiKeyFacts>;
  userKeys: Map<string, UserKeyFacts>;
}
