import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { send } from '../support/client.js';
import { eventually } from '../support/eventually.js';
import { type QuietDatabase, quietDatabase } from '../support/quiet-database.js';
import { ServerProcess } from '../support/server.js';
import { testEnvironment } from '../support/settings.js';
import { expectStatus, Vendor } from '../support/vendor.js';

/** `ROLE` (contract: operations.md): who answers, and who does the work behind the answers. */
describe('a process that only answers, and one that only works', () => {
  let quiet: QuietDatabase;
  let database: pg.Client;
  const running: ServerProcess[] = [];
  const start = async (role: string): Promise<ServerProcess> => {
    const server = await ServerProcess.start(testEnvironment({ DATABASE_URL: quiet.url, ROLE: role }));
    running.push(server);
    return server;
  };
  beforeAll(async () => {
    quiet = await quietDatabase();
    database = new pg.Client({ connectionString: quiet.url });
    await database.connect();
  });
  afterAll(async () => {
    await database.end();
    await Promise.all(running.map((server) => server.stop()));
    await quiet.end();
  });

  const count = async (table: string): Promise<number> =>
    (await database.query<{ count: number }>(`SELECT count(*)::int FROM ${table}`)).rows[0]!.count;

  it('what one commits waits for the other, also when it is killed; and nothing of it is lost', async () => {
    const api = await start('api');
    const vendor = await Vendor.signUp(api.url);
    await vendor.licenseUnder({});
    const [events, entries] = [await count('event'), await count('audit_pending')];
    expect([events, entries]).toEqual([await count('event_outbox'), await count('audit_entry')]);
    expect(events).toBeGreaterThan(2);
    const { workerLagSeconds } = await eventually(
      async () => expectStatus(await send(api.url, 'GET', '/health/ready'), 200).body,
      (ready) => ready.workerLagSeconds > 0,
    );
    expect(workerLagSeconds).toBeLessThan(60);
    await api.stop('SIGKILL');

    const worker = await start('worker');
    await eventually(
      async () => [await count('event_outbox'), await count('audit_pending'), await count('event_feed')],
      ([outbox, pending, placed]) => outbox === 0 && pending === 0 && placed === events,
    );
    expect(expectStatus(await send(worker.url, 'GET', '/health/ready'), 200).body).toEqual({ status: 'ok', workerLagSeconds: 0 });
    expect((await send(worker.url, 'GET', '/health/live')).status).toBe(200);
    expect((await send(worker.url, 'GET', '/')).body.name).toBe('Latchkey');
    const metrics = expectStatus(await send(worker.url, 'GET', '/metrics'), 200).text;
    expect(metrics).toMatch(/^latchkey_job_last_round_age_seconds\{name="event_feed"\} /m);
    expect(metrics).toMatch(/^latchkey_http_requests_total\{method="GET",route="\/health\/ready",status="2xx"\} /m);
  });

  it('the worker answers nothing but how it is', async () => {
    const worker = running.at(-1)!;
    for (const [method, path] of [
      ['GET', '/api/v1/licenses'],
      ['POST', '/api/v1/licenses/validate-key'],
      ['POST', '/api/v1/machines/0198c5f6-7c1e-7a60-9d9b-0f4a3c1b2d3e/heartbeat'],
      ['OPTIONS', '/api/v1/licenses/validate-key'],
      ['GET', '/api/v1'],
      ['GET', '/docs'],
      ['GET', '/docs/errors'],
      ['GET', '/openapi.json'],
      ['GET', '/healthy'],
    ] as const) {
      const { status, headers, body } = await send(worker.url, method, path, { headers: { 'x-request-id': 'asked' } });
      expect([path, status, headers['x-request-id'], body]).toEqual([
        path,
        404,
        'asked',
        { error: 'Not Found', code: 'NOT_FOUND', message: expect.any(String), requestId: 'asked' },
      ]);
    }
  });
});
