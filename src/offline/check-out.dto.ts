import { applyDecorators, StreamableFile } from '@nestjs/common';
import { ApiResponse } from '@nestjs/swagger';
import { Flag, Integer, QueryFlag, QueryInteger, Text, Timestamp } from '../core/fields.js';
import { Bare } from '../core/openapi.js';
import { licenseStateCodes } from '../domain/errors.js';
import { armour, type FileKind, MIN_TTL_SECONDS } from '../domain/license-file.js';

/** What may keep a file from being made. */
export const FILE_REFUSALS = [...licenseStateCodes, 'LICENSE_NOT_VALID', 'OFFLINE_NOT_ALLOWED', 'OFFLINE_TTL_EXCEEDED'] as const;

const TTL = {
  help: "For how many seconds the file is to be good; at most, and by default, the policy's `offlineMaxDays`.",
  min: MIN_TTL_SECONDS,
  optional: true,
  example: 604_800,
};
const ENCRYPT = {
  help: 'Whether only the holder of the license key can read it: a compact JWE (`dir`, `A256GCM`) around the document, whose key is the SHA-256 of the license key as displayed, in a machine file followed by the fingerprint.',
  optional: true,
  default: false,
  example: false,
};

export class CheckOutBody {
  @Integer(TTL)
  ttlSeconds?: number;

  @Flag(ENCRYPT)
  encrypt?: boolean;
}

export class CheckOutQuery {
  @QueryInteger(TTL)
  ttlSeconds?: number;

  @QueryFlag(ENCRYPT)
  encrypt?: boolean;
}

/** How a file is to be. */
export type FileWish = CheckOutBody;

export class LicenseFileView {
  @Text({
    help: 'The file: a compact JWS (`alg` EdDSA), to be verified with the public keys of the environment; encrypted, a compact JWE with it inside.',
    max: 65_536,
    example: 'eyJhbGciOiJFZERTQSIsInR5cCI6ImxhdGNoa2V5LWxpY2Vuc2Urand0Iiwia2lkIjoi…',
  })
  document!: string;

  @Text({ help: 'The key that signed it.', max: 43, example: 'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k' })
  kid!: string;

  @Timestamp({ help: "From when it is good; by the license's test clock where it has one." })
  issuedAt!: Date;

  @Timestamp({ help: 'When it is good no longer: after `ttlSeconds`, or with the license when that ends before.' })
  expiresAt!: Date;
}

/** The `.lic` file of a license or machine. */
export function toDownload(kind: FileKind, id: string, { document }: LicenseFileView): StreamableFile {
  const bytes = Buffer.from(armour(kind, document));
  const disposition = `attachment; filename="${kind}-${id}.lic"`;
  return new StreamableFile(bytes, { type: 'application/octet-stream', disposition, length: bytes.length });
}

/** 200 with a `.lic` file. */
export const AnswersLicFile = (): MethodDecorator =>
  applyDecorators(
    Bare(),
    ApiResponse({
      status: 200,
      description:
        'The document as base64, in lines of 64 between `-----BEGIN LATCHKEY LICENSE-----` (or `MACHINE`) and `-----END LATCHKEY LICENSE-----`.',
      headers: { 'Content-Disposition': { description: 'A name for the file.', schema: { type: 'string' } } },
      content: { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } },
    }),
  );
