import ipaddr from 'ipaddr.js';

/**
 * Which addresses the server connects to on behalf of a vendor (contract: webhooks.md, "Endpoints"): the public ones, and
 * none that leads into the network that the server stands in. An address that carries another one inside (IPv4 in IPv6, in
 * any of its ways) is refused as a whole: who routes it decides where it ends.
 */

export interface Reach {
  /** Whether this machine itself may be reached; for tests and development. Nothing else is let through by it. */
  allowLoopback: boolean;
}

/** IPv6 gives out public addresses from here alone (RFC 4291, section 2.4; IANA, "IPv6 Global Unicast Address Assignments"). */
const GLOBAL_UNICAST_V6 = ipaddr.IPv6.parseCIDR('2000::/3');

/** Answers inside a cloud to every machine in it, though by number it is public: Azure's WireServer. */
const METADATA_AMONG_PUBLIC = new Set(['168.63.129.16']);

/**
 * Whether the server may connect to this address. Only the plain spellings are read, as a resolver and the URL parser write
 * them: four decimal numbers, or IPv6 without a zone. Everything else is refused.
 */
export function mayConnectTo(address: string, { allowLoopback }: Reach): boolean {
  const parsed = parse(address);
  if (parsed === null) return false;
  const range = parsed.range();
  if (range === 'loopback') return allowLoopback;
  if (range !== 'unicast') return false;
  return parsed instanceof ipaddr.IPv4 ? !METADATA_AMONG_PUBLIC.has(parsed.toString()) : parsed.match(GLOBAL_UNICAST_V6);
}

/** Whether this is an address of this machine itself: 127.0.0.0/8 or ::1. */
export function isLoopback(address: string): boolean {
  return parse(address)?.range() === 'loopback';
}

function parse(address: string): ipaddr.IPv4 | ipaddr.IPv6 | null {
  if (ipaddr.IPv4.isValidFourPartDecimal(address)) return ipaddr.IPv4.parse(address);
  return !address.includes('%') && ipaddr.IPv6.isValid(address) ? ipaddr.IPv6.parse(address) : null;
}
