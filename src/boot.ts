import type { AddressInfo } from 'node:net';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { DestinationStream } from 'pino';
import { createApp } from './app.js';
import { Clock } from './core/clock.js';
import type { Config } from './core/config.js';
import { Database } from './core/database.js';
import { createLogger } from './core/logger.js';
import { isRotating } from './core/master-key-file.js';
import { prepareDatabase } from './core/migrate.js';
import { keepsOwnKey, openDatabase } from './core/open-database.js';
import { RateLimits } from './core/rate-limits.js';
import { Readiness } from './core/readiness.js';
import { traceFields } from './core/spans.js';
import { Tracing } from './core/tracing.js';

/** How long requests in flight have to end; what is left of the ten seconds is for buffers and the database. */
const DRAIN_TIMEOUT_MS = 3000;

/** A server that is up. */
export interface Running {
  app: NestExpressApplication;
  url: string;
  /** Whether the database is the embedded one. */
  embedded: boolean;
  /** Requests in flight end, buffers are flushed, the embedded database is stopped. */
  stop: () => Promise<void>;
}

/**
 * config → database → app → listen. What was started is stopped again when a later step fails. The log goes to the
 * standard output, or to `log`.
 */
export async function boot(config: Config, log?: DestinationStream): Promise<Running> {
  const opened = await openDatabase(config);
  try {
    const logger = createLogger(config.logLevel, log, config.otelExporterOtlpEndpoint === undefined ? undefined : traceFields);
    const { applied, masterKey } = await prepareDatabase(opened.url, opened.masterKey);
    if (applied.length > 0) logger.info({ applied }, 'migrations applied');
    if (keepsOwnKey(config) && (await isRotating(config.dataDir)))
      logger.warn('the master key is being rotated: to end it, stop this server and run "latchkey master-key rotate"');
    for (const name of config.unused) logger.warn(`${name} is set, and has no effect in this version`);
    const database = new Database(opened.url, config.databasePoolSize);
    await database.requireSessions();
    const tracing = await Tracing.start(config, logger);
    const app = await createApp({ config, database, masterKey, logger, clock: new Clock(), tracing });
    await app.get(RateLimits).connect();
    await app.listen(config.port, config.host);
    const { port } = (app.getHttpServer() as { address(): AddressInfo }).address();
    const host = config.host.includes(':') ? `[${config.host}]` : config.host;
    const stop = async (): Promise<void> => {
      app.get(Readiness).stop();
      await closeWithin(app, DRAIN_TIMEOUT_MS);
      await Promise.all([tracing.stop(), database.close()]);
      await opened.close();
    };
    return { app, url: `http://${host}:${String(port)}`, embedded: opened.embedded, stop };
  } catch (error) {
    await opened.close();
    throw error;
  }
}

/** Requests in flight end by themselves; a client that never finishes its own is cut off. */
async function closeWithin(app: NestExpressApplication, timeoutMs: number): Promise<void> {
  const cutOff = setTimeout(() => {
    app.getHttpServer().closeAllConnections();
  }, timeoutMs);
  await app.close();
  clearTimeout(cutOff);
}
