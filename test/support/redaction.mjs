import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import pg from 'pg';

/** What our own secrets look like. Found by their pattern they are looked up in a set; all others are searched for one by one. */
const PATTERNS = [/lk_(?:live|test|user)_[0-9A-Za-z]{38}/g, /[A-Za-z]{2,10}(?:-[0-9A-Za-z]{4}){6}/g, /eyJ[\w-]+\.[\w-]+\.[\w-]+/g];
/** Bytes as PostgreSQL writes them. */
const BYTES = /\\x([0-9a-f]{16,})/g;
const ROWS_AT_ONCE = 20_000;
/** Sums by ids, times and names of ours, of which there are many: nobody's text is in them. Versions are what callers say. */
const WITHOUT_TEXT = ['cohort_tally', 'dead_machine_tally', 'license_tally', 'seat_tally'];
const TEXTS_ONLY = { 'public.activity_count': "WHERE dimension = 'version'" };

/**
 * Searches every log of the run and every row of its database for every secret that its tests were given or sent. Answers
 * one line for each place, which names it and says as much of the secret as people need to recognise it.
 */
export async function findLeaks({ databaseUrl, runDirectory, logs, secrets }) {
  const files = (await readdir(runDirectory).catch(() => [])).map((name) => join(runDirectory, name));
  const known = await readSecrets(
    files.filter((file) => basename(file).startsWith('secrets-')),
    secrets,
  );
  const leaks = new Set();
  for (const file of [...logs, ...files.filter((name) => basename(name).startsWith('log-'))]) {
    for (const secret of secretsIn(await readFile(file, 'utf8').catch(ignoreMissing), known)) {
      leaks.add(`${masked(secret)} in the log ${basename(file)}`);
    }
  }
  for (const leak of await leaksOfDatabase(databaseUrl, known)) leaks.add(leak);
  return [...leaks].sort();
}

async function readSecrets(files, more) {
  const all = new Set(more);
  for (const file of files) for (const line of (await readFile(file, 'utf8')).split('\n')) if (line !== '') all.add(JSON.parse(line));
  const hasPattern = (secret) => PATTERNS.some((pattern) => secret.match(pattern)?.[0] === secret);
  return { all, others: [...all].filter((secret) => !hasPattern(secret)) };
}

async function leaksOfDatabase(databaseUrl, known) {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    const { rows: tables } = await client.query(
      `SELECT format('%I.%I', nspname, relname) AS name FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE relkind = 'r' AND nspname NOT IN ('pg_catalog', 'information_schema') AND nspname NOT LIKE 'pg\\_toast%'
          AND relname <> ALL($1) ORDER BY 1`,
      [WITHOUT_TEXT],
    );
    const leaks = [];
    for (const { name } of tables) leaks.push(...(await leaksOfTable(client, name, known)));
    return leaks;
  } finally {
    await client.end();
  }
}

async function leaksOfTable(client, table, known) {
  const found = new Set();
  await client.query('BEGIN');
  await client.query(`DECLARE every CURSOR FOR SELECT row::text AS text FROM ${table} AS row ${TEXTS_ONLY[table] ?? ''}`);
  for (;;) {
    const { rows } = await client.query(`FETCH ${ROWS_AT_ONCE} FROM every`);
    if (rows.length === 0) break;
    const text = rows.map((row) => row.text).join('\n');
    const bytes = Array.from(text.matchAll(BYTES), ([, hex]) => Buffer.from(hex, 'hex').toString('latin1')).join('\n');
    for (const secret of [...secretsIn(text, known), ...secretsIn(bytes, known)]) found.add(secret);
  }
  await client.query('COMMIT');
  return Promise.all([...found].map((secret) => describe(client, table, secret)));
}

async function describe(client, table, secret) {
  const { rows } = await client.query(
    `SELECT DISTINCT field.key AS name FROM ${table} AS row, jsonb_each_text(to_jsonb(row)) AS field WHERE position($1 IN field.value) > 0`,
    [secret],
  );
  return `${masked(secret)} in ${table} (${rows.map(({ name }) => name).join(', ') || 'as bytes'})`;
}

function secretsIn(text, { all, others }) {
  const ours = PATTERNS.flatMap((pattern) => text.match(pattern) ?? []).filter((candidate) => all.has(candidate));
  return new Set([...ours, ...others.filter((secret) => text.includes(secret))]);
}

/** A third of it at most. */
function masked(secret) {
  return `${secret.slice(0, Math.min(12, secret.length / 3))}… (${secret.length} characters)`;
}

function ignoreMissing(error) {
  if (error.code === 'ENOENT') return '';
  throw error;
}
