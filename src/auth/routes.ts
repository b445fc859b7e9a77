import { type INestApplication, RequestMethod, type Type } from '@nestjs/common';
import { METHOD_METADATA, PATH_METADATA } from '@nestjs/common/constants.js';
import { DiscoveryService, MetadataScanner } from '@nestjs/core';
import { type Access } from './access.js';
import { accessOf } from './access.guard.js';

/** A route as its controller declares it. */
export interface Route {
  method: string;
  /** With parameters as `:name`. */
  path: string;
  access: Access;
}

/**
 * Every route of the application, each with its access rule.
 * @throws when one declares none: nothing is open by omission, and nothing closed by accident either
 */
export function listRoutes(app: INestApplication): Route[] {
  const scanner = new MetadataScanner();
  const routes: Route[] = [];
  const undeclared: string[] = [];
  for (const { metatype } of app.get(DiscoveryService).getControllers()) {
    const controller = metatype as Type<object>;
    const prototype = controller.prototype as Record<string, object>;
    for (const name of scanner.getAllMethodNames(prototype)) {
      const handler = prototype[name];
      const method = handler === undefined ? undefined : (Reflect.getMetadata(METHOD_METADATA, handler) as RequestMethod | undefined);
      if (handler === undefined || method === undefined) continue;
      const access = accessOf(handler);
      if (access === undefined) undeclared.push(`${controller.name}.${name}`);
      else routes.push({ method: RequestMethod[method], path: join(pathOf(controller), pathOf(handler)), access });
    }
  }
  if (undeclared.length > 0)
    throw new Error(`No access is declared for ${undeclared.join(', ')}: add @Requires(…), @Public() or another of src/auth/access.ts.`);
  return routes;
}

function pathOf(target: object): string {
  return (Reflect.getMetadata(PATH_METADATA, target) as string | undefined) ?? '';
}

function join(...parts: string[]): string {
  return `/${parts
    .map((part) => part.replace(/^\/|\/$/g, ''))
    .filter((part) => part !== '')
    .join('/')}`;
}
