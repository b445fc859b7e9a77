import { Injectable } from '@nestjs/common';
import { Clock } from '../core/clock.js';
import { Database, type Db, type Tenant } from '../core/database.js';
import { anomaliesAmong } from '../domain/anomalies.js';
import { invalid } from '../domain/errors.js';
import { monthNamed, monthsKeptFrom } from '../domain/kept.js';
import { type AnomaliesQuery, type AnomalyView, DEFAULT_LIMIT, type RankedBy, type RankView, type TopQuery } from './rankings.dto.js';
import { findSuspects, type Rank, topLicenses, topNames, topOfDimension } from './rankings.query.js';

/** So many are judged anew, by the seats that they have now, before the first of them are told. */
const SUSPECTS = 1000;

/** By what each is looked up, and whether only the last months have it. */
const rankings: Record<RankedBy, { isOfMonths: boolean; find: (db: Db, tenant: Tenant, month: Date, limit: number) => Promise<Rank[]> }> = {
  licenses: { isOfMonths: true, find: topLicenses },
  ips: { isOfMonths: true, find: (db, tenant, month, limit) => topNames(db, tenant, month, 'ip', limit) },
  fingerprints: { isOfMonths: true, find: (db, tenant, month, limit) => topNames(db, tenant, month, 'fingerprint', limit) },
  products: { isOfMonths: false, find: (db, tenant, month, limit) => topOfDimension(db, tenant, month, 'productId', limit) },
  versions: { isOfMonths: false, find: (db, tenant, month, limit) => topOfDimension(db, tenant, month, 'version', limit) },
  platforms: { isOfMonths: false, find: (db, tenant, month, limit) => topOfDimension(db, tenant, month, 'platform', limit) },
};

/** Who is first, and who is suspicious (contract: resources.md, "Analytics"). */
@Injectable()
export class RankingsService {
  constructor(
    private readonly database: Database,
    private readonly clock: Clock,
  ) {}

  /** Most validations of a month first; equal ones by their key. 400 for a month that is kept no longer. */
  top(tenant: Tenant, { by, month: name, limit = DEFAULT_LIMIT }: TopQuery): Promise<RankView[]> {
    const { isOfMonths, find } = rankings[by];
    const month = isOfMonths ? this.keptMonth(name) : monthNamed(name, this.clock.now());
    return this.database.within(tenant, (db) => find(db, tenant, month, limit));
  }

  /** Licenses that were seen in a month as more than their seats explain, the most suspicious first. 400 likewise. */
  async anomalies(tenant: Tenant, { month: name, limit = DEFAULT_LIMIT }: AnomaliesQuery): Promise<AnomalyView[]> {
    const month = this.keptMonth(name);
    const suspects = await this.database.within(tenant, (db) => findSuspects(db, tenant, month, SUSPECTS));
    return anomaliesAmong(suspects)
      .slice(0, limit)
      .map(({ licenseId, name, fingerprints, ips, seats, suspicion }) => ({
        license: { id: licenseId, name },
        fingerprints,
        ips,
        seats,
        suspicion,
      }));
  }

  private keptMonth(name: string | undefined): Date {
    const now = this.clock.now();
    const [month, first] = [monthNamed(name, now), monthsKeptFrom(now)];
    if (month < first)
      throw invalid([{ path: 'month', message: `must be ${first.toISOString().slice(0, 7)} or later: earlier ones are kept no longer` }]);
    return month;
  }
}
