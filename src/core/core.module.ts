import { type DynamicModule, Global, Module } from '@nestjs/common';
import { APP_FILTER, APP_INTERCEPTOR, APP_PIPE } from '@nestjs/core';
import type { Logger } from 'pino';
import { AnswerInterceptor } from './answer.interceptor.js';
import { AuthFailures } from './auth-failures.js';
import { Clock } from './clock.js';
import { Config } from './config.js';
import { Database } from './database.js';
import { ErrorFilter } from './error.filter.js';
import { IdempotencyInterceptor } from './idempotency.js';
import { IdempotencyWorker } from './idempotency.worker.js';
import { Interests } from './interests.js';
import { LOGGER } from './logger.js';
import { MasterKey } from './master-key.js';
import { RateLimits } from './rate-limits.js';
import { Metrics } from './metrics.js';
import { Readiness } from './readiness.js';
import { RequestLog } from './request-log.js';
import { Role } from './role.js';
import { Signals } from './signals.js';
import { SpoolInterceptor } from './spool.js';
import { Tracing } from './tracing.js';
import { Upgrades } from './upgrades.js';
import { RequestValidationPipe } from './validation.pipe.js';

/** What the process is made of before it knows any feature. */
export interface Core {
  config: Config;
  database: Database;
  masterKey: MasterKey;
  logger: Logger;
  clock: Clock;
  tracing: Tracing;
}

@Global()
@Module({})
export class CoreModule {
  static with({ config, database, masterKey, logger, clock, tracing }: Core): DynamicModule {
    const parts = [
      { provide: Config, useValue: config },
      { provide: Database, useValue: database },
      { provide: MasterKey, useValue: masterKey },
      { provide: LOGGER, useValue: logger },
      { provide: Clock, useValue: clock },
      Metrics,
      RequestLog,
      { provide: Tracing, useValue: tracing },
      Role,
      Readiness,
      AuthFailures,
      RateLimits,
      Signals,
      Interests,
      Upgrades,
    ];
    return {
      module: CoreModule,
      providers: [
        ...parts,
        IdempotencyWorker,
        { provide: APP_PIPE, useClass: RequestValidationPipe },
        // The outermost first: files are there before anyone asks what was sent, and answers are kept as they leave.
        { provide: APP_INTERCEPTOR, useClass: SpoolInterceptor },
        { provide: APP_INTERCEPTOR, useClass: IdempotencyInterceptor },
        { provide: APP_INTERCEPTOR, useClass: AnswerInterceptor },
        { provide: APP_FILTER, useFactory: (failures: AuthFailures) => new ErrorFilter(logger, failures), inject: [AuthFailures] },
      ],
      exports: parts.map((part) => (typeof part === 'function' ? part : part.provide)),
    };
  }
}
