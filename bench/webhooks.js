import { randomBytes } from 'node:crypto';
import { availableParallelism, loadavg } from 'node:os';
import { MasterKey } from '../dist/core/master-key.js';
import { startDatabase } from './support/database.js';
import { readOptionsOrTell } from './support/options.js';
import { say } from './support/report.js';
import { run } from './support/run.js';
import { startServer } from './support/targets.js';
import { fairness } from './webhooks/fairness.js';
import { idle } from './webhooks/idle.js';
import { Receivers } from './webhooks/receiver.js';

/**
 * `npm run bench:webhooks`: how soon events arrive, how many a second, and what endpoints that never answer do to the others.
 * One server, one database and the receivers share the machine. Exit code 1 when a promise of these is broken, or
 * anything is signed wrongly or does not come.
 */

const SECTIONS = { idle, fairness };
const OPTIONS = {
  command: 'npm run bench:webhooks',
  numbers: {
    idle: { initial: 200, help: 'events whose way is timed while nothing else goes on' },
    endpoints: { initial: 100, help: 'endpoints, each in an environment of its own' },
    hanging: { initial: 10, help: 'how many of them never answer' },
    events: { initial: 1000, help: 'events for each endpoint' },
  },
  texts: { only: { help: `comma list of ${Object.keys(SECTIONS).join(', ')}; the others are left out` } },
};

const PLATFORM_TOKEN = randomBytes(24).toString('hex');

/** The sections to run. */
function chosen(only) {
  const names = only?.split(',') ?? Object.keys(SECTIONS);
  const unknown = names.filter((name) => !Object.hasOwn(SECTIONS, name));
  if (unknown.length > 0) throw new Error(`--only knows ${Object.keys(SECTIONS).join(', ')}, not ${unknown.join(', ')}`);
  return names.map((name) => SECTIONS[name]);
}

/** Calls of a new vendor; each answers the data, or throws what came instead. */
async function signUp(origin) {
  const callAs = (key) => async (method, path, body) => {
    const headers = { authorization: `Bearer ${key}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) };
    const reply = await fetch(`${origin}/api/v1${path}`, { method, headers, body: JSON.stringify(body) });
    const text = await reply.text();
    if (!reply.ok) throw new Error(`${method} ${path} answered ${reply.status}: ${text}`);
    return text === '' ? null : JSON.parse(text).data;
  };
  const { apiKeys } = await callAs(PLATFORM_TOKEN)('POST', '/accounts', { name: 'Bench', slug: 'bench', ownerEmail: 'bench@example.com' });
  return callAs(apiKeys.live.key);
}

async function bench(options, cleanup) {
  const sections = chosen(options.only);
  say(`${availableParallelism()} cores (load before: ${loadavg()[0].toFixed(1)}), Node ${process.versions.node}\n`);
  const secret = randomBytes(32);
  const masterKey = new MasterKey(secret);
  const { directory, url: databaseUrl } = await startDatabase(masterKey, cleanup);
  const receivers = await Receivers.start(cleanup);
  const settings = { databaseUrl, directory, masterKey: secret.toString('base64'), name: 'Latchkey' };
  const server = await startServer(settings, cleanup, { PLATFORM_TOKEN, WEBHOOK_ALLOW_LOOPBACK: 'true' });
  const api = await signUp(new URL(server.url).origin);
  const problems = [];
  for (const section of sections) problems.push(...(await section({ databaseUrl, masterKey, receivers, server, api, options })));
  if (server.output.includes('"level":50')) problems.push(`The server told of errors:\n${server.output}`);
  return problems;
}

const options = readOptionsOrTell(OPTIONS);
process.exit(options === null ? (process.exitCode ?? 0) : await run((cleanup) => bench(options, cleanup)));
