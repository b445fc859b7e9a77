import { type CallHandler, type ExecutionContext, HttpStatus, Injectable, type NestInterceptor } from '@nestjs/common';
import { ROUTE_ARGS_METADATA } from '@nestjs/common/constants.js';
import { RouteParamtypes } from '@nestjs/common/enums/route-paramtypes.enum.js';
import type { Request, Response } from 'express';
import { map, type Observable } from 'rxjs';
import { invalid } from '../domain/errors.js';
import { isBare } from './openapi.js';
import { Page } from './page.js';

const CREATED: number = HttpStatus.CREATED;

/**
 * An answer whose status depends on what happened: an activation that was there already is 200, a new one 201. `location`
 * says where a new thing is that is not below the path that it was posted to.
 */
export class Answer<View> {
  constructor(
    readonly status: HttpStatus,
    readonly view: View,
    readonly location?: string,
  ) {}
}

/** The envelope (contract: http.md, "Envelopes"), and what a route without a body or query makes of one. */
@Injectable()
export class AnswerInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const request = context.switchToHttp().getRequest<Request>();
    const response = context.switchToHttp().getResponse<Response>();
    refuseWhatNobodyReads(context, request);
    if (isBare(context.getHandler())) return next.handle();
    return next.handle().pipe(
      map((result: unknown) => {
        if (result instanceof Answer) {
          response.status(result.status);
          if (result.location !== undefined) response.setHeader('Location', result.location);
        }
        const view: unknown = result instanceof Answer ? result.view : result;
        if (view instanceof Page)
          return { data: view.items, pagination: { nextCursor: view.nextCursor, hasMore: view.nextCursor !== null } };
        if (view === undefined) return undefined;
        if (request.method === 'POST' && response.statusCode === CREATED) setLocation(request, response, view);
        return { data: view };
      }),
    );
  }
}

/** Where the new thing is: below the path that it was posted to. */
function setLocation(request: Request, response: Response, view: unknown): void {
  const { id } = view as { id?: string };
  if (id !== undefined && !response.hasHeader('Location')) response.setHeader('Location', `${request.path.replace(/\/$/, '')}/${id}`);
}

/** Fields and parameters that a handler does not even take are as unknown as misspelt ones. */
function refuseWhatNobodyReads(context: ExecutionContext, request: Request): void {
  const handler = context.getHandler();
  const taken = Object.keys((Reflect.getMetadata(ROUTE_ARGS_METADATA, context.getClass(), handler.name) ?? {}) as object).map((key) =>
    Number(key.split(':')[0]),
  );
  const unread: string[] = [];
  if (!taken.includes(RouteParamtypes.QUERY)) unread.push(...Object.keys(request.query));
  const body = request.body as unknown;
  if (!taken.includes(RouteParamtypes.BODY) && typeof body === 'object' && body !== null) unread.push(...Object.keys(body));
  if (unread.length > 0) throw invalid(unread.map((path) => ({ path, message: 'is not a known field' })));
}
