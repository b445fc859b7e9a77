import { TimeseriesQuery } from '../analytics/analytics.dto.js';
import { AnalyticsService } from '../analytics/analytics.service.js';
import { TopQuery } from '../analytics/rankings.dto.js';
import { RankingsService } from '../analytics/rankings.service.js';
import type { Tenant } from '../core/database.js';
import { type Analytics, describeAnalytics, describeTimeseries, rowsOfAnalytics, rowsOfTimeseries } from './analytics.report.js';
import { canvasOf } from './bars.js';
import { csv, type Row } from './csv.js';
import { PoliciesService } from '../policies/policies.service.js';
import { ProductsService } from '../products/products.service.js';
import { bodyOf, namingFlags } from './input.js';
import type { TenantOptions } from './keys.js';
import type { Outcome } from './output.js';
import { everyItem, inSession, type Session } from './session.js';

export interface AnalyticsOptions extends TenantOptions {
  /** Print CSV. */
  csv?: true;
}

export interface TimeseriesOptions extends AnalyticsOptions {
  metric: string;
  interval?: string;
  from?: string;
  to?: string;
  groupBy?: string;
}

/** `analytics`: what GET /analytics answers, with seats and the licenses that were validated most this month. */
export async function showOverview({ account, environment, csv: asCsv }: AnalyticsOptions): Promise<Outcome> {
  const byLicense = await bodyOf(TopQuery, { by: 'licenses' });
  const analytics = await inSession(async (session): Promise<Analytics> => {
    const { tenant } = await session.caller(account, environment);
    const seats = await session.get(AnalyticsService).seats(tenant);
    const topLicenses = await session.get(RankingsService).top(tenant, byLicense);
    return { ...(await session.get(AnalyticsService).overview(tenant)), seats, topLicenses };
  });
  if (asCsv === true) return printCsv(rowsOfAnalytics(analytics));
  return { document: analytics, text: describeAnalytics(analytics, canvasOf(process.stdout)) };
}

/** `analytics timeseries` */
export async function showTimeseries(options: TimeseriesOptions): Promise<Outcome> {
  const { account, environment, csv: asCsv, metric, interval, from, to, groupBy } = options;
  const query = await bodyOf(TimeseriesQuery, { metric, interval, from, to, groupBy });
  const { points, names } = await inSession(async (session) => {
    const { tenant } = await session.caller(account, environment);
    const points = await namingFlags(() => session.get(AnalyticsService).timeseries(tenant, query));
    return { points, names: await namesOf(session, tenant, query) };
  });
  if (asCsv === true) return printCsv(rowsOfTimeseries(points));
  const text = describeTimeseries(points, { metric, interval: query.interval ?? 'day', names }, canvasOf(process.stdout));
  return { document: points, text };
}

/** Of what the groups are ids of, as far as it is there; programs are given the ids. */
async function namesOf(session: Session, tenant: Tenant, { groupBy }: TimeseriesQuery): Promise<Map<string, string>> {
  const named =
    groupBy === 'productId'
      ? await everyItem((page) => session.get(ProductsService).list(tenant, page))
      : groupBy === 'policyId'
        ? await everyItem((page) => session.get(PoliciesService).list(tenant, page))
        : [];
  return new Map(named.map(({ id, name }) => [id, name]));
}

/** Its lines end as the format has it, the last one too. */
function printCsv(rows: readonly Row[]): Outcome {
  process.stdout.write(csv(rows));
  return { text: '' };
}
