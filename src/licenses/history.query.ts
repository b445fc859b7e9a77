import type { Db } from '../core/database.js';
import type { Entitlement } from '../domain/entitlements.js';
import { type License, type Policy, Prisma } from '../generated/prisma/client.js';
import { includeEntitlementCodes, type PolicyRow } from '../policies/policies.dto.js';
import type { LicenseRow } from './licenses.dto.js';

/** A license as it was, and whether its key was the one that it has now. */
export interface LicenseAt {
  license: LicenseRow;
  hasSameKey: boolean;
}

/**
 * The license as it was at that time by its own clock: what a trigger kept before the first change after it, else as it is.
 * Of changes at the same instant the last one counts. What is not kept (migration `engine`) is as it is now. On a test
 * clock only what it was on that clock counts, and its policy, whose changes have no time there, is the present one.
 */
export async function licenseAt(db: Db, present: LicenseRow, at: Date): Promise<LicenseAt> {
  const row = await rowAt(
    db,
    'license',
    present.id,
    at,
    Prisma.sql`AND state ->> 'test_clock_id' IS NOT DISTINCT FROM ${present.testClockId}::text`,
  );
  const license = fromColumns(row, Prisma.LicenseScalarFieldEnum) as License;
  const own = row.formerEntitlements as (Omit<Entitlement, 'expiresAt'> & { expiresAt: string | null })[] | null;
  const entitlements =
    own?.map(({ code, expiresAt, quantity }) => ({
      entitlement: { code },
      expiresAt: expiresAt === null ? null : new Date(expiresAt),
      quantity,
    })) ?? present.entitlements;
  const now = await db.policy.findUniqueOrThrow({ where: { id: license.policyId }, include: includeEntitlementCodes });
  const policy = present.testClock === null ? await policyAt(db, now, at) : now;
  return {
    license: { ...license, policy, entitlements, testClock: present.testClock },
    hasSameKey: row.formerKey === null || row.formerKey === row.presentKey,
  };
}

async function policyAt(db: Db, present: PolicyRow, at: Date): Promise<PolicyRow> {
  const row = await rowAt(db, 'policy', present.id, at, Prisma.empty);
  const codes = row.formerEntitlements as string[] | null;
  return {
    ...(fromColumns(row, Prisma.PolicyScalarFieldEnum) as Policy),
    entitlements: codes?.map((code) => ({ entitlement: { code } })) ?? present.entitlements,
  };
}

/** The columns as they were, in PostgreSQL's types: the row that is there, with what was kept of it over it. */
async function rowAt(db: Db, table: 'license' | 'policy', id: string, at: Date, more: Prisma.Sql): Promise<Record<string, unknown>> {
  const present = Prisma.raw(table);
  const presentKey = table === 'license' ? Prisma.sql`left(encode(sha256(license.key_digest), 'hex'), 16)` : Prisma.sql`NULL`;
  const [row] = await db.$queryRaw<Record<string, unknown>[]>`
    SELECT was.*, former.state -> 'entitlements' AS "formerEntitlements", former.state ->> 'key_mark' AS "formerKey", ${presentKey} AS "presentKey"
      FROM ${present}
      LEFT JOIN LATERAL (
             SELECT state FROM former_state
              WHERE environment_id = ${present}.environment_id AND owner_id = ${present}.id AND until > ${at}::timestamptz ${more}
              ORDER BY until, id
              LIMIT 1) AS former ON true
     CROSS JOIN LATERAL jsonb_populate_record(${present}, COALESCE(former.state, '{}')) AS was
     WHERE ${present}.id = ${id}::uuid`;
  if (row === undefined) throw new Error(`the ${table} ${id} is gone within its transaction`);
  return row;
}

/** A row of columns by the names of the model's fields; one without a column would be a hole in the past. */
function fromColumns(columns: Record<string, unknown>, fields: Record<string, string>): object {
  return Object.fromEntries(
    Object.values(fields).map((field) => {
      const column = field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
      if (!(column in columns)) throw new Error(`there is no column ${column}`);
      return [field, columns[column]];
    }),
  );
}
