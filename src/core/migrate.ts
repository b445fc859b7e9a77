import pg from 'pg';
import { DatabaseNotUsable, LOOKUP_ROLE, SYSTEM_ROLE, TENANT_ROLE } from './database.js';
import { openKeyRing } from './key-ring.js';
import type { MasterKey } from './master-key.js';
import { applyMigrations, isUpToDate, type MigrationStatus, migrationStatus } from './schema-engine.js';

/** Any two Latchkey processes that boot at once agree on this number. */
const MIGRATION_LOCK = 7_205_759_404;
const MINIMUM_VERSION = 150_000;
const ROLES = [TENANT_ROLE, SYSTEM_ROLE, LOOKUP_ROLE];

/** A database that a server can work on. */
export interface PreparedDatabase {
  /** Names of the migrations that were applied just now. */
  applied: string[];
  /** The master key of the settings, with what the database keeps: the one to work with. */
  masterKey: MasterKey;
}

/**
 * Bring the schema up to date and make sure that the isolation between tenants is real. Of servers that boot at once
 * one migrates, the others wait for it.
 * @throws DatabaseNotUsable
 */
export async function prepareDatabase(databaseUrl: string, given: MasterKey): Promise<PreparedDatabase> {
  return withClient(databaseUrl, async (client) => {
    await requireVersion(client);
    await requireRoles(client);
    await client.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK]);
    const applied = (await isUpToDate(client)) ? [] : await migrate(databaseUrl);
    await requireIsolation(client);
    // With another master key every stored key would be unknown: said at once, instead of answering 401 to everyone.
    return { applied, masterKey: await openKeyRing(client, given) };
  });
}

/** What is missing, and its names. */
async function migrate(databaseUrl: string): Promise<string[]> {
  const status = await migrationStatus(databaseUrl);
  if (status.failed.length > 0) {
    throw new DatabaseNotUsable(
      `Migration ${status.failed.join(', ')} failed earlier. Mend its cause, then run: npx prisma migrate resolve --rolled-back ${status.failed[0] ?? ''}`,
    );
  }
  if (status.unknown.length > 0) {
    throw new DatabaseNotUsable(`The database is newer than this program: it has ${status.unknown.join(', ')}. Run the newer version.`);
  }
  return status.pending.length === 0 ? [] : applyMigrations(databaseUrl);
}

/**
 * Where the schema stands; changes nothing.
 * @throws DatabaseNotUsable
 */
export async function databaseStatus(databaseUrl: string): Promise<MigrationStatus> {
  return withClient(databaseUrl, async (client) => {
    await requireVersion(client);
    return migrationStatus(databaseUrl);
  });
}

/** The session ends with the client, and with it the lock. */
async function withClient<T>(databaseUrl: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: databaseUrl, connectionTimeoutMillis: 10_000 });
  client.on('error', () => undefined);
  await client.connect().catch((error: unknown) => {
    throw new DatabaseNotUsable(`The database cannot be reached: ${reasonOf(error)}`, { cause: error });
  });
  return work(client).finally(() => client.end());
}

/** A name that stands for several addresses fails with one error for each, and no message of its own. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(reasonOf).join('; ');
  return error instanceof Error ? error.message : String(error);
}

async function requireVersion(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ version: number }>(`SELECT current_setting('server_version_num')::int AS version`);
  if ((rows[0]?.version ?? 0) < MINIMUM_VERSION) throw new DatabaseNotUsable('Latchkey needs PostgreSQL 15 or newer.');
}

/**
 * The roles that sessions switch to. The first migration makes them too, for those who apply it with other tools; here
 * an operator whose role may not make or join them is told what to run before anything has been changed.
 */
async function requireRoles(client: pg.Client): Promise<void> {
  const missing: string[] = [];
  // From PostgreSQL 16 on, whoever creates a role is a member that may administer it, and not one that may switch to it.
  const { rows: servers } = await client.query<{ may: string }>(
    `SELECT CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END AS may`,
  );
  const may = servers[0]?.may;
  for (const role of ROLES) {
    const { rows } = await client.query<{ known: boolean; joined: boolean }>(
      `SELECT count(*) > 0 AS known, COALESCE(bool_or(pg_has_role(current_user, oid, $2)), false) AS joined FROM pg_roles WHERE rolname = $1`,
      [role, may],
    );
    const statements = [
      ...(rows[0]?.known === true ? [] : [`CREATE ROLE ${role} NOLOGIN NOSUPERUSER NOBYPASSRLS`]),
      ...(rows[0]?.joined === true ? [] : [`GRANT ${role} TO ${client.escapeIdentifier(client.user ?? '')}`]),
    ];
    for (const statement of statements) {
      // Another server that boots at this moment may do the same: what counts is whether it holds afterwards.
      await client.query(statement).catch(() => missing.push(statement));
    }
  }
  const { rows } = await client.query<{ joined: number }>(
    `SELECT count(*)::int AS joined FROM pg_roles WHERE rolname = ANY($1) AND pg_has_role(current_user, oid, $2)`,
    [ROLES, may],
  );
  if (rows[0]?.joined !== ROLES.length) {
    throw new DatabaseNotUsable(
      `The connection's role may not make or join Latchkey's roles. As an administrator of the database, run: ${missing.join('; ')};`,
    );
  }
}

/**
 * Row-level security does nothing for superusers, for roles with BYPASSRLS, and on tables where it is off. All three
 * would be silent, so all three are looked at.
 */
async function requireIsolation(client: pg.Client): Promise<void> {
  const { rows: strong } = await client.query<{ rolname: string }>(
    'SELECT rolname FROM pg_roles WHERE rolname = ANY($1) AND (rolsuper OR rolbypassrls OR rolcanlogin)',
    [ROLES],
  );
  if (strong.length > 0) {
    throw new DatabaseNotUsable(
      `Role ${strong.map((role) => role.rolname).join(', ')} could escape the isolation of tenants: it must be NOLOGIN NOSUPERUSER NOBYPASSRLS.`,
    );
  }
  const { rows: open } = await client.query<{ relname: string }>(
    `SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
      WHERE nspname = current_schema() AND relkind IN ('r', 'p') AND relname <> '_prisma_migrations'
        AND NOT (relrowsecurity AND relforcerowsecurity)`,
  );
  if (open.length > 0)
    throw new DatabaseNotUsable(`Row-level security is not forced on: ${open.map((table) => table.relname).join(', ')}.`);
}
