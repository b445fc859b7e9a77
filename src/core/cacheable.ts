import { createHash } from 'node:crypto';
import { applyDecorators, type CallHandler, type ExecutionContext, type NestInterceptor, UseInterceptors } from '@nestjs/common';
import { ApiHeader, ApiResponse } from '@nestjs/swagger';
import type { Response } from 'express';
import { map, type Observable } from 'rxjs';

/**
 * `public`: the answer is the same for everyone. `private`: it depends on who asks, which a browser's cache does not look at,
 * so it is asked for each time, and sent only when it has changed.
 */
type Cacheability = { scope: 'public'; maxAgeSeconds: number } | { scope: 'private' };

/** An answer that may be kept for a while and asked for again with `If-None-Match` (RFC 9110, section 8.8.3; RFC 9111). Errors may not. */
export const Cacheable = (cacheability: Cacheability): MethodDecorator =>
  applyDecorators(
    UseInterceptors(new CacheHeaders(cacheability)),
    ApiHeader({
      name: 'If-None-Match',
      required: false,
      description: 'The `ETag` of the answer that is there already: 304 while it is still the same.',
      schema: { type: 'string' },
      example: '"rqK6nbRkVD1nk9xIoBRwoQ"',
    }),
    ApiResponse({ status: 304, description: 'The answer whose `ETag` was sent is still the same.' }),
  );

class CacheHeaders implements NestInterceptor {
  private readonly cacheControl: string;

  constructor(cacheability: Cacheability) {
    this.cacheControl = cacheability.scope === 'public' ? `public, max-age=${String(cacheability.maxAgeSeconds)}` : 'private, no-cache';
  }

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(
      map((view: unknown) => {
        const response = context.switchToHttp().getResponse<Response>();
        response.setHeader('Cache-Control', this.cacheControl);
        // The framework answers 304 by itself when this is what the caller has.
        response.setHeader('ETag', `"${createHash('sha256').update(JSON.stringify(view)).digest('base64url').slice(0, 22)}"`);
        return view;
      }),
    );
  }
}
