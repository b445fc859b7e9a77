import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { Request } from 'express';

/** A client's id and secret as OAuth 2 clients send them by default. */
export interface BasicCredential {
  id: string;
  secret: string;
}

/** HTTP Basic (RFC 7617), its parts form-encoded (RFC 6749, section 2.3.1); null without it, or when it cannot be read. */
export const BasicClient = createParamDecorator((_: unknown, context: ExecutionContext) =>
  parseBasic(context.switchToHttp().getRequest<Request>().headers.authorization),
);

export function parseBasic(header: string | undefined): BasicCredential | null {
  const [, encoded] = /^basic\s+([A-Za-z0-9+/]+=*)\s*$/i.exec(header ?? '') ?? [];
  if (encoded === undefined) return null;
  const [, id, secret] = /^([^:]*):(.*)$/s.exec(Buffer.from(encoded, 'base64').toString('utf8')) ?? [];
  if (id === undefined || secret === undefined) return null;
  try {
    const decode = (part: string): string => decodeURIComponent(part.replaceAll('+', ' '));
    return { id: decode(id), secret: decode(secret) };
  } catch {
    return null;
  }
}
