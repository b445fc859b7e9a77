import { Choice, Flag, Nested, Text, Timestamp } from '../core/fields.js';
import type { EnvironmentName } from '../domain/api-key.js';
import { publicHexOf, type PublicJwk, publicJwkOf, publicPemOf } from '../domain/signing-key.js';
import type { SigningKey } from '../generated/prisma/client.js';

export const signingKeyStatuses = ['active', 'retired'] as const;
export type SigningKeyStatus = (typeof signingKeyStatuses)[number];

/** Everything but the private half. */
export type PublicKeyRow = Omit<SigningKey, 'privateKeySealed'>;

export class KeySetQuery {
  @Text({ help: 'Id or slug of the account.', max: 63, example: 'acme' })
  account!: string;

  @Choice(['live', 'test'], { help: 'The environment whose keys are asked for.', optional: true, default: 'live' })
  environment: EnvironmentName = 'live';
}

export class RotateSigningKeyBody {
  @Flag({
    help: 'false: the keys before stay published until all that they signed has expired. true, for a key that leaked: they are published no longer, and nothing that they signed is accepted any more once the key sets that apps hold are read anew.',
    optional: true,
    default: false,
    example: false,
  })
  revokePrevious?: boolean;
}

const THUMBPRINT = {
  help: 'What documents name the key by: its thumbprint (RFC 7638).',
  max: 43,
  example: 'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k',
};

export class PublicJwkView implements PublicJwk {
  @Choice(['OKP'], { help: 'RFC 8037.' })
  kty!: 'OKP';

  @Choice(['Ed25519'], { help: 'RFC 8037.' })
  crv!: 'Ed25519';

  @Text({ help: 'The 32 bytes of the public key as base64url.', max: 43, example: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' })
  x!: string;

  @Text(THUMBPRINT)
  kid!: string;

  @Choice(['sig'], { help: 'It verifies signatures.' })
  use!: 'sig';

  @Choice(['EdDSA'], { help: 'Of every document that it verifies.' })
  alg!: 'EdDSA';
}

export class KeySetView {
  @Nested(() => PublicJwkView, { help: 'The key in use first.', list: true })
  keys!: PublicJwkView[];
}

export class SigningKeyView {
  @Text(THUMBPRINT)
  kid!: string;

  @Choice(signingKeyStatuses, { help: '`active`: it signs. `retired`: it was rotated out, and signs nothing any more.' })
  status!: SigningKeyStatus;

  @Timestamp({ help: 'When it was made.' })
  createdAt!: Date;

  @Timestamp({ help: 'When it was rotated out; null = it is in use.', nullable: true, example: null })
  retiredAt!: Date | null;

  @Timestamp({
    help: 'Nothing that it signed so far is good for longer. A retired key is published until then; for one in use it moves ahead.',
  })
  publishedUntil!: Date;

  @Nested(() => PublicJwkView, { help: 'As key sets have it.' })
  jwk!: PublicJwkView;

  @Text({
    help: 'The same as PEM (SubjectPublicKeyInfo, RFC 8410).',
    max: 200,
    example: '-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n',
  })
  pem!: string;

  @Text({
    help: 'The 32 bytes in hex.',
    max: 64,
    example: 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
  })
  hex!: string;
}

export function toKeySetView(rows: readonly PublicKeyRow[]): KeySetView {
  return { keys: rows.map(publicJwkOf) };
}

export function toSigningKeyView(row: PublicKeyRow): SigningKeyView {
  return {
    kid: row.kid,
    status: statusOf(row),
    createdAt: row.createdAt,
    retiredAt: row.retiredAt,
    publishedUntil: row.publishedUntil,
    jwk: publicJwkOf(row),
    pem: publicPemOf(row.publicKey),
    hex: publicHexOf(row.publicKey),
  };
}

function statusOf({ retiredAt }: Pick<PublicKeyRow, 'retiredAt'>): SigningKeyStatus {
  return retiredAt === null ? 'active' : 'retired';
}
