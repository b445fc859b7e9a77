import { calculateJwkThumbprint, type CryptoKey, importJWK } from 'jose';
import { demand, isObject, LatchkeyError } from './errors.js';

/** An Ed25519 public key of an environment, as the server's key set has it (RFC 8037). */
export interface Jwk {
  kty: string;
  crv?: string;
  x?: string;
  kid?: string;
  alg?: string;
  use?: string;
}

/** A key set as `GET /.well-known/jwks.json` answers it, or its keys. */
export type Jwks = readonly Jwk[] | { readonly keys: readonly Jwk[] };

/** Whether it looks like what can be pinned; `PublicKeys.of` sees more. */
export function isJwks(value: unknown): value is Jwks {
  const list = isObject(value) ? value.keys : value;
  return Array.isArray(list) && list.length > 0 && list.every(isJwk);
}

const isJwk = (value: unknown): boolean =>
  isObject(value) &&
  value.kty === 'OKP' &&
  value.crv === 'Ed25519' &&
  /^[\w-]{43}$/.test(String(value.x)) &&
  ['string', 'undefined'].includes(typeof value.kid);

/** The keys that are trusted, by what they are called. */
export class PublicKeys {
  private constructor(
    readonly jwks: readonly Jwk[],
    private readonly keys: ReadonlyMap<string, CryptoKey>,
  ) {}

  static readonly none = new PublicKeys([], new Map());

  /**
   * A key is called by its RFC 7638 thumbprint and nothing else: so none can take the name of another. Those that are no
   * Ed25519 keys, or are called something else, are refused: fails with a LatchkeyError `invalid_options`.
   */
  static async of(jwks: Jwks): Promise<PublicKeys> {
    const list: unknown = isObject(jwks) ? jwks.keys : jwks;
    demand(Array.isArray(list) && list.every(isJwk), 'keys is no set of Ed25519 public keys');
    const entries = await Promise.all((list as Jwk[]).map(readKey));
    return new PublicKeys(
      entries.map(([, , jwk]) => jwk),
      new Map(entries.map(([kid, key]) => [kid, key])),
    );
  }

  /** These, and of the others those that are called so. */
  async with(others: PublicKeys, kids: readonly string[]): Promise<PublicKeys> {
    const more = others.jwks.filter(({ kid }) => kid !== undefined && kids.includes(kid) && !this.keys.has(kid));
    return more.length === 0 ? this : PublicKeys.of([...this.jwks, ...more]);
  }

  find(kid: string): CryptoKey | undefined {
    return this.keys.get(kid);
  }
}

async function readKey({ kty, crv, x, kid }: Jwk): Promise<[string, CryptoKey, Jwk]> {
  const jwk = { kty, crv, x };
  const thumbprint = await calculateJwkThumbprint(jwk);
  demand(kid === undefined || kid === thumbprint, `keys: ${kid ?? ''} is a name that is not the key's own`);
  const key = await importJWK(jwk, 'EdDSA').catch((cause: unknown) => {
    throw new LatchkeyError('invalid_options', 'keys: one cannot be read.', { cause });
  });
  return [thumbprint, key as CryptoKey, { ...jwk, kid: thumbprint }];
}
