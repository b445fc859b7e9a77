import type { EnvironmentName } from '../domain/api-key.js';
import type { MemberRole } from '../domain/roles.js';

/** What is read of credentials: each in one prepared statement by a unique index. */

const KEY_COLUMNS = `
  api_key.id, api_key.name, api_key.scopes, api_key.allowed_ips AS "allowedIps", api_key.rate_limit_per_minute AS "rateLimitPerMinute",
  api_key.lineage_id AS "lineageId", LEAST(api_key.expires_at, api_key.retires_at) AS "endsAt", api_key.revoked_at AS "revokedAt",
  api_key.last_used_at AS "lastUsedAt", api_key.prefix,
  environment.id AS "environmentId", environment.name AS environment,
  account.id AS "accountId", account.slug AS "accountSlug", account.suspended_at AS "accountSuspendedAt"`;
const KEY_TABLES = `
  api_key
  JOIN environment ON environment.id = api_key.environment_id
  JOIN account ON account.id = environment.account_id`;

/** By the digest, which only the key's holder can make. */
export const FIND_API_KEY = {
  name: 'find_api_key',
  text: `SELECT ${KEY_COLUMNS} FROM ${KEY_TABLES} WHERE api_key.digest = $1`,
};

/** By the id that a token of ours names. */
export const FIND_API_KEY_OF_TOKEN = {
  name: 'find_api_key_of_token',
  text: `SELECT ${KEY_COLUMNS} FROM ${KEY_TABLES} WHERE api_key.id = $1`,
};

/** Many at once, by their ids. */
export const FIND_API_KEYS = {
  name: 'find_api_keys',
  text: `SELECT ${KEY_COLUMNS} FROM ${KEY_TABLES} WHERE api_key.id = ANY($1::uuid[])`,
};

export interface TenantColumns {
  environmentId: string;
  environment: EnvironmentName;
  accountId: string;
}

export interface ApiKeyFacts extends TenantColumns {
  id: string;
  name: string;
  /** Empty = full access. */
  scopes: string[];
  allowedIps: string[];
  rateLimitPerMinute: number | null;
  lineageId: string;
  /** The earlier of its own end and that of its overlap after a rotation. */
  endsAt: Date | null;
  revokedAt: Date | null;
  lastUsedAt: Date | null;
  prefix: string;
  accountSlug: string;
  accountSuspendedAt: Date | null;
}

/** A user's key with every account that it opens, both environments of each. */
const USER_KEY_COLUMNS = `
  user_key.id, user_key.user_id AS "userId", user_key.account_id AS "accountId", user_key.expires_at AS "endsAt", user_key.revoked_at AS "revokedAt",
  user_key.last_used_at AS "lastUsedAt", user_key.prefix,
  (SELECT json_agg(json_build_object(
            'id', account.id, 'name', account.name, 'slug', account.slug, 'role', membership.role,
            'isSuspended', account.suspended_at IS NOT NULL,
            'environments', (SELECT json_object_agg(environment.name, environment.id) FROM environment WHERE environment.account_id = account.id)
          ) ORDER BY account.slug)
     FROM membership JOIN account ON account.id = membership.account_id
    WHERE membership.user_id = user_key.user_id AND (user_key.all_accounts OR membership.account_id = user_key.account_id)) AS accounts`;

export const FIND_USER_KEY = {
  name: 'find_user_key',
  text: `SELECT ${USER_KEY_COLUMNS} FROM user_key WHERE user_key.digest = $1`,
};

export const FIND_USER_KEY_OF_TOKEN = {
  name: 'find_user_key_of_token',
  text: `SELECT ${USER_KEY_COLUMNS} FROM user_key WHERE user_key.id = $1`,
};

/** Many at once, by their ids. */
export const FIND_USER_KEYS = {
  name: 'find_user_keys',
  text: `SELECT ${USER_KEY_COLUMNS} FROM user_key WHERE user_key.id = ANY($1::uuid[])`,
};

export interface UserKeyFacts {
  id: string;
  userId: string;
  /** Where it was made. */
  accountId: string;
  endsAt: Date | null;
  revokedAt: Date | null;
  lastUsedAt: Date | null;
  prefix: string;
  accounts: UserKeyAccount[] | null;
}

export interface UserKeyAccount {
  id: string;
  name: string;
  slug: string;
  role: MemberRole;
  isSuspended: boolean;
  environments: Record<EnvironmentName, string>;
}

/**
 * The license that a key's digest, $1, leads to: whose key it is, else whose it was and still may be (`keyValidUntil`, by
 * its clock; null = without end). Several may have had a vendor's own key; the one that had it last counts.
 */
export const licenseOfKey = `
      FROM (SELECT id, NULL::timestamptz AS valid_until, NULL::timestamptz AS given_up_at
              FROM license WHERE key_digest = $1 AND deleted_at IS NULL
            UNION ALL
            SELECT license_id, valid_until, former_license_key.created_at
              FROM former_license_key JOIN license ON license.id = license_id
             WHERE former_license_key.key_digest = $1 AND license.deleted_at IS NULL
             ORDER BY given_up_at DESC NULLS FIRST LIMIT 1) AS key
      JOIN license ON license.id = key.id
      LEFT JOIN test_clock ON test_clock.id = license.test_clock_id
      JOIN environment ON environment.id = license.environment_id`;

/** What `licenseOfKey` says of a license and of the key that led to it. */
export interface LicenseOfKey {
  id: string;
  keyValidUntil: Date | null;
  frozenAt: Date | null;
}

export const FIND_LICENSE = {
  name: 'find_license_by_key',
  text: `
    SELECT license.id, key.valid_until AS "keyValidUntil", test_clock.frozen_at AS "frozenAt",
           environment.id AS "environmentId", environment.name AS environment, environment.account_id AS "accountId"
    ${licenseOfKey}
     WHERE license.deleted_at IS NULL`,
};

export const FIND_ACCOUNT = {
  name: 'find_account',
  text: 'SELECT id FROM account WHERE id = $1 OR slug = $2',
};
