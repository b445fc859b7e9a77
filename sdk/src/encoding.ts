/** Text and bytes, with nothing but what browsers and Node share. */

const utf8 = new TextEncoder();

export type Bytes = Uint8Array<ArrayBuffer>;

export async function sha256(text: string): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', utf8.encode(text)));
}

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** RFC 4648, section 4: with padding. */
export function toBase64(text: string): string {
  return btoa(String.fromCharCode(...utf8.encode(text)));
}

/** Of text that is ASCII, as every compact document is; null = it is not the one way to write these bytes. */
export function fromBase64(text: string): string | null {
  try {
    const bytes = atob(text);
    // Decoders take several texts for the same bytes (RFC 4648, section 3.5): a document has one.
    return btoa(bytes) === text ? bytes : null;
  } catch {
    return null;
  }
}

/** Whether each part of a compact JWS or JWE is the one way to write its bytes. */
export function isCompact(document: string, parts: number): boolean {
  const all = document.split('.');
  return all.length === parts && all.every((part) => fromBase64(toPadded(part)) !== null);
}

/** Base64url as base64; a part with the marks of base64 itself is none. */
function toPadded(part: string): string {
  if (/[+/=]/.test(part)) return '!';
  const text = part.replace(/-/g, '+').replace(/_/g, '/');
  return text + '='.repeat((4 - (text.length % 4)) % 4);
}

export function randomId(): string {
  return toHex(crypto.getRandomValues(new Uint8Array(16)));
}
