import 'reflect-metadata';
import { Controller, Get, HttpCode, Module, Param, Post } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import pg from 'pg';
import { pino } from 'pino';
import { AppModule } from '../../dist/app.module.js';
import { Public, RequiresOrLicense } from '../../dist/auth/access.js';
import { Caller } from '../../dist/auth/principal.js';
import { Clock } from '../../dist/core/clock.js';
import { loadConfig } from '../../dist/core/config.js';
import { Database } from '../../dist/core/database.js';
import { MasterKey } from '../../dist/core/master-key.js';
import { openRequestContext } from '../../dist/core/request-context.js';
import { RequestLog } from '../../dist/core/request-log.js';

/**
 * The real application with three routes more: two that do nothing, one open and one behind the guard; and behind the
 * guard what a heartbeat is at its simplest, one UPDATE per request. Run as a process.
 */

class Trivial {
  answer() {
    return { ok: true };
  }

  same() {
    return { ok: true };
  }

  async beat({ licenseId, tenant }, id) {
    const { rowCount } = await pool.query({ name: 'beat', text: BEAT, values: [tenant.environmentId, id, licenseId] });
    return { stored: rowCount === 1 };
  }
}

const BEAT = `
  UPDATE machine_pulse SET last_heartbeat_at = now()
    FROM machine
   WHERE machine_pulse.environment_id = $1 AND machine_pulse.machine_id = $2 AND machine.id = machine_pulse.machine_id AND machine.license_id = $3`;
/** As superuser: no row-level security. As many connections as the application has in all. */
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 });
Controller('bench')(Trivial);
decorate('answer', Get('open'), Public({ limit: 'none' }));
decorate('same', Get('closed'), RequiresOrLicense('machines:read'));
decorate('beat', Post('beat/:id'), HttpCode(200), RequiresOrLicense('machines:write'));
Caller()(Trivial.prototype, 'beat', 0);
Param('id')(Trivial.prototype, 'beat', 1);

class Root extends AppModule {}

function decorate(method, ...decorators) {
  for (const decorator of decorators) decorator(Trivial.prototype, method, Object.getOwnPropertyDescriptor(Trivial.prototype, method));
}

const config = loadConfig(process.env);
const masterKey = new MasterKey(config.masterKey);
const database = new Database(config.databaseUrl, config.databasePoolSize);
const logger = pino({ level: config.logLevel });
Module({ imports: [AppModule.with({ config, database, masterKey, logger, clock: new Clock() })], controllers: [Trivial] })(Root);
const app = await NestFactory.create(Root, { bodyParser: false, logger: false });
app.use(openRequestContext);
app.use(app.get(RequestLog).follow);
await app.listen(0, '127.0.0.1');
process.stdout.write(`The bench application is ready at ${await app.getUrl()}\n`);
process.on('SIGTERM', () => {
  void app
    .close()
    .then(() => database.close())
    .then(() => process.exit(0));
});
