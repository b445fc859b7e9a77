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

/** Of text that is ASCII, as every compact document is; throws when it is no base64. */
export function fromBase64(text: string): string {
  return atob(text);
}

export function randomId(): string {
  return toHex(crypto.getRandomValues(new Uint8Array(16)));
}
