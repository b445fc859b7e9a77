import ipaddr from 'ipaddr.js';

/**
 * Which addresses a key may be used from (contract: auth.md, "API keys": allowedIps): CIDR ranges, v4 and v6. An IPv4
 * address is one, however it is spelt: `::ffff:10.0.0.1` is 10.0.0.1. Only one spelling of a number is read, because
 * programs do not agree on the others (`010.0.0.1` is 10.0.0.1 to some and 8.0.0.1 to others).
 */

/** What a range holds, as numbers: from `first` to `last`, both included. */
interface Span {
  bits: Bits;
  first: bigint;
  last: bigint;
}

type Bits = 32 | 128;

interface Range {
  bits: Bits;
  first: bigint;
  prefixLength: number;
}

const OCTET = '(?:\\d|[1-9]\\d|1\\d\\d|2[0-4]\\d|25[0-5])';
const DOTTED = new RegExp(`^${OCTET}(?:\\.${OCTET}){3}$`);
const PREFIX_LENGTH = /^(?:0|[1-9]\d{0,2})$/;
/** `::ffff:0:0/96`, where IPv6 keeps the addresses of IPv4 (RFC 4291, section 2.5.5.2). */
const MAPPED_PREFIX = 0xffffn;
const MAPPED_PREFIX_LENGTH = 96;

/** What is wrong with one CIDR range or plain address, to follow the field's name; null = nothing. */
export function rangeIssue(text: string): string | null {
  return parseRange(text) === null ? 'must be an IPv4 or IPv6 address or CIDR range, like 203.0.113.0/24 or 2001:db8::/32' : null;
}

/**
 * The one spelling of a range: with its length, without what lies beyond it, IPv6 as RFC 5952 writes it.
 * @throws for what `rangeIssue` refuses
 */
export function canonicalRange(text: string): string {
  const range = requireRange(text);
  return `${addressText(range)}/${String(range.prefixLength)}`;
}

/**
 * The one spelling of an address; also of one that a proxy writes with a port, as some do (`192.0.2.1:4711`,
 * `[2001:db8::1]:4711`). Null for what is no address.
 */
export function canonicalAddress(text: string): string | null {
  const [, bracketed, dotted] = /^(?:\[([^\]]*)\](?::\d+)?|([\d.]+):\d+)$/.exec(text) ?? [];
  const address = parseAddress((bracketed ?? dotted ?? text).replace(/%.*$/, ''));
  return address === null ? null : addressText({ bits: address.bits, first: address.value, prefixLength: address.bits });
}

/** Whether a key with these ranges may be used from this address. No ranges = from anywhere; an unknown address is in none. */
export function addressIsAllowed(ranges: readonly string[], ip: string | null): boolean {
  if (ranges.length === 0) return true;
  const address = ip === null ? null : parseAddress(ip);
  if (address === null) return false;
  return ranges.some((text) => {
    const range = parseRange(text);
    if (range?.bits !== address.bits) return false;
    const beyond = BigInt(range.bits - range.prefixLength);
    return address.value >> beyond === range.first >> beyond;
  });
}

/** Whether every address of `inner` is in `outer`, be it in several of its ranges together. No ranges = anywhere. */
export function rangesCover(outer: readonly string[], inner: readonly string[]): boolean {
  if (outer.length === 0) return true;
  if (inner.length === 0) return false;
  const whole = joined(outer.map(spanOf));
  return inner.map(spanOf).every((part) => whole.some((span) => holds(span, part)));
}

function holds(outer: Span, inner: Span): boolean {
  return outer.bits === inner.bits && outer.first <= inner.first && inner.last <= outer.last;
}

/** The same addresses in as few spans as can be: those that overlap or touch are one. */
function joined(spans: readonly Span[]): Span[] {
  const sorted = [...spans].sort((a, b) => a.bits - b.bits || (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
  const result: Span[] = [];
  for (const span of sorted) {
    const previous = result.at(-1);
    if (previous === undefined || previous.bits !== span.bits || span.first > previous.last + 1n) result.push({ ...span });
    else if (span.last > previous.last) previous.last = span.last;
  }
  return result;
}

function spanOf(text: string): Span {
  const { bits, first, prefixLength } = requireRange(text);
  return { bits, first, last: first + (1n << BigInt(bits - prefixLength)) - 1n };
}

function requireRange(text: string): Range {
  const range = parseRange(text);
  if (range === null) throw new Error(`${text} is no range of addresses`);
  return range;
}

function parseRange(text: string): Range | null {
  const [addressPart = '', lengthPart, ...rest] = text.split('/');
  const written = rest.length > 0 ? null : parseWritten(addressPart);
  if (written === null) return null;
  if (lengthPart !== undefined && !PREFIX_LENGTH.test(lengthPart)) return null;
  const length = lengthPart === undefined ? written.bits : Number(lengthPart);
  if (length > written.bits) return null;
  const host = BigInt(written.bits - length);
  const range: Range = { bits: written.bits, first: (written.value >> host) << host, prefixLength: length };
  return isMapped(written) && length >= MAPPED_PREFIX_LENGTH
    ? { bits: 32, first: unmapped(range.first), prefixLength: length - MAPPED_PREFIX_LENGTH }
    : range;
}

interface Address {
  bits: Bits;
  value: bigint;
}

/** An address as one: IPv4 also where it is written as IPv6. */
function parseAddress(text: string): Address | null {
  const written = parseWritten(text);
  return written !== null && isMapped(written) ? { bits: 32, value: unmapped(written.value) } : written;
}

function parseWritten(text: string): Address | null {
  if (DOTTED.test(text)) return { bits: 32, value: toNumber(ipaddr.IPv4.parse(text).toByteArray()) };
  // A zone names an interface of one machine.
  if (text.includes('%') || !endsWell(text) || !ipaddr.IPv6.isValid(text)) return null;
  return { bits: 128, value: toNumber(ipaddr.IPv6.parse(text).toByteArray()) };
}

/**
 * A dotted end is read as strictly as a dotted address; and `::10.0.0.1` not at all, which is IPv4 to some and IPv6 to
 * others.
 */
function endsWell(text: string): boolean {
  const start = text.lastIndexOf(':') + 1;
  return !text.includes('.') || (DOTTED.test(text.slice(start)) && text.slice(0, start) !== '::');
}

function isMapped({ bits, value }: Address): boolean {
  return bits === 128 && value >> 32n === MAPPED_PREFIX;
}

function unmapped(value: bigint): bigint {
  return value & 0xffff_ffffn;
}

function toNumber(bytes: readonly number[]): bigint {
  return bytes.reduce((number, byte) => (number << 8n) | BigInt(byte), 0n);
}

function addressText({ bits, first }: Range): string {
  const bytes = Array.from({ length: bits / 8 }, (_, index) => Number((first >> BigInt(bits - 8 * (index + 1))) & 0xffn));
  const address = ipaddr.fromByteArray(bytes);
  return address instanceof ipaddr.IPv6 ? address.toRFC5952String() : address.toString();
}
