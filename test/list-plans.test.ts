import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import type { Running } from '../src/boot.js';
import { MasterKey } from '../src/core/master-key.js';
import type { Client } from './support/client.js';
import { startServer } from './support/server.js';
import { testDatabaseUrl, testMasterKey } from './support/settings.js';
import { expectStatus, Vendor } from './support/vendor.js';

/**
 * How PostgreSQL answers the lists of a big tenant beside others: explained are the very statements that the server sends,
 * with their values, as the role and under the row-level security that it sends them under.
 */

const LICENSES = 30_000;
/** What a page may read, each node of its plans counted; the table alone has some 1,400 pages, and a walk reads its rows one by one. */
const MAX_PAGES_READ = 600;

interface Statement {
  text: string;
  values: unknown[];
}
interface Node {
  'Node Type': string;
  'Relation Name'?: string;
  'Index Name'?: string;
  'Actual Rows': number;
  'Actual Loops': number;
  'Rows Removed by Filter'?: number;
  'Shared Hit Blocks': number;
  'Shared Read Blocks': number;
  Plans?: Node[];
}

let server: Running;
let vendor: Vendor;
let database: pg.Client;
let ids: { environmentId: string; productId: string; policyId: string; fewPolicyId: string };

beforeAll(async () => {
  server = await startServer();
  database = new pg.Client({ connectionString: testDatabaseUrl(), options: '-c timezone=UTC' });
  await database.connect();
  vendor = await Vendor.signUp(server.url);
  const policy = await vendor.policy({ gracePeriodDays: 3 });
  const few = await vendor.policy({ productId: policy.productId, gracePeriodDays: 7, expirationStrategy: 'ALLOW_ACCESS' });
  const [common, rare, inherited] = await Promise.all(['common', 'rare', 'inherited'].map((code) => vendor.entitlement(code)));
  expectStatus(await vendor.api.post(`/policies/${few.id}/entitlements`, { codes: [inherited.code] }), 200);
  const sample = await vendor.license({ productId: policy.productId, policyId: policy.id });
  const { rows } = await database.query('SELECT environment_id FROM license WHERE id = $1', [sample.id]);
  ids = { environmentId: rows[0].environment_id, productId: policy.productId, policyId: policy.id, fewPolicyId: few.id };
  await fill(ids);
  await attach(common.id, 2);
  await attach(rare.id, 5000);
  await database.query('ANALYZE license, license_term, license_entitlement, policy, environment');
});
afterAll(async () => {
  await database.end();
  await server.stop();
});

/** In the order of their making the older half is over, as in life; one in 3,000 is in each of the rare states. */
function fill(of: typeof ids): Promise<unknown> {
  const masterKey = new MasterKey(Buffer.from(testMasterKey(), 'base64'));
  const made = Array.from({ length: LICENSES }, () => uuidv7());
  const sealed = made.map((id) => Buffer.from(masterKey.seal('ACME-0000-0000-0000-0000-0000-0000', id)).toString('hex'));
  return database.query(
    `INSERT INTO license (id, environment_id, product_id, policy_id, key_origin, key_digest, key_sealed, pepper_id, name, user_email,
                          expires_at, last_validated_at, suspended_at, banned_at, revoked_at, metadata, created_at, updated_at)
     SELECT id, $1::uuid, $2::uuid, CASE WHEN n % 3000 = 1 THEN $4::uuid ELSE $3::uuid END, 'generated', sha256(id::text::bytea),
            decode(sealed, 'hex'), $5, 'License ' || n, 'User-' || n || '@example.com',
            CASE WHEN n % 10 = 0 THEN NULL ELSE now() + (n - $6::int / 2) * interval '10 minutes' END,
            CASE WHEN n % 3 = 0 THEN NULL ELSE now() - n * interval '1 second' END,
            CASE WHEN n % 3000 = 2 THEN now() END, CASE WHEN n % 3000 = 3 THEN now() END, CASE WHEN n % 3000 = 4 THEN now() END,
            jsonb_build_object('orderId', 'A-' || n, 'seats', n % 7), now() - ($6::int - n) * interval '10 minutes', now()
       FROM unnest($7::uuid[], $8::text[]) WITH ORDINALITY AS made (id, sealed, n)`,
    [of.environmentId, of.productId, of.policyId, of.fewPolicyId, masterKey.pepperId, LICENSES, made, sealed],
  );
}

function attach(entitlementId: string, everyNth: number): Promise<unknown> {
  return database.query(
    `INSERT INTO license_entitlement (environment_id, license_id, entitlement_id)
     SELECT environment_id, id, $2::uuid FROM (SELECT *, row_number() OVER (ORDER BY created_at) AS n FROM license WHERE environment_id = $1) AS license
      WHERE n % $3::int = 0`,
    [ids.environmentId, entitlementId, everyNth],
  );
}

/** The statements that look for licenses while `work` goes on, each after what its transaction set. */
async function statementsOf(work: () => Promise<unknown>): Promise<Statement[]> {
  const sent: Statement[] = [];
  const spy = jest.spyOn(pg.Client.prototype, 'query');
  try {
    await work();
    for (const [query] of spy.mock.calls as unknown as [Partial<Statement>][]) {
      if (query.values?.includes('latchkey_system') === true) continue;
      // What workers do meanwhile is not the request's.
      if (typeof query.text === 'string' && /tally_change|validation_batch/.test(query.text)) continue;
      if (typeof query.text === 'string' && /set_config|FROM "?(public"\.")?license\b/.test(query.text))
        sent.push({ text: query.text, values: query.values ?? [] });
    }
  } finally {
    spy.mockRestore();
  }
  return sent;
}

/** Explain what was sent, where it was sent; answers the plans of what reads licenses. */
async function explain(statements: Statement[]): Promise<Node[]> {
  const plans: Node[] = [];
  await database.query('BEGIN');
  try {
    for (const { text, values } of statements) {
      if (text.includes('set_config')) await database.query(text, values);
      else plans.push((await database.query(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${text}`, values)).rows[0]['QUERY PLAN'][0].Plan);
    }
  } finally {
    await database.query('ROLLBACK');
  }
  return plans;
}

const nodesOf = (node: Node): Node[] => [node, ...(node.Plans ?? []).flatMap(nodesOf)];

async function plansOf(api: Client, query: string): Promise<{ wholeTables: string[]; pagesRead: number; text: string }> {
  const plans = await explain(await statementsOf(async () => expectStatus(await api.get(`/licenses?${query}`), 200)));
  if (plans.length < 1) throw new Error('the list sent no statement about licenses');
  const nodes = plans.flatMap(nodesOf);
  const scans = nodes.filter((node) => node['Node Type'] === 'Seq Scan').map((node) => node['Relation Name'] ?? '');
  return {
    wholeTables: scans.filter((table) => table.startsWith('license')),
    // Nodes that read licenses: what is looked up beside each of them is bounded by them.
    pagesRead: nodes
      .filter((node) => node['Relation Name'] === 'license')
      .reduce((sum, node) => sum + node['Shared Hit Blocks'] + node['Shared Read Blocks'], 0),
    text: JSON.stringify(
      plans,
      [
        'Node Type',
        'Relation Name',
        'Index Name',
        'Actual Rows',
        'Actual Loops',
        'Rows Removed by Filter',
        'Shared Hit Blocks',
        'Index Cond',
        'Filter',
        'Plans',
      ],
      1,
    ),
  };
}

const sorts = ['createdAt', 'expiresAt', 'lastValidatedAt'].flatMap((field) => [field, `-${field}`]);

describe('no page of a list reads a whole table, and none walks through the tenant for', () => {
  const soon = (minutes: number): string => encodeURIComponent(new Date(Date.now() + minutes * 60_000).toISOString());
  const filters: Record<string, () => string> = {
    'no filter': () => 'limit=25',
    'status=active': () => 'status=active',
    'status=expired': () => 'status=expired',
    'status=suspended': () => 'status=suspended',
    'status=banned': () => 'status=banned',
    'status=revoked': () => 'status=revoked',
    'a product': () => `productId=${ids.productId}`,
    'a policy': () => `policyId=${ids.policyId}`,
    'a policy of few': () => `policyId=${ids.fewPolicyId}`,
    "a user's address": () => 'userEmail=uSER-4711@example.com',
    'an address that nobody has': () => 'userEmail=nobody@example.com',
    'a key': () => 'key=CUSTOMER-4711',
    'an entitlement of many': () => 'entitlement=common',
    'an entitlement of few': () => 'entitlement=rare',
    'an entitlement of few by their policy': () => 'entitlement=inherited',
    'an expiry soon': () => `expiresAfter=${soon(0)}&expiresBefore=${soon(60)}`,
    'metadata of one': () => 'metadata[orderId]=A-4711',
    'metadata of none': () => 'metadata[orderId]=B-1',
    'metadata of many': () => 'metadata[seats]=5',
    'metadata and an address': () => 'metadata[seats]=5&userEmail=user-12@example.com',
    'a text that many have': () => 'q=license',
    'an expired license of a policy': () => `status=expired&policyId=${ids.policyId}`,
  };
  it.each(Object.keys(filters))('%s', async (name) => {
    for (const sort of sorts) {
      const plans = await plansOf(vendor.api, `${filters[name]?.() ?? ''}&sort=${sort}`);
      if (plans.wholeTables.length > 0 || plans.pagesRead > MAX_PAGES_READ) console.log(name, sort, plans.text);
      expect({ sort, wholeTables: plans.wholeTables, walks: plans.pagesRead > MAX_PAGES_READ && plans.pagesRead }).toEqual({
        sort,
        wholeTables: [],
        walks: false,
      });
    }
  });
});
