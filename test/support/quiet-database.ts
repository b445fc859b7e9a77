import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { TURNS } from '../../src/core/recurring.js';
import { testDatabaseUrl } from './settings.js';

/** A database of a test's own, in which nobody sweeps: what it lets die stays until the test does something about it. */
export interface QuietDatabase {
  url: string;
  /** After its servers have stopped. */
  end: () => Promise<void>;
}

/** Empty: the first server that boots on it migrates it. */
export async function quietDatabase(): Promise<QuietDatabase> {
  const name = `quiet_${randomUUID().replaceAll('-', '')}`;
  await administer(`CREATE DATABASE ${name}`);
  const url = new URL(`/${name}`, testDatabaseUrl()).href;
  const holder = new pg.Client({ connectionString: url });
  await holder.connect();
  await holder.query('SELECT pg_advisory_lock($1)', [TURNS.machines]);
  const end = async (): Promise<void> => {
    await holder.end();
    await administer(`DROP DATABASE ${name} WITH (FORCE)`);
  };
  return { url, end };
}

async function administer(statement: string): Promise<void> {
  const admin = new pg.Client({ connectionString: testDatabaseUrl() });
  await admin.connect();
  await admin.query(statement);
  await admin.end();
}
