import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { anyone, withKey } from './support/client.js';
import { COMMAND, type Ended, latchkey, latchkeyProcess } from './support/command-line.js';
import { eventually } from './support/eventually.js';
import { sharedServer } from './support/shared-server.js';
import { testEnvironment } from './support/settings.js';
import { Vendor } from './support/vendor.js';

const SECRET = /lk_(live|test|user)_[0-9A-Za-z]{38}/g;

describe('the command line beside a server', () => {
  const server = sharedServer();
  let vendor: Vendor;
  beforeAll(async () => {
    vendor = await Vendor.signUp(server.url);
  });

  const inLive = (): string[] => ['--account', vendor.account.slug, '--environment', 'live'];
  const status = async (key: string): Promise<number> => (await withKey(server.url, key).get('/api-keys/current')).status;

  it('creates an account whose two keys work, shows them that once, and refuses its slug to the next', async () => {
    const slug = `cli-${vendor.account.slug}`;
    const create = ['accounts', 'create', '--name', 'Command Line', '--slug', slug, '--email', 'owner@example.com'];
    const created = await latchkeyProcess(create);
    expect(created).toMatchObject({ code: 0, stderr: '' });
    const keys = created.stdout.match(SECRET) ?? [];
    expect(keys.map((key) => key.slice(0, 7))).toEqual(['lk_live', 'lk_test']);
    expect(await Promise.all(keys.map(status))).toEqual([200, 200]);

    const again = await latchkeyProcess([...create, '--json']);
    expect(again).toMatchObject({ code: 1, stderr: 'error: This slug is taken.\n' });
    expect(JSON.parse(again.stdout)).toEqual({
      error: { code: 'CONFLICT', message: 'This slug is taken.', details: { field: 'slug' } },
    });

    const listed = await latchkeyProcess(['accounts', 'list', '--json']);
    expect(listed.code).toBe(0);
    expect(JSON.parse(listed.stdout)).toContainEqual(
      expect.objectContaining({ slug, name: 'Command Line', ownerEmail: 'owner@example.com', suspendedAt: null }),
    );
    expect(listed.stdout).not.toMatch(SECRET);
  });

  it('exports licenses, and imports what it exported, as a server does', async () => {
    const policy = await vendor.policy({ durationDays: 30 });
    const license = await vendor.license({ productId: policy.productId, policyId: policy.id, name: 'mine' });
    const directory = await mkdtemp(join(tmpdir(), 'license-files-'));
    const file = join(directory, 'licenses.ndjson');
    expect(await latchkey(['licenses', 'export', ...inLive(), '--output', file])).toMatchObject({
      code: 0,
      stdout: '',
      stderr: '1 licenses exported\n',
    });
    const printed = await latchkey(['licenses', 'export', ...inLive()]);
    expect(printed.stdout).toBe(await readFile(file, 'utf8'));
    expect(JSON.parse(printed.stdout)).toMatchObject({ id: license.id, key: license.key, name: 'mine' });

    const taken = await latchkey(['licenses', 'import', file, ...inLive(), '--dry-run']);
    expect(taken).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/^0 would be created, 1 failed\nrow .*\n1 +key +This key is taken\.\n$/),
    });
    await vendor.api.delete(`/licenses/${license.id}`);
    const imported = await latchkey(['licenses', 'import', file, ...inLive(), '--json']);
    expect(imported).toMatchObject({ code: 0, stderr: expect.stringMatching(/^1 rows, \d+ a second\n$/) });
    expect(JSON.parse(imported.stdout)).toMatchObject({ created: 1, failed: 0 });
    expect((await vendor.validate(license)).license).toMatchObject({ name: 'mine' });
    expect(await latchkey(['licenses', 'import', join(directory, 'none.csv'), ...inLive()])).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/<file>: cannot be read/),
    });
    await rm(directory, { recursive: true });
  });

  it('creates a key that works at once, never shows it again, and revokes it', async () => {
    const create = ['keys', 'create', ...inLive(), '--name', 'from a script', '--scopes', 'licenses:read, machines:read', '--quiet'];
    const created = await latchkey(create);
    expect(created).toMatchObject({ code: 0, stderr: '' });
    expect(created.stdout).toMatch(/^lk_live_[0-9A-Za-z]{38}\n$/);
    const key = created.stdout.trim();
    const { body } = await withKey(server.url, key).get('/api-keys/current');
    expect(body.data).toMatchObject({
      name: 'from a script',
      scopes: ['licenses:read', 'machines:read'],
      account: { id: vendor.account.id },
    });

    const listed = await latchkey(['keys', 'list', '--account', vendor.account.id, '--environment', 'live']);
    expect(listed).toMatchObject({ code: 0, stderr: '' });
    expect(listed.stdout).toMatch(/^ID +NAME +KEY +STATUS +CREATED +EXPIRES +SCOPES\n/);
    expect(listed.stdout).toMatch(
      new RegExp(`^${body.data.id}  from a script  ${body.data.maskedKey} +active .* never +licenses:read,machines:read$`, 'm'),
    );
    expect(listed.stdout).not.toMatch(SECRET);

    const revoked = await latchkey(['keys', 'revoke', body.data.id, ...inLive(), '--json']);
    expect(revoked).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(revoked.stdout)).toMatchObject({ id: body.data.id, status: 'revoked' });
    // Another process knows within a second (contract: auth.md).
    await eventually(
      () => status(key),
      (found) => found === 401,
    );
  });

  it('creates a limited service account, and rotates it into one that is the same', async () => {
    const create = ['keys', 'create', ...inLive(), '--name', 'export[bulk]', '--scopes', 'licenses:read', '--service', 'nightly-export'];
    const limits = ['--allowed-ips', '127.0.0.1/8, ::1', '--rate-limit', '600', '--json'];
    const created = await latchkey([...create, ...limits]);
    expect(created).toMatchObject({ code: 0, stderr: '' });
    const old = JSON.parse(created.stdout);
    const same = {
      name: 'export[bulk]',
      kind: 'service',
      serviceName: 'nightly-export',
      allowedIps: ['127.0.0.0/8', '::1/128'],
      rateLimitPerMinute: 600,
    };
    expect(old).toMatchObject(same);

    const rotated = await latchkey(['keys', 'rotate', old.id, ...inLive(), '--overlap-seconds', '3600', '--quiet']);
    expect(rotated).toMatchObject({ code: 0, stderr: '', stdout: expect.stringMatching(/^lk_live_[0-9A-Za-z]{38}\n$/) });
    const { body } = await withKey(server.url, rotated.stdout.trim()).get('/api-keys/current');
    expect(body.data).toMatchObject({ ...same, status: 'active' });
    expect((await vendor.api.get(`/api-keys/${old.id}`)).body.data).toMatchObject({ status: 'expiring', successorId: body.data.id });
    const again = await latchkey(['keys', 'rotate', old.id, ...inLive()]);
    expect(again).toEqual({ code: 1, stdout: '', stderr: 'error: The API key is expiring.\n' });

    const wrong = await latchkey([...create, '--allowed-ips', '10.0.0.0/33', '--rate-limit', 'many']);
    expect(wrong).toMatchObject({ code: 2, stdout: '' });
    expect(wrong.stderr).toMatch(/^error: --allowed-ips: each must be .*\nerror: --rate-limit: must be a whole number\n$/);
    const tooLong = await latchkey(['keys', 'rotate', body.data.id, ...inLive(), '--overlap-seconds', '2592001']);
    expect(tooLong).toMatchObject({ code: 2, stderr: 'error: --overlap-seconds: must be at most 2592000\n' });
  });

  it('audits the keys that work: those of one environment, or of both', async () => {
    const other = await Vendor.signUp(server.url);
    const create = async (fields: object): Promise<{ id: string; key: string }> =>
      (await other.api.post('/api-keys', { scopes: ['licenses:read'], expiresAt: '2999-01-01T00:00:00Z', ...fields })).body.data;
    const [leaked, revoked] = [await create({ name: 'leaked' }), await create({ name: 'revoked' })];
    await anyone(server.url).post('/api-keys/verify-leak', { key: leaked.key });
    await other.api.delete(`/api-keys/${revoked.id}`);

    const audit = ['keys', 'audit', '--account', other.account.slug];
    const [inWords, asJson, inTest] = await Promise.all([
      latchkey(audit),
      latchkey([...audit, '--json']),
      latchkey([...audit, '--environment', 'test', '--json']),
    ]);
    expect(inWords).toMatchObject({ code: 0, stderr: '' });
    expect(inWords.stdout).toMatch(/^ID +NAME +ENVIRONMENT +KEY +FINDINGS\n/);
    expect(inWords.stdout).toMatch(new RegExp(`^${leaked.id}  leaked .* was reported as leaked on [\\d-]+; was never used$`, 'm'));
    expect(inWords.stdout).toMatch(/live key .* has full access; has no end$/m);
    expect(inWords.stdout).not.toMatch(/revoked/);
    expect(inWords.stdout).not.toMatch(SECRET);
    const named = ({ stdout }: Ended) => (JSON.parse(stdout) as { name: string }[]).map(({ name }) => name);
    expect([named(asJson), named(inTest)]).toEqual([['leaked', 'live key', 'test key'], ['test key']]);
    expect(JSON.parse(asJson.stdout)[0].findings).toEqual([
      { code: 'LEAKED', message: expect.any(String) },
      { code: 'NEVER_USED', message: 'was never used' },
    ]);
  });

  it('reaches the keys of the environment that it names and of no other', async () => {
    const { body } = await withKey(server.url, vendor.testKey).get('/api-keys/current');
    const revoked = await latchkey(['keys', 'revoke', body.data.id, ...inLive()]);
    expect(revoked).toEqual({ code: 1, stdout: '', stderr: 'error: No such API key.\n' });
    expect(await status(vendor.testKey)).toBe(200);
  });

  it('suspends an account by its slug and reinstates it by its id', async () => {
    const { account, liveKey } = await Vendor.signUp(server.url);
    const suspended = await latchkey(['accounts', 'suspend', account.slug]);
    expect(suspended).toEqual({ code: 0, stdout: `Account ${account.slug} is suspended.\n`, stderr: '' });
    await eventually(
      () => status(liveKey),
      (answered) => answered === 403,
    );
    const again = await latchkey(['accounts', 'suspend', account.id, '--json']);
    expect(again).toMatchObject({ code: 1, stderr: 'error: The account is suspended already.\n' });
    expect(JSON.parse(again.stdout)).toMatchObject({ error: { code: 'CONFLICT', details: { status: 'suspended' } } });
    const reinstated = await latchkey(['accounts', 'reinstate', account.id, '--json']);
    expect(reinstated).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(reinstated.stdout)).toMatchObject({ id: account.id, status: 'active', suspendedAt: null });
    // What is known of a key may be a second old.
    await eventually(
      () => status(liveKey),
      (answered) => answered === 200,
    );
  });

  it('adds users, new ones and those of another account, lists them and removes them', async () => {
    const account = ['--account', vendor.account.slug];
    const add = ['users', 'add', ...account, '--email', 'ada@example.com', '--name', 'Ada\u001b[2J', '--role', 'owner'];
    const user = JSON.parse((await latchkey([...add, '--json'])).stdout);
    expect((await vendor.api.get(`/users/${user.id}`)).body.data).toEqual(user);
    const other = await Vendor.signUp(server.url);
    const [again, elsewhere, listed] = await Promise.all([
      latchkey(add),
      latchkey(['users', 'add', '--account', other.account.id, ...add.slice(4), '--user', user.id]),
      latchkey(['users', 'list', ...account]),
    ]);
    expect(again).toEqual({ code: 1, stdout: '', stderr: 'error: This email is taken.\n' });
    expect(elsewhere).toEqual({ code: 0, stdout: `User ada@example.com was added as owner (${user.id}).\n`, stderr: '' });
    expect(listed.stdout).toMatch(new RegExp(`^${user.id}  ada@example\\.com  Ada\\?\\[2J  owner  `, 'm'));
    const removed = await latchkey(['users', 'remove', ...account, '--user', user.id]);
    expect(removed).toEqual({ code: 0, stdout: `User ada@example.com was removed (${user.id}).\n`, stderr: '' });
    expect((await vendor.api.get(`/users/${user.id}`)).status).toBe(404);
    expect((await other.api.get(`/users/${user.id}`)).status).toBe(200);
  });

  it('creates a key of a user, never shows it again, and revokes it', async () => {
    const { id } = (await vendor.api.post('/users', { email: 'grace@example.com', name: 'Grace', role: 'support' })).body.data;
    const who = ['--account', vendor.account.slug, '--user', id];
    const created = await latchkey(['users', 'key', 'create', ...who, '--name', 'laptop', '--quiet']);
    expect(created).toEqual({ code: 0, stdout: expect.stringMatching(/^lk_user_[0-9A-Za-z]{38}\n$/), stderr: '' });
    const [key] = (await vendor.api.get(`/users/${id}/keys`)).body.data;
    expect(key).toMatchObject({ name: 'laptop', maskedKey: expect.stringContaining(created.stdout.slice(0, 12)) });
    const revoked = await latchkey(['users', 'key', 'revoke', key.id, ...who, '--json']);
    expect(JSON.parse(revoked.stdout)).toEqual({ id: key.id, status: 'revoked' });
    const listed = await latchkey(['users', 'key', 'list', ...who]);
    expect(listed.stdout).toMatch(/^ID +NAME +KEY +STATUS +ACCOUNTS +CREATED +EXPIRES\n.* laptop .* revoked +all .* never$/m);
    expect(listed.stdout).not.toMatch(SECRET);
  });

  it('draws how things stand, for people, and prints the same for programs', async () => {
    const other = await Vendor.signUp(server.url);
    const { key } = await other.licenseUnder({ maxMachines: 3, requireFingerprint: false }, { name: 'For\u001b[2J Ada, "and" others' });
    await other.activate({ key }, 'fingerprint-1');
    await other.validate({ key });
    await eventually(
      async () => (await other.api.get('/analytics')).body.data,
      ({ validations, machines }) => validations.total === 1 && machines.total === 1,
    );
    const analytics = ['analytics', '--account', other.account.slug, '--environment', 'live'];
    const series = ['analytics', 'timeseries', ...analytics.slice(1), '--metric', 'validations'];
    const inWords = await latchkey(analytics);
    expect(inWords).toMatchObject({ code: 0, stderr: '' });
    expect(inWords.stdout).toMatch(/^LICENSES {2}1\nactive +█+ +1\n/);
    expect(inWords.stdout).toMatch(/^Pro +█+.? +1 of 3$/m);
    expect(inWords.stdout).toMatch(/^For\?\[2J Ada, "and" .*█ +1\n\nas of /m);
    // Nobody looks: no colours.
    expect(inWords.stdout).not.toContain('\u001b');

    const asJson = await latchkey([...analytics, '--json']);
    expect(JSON.parse(asJson.stdout)).toMatchObject({
      licenses: { total: 1, active: 1 },
      validations: { byCode: { VALID: 1 } },
      seats: [{ used: 1, limit: 3 }],
      topLicenses: [{ value: 1 }],
    });
    const asCsv = await latchkey([...analytics, '--csv']);
    expect(asCsv.stdout).toMatch(
      /^section,name,value\r\n(.*\r\n)*licenses,active,1\r\n(.*\r\n)*topLicenses,"For.* Ada, ""and"" others",1\r\n$/,
    );
    const byCode = await latchkey([...series, '--group-by', 'code', '--csv']);
    expect(byCode.stdout).toMatch(/^start,group,value\r\n(.*,,0\r\n)+[^,]*,,1\r\n[^,]*,VALID,1\r\n$/);
    expect((await latchkey(series)).stdout).toMatch(/^validations by day, .*: 1\n/);

    const wrong = await latchkey([...series, '--interval', 'minute', '--from', 'yesterday']);
    expect(wrong).toMatchObject({ code: 2, stdout: '' });
    expect(wrong.stderr).toMatch(/^error: --(interval|from): .*\nerror: --(interval|from): /);
    const tooLate = await latchkey([...series, '--from', '2999-01-01T00:00:00Z']);
    expect(tooLate).toMatchObject({ code: 2, stderr: expect.stringMatching(/^error: --from: /) });
    const byProduct = await latchkey([...series, '--group-by', 'productId']);
    const [product] = (await other.api.get('/products')).body.data;
    expect(byProduct.stdout.trimEnd().split('\n').at(-1)).toMatch(new RegExp(`^${product.name} +█+ +1$`));
    expect(await latchkey([...analytics, '--csv', '--json'])).toMatchObject({ code: 2 });
    expect(await latchkey(['analytics', '--account', 'nobody-at-all', '--environment', 'live'])).toMatchObject({ code: 1 });
  });

  it('answers what validate-key answers: 0 for a license that may run, 1 for one that may not', async () => {
    const { id, key, productId } = await vendor.licenseUnder({ requireFingerprint: true }, { name: 'For\u001b[2J Ada' });
    await vendor.activate({ key }, 'fingerprint-1');
    const validate = ['licenses', 'validate', key, '--product', productId, '--version', '1.4.2'];
    const [valid, invalid] = await Promise.all([
      latchkey([...validate, '--fingerprint', 'another-machine', '--fingerprint', 'fingerprint-1', '--json']),
      latchkey([...validate, '--fingerprint', 'another-machine']),
    ]);
    expect(valid).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(valid.stdout)).toMatchObject({
      valid: true,
      code: 'VALID',
      license: { id },
      machine: { fingerprint: 'fingerprint-1' },
    });
    expect(invalid).toMatchObject({ code: 1, stderr: '' });
    expect(invalid.stdout).toMatch(
      /^not valid +FINGERPRINT_NOT_FOUND: The license is not activated on this machine\.\nlicense +For\?\[2J Ada/,
    );
    // What the server would save a moment later is saved before the command ends.
    expect((await vendor.api.get(`/licenses/${id}`)).body.data.lastValidatedAt).not.toBeNull();
  });

  it('creates a license, shows and lists it, and does to it what the API does', async () => {
    const [policy, other] = [await vendor.policy({ durationDays: 30, maxUses: 5 }), await vendor.policy()];
    const create = ['licenses', 'create', ...inLive(), '--product', policy.productId, '--policy', policy.id, '--name', 'For Ada', '--json'];
    const created = await latchkey(create);
    expect(created).toMatchObject({ code: 0, stderr: '' });
    const { id, key } = JSON.parse(created.stdout);
    expect((await vendor.api.get(`/licenses/${id}`)).body.data).toMatchObject({ key, name: 'For Ada', status: 'active' });
    const act = (action: string, ...more: string[]) => latchkey(['licenses', action, id, ...inLive(), ...more]);
    const [suspended, counted, wrong, unknown] = await Promise.all([
      act('suspend'),
      act('usage', '--increment', '2', '--json'),
      act('usage', '--increment', 'many'),
      latchkey(['licenses', 'show', '7', ...inLive()]),
    ]);
    expect(suspended.stdout).toMatch(/^license +For Ada .*\nkey .*\nstatus +suspended$/m);
    expect(JSON.parse(counted.stdout).usesCount).toBe(2);
    expect(wrong).toMatchObject({ code: 2, stderr: 'error: --increment: must be a whole number\n' });
    expect(unknown).toEqual({ code: 1, stdout: '', stderr: 'error: No such license.\n' });
    const [again, moved, rotated] = await Promise.all([
      act('suspend', '--json'),
      act('transfer', '--policy', other.id, '--json'),
      act('rotate-key', '--overlap-seconds', '0', '--quiet'),
    ]);
    expect(again).toMatchObject({ code: 1, stderr: 'error: The license is suspended: suspend is not possible.\n' });
    expect(JSON.parse(again.stdout)).toMatchObject({ error: { code: 'CONFLICT', details: { status: 'suspended' } } });
    expect(JSON.parse(moved.stdout)).toMatchObject({ policyId: other.id, productId: other.productId });
    expect(rotated).toMatchObject({ code: 0, stderr: '', stdout: expect.stringMatching(/^LIC(-[0-9A-Z]{4}){6}\n$/) });
    const listed = await latchkey(['licenses', 'list', ...inLive(), '--policy', other.id, '--status', 'suspended']);
    expect(listed.stdout).toMatch(new RegExp(`^ID .*\\n${id}  ${rotated.stdout.trim()}  For Ada  suspended  `));
  });

  it('tells every wrong value in the words of the API, and does nothing', async () => {
    const create = ['keys', 'create', ...inLive(), '--name', 'wrong', '--scopes', '', '--expires-at', 'tomorrow', '--json'];
    const refused = await latchkey(create);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toMatch(
      /^error: --scopes: must each be one of licenses:read, .*\nerror: --expires-at: must be an ISO-8601 time .*\n$/,
    );
    expect(JSON.parse(refused.stdout)).toMatchObject({
      error: { code: 'VALIDATION_ERROR', details: { issues: [{ path: '--scopes' }, { path: '--expires-at' }] } },
    });
    expect((await vendor.api.get('/api-keys?limit=100')).text).not.toContain('"wrong"');
  });

  it('tells every wrong value of a user by its option', async () => {
    const add = ['users', 'add', '--account', vendor.account.slug, '--email', 'ada', '--name', 'Ada', '--role', 'boss', '--user', '7'];
    const refused = await latchkey(add);
    expect(refused).toMatchObject({ code: 2, stdout: '' });
    expect(refused.stderr).toMatch(/^error: --email: must .*\nerror: --role: must be one of owner, .*\nerror: --user: must be a UUID\n$/);
  });

  it('ends quietly, with its exit code, when nobody reads what it says any more', async () => {
    const unread = async (closed: 'stdout' | 'stderr', args: string[]): Promise<unknown[]> => {
      const options = { env: { PATH: process.env.PATH ?? '', ...testEnvironment() }, cwd: tmpdir() };
      const child = spawn(process.execPath, [COMMAND, ...args], options);
      child[closed].destroy();
      let told = '';
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (told += chunk.toString()));
      const [code] = (await once(child, 'close')) as [number];
      return [code, told];
    };
    expect(await unread('stdout', ['keys', 'list', ...inLive()])).toEqual([0, '']);
    expect(await unread('stderr', ['keys', 'list'])).toEqual([2, '']);
  });

  it('does not know an account that does not exist', async () => {
    const refused = await latchkey(['keys', 'list', '--account', 'nobody', '--environment', 'live']);
    expect(refused).toEqual({ code: 1, stdout: '', stderr: 'error: No such account.\n' });
  });
});

describe('mistakes', () => {
  it.each([
    ['a misspelt command', ['acounts', 'list'], /unknown command 'acounts'\n\(Did you mean accounts\?\)/],
    ['a group without a command', ['keys'], /^Usage: latchkey keys/],
    ['a user who is not named', ['users', 'key', 'create', '--account', 'a', '--name', 'x'], /required option '--user <id>' not specified/],
    ['an account that is not named', ['accounts', 'suspend'], /missing required argument 'account'/],
    ['a missing option', ['accounts', 'create', '--name', 'A'], /required option '--slug <slug>' not specified/],
    [
      'an unknown environment',
      ['keys', 'list', '--account', 'a', '--environment', 'prod'],
      /'prod' is invalid\. Allowed choices are live, test/,
    ],
  ])('exit code 2 for %s, told on stderr', async (_, args, told) => {
    const ended = await latchkeyProcess(args, {});
    expect(ended).toMatchObject({ code: 2, stdout: '' });
    expect(ended.stderr).toMatch(told);
  });

  it('exit code 1 for settings that cannot be right, a line for each', async () => {
    const ended = await latchkeyProcess(['db', 'status'], { ...testEnvironment({ MASTER_KEY: 'short' }), DATABASE_POOLSIZE: '5' });
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    expect(ended.stderr).toMatch(/^error: MASTER_KEY: must be 32 bytes .*\nerror: DATABASE_POOLSIZE: is no setting of Latchkey .*\n$/);
  });

  it('exit code 1 when the database is away, without its password', async () => {
    const url = 'postgresql://latchkey:pass-word@127.0.0.1:1/latchkey';
    const ended = await latchkeyProcess(['accounts', 'list'], testEnvironment({ DATABASE_URL: url }));
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    expect(ended.stderr).toMatch(/^error: The database cannot be reached: connect ECONNREFUSED 127\.0\.0\.1:1\n$/);
  });
});
