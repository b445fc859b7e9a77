import { BlockList } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import type { Running } from '../src/boot.js';
import { MasterKey } from '../src/core/master-key.js';
import { generateApiKey } from '../src/domain/api-key.js';
import { allScopes } from '../src/domain/scopes.js';
import { anyone, type Client, type Reply, withKey } from './support/client.js';
import { eventually } from './support/eventually.js';
import { startServer } from './support/server.js';
import { testDatabaseUrl, testMasterKey } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

/** A created key: its view with the secret, and a caller that holds it. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
type Key = any;

/** High enough for any test; ten times of it is as much as a key's own limit can be. */
const DEFAULT_RATE = 100_000;
const END = '2999-01-01T00:00:00.000Z';

/** What keys are, and what they can do to one another (contract: auth.md, "API keys"). */
describe('API keys', () => {
  let server: Running;
  let database: pg.Client;
  beforeAll(async () => {
    server = await startServer({ LIMIT_MANAGEMENT_PER_MINUTE: String(DEFAULT_RATE) });
    database = new pg.Client({ connectionString: testDatabaseUrl() });
    await database.connect();
  });
  afterAll(async () => {
    await database.end();
    await server.stop();
  });

  const signUp = (): Promise<Vendor> => Vendor.signUp(server.url);
  const client = (key: Key): Client => withKey(server.url, key.key);
  async function make(api: Client, fields: object = {}): Promise<Key> {
    return expectStatus(await api.post('/api-keys', { name: 'x', ...fields }), 201).body.data;
  }
  const read = async (api: Client, id: string): Promise<Key> => expectStatus(await api.get(`/api-keys/${id}`), 200).body.data;
  const rotate = (api: Client, id: string, body: object = {}): Promise<Reply> => api.post(`/api-keys/${id}/rotate`, body);
  const works = async (key: Key): Promise<[number, string | undefined]> => {
    const { status, body } = await client(key).get('/api-keys/current');
    return [status, body.code];
  };
  /** 201 or 200, or why not: the status, and the field or scopes that are too much. */
  const outcome = ({ status, body }: Reply): unknown =>
    status < 300 ? status : [status, body.details?.field ?? body.details?.requiredScopes ?? body.details?.status ?? body.code];
  /** What the log says of a resource, oldest first. */
  async function logOf(id: string): Promise<{ action: string; before: Key; after: Key; environment_id: string }[]> {
    const { rows } = await database.query('SELECT * FROM audit_entry WHERE resource_id = $1 ORDER BY created_at, id', [id]);
    return rows;
  }

  describe('the fields', () => {
    it('are kept as they are given, addresses in one spelling', async () => {
      const { api } = await signUp();
      const made = await make(api, {
        name: 'Sync [Bulk] [nightly]',
        scopes: ['licenses:read'],
        expiresAt: END,
        allowedIps: ['203.0.113.7/24', '2001:DB8::1', '203.0.113.0/24', '::ffff:10.0.0.0/104'],
        rateLimitPerMinute: 7,
        kind: 'service',
        serviceName: 'nightly-sync',
        metadata: { purpose: 'sync' },
      });
      const { key, ...view } = made;
      expect(view).toMatchObject({
        name: 'Sync [Bulk] [nightly]',
        flairs: ['bulk', 'nightly'],
        scopes: ['licenses:read'],
        expiresAt: END,
        allowedIps: ['203.0.113.0/24', '2001:db8::1/128', '10.0.0.0/8'],
        rateLimitPerMinute: 7,
        kind: 'service',
        serviceName: 'nightly-sync',
        metadata: { purpose: 'sync' },
        status: 'active',
        retiresAt: null,
        successorId: null,
        leakedAt: null,
        lastUsedAt: null,
        lastUsedIp: null,
      });
      expect(key).toMatch(/^lk_live_/);
      expect(await read(api, made.id)).toEqual(view);
      expect((await api.get('/api-keys')).body.data[0]).toEqual(view);
    });

    it('that are left out stand for no limit, to a maker without limits', async () => {
      const { api } = await signUp();
      const plain = {
        scopes: [],
        expiresAt: null,
        allowedIps: [],
        rateLimitPerMinute: null,
        kind: 'account',
        serviceName: null,
        flairs: [],
      };
      expect(await make(api)).toMatchObject(plain);
      expect(await make(api, { allowedIps: null, rateLimitPerMinute: null, expiresAt: null, serviceName: null })).toMatchObject(plain);
    });

    it('say from where a key may be used', async () => {
      const { api } = await signUp();
      expect(await works(await make(api, { allowedIps: ['127.0.0.0/8', '::1'] }))).toEqual([200, undefined]);
      const elsewhere = await make(api, { allowedIps: ['203.0.113.0/24', '2001:db8::/32'] });
      expect(await works(elsewhere)).toEqual([403, 'IP_NOT_ALLOWED']);
      expectStatus(await api.patch(`/api-keys/${elsewhere.id}`, { allowedIps: [] }), 200);
      expect(await works(elsewhere)).toEqual([200, undefined]);
    });

    it('of last use are kept to the minute, behind the answers', async () => {
      const { api } = await signUp();
      const [fresh, recent, old] = [await make(api), await make(api), await make(api)];
      const used = async (key: Key, ago: string): Promise<Date> => {
        const { rows } = await database.query(
          `UPDATE api_key SET last_used_at = now() - $2::interval, last_used_ip = '203.0.113.7' WHERE id = $1 RETURNING last_used_at`,
          [key.id, ago],
        );
        return rows[0].last_used_at;
      };
      const recently = await used(recent, '30 seconds');
      await used(old, '61 seconds');
      const before = Date.now();
      for (const key of [recent, old, fresh]) expect(await works(key)).toEqual([200, undefined]);
      for (const key of [fresh, old]) {
        const seen = await eventually(
          () => read(api, key.id),
          ({ lastUsedIp }) => ![null, '203.0.113.7'].includes(lastUsedIp),
        );
        expect(Date.parse(seen.lastUsedAt)).toBeGreaterThanOrEqual(before);
        expect(seen.lastUsedIp).toMatch(/^(127\.0\.0\.1|::1)$/);
        expect(seen.updatedAt).toBe(key.updatedAt);
      }
      expect(await read(api, recent.id)).toMatchObject({ lastUsedAt: recently.toISOString(), lastUsedIp: '203.0.113.7' });
    });
  });

  describe('a limited key', () => {
    const limits = {
      scopes: ['api-keys:read', 'api-keys:write', 'licenses:read'],
      allowedIps: ['127.0.0.0/8', '::1/128'],
      rateLimitPerMinute: 5000,
      expiresAt: END,
    };
    const wish = (fields: object): object => ({ name: 'x', scopes: ['licenses:read'], ...fields });

    it('passes its limits on where nothing is said', async () => {
      const { api } = await signUp();
      const maker = client(await make(api, limits));
      const child = await make(maker, { scopes: limits.scopes });
      expect(child).toMatchObject(limits);
      expect(await make(client(child), wish({}))).toMatchObject({ ...limits, scopes: ['licenses:read'] });
    });

    it('grants what lies within them, and names what lies beyond', async () => {
      const { api } = await signUp();
      const maker = client(await make(api, limits));
      for (const [fields, expected] of <[object, unknown][]>[
        [{ allowedIps: ['127.1.0.0/16'], rateLimitPerMinute: 4999, expiresAt: '2998-01-01T00:00:00Z' }, 201],
        [{ allowedIps: ['127.0.0.0/9', '127.128.0.0/9'], rateLimitPerMinute: 5000, expiresAt: END }, 201],
        [{ allowedIps: [] }, [403, 'allowedIps']],
        [{ allowedIps: null }, [403, 'allowedIps']],
        [{ allowedIps: ['127.0.0.0/7'] }, [403, 'allowedIps']],
        [{ allowedIps: ['::/0'] }, [403, 'allowedIps']],
        [{ rateLimitPerMinute: 5001 }, [403, 'rateLimitPerMinute']],
        [{ rateLimitPerMinute: null }, [403, 'rateLimitPerMinute']],
        [{ name: 'x[bulk]' }, [403, 'name']],
        [{ expiresAt: null }, [403, 'expiresAt']],
        [{ expiresAt: '2999-01-01T00:00:00.001Z' }, [403, 'expiresAt']],
        [{ scopes: [] }, [403, allScopes.filter((scope) => !limits.scopes.includes(scope))]],
        [{ scopes: ['licenses:write'] }, [403, ['licenses:write']]],
        [{ environment: 'test' }, [403, []]],
      ]) {
        expect([fields, outcome(await maker.post('/api-keys', wish(fields)))]).toEqual([fields, expected]);
      }
    });

    it('changes only what it could have made, into what it could make', async () => {
      const { api } = await signUp();
      const limited = await make(api, limits);
      const [maker, child] = [client(limited), await make(client(limited), wish({}))];
      for (const [fields, expected] of <[object, unknown][]>[
        [{ name: 'renamed', rateLimitPerMinute: 10, allowedIps: ['127.0.0.1'], expiresAt: '2998-01-01T00:00:00Z' }, 200],
        [{ scopes: ['api-keys:read'], rateLimitPerMinute: 5000, expiresAt: END, metadata: { a: 1 } }, 200],
        [{ allowedIps: null }, [403, 'allowedIps']],
        [{ rateLimitPerMinute: null }, [403, 'rateLimitPerMinute']],
        [{ expiresAt: null }, [403, 'expiresAt']],
        [{ name: 'x [BULK]' }, [403, 'name']],
        [{ scopes: ['audit:read'] }, [403, ['audit:read']]],
      ]) {
        for (const { id } of [child, limited])
          expect([fields, outcome(await maker.patch(`/api-keys/${id}`, fields))]).toEqual([fields, expected]);
        // Let it hold again what this test needs.
        expectStatus(await api.patch(`/api-keys/${limited.id}`, limits), 200);
      }
      for (const beyond of [{ allowedIps: [] }, { rateLimitPerMinute: 5001 }, { expiresAt: null }, { scopes: ['audit:read'] }]) {
        const stronger = await make(api, wish({ ...limits, scopes: ['licenses:read'], ...beyond }));
        for (const fields of [{ name: 'y' }, limits, { ...limits, scopes: ['licenses:read'] }])
          expect([beyond, (await maker.patch(`/api-keys/${stronger.id}`, fields)).status]).toEqual([beyond, 403]);
        expect((await rotate(maker, stronger.id)).status).toBe(403);
        expect(await read(api, stronger.id)).toMatchObject({ name: 'x', status: 'active' });
      }
    });

    it('that has every scope by name makes no key with full access, which opens more', async () => {
      const { api } = await signUp();
      const maker = client(await make(api, { scopes: allScopes }));
      expect(outcome(await maker.post('/api-keys', { name: 'x' }))).toEqual([403, 'scopes']);
      expect(outcome(await maker.post('/api-keys', { name: 'x', scopes: allScopes }))).toBe(201);
    });

    it('grants through a token no more than the token may do', async () => {
      const vendor = await signUp();
      const body = { oid: vendor.account.id, secret: vendor.liveKey, scopes: ['api-keys:write', 'licenses:read'] };
      const token = withKey(server.url, expectStatus(await anyone(server.url).post('/auth/token', body), 200).body.jwt);
      expect(outcome(await token.post('/api-keys', wish({})))).toBe(201);
      expect(outcome(await token.post('/api-keys', wish({ scopes: ['licenses:write'] })))).toEqual([403, ['licenses:write']]);
      expect(outcome(await token.post('/api-keys', wish({ rateLimitPerMinute: DEFAULT_RATE + 1 })))).toEqual([403, 'rateLimitPerMinute']);
      expect(outcome(await token.post('/api-keys', wish({ environment: 'test' })))).toEqual([403, []]);
    });

    it('of a user ends no later than the user’s own', async () => {
      const vendor = await signUp();
      const user = withKey(server.url, await userKey(vendor, 'owner', END));
      expect(await make(user)).toMatchObject({ scopes: [], expiresAt: END });
      expect(outcome(await user.post('/api-keys', { name: 'x', expiresAt: null }))).toEqual([403, 'expiresAt']);
    });
  });

  it('keys and their descendants never gain what the first of them lacked, whatever they call', async () => {
    const vendor = await signUp();
    const addresses = [[], ['127.0.0.0/8', '::1'], ['127.0.0.0/9', '127.128.0.0/9', '::/0'], ['0.0.0.0/0', '::/0']];
    const field = <T>(...values: T[]) => fc.option(fc.constantFrom(...values), { nil: undefined, freq: 2 });
    const fields = fc.record({
      name: field('x', 'x[bulk]', 'x[segment]', 'x[bulk][segment]'),
      scopes: field([], ['api-keys:write'], ['api-keys:write', 'api-keys:read', 'licenses:read'], [...allScopes]),
      allowedIps: field(null, ...addresses),
      rateLimitPerMinute: field(null, 5000, DEFAULT_RATE, DEFAULT_RATE + 1, 10 * DEFAULT_RATE),
      expiresAt: field(null, '2998-01-01T00:00:00.000Z', END),
    });
    const call = fc.record({
      what: fc.constantFrom('create', 'create', 'patch', 'rotate'),
      actor: fc.nat(),
      target: fc.nat(),
      fields,
      environment: field('test', 'live'),
      overlapSeconds: fc.constantFrom(60, 86_400),
    });
    const rankOf = (key: Key): number => {
      if (key.rateLimitPerMinute !== null) return key.rateLimitPerMinute;
      if (key.scopes.length === 0 && !key.flairs.includes('segment')) return Infinity;
      return DEFAULT_RATE * (key.flairs.includes('bulk') ? 10 : 1);
    };
    /** What is rotated out stops at the end of its overlap, whatever its own end is put off to. */
    const endOf = ({ expiresAt, retiresAt }: Key): string => [expiresAt ?? '9999', retiresAt ?? '9999'].sort()[0]!;
    const allows = ({ allowedIps }: Key, ip: string): boolean => {
      const list = new BlockList();
      const type = (text: string) => (text.includes(':') ? 'ipv6' : 'ipv4');
      for (const range of allowedIps) list.addSubnet(range.split('/')[0], Number(range.split('/')[1]), type(range));
      return allowedIps.length === 0 || list.check(ip, type(ip));
    };
    /** What `key` has that `first` lacked; in words of its own, not of the code. */
    const gains = (first: Key, key: Key): string[] => [
      ...(first.scopes.length > 0 && (key.scopes.length === 0 || key.scopes.some((scope: string) => !first.scopes.includes(scope)))
        ? ['scopes']
        : []),
      ...['127.0.0.1', '127.200.0.1', '9.9.9.9', '::1', '2001:db8::1'].filter((ip) => allows(key, ip) && !allows(first, ip)),
      ...(rankOf(key) > rankOf(first) ? ['rate'] : []),
      ...(endOf(key) > endOf(first) ? ['end'] : []),
      ...(first.flairs.includes('segment') && !key.flairs.includes('segment') ? ['segment'] : []),
      ...(key.environment !== first.environment && (first.scopes.length > 0 || first.flairs.includes('segment')) ? ['environment'] : []),
    ];
    let succeeded = 0;
    let made = 0;
    await fc.assert(
      fc.asyncProperty(fields, fc.array(call, { minLength: 5, maxLength: 8 }), async (limits, calls) => {
        const first = await make(vendor.api, {
          ...limits,
          name: limits.name ?? 'x',
          scopes: limits.scopes ?? ['api-keys:write', 'licenses:read'],
        });
        const strong = await make(vendor.api, { name: 'strong' });
        const family: Key[] = [first];
        for (const { what, actor, target, fields: wish, environment, overlapSeconds } of calls) {
          const caller = client(family[actor % family.length]);
          const { id } = [...family, strong][target % (family.length + 1)];
          const replies = {
            create: () =>
              caller.post('/api-keys', { ...wish, name: wish.name ?? 'x', scopes: wish.scopes ?? ['api-keys:write'], environment }),
            patch: () => caller.patch(`/api-keys/${id}`, wish),
            rotate: () => rotate(caller, id, { overlapSeconds }),
          };
          const reply = await replies[what]();
          expect([200, 201, 400, 401, 403, 404, 409]).toContain(reply.status);
          if (reply.status >= 300) continue;
          succeeded += 1;
          expect([what, limits, wish, gains(first, reply.body.data)]).toEqual([what, limits, wish, []]);
          if (reply.status === 201) {
            made += 1;
            family.push(reply.body.data);
          }
        }
        // Nothing beside the answers either: a key that is stronger is as it was.
        if (gains(first, strong).length > 0) expect(await read(vendor.api, strong.id)).toMatchObject({ name: 'strong', status: 'active' });
      }),
      { numRuns: 40, seed: 20_261_122 },
    );
    expect([succeeded > 60, made > 30]).toEqual([true, true]);
  });

  describe('rotation', () => {
    it('makes a successor with the same grants, and lets the old key work until the overlap ends', async () => {
      const { api } = await signUp();
      const fields = {
        name: 'sync[bulk]',
        scopes: ['licenses:read', 'api-keys:write'],
        expiresAt: END,
        allowedIps: ['127.0.0.0/8', '::1/128'],
        rateLimitPerMinute: 5000,
        kind: 'service',
        serviceName: 'sync',
        metadata: { purpose: 'sync' },
      };
      const old = await make(api, fields);
      const before = Date.now();
      const reply = expectStatus(await rotate(api, old.id), 201);
      const successor = reply.body.data;
      expect(successor).toMatchObject({ ...fields, status: 'active', retiresAt: null, successorId: null, lastUsedAt: null });
      expect([successor.id === old.id, successor.key === old.key]).toEqual([false, false]);
      expect(reply.headers.location).toBe(`/api/v1/api-keys/${successor.id}`);
      const rotated = await read(api, old.id);
      expect(rotated).toMatchObject({ ...fields, status: 'expiring', successorId: successor.id });
      expect(Date.parse(rotated.retiresAt)).toBeGreaterThanOrEqual(before + 86_400_000);
      expect(Date.parse(rotated.retiresAt)).toBeLessThanOrEqual(Date.now() + 86_400_000);
      for (const key of [old, successor]) expect(await works(key)).toEqual([200, undefined]);
      expect(outcome(await rotate(api, old.id))).toEqual([409, 'expiring']);

      await database.query("UPDATE api_key SET retires_at = now() - interval '1 second' WHERE id = $1", [old.id]);
      await eventually(
        () => works(old),
        ([status]) => status === 401,
      );
      expect([await works(old), await works(successor)]).toEqual([
        [401, 'API_KEY_EXPIRED'],
        [200, undefined],
      ]);
      expect((await read(api, old.id)).status).toBe('expired');
      expect(outcome(await rotate(api, old.id))).toEqual([409, 'expired']);
      // An end that is put off does not bring it back.
      expectStatus(await api.patch(`/api-keys/${old.id}`, { expiresAt: null }), 200);
      expect(await works(old)).toEqual([401, 'API_KEY_EXPIRED']);
    });

    it('without an overlap stops the old key at once, and with one never outlives its end', async () => {
      const { api } = await signUp();
      const [now, later] = [await make(api), await make(api, { expiresAt: new Date(Date.now() + 60_000).toISOString() })];
      expect(await works(now)).toEqual([200, undefined]);
      expectStatus(await rotate(api, now.id, { overlapSeconds: 0 }), 201);
      expect(await works(now)).toEqual([401, 'API_KEY_EXPIRED']);
      expectStatus(await rotate(api, later.id, { overlapSeconds: 2_592_000 }), 201);
      expect((await read(api, later.id)).retiresAt).toBe(later.expiresAt);
    });

    it('of a key that is over is 409, and of one that is not there 404', async () => {
      const { api } = await signUp();
      const [revoked, expired] = [await make(api), await make(api, { expiresAt: END })];
      await api.delete(`/api-keys/${revoked.id}`);
      await database.query('UPDATE api_key SET expires_at = now() WHERE id = $1', [expired.id]);
      expect(outcome(await rotate(api, revoked.id))).toEqual([409, 'revoked']);
      expect(outcome(await rotate(api, expired.id))).toEqual([409, 'expired']);
      expect((await rotate(api, uuidv7())).status).toBe(404);
    });

    it('is open to the key itself, once', async () => {
      const { api } = await signUp();
      for (const fields of [{}, { scopes: ['api-keys:write'], name: 'x[bulk]', rateLimitPerMinute: 5000, expiresAt: END }]) {
        const old = await make(api, fields);
        const successor = expectStatus(await rotate(client(old), old.id), 201).body.data;
        expect(outcome(await rotate(client(old), old.id))).toEqual([409, 'expiring']);
        // What is rotated out ends, and makes nothing that goes on.
        expect(outcome(await rotate(client(old), successor.id))).toEqual([403, 'expiresAt']);
        expect(outcome(await client(old).post('/api-keys', { name: 'x', ...fields, expiresAt: null }))).toEqual([403, 'expiresAt']);
        expect(await make(client(old), { name: 'x', scopes: ['api-keys:write'] })).toMatchObject({
          expiresAt: (await read(api, old.id)).retiresAt,
        });
        expect((await rotate(client(successor), successor.id)).status).toBe(201);
      }
    });

    it('by twenty at once has one successor', async () => {
      const { api } = await signUp();
      const old = await make(api);
      const replies = await Promise.all(Array.from({ length: 20 }, () => rotate(api, old.id)));
      const made = replies.filter(({ status }) => status === 201);
      expect(made).toHaveLength(1);
      expect(replies.filter(({ status }) => status === 409)).toHaveLength(19);
      expect((await read(api, old.id)).successorId).toBe(made[0]!.body.data.id);
      // The account's own, the old one, and one more.
      expect((await api.get('/api-keys')).body.data).toHaveLength(3);
    });
  });

  describe('a segment key', () => {
    it('sees the keys that it made and itself, and those that it makes are segments of their own', async () => {
      const { api } = await signUp();
      const other = await make(api);
      const segment = await make(api, { name: 'reseller [Segment]' });
      const holder = client(segment);
      const child = await make(holder, { name: 'shop' });
      expect(child).toMatchObject({ name: 'shop[segment]', flairs: ['segment'], scopes: [] });
      expect((await make(holder, { name: 'x'.repeat(255) })).name).toBe(`${'x'.repeat(246)}[segment]`);
      const grandchild = await make(client(child), { name: 'till' });
      expect((await holder.get('/api-keys')).body.data.map(({ id }: Key) => id)).toEqual([expect.any(String), child.id]);
      for (const { id } of [segment, child]) expect((await holder.get(`/api-keys/${id}`)).status).toBe(200);
      for (const { id } of [other, grandchild]) {
        expect((await holder.get(`/api-keys/${id}`)).status).toBe(404);
        expect((await holder.patch(`/api-keys/${id}`, { name: 'mine[segment]' })).status).toBe(404);
        expect((await rotate(holder, id)).status).toBe(404);
        expect((await holder.delete(`/api-keys/${id}`)).status).toBe(404);
      }
      for (const { id } of [segment, child, grandchild, other]) expect((await api.get(`/api-keys/${id}`)).status).toBe(200);
    });

    it('is above no scope: not the other environment, the account, or any rate', async () => {
      const { api } = await signUp();
      const holder = client(await make(api, { name: 'x[segment]' }));
      expect(outcome(await holder.post('/api-keys', { name: 'x', environment: 'test' }))).toEqual([403, []]);
      expect((await holder.patch('/account', { name: 'mine' })).status).toBe(403);
      expect(outcome(await holder.post('/api-keys', { name: 'x', rateLimitPerMinute: DEFAULT_RATE + 1 }))).toEqual([
        403,
        'rateLimitPerMinute',
      ]);
      expect(outcome(await holder.post('/api-keys', { name: 'x[bulk]' }))).toEqual([403, 'name']);
    });

    it('stays one, and no other key becomes one', async () => {
      const { api } = await signUp();
      const [segment, plain] = [await make(api, { name: 'x[segment]' }), await make(api)];
      for (const [id, name] of [
        [segment.id, 'x'],
        [segment.id, 'x[bulk]'],
        [plain.id, 'x[SEGMENT]'],
      ]) {
        const reply = await api.patch(`/api-keys/${id}`, { name });
        expect([name, reply.status, reply.body.details.issues[0].path]).toEqual([name, 400, 'name']);
      }
      expect((await api.patch(`/api-keys/${segment.id}`, { name: 'y [Segment]' })).status).toBe(200);
      expect((await client(segment).patch(`/api-keys/${segment.id}`, { name: 'z' })).status).toBe(403);
    });

    it('keeps its segment when it is rotated, by whomever, and stays where it is seen', async () => {
      const { api } = await signUp();
      const segment = await make(api, { name: 'x[segment]' });
      const child = await make(client(segment), { name: 'child' });
      const successor = expectStatus(await rotate(client(segment), segment.id), 201).body.data;
      const second = expectStatus(await rotate(api, successor.id), 201).body.data;
      const newChild = expectStatus(await rotate(api, child.id), 201).body.data;
      for (const holder of [segment, successor, second]) {
        for (const { id } of [child, newChild]) expect((await client(holder).get(`/api-keys/${id}`)).status).toBe(200);
      }
      expect((await client(newChild).get(`/api-keys/${second.id}`)).status).toBe(404);
      expect((await client(second).get('/api-keys/current')).body.data.id).toBe(second.id);
    });
  });

  describe('the key in use', () => {
    it('is shown whatever it is: a key, a token of it, a segment', async () => {
      const vendor = await signUp();
      const account = { id: vendor.account.id, name: vendor.account.slug, slug: vendor.account.slug };
      const { key, ...view } = await make(vendor.api, { name: 'x[segment]', scopes: ['licenses:read', 'machines:read'] });
      const shown = expectStatus(await withKey(server.url, key).get('/api-keys/current'), 200).body.data;
      const plain = { ...view, lastUsedAt: null, lastUsedIp: null, credential: 'apiKey', user: null, account };
      const scopes = ['licenses:read', 'machines:read'];
      expect({ ...shown, lastUsedAt: null, lastUsedIp: null }).toEqual({ ...plain, token: null, effectiveScopes: scopes });

      const grant = expectStatus(
        await anyone(server.url).post('/auth/token', { oid: vendor.account.id, secret: key, scopes: ['machines:read'] }),
        200,
      ).body;
      const ofToken = expectStatus(await withKey(server.url, grant.jwt).get('/api-keys/current'), 200).body.data;
      expect({ ...ofToken, lastUsedAt: null, lastUsedIp: null }).toEqual({
        ...plain,
        scopes: ['machines:read'],
        effectiveScopes: ['machines:read'],
        token: { id: expect.stringMatching(/^[0-9a-f-]{36}$/), expiresAt: expect.stringMatching(/Z$/) },
      });
    });

    it('of a user names the user, in the account and environment at hand', async () => {
      const [first, second] = [await signUp(), await signUp()];
      const key = await userKey(first, 'owner', END, second);
      for (const [vendor, environment] of <const>[
        [first, 'live'],
        [second, 'test'],
      ]) {
        const headers = { 'x-account-id': vendor.account.id, 'x-environment': environment };
        const { data } = expectStatus(await withKey(server.url, key).call('GET', '/api-keys/current', { headers }), 200).body;
        expect(data).toMatchObject({
          credential: 'userKey',
          environment,
          token: null,
          user: { email: 'ada@example.com', name: 'Ada', role: 'owner' },
          account: { id: vendor.account.id },
          scopes: [],
          effectiveScopes: allScopes,
          maskedKey: `${key.slice(0, 12)}…${key.slice(-4)}`,
          expiresAt: END,
          status: 'active',
        });
      }
    });
  });

  describe('the leak check', () => {
    const report = (key: unknown): Promise<Reply> => anyone(server.url).post('/api-keys/verify-leak', { key });
    const verdict = async (key: unknown): Promise<unknown> => expectStatus(await report(key), 200).body.data;

    it('matches keys that exist, in whatever state, and nothing else', async () => {
      const vendor = await signUp();
      const [living, revoked, expired] = [await make(vendor.api), await make(vendor.api), await make(vendor.api, { expiresAt: END })];
      await vendor.api.delete(`/api-keys/${revoked.id}`);
      await database.query('UPDATE api_key SET expires_at = now() WHERE id = $1', [expired.id]);
      expect(await verdict(living.key)).toEqual({ match: true, revoked: false });
      expect(await verdict(` ${living.key}\n`)).toEqual({ match: true, revoked: false });
      expect(await verdict(revoked.key)).toEqual({ match: true, revoked: true });
      expect(await verdict(expired.key)).toEqual({ match: true, revoked: false });
      expect(await verdict(await userKey(vendor, 'support', END))).toEqual({ match: true, revoked: false });
      const strangers = [
        generateApiKey('live'),
        generateApiKey('user'),
        `${living.key}x`,
        living.key.slice(1),
        '',
        ' ',
        'x',
        'ü',
        'x'.repeat(1000),
      ];
      for (const key of [...strangers, living.id, living.maskedKey])
        expect([key, await verdict(key)]).toEqual([key, { match: false, revoked: false }]);
    });

    it('records each report in the owner’s log, and leaves the key alone', async () => {
      const vendor = await signUp();
      const made = await make(vendor.api);
      for (let times = 0; times < 3; times += 1) await verdict(made.key);
      const { leakedAt } = await read(vendor.api, made.id);
      expect(leakedAt).not.toBeNull();
      expect(await works(made)).toEqual([200, undefined]);
      const log = await logOf(made.id);
      expect(log.map(({ action, environment_id }) => [action, environment_id])).toEqual([
        ['api_key.created', log[0]!.environment_id],
        ...Array.from({ length: 3 }, () => ['api_key.leaked', log[0]!.environment_id]),
      ]);
      expect(log[1]).toMatchObject({ actor_type: 'anonymous', after: { leakedAt, reportedAt: leakedAt } });
      expect(log[3]!.after).toEqual({ leakedAt, reportedAt: expect.stringMatching(/Z$/) });
      const key = await userKey(vendor, 'owner', END);
      const { rows } = await database.query('SELECT id FROM user_key WHERE prefix = $1 AND suffix = $2', [key.slice(0, 12), key.slice(-4)]);
      await verdict(key);
      expect((await logOf(rows[0].id)).map(({ action, environment_id }) => [action, environment_id])).toEqual([
        ['user_key.leaked', log[0]!.environment_id],
      ]);
    });

    it('revokes at once where the account wants that, also what was reported before', async () => {
      const vendor = await signUp();
      const [before, after, user] = [await make(vendor.api), await make(vendor.api), await userKey(vendor, 'owner', END)];
      expect((await vendor.api.get('/account')).body.data.revokeLeakedKeys).toBe(false);
      expect(await verdict(before.key)).toEqual({ match: true, revoked: false });
      expect(expectStatus(await vendor.api.patch('/account', { revokeLeakedKeys: true }), 200).body.data.revokeLeakedKeys).toBe(true);
      for (const [reports, made] of [before, after].map((key, index) => [index === 0 ? 2 : 1, key] as const)) {
        expect(await works(made)).toEqual([200, undefined]);
        expect(await verdict(made.key)).toEqual({ match: true, revoked: true });
        expect(await works(made)).toEqual([401, 'API_KEY_REVOKED']);
        expect((await logOf(made.id)).map(({ action }) => action)).toEqual([
          'api_key.created',
          ...Array<string>(reports).fill('api_key.leaked'),
          'api_key.revoked',
        ]);
      }
      expect(await verdict(user)).toEqual({ match: true, revoked: true });
      expect((await withKey(server.url, user).get('/api-keys/current')).status).toBe(401);
    });
  });

  it('every change of a key is in the log with what it changed, and no secret', async () => {
    const { api } = await signUp();
    const made = await make(api, { name: 'x' });
    expectStatus(await api.patch(`/api-keys/${made.id}`, { rateLimitPerMinute: 7, name: 'x' }), 200);
    expectStatus(await api.patch(`/api-keys/${made.id}`, { name: 'x' }), 200);
    const successor = expectStatus(await rotate(api, made.id, { overlapSeconds: 60 }), 201).body.data;
    expectStatus(await api.delete(`/api-keys/${made.id}`), 204);
    expectStatus(await api.delete(`/api-keys/${made.id}`), 204);
    const log = await logOf(made.id);
    expect(log.map(({ action, before, after }) => [action, before, after])).toEqual([
      ['api_key.created', null, expect.objectContaining({ id: made.id, name: 'x', maskedKey: made.maskedKey })],
      ['api_key.updated', { rateLimitPerMinute: null }, { rateLimitPerMinute: 7 }],
      [
        'api_key.rotated',
        { status: 'active', retiresAt: null, successorId: null },
        { status: 'expiring', retiresAt: expect.any(String), successorId: successor.id },
      ],
      ['api_key.revoked', { status: 'expiring' }, { status: 'revoked' }],
    ]);
    const ofSuccessor = await logOf(successor.id);
    expect(ofSuccessor.map(({ action }) => action)).toEqual(['api_key.created']);
    for (const { key } of [made, successor]) expect(JSON.stringify([log, ofSuccessor])).not.toContain(key.slice(12, -4));
  });

  /** A user with this role in the account, and likewise in others; the secret of a key of theirs that opens them all. */
  async function userKey(vendor: Vendor, role: string, expiresAt: string, ...others: Vendor[]): Promise<string> {
    const key = generateApiKey('user');
    const [user, masterKey] = [uuidv7(), new MasterKey(Buffer.from(testMasterKey(), 'base64'))];
    await database.query('INSERT INTO vendor_user (id) VALUES ($1)', [user]);
    for (const { account } of [vendor, ...others])
      await database.query(
        `INSERT INTO membership (id, account_id, user_id, email, name, role, updated_at) VALUES ($1, $2, $3, 'ada@example.com', 'Ada', $4, now())
         ON CONFLICT DO NOTHING`,
        [uuidv7(), account.id, user, role],
      );
    await database.query(
      `INSERT INTO user_key (id, user_id, account_id, all_accounts, name, digest, pepper_id, prefix, suffix, expires_at, updated_at)
       VALUES ($1, $2, $3, true, 'x', $4, $5, $6, $7, $8, now())`,
      [uuidv7(), user, vendor.account.id, masterKey.digestApiKey(key), masterKey.pepperId, key.slice(0, 12), key.slice(-4), expiresAt],
    );
    return key;
  }
});
