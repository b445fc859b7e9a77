import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import autocannon from 'autocannon';
import { generateApiKey } from '../dist/domain/api-key.js';
import { MasterKey } from '../dist/core/master-key.js';
import { startDatabase } from './support/database.js';
import { median } from './support/report.js';
import { run } from './support/run.js';
import { startServer, Target, unlimited } from './support/targets.js';

/**
 * `npm run bench:auth`: what does authentication cost? A route that does nothing, open and behind the guard, with each
 * kind of credential, in turns; and whether the time of a refusal tells an unknown key from one that is nearly right.
 */

const CONNECTIONS = 32;
const SECONDS = 4;
const ROUNDS = 3;
const REFUSALS = 1500;
const PLATFORM_TOKEN = 'platform-token-of-the-bench-0123456789';

const say = (text) => process.stdout.write(`${text}\n`);

/** An account with one credential of each kind, as headers. */
async function credentialsOf(url) {
  const call = async (path, body, headers) => {
    const reply = await fetch(new URL(`/api/v1${path}`, url), {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    });
    const text = await reply.text();
    if (!reply.ok) throw new Error(`${path}: ${String(reply.status)} ${text}`);
    return JSON.parse(text);
  };
  const operator = { authorization: `Bearer ${PLATFORM_TOKEN}` };
  const account = (await call('/accounts', { name: 'Bench', slug: 'bench', ownerEmail: 'bench@example.com' }, operator)).data;
  const key = account.apiKeys.live.key;
  const vendor = { authorization: `Bearer ${key}` };
  const product = (await call('/products', { name: 'Editor', code: 'editor' }, vendor)).data;
  const policy = (await call('/policies', { productId: product.id, name: 'Pro' }, vendor)).data;
  const license = (await call('/licenses', { productId: product.id, policyId: policy.id }, vendor)).data;
  const user = (await call('/users', { name: 'Ada', email: 'ada@example.com', role: 'developer' }, vendor)).data;
  const userKey = (await call(`/users/${user.id}/keys`, { name: 'bench' }, vendor)).data.key;
  const token = await call('/auth/token', { oid: account.account.id, secret: key }, {});
  return {
    key,
    headers: {
      'API key': vendor,
      'token of an API key': { authorization: `Bearer ${token.jwt}` },
      'user key': { authorization: `Bearer ${userKey}` },
      'license key': { authorization: `License ${license.key}` },
    },
  };
}

async function requestsPerSecond(url, headers) {
  const { requests, non2xx, errors, duration } = await autocannon({ url, connections: CONNECTIONS, duration: SECONDS, headers });
  if (non2xx > 0 || errors > 0) throw new Error(`${url}: ${String(non2xx)} refusals and ${String(errors)} errors`);
  return requests.total / duration;
}

async function measureRoutes(base, headers) {
  const open = { name: 'no credential (public route)', url: new URL('/bench/open', base).href, headers: {}, rounds: [] };
  const closed = Object.entries(headers).map(([name, sent]) => ({
    name,
    url: new URL('/bench/closed', base).href,
    headers: sent,
    rounds: [],
  }));
  const targets = [open, ...closed];
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const target of targets) {
      const rate = await requestsPerSecond(target.url, target.headers);
      // The first round is the warm-up.
      if (round > 0) target.rounds.push(rate);
    }
  }
  say(`${CONNECTIONS} connections, medians of ${ROUNDS} rounds of ${SECONDS} s in turns, Node ${process.versions.node}\n`);
  for (const { name, rounds } of targets) {
    const ratios = rounds.map((rate, index) => rate / open.rounds[index]);
    const each = ratios.map((ratio) => ratio.toFixed(2)).join('  ');
    say(
      `${name.padEnd(30)} ${Math.round(median(rounds)).toLocaleString('en').padStart(7)} requests/s   ${median(ratios).toFixed(2)} × the public route (${each})`,
    );
  }
}

/** One request at a time, the kinds in turns, so that whatever else happens hits them alike. */
async function measureRefusals(base, key) {
  // The same key but for its secret part: what somebody has who saw the masked key.
  const nearlyRight = () => {
    for (;;) {
      const other = generateApiKey('live');
      const candidate = generateApiKey('live', replay(`${key.slice(8, 12)}${other.slice(12, 40)}`));
      if (candidate !== key) return candidate;
    }
  };
  const kinds = {
    'unknown key': () => generateApiKey('live'),
    'unknown key, again': () => generateApiKey('live'),
    'nearly right key': nearlyRight,
  };
  const times = Object.fromEntries(Object.keys(kinds).map((name) => [name, []]));
  const url = new URL('/bench/closed', base);
  for (let index = 0; index < REFUSALS; index += 1) {
    for (const [name, make] of Object.entries(kinds)) {
      const headers = { authorization: `Bearer ${make()}` };
      const startedAt = performance.now();
      const reply = await fetch(url, { headers });
      await reply.arrayBuffer();
      times[name].push(performance.now() - startedAt);
      if (reply.status !== 401) throw new Error(`a refusal was answered ${String(reply.status)}`);
    }
  }
  say(`\nTime of a refusal, ${REFUSALS} of each, one at a time and in turns`);
  const [first] = Object.values(times).map(median);
  for (const [name, all] of Object.entries(times)) {
    say(
      `${name.padEnd(30)} median ${median(all).toFixed(3)} ms   (${median(all) - first >= 0 ? '+' : ''}${((median(all) - first) * 1000).toFixed(0)} µs)`,
    );
  }
  say('The second line is the noise: the same kind of key measured twice.');
}

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** A source of "random" indexes that spells this text. */
function replay(text) {
  let position = 0;
  return () => BASE62.indexOf(text[position++]);
}

/** What it prints is the outcome: nothing in it is a failure but an answer that is wrong, which throws. */
async function bench(cleanup) {
  const secret = randomBytes(32);
  const database = await startDatabase(new MasterKey(secret), cleanup);
  const environment = {
    DATABASE_URL: database.url,
    MASTER_KEY: secret.toString('base64'),
    LOG_LEVEL: 'silent',
    PORT: '0',
    PLATFORM_TOKEN,
    ...unlimited,
  };
  const settings = { databaseUrl: database.url, directory: database.directory, masterKey: environment.MASTER_KEY };
  const server = await startServer(settings, cleanup, { PLATFORM_TOKEN });
  const { key, headers } = await credentialsOf(server.url);
  await server.stop();
  const app = new Target('bench application', [fileURLToPath(new URL('./support/auth-app.js', import.meta.url))], {
    environment,
    directory: database.directory,
  });
  cleanup.add(() => app.stop());
  const base = await app.ready();
  await measureRoutes(base, headers);
  await measureRefusals(base, key);
  return [];
}

process.exit(await run(bench));
