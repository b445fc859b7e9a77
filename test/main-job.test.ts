import { beforeAll, describe, expect, it } from '@jest/globals';
import { anyone } from './support/client.js';
import { sharedServer } from './support/shared-server.js';
import { Vendor } from './support/vendor.js';

describe('the main job', () => {
  const server = sharedServer();
  let vendor: Vendor;
  beforeAll(async () => {
    vendor = await Vendor.signUp(server.url);
  });

  it('sells a license and lets it run: product → policy → license → validate → activate → beat → deactivate', async () => {
    const product = await vendor.product({ keyPrefix: 'ACME' });
    const policy = await vendor.policy({ productId: product.id, template: 'desktop_app', durationDays: 365 });
    const license = await vendor.license({ productId: product.id, policyId: policy.id });
    expect(license.key).toMatch(/^ACME(-[0-9A-HJKMNP-TV-Z]{4}){6}$/);
    expect(await vendor.validate(license, { fingerprint: 'fingerprint-1' })).toMatchObject({ valid: false, code: 'NOT_ACTIVATED' });

    const machine = await vendor.activate(license, 'fingerprint-1', { platform: 'linux' });
    expect(await vendor.validate(license, { fingerprint: 'fingerprint-1' })).toMatchObject({
      valid: true,
      code: 'VALID',
      license: { id: license.id, status: 'active', machineCount: 1, maxMachines: 2 },
      machine: { id: machine.id, status: 'active' },
    });

    expect((await vendor.app(license).post(`/machines/${machine.id}/heartbeat`)).status).toBe(200);
    expect((await vendor.app(license).delete(`/machines/${machine.id}`)).status).toBe(204);
    expect(await vendor.validate(license, { fingerprint: 'fingerprint-1' })).toMatchObject({ valid: false, code: 'NOT_ACTIVATED' });
  });

  it('answers validate-key to anyone, also for a key that does not exist', async () => {
    const reply = await anyone(server.url).post('/licenses/validate-key', { key: 'LIC-AAAA-AAAA-AAAA-AAAA-AAAA-AAAA' });
    expect(reply.status).toBe(200);
    expect(reply.body.data).toMatchObject({ valid: false, code: 'NOT_FOUND', license: null, machine: null });
  });
});
