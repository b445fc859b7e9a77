import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { ServerProcess } from '../support/server.js';
import { testDatabaseUrl, testEnvironment } from '../support/settings.js';
import { Vendor } from '../support/vendor.js';

/** Two server processes on one database, as in production: no lock inside a process can make these pass. */
describe('validations, from two server processes at once', () => {
  let servers: ServerProcess[];
  let database: pg.Client;
  let vendor: Vendor;

  beforeAll(async () => {
    servers = await Promise.all([ServerProcess.start(testEnvironment()), ServerProcess.start(testEnvironment())]);
    database = new pg.Client({ connectionString: testDatabaseUrl() });
    await database.connect();
  });
  afterAll(async () => {
    await database.end();
    await Promise.all(servers.map((server) => server.stop()));
  });
  beforeEach(async () => {
    vendor = await Vendor.signUp(servers[0]!.url);
  });

  /** Half of them by the key, half by the id, half through each server. */
  const validateAtOnce = async (times: number, license: { id: string; key: string }, body: object = {}) =>
    Promise.all(
      Array.from({ length: times }, async (_, index) => {
        const asked = vendor.through(servers[index % 2]!.url);
        return index % 4 < 2 ? asked.validate(license, body) : (await asked.api.post(`/licenses/${license.id}/validate`, body)).body.data;
      }),
    );
  const reload = async (license: { id: string }) => (await vendor.api.get(`/licenses/${license.id}`)).body.data;
  const told = async (license: { id: string }, type: string): Promise<number> =>
    (await database.query('SELECT 1 FROM event WHERE license_id = $1 AND type = $2', [license.id, type])).rowCount ?? 0;

  it('the first starts the clock of a license, once: everyone is told the same expiry, and others of one activation', async () => {
    const license = await vendor.licenseUnder({ durationDays: 30, expirationBasis: 'FROM_FIRST_VALIDATION', requireFingerprint: false });
    expect(license.expiresAt).toBeNull();
    const verdicts = await validateAtOnce(50, license);
    expect(verdicts.filter(({ code }) => code === 'VALID')).toHaveLength(50);
    const { expiresAt, firstValidatedAt } = await reload(license);
    expect(Date.parse(expiresAt) - Date.parse(firstValidatedAt)).toBe(30 * 86_400_000);
    expect(new Set(verdicts.map((verdict) => verdict.license.expiresAt as string | null))).toEqual(new Set([expiresAt]));
    expect(await told(license, 'license.activated')).toBe(1);
  });

  it('counts uses exactly: never above the limit, and every valid answer counted and told', async () => {
    const license = await vendor.licenseUnder({ maxUses: 20, requireFingerprint: false });
    const verdicts = await validateAtOnce(60, license, { increment: 1 });
    expect(verdicts.filter((verdict) => verdict.valid)).toHaveLength(20);
    expect(verdicts.filter((verdict) => verdict.code === 'USES_EXCEEDED')).toHaveLength(40);
    const counts: number[] = verdicts.filter(({ valid }) => valid).map((verdict) => verdict.license.usesCount);
    expect(counts.sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
    expect((await reload(license)).usesCount).toBe(20);
    expect([await told(license, 'usage.incremented'), await told(license, 'license.activated')]).toEqual([20, 1]);
  });

  it('knows a license through one server at once when it was sold through the other', async () => {
    for (let round = 0; round < 10; round += 1) {
      const [seller, asked] = [servers[round % 2]!, servers[(round + 1) % 2]!];
      const license = await vendor.through(seller.url).licenseUnder({ requireFingerprint: false });
      expect(await vendor.through(asked.url).validate(license)).toMatchObject({ valid: true, license: { id: license.id } });
    }
  });
});
