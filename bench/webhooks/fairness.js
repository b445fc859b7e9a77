import { randomBytes } from 'node:crypto';
import { Pool } from 'undici';
import { cpuOfRequest } from '../support/load.js';
import { say } from '../support/report.js';
import { plantEndpoints, plantEnvironments, plantEvents } from './plant.js';

const TRIES_AT_ONCE = 8;
const MOST = 1.5;

/**
 * Many events at once for many endpoints, each in an environment of its own: how long until those that answer have all of
 * theirs, without and with others that never answer, beside a bare loop that sends as many requests of the same bodies.
 */
export async function fairness({ databaseUrl, masterKey, receivers, server, options }) {
  const { endpoints, hanging, events } = options;
  if (hanging >= endpoints) throw new Error('--hanging must be less than --endpoints');
  const healthy = endpoints - hanging;
  const expected = healthy * events;
  const environmentIds = await plantEnvironments(databaseUrl, endpoints);
  const urlOf = (index) => `${receivers.origin}/${index < healthy ? 'signed' : 'hang'}/${index}`;
  const deliver = async (ids) => {
    const secret = `whsec_${randomBytes(32).toString('base64')}`;
    await plantEndpoints(databaseUrl, masterKey, ids, secret, urlOf);
    receivers.expect(secret);
    const before = server.cpuSeconds();
    const committedAt = await plantEvents(databaseUrl, ids, events);
    const took = (await receivers.until(expected)) - committedAt;
    const after = server.cpuSeconds();
    const cpu = (of) => cpuOfRequest(before[of], after[of], expected);
    return { took, server: cpu('server'), database: cpu('database') };
  };
  const alone = await deliver(environmentIds.slice(0, healthy));
  const together = await deliver(environmentIds);
  const bare = await sendBare(receivers.origin, healthy, events);
  const rate = (took) => `${Math.round((expected / took) * 1000).toLocaleString('en')} events/s`.padStart(16);
  const line = (what, took) => say(`  ${what.padEnd(44)} ${(took / 1000).toFixed(1).padStart(6)} s ${rate(took)}`);
  say(`${expected.toLocaleString('en')} events to ${healthy} endpoints that answer, from their commit to the last signed delivery:`);
  line('nobody else', alone.took);
  line(`beside ${hanging} that never answer`, together.took);
  line('the same requests, unsigned, from a bare loop', bare);
  const ratio = together.took / alone.took;
  say(`  CPU of an event: ${alone.server.toFixed(2)} ms, and the database's ${alone.database.toFixed(2)} ms (making it included)`);
  say(`  with ÷ without those that never answer: ${ratio.toFixed(2)} ×; bare loop ÷ Latchkey: ${(alone.took / bare).toFixed(1)} ×\n`);
  return ratio <= MOST ? [] : [`Endpoints that never answer made the others wait ${ratio.toFixed(2)} times as long.`];
}

/** As many requests with a body of the same size, so many at once to each path. */
async function sendBare(origin, paths, countOfEach) {
  const body = JSON.stringify({ id: 'x'.repeat(36), type: 'license.created', data: { note: 'x'.repeat(1000) } });
  const pool = new Pool(origin, { connections: TRIES_AT_ONCE * paths });
  const startedAt = performance.now();
  const loops = Array.from({ length: paths * TRIES_AT_ONCE }, async (_, index) => {
    const share = Math.ceil((countOfEach - (index % TRIES_AT_ONCE)) / TRIES_AT_ONCE);
    for (let left = share; left > 0; left -= 1) {
      const path = `/bare/${Math.floor(index / TRIES_AT_ONCE)}`;
      const answer = await pool.request({ method: 'POST', path, headers: { 'content-type': 'application/json' }, body });
      await answer.body.dump();
    }
  });
  await Promise.all(loops);
  const took = performance.now() - startedAt;
  await pool.close();
  return took;
}
