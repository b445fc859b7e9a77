/**
 * Acme Editor: a desktop app in a terminal. The README beside it says how to start it.
 *
 *     node app.js                        open the editor
 *     node app.js check-out [DAYS]       take the license along on a trip
 *     node app.js request                write a request, on a machine without a network
 *     node app.js import FILE            take in the .lic file that came back
 *     node app.js deactivate             give this machine's seat back
 */
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createInterface } from 'node:readline/promises';
import { forgetKey, openLicense, problem, readKey, saveKey, sentence } from './licensing.js';

const RECHECK_MS = 60 * 60 * 1000;

const folder = process.env.ACME_HOME ?? join(homedir(), '.acme-editor');
/** A real app imports it: the keys in it are pinned by being part of the program. */
async function readVendor() {
  const file = process.env.ACME_VENDOR ?? fileURLToPath(new URL('vendor.json', import.meta.url));
  try {
    return JSON.parse(await readFile(file, 'utf8'));
  } catch (cause) {
    throw new Error(`${file} is missing or no JSON: the README beside app.js says how to write it.`, { cause });
  }
}
let vendor;
const terminal = createInterface({ input: process.stdin });
const lines = terminal[Symbol.asyncIterator]();
const say = (text) => process.stdout.write(`${text}\n`);
/** The next line that is typed; null = the end. */
async function ask(question) {
  say(question);
  const { value, done } = await lines.next();
  return done ? null : value.trim();
}

async function licensed() {
  let licenseKey = await readKey(folder);
  if (licenseKey === null) {
    licenseKey = await ask('Welcome to Acme Editor. Your license key:');
    if (!licenseKey) throw new Error('Without a license key there is nothing to do.');
    await saveKey(folder, licenseKey);
  }
  return openLicense({ vendor, folder, licenseKey });
}

async function openEditor() {
  const license = await licensed();
  let state;
  const check = async () => {
    try {
      state = await license.check();
      say(sentence(state, vendor.environment));
    } catch (error) {
      // The server refused, and no seat could be had: what was true before is so no longer.
      state = null;
      say(`Not licensed: ${problem(error)}`);
    }
  };
  await check();
  // A mistyped key is asked for again at the next start.
  if (state?.serverProblem?.code === 'NOT_FOUND') return forgetKey(folder);

  const stopBeating = license.beat(check);
  const timer = setInterval(check, RECHECK_MS);
  for (let command; command !== 'quit';) {
    command = await ask('> type, export, check or quit');
    if (command === null) break;
    if (command === 'check') await check();
    if (command === 'type') say(state?.valid ? 'You typed a line.' : 'Read-only: there is no license.');
    // One feature that only some licenses have.
    if (command === 'export') say(can(state, 'export-pdf') ? 'Exported.' : 'Your license does not include export.');
  }
  clearInterval(timer);
  stopBeating();
}

const can = (state, entitlement) => Boolean(state?.valid && state.entitlements.some(({ code }) => code === entitlement));

const commands = {
  async 'check-out'(days) {
    const until = await (await licensed()).checkOut(days && Number(days));
    say(`Have a good trip: this machine is licensed until ${until.toISOString()}, wherever it is.`);
  },
  async request() {
    const text = await (await licensed()).request();
    say(`Send this to Acme, and import the file that comes back:\n${text}`);
  },
  async import(file) {
    if (file === undefined) throw new Error('Which file? node app.js import FILE');
    const text = await readFile(file, 'utf8').catch((cause) => {
      throw new Error(`${file} cannot be read.`, { cause });
    });
    const { claims } = await (await licensed()).importFile(text);
    say(`This machine is licensed until ${new Date(claims.exp * 1000).toISOString()}.`);
  },
  async deactivate() {
    const license = await licensed();
    say((await license.deactivate()) ? 'The seat of this machine is free again.' : 'This machine had no seat.');
    await forgetKey(folder);
  },
};

const [command, ...rest] = process.argv.slice(2);
try {
  if (command !== undefined && !Object.hasOwn(commands, command)) throw new Error(`There is no command ${command}.`);
  vendor = await readVendor();
  if (command === undefined) await openEditor();
  else await commands[command](...rest);
} catch (error) {
  process.stderr.write(`${problem(error)}\n`);
  process.exitCode = 1;
} finally {
  terminal.close();
}
