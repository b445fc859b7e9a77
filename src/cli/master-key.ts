import { Database, DatabaseNotUsable } from '../core/database.js';
import { requireNobodyElse, retireBefore, type RingKey, ringKeys, whileRotating } from '../core/key-ring.js';
import type { MasterKey } from '../core/master-key.js';
import { swapKeys } from '../core/master-key-file.js';
import { prepareDatabase } from '../core/migrate.js';
import { keepsOwnKey, openForRotation } from '../core/open-database.js';
import { type Progress, type SealedAnew, sealAnew } from '../core/seal-anew.js';
import { tidy, withDatabase } from './database.js';
import { fields, type Outcome, REFUSED } from './output.js';

/** How often the progress of a long walk is told. */
const TELL_EVERY_MS = 2_000;
const POOL_SIZE = 3;

/** `master-key rotate`: refused when there is no other key, nothing to rotate out, or not everything could be opened. */
export function rotateMasterKey(): Promise<Outcome> {
  return withDatabase(async ({ url, masterKey: given }, config) => {
    const { masterKey } = await prepareDatabase(url, given);
    return whileRotating(url, async () => {
      const isOwn = keepsOwnKey(config);
      requireDirection(masterKey, await ringKeys(url));
      if (isOwn) await requireNobodyElse(url);
      const walked = await walk(url, masterKey);
      if (walked.unreadable.length > 0) return unreadable(walked);
      if (isOwn) {
        // Who came before the next key was there and went during the walk is seen by neither alone.
        await requireNobodyElse(url);
        const last = await walk(url, masterKey);
        if (last.unreadable.length > 0) return unreadable(last);
      }
      const retired = await retireBefore(url, masterKey.id);
      if (isOwn) await swapKeys(config.dataDir);
      return isOwn ? rotated(masterKey, walked, retired, OWN_KEY_ENDED) : ended(masterKey, walked, retired, await ringKeys(url));
    });
  }, openForRotation);
}

const OWN_KEY_ENDED = 'The data directory has its new master key; the one before is gone. Start the server.';

/** Only a key that was rotated out may be taken away: of the others some server may be about to begin. */
function ended(masterKey: MasterKey, walked: SealedAnew, retired: string[], ring: readonly RingKey[]): Outcome {
  const readable = masterKey.ids.filter((id) => id !== masterKey.id);
  const [away, kept] = [true, false].map((isOut) =>
    readable.filter((id) => isOut === ring.some((key) => key.id === id && key.retiredAt !== null)),
  );
  const hasDone = retired.length > 0 || Object.values(walked.sealed).some((rows) => rows > 0);
  const stays = kept?.length ? `${kept.join(', ')} in MASTER_KEYS_READABLE was not rotated out.` : '';
  if (!hasDone && stays !== '') {
    return refused(
      `Nothing was rotated: MASTER_KEY is ${masterKey.id}, and everything is sealed under that already. ${stays} If it is the new key: make it MASTER_KEY, and this one readable, on every server, then run this again (README, "Rotating the master key").`,
      { sealed: walked.sealed },
    );
  }
  const goes = away?.length
    ? `${away.join(', ')} in MASTER_KEYS_READABLE is needed by nothing any more. Take it away from every server.`
    : '';
  return rotated(masterKey, walked, retired, [goes, stays === '' ? '' : `${stays} Leave it.`].filter((text) => text !== '').join('\n'));
}

function rotated(masterKey: MasterKey, { sealed }: SealedAnew, retired: string[], end: string): Outcome {
  const lines: [string, string][] = Object.entries(sealed).map(([name, rows]) => [name, `${String(rows)} sealed anew`]);
  return { document: { masterKey: masterKey.id, sealed, retired }, text: [fields(lines), end].filter((text) => text !== '').join('\n') };
}

/** The walk goes to the key that came last: back to one before, servers that have gone over would be left behind. */
function requireDirection(masterKey: MasterKey, ring: readonly RingKey[]): void {
  const living = ring.filter(({ retiredAt }) => retiredAt === null).map(({ id }) => id);
  if (living.at(-1) !== masterKey.id) {
    throw new DatabaseNotUsable(
      `Servers have begun to use a newer master key (${living.at(-1) ?? ''}) than this MASTER_KEY (${masterKey.id}): run this with theirs.`,
    );
  }
  if (living.length === 1 && masterKey.ids.length === 1) {
    throw new DatabaseNotUsable(
      'MASTER_KEY is the only key that is known. First give every server a new one in MASTER_KEYS_READABLE, then make that MASTER_KEY and this one readable (README, "Rotating the master key").',
    );
  }
}

function walk(url: string, masterKey: MasterKey): Promise<SealedAnew> {
  const database = new Database(url, POOL_SIZE);
  return sealAnew(database, masterKey, tellProgress()).finally(() => tidy(database.close()));
}

/** On stderr: stdout belongs to the answer. */
function tellProgress(): Progress {
  let toldAt = Date.now();
  const tell = (line: string): void => {
    if (Date.now() - toldAt < TELL_EVERY_MS) return;
    toldAt = Date.now();
    process.stderr.write(`${line}\n`);
  };
  return {
    sealed: (name, rows) => {
      tell(`${name}: ${String(rows)} sealed anew`);
    },
    waiting: (rows) => {
      tell(`waiting for ${String(rows)} rows that others hold`);
    },
  };
}

function unreadable({ sealed, unreadable: rest }: SealedAnew): Outcome {
  const where = rest.map(({ table: name, rows }) => `${String(rows)} in ${name}`).join(', ');
  return refused(
    `Some rows were sealed under a key that is not configured (${where}). Set it in MASTER_KEYS_READABLE and run this again: no key was rotated out. "latchkey master-key status" names it.`,
    { sealed, unreadable: rest },
  );
}

function refused(message: string, more: object): Outcome {
  process.stderr.write(`error: ${message}\n`);
  return { document: { error: { code: 'NOT_USABLE', message }, ...more }, text: '', exitCode: REFUSED };
}
