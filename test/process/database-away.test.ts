import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { EmbeddedPostgres } from '../../src/core/embedded-postgres.js';
import { anyone, send } from '../support/client.js';
import { ServerProcess } from '../support/server.js';
import { testEnvironment } from '../support/settings.js';
import { Vendor } from '../support/vendor.js';

describe('while the database is away', () => {
  let home: string;
  let database: EmbeddedPostgres;
  let server: ServerProcess;

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'latchkey-away-'));
    await chmod(home, 0o755);
    database = await EmbeddedPostgres.start(home);
    server = await ServerProcess.start(testEnvironment({ DATABASE_URL: database.url }));
  });
  afterAll(async () => {
    await server.stop();
    await database.stop();
    await rm(home, { recursive: true, force: true });
  });

  it('the server answers 503 UNAVAILABLE, lives, and recovers by itself', async () => {
    const vendor = await Vendor.signUp(server.url);
    const license = await vendor.licenseUnder({ requireFingerprint: false });
    const { port } = new URL(database.url);

    await database.stop();
    const requests = {
      validation: () => anyone(server.url).post('/licenses/validate-key', { key: license.key }),
      reading: () => vendor.api.get('/licenses'),
      writing: () => vendor.api.post('/products', { name: 'Lost', code: 'lost' }),
      activation: () => vendor.app(license).post('/machines', { fingerprint: 'fingerprint-1' }),
      readiness: () => send(server.url, 'GET', '/health/ready'),
    };
    for (const [what, request] of Object.entries(requests)) {
      const reply = await request();
      expect([what, reply.status, reply.body.code]).toEqual([what, 503, 'UNAVAILABLE']);
      expect(Number(reply.headers['retry-after'])).toBeGreaterThan(0);
      expect(reply.text).not.toMatch(/postgres|prisma|127\.0\.0\.1|ECONN/i);
    }
    expect((await send(server.url, 'GET', '/health/live')).status).toBe(200);

    database = await EmbeddedPostgres.start(home, Number(port));
    expect((await send(server.url, 'GET', '/health/ready')).status).toBe(200);
    expect(await vendor.validate(license)).toMatchObject({ valid: true });
    expect((await vendor.api.get('/products?code=lost')).body.data).toEqual([]);
    await vendor.activate(license, 'fingerprint-1');
    expect(server.child.exitCode).toBeNull();
  });
});
