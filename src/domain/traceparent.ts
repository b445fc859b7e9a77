/** Where in which trace something was done (W3C Trace Context, "traceparent"). */
export interface TracePlace {
  /** 16 bytes in hexadecimal. */
  traceId: string;
  /** 8 bytes in hexadecimal. */
  spanId: string;
  /** Whether the trace is kept. */
  isSampled: boolean;
}

const TRACEPARENT = /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})$/;
const SAMPLED = 1;

/** As one line of 55 characters, in the only version that there is. */
export function formatTraceparent({ traceId, spanId, isSampled }: TracePlace): string {
  return `00-${traceId}-${spanId}-${isSampled ? '01' : '00'}`;
}

/** Null = it says no place. */
export function parseTraceparent(text: string): TracePlace | null {
  const [, traceId, spanId, flags] = TRACEPARENT.exec(text) ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return null;
  return { traceId, spanId, isSampled: (Number.parseInt(flags, 16) & SAMPLED) === SAMPLED };
}
