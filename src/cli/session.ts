import 'reflect-metadata';
import type { INestApplicationContext, Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { pino, type Logger } from 'pino';
import { AppModule } from '../app.module.js';
import type { VendorPrincipal } from '../auth/principal.js';
import { LicenseKeys } from '../auth/license-keys.js';
import { Clock } from '../core/clock.js';
import { Database } from '../core/database.js';
import { prepareDatabase } from '../core/migrate.js';
import { visitExisting } from '../core/open-database.js';
import type { Page, PageQuery } from '../core/page.js';
import { onBehalfOf, type RequestContext } from '../core/request-context.js';
import { Tracing } from '../core/tracing.js';
import type { EnvironmentName } from '../domain/api-key.js';
import { notFound } from '../domain/errors.js';
import { tidy, withDatabase } from './database.js';

const FIND_ENVIRONMENT = {
  name: 'find_environment',
  text: 'SELECT id FROM environment WHERE account_id = $1 AND name = $2',
};

/** How the audit log names whoever runs the command line. */
const operator: RequestContext = {
  requestId: null,
  ip: null,
  actor: { type: 'operator', id: null },
  credential: null,
  accountId: null,
  environmentId: null,
  segmentId: null,
  keyPrefix: null,
  response: null,
};

/** Stands where the id of an API key would: no key has it. */
const NO_KEY = '00000000-0000-0000-0000-000000000000';

/** The application without its HTTP side: the same services on the same database, for one command. */
export class Session {
  constructor(private readonly app: INestApplicationContext) {}

  /** A service of the application. */
  get<Service>(type: Type<Service>): Service {
    return this.app.get(type);
  }

  /**
   * Whoever may run the command line holds the database: full access to the environment that is named.
   * @throws 404 for an account that does not exist
   */
  async caller(account: string, environment: EnvironmentName): Promise<VendorPrincipal> {
    const accountId = await this.app.get(LicenseKeys).accountId(account);
    if (accountId === null) throw notFound('account');
    const [found] = await this.app.get(Database).lookup<{ id: string }>(FIND_ENVIRONMENT, [accountId, environment]);
    if (found === undefined) throw notFound('environment');
    const tenant = { accountId, environmentId: found.id, environment, segmentId: null };
    const grant = { scopes: [], rateLimitPerMinute: null, allowedIps: [], endsAt: null, flairs: [] };
    return { kind: 'apiKey', tenant, id: NO_KEY, scopes: [], grant, token: null };
  }
}

/**
 * Open, work, close: the schema is brought up to date first, and what the work has left to save is saved at the end. For the
 * few that make sense on a database that is not there yet, `open` makes it.
 */
export function inSession<T>(work: (session: Session) => Promise<T>, open = visitExisting): Promise<T> {
  return withDatabase(async ({ url, masterKey: given }, config) => {
    const { masterKey } = await prepareDatabase(url, given);
    const database = new Database(url, config.databasePoolSize);
    // What its work leaves to be done behind it, the servers do.
    const core = {
      config: { ...config, role: 'api' as const },
      database,
      masterKey,
      logger: stderrLogger(config.logLevel),
      clock: new Clock(),
      tracing: Tracing.off,
    };
    try {
      const app = await NestFactory.createApplicationContext(AppModule.with(core), { logger: false, abortOnError: false });
      return await onBehalfOf(operator, () => work(new Session(app))).finally(() => tidy(app.close()));
    } finally {
      await tidy(database.close());
    }
  }, open);
}

/** Every item of a list that comes in pages. */
export async function everyItem<View>(list: (query: PageQuery) => Promise<Page<View>>): Promise<View[]> {
  const items: View[] = [];
  let cursor: string | undefined;
  do {
    const page = await list({ limit: 100, cursor });
    items.push(...page.items);
    cursor = page.nextCursor ?? undefined;
  } while (cursor !== undefined);
  return items;
}

/** Stdout belongs to the answer; of a log only what went wrong is of interest here. */
function stderrLogger(configured: string): Logger {
  const level = ['error', 'fatal', 'silent'].includes(configured) ? configured : 'warn';
  return pino({ level }, pino.destination({ dest: 2, sync: true }));
}
