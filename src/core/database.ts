import { AsyncLocalStorage } from 'node:async_hooks';
import { PrismaPg } from '@prisma/adapter-pg';
import pg from 'pg';
import { parseIntoClientConfig } from 'pg-connection-string';
import type { EnvironmentName } from '../domain/api-key.js';
import { PrismaClient, type Prisma } from '../generated/prisma/client.js';
import { Listener } from './listener.js';
import { prepared, PreparedStatements } from './prepared.js';
import { SharedTransaction } from './shared-transaction.js';
import { hasEvents } from './written-events.js';

/** A database that Latchkey must not run on; the message says what to do. */
export class DatabaseNotUsable extends Error {}

/** Whose data a unit of work may touch. */
export interface Tenant {
  accountId: string;
  environmentId: string;
  environment: EnvironmentName;
  /** Of an API key with the flair `segment`: the only part of the environment that it sees; null = all of it. */
  segmentId: string | null;
}

interface TransactionOptions {
  maxWait: number;
  timeout: number;
  isolationLevel?: 'RepeatableRead';
}

/** The client inside a unit of work: queries, no way to begin or end transactions. */
export type Db = Prisma.TransactionClient;

/** A statement of the hot paths, prepared once a connection under its name. */
export interface Lookup {
  name: string;
  text: string;
}

export const TENANT_ROLE = 'latchkey_tenant';
export const SYSTEM_ROLE = 'latchkey_system';
export const LOOKUP_ROLE = 'latchkey_lookup';

/** How long a unit of work waits for a connection before the answer is 503, and how long it may run. */
const ACQUIRE_TIMEOUT_MS = 10_000;
const WORK_TIMEOUT_MS = 30_000;
const STATEMENT_TIMEOUT_MS = 20_000;
/** The same on this side, for when the network takes the answer with it. */
const QUERY_TIMEOUT_MS = 25_000;
/** Share of the pool that the hot paths have to themselves, and how many of those are for what they write. */
const HOT_SHARE = 0.5;
const STAMP_CONNECTIONS = 1;

/**
 * The only door to the data (docs/decisions/0002-tenancy.md). The Prisma client is private: no code can query without
 * saying, by type, whose data it may touch, and the database holds it to that with row-level security.
 */
export class Database {
  private readonly client: PrismaClient;
  private readonly lookups: pg.Pool;
  private readonly stamps: pg.Pool;
  private readonly shared = new AsyncLocalStorage<SharedTransaction>();
  private eventsAreKept: () => void = () => undefined;

  constructor(
    private readonly databaseUrl: string,
    poolSize: number,
  ) {
    const lookupSize = Math.max(1, Math.floor(poolSize * HOT_SHARE) - STAMP_CONNECTIONS);
    const tenantSize = poolSize - lookupSize - STAMP_CONNECTIONS;
    const statements = new PreparedStatements();
    const adapter = new PrismaPg(poolConfig(databaseUrl, TENANT_ROLE, tenantSize), {
      onPoolError: ignoreIdleError,
      // The type asks for a name, and what it is given to has none as well.
      statementNameGenerator: ({ sql }) => statements.nameOf(sql) as string,
    });
    this.client = new PrismaClient({ adapter, transactionOptions: { maxWait: ACQUIRE_TIMEOUT_MS, timeout: WORK_TIMEOUT_MS } });
    // They all go by a unique index whatever their values: planning anew each time cost five times the execution.
    const hotPlans = '-c plan_cache_mode=force_generic_plan';
    this.lookups = new pg.Pool(poolConfig(databaseUrl, LOOKUP_ROLE, lookupSize, hotPlans));
    this.stamps = new pg.Pool(poolConfig(databaseUrl, SYSTEM_ROLE, STAMP_CONNECTIONS, hotPlans));
    for (const pool of [this.lookups, this.stamps]) pool.on('error', ignoreIdleError);
  }

  /** One unit of work, one transaction, on the rows of one tenant. */
  within<T>(tenant: Tenant, work: (db: Db) => Promise<T>): Promise<T> {
    return this.unit(async (db) => {
      await db.$executeRaw`${prepared}
        SELECT set_config('role', ${TENANT_ROLE}, true), set_config('app.environment_id', ${tenant.environmentId}, true),
               set_config('app.account_id', ${tenant.accountId}, true), set_config('app.segment_id', ${tenant.segmentId ?? ''}, true)`;
      return work(db);
    });
  }

  /**
   * One unit of work across tenants, for the few that must: `reason` says why, and a test lists the callers. Rows that
   * it writes name their environment themselves.
   */
  acrossTenants<T>(reason: string, work: (db: Db) => Promise<T>): Promise<T> {
    return this.unit(async (db) => {
      // In a shared transaction the settings of the unit before are still there, and columns default to them.
      await db.$executeRaw`${prepared}
        SELECT set_config('role', ${SYSTEM_ROLE}, true), set_config('app.reason', ${reason}, true),
               set_config('app.environment_id', '', true), set_config('app.account_id', '', true), set_config('app.segment_id', '', true)`;
      return work(db);
    });
  }

  /**
   * Every unit of work that `work` leads to, in one transaction: when this resolves all of them are kept, when it rejects
   * none is. Units take turns; each still says whose data it may touch. Under `RepeatableRead` all of them see the database as it
   * was at the first, and whoever writes what another has changed since fails (SQLSTATE 40001).
   */
  async inOneTransaction<T>(work: () => Promise<T>, timeoutMs = WORK_TIMEOUT_MS, isolationLevel?: 'RepeatableRead'): Promise<T> {
    const kept: (() => void)[] = [];
    const shareOne = async (db: Db): Promise<T> => {
      const transaction = new SharedTransaction(db, kept);
      try {
        return await this.shared.run(transaction, work);
      } finally {
        await transaction.close();
      }
    };
    const result = await this.commit(shareOne, { maxWait: ACQUIRE_TIMEOUT_MS, timeout: timeoutMs, isolationLevel });
    for (const action of kept) action();
    return result;
  }

  /** Whether units of work that begin now share one transaction. */
  get isInOneTransaction(): boolean {
    return this.shared.getStore()?.isOpen === true;
  }

  /** When what was done so far is kept: at once, or where units share a transaction after that; never when it is lost. */
  afterCommit(action: () => void): void {
    const transaction = this.shared.getStore();
    if (transaction?.isOpen === true) transaction.afterCommit(action);
    else action();
  }

  /** One read-only statement across tenants, under a role that can only read; for the hot paths. */
  async lookup<Row extends pg.QueryResultRow>(statement: Lookup, values: unknown[]): Promise<Row[]> {
    const { rows } = await this.lookups.query<Row>({ ...statement, values });
    return rows;
  }

  /**
   * One statement across tenants that writes, committed when this resolves, whatever unit of work is around it: for what
   * is written as often as others read. Each row says whose it is, in the statement itself. It has few connections: it may
   * never wait for a lock (SKIP LOCKED), or one tenant would hold up all others.
   */
  async stamp<Row extends pg.QueryResultRow>(statement: Lookup, values: unknown[]): Promise<Row[]> {
    const { rows } = await this.stamps.query<Row>({ ...statement, values });
    return rows;
  }

  /** `listener` is called after each commit of a transaction that wrote events. */
  whenEventsAreKept(listener: () => void): void {
    this.eventsAreKept = listener;
  }

  /** Tell every process that listens on the channel, this one too. Never from inside of a transaction: each would wait for all others. */
  async notify(channel: string, message: string): Promise<void> {
    await this.stamps.query('SELECT pg_notify($1, $2)', [channel, message]);
  }

  /** Hear what is told on a channel, on a connection of its own beside the pools. */
  listener(channel: string, heard: (message: string | null) => void): Listener {
    return new Listener(poolConfig(this.databaseUrl, SYSTEM_ROLE, 1), channel, heard);
  }

  /** Whether the database answers, on all of our ways to it. */
  async ping(): Promise<void> {
    await Promise.all([this.client.$queryRaw`SELECT 1`, this.lookups.query('SELECT 1'), this.stamps.query('SELECT 1')]);
  }

  /**
   * Sessions really run as our roles and in UTC: a pooler in between may drop what a session is started with.
   * @throws DatabaseNotUsable
   */
  async requireSessions(): Promise<void> {
    const sessionOf = `SELECT current_user::text AS role, current_setting('TimeZone') AS zone`;
    const tenants = await this.client.$queryRawUnsafe<{ role: string; zone: string }[]>(sessionOf);
    const { rows: lookups } = await this.lookups.query<{ role: string; zone: string }>(sessionOf);
    const { rows: stamps } = await this.stamps.query<{ role: string; zone: string }>(sessionOf);
    const found = [...tenants, ...lookups, ...stamps].map(({ role, zone }) => `${role} ${zone}`).join(', ');
    if (found !== `${TENANT_ROLE} UTC, ${LOOKUP_ROLE} UTC, ${SYSTEM_ROLE} UTC`) {
      throw new DatabaseNotUsable(
        `Sessions run as ${found}: something between Latchkey and its database drops the options that a session starts with.`,
      );
    }
  }

  /** After everything that might still want to save. */
  async close(): Promise<void> {
    await Promise.all([this.client.$disconnect(), this.lookups.end(), this.stamps.end()]);
  }

  private unit<T>(work: (db: Db) => Promise<T>): Promise<T> {
    const transaction = this.shared.getStore();
    return transaction?.isOpen === true ? transaction.join(work) : this.commit(work);
  }

  /** Run the work in a transaction of its own. */
  private async commit<T>(work: (db: Db) => Promise<T>, options?: TransactionOptions): Promise<T> {
    const [result, wroteEvents] = await this.client.$transaction(async (db) => [await work(db), hasEvents(db)] as const, options);
    if (wroteEvents) this.eventsAreKept();
    return result;
  }
}

/**
 * Every session runs as one of our roles, never as the connection string's. UTC because Prisma's adapter reads every
 * timestamp as UTC whatever the session's zone is.
 */
function poolConfig(connectionString: string, role: string, max: number, more = ''): pg.PoolConfig {
  // Taken apart, because what a connection string says wins over what stands beside it; ours comes after its own options.
  const given = parseIntoClientConfig(connectionString);
  return {
    ...given,
    max,
    options: `${given.options ?? ''} -c role=${role} -c timezone=UTC -c statement_timeout=${String(STATEMENT_TIMEOUT_MS)} ${more}`,
    connectionTimeoutMillis: ACQUIRE_TIMEOUT_MS,
    query_timeout: QUERY_TIMEOUT_MS,
    keepAlive: true,
    allowExitOnIdle: true,
    application_name: `latchkey ${role}`,
  };
}

/** An idle connection that breaks is replaced when the next query needs one; that query reports what is wrong. */
function ignoreIdleError(): void {
  return undefined;
}
