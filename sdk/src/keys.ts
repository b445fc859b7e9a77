import { calculateJwkThumbprint, type CryptoKey, importJWK } from 'jose';
import { LatchkeyError } from './errors.js';

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

/** The keys that are trusted, by what they are called. */
export class PublicKeys {
  private constructor(
    readonly jwks: readonly Jwk[],
    private readonly keys: ReadonlyMap<string, CryptoKey>,
  ) {}

  static readonly none = new PublicKeys([], new Map());

  /**
   * A key is called by its RFC 7638 thumbprint and nothing else: so none can take the name of another. Those that are no
   * Ed25519 keys, or are called something else, are refused.
   */
  static async of(jwks: Jwks): Promise<PublicKeys> {
    const list = isList(jwks) ? jwks : jwks.keys;
    const entries = await Promise.all(list.map(readKey));
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

/** An array has something called `keys` too. */
function isList(jwks: Jwks): jwks is readonly Jwk[] {
  return Array.isArray(jwks);
}

async function readKey({ kty, crv, x, kid }: Jwk): Promise<[string, CryptoKey, Jwk]> {
  if (kty !== 'OKP' || crv !== 'Ed25519' || x === undefined) throw new LatchkeyError('invalid_keys', 'A key is no Ed25519 public key.');
  const jwk = { kty, crv, x };
  const thumbprint = await calculateJwkThumbprint(jwk);
  if (kid !== undefined && kid !== thumbprint)
    throw new LatchkeyError('invalid_keys', `The key ${kid} is called by a name that is not its own.`);
  return [thumbprint, (await importJWK(jwk, 'EdDSA')) as CryptoKey, { ...jwk, kid: thumbprint }];
}
