import { randomBytes } from 'node:crypto';
import { MasterKey } from '../dist/core/master-key.js';
import { startDatabase } from './support/database.js';
import { peakMemoryMb } from './support/memory.js';
import { median } from './support/report.js';
import { run } from './support/run.js';
import { startServer } from './support/targets.js';

/**
 * `npm run bench:many -- [rows]`: many licenses at once, through a server of its own process. 1,000 in one request beside
 * one by one; an import of so many rows (default 100,000) and a tenth of it, with the memory that it takes; export;
 * preview; and turning a clock on which machines die. Exit code 1 when a thousand take longer than one by one or than two
 * seconds, or memory grows with the file.
 */

const ROWS = Number(process.argv[2] ?? 100_000);
const BULK = 1000;
const BULK_GOAL_SECONDS = 2;
const SINGLES = 200;
const ROUNDS = 5;
const ON_CLOCK = 1000;
const MAX_GROWTH_MB = 150;
const PLATFORM_TOKEN = 'platform-token-of-the-bench-0123456789';
const NDJSON = 'application/x-ndjson';

const say = (text) => process.stdout.write(`${text}\n`);
const seconds = async (work) => {
  const startedAt = performance.now();
  const result = await work();
  return { result, took: (performance.now() - startedAt) / 1000 };
};

/** A client of the API; a refusal throws. */
const caller =
  (url, token) =>
  async (method, path, body, type = 'application/json') => {
    const reply = await fetch(new URL(`/api/v1${path}`, url), {
      method,
      headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { 'content-type': type }) },
      body: body === undefined || type !== 'application/json' ? body : JSON.stringify(body),
    });
    const text = await reply.text();
    if (!reply.ok) throw new Error(`${method} ${path}: ${String(reply.status)} ${text.slice(0, 500)}`);
    return text === '' || path.endsWith('/export') ? text : JSON.parse(text).data;
  };

async function vendorOf(url, slug) {
  const { apiKeys } = await caller(url, PLATFORM_TOKEN)('POST', '/accounts', { name: slug, slug, ownerEmail: 'owner@example.com' });
  const [call, test] = [caller(url, apiKeys.live.key), caller(url, apiKeys.test.key)];
  return { live: { call, ...(await policyOf(call)) }, test: { call: test, ...(await policyOf(test)) } };
}

async function policyOf(call) {
  const product = await call('POST', '/products', { name: 'Editor', code: 'editor' });
  const policy = await call('POST', '/policies', { productId: product.id, name: 'Pro', maxMachines: 5, durationDays: 365 });
  return { product, policy };
}

const named = ({ product, policy }, more = {}) => ({ productId: product.id, policyId: policy.id, ...more });

async function bulk({ call, ...vendor }) {
  const singles = await seconds(async () => {
    for (let index = 0; index < SINGLES; index += 1) await call('POST', '/licenses', named(vendor, { name: `one ${String(index)}` }));
  });
  const times = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const licenses = Array.from({ length: BULK }, (_, index) => named(vendor, { name: `many ${String(index)}`, metadata: { index } }));
    times.push((await seconds(() => call('POST', '/licenses/bulk', { licenses }))).took);
  }
  const ratio = (singles.took / SINGLES) * (BULK / median(times));
  say(`1,000 in one request: ${median(times).toFixed(2)} s (${times.map((time) => time.toFixed(2)).join('  ')})`);
  say(`one by one: ${((singles.took / SINGLES) * BULK).toFixed(1)} s for as many, ${ratio.toFixed(1)} × as long\n`);
  if (ratio < 1) return ['a thousand at once take longer than one by one'];
  return median(times) < BULK_GOAL_SECONDS ? [] : [`a thousand take longer than ${String(BULK_GOAL_SECONDS)} s`];
}

function fileOf(vendor, rows) {
  const line = (index) =>
    JSON.stringify(
      named(vendor, {
        name: `Imported ${String(index)}`,
        userEmail: `user-${String(index)}@example.com`,
        status: index % 10 === 0 ? 'suspended' : 'active',
        metadata: { orderId: `A-${String(index)}` },
        machines: [{ fingerprint: `fingerprint-of-${String(index)}` }],
      }),
    );
  return Array.from({ length: rows }, (_, index) => line(index)).join('\n');
}

async function files({ call, ...vendor }, pid) {
  const peaks = [];
  for (const rows of [ROWS / 10, ROWS]) {
    const { took, result } = await seconds(() => call('POST', '/licenses/import', fileOf(vendor, rows), NDJSON));
    peaks.push(peakMemoryMb(pid));
    const memory = peaks.at(-1) === null ? '' : `, peak memory ${peaks.at(-1).toFixed(0)} MB`;
    say(
      `import of ${rows.toLocaleString('en')} licenses with a machine each: ${took.toFixed(1)} s, ${Math.round(rows / took)} a second${memory}`,
    );
    if (result.created !== rows) return [`${String(result.failed)} rows were not imported`];
  }
  const { took, result } = await seconds(() => call('GET', '/licenses/export'));
  const exported = result.trimEnd().split('\n').length;
  say(
    `export: ${exported.toLocaleString('en')} in ${took.toFixed(1)} s, ${Math.round(exported / took)} a second, peak ${String(peakMemoryMb(pid)?.toFixed(0))} MB`,
  );
  const grown = peaks[0] === null ? 0 : peaks[1] - peaks[0];
  return grown < MAX_GROWTH_MB ? [] : [`memory grew by ${grown.toFixed(0)} MB with the file`];
}

async function preview({ call, policy }) {
  for (const change of [
    { maxMachines: null, allowUnlimitedActivations: true },
    { requireHeartbeat: true, heartbeatBasis: 'FROM_FIRST_BEAT' },
  ]) {
    const { took, result } = await seconds(() => call('POST', `/policies/${policy.id}/preview`, change));
    say(`preview of ${Object.keys(change)[0]}: ${String(result.licenses)} of them change, ${took.toFixed(2)} s`);
  }
}

/** Each license has a machine that dies and is removed, and expires. */
async function clock({ call, product }) {
  const policy = await call('POST', '/policies', {
    productId: product.id,
    name: 'On a clock',
    durationDays: 30,
    requireHeartbeat: true,
    maxMachines: 5,
  });
  const { id } = await call('POST', '/test-clocks', { frozenAt: '2026-01-01T00:00:00Z' });
  const rows = Array.from({ length: ON_CLOCK }, (_, index) =>
    JSON.stringify(named({ product, policy }, { testClockId: id, machines: [{ fingerprint: `fingerprint-of-${String(index)}` }] })),
  );
  await call('POST', '/licenses/import', rows.join('\n'), NDJSON);
  const { took } = await seconds(() => call('POST', `/test-clocks/${id}/advance`, { to: '2026-03-01T00:00:00Z' }));
  say(`turning a clock of ${ON_CLOCK.toLocaleString('en')} licenses, four happenings each: ${took.toFixed(1)} s`);
}

async function bench(cleanup) {
  const masterKey = randomBytes(32);
  const { url, directory } = await startDatabase(new MasterKey(masterKey), cleanup);
  const settings = { databaseUrl: url, masterKey: masterKey.toString('base64'), directory };
  const server = await startServer(settings, cleanup, { PLATFORM_TOKEN });
  const vendor = await vendorOf(server.url, 'bench-many');
  const problems = [...(await bulk(vendor.live)), ...(await files(vendor.live, server.pid))];
  await preview(vendor.live);
  await clock(vendor.test);
  return problems;
}

process.exitCode = await run(bench);
