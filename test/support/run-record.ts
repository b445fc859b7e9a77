import { appendFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';

/**
 * What a run leaves behind for its end, when everything that was logged and stored is searched for every secret that was
 * given out (redaction.mjs).
 */

/** Names of fields of answers that hold secrets, wherever they are; what vendors put into `metadata` is their own. */
const SECRET_FIELDS = new Set(['key', 'secret', 'jwt', 'access_token', 'accessToken', 'token', 'refresh_token', 'clientSecret']);
const CREDENTIAL_HEADERS = ['authorization', 'x-api-key'];
/** Shorter ones could be found anywhere. */
const SHORTEST_SECRET = 8;

const noted = new Set<string>();
let logs = 0;

/** A new file for the log of one server. */
export function logFile(): string {
  logs += 1;
  mkdirSync(runDirectory(), { recursive: true });
  return join(runDirectory(), `log-${process.pid}-${Date.now()}-${logs}.txt`);
}

export function keepLog(file: string, text: string | Buffer): void {
  appendFileSync(file, text);
}

/** Something that must be in no log, and in no table as it is. */
export function noteSecret(secret: string): void {
  if (secret.length < SHORTEST_SECRET || noted.has(secret)) return;
  noted.add(secret);
  mkdirSync(runDirectory(), { recursive: true });
  appendFileSync(join(runDirectory(), `secrets-${process.pid}.txt`), `${JSON.stringify(secret)}\n`);
}

/** The secrets of an answer, and the credentials that led to it: those that were let in, because no other is one. */
export function noteSecretsOf(status: number, sent: Record<string, string | string[]>, body: unknown): void {
  noteFields(body);
  if (status >= 400) return;
  for (const [name, values] of Object.entries(sent)) {
    if (!CREDENTIAL_HEADERS.includes(name.toLowerCase())) continue;
    for (const value of [values].flat()) noteSecret(value.trim().replace(/^(bearer|apikey|license)\s+/i, ''));
  }
}

function noteFields(value: unknown): void {
  if (Array.isArray(value)) value.forEach(noteFields);
  if (typeof value !== 'object' || value === null || Array.isArray(value) || isRank(value)) return;
  for (const [name, item] of Object.entries(value)) {
    if (name === 'metadata') continue;
    if (typeof item === 'string' && SECRET_FIELDS.has(name)) noteSecret(item);
    else noteFields(item);
  }
}

/** Of a ranking: its `key` names what is ranked. */
function isRank(value: object): boolean {
  return Object.keys(value).join() === 'key,label,value';
}

function runDirectory(): string {
  const directory = process.env.TEST_RUN_DIR;
  if (directory === undefined) throw new Error('TEST_RUN_DIR is not set: the global set-up did not run');
  return directory;
}
