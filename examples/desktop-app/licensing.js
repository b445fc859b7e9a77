import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { ApiError, createClient, ProofError } from '@latchkey/sdk';
import { fileStore, machineFingerprint } from '@latchkey/sdk/node';

/** Everything that the app knows of licensing. The rest of it asks `check()`, and reads one sentence. */

const PRODUCT = 'acme-editor';
/** What Latchkey calls them. */
const PLATFORMS = { darwin: 'macos', win32: 'windows', linux: 'linux' };
/** No machine has a seat yet; others have, and this one not. */
const WITHOUT_SEAT = ['NOT_ACTIVATED', 'FINGERPRINT_NOT_FOUND'];
/** It has to say that it is alive first, or again. */
const WITHOUT_BEAT = ['HEARTBEAT_REQUIRED', 'HEARTBEAT_DEAD'];

/** The key that the customer typed, kept in the app's own folder; null = not asked yet. */
export async function readKey(folder) {
  return readFile(join(folder, 'license-key'), 'utf8').catch(() => null);
}

export async function saveKey(folder, key) {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFile(join(folder, 'license-key'), key.trim());
  await chmod(join(folder, 'license-key'), 0o600);
}

export async function forgetKey(folder) {
  await rm(join(folder, 'license-key'), { force: true });
}

/** `vendor` is what you build into the app: baseUrl, account, environment, keys (see the README). */
export async function openLicense({ vendor, folder, licenseKey }) {
  const client = createClient({
    ...vendor,
    licenseKey,
    fingerprint: await machineFingerprint({ salt: PRODUCT }),
    // Signed answers are kept here, for the time without the server.
    store: fileStore(join(folder, 'license.json')),
    // Nobody waits longer for a window to open.
    timeoutMs: 3000,
  });
  const machine = { name: hostname(), platform: PLATFORMS[process.platform] };
  const ask = () => client.validate({ product: PRODUCT });

  return {
    /** May this copy run? Takes a seat for this machine when it has none yet. */
    async check() {
      let state = await ask();
      // Only a signed refusal of just now is a reason to ask for more.
      if (state.source === 'server' && WITHOUT_SEAT.includes(state.code)) {
        await client.activate(machine);
        state = await ask();
      }
      if (state.source === 'server' && WITHOUT_BEAT.includes(state.code)) {
        await client.heartbeat();
        state = await ask();
      }
      return state;
    },

    /** Says "still here" in the background, so that the seat of a lost machine becomes free. */
    beat(onLost) {
      return client.startHeartbeat({ onLost });
    },

    /** A file for the time without a network, for as long as the license allows or `days`. */
    async checkOut(days) {
      const { claims } = await client.checkOut({ kind: 'machine', ttlSeconds: days && days * 86_400 });
      return new Date(claims.exp * 1000);
    },

    /** For a machine that never has a network. */
    request: () => client.offlineRequest(machine),
    importFile: (text) => client.importFile(text),

    /** Gives the seat back: the customer moves to another machine. */
    deactivate: () => client.deactivate(),
  };
}

/** What a document that cannot be believed most likely is, to its holder. */
const UNPROVEN = {
  unknown_key: 'it is signed with a key that this version of Acme Editor does not know. Install the newest version.',
  wrong_environment: 'it is about a license of another environment (test or live) than this version of Acme Editor is for.',
  wrong_account: 'it is about a license of another vendor.',
  wrong_fingerprint: 'it is about another machine.',
};

/** A state as one sentence for the customer; `environment` is that of the app. */
export function sentence({ valid, source, reason, code, graceEndsAt, serverProblem, body }, environment) {
  const until = graceEndsAt?.toISOString().slice(0, 16).replace('T', ' ');
  if (valid && source === 'server') return `Licensed (${code}).`;
  if (valid) return `Licensed. The license server cannot be reached; this works until ${until} UTC.`;
  switch (reason) {
    case 'refused':
      return `Not licensed (${code}).`;
    case 'expired_proof':
      return `Not licensed: the license server was last reached too long ago (this worked until ${until} UTC). Connect to the internet.`;
    case 'clock_set_back':
      return "Not licensed: this computer's clock is wrong. Set it, or connect to the internet.";
    case 'proof_missing':
      if (serverProblem?.code === 'NOT_FOUND') return 'Not licensed: there is no such license key.';
      return `Not licensed: ${serverProblem?.message ?? 'the license was never checked on this machine.'}`;
    case 'proof_invalid':
      // Not signed, so only a hint: each environment has keys of its own, and a license of another is met as an unknown key.
      if (body?.license && body.license.environment !== environment) return `Not licensed: ${UNPROVEN.wrong_environment}`;
      if (serverProblem.cause?.code in UNPROVEN) return `Not licensed: ${UNPROVEN[serverProblem.cause.code]}`;
      return 'Not licensed: the answer did not come from the license server. Is a proxy in between?';
    default:
      return 'Not licensed: the license server cannot be reached, and nothing is kept from before.';
  }
}

/** What went wrong with something that the customer asked for, in a sentence too. */
export function problem(error) {
  if (error instanceof ApiError && error.code === 'MACHINE_LIMIT_EXCEEDED') {
    const names = (error.details.machines ?? []).map(({ name, fingerprint }) => name ?? fingerprint);
    return `All seats of this license are taken (${names.join(', ')}). Deactivate one of these machines first.`;
  }
  if (error instanceof ProofError && error.code in UNPROVEN) return `This does not license Acme Editor here: ${UNPROVEN[error.code]}`;
  return error.message;
}
