import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { type Client, withKey } from './client.js';
import type { Random } from './random.js';
import { expectStatus, type Vendor } from './vendor.js';

/** A vendor whose licenses and machines live at random, in every way that the API has. */

const DAY_MS = 86_400_000;
const START = Date.parse('2025-12-31T20:00:00Z');
const platforms = ['windows', 'macos', 'linux', null];

interface Living {
  id: string;
  key: string;
  api: Client;
  machines: string[];
}

export class Lives {
  private readonly living: Living[] = [];
  private fingerprints = 0;
  private clockDays = 0;

  private constructor(
    private readonly vendor: Vendor,
    private readonly database: pg.Client,
    private readonly random: Random,
    private readonly policies: { id: string; productId: string; environment: 'live' | 'test' }[],
    private readonly segmentApi: Client,
    private readonly clockId: string,
  ) {}

  static async begin(vendor: Vendor, database: pg.Client, random: Random): Promise<Lives> {
    const policies = [];
    for (const environment of ['live', 'test'] as const) {
      const api = environment === 'live' ? vendor.api : vendor.testApi;
      const rules = { durationDays: 30, maxMachines: 50 };
      const mortal = {
        requireHeartbeat: true,
        heartbeatIntervalMinutes: 60,
        heartbeatResurrectionMinutes: null,
        heartbeatCullStrategy: 'KEEP_DEAD',
      };
      const [one, other] = [await vendor.product({}, api), await vendor.product({}, api)];
      for (const made of [
        await vendor.policy({ ...rules, productId: one.id, isTrial: true }, api),
        await vendor.policy({ ...rules, productId: one.id, ...mortal }, api),
        await vendor.policy({ ...rules, productId: other.id, ...mortal, expirationStrategy: 'REVOKE' }, api),
        await vendor.policy({ ...rules, productId: other.id, durationDays: null }, api),
      ])
        policies.push({ id: made.id as string, productId: made.productId as string, environment });
    }
    const { body: key } = expectStatus(await vendor.api.post('/api-keys', { name: 'portal [segment]' }), 201);
    const frozenAt = new Date(START).toISOString();
    const { body: clock } = expectStatus(await vendor.testApi.post('/test-clocks', { frozenAt }), 201);
    return new Lives(vendor, database, random, policies, withKey(vendor.baseUrl, key.data.key), clock.data.id);
  }

  /** One thing happens. What the rules refuse (409, 422 …) happens to nobody. */
  async step(): Promise<void> {
    const what = this.random.weighted({
      create: 12,
      bulk: 3,
      import: 4,
      activate: 25,
      deactivate: 8,
      platform: 6,
      transfer: 8,
      act: 15,
      seats: 4,
      expiry: 4,
      delete: 3,
      die: 5,
      advance: 3,
    });
    await this[what]();
  }

  private async create(): Promise<void> {
    const { api, environment, ...fields } = this.place();
    const clock = environment === 'test' && this.random.next() < 0.7 ? { testClockId: this.clockId } : {};
    this.keep(api, expectStatus(await api.post('/licenses', { ...fields, ...clock }), 201).body.data);
  }

  private async bulk(): Promise<void> {
    const { api, productId, policyId } = this.place();
    const licenses = [
      { productId, policyId, name: 'one' },
      { productId, policyId, maxMachinesOverride: 3 },
    ];
    for (const license of expectStatus(await api.post('/licenses/bulk', { licenses }), 201).body.data) this.keep(api, license);
  }

  /** That were made in other months, and are over or not; with machines. */
  private async import(): Promise<void> {
    const { api, productId, policyId } = this.place();
    const createdAt = new Date(Date.now() - 400 * DAY_MS * this.random.next());
    const expiresAt = new Date(createdAt.getTime() + 300 * DAY_MS * this.random.next());
    const machines = [{ fingerprint: this.fingerprint(), platform: 'linux' }, { fingerprint: this.fingerprint() }];
    const rows = [
      { productId, policyId, createdAt, expiresAt, machines },
      { productId, policyId, createdAt, suspended: true },
    ];
    const raw = rows.map((row) => JSON.stringify(row)).join('\n');
    const { status, body } = await api.call('POST', '/licenses/import', { raw, headers: { 'content-type': 'application/x-ndjson' } });
    // One at a time.
    if (status === 429) return;
    for (const { licenseId } of body.data.rows as { licenseId?: string }[])
      if (licenseId !== undefined) this.keep(api, expectStatus(await api.get(`/licenses/${licenseId}`), 200).body.data);
  }

  private async activate(): Promise<void> {
    const license = this.one();
    const fields = { licenseId: license.id, fingerprint: this.fingerprint(), platform: this.random.pick(platforms) };
    const { status, body } = await license.api.post('/machines', fields);
    if (status === 201) license.machines.push(body.data.id as string);
  }

  private async deactivate(): Promise<void> {
    const license = this.one();
    const id = license.machines.pop();
    if (id !== undefined) await license.api.delete(`/machines/${id}`);
    if (this.random.next() < 0.2) await license.api.post(`/licenses/${license.id}/reset-machines`);
  }

  private async platform(): Promise<void> {
    const license = this.one();
    const [id] = license.machines;
    if (id !== undefined) await license.api.patch(`/machines/${id}`, { platform: this.random.pick(platforms) });
  }

  private async transfer(): Promise<void> {
    const { id, api } = this.one();
    const environment = api.headers.authorization === this.vendor.testApi.headers.authorization ? 'test' : 'live';
    const policy = this.random.pick(this.policies.filter((candidate) => candidate.environment === environment));
    await api.post(`/licenses/${id}/transfer`, { policyId: policy.id });
  }

  private async act(): Promise<void> {
    const { id, api } = this.one();
    const action = this.random.weighted({ suspend: 4, reinstate: 3, ban: 2, unban: 2, revoke: 1, renew: 6 });
    await api.post(`/licenses/${id}/${action}`);
  }

  private async seats(): Promise<void> {
    const { id, api } = this.one();
    await api.patch(`/licenses/${id}`, { maxMachinesOverride: this.random.pick([null, 2, 60]) });
  }

  private async expiry(): Promise<void> {
    const { id, api } = this.one();
    const expiresAt = this.random.pick([null, new Date(Date.now() + 90 * DAY_MS * this.random.next()).toISOString()]);
    await api.patch(`/licenses/${id}`, { expiresAt });
  }

  private async delete(): Promise<void> {
    const { id, api } = this.one();
    await api.delete(`/licenses/${id}`);
  }

  /** In real time an hour is long: told as the sweeper tells it. */
  private async die(): Promise<void> {
    const license = this.one();
    const id = this.random.pick([...license.machines, undefined]);
    if (id === undefined) return;
    if (this.random.next() < 0.4) await license.api.post(`/machines/${id}/heartbeat`);
    else await this.database.query('UPDATE machine_pulse SET death_announced = true WHERE machine_id = $1', [id]);
  }

  private async advance(): Promise<void> {
    this.clockDays += 1 + Math.floor(9 * this.random.next());
    const to = new Date(START + this.clockDays * DAY_MS).toISOString();
    expectStatus(await this.vendor.testApi.post(`/test-clocks/${this.clockId}/advance`, { to }), 200);
  }

  private place(): { api: Client; environment: 'live' | 'test'; productId: string; policyId: string } {
    const { id, productId, environment } = this.random.pick(this.policies);
    const api = environment === 'test' ? this.vendor.testApi : this.random.next() < 0.4 ? this.segmentApi : this.vendor.api;
    return { api, environment, productId, policyId: id };
  }

  private keep(api: Client, { id, key }: { id: string; key: string }): void {
    this.living.push({ id, key, api, machines: [] });
  }

  private one(): Living {
    return this.living.length === 0 ? { id: randomUUID(), key: '', api: this.vendor.api, machines: [] } : this.random.pick(this.living);
  }

  private fingerprint(): string {
    this.fingerprints += 1;
    return `machine-${String(this.fingerprints)}`;
  }
}
