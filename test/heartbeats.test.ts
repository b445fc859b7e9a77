import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { once } from 'node:events';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { boot, type Running } from '../src/boot.js';
import { loadConfig } from '../src/core/config.js';
import { Database } from '../src/core/database.js';
import { HeartbeatDoor } from '../src/machines/heartbeat.door.js';
import { KEEP_BEATS } from '../src/machines/heartbeats.query.js';
import { withKey } from './support/client.js';
import { type QuietDatabase, quietDatabase } from './support/quiet-database.js';
import { testEnvironment } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

type View = Awaited<ReturnType<Vendor['license']>>;

let quiet: QuietDatabase;
let database: pg.Client;
/** The same server twice: heartbeats answered at its front door, and behind the framework. */
const servers = {} as Record<'door' | 'framework', Running>;
const logs: Record<keyof typeof servers, string[]> = { door: [], framework: [] };
let vendor: Vendor;

beforeAll(async () => {
  quiet = await quietDatabase();
  for (const name of ['door', 'framework'] as const) {
    const config = loadConfig(testEnvironment({ FRONT_DOOR: String(name === 'door'), LOG_LEVEL: 'info', DATABASE_URL: quiet.url }));
    servers[name] = await boot(config, { write: (line: string) => logs[name].push(line) });
  }
  database = new pg.Client({ connectionString: quiet.url });
  await database.connect();
});
afterAll(async () => {
  await database.end();
  await Promise.all(Object.values(servers).map((server) => server.stop()));
  await quiet.end();
});
beforeEach(async () => {
  vendor = await Vendor.signUp(servers.door.url);
});

const rules = { requireHeartbeat: true, heartbeatIntervalMinutes: 10, maxMachines: 5 };

/** As if everything about the machine had happened so much earlier. */
const age = (machine: { id: string }, minutes: number) =>
  database.query(
    `UPDATE machine_pulse SET activated_at = activated_at - make_interval(mins => $2), last_heartbeat_at = last_heartbeat_at - make_interval(mins => $2)
      WHERE machine_id = $1`,
    [machine.id, minutes],
  );
const announceDeath = (machine: { id: string }) =>
  database.query('UPDATE machine_pulse SET death_announced = true WHERE machine_id = $1', [machine.id]);
const pulseOf = async (machine: { id: string }) =>
  (await database.query('SELECT last_heartbeat_at, death_announced FROM machine_pulse WHERE machine_id = $1', [machine.id])).rows[0];
/** What was told of a machine after its activation, in order. */
const told = async (machine: { id: string }) =>
  (
    await database.query("SELECT type, actor_type, data FROM event WHERE resource_id = $1 AND type <> 'machine.activated' ORDER BY id", [
      machine.id,
    ])
  ).rows;

describe.each(['door', 'framework'] as const)('a heartbeat (answered by the %s)', (answeredBy) => {
  const beat = (license: { key: string }, machine: { id: string }) =>
    vendor.through(servers[answeredBy].url).app(license).post(`/machines/${machine.id}/heartbeat`);

  it('keeps a machine alive, and says when the next is due', async () => {
    const license = await vendor.licenseUnder(rules);
    const machine = await vendor.activate(license, 'fingerprint-a');
    await age(machine, 9);
    const beaten = expectStatus(await beat(license, machine), 200).body.data;
    expect(beaten).toEqual({ ...machine, status: 'active', lastHeartbeatAt: expect.any(String), nextHeartbeatAt: expect.any(String) });
    expect(Date.parse(beaten.nextHeartbeatAt) - Date.parse(beaten.lastHeartbeatAt)).toBe(600_000);
    expect((await pulseOf(machine)).last_heartbeat_at.toISOString()).toBe(beaten.lastHeartbeatAt);
    await age(machine, 9);
    expect(await vendor.validate(license, { fingerprint: 'fingerprint-a' })).toMatchObject({ valid: true });
    await age(machine, 1);
    expect(await vendor.validate(license, { fingerprint: 'fingerprint-a' })).toMatchObject({
      code: 'HEARTBEAT_DEAD',
      machine: { status: 'dead' },
    });
    expect((await beat(license, machine)).body.code).toBe('MACHINE_DEAD');
    expect(await told(machine)).toEqual([]);
  });

  it('revives within the window that the policy gives, and must come first where the policy says so', async () => {
    const license = await vendor.licenseUnder({ ...rules, heartbeatBasis: 'FROM_FIRST_BEAT', heartbeatResurrectionMinutes: 5 });
    const machine = await vendor.activate(license, 'fingerprint-a');
    await age(machine, 60);
    expect(await vendor.validate(license, { fingerprint: 'fingerprint-a' })).toMatchObject({ code: 'HEARTBEAT_REQUIRED' });
    expectStatus(await beat(license, machine), 200);
    await age(machine, 14);
    expect(await vendor.validate(license, { fingerprint: 'fingerprint-a' })).toMatchObject({ code: 'HEARTBEAT_DEAD' });
    expect(expectStatus(await beat(license, machine), 200).body.data.status).toBe('active');
    expect(await vendor.validate(license, { fingerprint: 'fingerprint-a' })).toMatchObject({ valid: true });
  });

  it('tells of each return once, and of the death before it where nobody had told of that', async () => {
    const license = await vendor.licenseUnder({ ...rules, heartbeatResurrectionMinutes: 60 });
    const machine = await vendor.activate(license, 'fingerprint-a');
    await age(machine, 11);
    const many = await Promise.all(Array.from({ length: 8 }, () => beat(license, machine)));
    expect(many.map(({ status }) => status)).toEqual(Array(8).fill(200));
    const [death, resurrection, ...more] = await told(machine);
    expect(more).toEqual([]);
    expect(death).toMatchObject({ type: 'machine.dead', data: { object: { status: 'dead' }, previous: { status: 'active' } } });
    expect(resurrection).toMatchObject({
      type: 'machine.resurrected',
      actor_type: 'license',
      data: { object: { status: 'active' }, previous: { status: 'dead', lastHeartbeatAt: null } },
    });
    await age(machine, 11);
    await announceDeath(machine);
    expectStatus(await beat(license, machine), 200);
    expect((await told(machine)).map(({ type }) => type)).toEqual(['machine.dead', 'machine.resurrected', 'machine.resurrected']);
    expect((await pulseOf(machine)).death_announced).toBe(false);
  });

  it('tells of the return of one whose death was told, also where it would not count as dead any more', async () => {
    const license = await vendor.licenseUnder(rules);
    const machine = await vendor.activate(license, 'fingerprint-a');
    await announceDeath(machine);
    expectStatus(await beat(license, machine), 200);
    expect((await pulseOf(machine)).death_announced).toBe(false);
    expect(await told(machine)).toMatchObject([{ type: 'machine.resurrected', data: { previous: { status: 'dead' } } }]);
  });

  it("is for the license's own machines: others' are unknown, and so is every machine of another tenant", async () => {
    const [license, other] = [await vendor.licenseUnder(rules), await vendor.licenseUnder(rules)];
    const machine = await vendor.activate(license, 'fingerprint-a');
    const stranger = await Vendor.signUp(servers.door.url);
    const theirs = await stranger.licenseUnder(rules);
    const unknown = await beat(license, theirs);
    expect([unknown.status, unknown.body.code]).toEqual([404, 'NOT_FOUND']);
    for (const reply of [
      await beat(other, machine),
      await beat(theirs, machine),
      await stranger.through(servers[answeredBy].url).api.post(`/machines/${machine.id}/heartbeat`),
    ])
      expect([reply.status, reply.body.code, reply.body.message]).toEqual([404, 'NOT_FOUND', unknown.body.message]);
    expect((await pulseOf(machine)).last_heartbeat_at).toBeNull();
    expectStatus(await vendor.through(servers[answeredBy].url).api.post(`/machines/${machine.id}/heartbeat`), 200);
  });

  it('of a machine that was deactivated is unknown, and stays so', async () => {
    const license = await vendor.licenseUnder(rules);
    const machine = await vendor.activate(license, 'fingerprint-a');
    expectStatus(await vendor.app(license).delete(`/machines/${machine.id}`), 204);
    expect((await beat(license, machine)).status).toBe(404);
  });

  it('of a segment key is for the machines of its segment', async () => {
    const reseller = withKey(
      servers[answeredBy].url,
      expectStatus(await vendor.api.post('/api-keys', { name: 'Reseller [segment]' }), 201).body.data.key,
    );
    const policy = await vendor.policy(rules);
    const own = await vendor.license({ productId: policy.productId, policyId: policy.id }, reseller);
    const machine = await vendor.activate(own, 'fingerprint-a');
    const license = await vendor.license({ productId: policy.productId, policyId: policy.id });
    const hidden = await vendor.activate(license, 'fingerprint-a');
    expectStatus(await reseller.post(`/machines/${machine.id}/heartbeat`), 200);
    expect((await reseller.post(`/machines/${hidden.id}/heartbeat`)).status).toBe(404);
  });
});

it('is kept only where no death was announced meanwhile, and never sets a life back', async () => {
  const license = await vendor.licenseUnder(rules);
  const [machine, dead] = [await vendor.activate(license, 'fingerprint-a'), await vendor.activate(license, 'fingerprint-b')];
  await announceDeath(dead);
  const { rows } = await database.query('SELECT environment_id FROM machine WHERE id = $1', [machine.id]);
  const environments = [rows[0].environment_id, rows[0].environment_id];
  const keep = (at: Date) => servers.door.app.get(Database).stamp(KEEP_BEATS, [environments, [machine.id, dead.id], at]);
  const [early, late] = [new Date('2031-01-01T00:00:00Z'), new Date('2031-01-01T00:01:00Z')];
  for (const at of [late, early]) expect(await keep(at)).toEqual([{ machineId: machine.id }]);
  expect([await pulseOf(machine), await pulseOf(dead)]).toEqual([
    { last_heartbeat_at: late, death_announced: false },
    { last_heartbeat_at: null, death_announced: true },
  ]);
});

it('decides the status that lists filter by', async () => {
  for (const heartbeatBasis of ['FROM_ACTIVATION', 'FROM_FIRST_BEAT']) {
    for (const requireHeartbeat of [true, false]) {
      const license = await vendor.licenseUnder({ ...rules, heartbeatBasis, requireHeartbeat });
      const machines = [];
      for (const name of ['fresh', 'old', 'beaten', 'silent']) machines.push(await vendor.activate(license, `fingerprint-${name}`));
      for (const machine of machines.slice(2)) expectStatus(await vendor.app(license).post(`/machines/${machine.id}/heartbeat`), 200);
      await age(machines[1], 11);
      await age(machines[3], 11);
    }
  }
  const all: { id: string; status: string }[] = (await vendor.api.get('/machines?limit=100')).body.data;
  expect(all).toHaveLength(16);
  expect(new Set(all.map(({ status }) => status)).size).toBe(3);
  for (const status of ['active', 'dead', 'not_started']) {
    const found = (await vendor.api.get(`/machines?limit=100&status=${status}`)).body.data;
    expect([status, found.map(({ id }: { id: string }) => id)]).toEqual([
      status,
      all.filter((one) => one.status === status).map(({ id }) => id),
    ]);
  }
});

describe('the front door', () => {
  /** What stands on the socket until the server closes it. */
  const exchange = (url: string, text: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connect(Number(new URL(url).port), '127.0.0.1');
      let answer = '';
      socket.on('data', (chunk: Buffer) => (answer += chunk.toString()));
      socket.on('error', reject);
      socket.on('close', () => {
        resolve(answer);
      });
      socket.write(text);
    });
  /** Times, and ids that the caller did not give, differ from one request to the next. */
  const comparable = (answer: string): string =>
    answer
      .replace(/(Date|X-Request-Id: [0-9a-f]{8}-).*/g, '$1')
      .replace(/\d{4}-\d{2}-\d{2}T[\d:.]+Z/g, 'TIME')
      .replace(/"requestId":"[^"]*"/g, '');

  interface World {
    license: View;
    machine: View;
    suspended: View;
    ofSuspended: View;
    dying: View;
    dead: View;
    vendorKey: View;
    ofVendorKey: View;
    rotatedKey: string;
    ofRotated: View;
  }
  async function makeWorld(): Promise<World> {
    const policy = await vendor.policy({ ...rules, gracePeriodDays: 0 });
    const sell = (fields: object = {}) => vendor.license({ productId: policy.productId, policyId: policy.id, ...fields });
    const [license, suspended, dying, rotated] = [await sell(), await sell(), await sell(), await sell()];
    const vendorKey = await sell({ key: `own-key-${vendor.account.slug}` });
    const [machine, ofSuspended, dead, ofRotated] = [
      await vendor.activate(license, 'fingerprint-a'),
      await vendor.activate(suspended, 'fingerprint-a'),
      await vendor.activate(dying, 'fingerprint-a'),
      await vendor.activate(rotated, 'fingerprint-a'),
    ];
    const ofVendorKey = expectStatus(await vendor.api.post('/machines', { licenseId: vendorKey.id, fingerprint: 'fingerprint-a' }), 201)
      .body.data;
    expectStatus(await vendor.api.post(`/licenses/${suspended.id}/suspend`), 200);
    await age(dead, 11);
    expectStatus(await vendor.api.post(`/licenses/${rotated.id}/rotate-key`, { overlapSeconds: 3600 }), 200);
    return { license, machine, suspended, ofSuspended, dying, dead, vendorKey, ofVendorKey, rotatedKey: rotated.key, ofRotated };
  }

  const path = ({ id }: { id: string }) => `/api/v1/machines/${id}/heartbeat`;
  const raw = (target: string, headers: string[], { method = 'POST', version = '1.1', body = '' } = {}): string =>
    [`${method} ${target} HTTP/${version}`, 'Host: test', 'Connection: close', ...headers, '', body].join('\r\n');
  const auth = ({ key }: { key: string }) => `Authorization: License ${key}`;
  const elsewhere = '01890000-0000-7000-8000-000000000000';

  /** Each request, and whether the door answers it by itself. */
  const requests: [what: string, isTaken: boolean, request: (world: World) => string][] = [
    ['a plain beat', true, ({ license, machine }) => raw(path(machine), [auth(license)])],
    ['an id that the caller gives', true, ({ license, machine }) => raw(path(machine), [auth(license), 'X-Request-Id: mine-1'])],
    ['an id that is none', true, ({ license, machine }) => raw(path(machine), [auth(license), 'X-Request-Id: not mine'])],
    ['an empty body', true, ({ license, machine }) => raw(path(machine), [auth(license), 'Content-Length: 0'])],
    ['the older HTTP', true, ({ license, machine }) => raw(path(machine), [auth(license)], { version: '1.0' })],
    ['a key as people type it', true, ({ license, machine }) => raw(path(machine), [`Authorization: License ${license.key.toLowerCase().replaceAll('-', ' ')}`])],
    ['the scheme in lower case', false, ({ license, machine }) => raw(path(machine), [`authorization: license ${license.key}`])],
    ['a body', false, ({ license, machine }) => raw(path(machine), [auth(license), 'Content-Type: application/json', 'Content-Length: 2'], { body: '{}' })],
    ['a body that nobody reads', false, ({ license, machine }) => raw(path(machine), [auth(license), 'Content-Type: application/json', 'Content-Length: 7'], { body: '{"a":1}' })],
    ['a body in pieces', false, ({ license, machine }) => raw(path(machine), [auth(license), 'Content-Type: application/json', 'Transfer-Encoding: chunked'], { body: '2\r\n{}\r\n0\r\n\r\n' })],
    ['a query', false, ({ license, machine }) => raw(`${path(machine)}?a=1`, [auth(license)])],
    ['a slash at the end', false, ({ license, machine }) => raw(`${path(machine)}/`, [auth(license)])],
    ['capitals', false, ({ license, machine }) => raw(path(machine).toUpperCase(), [auth(license)])],
    ['another method', false, ({ license, machine }) => raw(path(machine), [auth(license)], { method: 'PUT' })],
    ['a preflight', false, ({ machine }) => raw(path(machine), ['Origin: https://a.test', 'Access-Control-Request-Method: POST'], { method: 'OPTIONS' })],
    ['a browser', false, ({ license, machine }) => raw(path(machine), [auth(license), 'Origin: https://a.test'])],
    ['the right account', false, ({ license, machine }) => raw(path(machine), [auth(license), `X-Account-Id: ${vendor.account.slug}`])],
    ['another account', false, ({ license, machine }) => raw(path(machine), [auth(license), 'X-Account-Id: nobody'])],
    ['another environment', false, ({ license, machine }) => raw(path(machine), [auth(license), 'X-Environment: test'])],
    ['a key of its own for the answer', false, ({ license, machine }) => raw(path(machine), [auth(license), 'Idempotency-Key: once'])],
    ['an expectation', false, ({ license, machine }) => raw(path(machine), [auth(license), 'Expect: 100-continue'])],
    ['the same key twice', false, ({ license, machine }) => raw(path(machine), [auth(license), auth(license)])],
    ['two keys', false, ({ license, suspended, machine }) => raw(path(machine), [auth(license), auth(suspended)])],
    ['an API key beside it', false, ({ license, machine }) => raw(path(machine), [auth(license), 'X-API-Key: lk_live_x'])],
    ['no key', false, ({ machine }) => raw(path(machine), [])],
    ['a made-up key', false, ({ machine }) => raw(path(machine), ['Authorization: License LIC-AAAA-AAAA-AAAA-AAAA-AAAA-AAAA'])],
    ['a key that was rotated', false, ({ rotatedKey, ofRotated }) => raw(path(ofRotated), [auth({ key: rotatedKey })])],
    ["a vendor's own key", false, ({ vendorKey, ofVendorKey }) => raw(path(ofVendorKey), [auth(vendorKey), `X-Account-Id: ${vendor.account.slug}`])],
    ['a machine of another license', false, ({ license, ofSuspended }) => raw(path(ofSuspended), [auth(license)])],
    ['a machine that is not there', false, ({ license }) => raw(path({ id: elsewhere }), [auth(license)])],
    ['no id at all', false, ({ license }) => raw(path({ id: 'x' }), [auth(license)])],
    ['a suspended license', false, ({ suspended, ofSuspended }) => raw(path(ofSuspended), [auth(suspended)])],
    ['a dead machine', false, ({ dying, dead }) => raw(path(dead), [auth(dying)])],
  ]; // prettier-ignore

  it('answers to the byte what the framework does, whatever is asked, and only the plain beat by itself', async () => {
    const world = await makeWorld();
    const handed = createServer(
      servers.door.app.get(HeartbeatDoor).before((_, response) => {
        response.end('handed over');
      }),
    ).listen(0, '127.0.0.1');
    await once(handed, 'listening');
    const { port } = handed.address() as AddressInfo;
    for (const [what, isTaken, request] of requests) {
      const text = request(world);
      const [byDoor, byFramework] = [await exchange(servers.door.url, text), await exchange(servers.framework.url, text)];
      expect([what, comparable(byDoor)]).toEqual([what, comparable(byFramework)]);
      expect([what, !(await exchange(`http://127.0.0.1:${String(port)}`, text)).endsWith('handed over')]).toEqual([what, isTaken]);
      if (isTaken) expect(byDoor).toMatch(/^HTTP\/1.1 200 OK\r\n/);
    }
    handed.close();
  });

  it('logs the line that the framework does', async () => {
    const { license, machine } = await makeWorld();
    const lines = await Promise.all(
      (['door', 'framework'] as const).map(async (name) => {
        await exchange(servers[name].url, raw(path(machine), [auth(license), `X-Request-Id: ${machine.id}-${name}`]));
        const about = logs[name].filter((line) => line.includes(`${machine.id}-${name}`));
        expect(about).toHaveLength(1);
        const { time, ms, requestId, ...rest } = JSON.parse(about[0]!);
        expect([typeof time, typeof ms, requestId]).toEqual(['number', 'number', `${machine.id}-${name}`]);
        return rest;
      }),
    );
    expect(lines[0]).toEqual(lines[1]);
    expect(lines[0]).toMatchObject({ route: '/api/v1/machines/:id/heartbeat', status: 200, accountId: vendor.account.id });
  });

  it('answers in order what comes in one after the other on a connection', async () => {
    const { license, machine, dying, dead } = await makeWorld();
    const after = (id: number, text: string) => text.replace('Connection: close', `X-Request-Id: turn-${String(id)}`);
    const text = [
      after(1, raw(path(dead), [auth(dying)])),
      after(2, raw(path(machine), [auth(license)])),
      after(3, raw('/health/live', [], { method: 'GET' })),
      after(4, raw(path(machine), [auth(license)])),
      raw('/health/live', [], { method: 'GET' }),
    ].join('');
    const answers = await exchange(servers.door.url, text);
    expect([...answers.matchAll(/X-Request-Id: turn-(\d)/g)].map(([, id]) => id)).toEqual(['1', '2', '3', '4']);
    expect([...answers.matchAll(/HTTP\/1.1 (\d+)/g)].map(([, status]) => status)).toEqual(['422', '200', '200', '200', '200']);
  });

  it('does not mind a client that goes away', async () => {
    const { license, machine } = await makeWorld();
    await Promise.all(
      Array.from({ length: 20 }, async () => {
        const socket = connect(Number(new URL(servers.door.url).port), '127.0.0.1');
        await once(socket, 'connect');
        socket.write(raw(path(machine), [auth(license)]), () => socket.destroy());
        await once(socket, 'close');
      }),
    );
    expectStatus(await vendor.app(license).post(`/machines/${machine.id}/heartbeat`), 200);
  });
});
