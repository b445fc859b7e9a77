import { Injectable } from '@nestjs/common';
import { CredentialCache } from '../auth/credential-cache.js';
import { recordChange } from '../core/audit.js';
import { Clock } from '../core/clock.js';
import { Config } from '../core/config.js';
import { Database, type Db, type Tenant } from '../core/database.js';
import { type Page, type PageQuery, paginate } from '../core/page.js';
import { hold, holdToDelete, ofSegment } from '../core/segment.js';
import { invalid, LatchkeyError, notFound } from '../domain/errors.js';
import { requireClockTime, requireForward } from '../domain/test-clock.js';
import type { TestClock } from '../generated/prisma/client.js';
import { announce } from '../licenses/due.query.js';
import { holdDue, removeDead, turn } from './advance.query.js';
import { type AdvanceTestClockBody, type CreateTestClockBody, type TestClockView, toTestClockView } from './test-clocks.dto.js';

/** Clocks that a vendor turns by hand (contract: resources.md, "Test clocks"). */
@Injectable()
export class TestClocksService {
  constructor(
    private readonly database: Database,
    private readonly clock: Clock,
    private readonly config: Config,
    private readonly credentials: CredentialCache,
  ) {}

  /** 400 in the live environment: there is none, and so nothing in it is ever on one. */
  create(tenant: Tenant, { frozenAt, metadata }: CreateTestClockBody): Promise<TestClockView> {
    if (tenant.environment !== 'test')
      throw invalid([{ path: '', message: 'Test clocks are for the test environment only: use a key of it.' }]);
    requireClockTime(frozenAt, 'frozenAt');
    return this.database.within(tenant, async (db) => {
      const row = await db.testClock.create({ data: { frozenAt, metadata } });
      const after = toTestClockView(row, tenant.environment);
      await recordChange(db, { action: 'test_clock.created', resource: { type: 'test_clock', id: row.id }, after });
      return after;
    });
  }

  list(tenant: Tenant, query: PageQuery): Promise<Page<TestClockView>> {
    const where = { deletedAt: null, ...ofSegment(tenant) };
    return this.database.within(tenant, (db) =>
      paginate(
        query,
        { list: 'test-clocks', sort: '-createdAt' },
        (page) => db.testClock.findMany({ ...page, where: { AND: [where, page.where] } }),
        (row) => toTestClockView(row, tenant.environment),
      ),
    );
  }

  get(tenant: Tenant, id: string): Promise<TestClockView> {
    return this.database.within(tenant, async (db) => toTestClockView(await load(db, tenant, id), tenant.environment));
  }

  /** 422 while a license is attached: it would lose its time. Who attaches one holds the clock too. */
  remove(tenant: Tenant, id: string): Promise<void> {
    return this.database.within(tenant, async (db) => {
      const resource = await holdToDelete(db, tenant, 'test_clock', id);
      const licensesCount = await db.license.count({ where: { testClockId: id, deletedAt: null } });
      if (licensesCount > 0)
        throw new LatchkeyError('TEST_CLOCK_HAS_LICENSES', 'The test clock has licenses: delete or detach them first.', { licensesCount });
      const row = await db.testClock.update({ where: { id }, data: { deletedAt: this.clock.now() } });
      await recordChange(db, { action: 'test_clock.deleted', resource, before: toTestClockView(row, tenant.environment) });
    });
  }

  /**
   * Hold the clock, then its licenses and their machines; let happen what falls due until `to`, in order; all in one
   * transaction. Whoever acts on one of the licenses meanwhile sees the old time or, having waited, the new. 400 for a
   * time that is not ahead.
   */
  async advance(tenant: Tenant, id: string, { to }: AdvanceTestClockBody): Promise<TestClockView> {
    const advanced = await this.database.within(tenant, async (db) => {
      const resource = await hold(db, tenant, 'test_clock', id);
      const before = await load(db, tenant, id);
      requireForward(before.frozenAt, to);
      const due = await holdDue(db, tenant, id, { from: before.frozenAt, to }, this.config.expiringNoticeDays);
      await removeDead(db, id, due);
      const after = await turn(db, id, to);
      await announce(db, due);
      const view = (row: TestClock): TestClockView => toTestClockView(row, tenant.environment);
      await recordChange(db, { action: 'test_clock.advanced', resource, before: view(before), after: view(after) });
      return view(after);
    });
    // By the clock's time a rotated-out key may be none any more.
    this.credentials.clear();
    return advanced;
  }
}

async function load(db: Db, tenant: Tenant, id: string): Promise<TestClock> {
  const row = await db.testClock.findFirst({ where: { id, deletedAt: null, ...ofSegment(tenant) } });
  if (row === null) throw notFound('test clock');
  return row;
}
