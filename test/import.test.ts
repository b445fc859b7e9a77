import { randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import pg from 'pg';
import type { Client, Reply } from './support/client.js';
import { eventually } from './support/eventually.js';
import { KEPT_BEHIND } from './support/roll-ups.js';
import { sharedServer } from './support/shared-server.js';
import { testDatabaseUrl } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

/** Licenses as files: import takes what export gives (contract: resources.md, "Licenses"). */

const CSV = 'text/csv';
const NDJSON = 'application/x-ndjson';
const YEAR_MS = 365 * 86_400_000;
const fromNow = (ms: number): string => new Date(Date.now() + ms).toISOString();
const [past, future] = [fromNow(-YEAR_MS), fromNow(YEAR_MS)];

const server = sharedServer();
let database: pg.Client;
let vendor: Vendor;
let ids: { productId: string; policyId: string };
beforeAll(async () => {
  database = new pg.Client({ connectionString: testDatabaseUrl() });
  await database.connect();
});
beforeEach(async () => {
  vendor = await Vendor.signUp(server.url);
  const policy = await vendor.policy({ durationDays: 30, maxMachines: 1 });
  ids = { productId: policy.productId, policyId: policy.id };
});
afterEach(() => {
  // No upload leaves a file behind, however it ended.
  expect(readdirSync(tmpdir()).filter((name) => name.startsWith(`latchkey-upload-${process.pid}-`))).toEqual([]);
});
afterAll(async () => {
  await database.end();
});

interface Upload {
  api?: Client;
  query?: string;
  headers?: Record<string, string>;
}

const upload = (type: string, raw: string | Buffer, { api = vendor.api, query = '', headers = {} }: Upload = {}): Promise<Reply> =>
  api.call('POST', `/licenses/import${query}`, { raw, headers: { 'content-type': type, ...headers } });
const importLines = (rows: unknown[], options: Upload = {}): Promise<Reply> =>
  upload(NDJSON, rows.map((row) => JSON.stringify(row)).join('\n'), options);
const issuesOf = (reply: Reply): string[] =>
  reply.body.data.rows.flatMap(({ row, issues = [] }: { row: number; issues?: { path: string }[] }) =>
    issues.map(({ path }) => `${row} ${path}`),
  );
// eslint-disable-next-line @typescript-eslint/no-explicit-any
const exported = async (api = vendor.api, query = ''): Promise<any[]> =>
  expectStatus(await api.get(`/licenses/export${query}`), 200)
    .text.split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as unknown);
const only = async (reply: Reply): Promise<Record<string, unknown>> => {
  expect(expectStatus(reply, 200).body.data).toMatchObject({ created: 1, failed: 0 });
  return (await vendor.api.get(`/licenses/${reply.body.data.rows[0].licenseId}`)).body.data;
};

/** How many rows each table has of this vendor; but for those of what was before and is passed on or rolled up meanwhile. */
async function counts(): Promise<Record<string, number>> {
  const { rows: tables } = await database.query<{ name: string }>(
    `SELECT table_name AS name FROM information_schema.columns WHERE table_schema = 'public' AND column_name = 'environment_id'
        AND table_name <> ALL($1)`,
    [['event_outbox', 'event_feed', ...KEPT_BEHIND]],
  );
  const found: Record<string, number> = {};
  for (const { name } of tables) {
    const { rows } = await database.query<{ count: number }>(
      `SELECT count(*)::int AS count FROM ${name} JOIN environment ON environment.id = environment_id WHERE account_id = $1`,
      [vendor.account.id],
    );
    found[name] = rows[0]!.count;
  }
  return found;
}

describe('import and export', () => {
  const time = fc.date({ min: new Date('2020-01-01'), max: new Date('2025-01-01'), noInvalidDate: true }).map((at) => at.toISOString());
  const maybe = <Value>(value: fc.Arbitrary<Value>): fc.Arbitrary<Value | null> => fc.option(value, { nil: null });
  const text = fc.string({
    unit: fc.constantFrom('a', ';', '"', ',', '\n', '\r', ' ', 'ü', '😀', '\t', "'", '\u2028', '='),
    minLength: 1,
    maxLength: 20,
  });
  const metadata = fc.dictionary(
    fc.string({ unit: fc.constantFrom('k', '.', ';', 'é', '"'), minLength: 1, maxLength: 5 }),
    fc.oneof(text, fc.integer(), fc.boolean(), fc.constant(null)),
    { maxKeys: 4 },
  );
  const machine = fc.record({
    fingerprint: fc.string({ unit: fc.constantFrom('f', ';', ',', '"', '[', ' '), minLength: 8, maxLength: 12 }),
    name: maybe(text),
    platform: maybe(fc.constantFrom('linux', 'macos')),
    cores: maybe(fc.integer({ min: 1, max: 64 })),
    components: fc.array(fc.record({ kind: text, fingerprint: fc.constant('component-1') }), { maxLength: 2 }),
    createdAt: time,
    lastHeartbeatAt: maybe(time),
    metadata,
  });
  const license = fc.record(
    {
      name: maybe(text),
      userName: maybe(text),
      userEmail: maybe(fc.constant('ada@example.com')),
      startsAt: maybe(time),
      maxMachinesOverride: maybe(fc.integer({ min: 1, max: 9 })),
      maxUsesOverride: maybe(fc.integer({ min: 0, max: 9 })),
      allowedVersions: maybe(fc.constant('>=1.0.0 <3.0.0')),
      entitlements: fc.uniqueArray(
        fc.record({ code: fc.constantFrom('pro', 'sync'), expiresAt: maybe(time), quantity: maybe(fc.nat(9)) }),
        { selector: ({ code }) => code },
      ),
      metadata,
      machines: fc.uniqueArray(machine, { selector: ({ fingerprint }) => fingerprint, maxLength: 3 }),
      usesCount: fc.nat(1000),
      createdAt: time,
      firstValidatedAt: maybe(time),
      firstActivatedAt: maybe(time),
      lastValidatedAt: maybe(time),
      lastCheckInAt: maybe(time),
      suspendedAt: maybe(time),
      bannedAt: maybe(time),
      revokedAt: maybe(time),
      expiresAt: maybe(fc.oneof(time, fc.constant(future))),
      termAnchorAt: maybe(time),
    },
    { requiredKeys: [] },
  );

  /** As a spreadsheet would hold it; JSON where a cell is no text. */
  function toCsv(rows: Record<string, unknown>[]): string {
    const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
    const cell = (value: unknown): string => {
      if (value === undefined) return '';
      const plain = value === null ? 'null' : typeof value === 'string' ? value : JSON.stringify(value);
      return `"${plain.replaceAll('"', '""')}"`;
    };
    return `\ufeff${[columns, ...rows.map((row) => columns.map((column) => row[column]))].map((cells) => cells.map(cell).join(',')).join('\r\n')}`;
  }

  it.each([CSV, NDJSON])('gives back what was exported, as %s, whatever it is', async (type) => {
    for (const code of ['pro', 'sync']) await vendor.entitlement(code);
    const waiting = await vendor.policy({ productId: ids.productId, durationDays: 30, expirationBasis: 'FROM_FIRST_ACTIVATION' });
    const revoking = await vendor.policy({ productId: ids.productId, durationDays: 30, expirationStrategy: 'REVOKE' });
    const withoutIds = (rows: Record<string, unknown>[]): unknown[] => rows.map((row) => ({ ...row, id: undefined }));
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(license, fc.constantFrom(ids.policyId, waiting.id, revoking.id)), { minLength: 1, maxLength: 5 }),
        async (given) => {
          const reply = await importLines([
            ...given.map(([fields, policyId]) => ({ ...fields, productId: ids.productId, policyId })),
            { ...ids, key: `KEY-${randomUUID()}` },
          ]);
          expect([issuesOf(expectStatus(reply, 200)), reply.body.data.failed]).toEqual([[], 0]);
          const before = await exported();
          expect(before).toHaveLength(given.length + 1);
          for (const { id } of before) expectStatus(await vendor.api.delete(`/licenses/${id as string}`), 204);
          const again = type === CSV ? await upload(CSV, toCsv(before)) : await importLines(before);
          expect([issuesOf(expectStatus(again, 200)), again.body.data.created]).toEqual([[], before.length]);
          const after = await exported();
          expect(withoutIds(after)).toEqual(withoutIds(before));
          for (const { id } of after) expectStatus(await vendor.api.delete(`/licenses/${id as string}`), 204);
        },
      ),
      { numRuns: 3 },
    );
  });

  it('exports in batches what the query asks for, once each, and machines only to those who may see them', async () => {
    const other = await vendor.policy();
    const rows = Array.from({ length: 450 }, (_, index) => ({
      ...ids,
      name: `license ${index}`,
      status: index % 3 === 0 ? 'suspended' : 'active',
      machines: [`fingerprint-${index}`],
    }));
    expectStatus(await importLines([...rows, { productId: other.productId, policyId: other.id, name: 'other' }]), 200);
    const names = (found: { name: string }[]): string[] => found.map(({ name }) => name);
    expect(names(await exported())).toEqual([...rows.map(({ name }) => name), 'other']);
    expect(names(await exported(vendor.api, `?policyId=${other.id}`))).toEqual(['other']);
    expect(await exported(vendor.api, '?status=suspended')).toHaveLength(150);
    expect(await exported(vendor.testApi)).toEqual([]);
    const [withMachines] = await exported();
    const [without] = await exported(await vendor.keyWith('licenses:read'));
    expect(without).toEqual({ ...withMachines, machines: undefined });
    expect((await vendor.api.get('/licenses/export?limit=3')).body.details.issues).toEqual([
      { path: 'limit', message: 'is not a known field' },
    ]);
  });

  it('shows a segment its own, and makes what it imports its own', async () => {
    const { body } = expectStatus(await vendor.api.post('/api-keys', { name: 'reseller [segment]' }), 201);
    const segment = vendor.api.with({ authorization: `Bearer ${body.data.key as string}` });
    expectStatus(await importLines([{ ...ids, name: 'ours' }]), 200);
    expectStatus(await importLines([{ ...ids, name: 'theirs', machines: ['fingerprint-1'] }], { api: segment }), 200);
    expect(await exported(segment)).toMatchObject([{ name: 'theirs', machines: [{ fingerprint: 'fingerprint-1' }] }]);
    expect(await exported()).toHaveLength(2);
  });

  it('never passes a cut export off as a whole one, and ends the work when the client is gone', async () => {
    expectStatus(await importLines(Array.from({ length: 500 }, () => ({ ...ids, metadata: { text: 'x'.repeat(8000) } }))), 200);
    await database.query(
      `UPDATE license SET key_sealed = '\\x00' WHERE id = (SELECT license.id FROM license JOIN environment ON environment.id = environment_id
        WHERE account_id = $1 ORDER BY license.id DESC LIMIT 1)`,
      [vendor.account.id],
    );
    await expect(vendor.api.get('/licenses/export')).rejects.toThrow(/aborted|hang up|ECONNRESET/);
    await new Promise<void>((resolve, reject) => {
      const going = httpRequest(`${server.url}/api/v1/licenses/export`, { headers: vendor.api.headers }, (response) => {
        response.once('data', () => {
          response.destroy();
          resolve();
        });
      });
      going.on('error', reject);
      going.end();
    });
    expect((await vendor.api.get('/licenses')).status).toBe(500);
    expect((await vendor.api.get(`/products/${ids.productId}`)).status).toBe(200);
  });
});

describe('import', () => {
  it('takes CSV as people write it', async () => {
    await vendor.entitlement('pro');
    await vendor.entitlement('sync');
    const csv = `\ufeffproductId,policyId,key,name,entitlements,machines,metadata.order,metadata,maxUsesOverride,expiresAt,status\r
${ids.productId},${ids.policyId},"KEY ""4711"", gold","two
lines",pro;sync,fingerprint-1;fingerprint-2,A-1,"{""seats"": 5}",7,null,suspended\r
\r
${ids.productId},${ids.policyId},,,,,,,,,`;
    const { data } = expectStatus(await upload(`${CSV}; charset=utf-8`, csv), 200).body;
    expect(data).toEqual({
      created: 2,
      failed: 0,
      rows: [
        { row: 1, outcome: 'created', licenseId: expect.any(String) },
        { row: 2, outcome: 'created', licenseId: expect.any(String) },
      ],
    });
    const [first, second] = await exported();
    expect(first).toMatchObject({
      key: 'KEY "4711", gold',
      name: 'two\nlines',
      entitlements: [{ code: 'pro' }, { code: 'sync' }],
      machines: [{ fingerprint: 'fingerprint-1' }, { fingerprint: 'fingerprint-2' }],
      metadata: { order: 'A-1', seats: 5 },
      maxUsesOverride: 7,
      expiresAt: null,
      status: 'suspended',
    });
    expect(second).toMatchObject({ name: null, status: 'active', metadata: {}, machines: [] });
    expect(Date.parse(second.expiresAt as string) - Date.parse(second.createdAt as string)).toBe(30 * 86_400_000);
  });

  it.each<[string, string, string | Buffer, RegExp]>([
    ['unknown columns', CSV, 'productId,policyId,seats\nx,y,1', /^seats: is not a known column/],
    ['a column twice', CSV, 'productId,name,name\nx,y,z', /^name: the column is there twice/],
    ['a quote that is never closed', CSV, 'productId,name\nx,"y\nz', /is not valid CSV: Quote Not Closed.*line/],
    ['no header', CSV, '\n', /has no header/],
    ['what is not UTF-8', CSV, Buffer.from([0x6e, 0xff, 0x0a]), /UTF-8/],
    ['what is not UTF-8', NDJSON, Buffer.from([0x7b, 0x22, 0xc3, 0x28, 0x22]), /UTF-8/],
    ['half of a character at its end', NDJSON, Buffer.from([0xc3]), /UTF-8/],
    ['nothing', NDJSON, '', /a file must be sent/],
    ['more rows than 100,000', NDJSON, '1\n'.repeat(100_001), /more than 100,000 rows/],
    ['a row without end', NDJSON, `"${'x'.repeat(5_000_000)}`, /row 1 is too long/],
  ])('refuses a file as a whole for %s', async (_, type, raw, message) => {
    const before = await counts();
    const reply = await upload(type, raw);
    expect([reply.status, reply.body.code, reply.body.message]).toEqual([400, 'VALIDATION_ERROR', expect.stringMatching(message)]);
    expect(await counts()).toEqual(before);
  });

  it.each<[string, Record<string, string>]>([
    ['JSON', { 'content-type': 'application/json' }],
    ['another charset', { 'content-type': 'text/csv; charset=latin1' }],
    ['compressed', { 'content-type': CSV, 'content-encoding': 'gzip' }],
  ])('does not take a file that is %s', async (_, headers) => {
    const reply = await vendor.api.call('POST', '/licenses/import', { raw: 'x', headers });
    expect([reply.status, reply.body.code]).toEqual([415, 'UNSUPPORTED_MEDIA_TYPE']);
  });

  it('takes 64 MiB and no more, whether or not the size is said', async () => {
    const raw = Buffer.alloc(64 * 1024 * 1024 + 1, `${' '.repeat(1023)}\n`);
    for (const headers of [{}, { 'transfer-encoding': 'chunked' }] as Record<string, string>[]) {
      const reply = await upload(NDJSON, raw, { headers });
      expect([reply.status, reply.body.message]).toEqual([413, 'The file is larger than 64 MiB.']);
    }
    expect(expectStatus(await upload(NDJSON, raw.subarray(1)), 200).body.data).toEqual({ created: 0, failed: 0, rows: [] });
  });

  it('says of each row what is wrong, takes the others, and does the same in a dry run without doing it', async () => {
    const key = `KEY-${randomUUID()}`;
    const generated = (await vendor.license({ ...ids, key })).id as string;
    const foreign = (await vendor.policy()).id as string;
    const ours = (await vendor.license(ids)).key as string;
    const madeUp = `${ours.slice(0, -1)}${ours.endsWith('0') ? '1' : '0'}`;
    const rows = [
      { ...ids, name: 'fine', key: 'FRESH-KEY' },
      { ...ids, nam: 'x', maxMachinesOverride: 0, productId: 'x' },
      { ...ids, productId: randomUUID() },
      { ...ids, policyId: foreign, testClockId: randomUUID(), entitlements: ['nothing'] },
      { ...ids, key },
      { ...ids, key: 'FRESH-KEY' },
      { ...ids, key: madeUp },
      { ...ids, key: ours },
      { ...ids, status: 'active', expiresAt: past },
      { ...ids, status: 'expired' },
      { ...ids, status: 'active', bannedAt: past },
      { ...ids, machines: ['fingerprint', 'fingerprint', 'short'], entitlements: ['pro', 'pro'] },
      { ...ids, machines: ['fingerprint-1', 'fingerprint-1'] },
      { ...ids, clockPending: true, expiresAt: future },
      ['not an object'],
      null,
    ];
    const raw = `${rows.map((row) => JSON.stringify(row)).join('\n')}\n{"broken": \n\n${JSON.stringify({ ...ids, name: 'last' })}`;
    const before = await counts();
    const dry = expectStatus(await upload(NDJSON, raw, { query: '?dryRun=true' }), 200);
    expect(await counts()).toEqual(before);
    const reply = expectStatus(await upload(NDJSON, raw, { query: '?dryRun=false' }), 200);
    expect(issuesOf(reply)).toEqual(
      [
        '2 nam',
        '2 productId',
        '2 maxMachinesOverride',
        '3 productId',
        '4 policyId',
        '4 testClockId',
        '4 entitlements[0]',
        '5 key',
        '6 key',
        '7 key',
        '8 key',
        '9 status',
        '10 status',
        '11 status',
        '12 machines[2].fingerprint',
        '13 machines[1].fingerprint',
        '14 expiresAt',
        '15 ',
        '16 ',
        '17 ',
      ].sort((a, b) => Number(a.split(' ')[0]) - Number(b.split(' ')[0])),
    );
    expect(reply.body.data).toMatchObject({ created: 2, failed: 16 });
    expect(dry.body.data).toEqual({
      ...reply.body.data,
      rows: reply.body.data.rows.map((row: object) => ({ ...row, licenseId: undefined })),
    });
    expect((await exported()).map(({ name }) => name)).toEqual([null, null, 'fine', 'last']);
    expect(generated).toBeDefined();
  });

  it('keeps states, so that the status is the stated one', async () => {
    const revoking = await vendor.policy({ productId: ids.productId, expirationStrategy: 'REVOKE' });
    for (const [fields, status] of [
      [{}, 'active'],
      [{ status: 'suspended' }, 'suspended'],
      [{ status: 'banned', suspendedAt: past }, 'banned'],
      [{ status: 'revoked' }, 'revoked'],
      [{ status: 'expired', expiresAt: past }, 'expired'],
      [{ expiresAt: past }, 'expired'],
      [{ status: 'revoked', expiresAt: past, policyId: revoking.id }, 'revoked'],
      [{ suspendedAt: past }, 'suspended'],
      [{ createdAt: fromNow(-31 * 86_400_000) }, 'expired'],
    ] as const) {
      expect([fields, (await only(await importLines([{ ...ids, ...fields }]))).status]).toEqual([fields, status]);
    }
  });

  it('counts the machines that a license brings, beyond its limits too, and needs the scope for them', async () => {
    const machines = ['fingerprint-1', { fingerprint: 'fingerprint-2', cores: 8, createdAt: past }];
    const narrow = await vendor.keyWith('licenses:write', 'licenses:read');
    expect(issuesOf(await importLines([{ ...ids, machines }], { api: narrow }))).toEqual(['1 machines']);
    const license = await only(await importLines([{ ...ids, machines }]));
    expect(license).toMatchObject({ machineCount: 2, firstActivatedAt: past });
    const verdict = await vendor.validate(license as { key: string }, { fingerprint: 'fingerprint-2' });
    expect(verdict.code).toBe('MACHINE_LIMIT_EXCEEDED');
    const { data } = (await vendor.api.get(`/machines?licenseId=${license.id as string}`)).body;
    for (const { id } of data) expectStatus(await vendor.api.delete(`/machines/${id as string}`), 204);
    expect((await vendor.api.get(`/licenses/${license.id as string}`)).body.data.machineCount).toBe(0);
  });

  it('gives a key to one license only, however many ask at once, in either environment', async () => {
    const { id, productId } = await vendor.policy({}, vendor.testApi);
    const keys = Array.from({ length: 40 }, (_, index) => `RACE-${vendor.account.slug}-${index}`);
    const replies = await Promise.all([
      importLines(keys.map((key) => ({ ...ids, key }))),
      importLines(
        [...keys].reverse().map((key) => ({ productId, policyId: id, key })),
        { api: vendor.testApi },
      ),
    ]);
    expect(replies.map(({ status }) => status)).toEqual([200, 200]);
    const [live, test] = replies.map(({ body }) => body.data as { created: number; failed: number });
    expect([live!.created + test!.created, live!.failed + test!.failed]).toEqual([40, 40]);
    expect([(await exported()).length, (await exported(vendor.testApi)).length]).toEqual([live!.created, test!.created]);
    const { licensesCount } = (await vendor.api.get(`/products/${ids.productId}`)).body.data;
    expect(licensesCount).toBe(live!.created);
  });

  it('takes one file of an environment at a time, and leaves it to the sender to come again', async () => {
    const rows = Array.from({ length: 300 }, () => ids);
    const replies = await Promise.all([importLines(rows), importLines(rows)]);
    expect(replies.map(({ status }) => status).sort()).toEqual([200, 429]);
    const refused = replies.find(({ status }) => status === 429)!;
    expect([refused.body.code, Number(refused.headers['retry-after']) > 0]).toEqual(['RATE_LIMITED', true]);
    expectStatus(await importLines(rows), 200);
    expect(await exported()).toHaveLength(600);
  });

  it('with an idempotency key keeps nobody from making licenses of the product meanwhile', async () => {
    const rows = Array.from({ length: 1500 }, (_, index) => ({ ...ids, name: `${index}` }));
    const order: string[] = [];
    const importing = importLines(rows, { headers: { 'idempotency-key': randomUUID() } }).finally(() => order.push('imported'));
    while (!order.includes('imported')) {
      await vendor.license(ids);
      order.push('made');
    }
    expectStatus(await importing, 200);
    const made = order.indexOf('imported');
    // Were the product held for the import's time, the first would have been answered behind it.
    expect(made).toBeGreaterThan(1);
    const { licensesCount } = (await vendor.api.get(`/products/${ids.productId}`)).body.data;
    expect(licensesCount).toBe((await exported()).length);
  });

  it('takes a header of as many columns as there can be, and tells who separates them by semicolons', async () => {
    const wide = Array.from({ length: 3000 }, (_, index) => `metadata.${index}`).join(',');
    const [tooWide, semicolons] = [await upload('text/csv', `${wide}\n`), await upload('text/csv', 'productId;policyId\na;b\n')];
    expect([tooWide.status, tooWide.body.details.issues[0].message]).toEqual([400, expect.stringContaining('3000 columns; at most 100')]);
    expect([semicolons.status, semicolons.body.details.issues[0].message]).toEqual([400, expect.stringContaining('by commas')]);
  });

  it('that breaks off says which rows were saved, and which to import again', async () => {
    const rows = Array.from({ length: 700 }, (_, index) => ({
      ...ids,
      name: index === 600 ? `breaks-${vendor.account.slug}` : `${index}`,
    }));
    await database.query(`
      CREATE FUNCTION breaks_import() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'broken on purpose'; END $$;
      CREATE TRIGGER breaks_import BEFORE INSERT ON license FOR EACH ROW WHEN (NEW.name = 'breaks-${vendor.account.slug}') EXECUTE FUNCTION breaks_import()`);
    try {
      const { status, body } = await importLines(rows);
      expect([status, body.data.created, body.data.failed]).toEqual([200, 500, 200]);
      expect(body.data.rows[600].issues).toEqual([{ path: '', message: expect.stringContaining('import this row again') }]);
      expect(await exported()).toHaveLength(500);
    } finally {
      await database.query('DROP TRIGGER breaks_import ON license; DROP FUNCTION breaks_import');
    }
  });

  it('takes no past that is still to come, nor metadata that is no object', async () => {
    const reply = await importLines([
      { ...ids, createdAt: '9999-12-01T00:00:00Z' },
      { ...ids, lastCheckInAt: '2999-01-01T00:00:00Z' },
    ]);
    expect(issuesOf(reply)).toEqual(['1 createdAt', '2 lastCheckInAt']);
    const csv = `productId,policyId,metadata,metadata.a\n${ids.productId},${ids.policyId},"[1,2]",x\n`;
    expect(issuesOf(await upload('text/csv', csv))).toEqual(['1 metadata']);
  });

  it('records each license and machine, and announces no expiry that is over', async () => {
    const license = await only(await importLines([{ ...ids, expiresAt: past, machines: ['fingerprint-1'] }]));
    const { rows } = await database.query<{ type: string }>('SELECT type FROM event WHERE license_id = $1 ORDER BY id', [license.id]);
    expect(rows.map(({ type }) => type)).toEqual(['license.created', 'machine.activated']);
    const announced = await database.query('SELECT expired_announced_for AS at FROM license WHERE id = $1', [license.id]);
    expect(announced.rows).toEqual([{ at: new Date(past) }]);
  });

  it('with an idempotency key is done once, all of it or nothing', async () => {
    const rows = Array.from({ length: 700 }, (_, index) => ({ ...ids, name: `${index}` }));
    const headers = { 'idempotency-key': randomUUID() };
    const first = expectStatus(await importLines(rows, { headers }), 200);
    const second = await importLines(rows, { headers });
    expect([second.text, second.headers['idempotent-replayed']]).toEqual([first.text, 'true']);
    const other = await importLines(rows.slice(1), { headers });
    expect([other.status, other.body.code]).toEqual([422, 'IDEMPOTENCY_KEY_REUSED']);
    expect(await exported()).toHaveLength(700);
    // A text that only the very last row breaks on: the batches before it are taken back.
    const before = await counts();
    await database.query(`ALTER TABLE license ADD CONSTRAINT refused_by_a_test CHECK (name <> 'refused ${vendor.account.slug}') NOT VALID`);
    const refused = await importLines([...rows, { ...ids, name: `refused ${vendor.account.slug}` }], {
      headers: { 'idempotency-key': randomUUID() },
    });
    await database.query('ALTER TABLE license DROP CONSTRAINT refused_by_a_test');
    expect(refused.status).toBe(500);
    expect(await counts()).toEqual(before);
  });

  it('leaves nothing behind of an upload that breaks off', async () => {
    const before = await counts();
    await new Promise<void>((resolve, reject) => {
      const { hostname, port } = new URL(server.url);
      const socket = connect(Number(port), hostname, () => {
        const head = `POST /api/v1/licenses/import HTTP/1.1\r\nHost: x\r\nAuthorization: ${vendor.api.headers.authorization!}\r\n`;
        socket.write(`${head}Content-Type: ${NDJSON}\r\nContent-Length: 100000\r\n\r\n${JSON.stringify(ids)}\n`, () => {
          setImmediate(() => socket.destroy());
        });
      });
      socket.on('close', () => {
        resolve();
      });
      socket.on('error', reject);
    });
    // A moment later the server knows, and takes the next file.
    await eventually(
      () => importLines([]),
      ({ status }) => status === 400,
    );
    expect(await counts()).toEqual(before);
  });
});
