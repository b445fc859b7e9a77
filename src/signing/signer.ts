import { sign } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { v7 as uuidv7 } from 'uuid';
import { Clock } from '../core/clock.js';
import type { Tenant } from '../core/database.js';
import { type DocumentKind, encodedPart, type RegisteredClaims, registeredClaims, type Validity } from '../domain/signed-documents.js';
import { publishedForMs } from '../domain/signing-key.js';
import { type KeyInUse, KeysInUse } from './keys-in-use.js';

/** A signed document, and what its holder is told of it. */
export interface Signed {
  /** Compact JWS (RFC 7515, section 7.1). */
  document: string;
  kid: string;
  /** Whole seconds, as the document says them. */
  issuedAt: Date;
  expiresAt: Date;
}

/** Signs what apps check by themselves (contract: offline.md), with the key in use of the environment that it is about. */
@Injectable()
export class Signer {
  constructor(
    private readonly keys: KeysInUse,
    private readonly clock: Clock,
  ) {}

  /**
   * A document with these claims beside the registered ones. Makes the environment's first key when there is none; when this
   * resolves, the key is published for as long as the document is good for, whatever transaction is around it.
   * @throws 503 when the key cannot be had
   */
  async sign(
    tenant: Pick<Tenant, 'accountId' | 'environmentId' | 'environment'>,
    kind: DocumentKind,
    licenseId: string,
    claims: object,
    validity: Validity,
  ): Promise<Signed> {
    const neededMs = publishedForMs(validity, this.clock.now());
    const { environmentId } = tenant;
    const key = this.keys.atHand(environmentId, neededMs) ?? (await this.keys.publishedUntil(environmentId, neededMs));
    return this.signWith(key, kind, registeredClaims(tenant, licenseId, validity, uuidv7()), claims);
  }

  /** Here and not in the thread pool, whose overhead is half as much again as the signature. */
  private signWith({ kid, headers, privateKey }: KeyInUse, kind: DocumentKind, registered: RegisteredClaims, claims: object): Signed {
    // Registered last: no claim stands in for one of them.
    const signingInput = `${headers[kind]}.${encodedPart({ ...claims, ...registered })}`;
    // ASCII, of which this is the shorter way.
    const signature = sign(null, Buffer.from(signingInput, 'latin1'), privateKey);
    return {
      document: `${signingInput}.${signature.toString('base64url')}`,
      kid,
      issuedAt: new Date(registered.iat * 1000),
      expiresAt: new Date(registered.exp * 1000),
    };
  }
}
