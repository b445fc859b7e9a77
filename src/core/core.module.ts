import { type DynamicModule, Global, Module } from '@nestjs/common';
import { APP_FILTER, APP_INTERCEPTOR, APP_PIPE } from '@nestjs/core';
import type { Logger } from 'pino';
import { AnswerInterceptor } from './answer.interceptor.js';
import { Clock } from './clock.js';
import { Config } from './config.js';
import { Database } from './database.js';
import { ErrorFilter } from './error.filter.js';
import { IdempotencyInterceptor } from './idempotency.js';
import { IdempotencyWorker } from './idempotency.worker.js';
import { LOGGER } from './logger.js';
import { MasterKey } from './master-key.js';
import { Readiness } from './readiness.js';
import { RequestValidationPipe } from './validation.pipe.js';

/** What the process is made of before it knows any feature. */
export interface Core {
  config: Config;
  database: Database;
  masterKey: MasterKey;
  logger: Logger;
  clock: Clock;
}

@Global()
@Module({})
export class CoreModule {
  static with({ config, database, masterKey, logger, clock }: Core): DynamicModule {
    const parts = [
      { provide: Config, useValue: config },
      { provide: Database, useValue: database },
      { provide: MasterKey, useValue: masterKey },
      { provide: LOGGER, useValue: logger },
      { provide: Clock, useValue: clock },
      Readiness,
    ];
    return {
      module: CoreModule,
      providers: [
        ...parts,
        IdempotencyWorker,
        { provide: APP_PIPE, useClass: RequestValidationPipe },
        // The outermost first: it keeps answers as they leave.
        { provide: APP_INTERCEPTOR, useClass: IdempotencyInterceptor },
        { provide: APP_INTERCEPTOR, useClass: AnswerInterceptor },
        { provide: APP_FILTER, useValue: new ErrorFilter(logger) },
      ],
      exports: parts.map((part) => (typeof part === 'function' ? part : part.provide)),
    };
  }
}
