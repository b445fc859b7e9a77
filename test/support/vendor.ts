import { randomUUID } from 'node:crypto';
import { anyone, Client, type Reply, withKey, withLicense } from './client.js';
import { TEST_PLATFORM_TOKEN } from './settings.js';

/** What a created resource is to a test: its view. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
type View = any;

/** A new vendor with its own account: nothing of another test can be seen from here. */
export class Vendor {
  private constructor(
    readonly baseUrl: string,
    readonly account: { id: string; slug: string },
    readonly liveKey: string,
    readonly testKey: string,
  ) {}

  static async signUp(baseUrl: string): Promise<Vendor> {
    const slug = `v-${randomUUID().slice(0, 13)}`;
    const platform = new Client(baseUrl, { authorization: `Bearer ${TEST_PLATFORM_TOKEN}` });
    const { body } = expectStatus(await platform.post('/accounts', { name: slug, slug, ownerEmail: 'owner@example.com' }), 201);
    return new Vendor(baseUrl, body.data.account, body.data.apiKeys.live.key, body.data.apiKeys.test.key);
  }

  /** The full-access key of the live environment. */
  get api(): Client {
    return withKey(this.baseUrl, this.liveKey);
  }

  /** The full-access key of the test environment. */
  get testApi(): Client {
    return withKey(this.baseUrl, this.testKey);
  }

  /** The same vendor through another server. */
  through(baseUrl: string): Vendor {
    return new Vendor(baseUrl, this.account, this.liveKey, this.testKey);
  }

  async keyWith(...scopes: string[]): Promise<Client> {
    const { body } = expectStatus(await this.api.post('/api-keys', { name: scopes.join(' ').slice(0, 255), scopes }), 201);
    return withKey(this.baseUrl, body.data.key);
  }

  async product(fields: object = {}, api = this.api): Promise<View> {
    const code = `p-${randomUUID().slice(0, 13)}`;
    return expectStatus(await api.post('/products', { name: 'Editor', code, ...fields }), 201).body.data;
  }

  async policy(fields: { productId?: string } & Record<string, unknown> = {}, api = this.api): Promise<View> {
    const productId = fields.productId ?? (await this.product({}, api)).id;
    return expectStatus(await api.post('/policies', { name: 'Pro', ...fields, productId }), 201).body.data;
  }

  /** A license under a new policy with these rules. */
  async licenseUnder(rules: Record<string, unknown>, fields: object = {}, api = this.api): Promise<View> {
    const policy = await this.policy(rules, api);
    return this.license({ productId: policy.productId, policyId: policy.id, ...fields }, api);
  }

  async license(fields: object, api = this.api): Promise<View> {
    return expectStatus(await api.post('/licenses', fields), 201).body.data;
  }

  async entitlement(code: string, api = this.api): Promise<View> {
    return expectStatus(await api.post('/entitlements', { code, name: code }), 201).body.data;
  }

  /** The desktop app that holds the license's key. */
  app(license: { key: string }): Client {
    return withLicense(this.baseUrl, license.key);
  }

  async activate(license: { key: string }, fingerprint: string, fields: object = {}): Promise<View> {
    return expectStatus(await this.app(license).post('/machines', { fingerprint, ...fields }), 201).body.data;
  }

  /** What validate-key says. */
  async validate(license: { key: string }, fields: object = {}): Promise<View> {
    return expectStatus(await anyone(this.baseUrl).post('/licenses/validate-key', { key: license.key, ...fields }), 200).body.data;
  }
}

/** For steps that lead to what a test is about: says what came back when one of them fails. */
export function expectStatus(reply: Reply, status: number): Reply {
  if (reply.status !== status) throw new Error(`expected ${String(status)}, got ${String(reply.status)}: ${reply.text}`);
  return reply;
}
