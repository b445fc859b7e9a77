import 'reflect-metadata';
import type { RequestListener } from 'node:http';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { SwaggerModule } from '@nestjs/swagger';
import type { NextFunction, Request, RequestHandler, Response } from 'express';
import type { Logger } from 'pino';
import { AppModule } from './app.module.js';
import { corsOf } from './auth/cors.js';
import { listRoutes } from './auth/routes.js';
import { HEADERS_OF_ALL } from './core/answer.headers.js';
import type { Core } from './core/core.module.js';
import { jsonBody } from './core/http-body.js';
import { createOpenApi } from './core/openapi.js';
import { RateLimits } from './core/rate-limits.js';
import { Readiness } from './core/readiness.js';
import { currentRequest, openRequestContext } from './core/request-context.js';
import { RequestLog } from './core/request-log.js';
import { answerNoApi, Role } from './core/role.js';
import { Upgrades } from './core/upgrades.js';
import { BULK_LIMIT_BYTES, BULK_PATH, IMPORT_PATH } from './licenses/bodies.js';
import { HeartbeatDoor } from './machines/heartbeat.door.js';
import { speakOAuth, TOKEN_PATH } from './tokens/oauth-errors.js';
import { Tracing } from './core/tracing.js';
import { VERSION } from './core/version.js';
import { ipKey } from './domain/rate-limit.js';

/** The application, wired and not yet listening. Fails for a route that declares no access. */
export async function createApp(core: Core): Promise<NestExpressApplication> {
  const app = await NestFactory.create<NestExpressApplication>(AppModule.with(core), {
    bodyParser: false,
    abortOnError: false,
    logger: nestLogger(core.logger),
  });
  const readiness = app.get(Readiness);
  const { answersApi } = app.get(Role);
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', 'extended');
  app.set('trust proxy', core.config.trustedProxies);
  app.use(openRequestContext);
  app.use(app.get(RequestLog).follow);
  app.use((_request: Request, response: Response, next: NextFunction) => {
    for (const [name, value] of Object.entries(HEADERS_OF_ALL)) response.setHeader(name, value);
    if (readiness.isStopping) response.setHeader('Connection', 'close');
    next();
  });
  if (!answersApi) app.use(answerNoApi);
  app.use(corsOf(listRoutes(app), core.config.corsOrigins));
  app.use(['/docs', '/openapi.json'], limitOf(app.get(RateLimits)));
  app.use(TOKEN_PATH, speakOAuth);
  app.use(jsonBody({ formsAt: TOKEN_PATH, limitsBytes: { [BULK_PATH]: BULK_LIMIT_BYTES }, filesAt: IMPORT_PATH }));
  if (!answersApi) return app;
  SwaggerModule.setup('docs', app, () => createOpenApi(app, VERSION), {
    jsonDocumentUrl: 'openapi.json',
    raw: ['json'],
    customSiteTitle: 'Latchkey API',
  });
  putBefore(app, (framework) => app.get(Tracing).before(app.get(HeartbeatDoor).before(framework)));
  app.get(Upgrades).attach(app.getHttpServer());
  return app;
}

/** What listens to the server's requests in the framework's place, and leaves to it what is not its own. */
function putBefore(app: NestExpressApplication, door: (framework: RequestListener) => RequestListener): void {
  const server = app.getHttpServer();
  const [framework] = server.listeners('request') as RequestListener[];
  if (framework === undefined) throw new Error('Nobody listens to the requests of the server.');
  server.removeListener('request', framework);
  server.on('request', door(framework));
}

/** For public routes that no guard stands before: the pages of the reference. */
function limitOf(rateLimits: RateLimits): RequestHandler {
  return (_request: Request, _response: Response, next: NextFunction) => {
    rateLimits.admit('public', ipKey(currentRequest()?.ip)).then(() => {
      next();
    }, next);
  };
}

/** What Nest itself says, in our log: warnings and errors. */
function nestLogger(logger: Logger) {
  const quiet = (): void => undefined;
  return {
    log: quiet,
    debug: quiet,
    verbose: quiet,
    warn: (message: unknown) => {
      logger.warn(String(message));
    },
    error: (message: unknown, stack?: unknown) => {
      logger.error({ stack }, String(message));
    },
    fatal: (message: unknown) => {
      logger.fatal(String(message));
    },
  };
}
