import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { TURNS } from '../src/core/recurring.js';
import { hoursKeptFrom } from '../src/domain/kept.js';
import { bruteRollUps, type Expiry, storedRollUps, type Sums } from './support/brute-roll-ups.js';
import { latchkeyProcess } from './support/command-line.js';
import { eventually } from './support/eventually.js';
import { Lives } from './support/lives.js';
import { Random } from './support/random.js';
import { rollUpsAreKept } from './support/roll-ups.js';
import { startServer } from './support/server.js';
import { testDatabaseUrl } from './support/settings.js';
import { sharedServer } from './support/shared-server.js';
import { Vendor } from './support/vendor.js';

/** Roll-ups are what their rows come to, however they came there (contract: resources.md, "Analytics"; docs/decisions/0022-roll-ups.md). */

const server = sharedServer();
let database: pg.Client;
beforeAll(async () => {
  database = new pg.Client({ connectionString: testDatabaseUrl(), options: '-c timezone=UTC' });
  await database.connect();
});
afterAll(async () => {
  await database.end();
});

async function environmentsOf(vendor: Vendor): Promise<string[]> {
  const { rows } = await database.query<{ id: string }>('SELECT id FROM environment WHERE account_id = $1 ORDER BY name', [
    vendor.account.id,
  ]);
  return rows.map(({ id }) => id);
}

/** Each expiry that was told of, and those of licenses that came when they were over. */
async function expiriesOf(environmentId: string): Promise<Expiry[]> {
  const { rows } = await database.query<Expiry>(
    `SELECT DISTINCT (data->'object'->>'expiresAt')::timestamptz AS at, license_id, data->'object'->>'productId' AS "productId",
            data->'object'->>'policyId' AS "policyId", license.segment_id AS "segmentId"
       FROM event JOIN license ON license.id = event.license_id
      WHERE event.environment_id = $1 AND (event.type = 'license.expired'
            OR event.type = 'license.created' AND (data->'object'->>'expiresAt')::timestamptz < event.created_at
               AND license.test_clock_id IS NULL)`,
    [environmentId],
  );
  return rows;
}

/** What is stored and what the rows say, of one moment at which nothing of it waits. */
async function bothOf(environmentId: string): Promise<{ stored: Sums; brute: Sums }> {
  const look = async () => {
    await database.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    try {
      const { rows } = await database.query('SELECT FROM tally_change WHERE environment_id = $1 LIMIT 1', [environmentId]);
      if (rows.length > 0) return null;
      return {
        stored: whatIsKept(await storedRollUps(database, environmentId)),
        brute: whatIsKept(await bruteRollUps(database, environmentId, await expiriesOf(environmentId))),
      };
    } finally {
      await database.query('COMMIT');
    }
  };
  return (await eventually(look, (both) => both !== null))!;
}

/** Without old hours, which any server removes when it finds time; an hour that is about to become old is old. */
function whatIsKept(sums: Sums): Sums {
  const from = hoursKeptFrom(new Date(Date.now() + 3_600_000)).toISOString();
  const hourOf = (name: string): string | undefined => / hour (\S+)/.exec(name)?.[1];
  return Object.fromEntries(Object.entries(sums).filter(([name]) => (hourOf(name) ?? from) >= from));
}

const rebuild = async (vendor: Vendor): Promise<unknown> => {
  const { code, stdout, stderr } = await latchkeyProcess(['analytics', 'rebuild', '--account', vendor.account.slug, '--json']);
  // On a busy machine it tells how far it is.
  expect([code, stderr.replaceAll(/^.* licenses, \d+ machines\n/gm, '')]).toEqual([0, '']);
  return JSON.parse(stdout);
};

describe('what can be told from rows', () => {
  it('is what random lives come to, before and after it is made anew', async () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    const vendor = await Vendor.signUp(server.url);
    const lives = await Lives.begin(vendor, database, new Random(seed));
    for (let round = 0; round < 24; round += 1) await Promise.all([lives.step(), lives.step(), lives.step()]);
    const kinds = new Set<string>();
    for (const environmentId of await environmentsOf(vendor)) {
      const { stored, brute } = await bothOf(environmentId);
      expect({ seed, ...stored }).toEqual({ seed, ...brute });
      for (const name of Object.keys(stored))
        kinds.add(name.split(' ').slice(0, 2).join(' ') + (/ (activations|deactivations|licenses_\w+) /.exec(name)?.[0] ?? ''));
    }
    // Lives that lead nowhere would agree too.
    expect(kinds.size).toBeGreaterThan(10);
    await rebuild(vendor);
    for (const environmentId of await environmentsOf(vendor)) {
      const { stored, brute } = await bothOf(environmentId);
      expect(stored).toEqual(brute);
    }
  });

  it('is made anew while it changes, and after it was wrong: nothing is lost, nothing counts twice', async () => {
    const vendor = await Vendor.signUp(server.url);
    const lives = await Lives.begin(vendor, database, new Random(3));
    for (let round = 0; round < 10; round += 1) await Promise.all([lives.step(), lives.step(), lives.step()]);
    await rollUpsAreKept(database, vendor.account.id);
    const environments = await environmentsOf(vendor);
    await database.query('UPDATE license_tally SET licenses = licenses + 5 WHERE environment_id = ANY($1)', [environments]);
    await database.query("UPDATE activity_count SET value = 77 WHERE metric = 'activations' AND environment_id = ANY($1)", [environments]);
    await database.query('DELETE FROM seat_tally WHERE environment_id = ANY($1)', [environments]);
    const going = { on: true };
    const others = (async () => {
      while (going.on) await Promise.all([lives.step(), lives.step(), lives.step(), lives.step()]);
    })();
    const rebuilt = await rebuild(vendor).finally(() => (going.on = false));
    await others;
    expect(rebuilt).toMatchObject([
      { account: vendor.account.slug, environment: 'live' },
      { account: vendor.account.slug, environment: 'test' },
    ]);
    for (const environmentId of environments) {
      const { stored, brute } = await bothOf(environmentId);
      expect(stored).toEqual(brute);
    }
  });

  it('keeps, when it is made anew, expiries that had not been counted yet', async () => {
    const vendor = await Vendor.signUp(server.url);
    const policy = await vendor.policy({ durationDays: 30 });
    const folders = new pg.Client({ connectionString: testDatabaseUrl() });
    await folders.connect();
    await folders.query('SELECT pg_advisory_lock($1)', [TURNS.rollUps]);
    for (const day of ['01', '02', '03'])
      await vendor.license({ productId: policy.productId, policyId: policy.id, expiresAt: `2026-01-${day}T00:00:00.000Z` });
    const rebuilt = rebuild(vendor);
    const isInLine = async () =>
      (
        await database.query(
          "SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = ($1::bigint & 4294967295)::oid AND NOT granted",
          [TURNS.rollUps],
        )
      ).rowCount;
    await eventually(isInLine, (count) => count !== 0);
    // Whoever is in line has it before those who only look from time to time whether it is free.
    await folders.end();
    await rebuilt;
    const series = await vendor.api.get(
      '/analytics/timeseries?metric=licenses_expired&interval=month&from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z',
    );
    expect(series.body.data).toEqual([{ start: '2026-01-01T00:00:00.000Z', value: 3 }]);
  });

  it('is made by a server for what an earlier version left', async () => {
    const vendor = await Vendor.signUp(server.url);
    const lives = await Lives.begin(vendor, database, new Random(5));
    for (let round = 0; round < 5; round += 1) await Promise.all([lives.step(), lives.step(), lives.step()]);
    await rollUpsAreKept(database, vendor.account.id);
    const environments = await environmentsOf(vendor);
    for (const table of ['license_tally', 'seat_tally', 'cohort_tally', 'dead_machine_tally'])
      await database.query(`DELETE FROM ${table} WHERE environment_id = ANY($1)`, [environments]);
    await database.query('UPDATE environment SET rolled_up_at = NULL WHERE id = ANY($1)', [environments]);
    const next = await startServer();
    const isMade = async () =>
      (await database.query('SELECT FROM environment WHERE id = ANY($1) AND rolled_up_at IS NULL', [environments])).rowCount;
    await eventually(isMade, (count) => count === 0);
    await next.stop();
    for (const environmentId of environments) {
      const { stored, brute } = await bothOf(environmentId);
      expect(stored).toEqual(brute);
    }
  });
});
