import { randomBytes } from 'node:crypto';
import { withClient } from '../support/database.js';
import { FLEET_SEATS, miscounted, plantMore, ROOM, UNCOUNTED } from '../support/fleet.js';
import { anyOf } from '../support/random.js';
import { say, summarise, tableOf } from '../support/report.js';
import { startMachineBaseline, startServer } from '../support/targets.js';
import { alone, asked, inTurns } from '../support/turns.js';

const CONNECTIONS = [1, 8, 64];
const LICENSES = 2000;

const newFingerprint = () => randomBytes(16).toString('hex');

/** New machines on licenses that have room, and refused ones on one that has none, beside an INSERT per activation. */
export async function activations({ settings, masterKey, fleet, cleanup, options }) {
  const { databaseUrl } = settings;
  const room = await plantMore(databaseUrl, masterKey, ROOM, { licenses: LICENSES, machines: 0 });
  const uncounted = await plantMore(databaseUrl, masterKey, UNCOUNTED, { licenses: LICENSES, machines: 0 });
  const server = await startServer({ ...settings, name: 'activation (Latchkey)' }, cleanup);
  const overHttp = await startMachineBaseline('node:http, one INSERT per request', 'insert', settings, cleanup);
  const byItself = await startMachineBaseline('that INSERT without HTTP', 'insert', settings, cleanup);
  const full = fleet[0];
  const contestants = [
    asked(server, activationOf(room)),
    { ...asked(server, refusalOf(full)), name: 'refused on one full license' },
    asked(overHttp, insertOf(uncounted)),
    alone(byItself),
  ];
  for (const connections of CONNECTIONS) {
    const summaries = summarise(await inTurns(contestants, { ...options, connections }));
    say(`Activations, connections: ${connections}\n${tableOf(summaries, 'activation')}\n`);
  }
  for (const target of [server, overHttp, byItself]) await target.stop();
  return withClient(databaseUrl, async (client) => {
    const wrong = await miscounted(client, [full, ...room]);
    const { rows } = await client.query('SELECT machine_count AS seats FROM license WHERE id = $1', [full.id]);
    return [
      ...(wrong === 0 ? [] : [`${wrong} licenses count other machines than they have`]),
      ...(rows[0].seats === FLEET_SEATS ? [] : [`a license of ${FLEET_SEATS} seats has ${rows[0].seats} machines`]),
    ];
  });
}

function activationOf(licenses) {
  return { status: 201, expected: '"fingerprint"', next: () => activating(anyOf(licenses)) };
}

function refusalOf(license) {
  return { status: 422, expected: '"MACHINE_LIMIT_EXCEEDED"', next: () => activating(license) };
}

function activating({ key }) {
  const headers = { authorization: `License ${key}`, 'content-type': 'application/json' };
  return { path: '/api/v1/machines', headers, body: JSON.stringify({ fingerprint: newFingerprint() }) };
}

function insertOf(licenses) {
  const next = () => {
    const { environmentId, id } = anyOf(licenses);
    return { path: `/one/${environmentId}/${id}/${newFingerprint()}` };
  };
  return { status: 200, expected: '"stored":true', next };
}
