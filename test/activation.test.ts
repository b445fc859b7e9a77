import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import type { Running } from '../src/boot.js';
import { type Client, type Reply, withKey } from './support/client.js';
import { type QuietDatabase, quietDatabase } from './support/quiet-database.js';
import { startServer } from './support/server.js';
import { expectStatus, Vendor } from './support/vendor.js';

/** Who gets a seat, who does not, and what becomes of those who had one (contract: resources.md, "Machines"). */

let quiet: QuietDatabase;
let server: Running;
let vendor: Vendor;
let database: pg.Client;
beforeAll(async () => {
  quiet = await quietDatabase();
  server = await startServer({ DATABASE_URL: quiet.url });
  database = new pg.Client({ connectionString: quiet.url });
  await database.connect();
});
afterAll(async () => {
  await database.end();
  await server.stop();
  await quiet.end();
});
beforeEach(async () => {
  vendor = await Vendor.signUp(server.url);
});

interface Made {
  id: string;
  key: string;
  policyId: string;
}

/** As if the machine had been silent for so many minutes. */
const age = (machine: { id: string }, minutes: number) =>
  database.query(
    `UPDATE machine_pulse SET activated_at = activated_at - make_interval(mins => $2), last_heartbeat_at = last_heartbeat_at - make_interval(mins => $2)
      WHERE machine_id = $1`,
    [machine.id, minutes],
  );
const seat = (license: Made, fingerprint: string, fields: object = {}, query = ''): Promise<Reply> =>
  vendor.app(license).post(`/machines${query}`, { fingerprint, ...fields });
const seatByKey = (license: Made, fingerprint: string, fields: object = {}, api = vendor.api): Promise<Reply> =>
  api.post('/machines', { licenseId: license.id, fingerprint, ...fields });
const told = (reply: Reply): unknown[] => [reply.status, reply.body.code];
const fingerprintsOn = async (license: Made): Promise<string[]> =>
  (await vendor.api.get(`/machines?licenseId=${license.id}&limit=100`)).body.data.map(
    ({ fingerprint }: { fingerprint: string }) => fingerprint,
  );
const countOn = async (license: Made): Promise<number> => (await vendor.api.get(`/licenses/${license.id}`)).body.data.machineCount;
/** Types of what was told of it, the oldest first, each with the fingerprint of its machine. */
const historyOf = async (license: Made, api = vendor.api): Promise<string[]> =>
  (await api.get(`/licenses/${license.id}/history?limit=100`)).body.data
    .map(({ type, data }: { type: string; data: { object: { fingerprint?: string } } }) =>
      `${type} ${data.object.fingerprint ?? ''}`.trim(),
    )
    .reverse();

describe('activating', () => {
  it('tells that a limit was reached: once a minute, however many are refused and wherever, and nothing else of them', async () => {
    const license = await vendor.licenseUnder({ maxMachines: 1 });
    await vendor.activate(license, 'fingerprint-a');
    const refuse = (count: number) => Promise.all(Array.from({ length: count }, (_, index) => seat(license, `fingerprint-b${index}`)));
    expect((await refuse(8)).map(({ status }) => status)).toEqual(Array(8).fill(422));
    await refuse(2);
    const tellings = async () =>
      (await vendor.api.get(`/licenses/${license.id}/history`)).body.data.filter(
        ({ type }: { type: string }) => type === 'license.limit_reached',
      );
    expect(await tellings()).toMatchObject([
      { data: { object: { id: license.id, machineCount: 1 } }, actor: { type: 'license', id: license.id } },
    ]);
    // Another server: this one remembers that it told it.
    const another = await startServer({ DATABASE_URL: quiet.url });
    try {
      await database.query("UPDATE event SET created_at = created_at - interval '1 minute' WHERE license_id = $1", [license.id]);
      expectStatus(await vendor.through(another.url).app(license).post('/machines', { fingerprint: 'fingerprint-c' }), 422);
      expect(await tellings()).toHaveLength(2);
    } finally {
      await another.stop();
    }
  });

  it("tells it again when a minute of the license's own time has passed", async () => {
    const api = vendor.testApi;
    const clock = expectStatus(await api.post('/test-clocks', { frozenAt: '2030-01-01T00:00:00Z' }), 201).body.data;
    const license = await vendor.licenseUnder({ maxMachines: 1 }, { testClockId: clock.id }, api);
    await vendor.activate(license, 'fingerprint-a');
    const tellings = async () => (await historyOf(license, api)).filter((line) => line.startsWith('license.limit_reached')).length;
    for (const [to, count] of [['00:00:59', 1], ['00:01:00', 2], ['00:01:30', 2]] as const) {
      for (let time = 0; time < 2; time += 1) expectStatus(await seat(license, 'fingerprint-b'), 422);
      expectStatus(await api.post(`/test-clocks/${clock.id}/advance`, { to: `2030-01-01T${to}Z` }), 200);
      expectStatus(await seat(license, 'fingerprint-b'), 422);
      expect([to, await tellings()]).toEqual([to, count]);
    }
  }); // prettier-ignore

  it('offers what could be freed when no seat is left, the longest silent first, and takes the seat that was', async () => {
    const license = await vendor.licenseUnder({ maxMachines: 1, overageStrategy: 'ALLOW_2X' });
    const first = await vendor.activate(license, 'fingerprint-a', { name: 'old', platform: 'windows' });
    const second = await vendor.activate(license, 'fingerprint-b');
    const { lastHeartbeatAt } = expectStatus(await vendor.app(license).post(`/machines/${first.id}/heartbeat`), 200).body.data;
    const full = await seat(license, 'fingerprint-c');
    expect(full.body).toMatchObject({ code: 'MACHINE_LIMIT_EXCEEDED', details: { limit: 2, max: 1, used: 2 } });
    expect(full.body.details.machines).toEqual([
      { id: second.id, name: null, platform: null, lastHeartbeatAt: null },
      { id: first.id, name: 'old', platform: 'windows', lastHeartbeatAt },
    ]);
    expectStatus(await vendor.app(license).delete(`/machines/${first.id}`), 204);
    await vendor.activate(license, 'fingerprint-c');
  });

  it('makes nobody wait for the license who gets no seat of it, or has one', async () => {
    const license = await vendor.licenseUnder({ maxMachines: 1 });
    await vendor.activate(license, 'fingerprint-a');
    await database.query('BEGIN');
    try {
      await database.query('SELECT 1 FROM license WHERE id = $1 FOR UPDATE', [license.id]);
      const replies = await Promise.all([
        seat(license, 'fingerprint-a'),
        ...Array.from({ length: 5 }, (_, index) => seat(license, `fingerprint-b${index}`)),
      ]);
      expect(replies.map(({ status }) => status)).toEqual([200, 422, 422, 422, 422, 422]);
    } finally {
      await database.query('ROLLBACK');
    }
  });

  it.each([
    ['maxCores', 'cores', 'CORE_LIMIT_EXCEEDED'],
    ['maxMemoryMb', 'memoryMb', 'MEMORY_LIMIT_EXCEEDED'],
    ['maxDiskMb', 'diskMb', 'DISK_LIMIT_EXCEEDED'],
  ])('holds %s over the sum of all machines, also when one grows', async (limit, field, code) => {
    const license = await vendor.licenseUnder({ maxMachines: 9, [limit]: 10 });
    const machine = await vendor.activate(license, 'fingerprint-a', { [field]: 6 });
    expect((await vendor.app(license).post('/machines', { fingerprint: 'fingerprint-b', [field]: 5 })).body).toMatchObject({
      code,
      details: { limit: 10, used: 6 },
    });
    await vendor.activate(license, 'fingerprint-b', { [field]: 4 });
    expect((await vendor.api.patch(`/machines/${machine.id}`, { [field]: 7 })).body.code).toBe(code);
    expectStatus(await vendor.api.patch(`/machines/${machine.id}`, { [field]: 2, name: 'smaller' }), 200);
    await vendor.activate(license, 'fingerprint-c', { [field]: 4 });
  });

  it('gives room to what shrinks, also on a license that is over its limits', async () => {
    const license = await vendor.licenseUnder({ maxMachines: 9, maxCores: 10 });
    const machine = await vendor.activate(license, 'fingerprint-a', { cores: 10 });
    expectStatus(await vendor.api.patch(`/policies/${license.policyId}`, { maxCores: 2 }), 200);
    expectStatus(await vendor.api.patch(`/machines/${machine.id}`, { cores: 8 }), 200);
    expectStatus(await vendor.api.patch(`/machines/${machine.id}`, { name: 'unchanged in size' }), 200);
  });

  it.each([
    ['LICENSE', 201, 403],
    ['API_KEY', 403, 201],
    ['BOTH', 201, 201],
    ['NONE', 403, 403],
  ])('is for those whom the policy lets: %s', async (authentication, withLicense, withKey) => {
    const license = await vendor.licenseUnder({ maxMachines: 2, authentication });
    expect((await vendor.app(license).post('/machines', { fingerprint: 'fingerprint-a' })).status).toBe(withLicense);
    const byKey = await vendor.api.post('/machines', { licenseId: license.id, fingerprint: 'fingerprint-b' });
    expect(byKey.status).toBe(withKey);
    if (withKey === 403) expect(byKey.body.code).toBe('AUTHENTICATION_NOT_ALLOWED');
  });

  it('counts the same fingerprint sent twice to a validation once', async () => {
    const license = await vendor.licenseUnder({ fingerprintMatching: 'TWO', maxMachines: 2 });
    await vendor.activate(license, 'fingerprint-a');
    expect(
      await vendor.validate(license, { fingerprint: 'fingerprint-a', fingerprints: ['fingerprint-a', 'fingerprint-a'] }),
    ).toMatchObject({
      valid: true,
      machine: { fingerprint: 'fingerprint-a' },
    });
  });
});

describe('a fingerprint', () => {
  const rules = { maxMachines: 5 };

  it.each([
    ['PER_LICENSE', [201, 201, 201, 201]],
    ['PER_POLICY', [422, 201, 201, 201]],
    ['PER_PRODUCT', [422, 422, 201, 201]],
    ['PER_ACCOUNT', [422, 422, 422, 201]],
  ])('is active once where the policy says: %s', async (fingerprintUniqueness, expected) => {
    const license = await vendor.licenseUnder({ ...rules, fingerprintUniqueness });
    const { productId, policyId } = (await vendor.api.get(`/licenses/${license.id}`)).body.data;
    const others = [
      await vendor.license({ productId, policyId }),
      await vendor.licenseUnder({ ...rules, productId }),
      await vendor.licenseUnder(rules),
      await (await Vendor.signUp(server.url)).licenseUnder(rules),
    ];
    const found = [];
    for (const [index, other] of others.entries()) {
      const fingerprint = `fingerprint-${index}`;
      // Whoever comes first, whatever its own policy says, is in the way of the strict one only.
      expectStatus(await vendor.app(other).post('/machines', { fingerprint }), 201);
      const reply = await seat(license, fingerprint);
      found.push(reply.status);
      if (reply.status !== 422) continue;
      expect(reply.body).toMatchObject({ code: 'FINGERPRINT_TAKEN', details: { field: 'fingerprint' } });
      expect(reply.text).not.toContain(other.id);
      expect((await seatByKey(license, fingerprint)).body.code).toBe('FINGERPRINT_TAKEN');
      const { machines } = { machines: (await vendor.api.get(`/machines?licenseId=${other.id}`)).body.data };
      expectStatus(await vendor.api.delete(`/machines/${machines[0].id}`), 204);
      expectStatus(await seat(license, fingerprint), 201);
    }
    expect(found).toEqual(expected);
  });

  it('that a strict license has is no obstacle to one whose policy does not mind', async () => {
    const strict = await vendor.licenseUnder({ ...rules, fingerprintUniqueness: 'PER_ACCOUNT' });
    const lax = await vendor.licenseUnder(rules);
    await vendor.activate(strict, 'fingerprint-a');
    await vendor.activate(lax, 'fingerprint-a');
    expect(told(await seat(strict, 'fingerprint-a'))).toEqual([200, undefined]);
  });

  it('becomes active on one license only, however many ask at once', async () => {
    const policy = await vendor.policy({ ...rules, fingerprintUniqueness: 'PER_POLICY' });
    const { id: policyId, productId } = policy;
    const licenses = await Promise.all(Array.from({ length: 6 }, () => vendor.license({ productId, policyId })));
    for (const fingerprint of ['fingerprint-a', 'fingerprint-b', 'fingerprint-c']) {
      const replies = await Promise.all(licenses.flatMap((license) => [seat(license, fingerprint), seatByKey(license, fingerprint)]));
      const taken = replies.filter(({ body }) => body.code === 'FINGERPRINT_TAKEN');
      expect([replies.filter(({ status }) => status === 201).length, taken.length]).toEqual([1, 10]);
      expect((await vendor.api.get(`/machines?fingerprint=${fingerprint}`)).body.data).toHaveLength(1);
    }
    expect((await Promise.all(licenses.map(countOn))).reduce((sum, count) => sum + count, 0)).toBe(3);
  });

  it('is kept unique by the database, whoever inserts, and where nothing looked before', async () => {
    const policy = await vendor.policy({ ...rules, fingerprintUniqueness: 'PER_POLICY' });
    const { id: policyId, productId } = policy;
    const [one, other] = [await vendor.license({ productId, policyId }), await vendor.license({ productId, policyId })];
    const machine = await vendor.activate(one, 'fingerprint-a');
    const copy = database.query(
      `INSERT INTO machine (id, environment_id, license_id, fingerprint, updated_at)
       SELECT gen_random_uuid(), environment_id, $2, fingerprint, now() FROM machine WHERE id = $1`,
      [machine.id, other.id],
    );
    await expect(copy).rejects.toMatchObject({ code: 'LK001' });
  });

  it('that is taken in the moment between the look and the seat is refused, and an idempotency key keeps that answer', async () => {
    const policy = await vendor.policy({ ...rules, fingerprintUniqueness: 'PER_POLICY' });
    const { id: policyId, productId } = policy;
    const [one, other] = [await vendor.license({ productId, policyId }), await vendor.license({ productId, policyId })];
    const key = { headers: { 'idempotency-key': 'the-same-machine' }, body: { fingerprint: 'fingerprint-a' } };
    await database.query('BEGIN');
    let waiting: Promise<Reply>;
    try {
      await database.query(
        `INSERT INTO machine (id, environment_id, license_id, fingerprint, updated_at)
         SELECT gen_random_uuid(), environment_id, id, 'fingerprint-a', now() FROM license WHERE id = $1`,
        [one.id],
      );
      waiting = vendor.app(other).call('POST', '/machines', key);
      await untilWaiting();
    } finally {
      await database.query('COMMIT');
    }
    expect(told(await waiting)).toEqual([422, 'FINGERPRINT_TAKEN']);
    const replay = await vendor.app(other).call('POST', '/machines', key);
    expect([...told(replay), replay.headers['idempotent-replayed']]).toEqual([422, 'FINGERPRINT_TAKEN', 'true']);
    expect(await fingerprintsOn(other)).toEqual([]);
  });

  it('that is active already stays so when the policy becomes strict', async () => {
    const policy = await vendor.policy(rules);
    const { id: policyId, productId } = policy;
    const licenses = [await vendor.license({ productId, policyId }), await vendor.license({ productId, policyId })];
    for (const license of licenses) await vendor.activate(license, 'fingerprint-a');
    expectStatus(await vendor.api.patch(`/policies/${policyId}`, { fingerprintUniqueness: 'PER_POLICY' }), 200);
    for (const license of licenses) expectStatus(await seat(license, 'fingerprint-a'), 200);
    expect(await countOn(licenses[0])).toBe(1);
  });

  it('counts in other segments too, of which the answer tells nothing', async () => {
    const keyOf = async (name: string): Promise<Client> =>
      withKey(server.url, expectStatus(await vendor.api.post('/api-keys', { name }), 201).body.data.key);
    const [own, other] = [await keyOf('reseller A [segment]'), await keyOf('reseller B [segment]')];
    const strict = { ...rules, fingerprintUniqueness: 'PER_ACCOUNT' };
    const [mine, theirs] = [await vendor.licenseUnder(strict, {}, own), await vendor.licenseUnder(strict, {}, other)];
    const machine = expectStatus(await seatByKey(theirs, 'fingerprint-a', {}, other), 201).body.data;
    for (const query of ['', '?dryRun=true']) {
      const refused = await own.post(`/machines${query}`, { licenseId: mine.id, fingerprint: 'fingerprint-a' });
      expect(told(refused)).toEqual([422, 'FINGERPRINT_TAKEN']);
      for (const id of [machine.id, theirs.id]) expect(refused.text).not.toContain(id);
    }
    // What was lifted for the look is there again.
    expectStatus(await seatByKey(mine, 'fingerprint-b', {}, own), 201);
    expect((await own.get('/machines')).body.data).toHaveLength(1);
    expect(told(await seatByKey(theirs, 'fingerprint-c', {}, own))).toEqual([404, 'NOT_FOUND']);
  });

  it('that a row of an import brings is refused with its row, when it is active or another row before brings it', async () => {
    const policy = await vendor.policy({ ...rules, fingerprintUniqueness: 'PER_PRODUCT' });
    const lax = await vendor.policy({ ...rules, productId: policy.productId });
    const [strictIds, laxIds] = [policy, lax].map(({ id, productId }) => ({ policyId: id, productId }));
    await vendor.activate(await vendor.license(laxIds as object), 'fingerprint-a');
    const rows = [
      { ...strictIds, machines: ['fingerprint-b', 'fingerprint-a'] },
      { ...laxIds, machines: ['fingerprint-a', 'fingerprint-c'] },
      { ...strictIds, machines: ['fingerprint-c'] },
      { ...strictIds, machines: ['fingerprint-b', 'fingerprint-d'] },
      { ...strictIds, machines: ['fingerprint-e', 'fingerprint-d'] },
    ];
    const upload = async (query: string, headers: Record<string, string> = {}) =>
      expectStatus(
        await vendor.api.call('POST', `/licenses/import${query}`, {
          raw: rows.map((row) => JSON.stringify(row)).join('\n'),
          headers: { 'content-type': 'application/x-ndjson', ...headers },
        }),
        200,
      ).body.data.rows.flatMap(({ row, issues = [] }: { row: number; issues?: { path: string; message: string }[] }) =>
        issues.map(({ path, message }) => `${row} ${path} ${message}`),
      );
    const expected = [
      '1 machines[1].fingerprint is active elsewhere',
      '3 machines[0].fingerprint is active elsewhere',
      '5 machines[1].fingerprint is active elsewhere',
    ];
    expect(await upload('?dryRun=true')).toEqual(expected);
    expect((await vendor.api.get('/machines')).body.data).toHaveLength(1);
    expect(await upload('', { 'idempotency-key': 'one-import' })).toEqual(expected);
    expect((await vendor.api.get('/machines')).body.data).toHaveLength(5);
  });
});

describe('replacing a machine', () => {
  const rules = { maxMachines: 1, maxCores: 8, allowMachineTransfer: true };

  it('passes its seat on in one step, on a full license too, and does so once', async () => {
    const license = await vendor.licenseUnder(rules);
    const old = await vendor.activate(license, 'fingerprint-old', { cores: 8 });
    const swapped = expectStatus(await seat(license, 'fingerprint-new', { replaces: old.id, cores: 8 }), 201).body.data;
    expect(await fingerprintsOn(license)).toEqual(['fingerprint-new']);
    const again = await seat(license, 'fingerprint-new', { replaces: old.id, cores: 8 });
    expect([again.status, again.body.data.id]).toEqual([200, swapped.id]);
    expect(await historyOf(license)).toEqual([
      'license.created',
      'machine.activated fingerprint-old',
      'machine.deactivated fingerprint-old',
      'machine.activated fingerprint-new',
    ]);
    expect(await countOn(license)).toBe(1);
    expect(told(await seat(license, 'fingerprint-3', { replaces: swapped.id, cores: 9 }))).toEqual([422, 'CORE_LIMIT_EXCEEDED']);
    expect(await fingerprintsOn(license)).toEqual(['fingerprint-new']);
  });

  it('never gives two seats for one, nor none, however many would replace the same machine', async () => {
    const license = await vendor.licenseUnder({ maxMachines: 2, allowMachineTransfer: true });
    const old = await vendor.activate(license, 'fingerprint-old');
    await vendor.activate(license, 'fingerprint-b');
    const replies = await Promise.all(Array.from({ length: 8 }, (_, index) => seat(license, `fingerprint-${index}`, { replaces: old.id })));
    expect(replies.map(({ status }) => status).sort()).toEqual([201, ...Array<number>(7).fill(404)]);
    expect([await countOn(license), (await fingerprintsOn(license)).length]).toEqual([2, 2]);
  });

  it('changes nothing for the machine itself, and gives a seat back for one that has its own', async () => {
    const license = await vendor.licenseUnder({ ...rules, maxMachines: 2 });
    const [one, other] = [await vendor.activate(license, 'fingerprint-a', { cores: 2 }), await vendor.activate(license, 'fingerprint-b')];
    expect((await seat(license, 'fingerprint-a', { replaces: one.id })).body.data.id).toBe(one.id);
    expect(await countOn(license)).toBe(2);
    const merged = await seat(license, 'fingerprint-b', { replaces: one.id.toUpperCase() });
    expect([merged.status, merged.body.data.id]).toEqual([200, other.id]);
    expect([await fingerprintsOn(license), await countOn(license)]).toEqual([['fingerprint-b'], 1]);
    await vendor.activate(license, 'fingerprint-c', { cores: 8 });
  });

  it("is the vendor's to allow to a license key, and the vendor's own to do", async () => {
    const license = await vendor.licenseUnder({ maxMachines: 1 });
    const old = await vendor.activate(license, 'fingerprint-a');
    expect(told(await seat(license, 'fingerprint-b', { replaces: old.id }))).toEqual([403, 'TRANSFER_NOT_ALLOWED']);
    expectStatus(await seatByKey(license, 'fingerprint-b', { replaces: old.id }), 201);
  });

  it('names the field for what is no machine of the license', async () => {
    const license = await vendor.licenseUnder({ ...rules, maxMachines: 5 });
    const stranger = await vendor.activate(await vendor.licenseUnder(rules), 'fingerprint-a');
    const gone = await vendor.activate(license, 'fingerprint-b');
    expectStatus(await vendor.app(license).delete(`/machines/${gone.id}`), 204);
    for (const replaces of [stranger.id, gone.id, license.id]) {
      for (const reply of [await seat(license, 'fingerprint-c', { replaces }), await seatByKey(license, 'fingerprint-c', { replaces })]) {
        expect(reply).toMatchObject({ status: 404, body: { code: 'NOT_FOUND', details: { field: 'replaces' } } });
      }
    }
    expect(await fingerprintsOn(license)).toEqual([]);
  });

  it.each([
    ['a name for an id', { replaces: "Ada's laptop" }, '', 'replaces'],
    ['a list', { replaces: [] }, '', 'replaces'],
    ['what a dry run is', {}, '?dryRun=perhaps', 'dryRun'],
    ['a dry run in the body', { dryRun: true }, '', 'dryRun'],
  ])('says which field is wrong when it is sent %s', async (_, fields, query, path) => {
    const reply = await seat(await vendor.licenseUnder(rules), 'fingerprint-a', fields, query);
    expect(reply.body).toMatchObject({ code: 'VALIDATION_ERROR', details: { issues: [{ path }] } });
  });
});

describe('a floating license', () => {
  const rules = {
    maxMachines: 2,
    floating: true,
    requireHeartbeat: true,
    heartbeatIntervalMinutes: 10,
    heartbeatCullStrategy: 'KEEP_DEAD',
  };

  it('gives the seat of the longest dead machine to the next, and tells of both', async () => {
    const license = await vendor.licenseUnder(rules);
    const [one, other] = [await vendor.activate(license, 'fingerprint-a'), await vendor.activate(license, 'fingerprint-b')];
    expect(told(await seat(license, 'fingerprint-c'))).toEqual([422, 'MACHINE_LIMIT_EXCEEDED']);
    await age(one, 11);
    await age(other, 12);
    expectStatus(await seat(license, 'fingerprint-c'), 201);
    expect(await fingerprintsOn(license)).toEqual(['fingerprint-c', 'fingerprint-a']);
    expect((await historyOf(license)).slice(-3)).toEqual([
      'machine.dead fingerprint-b',
      'machine.deactivated fingerprint-b',
      'machine.activated fingerprint-c',
    ]);
    expect(await countOn(license)).toBe(2);
  });

  it('takes only as many as it needs, and none when all are not enough', async () => {
    const license = await vendor.licenseUnder({ ...rules, maxMachines: 9, maxCores: 8 });
    for (const [fingerprint, cores] of [['fingerprint-a', 4], ['fingerprint-b', 1], ['fingerprint-c', 3]] as const) {
      const machine = await vendor.activate(license, fingerprint, { cores });
      if (fingerprint !== 'fingerprint-c') await age(machine, 15);
    }
    expect(told(await seat(license, 'fingerprint-d', { cores: 6 }))).toEqual([422, 'CORE_LIMIT_EXCEEDED']);
    expect(await fingerprintsOn(license)).toHaveLength(3);
    expectStatus(await seat(license, 'fingerprint-d', { cores: 4 }), 201);
    expect(await fingerprintsOn(license)).toEqual(['fingerprint-d', 'fingerprint-c', 'fingerprint-b']);
  }); // prettier-ignore

  it('gives each dead seat away once, however many ask at once', async () => {
    const license = await vendor.licenseUnder({ ...rules, maxMachines: 3 });
    for (const fingerprint of ['fingerprint-a', 'fingerprint-b', 'fingerprint-c']) {
      const machine = await vendor.activate(license, fingerprint);
      if (fingerprint !== 'fingerprint-c') await age(machine, 15);
    }
    const replies = await Promise.all(Array.from({ length: 10 }, (_, index) => seat(license, `fingerprint-${index}`)));
    expect(replies.filter(({ status }) => status === 201)).toHaveLength(2);
    expect([await countOn(license), (await fingerprintsOn(license)).length]).toEqual([3, 3]);
    expect(await fingerprintsOn(license)).toContain('fingerprint-c');
  });

  it('never takes the seat of a machine whose beat was acknowledged meanwhile', async () => {
    const license = await vendor.licenseUnder({ ...rules, maxMachines: 1, heartbeatResurrectionMinutes: null });
    const machine = await vendor.activate(license, 'fingerprint-a');
    await age(machine, 15);
    await database.query('BEGIN');
    let waiting: Promise<Reply>;
    try {
      await database.query('UPDATE machine_pulse SET last_heartbeat_at = clock_timestamp() WHERE machine_id = $1', [machine.id]);
      waiting = seat(license, 'fingerprint-b');
      await untilWaiting();
    } finally {
      await database.query('COMMIT');
    }
    expect(told(await waiting)).toEqual([422, 'MACHINE_LIMIT_EXCEEDED']);
    expect(await fingerprintsOn(license)).toEqual(['fingerprint-a']);
  });

  it("lives in its clock's time, and says a death that was announced once", async () => {
    const api = vendor.testApi;
    const clock = expectStatus(await api.post('/test-clocks', { frozenAt: '2030-01-01T00:00:00Z' }), 201).body.data;
    const license = await vendor.licenseUnder({ ...rules, maxMachines: 1 }, { testClockId: clock.id }, api);
    await vendor.activate(license, 'fingerprint-a');
    expectStatus(await seat(license, 'fingerprint-b'), 422);
    expectStatus(await api.post(`/test-clocks/${clock.id}/advance`, { to: '2030-01-01T00:10:00Z' }), 200);
    expectStatus(await seat(license, 'fingerprint-b'), 201);
    expect((await historyOf(license, api)).slice(-4)).toEqual([
      'license.limit_reached',
      'machine.dead fingerprint-a',
      'machine.deactivated fingerprint-a',
      'machine.activated fingerprint-b',
    ]);
  });
});

describe('a dry run', () => {
  /** All that a request may leave behind. */
  const traces = async (license: Made): Promise<unknown[]> => {
    const { rows } = await database.query(
      `SELECT license.*, (SELECT count(*) FROM event WHERE license_id = license.id) AS events,
              (SELECT json_agg(machine ORDER BY id) FROM machine WHERE license_id = license.id) AS machines,
              (SELECT count(*) FROM audit_entry WHERE environment_id = license.environment_id) AS entries
         FROM license WHERE id = $1`,
      [license.id],
    );
    return rows as unknown[];
  };

  it('answers what activating then does, and leaves nothing behind', async () => {
    const license = await vendor.licenseUnder({
      maxMachines: 2,
      floating: true,
      requireHeartbeat: true,
      heartbeatIntervalMinutes: 10,
      durationDays: 30,
      expirationBasis: 'FROM_FIRST_ACTIVATION',
      allowMachineTransfer: true,
      fingerprintUniqueness: 'PER_ACCOUNT',
    });
    await vendor.activate(await vendor.licenseUnder({}), 'fingerprint-elsewhere');
    const steps: [string, object, () => Promise<unknown>, number][] = [
      ['fingerprint-elsewhere', {}, () => Promise.resolve(), 422],
      ['fingerprint-a', { name: 'first', cores: 4, metadata: { a: 1 }, components: [{ kind: 'board', fingerprint: 'board-4711' }] }, () => Promise.resolve(), 201],
      ['fingerprint-a', {}, () => Promise.resolve(), 200],
      ['fingerprint-b', {}, () => Promise.resolve(), 201],
      ['fingerprint-c', {}, () => Promise.resolve(), 422],
      ['fingerprint-c', { replaces: license.id }, () => Promise.resolve(), 404],
      ['fingerprint-c', {}, () => database.query("UPDATE machine_pulse SET activated_at = activated_at - interval '15 minutes' WHERE machine_id = (SELECT id FROM machine WHERE license_id = $1 AND fingerprint = 'fingerprint-a')", [license.id]), 201],
      ['fingerprint-d', {}, () => vendor.api.post(`/licenses/${license.id}/suspend`), 403],
    ];
    const shape = ({ status, body }: Reply): unknown[] => {
      const { code, details } = body;
      return [status, { ...body.data, ...(status === 201 ? { id: 0, createdAt: 0, updatedAt: 0, nextHeartbeatAt: 0 } : {}) }, code, details];
    };
    for (const [fingerprint, fields, prepare, status] of steps) {
      await prepare();
      const before = await traces(license);
      const dry = await seat(license, fingerprint, fields, '?dryRun=true');
      // A refused credential is evidence, whatever it was for.
      if (status !== 403) expect(await traces(license)).toEqual(before);
      const real = await seat(license, fingerprint, fields);
      expect([fingerprint, real.status]).toEqual([fingerprint, status]);
      expect(shape(dry)).toEqual(shape(real));
    }
  }); // prettier-ignore

  it('uses up none of the activations of a minute', async () => {
    const strict = await startServer({ LIMIT_ACTIVATE_PER_MINUTE: '2', DATABASE_URL: quiet.url });
    try {
      const license = await vendor.licenseUnder({ maxMachines: 5 });
      const app = vendor.through(strict.url).app(license);
      const statuses = [];
      for (const query of ['?dryRun=true', '?dryRun=true', '?dryRun=true', '', '', '']) {
        statuses.push((await app.post(`/machines${query}`, { fingerprint: 'fingerprint-a' })).status);
      }
      expect(statuses).toEqual([201, 201, 429, 201, 200, 429]);
    } finally {
      await strict.stop();
    }
  });
});

describe('a seat of a license that others are at', () => {
  /** What a license and its policy become in a transaction that holds the license while a machine asks for a seat. */
  const whileHeld = async (license: { id: string }, change: string, ask: () => Promise<Reply>): Promise<Reply> => {
    await database.query('BEGIN');
    let waiting: Promise<Reply>;
    try {
      await database.query('SELECT FROM license WHERE id = $1 FOR NO KEY UPDATE', [license.id]);
      waiting = ask();
      await untilWaiting();
      await database.query(change, [license.id]);
    } finally {
      await database.query('COMMIT');
    }
    return waiting;
  };

  it.each<[string, string, [number, string | undefined]]>([
    ['suspended', 'UPDATE license SET suspended_at = clock_timestamp() WHERE id = $1', [403, 'LICENSE_SUSPENDED']],
    ['lowered', 'UPDATE license SET max_machines_override = 1 WHERE id = $1', [422, 'MACHINE_LIMIT_EXCEEDED']],
    [
      "lowered by its policy's limit",
      'UPDATE policy SET max_machines = 1 FROM license WHERE license.id = $1 AND policy.id = license.policy_id',
      [422, 'MACHINE_LIMIT_EXCEEDED'],
    ],
    ['only held', 'SELECT FROM license WHERE id = $1', [201, undefined]],
  ])('is given or not by what there is after them, not before: %s', async (_, change, answer) => {
    const license = await vendor.licenseUnder({ maxMachines: 5 });
    await vendor.activate(license, 'fingerprint-a');
    const reply = await whileHeld(license, change, () => seat(license, 'fingerprint-b'));
    expect(told(reply)).toEqual(answer);
    const seats = reply.status === 201 ? 2 : 1;
    expect([await countOn(license), (await fingerprintsOn(license)).length]).toEqual([seats, seats]);
  });

  it('is one seat for one machine that asks again while its first request is not kept yet', async () => {
    const license = await vendor.licenseUnder({ maxMachines: 5 });
    const [first, second] = await Promise.all([seat(license, 'fingerprint-a'), seat(license, 'fingerprint-a')]);
    expect([first.status, second.status].sort()).toEqual([200, 201]);
    expect(await countOn(license)).toBe(1);
  });
});

/** Until a statement of a server waits for what this connection holds. */
async function untilWaiting(): Promise<void> {
  for (;;) {
    const { rows } = await database.query<{ waiting: number }>(
      'SELECT count(*)::int AS waiting FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))',
    );
    if (rows[0]!.waiting > 0) return;
  }
}
