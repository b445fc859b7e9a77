import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import type { Running } from '../../src/boot.js';
import { SweepWorker } from '../../src/machines/sweep.worker.js';
import { latest } from '../support/eventually.js';
import { Random } from '../support/random.js';
import { contradictions } from '../support/seat-history.js';
import { SeatLoad } from '../support/seat-load.js';
import { ServerProcess, startServer } from '../support/server.js';
import { testDatabaseUrl, testEnvironment } from '../support/settings.js';

/** Repeats one history, as far as its clients can: `SEATS_SEED=7 npm test -- seats.checker`. */
const only = process.env.SEATS_SEED;
const SEEDS = only === undefined ? Array.from({ length: 20 }, (_, index) => index + 1) : [Number(only)];
/** In every fourth, one of the two servers is killed in the middle and started again: five times in all. */
const isKilled = (seed: number): boolean => seed % 4 === 0;

describe('seats, under random use through two server processes', () => {
  /** The second is the one that is killed; null while it is away. */
  const servers: (ServerProcess | null)[] = [null, null];
  const outputs: (() => string)[] = [];
  let database: pg.Pool;
  let sweeping: Running;

  const startSecond = async (index: number): Promise<void> => {
    const server = await ServerProcess.start(testEnvironment({ LOG_LEVEL: 'warn' }));
    outputs.push(() => server.output);
    servers[index] = server;
  };
  beforeAll(async () => {
    database = new pg.Pool({ connectionString: testDatabaseUrl(), max: 4 });
    await Promise.all([startSecond(0), startSecond(1)]);
    sweeping = await startServer();
  });
  afterAll(async () => {
    for (const server of servers) await server?.stop();
    await sweeping.stop();
    await database.end();
  });

  it.each(SEEDS)(
    'keeps every promise (SEATS_SEED=%i)',
    async (seed) => {
      const random = new Random(seed);
      const load = await SeatLoad.create({ random, database, servers, sweep: () => sweeping.app.get(SweepWorker).sweep() });
      const clients = load.run();
      if (isKilled(seed)) {
        await load.halfway();
        const victim = servers[1]!;
        servers[1] = null;
        load.kills(victim);
        await victim.stop('SIGKILL');
        await startSecond(1);
      }
      await clients;

      // A sweep leaves what another server holds, and is none while it is another's turn: what is due comes with a next one.
      const broken = async (): Promise<string[]> => {
        await sweeping.app.get(SweepWorker).sweep();
        return contradictions(await load.history(Date.now()));
      };
      expect({ seed, broken: await latest(broken, (found) => found.length === 0) }).toEqual({ seed, broken: [] });
      expect(load.outcomes()).toEqual(expect.arrayContaining(['activate 201', 'activate 422', 'deactivate 204', 'beat 200']));
    },
    120_000,
  );

  it('never ran into a deadlock', () => {
    expect(outputs.map((output) => output()).join('')).not.toMatch(/40P01|deadlock/);
  });
});
