import type { Db, Tenant } from '../core/database.js';
import { ofSegment } from '../core/segment.js';
import type { Seen } from '../domain/anomalies.js';
import { WHOLE } from '../domain/roll-ups.js';
import { Prisma } from '../generated/prisma/client.js';
import { nameSeenBy } from './names.query.js';

/** Each by an index of its roll-up, read from its beginning (docs/decisions/0022-roll-ups.md). */

export interface Rank {
  key: string;
  label: string;
  value: number;
}

/** Licenses by their validations in a month; also those that are deleted since. */
export function topLicenses(db: Db, tenant: Tenant, month: Date, limit: number): Promise<Rank[]> {
  return db.$queryRaw<Rank[]>`
    SELECT top.license_id AS key, COALESCE(license.name, license.user_name, top.license_id::text) AS label, top.validations::float8 AS value
      FROM (SELECT license_id, validations FROM license_month
             WHERE environment_id = ${tenant.environmentId}::uuid AND month = ${month}::timestamptz ${andOfSegment(tenant)}
             ORDER BY validations DESC, license_id LIMIT ${limit}::int) AS top
      LEFT JOIN license ON license.id = top.license_id
     ORDER BY top.validations DESC, top.license_id`;
}

/** Addresses or fingerprints by validations in a month. */
export function topNames(db: Db, tenant: Tenant, month: Date, kind: 'ip' | 'fingerprint', limit: number): Promise<Rank[]> {
  return db.$queryRaw<Rank[]>`
    SELECT name AS key, name AS label, validations::float8 AS value
      FROM name_month
     WHERE environment_id = ${tenant.environmentId}::uuid AND segment_id = ${tenant.segmentId ?? WHOLE}::uuid
       AND month = ${month}::timestamptz AND kind = ${kind}
     ORDER BY validations DESC, name LIMIT ${limit}::int`;
}

/** What the days of a month come to by a dimension of validations; names of products are those of today. */
export function topOfDimension(
  db: Db,
  tenant: Tenant,
  month: Date,
  dimension: 'productId' | 'version' | 'platform',
  limit: number,
): Promise<Rank[]> {
  const label = dimension === 'productId' ? Prisma.sql`COALESCE(${nameSeenBy(tenant, 'product')}, top.name)` : Prisma.sql`top.name`;
  const labelled = dimension === 'productId' ? Prisma.sql`LEFT JOIN product ON product.id = top.name::uuid` : Prisma.empty;
  return db.$queryRaw<Rank[]>`
    SELECT top.name AS key, ${label} AS label, top.value::float8 AS value
      FROM (SELECT name, sum(value) AS value FROM activity_count
             WHERE environment_id = ${tenant.environmentId}::uuid AND segment_id = ${tenant.segmentId ?? WHOLE}::uuid
               AND metric = 'validations' AND dimension = ${dimension} AND unit = 'day'
               AND bucket >= ${month}::timestamptz AND bucket < ${month}::timestamptz + interval '1 month'
             GROUP BY name ORDER BY sum(value) DESC, name LIMIT ${limit}::int) AS top
      ${labelled}
     ORDER BY top.value DESC, top.name`;
}

export interface SeenLicense extends Seen {
  name: string | null;
}

/** Living licenses that were beyond their seats when they were last validated in the month; the furthest first. */
export function findSuspects(db: Db, tenant: Tenant, month: Date, limit: number): Promise<SeenLicense[]> {
  return db.$queryRaw<SeenLicense[]>`
    SELECT license.id AS "licenseId", license.name, seen.fingerprints, seen.ips,
           COALESCE(license.max_machines_override, policy.max_machines) AS "maxMachines", license.machine_count AS "machineCount"
      FROM (SELECT license_id, fingerprints, ips, suspicion FROM license_month
             WHERE environment_id = ${tenant.environmentId}::uuid AND month = ${month}::timestamptz AND suspicion > 1 ${andOfSegment(tenant)}
             ORDER BY suspicion DESC, license_id LIMIT ${limit}::int) AS seen
      JOIN license ON license.id = seen.license_id
      JOIN policy ON policy.id = license.policy_id
     WHERE license.deleted_at IS NULL
     ORDER BY seen.suspicion DESC, seen.license_id`;
}

function andOfSegment(tenant: Tenant): Prisma.Sql {
  const { segmentId } = ofSegment(tenant);
  return segmentId === undefined ? Prisma.empty : Prisma.sql`AND segment_id = ${segmentId}::uuid`;
}
