import { Body, Controller, Get, Post } from '@nestjs/common';
import { ApiConsumes, ApiOperation, ApiTags } from '@nestjs/swagger';
import { Public, UserKeyOnly } from '../auth/access.js';
import { Caller, type UserKeyPrincipal } from '../auth/principal.js';
import { AnswersBare, AnswersList, AnswersOne, Fails, Fresh } from '../core/openapi.js';
import { type BasicCredential, BasicClient } from './basic-credential.js';
import { ExchangeKeyBody, ScopeView, TokenView, UserKeyInfoView } from './tokens.dto.js';
import { TokensService } from './tokens.service.js';

@ApiTags('Authentication')
@Controller('api/v1/auth')
export class TokensController {
  constructor(private readonly tokens: TokensService) {}

  @Post('token')
  @Public()
  @Fresh()
  @AnswersBare(TokenView, 'The token.')
  @ApiConsumes('application/json', 'application/x-www-form-urlencoded')
  @Fails('AUTH_FAILED', 'API_KEY_EXPIRED', 'API_KEY_REVOKED', 'INSUFFICIENT_SCOPE', 'IP_NOT_ALLOWED', 'ACCOUNT_SUSPENDED')
  @ApiOperation({
    summary: 'Exchange a key for a short-lived token',
    description:
      'An API key with its account (`oid`), or a user key with its user (`uid`) and, for a token that opens one account only, `oid`. As JSON, as a form, or as the OAuth 2 client-credentials grant (RFC 6749, section 4.4), whose client may also use HTTP Basic. A token does what its key may, for an hour at most; when the key is revoked, so are its tokens. Errors also carry `error_description`; a form with `grant_type` gets the `error` values of OAuth 2.',
  })
  exchange(@Body() body: ExchangeKeyBody, @BasicClient() basic: BasicCredential | null) {
    return this.tokens.exchange(body, basic);
  }

  @Get('scopes')
  @Public()
  @AnswersList(ScopeView)
  @ApiOperation({ summary: 'List the scopes', description: 'What each allows, and which presets and roles have it.' })
  scopes() {
    return this.tokens.scopes();
  }

  @Post('user-key-info')
  @UserKeyOnly()
  @Fresh()
  @AnswersOne(UserKeyInfoView, 'The accounts that the user key opens.')
  @ApiOperation({ summary: 'What a user key opens', description: 'The accounts of its user, with their role in each.' })
  userKeyInfo(@Caller() caller: UserKeyPrincipal) {
    return this.tokens.userKeyInfo(caller);
  }
}
