import 'reflect-metadata';
import { Controller, Get, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { pino } from 'pino';
import { AppModule } from '../../dist/app.module.js';
import { Public, RequiresOrLicense } from '../../dist/auth/access.js';
import { Clock } from '../../dist/core/clock.js';
import { loadConfig } from '../../dist/core/config.js';
import { Database } from '../../dist/core/database.js';
import { requestLogger } from '../../dist/core/logger.js';
import { MasterKey } from '../../dist/core/master-key.js';
import { openRequestContext } from '../../dist/core/request-context.js';

/** The real application with two routes more that do nothing: one open, one behind the guard. Run as a process. */

class Trivial {
  answer() {
    return { ok: true };
  }

  same() {
    return { ok: true };
  }
}
Controller('bench')(Trivial);
decorate('answer', Get('open'), Public({ limit: 'none' }));
decorate('same', Get('closed'), RequiresOrLicense('machines:read'));

class Root {}

function decorate(method, ...decorators) {
  for (const decorator of decorators) decorator(Trivial.prototype, method, Object.getOwnPropertyDescriptor(Trivial.prototype, method));
}

const config = loadConfig(process.env);
const masterKey = new MasterKey(config.masterKey);
const database = new Database(config.databaseUrl, config.databasePoolSize);
const logger = pino({ level: config.logLevel });
Module({ imports: [AppModule.with({ config, database, masterKey, logger, clock: new Clock() })], controllers: [Trivial] })(Root);
const app = await NestFactory.create(Root, { bodyParser: false, logger: false });
app.use(requestLogger(logger));
app.use(openRequestContext);
await app.listen(0, '127.0.0.1');
process.stdout.write(`The bench application is ready at ${await app.getUrl()}\n`);
process.on('SIGTERM', () => {
  void app
    .close()
    .then(() => database.close())
    .then(() => process.exit(0));
});
