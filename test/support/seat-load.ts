import type pg from 'pg';
import type { Client, Reply } from './client.js';
import type { Random } from './random.js';
import type { Ageing, EventRow, FinalLicense, FinalMachine, FinalPulse, Operation, SeatHistory, SeatPolicy } from './seat-history.js';
import type { ServerProcess } from './server.js';
import { Vendor } from './vendor.js';

const CLIENTS = 8;
const OPERATIONS_PER_CLIENT = 15;
/** So few that clients meet on them. */
const FINGERPRINTS = Array.from({ length: 6 }, (_, index) => `fingerprint-${index}`);
const WEIGHTS = {
  activate: 40,
  deactivate: 14,
  beat: 16,
  age: 8,
  sweep: 3,
  suspend: 3,
  reinstate: 6,
  'change seats': 6,
  'change overage': 4,
};

const dying = { requireHeartbeat: true, heartbeatIntervalMinutes: 10 };
const RULES = [
  { ...dying, heartbeatCullStrategy: 'DEACTIVATE_DEAD', heartbeatResurrectionMinutes: 5 },
  { ...dying, heartbeatCullStrategy: 'KEEP_DEAD', heartbeatResurrectionMinutes: null },
  { ...dying, heartbeatCullStrategy: 'DEACTIVATE_DEAD', heartbeatResurrectionMinutes: 0, floating: true },
];
/** Dead within the five minutes of resurrection, and beyond them. */
const AGES_MINUTES = [12, 30];
const LICENSES_PER_POLICY = 2;

interface Setting {
  random: Random;
  database: pg.Pool;
  /** Null = it is away at present. */
  servers: readonly (ServerProcess | null)[];
  sweep: () => Promise<unknown>;
}

interface LoadLicense {
  id: string;
  key: string;
  policyId: string;
}

/** Clients of one vendor that do what comes to their minds, and keep what they were answered. */
export class SeatLoad {
  private readonly operations: Operation[] = [];
  private readonly ageings: Ageing[] = [];
  /** Those that clients know of, with their licenses. */
  private readonly machines = new Map<string, LoadLicense>();
  private done = 0;
  private onHalf: () => void = () => undefined;

  private constructor(
    private readonly setting: Setting,
    private readonly vendor: Vendor,
    private readonly policies: SeatPolicy[],
    private readonly licenses: LoadLicense[],
  ) {}

  static async create(setting: Setting): Promise<SeatLoad> {
    const vendor = await Vendor.signUp(setting.servers[0]!.url);
    const product = await vendor.product();
    const policies: SeatPolicy[] = [];
    const licenses: LoadLicense[] = [];
    for (const rules of RULES) {
      const policy = await vendor.policy({ productId: product.id, maxMachines: 2, ...rules });
      const culledAfterMinutes = rules.heartbeatCullStrategy === 'KEEP_DEAD' ? null : rules.heartbeatResurrectionMinutes;
      policies.push({ ...policy, culledAfterMinutes });
      for (let count = 0; count < LICENSES_PER_POLICY; count += 1) {
        licenses.push(await vendor.license({ productId: product.id, policyId: policy.id }));
      }
    }
    return new SeatLoad(setting, vendor, policies, licenses);
  }

  async run(): Promise<void> {
    await Promise.all(
      Array.from({ length: CLIENTS }, async () => {
        for (let count = 0; count < OPERATIONS_PER_CLIENT; count += 1) {
          await this.step();
          this.done += 1;
          if (this.done === (CLIENTS * OPERATIONS_PER_CLIENT) / 2) this.onHalf();
        }
      }),
    );
  }

  /** Resolves when half of all is done. */
  halfway(): Promise<void> {
    return new Promise((resolve) => (this.onHalf = resolve));
  }

  private readonly killed = new Set<string>();
  /** From now on nothing is expected of this server. */
  kills({ url }: ServerProcess): void {
    this.killed.add(url);
  }

  /** What was done and how it ended, each once. */
  outcomes(): string[] {
    return [...new Set(this.operations.map(({ kind, answer }) => `${kind} ${answer?.status ?? 'unknown'}`))];
  }

  private async step(): Promise<void> {
    const { random, sweep } = this.setting;
    const license = random.pick(this.licenses);
    const name = random.weighted(WEIGHTS);
    const known = [...this.machines.keys()];
    switch (name) {
      case 'activate':
        return this.activate(license);
      case 'deactivate':
      case 'beat':
        return known.length === 0 ? this.activate(license) : this.touch(name, random.pick(known.slice(-10)));
      case 'age':
        return known.length === 0 ? undefined : this.age(random.pick(known.slice(-10)));
      case 'sweep':
        await sweep();
        return;
      case 'suspend':
      case 'reinstate':
        return this.ask({ kind: name, licenseId: license.id }, ({ api }) => api.post(`/licenses/${license.id}/${name}`));
      case 'change seats':
        return this.changePolicy({ maxMachines: random.pick([1, 2, 3, 4]) });
      case 'change overage':
        return this.changePolicy({ overageStrategy: random.pick(['NO_OVERAGE', 'NO_OVERAGE', 'ALLOW_1_5X', 'ALLOW_2X']) });
    }
  }

  private activate(license: LoadLicense): Promise<void> {
    const { random } = this.setting;
    const body = { fingerprint: random.pick(FINGERPRINTS), cores: random.pick([1, 2, 4]) };
    const withKey = random.next() < 0.5;
    return this.ask({ kind: 'activate', licenseId: license.id, fingerprint: body.fingerprint }, async (vendor) => {
      const reply = await (withKey
        ? vendor.api.post('/machines', { ...body, licenseId: license.id })
        : vendor.app(license).post('/machines', body));
      if (reply.status < 300) this.machines.set(reply.body.data.id, license);
      return reply;
    });
  }

  private touch(kind: 'deactivate' | 'beat', machineId: string): Promise<void> {
    const license = this.machines.get(machineId)!;
    const asApp = this.setting.random.next() < 0.5;
    return this.ask({ kind, machineId, licenseId: license.id }, (vendor) => {
      const caller: Client = asApp ? vendor.app(license) : vendor.api;
      return kind === 'beat' ? caller.post(`/machines/${machineId}/heartbeat`) : caller.delete(`/machines/${machineId}`);
    });
  }

  private changePolicy(change: object): Promise<void> {
    const { id } = this.setting.random.pick(this.policies);
    return this.ask({ kind: 'change policy', policyId: id }, ({ api }) => api.patch(`/policies/${id}`, change));
  }

  private async age(machineId: string): Promise<void> {
    const minutes = this.setting.random.pick(AGES_MINUTES);
    const ageing: Ageing = { machineId, minutes, calledAt: Date.now(), endedAt: Infinity };
    this.ageings.push(ageing);
    await this.setting.database.query(
      `UPDATE machine_pulse SET activated_at = activated_at - make_interval(mins => $2), last_heartbeat_at = last_heartbeat_at - make_interval(mins => $2)
        WHERE machine_id = $1`,
      [machineId, minutes],
    );
    ageing.endedAt = Date.now();
  }

  /** One request through one of the servers that are there. */
  private async ask(what: Pick<Operation, 'kind'> & Partial<Operation>, request: (vendor: Vendor) => Promise<Reply>): Promise<void> {
    const { url } = this.setting.random.pick(this.setting.servers.filter((server) => server !== null));
    const calledAt = Date.now();
    const reply = await request(this.vendor.through(url)).catch(() => null);
    const answer = reply === null ? null : { status: reply.status, code: reply.body?.code, machineId: reply.body?.data?.id };
    this.operations.push({ ...what, calledAt, endedAt: Date.now(), answer, killed: this.killed.has(url) });
  }

  /** What was asked and answered, and what is in the database now. */
  async history(sweptAt: number | null): Promise<SeatHistory> {
    const licenseIds = this.licenses.map(({ id }) => id);
    const policyIds = this.policies.map(({ id }) => id);
    const rows = async <Row>(text: string): Promise<Row[]> =>
      (await this.setting.database.query(text, text.includes('$2') ? [licenseIds, policyIds] : [licenseIds])).rows as Row[];
    const millis = (column: string): string => `(extract(epoch FROM ${column}) * 1000)::float8`;
    return {
      policies: this.policies,
      operations: this.operations,
      ageings: this.ageings,
      sweptAt,
      events: await rows<EventRow>(
        `SELECT type, resource_id AS "resourceId", license_id AS "licenseId", ${millis('created_at')} AS at, data -> 'object' AS object
           FROM event WHERE license_id = ANY($1) OR resource_id = ANY($2) ORDER BY created_at, id`,
      ),
      licenses: await rows<FinalLicense>(
        `SELECT id, policy_id AS "policyId", machine_count AS "machineCount", cores_total::int AS "coresTotal" FROM license WHERE id = ANY($1)`,
      ),
      machines: await rows<FinalMachine>(
        `SELECT id, license_id AS "licenseId", fingerprint, cores, deleted_at IS NULL AS "isActive" FROM machine WHERE license_id = ANY($1)`,
      ),
      pulses: await rows<FinalPulse>(
        `SELECT machine_id AS "machineId", ${millis('pulse.activated_at')} AS "activatedAt", ${millis('pulse.last_heartbeat_at')} AS "lastHeartbeatAt",
                death_announced AS "deathAnnounced"
           FROM machine_pulse AS pulse JOIN machine ON machine.id = pulse.machine_id WHERE machine.license_id = ANY($1)`,
      ),
    };
  }
}
