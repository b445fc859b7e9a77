import type { Db, Tenant } from '../core/database.js';
import type { BucketInterval } from '../domain/buckets.js';
import { type ActivityDimension, type ActivityMetric, WHOLE } from '../domain/roll-ups.js';
import { dayFrom, type SeriesRow } from '../domain/time-series.js';
import { Prisma } from '../generated/prisma/client.js';

/** The buckets from `from` up to `to` and without it. */
export interface SeriesWanted {
  metric: ActivityMetric;
  interval: BucketInterval;
  groupBy: ActivityDimension | null;
  from: Date;
  to: Date;
}

export type SeriesRowOf = SeriesRow & { dimension: ActivityDimension | 'all' };

/** What was counted, of everything together and by the dimension. Weeks and months are sums of their days. */
export function findSeries(db: Db, tenant: Tenant, wanted: SeriesWanted): Promise<SeriesRowOf[]> {
  const before = wanted.metric === 'active_machines' ? Prisma.sql`UNION ALL ${untilThen(tenant, wanted)}` : Prisma.empty;
  return db.$queryRaw<SeriesRowOf[]>`
    SELECT date_trunc(${wanted.interval}::text, bucket) AS start, dimension, name, sum(value)::float8 AS value
      FROM activity_count
     WHERE ${counts(tenant, wanted)} AND unit = ${wanted.interval === 'hour' ? 'hour' : 'day'}
       AND bucket >= ${wanted.from}::timestamptz AND bucket < ${wanted.to}::timestamptz
     GROUP BY 1, 2, 3
     ${before}`;
}

/** What it had come to before `from`: since ever, without what came from then on. Hours before it may be kept no more. */
function untilThen(tenant: Tenant, wanted: SeriesWanted): Prisma.Sql {
  const mine = counts(tenant, wanted);
  const from = Prisma.sql`${wanted.from}::timestamptz`;
  const wholeDays = Prisma.sql`${dayFrom(wanted.from)}::timestamptz`;
  return Prisma.sql`
    SELECT NULL, dimension, name, sum(value)::float8 FROM (
      SELECT dimension, name, value FROM activity_count WHERE ${mine} AND unit = 'all'
       UNION ALL
      SELECT dimension, name, -value FROM activity_count WHERE ${mine} AND unit = 'day' AND bucket >= ${wholeDays}
       UNION ALL
      SELECT dimension, name, -value FROM activity_count WHERE ${mine} AND unit = 'hour' AND bucket >= ${from} AND bucket < ${wholeDays}
    ) AS before GROUP BY 2, 3`;
}

function counts(tenant: Tenant, { metric, groupBy }: SeriesWanted): Prisma.Sql {
  const dimensions = ['all', ...(groupBy === null ? [] : [groupBy])];
  return Prisma.sql`environment_id = ${tenant.environmentId}::uuid AND segment_id = ${tenant.segmentId ?? WHOLE}::uuid
       AND metric = ${metric} AND dimension = ANY(${dimensions})`;
}
