import { beforeAll, describe, expect, it } from '@jest/globals';
import { createClient, type ClientOptions, type LatchkeyClient, memoryStore } from '../sdk/src/index.js';
import { sharedServer } from './support/shared-server.js';
import { Vendor } from './support/vendor.js';

/** The SDK against the real server; what servers do that lie is in sdk-lies.test.ts. */
describe('the SDK and the server', () => {
  const server = sharedServer();
  let vendor: Vendor;
  let keys: ClientOptions['keys'];
  beforeAll(async () => {
    vendor = await Vendor.signUp(server.url);
    await vendor.license(await aLicense());
    const reply = await fetch(`${server.url}/.well-known/jwks.json?account=${vendor.account.id}&environment=live`);
    keys = (await reply.json()) as ClientOptions['keys'];
  });
  const aLicense = async () => {
    const policy = await vendor.policy({ template: 'desktop_app', maxMachines: 1 });
    return { productId: policy.productId, policyId: policy.id };
  };
  const clientOf = (license: { key: string }, changes: Partial<ClientOptions> = {}): LatchkeyClient =>
    createClient({
      baseUrl: server.url,
      account: vendor.account.id,
      licenseKey: license.key,
      fingerprint: 'machine-of-the-sdk',
      store: memoryStore(),
      ...changes,
    });
  const unplugged = { fetch: () => Promise.reject(new TypeError('unplugged')), retry: { retries: 0 } };

  it('activates, validates, goes on unplugged, gives the seat back', async () => {
    const license = await vendor.license(await aLicense());
    const store = memoryStore();
    const app = clientOf(license, { store });
    expect(await app.validate()).toMatchObject({ valid: false, source: 'server', code: 'NOT_ACTIVATED' });
    const machine = await app.activate({ name: 'Laptop', platform: 'linux' });
    expect(await app.activate()).toMatchObject({ id: machine.id });
    expect(await app.validate()).toMatchObject({
      valid: true,
      source: 'server',
      code: 'VALID',
      licenseId: license.id,
      body: { machine: { id: machine.id } },
    });
    expect(await app.heartbeat()).toMatchObject({ id: machine.id });
    expect(await clientOf(license, { store, ...unplugged }).validate()).toMatchObject({ valid: true, source: 'cache' });
    await expect(clientOf(license, { fingerprint: 'another-machine' }).activate()).rejects.toMatchObject({
      code: 'MACHINE_LIMIT_EXCEEDED',
      status: 422,
    });

    expect(await app.deactivate()).toBe(true);
    expect(await app.deactivate()).toBe(false);
    expect(await clientOf(license, { store, ...unplugged }).validate()).toMatchObject({ valid: false });
    await expect(app.heartbeat()).rejects.toMatchObject({ code: 'not_activated' });
  });

  it('stops for a license that was revoked, plugged in or not', async () => {
    const license = await vendor.license(await aLicense());
    const store = memoryStore();
    const app = clientOf(license, { store, keys });
    await app.activate();
    await app.validate();
    await vendor.api.post(`/licenses/${license.id}/revoke`);
    expect(await app.validate()).toMatchObject({ valid: false, source: 'server', reason: 'refused', code: 'REVOKED' });
    expect(await clientOf(license, { store, keys, ...unplugged }).validate()).toMatchObject({
      valid: false,
      source: 'cache',
      code: 'REVOKED',
    });
  });

  it('has no proof of a license that does not exist', async () => {
    const none = { key: 'LIC-AAAA-AAAA-AAAA-AAAA-AAAA-AAAA' };
    expect(await clientOf(none).validate()).toMatchObject({
      valid: false,
      reason: 'proof_missing',
      code: null,
      serverProblem: { code: 'NOT_FOUND' },
    });
  });

  it('meets a rotated key: finds it where keys are fetched, stays in the grace where they are pinned', async () => {
    const other = await Vendor.signUp(server.url);
    const policy = await other.policy({ template: 'desktop_app' });
    const license = await other.license({ productId: policy.productId, policyId: policy.id });
    const fetched = clientOf(license, { account: other.account.id });
    await fetched.activate();
    await fetched.validate();
    const jwks = (await (
      await fetch(`${server.url}/.well-known/jwks.json?account=${other.account.id}&environment=live`)
    ).json()) as ClientOptions['keys'];
    const pinned = clientOf(license, { account: other.account.id, keys: jwks });
    expect(await pinned.validate()).toMatchObject({ valid: true, source: 'server' });
    expect((await other.api.post('/signing-keys/rotate')).status).toBe(201);
    expect(await fetched.validate()).toMatchObject({ valid: true, source: 'server' });
    expect(await pinned.validate()).toMatchObject({ valid: true, source: 'cache', serverProblem: { kind: 'proof_invalid' } });
  });

  it.each([false, true])('checks a file out, and runs on it alone (encrypted: %s)', async (encrypt) => {
    const license = await vendor.license(await aLicense());
    const app = clientOf(license, { keys });
    await app.activate();
    const { kind, text } = await app.checkOut({ ttlSeconds: 3600, encrypt });
    expect(kind).toBe('machine');
    expect(text.split('.')).toHaveLength(encrypt ? 5 : 3);

    const carried = (await vendor.app(license).get(`/machines/${(await app.heartbeat()).id}/check-out?encrypt=${String(encrypt)}`)).text;
    const elsewhere = clientOf(license, { keys, ...unplugged });
    await elsewhere.importFile(carried);
    expect(await elsewhere.validate()).toMatchObject({ valid: true, source: 'file', licenseId: license.id });
    await expect(clientOf(license, { keys, fingerprint: 'another-machine' }).importFile(carried)).rejects.toThrow();
  });

  it.each([false, true])('checks a license file out where no fingerprint is required (encrypted: %s)', async (encrypt) => {
    const policy = await vendor.policy({ template: 'desktop_app', requireFingerprint: false });
    const license = await vendor.license({ productId: policy.productId, policyId: policy.id });
    expect((await clientOf(license, { keys }).checkOut({ kind: 'license', encrypt })).kind).toBe('license');
    const elsewhere = clientOf(license, { keys, fingerprint: undefined });
    expect((await elsewhere.checkOut()).kind).toBe('license');
    expect(await elsewhere.verifyOffline()).toMatchObject({ valid: true, source: 'file', licenseId: license.id });
  });

  it('activates a machine without a network, by hand', async () => {
    const license = await vendor.license(await aLicense());
    const app = clientOf(license, { keys, ...unplugged });
    const request = await app.offlineRequest({ name: 'Mill 7', platform: 'windows' });
    const answer = await vendor.api.post('/machines/offline-requests', { request });
    expect(answer.status).toBe(201);
    const document = answer.body.data.document as string;
    await expect(clientOf(license, { keys }).importFile(document)).rejects.toMatchObject({ problem: 'wrong_nonce' });
    await app.importFile(document);
    expect(await app.validate()).toMatchObject({ valid: true, source: 'file' });
  });
});
