import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { anyone, type Reply } from '../support/client.js';
import { Random } from '../support/random.js';
import { rollUpsAreKept } from '../support/roll-ups.js';
import { ServerProcess } from '../support/server.js';
import { testDatabaseUrl, testEnvironment } from '../support/settings.js';
import { sharedServer } from '../support/shared-server.js';
import { expectStatus, Vendor } from '../support/vendor.js';
import { isWholeRun } from '../support/whole-run.js';

/**
 * What analytics say of validations is what those who asked were answered (contract: resources.md, "Analytics"): to the last one
 * when servers are stopped and started again, and but for the last second of one that is killed.
 */

/** How many are asked for. */
const VALIDATIONS = isWholeRun ? 100_000 : 600;
const CLIENTS = 8;
const VERSIONS = ['1.0.0', '1.4.2', '2.0.0-beta.1', undefined];
const STRANGER = 'of-nobody';
/** What a server that is killed may not have written yet. */
const LOST_AT_MOST_MS = 1000;
const PAUSE_MS = 10;
const TIMEOUT_MS = 60_000 + VALIDATIONS * 20;

const seed = Number(process.env.TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));

type Counts = Record<string, number>;

/** A test that has failed: whoever still asks stops. */
let isOver = false;

/** A license, with the platforms of its machines by their fingerprints. */
interface Known {
  id: string;
  key: string;
  productId: string;
  policyId: string;
  platforms: Record<string, string | null>;
}

/** What was asked, and where: of an unknown key there is no license. */
interface Asked {
  license: Known | null;
  fingerprint: string | undefined;
  version: string | undefined;
}

/** One answer of 200 about a license. */
interface Answered extends Asked {
  license: Known;
  code: string;
  valid: boolean;
  by: ServerProcess;
  at: number;
}

describe(`validations, counted by who asked and by two servers (TEST_SEED=${String(seed)})`, () => {
  let database: pg.Client;
  let servers: ServerProcess[];
  let vendor: Vendor;
  let licenses: Known[];

  beforeAll(async () => {
    database = new pg.Client({ connectionString: testDatabaseUrl() });
    await database.connect();
  });
  afterAll(() => database.end());
  afterEach(async () => {
    isOver = true;
    await Promise.all(servers.map((server) => server.stop()));
  });
  beforeEach(async () => {
    isOver = false;
    servers = await Promise.all([start(), start()]);
    vendor = await Vendor.signUp(sharedServer().url);
    licenses = await licensesOf(vendor);
  });

  it(
    'are all counted, and nothing else is, also when a server is stopped and started again in the middle',
    async () => {
      const startedAt = performance.now();
      const load = new Load(vendor, licenses, servers);
      const [first] = servers;
      let restarted: ServerProcess | null = null;
      const restart = async (): Promise<void> => {
        while (!isOver && load.answers.length < VALIDATIONS / 2) await pause(PAUSE_MS);
        // Asked until it is gone.
        expect(await first!.stop()).toBe(0);
        load.servers = load.servers.filter((server) => server !== first);
        restarted = await start();
        servers.push(restarted);
        load.servers.push(restarted);
      };
      const isEnough = (): boolean =>
        load.answers.length >= VALIDATIONS && restarted !== null && load.answeredBy(restarted) >= VALIDATIONS / 20;
      await Promise.all([restart(), load.drive(isEnough)]);
      const seconds = (performance.now() - startedAt) / 1000;
      await settle(load);

      const [successful, failed] = [true, false].map((valid) => load.answers.filter((answer) => answer.valid === valid).length);
      const total = load.answers.length;
      const stopped = load.answeredBy(first!);
      console.log(
        `${String(total)} validations counted by who asked (${String(stopped)} by the server that was stopped, ` +
          `${String(load.answeredBy(restarted!))} by the one in its place), ${String(load.unknown)} of unknown keys, in ${seconds.toFixed(1)} s; ` +
          `${String(load.refused)} found no server, ${String(load.cut)} were cut and asked again`,
      );
      expect((await overview()).validations).toEqual({ total, successful, failed, byCode: load.countsOf(({ code }) => code) });
      expect(await inSeries('')).toEqual([total, {}]);
      const groups = {
        code: ({ code }: Answered) => code,
        productId: ({ license }: Answered) => license.productId,
        policyId: ({ license }: Answered) => license.policyId,
        platform: ({ license, fingerprint }: Answered) => license.platforms[fingerprint ?? ''] ?? null,
        version: ({ version }: Answered) => version ?? null,
      };
      for (const [groupBy, nameOf] of Object.entries(groups))
        expect([groupBy, ...(await inSeries(groupBy))]).toEqual([groupBy, total, load.countsOf(nameOf)]);
      const tops = {
        licenses: ({ license }: Answered) => license.id,
        products: groups.productId,
        platforms: groups.platform,
        versions: groups.version,
        fingerprints: ({ fingerprint }: Answered) => fingerprint ?? null,
      };
      for (const [by, nameOf] of Object.entries(tops)) expect([by, await top(by)]).toEqual([by, load.countsOf(nameOf)]);
      expect(load.unknown).toBeGreaterThan(0);
    },
    TIMEOUT_MS,
  );

  it(
    'of a server that is killed are lost for a second at most, and none is counted twice',
    async () => {
      const load = new Load(vendor, licenses, servers);
      const victim = servers[0]!;
      let killedAt = Infinity;
      const kill = async (): Promise<void> => {
        while (!isOver && load.answers.length < VALIDATIONS / 4) await pause(PAUSE_MS);
        killedAt = performance.now();
        await victim.stop('SIGKILL');
        load.servers = load.servers.filter((server) => server !== victim);
      };
      await Promise.all([kill(), load.drive(() => load.answers.length >= VALIDATIONS / 2)]);
      await settle(load);

      const late = load.answers.filter(({ by, at }) => by === victim && at > killedAt - LOST_AT_MOST_MS);
      const { total, successful, failed, byCode } = (await overview()).validations;
      console.log(
        `${String(load.answers.length)} counted by who asked, ${String(load.cut)} cut, ${String(late.length)} in the last second of the ` +
          `server that was killed; ${String(total)} in analytics`,
      );
      expect(total).toBeGreaterThanOrEqual(load.answers.length - late.length);
      expect(total).toBeLessThanOrEqual(load.answers.length + load.cut);
      expect([successful + failed, sum(byCode), await inSeries('')]).toEqual([total, total, [total, {}]]);
      expect(sum(await top('licenses'))).toBe(total);
    },
    TIMEOUT_MS,
  );

  const ask = async <Data>(path: string): Promise<Data> => expectStatus(await vendor.api.get(path), 200).body.data as Data;
  const overview = () => ask<{ validations: { total: number; successful: number; failed: number; byCode: Counts } }>('/analytics');

  /** Sum of a month, and of each of its groups. */
  async function inSeries(groupBy: string): Promise<[number, Counts]> {
    const points = await ask<{ value: number; groups?: Counts }[]>(
      `/analytics/timeseries?metric=validations${groupBy === '' ? '' : `&groupBy=${groupBy}`}`,
    );
    const groups: Counts = {};
    for (const point of points) for (const [name, value] of Object.entries(point.groups ?? {})) groups[name] = (groups[name] ?? 0) + value;
    return [points.reduce((all: number, { value }) => all + value, 0), groups];
  }

  async function top(by: string): Promise<Counts> {
    const ranked = await ask<{ key: string; value: number }[]>(`/analytics/top?by=${by}&limit=100`);
    return Object.fromEntries(ranked.map(({ key, value }) => [key, value]));
  }

  /** A server that has stopped has written all it counted: then what is in the roll-ups is all there will be. */
  async function settle(load: Load): Promise<void> {
    await Promise.all(load.servers.map((server) => server.stop()));
    await rollUpsAreKept(database, vendor.account.id);
  }
});

/** Clients that ask about the licenses, each again and again, through any of the servers. */
class Load {
  readonly answers: Answered[] = [];
  /** Answers about keys that there are not. */
  unknown = 0;
  /** Asked where nobody listened any more. */
  refused = 0;
  /** Sent, and not answered: who asked cannot know whether it was decided. Asked again. */
  cut = 0;
  servers: ServerProcess[];

  constructor(
    private readonly vendor: Vendor,
    private readonly licenses: readonly Known[],
    servers: readonly ServerProcess[],
  ) {
    this.servers = [...servers];
  }

  async drive(isEnough: () => boolean): Promise<void> {
    const client = async (random: Random): Promise<void> => {
      while (!isOver && !isEnough()) await this.askUntilAnswered(random, this.questionOf(random));
    };
    await Promise.all(Array.from({ length: CLIENTS }, (_, index) => client(new Random(seed + index))));
  }

  answeredBy(server: ServerProcess): number {
    return this.answers.filter(({ by }) => by === server).length;
  }

  /** How many have each name; those without count nowhere. */
  countsOf(nameOf: (answer: Answered) => string | null): Counts {
    const counts: Counts = {};
    for (const answer of this.answers) {
      const name = nameOf(answer);
      if (name !== null) counts[name] = (counts[name] ?? 0) + 1;
    }
    return counts;
  }

  private questionOf(random: Random): Asked {
    const license = random.next() < 0.1 ? null : random.pick(this.licenses);
    const fingerprints = [...Object.keys(license?.platforms ?? {}), STRANGER, undefined];
    return { license, fingerprint: random.pick(fingerprints), version: random.pick(VERSIONS) };
  }

  private async askUntilAnswered(random: Random, asked: Asked): Promise<void> {
    while (!isOver) {
      const by = random.pick(this.servers);
      const reply = await this.ask(by, asked, random.next() < 0.5).catch((error: unknown) => error as NodeJS.ErrnoException);
      if ('status' in reply) {
        const { code, valid } = expectStatus(reply, 200).body.data;
        if (asked.license === null) this.unknown += 1;
        else this.answers.push({ ...asked, license: asked.license, code, valid, by, at: performance.now() });
        return;
      }
      if (reply.code === 'ECONNREFUSED') this.refused += 1;
      else this.cut += 1;
      await pause(PAUSE_MS);
    }
  }

  private ask({ url }: ServerProcess, { license, fingerprint, version }: Asked, isById: boolean): Promise<Reply> {
    const body = { fingerprint, version };
    return isById && license !== null
      ? this.vendor.through(url).api.post(`/licenses/${license.id}/validate`, body)
      : anyone(url).post('/licenses/validate-key', { ...body, key: license?.key ?? 'THERE-IS-NO-SUCH-KEY' });
  }
}

/** Of three products, and with many different answers. */
async function licensesOf(vendor: Vendor): Promise<Known[]> {
  const platforms = ['linux', 'macos', null];
  const rules = [
    { requireFingerprint: true, maxMachines: 5 },
    { requireFingerprint: false },
    { requireFingerprint: true, gracePeriodDays: 1 },
  ];
  const fields = [{}, { expiresAt: '2020-01-01T00:00:00Z' }, { allowedVersions: '^1.4.0' }];
  const made = rules.map(async (rule): Promise<Known[]> => {
    const { id: policyId, productId } = await vendor.policy({ maxMachines: 3, ...rule });
    return Promise.all(
      fields.map(async (field): Promise<Known> => {
        const license = await vendor.license({ productId, policyId });
        const machines = platforms.map((platform, index) => [`machine-${String(index)}-of-${license.id}`, platform] as const);
        for (const [fingerprint, platform] of machines) await vendor.activate(license, fingerprint, { platform });
        expectStatus(await vendor.api.patch(`/licenses/${license.id}`, field), 200);
        return { ...license, platforms: Object.fromEntries(machines) };
      }),
    );
  });
  const licenses = (await Promise.all(made)).flat();
  expectStatus(await vendor.api.post(`/licenses/${licenses[0]!.id}/suspend`), 200);
  return licenses;
}

/** One of two that are asked: whatever it counts it has to write itself. */
function start(): Promise<ServerProcess> {
  return ServerProcess.start(testEnvironment({ LOG_LEVEL: 'fatal' }));
}

function sum(counts: Counts): number {
  return Object.values(counts).reduce((all, count) => all + count, 0);
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
