import ipaddr from 'ipaddr.js';

/** How a caller stands against one limit, after the request in hand was counted. */
export interface Standing {
  policy: string;
  /** Requests a window. */
  limit: number;
  /** Requests left in this window. */
  remaining: number;
  /** Until the window ends. */
  resetsInMs: number;
}

/** The names of `rateLimitHeaders`. */
export const RATE_LIMIT_HEADERS = ['X-RateLimit-Limit', 'X-RateLimit-Remaining', 'X-RateLimit-Reset', 'RateLimit', 'RateLimit-Policy'];

const IPV6_NETWORK_BITS = 64;
const MS_PER_SECOND = 1000;

/**
 * What an address counts as. One IPv6 customer has a /64 at least, and could take a new address for every request; an
 * IPv4 address is one however it is spelt. What is no address counts as itself.
 */
export function ipKey(ip: string | null | undefined): string {
  if (ip === null || ip === undefined || !ipaddr.isValid(ip)) return ip ?? 'unknown';
  const address = ipaddr.process(ip);
  if (!(address instanceof ipaddr.IPv6)) return address.toString();
  const network = ipaddr.IPv6.networkAddressFromCIDR(`${address.toNormalizedString().split('%', 1)[0] ?? ''}/${String(IPV6_NETWORK_BITS)}`);
  return `${network.toString()}/${String(IPV6_NETWORK_BITS)}`;
}

/** Whole seconds until the window ends: never less than one, for whoever waits that long. */
export function secondsLeft({ resetsInMs }: Standing): number {
  return Math.max(1, Math.ceil(resetsInMs / MS_PER_SECOND));
}

/**
 * The headers of an answer on which these limits (at least one) were counted: every one of them in the IETF fields
 * (draft-ietf-httpapi-ratelimit-headers: lists of structured fields, RFC 9651), the tightest in the older X- fields.
 */
export function rateLimitHeaders(standings: readonly Standing[], windowSeconds: number, now: Date): Record<string, string> {
  const tightest = standings.reduce((a, b) => (isTighter(b, a) ? b : a));
  const resetsAt = Math.ceil((now.getTime() + tightest.resetsInMs) / MS_PER_SECOND);
  const list = (item: (standing: Standing) => string): string => standings.map(item).join(', ');
  return {
    'X-RateLimit-Limit': String(tightest.limit),
    'X-RateLimit-Remaining': String(tightest.remaining),
    'X-RateLimit-Reset': String(resetsAt),
    'RateLimit-Policy': list(({ policy, limit }) => `"${policy}";q=${String(limit)};w=${String(windowSeconds)}`),
    RateLimit: list((standing) => `"${standing.policy}";r=${String(standing.remaining)};t=${String(secondsLeft(standing))}`),
  };
}

function isTighter(one: Standing, other: Standing): boolean {
  return one.remaining < other.remaining || (one.remaining === other.remaining && one.resetsInMs > other.resetsInMs);
}
