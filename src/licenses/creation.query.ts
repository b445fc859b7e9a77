import type { Db } from '../core/database.js';
import { prepared } from '../core/prepared.js';
import { entitlementIdsByCode } from '../entitlements/entitlements.query.js';
import type { TestClock } from '../generated/prisma/client.js';
import { includeEntitlementCodes, type PolicyRow } from '../policies/policies.dto.js';

/** What new licenses refer to, by id or code; what is not in here is unknown. All of it is held until the end of the work. */
export interface References {
  products: Map<string, { id: string; keyPrefix: string }>;
  policies: Map<string, PolicyRow>;
  testClocks: Map<string, TestClock>;
  /** Ids by code. */
  entitlements: Map<string, string>;
}

interface Referring {
  productId: string;
  policyId: string;
  testClockId?: string | null;
  entitlements?: readonly { code: string }[];
}

/** Four kinds of things, each asked for once however many licenses name it, and in one order for everyone who waits. */
export async function holdReferences(db: Db, licenses: readonly Referring[]): Promise<References> {
  const productIds = distinct(licenses.map(({ productId }) => productId));
  const policyIds = distinct(licenses.map(({ policyId }) => policyId));
  const clockIds = distinct(licenses.map(({ testClockId }) => testClockId ?? null).filter((id) => id !== null));
  const codes = distinct(licenses.flatMap(({ entitlements = [] }) => entitlements.map(({ code }) => code)));
  // Not to be deleted until the end; that others count on it, or change it, is no reason to wait for them.
  const products = await db.$queryRaw<{ id: string; keyPrefix: string }[]>`
    ${prepared} SELECT id, key_prefix AS "keyPrefix" FROM product
     WHERE id = ANY(${productIds}::uuid[]) AND deleted_at IS NULL ORDER BY id FOR KEY SHARE`;
  const held = await db.$queryRaw<{ id: string }[]>`
    ${prepared} SELECT id FROM policy WHERE id = ANY(${policyIds}::uuid[]) AND deleted_at IS NULL ORDER BY id FOR KEY SHARE`;
  const policies = await db.policy.findMany({ where: { id: { in: held.map(({ id }) => id) } }, include: includeEntitlementCodes });
  return {
    products: byId(products),
    policies: byId(policies),
    testClocks: byId(clockIds.length === 0 ? [] : await holdTestClocks(db, clockIds)),
    entitlements: codes.length === 0 ? new Map<string, string>() : await entitlementIdsByCode(db, codes),
  };
}

/** Held, so that a license is made in the time in which it then lives. */
async function holdTestClocks(db: Db, ids: string[]): Promise<TestClock[]> {
  const held = await db.$queryRaw<{ id: string }[]>`
    SELECT id FROM test_clock WHERE id = ANY(${ids}::uuid[]) AND deleted_at IS NULL ORDER BY id FOR SHARE`;
  return db.testClock.findMany({ where: { id: { in: held.map(({ id }) => id) } } });
}

/** Those of these digests ($1) that a license has, or had and may still be known by; in whatever environment. */
export const TAKEN_KEYS = {
  name: 'taken_license_keys',
  text: `
    SELECT key_digest AS digest FROM license WHERE key_digest = ANY($1::bytea[]) AND deleted_at IS NULL
    UNION
    SELECT former.key_digest FROM former_license_key former
      JOIN license ON license.id = former.license_id
      LEFT JOIN test_clock ON test_clock.id = license.test_clock_id
     WHERE former.key_digest = ANY($1::bytea[]) AND license.deleted_at IS NULL
       AND former.valid_until > COALESCE(test_clock.frozen_at, now())`,
};

/** Products that have got so many licenses more. */
export async function countMore(db: Db, more: ReadonlyMap<string, number>): Promise<void> {
  const [ids, counts] = [[...more.keys()], [...more.values()]];
  await db.$executeRaw`
    ${prepared} WITH held AS (SELECT id FROM product WHERE id = ANY(${ids}::uuid[]) ORDER BY id FOR NO KEY UPDATE)
    UPDATE product SET licenses_count = licenses_count + more.count
      FROM held JOIN unnest(${ids}::uuid[], ${counts}::int[]) AS more (id, count) USING (id)
     WHERE product.id = held.id`;
}

/** As the database spells them. */
function distinct(names: readonly string[]): string[] {
  return [...new Set(names)];
}

function byId<Row extends { id: string }>(rows: readonly Row[]): Map<string, Row> {
  return new Map(rows.map((row) => [row.id, row]));
}
