import { Body, Controller, Get, Header, Post, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { AnyApiKey, FullAccessOnly, Public } from '../auth/access.js';
import { type VendorPrincipal, Caller } from '../auth/principal.js';
import { Cacheable } from '../core/cacheable.js';
import { AnswersBare, AnswersCreated, AnswersList, Fails } from '../core/openapi.js';
import { KeySetQuery, KeySetView, RotateSigningKeyBody, SigningKeyView } from './signing-keys.dto.js';
import { SigningKeysService } from './signing-keys.service.js';

const MAX_AGE_SECONDS = 300;

@ApiTags('Signing keys')
@Controller()
export class SigningKeysController {
  constructor(private readonly signingKeys: SigningKeysService) {}

  @Get('.well-known/jwks.json')
  @Public({ crossOrigin: true })
  @Cacheable({ scope: 'public', maxAgeSeconds: MAX_AGE_SECONDS })
  @AnswersBare(KeySetView, 'A JWK Set (RFC 7517), outside of the envelope. Read it anew for a `kid` that it does not have.')
  @Fails('NOT_FOUND')
  @ApiOperation({
    summary: "An environment's public keys",
    description: 'What validation tokens, license files and machine files are verified with.',
  })
  keySet(@Query() query: KeySetQuery) {
    return this.signingKeys.keySet(query);
  }

  @Get('api/v1/account/signing-keys')
  @AnyApiKey()
  @Cacheable({ scope: 'private' })
  @AnswersList(SigningKeyView)
  @ApiOperation({
    summary: "The environment's public keys, as JWK, PEM and hex",
    description: 'Those of the key set: the one in use first, then those that were rotated out and whose documents have not all expired.',
  })
  list(@Caller() { tenant }: VendorPrincipal) {
    return this.signingKeys.list(tenant);
  }

  @Post('api/v1/signing-keys/rotate')
  @FullAccessOnly()
  @AnswersCreated(SigningKeyView, 'The key that signs from now on.')
  @Header('Location', '/api/v1/account/signing-keys')
  @ApiOperation({
    summary: 'Rotate the signing key',
    description:
      'A new key signs from now on; other processes take it within ten seconds. The private half of the one before is erased, its public half stays published until all that it signed has expired – unless it leaked: see `revokePrevious`.',
  })
  rotate(@Caller() { tenant }: VendorPrincipal, @Body() body: RotateSigningKeyBody) {
    return this.signingKeys.rotate(tenant, body);
  }
}
