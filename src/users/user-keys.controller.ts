import { Body, Controller, Delete, Get, Post, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { AnyApiKey } from '../auth/access.js';
import { type VendorPrincipal, Caller } from '../auth/principal.js';
import { PathId } from '../core/identifier.js';
import { AnswersCreated, AnswersNothing, AnswersPage } from '../core/openapi.js';
import { PageQuery } from '../core/page.js';
import { CreatedUserKeyView, CreateUserKeyBody, UserKeyView } from './user-keys.dto.js';
import { UserKeysService } from './user-keys.service.js';

@ApiTags('Users')
@Controller('api/v1/users/:id/keys')
export class UserKeysController {
  constructor(private readonly userKeys: UserKeysService) {}

  @Post()
  @AnyApiKey()
  @AnswersCreated(CreatedUserKeyView, 'The key with its secret, which is shown this once.')
  @ApiOperation({
    summary: 'Create a key of a user',
    description:
      "By the user's own credential, or with the full access of an owner. It opens all accounts of the user when the credential that makes it does, or when the user is a member of this account alone; otherwise only this account (`allAccounts`).",
  })
  create(@Caller() caller: VendorPrincipal, @PathId() id: string, @Body() body: CreateUserKeyBody) {
    return this.userKeys.create(caller, id, body);
  }

  @Get()
  @AnyApiKey()
  @AnswersPage(UserKeyView)
  @ApiOperation({
    summary: 'List the keys of a user',
    description:
      "Those that were made in this account, newest first; revoked ones too. By the user's own credential, or with `users:read`.",
  })
  list(@Caller() caller: VendorPrincipal, @PathId() id: string, @Query() query: PageQuery) {
    return this.userKeys.list(caller, id, query);
  }

  @Delete(':keyId')
  @AnyApiKey()
  @AnswersNothing()
  @ApiOperation({
    summary: 'Revoke a key of a user',
    description:
      "At once and for good. One that was made in this account: by the user's own credential, or with `users:write` and all that the user's role may do.",
  })
  revoke(@Caller() caller: VendorPrincipal, @PathId() id: string, @PathId('keyId') keyId: string) {
    return this.userKeys.revoke(caller, id, keyId);
  }
}
