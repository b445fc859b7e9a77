import { isLoopback, mayConnectTo, type Reach } from './public-address.js';

/**
 * Where a webhook may go, as far as its URL says (contract: webhooks.md, "Endpoints"). What a name leads to is judged by
 * whoever resolves it, with `mayConnectTo`.
 */

const MAX_URL_LENGTH = 2048;

export const NOT_PUBLIC = 'must not lead to an address that is not public';

/** Left out by URL parsers in silence, or read by some as a slash: what is shown would not be what is called. */
const UNSEEN = /[\s\\\p{Cc}]/u;
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;
const MAX_NAME_LENGTH = 253;

/** Names that private networks and clouds give out among themselves, at any depth (RFC 6762, RFC 8375, and by custom). */
const INTERNAL_SUFFIXES = [
  ...['local', 'localdomain', 'internal', 'intranet', 'private', 'corp', 'home', 'lan', 'home.arpa'],
  ...['svc', 'consul', 'metadata.goog'],
];

/** The host of a URL: an address, this machine by name, or a name that somebody must resolve. */
export type Host = { kind: 'address' | 'localhost' | 'name'; text: string };

/**
 * What is wrong with an endpoint's URL, to follow the field's name; null = nothing. Allowed is https to a host that is not
 * known to be internal, and with `allowLoopback` http and https to this machine. Addresses are judged in every spelling.
 */
export function endpointUrlIssue(text: string, reach: Reach): string | null {
  if (text.length > MAX_URL_LENGTH) return `must not be longer than ${String(MAX_URL_LENGTH)} characters`;
  if (UNSEEN.test(text) || !text.isWellFormed()) return 'must not contain spaces, control characters or backslashes';
  const scheme = /^(https?):\/\/[^/]/i.exec(text)?.[1]?.toLowerCase();
  if (scheme === undefined || !URL.canParse(text)) return 'must be a URL like https://example.com/webhooks';
  const authority = /^[^:]*:\/\/([^/?#]*)/.exec(text)?.[1] ?? '';
  if (authority.includes('@')) return 'must not contain a user name or password';
  if (text.includes('#')) return 'must not have a fragment (#…)';
  const host = hostOf(new URL(text));
  const issue = hostIssue(host, reach);
  if (issue !== null) return issue;
  if (scheme === 'https' || (reach.allowLoopback && isThisMachine(host))) return null;
  return 'must begin with https://';
}

/** What a URL leads to, in one spelling: addresses as the URL standard writes them, without brackets; names in lower case. */
export function hostOf({ hostname }: URL): Host {
  if (hostname.startsWith('[')) return { kind: 'address', text: hostname.slice(1, -1) };
  // A host that ends in a number is an IPv4 address or no URL at all (URL standard, "ends in a number checker").
  if (/^\d+(?:\.\d+){3}$/.test(hostname)) return { kind: 'address', text: hostname };
  const text = hostname.toLowerCase().replace(/\.$/, '');
  return { kind: text === 'localhost' || text.endsWith('.localhost') ? 'localhost' : 'name', text };
}

function hostIssue({ kind, text }: Host, reach: Reach): string | null {
  if (kind === 'address') return mayConnectTo(text, reach) ? null : NOT_PUBLIC;
  if (kind === 'localhost') return reach.allowLoopback ? null : NOT_PUBLIC;
  const labels = text.split('.');
  if (text.length > MAX_NAME_LENGTH || !labels.every((label) => LABEL.test(label))) return 'must name a host, like example.com';
  return labels.length === 1 || INTERNAL_SUFFIXES.some((suffix) => text === suffix || text.endsWith(`.${suffix}`)) ? NOT_PUBLIC : null;
}

/** RFC 6761, section 6.3: localhost and what is under it is this machine, whatever a resolver says. */
function isThisMachine({ kind, text }: Host): boolean {
  return kind === 'localhost' || (kind === 'address' && isLoopback(text));
}
