import type { Db, Tenant } from '../core/database.js';
import { containsPattern } from '../core/like.js';
import { all, perhaps } from '../core/slice.js';
import { DAY_MS } from '../domain/expiry.js';
import type { LicenseStatus } from '../domain/license-state.js';
import { Prisma } from '../generated/prisma/client.js';
import type { LicensesQuery } from './licenses.dto.js';

/**
 * The ways in which a license meets the filters, for `findSlice`. `now` is real time; licenses on test clocks have their
 * clock's. `digest` is that of the key asked for; null = no license has such a key.
 */
export async function waysToMeet(
  db: Db,
  tenant: Tenant,
  query: LicensesQuery,
  { now, digest }: { now: Date; digest: Uint8Array | null },
): Promise<Prisma.Sql[]> {
  if (query.key !== undefined && digest === null) return [];
  const always = all(conditionsOf(tenant, query, digest));
  const byStatus = query.status === undefined ? [Prisma.sql`TRUE`] : await statusIs(db, tenant, query.status, now);
  const byEntitlement = query.entitlement === undefined ? [Prisma.sql`TRUE`] : await holds(db, query.entitlement);
  return byStatus.flatMap((status) => byEntitlement.map((entitlement) => all([always, status, entitlement])));
}

function conditionsOf(tenant: Tenant, query: LicensesQuery, digest: Uint8Array | null): Prisma.Sql[] {
  const conditions = [Prisma.sql`deleted_at IS NULL`];
  if (tenant.segmentId !== null) conditions.push(Prisma.sql`segment_id = ${tenant.segmentId}::uuid`);
  if (query.productId !== undefined) conditions.push(Prisma.sql`product_id = ${query.productId}::uuid`);
  if (query.policyId !== undefined) conditions.push(Prisma.sql`policy_id = ${query.policyId}::uuid`);
  if (digest !== null) conditions.push(Prisma.sql`key_digest = ${digest}`);
  if (query.expiresBefore !== undefined) conditions.push(Prisma.sql`expires_at < ${query.expiresBefore}::timestamptz`);
  if (query.expiresAfter !== undefined) conditions.push(Prisma.sql`expires_at >= ${query.expiresAfter}::timestamptz`);
  if (query.userEmail !== undefined) {
    conditions.push(hasTerm([Prisma.sql`license_term('userEmail', to_jsonb(lower(${query.userEmail}::text)))`]));
  }
  for (const [key, text] of Object.entries(query.metadata ?? {})) {
    conditions.push(
      hasTerm(valuesOf(text).map((value) => Prisma.sql`license_term(${`metadata.${key}`}, ${JSON.stringify(value)}::jsonb)`)),
    );
  }
  if (query.q !== undefined) {
    const pattern = containsPattern(query.q);
    conditions.push(perhaps(Prisma.sql`name ILIKE ${pattern} OR user_name ILIKE ${pattern} OR user_email ILIKE ${pattern}`));
  }
  return conditions;
}

/** In a query every value is text: `metadata[seats]=5` means the number 5 or the text "5". */
function valuesOf(text: string): unknown[] {
  return /^(-?(0|[1-9]\d{0,15})(\.\d{1,15})?|true|false)$/.test(text) ? [text, JSON.parse(text)] : [text];
}

/** Any of these is among what the database finds the license by (function `license_terms`). */
function hasTerm(terms: Prisma.Sql[]): Prisma.Sql {
  return Prisma.sql`EXISTS (
    SELECT FROM license_term
     WHERE license_term.environment_id = license.environment_id AND license_term.license_id = license.id AND term IN (${Prisma.join(terms)}))`;
}

/** The entitlement is attached to its policy, or else to itself. */
async function holds(db: Db, code: string): Promise<Prisma.Sql[]> {
  const entitlement = await db.entitlement.findFirst({ where: { code, deletedAt: null }, include: { policies: true } });
  if (entitlement === null) return [];
  const own = Prisma.sql`EXISTS (
    SELECT FROM license_entitlement AS own
     WHERE own.environment_id = license.environment_id AND own.license_id = license.id AND own.entitlement_id = ${entitlement.id}::uuid)`;
  if (entitlement.policies.length === 0) return [own];
  const inherited = Prisma.sql`policy_id = ANY(${entitlement.policies.map(({ policyId }) => policyId)}::uuid[])`;
  return [inherited, all([own, Prisma.sql`NOT ${inherited}`])];
}

/** What decides whether a license of the policy is over, and what it is then. */
interface Terms {
  id: string;
  gracePeriodDays: number;
  revokes: boolean;
}

/** Some licenses, and for them the time that was so many days ago. */
interface Timeline {
  licenses: Prisma.Sql;
  daysAgo: (days: number) => Prisma.Sql;
}

/**
 * The ways in which `licenseStatus` computes this status at `now`, or at the time of the license's test clock. Only the test
 * environment has those, and a license on a clock is another way there: all others keep a time that an index can be asked for.
 */
async function statusIs(db: Db, tenant: Tenant, status: LicenseStatus, now: Date): Promise<Prisma.Sql[]> {
  const policies = await db.policy.findMany({ select: { id: true, gracePeriodDays: true, expirationStrategy: true } });
  const terms = policies.map(({ expirationStrategy, ...policy }) => ({ ...policy, revokes: expirationStrategy === 'REVOKE' }));
  const realTime = (days: number): Prisma.Sql => Prisma.sql`${new Date(now.getTime() - days * DAY_MS)}::timestamptz`;
  if (tenant.environment === 'live') return waysToBe(status, terms, { licenses: Prisma.sql`TRUE`, daysAgo: realTime });
  // A clock that the caller does not see is none, here as where the license is shown.
  const clock = Prisma.sql`COALESCE((SELECT frozen_at FROM test_clock WHERE test_clock.id = license.test_clock_id), ${now}::timestamptz)`;
  const clockTime = (days: number): Prisma.Sql => Prisma.sql`(${clock} - make_interval(hours => ${days * 24}::int))`;
  return [
    ...waysToBe(status, terms, { licenses: Prisma.sql`test_clock_id IS NULL`, daysAgo: realTime }),
    ...waysToBe(status, terms, { licenses: Prisma.sql`test_clock_id IS NOT NULL`, daysAgo: clockTime }),
  ];
}

function waysToBe(status: LicenseStatus, policies: Terms[], { licenses, daysAgo }: Timeline): Prisma.Sql[] {
  const revoking = policies.filter(({ revokes }) => revokes);
  const others = policies.filter(({ revokes }) => !revokes);
  // Nothing to ask about the policy when it may be any.
  const isOver = (under: Terms[]): Prisma.Sql =>
    all([...(under.length === policies.length ? [] : [isOf(under)]), expiresUnder(under, '<=', daysAgo)]);
  const ways = (...alternatives: Prisma.Sql[][]): Prisma.Sql[] => alternatives.map((conditions) => all([licenses, ...conditions]));
  switch (status) {
    case 'banned':
      return ways([banned]);
    case 'revoked':
      return ways([notBanned, revoked], ...(revoking.length === 0 ? [] : [[notBanned, notRevoked, isOver(revoking)]]));
    case 'suspended':
      return ways([
        notBanned,
        notRevoked,
        suspended,
        // Spelt out for licenses that never expire: to SQL, "not (null is before now)" is not true.
        ...(revoking.length === 0 ? [] : [Prisma.sql`(expires_at IS NULL OR NOT ${isOver(revoking)})`]),
      ]);
    case 'expired':
      return others.length === 0 ? [] : ways([...inForce, isOver(others)]);
    case 'active':
      return policies.length === 0 ? [] : ways([...inForce, perpetual], [...inForce, expiresUnder(policies, '>', daysAgo)]);
  }
}

const banned = Prisma.sql`banned_at IS NOT NULL`;
const notBanned = Prisma.sql`banned_at IS NULL`;
const revoked = Prisma.sql`revoked_at IS NOT NULL`;
const notRevoked = Prisma.sql`revoked_at IS NULL`;
const suspended = Prisma.sql`suspended_at IS NOT NULL`;
const perpetual = Prisma.sql`expires_at IS NULL`;
const inForce = [notBanned, notRevoked, Prisma.sql`suspended_at IS NULL`];

const isOf = (policies: Terms[]): Prisma.Sql => Prisma.sql`policy_id = ANY(${policies.map(({ id }) => id)}::uuid[])`;

/**
 * The license's expiry lies on this side of its policy's grace. An environment has few graces, however many policies; the
 * bound that all of them imply is one that an index can be asked for.
 */
function expiresUnder(policies: Terms[], side: '<=' | '>', daysAgo: (days: number) => Prisma.Sql): Prisma.Sql {
  const graces = [...new Set(policies.map(({ gracePeriodDays }) => gracePeriodDays))];
  const expires = (days: number): Prisma.Sql => Prisma.sql`expires_at ${Prisma.raw(side)} ${daysAgo(days)}`;
  const bound = expires(side === '<=' ? Math.min(...graces) : Math.max(...graces));
  if (graces.length === 1) return bound;
  const each = graces.map((days) => all([isOf(policies.filter(({ gracePeriodDays }) => gracePeriodDays === days)), expires(days)]));
  return all([bound, Prisma.sql`(${Prisma.join(each, ' OR ')})`]);
}
