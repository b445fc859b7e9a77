import type { Request } from 'express';
import { LatchkeyError } from '../domain/errors.js';
import type { Principal } from './principal.js';
import { isSame } from './same-secret.js';

const BEARER = /^bearer\s+(\S+)\s*$/i;
const LOOPBACK = /^(::ffff:)?127\.\d+\.\d+\.\d+$|^::1$/;
/** Whoever sends one of these passes on what another has asked. */
const PASSED_ON = [
  'forwarded',
  'via',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-real-ip',
  'x-client-ip',
  'x-cluster-client-ip',
  'cf-connecting-ip',
  'true-client-ip',
  'fly-client-ip',
];
/** How this machine calls itself, with any port; another name was asked for elsewhere, or in a page that makes it point here. */
const OWN_HOST = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\]|\[::ffff:127\.\d+\.\d+\.\d+\])(:\d+)?$/i;

/**
 * Who may read `/metrics` (contract: operations.md, METRICS_TOKEN). With a token: who shows it, from wherever. Without one:
 * this machine itself, by the address of the socket; what a proxy on this machine passes on came from elsewhere, whatever
 * its headers say and whether or not the proxy is trusted. A proxy here that adds no header and asks for a loopback address, as
 * nginx does unless told otherwise, cannot be told from the machine: behind one a token is needed (docs/operations/README.md).
 * @throws 401 for a wrong token or none; 404 where there is no token and the request is not this machine's own
 */
export function admitScraper(request: Request, token: string | undefined): Principal {
  if (token === undefined && !isOfThisMachine(request)) throw new LatchkeyError('NOT_FOUND', 'No such route.');
  const given = BEARER.exec(request.headers.authorization ?? '')?.[1] ?? '';
  if (token !== undefined && !isSame(given, token)) throw new LatchkeyError('AUTH_FAILED', 'The token for metrics is needed.');
  return { kind: 'anonymous' };
}

function isOfThisMachine({ socket, headers }: Request): boolean {
  return (
    LOOPBACK.test(socket.remoteAddress ?? '') && OWN_HOST.test(headers.host ?? '') && PASSED_ON.every((name) => headers[name] === undefined)
  );
}
