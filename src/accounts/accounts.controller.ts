import { Body, Controller, Get, Header, Patch, Post, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { AnyApiKey, FullAccessOnly, PlatformOnly, PlatformOrOpenSignup } from '../auth/access.js';
import { type VendorPrincipal, Caller } from '../auth/principal.js';
import { PathId } from '../core/identifier.js';
import { AnswersCreated, AnswersOne, AnswersPage, Fails } from '../core/openapi.js';
import { AccountsQuery, AccountView, CreateAccountBody, CreatedAccountView, UpdateAccountBody } from './accounts.dto.js';
import { AccountsService } from './accounts.service.js';

@ApiTags('Accounts')
@Controller('api/v1')
export class AccountsController {
  constructor(private readonly accounts: AccountsService) {}

  @Post('accounts')
  @PlatformOrOpenSignup()
  @AnswersCreated(CreatedAccountView, 'The account, and a full-access key for each environment: shown this once.')
  @Header('Location', '/api/v1/account')
  @Fails('CONFLICT')
  @ApiOperation({
    summary: 'Create an account',
    description: 'With the platform token, or openly where the operator allows sign-up. A taken slug is 409.',
  })
  create(@Body() body: CreateAccountBody) {
    return this.accounts.create(body);
  }

  @Get('accounts')
  @PlatformOnly()
  @AnswersPage(AccountView)
  @ApiOperation({ summary: 'List all accounts', description: 'Newest first. For the operator, with the platform token.' })
  list(@Query() query: AccountsQuery) {
    return this.accounts.list(query);
  }

  @Post('accounts/:id/suspend')
  @PlatformOnly()
  @AnswersOne(AccountView)
  @Fails('CONFLICT')
  @ApiOperation({
    summary: 'Suspend an account',
    description:
      "Its keys and its users get 403 `ACCOUNT_SUSPENDED`. Its customers' validations and activations go on. 409 when it is suspended already.",
  })
  suspend(@PathId() id: string) {
    return this.accounts.suspend(id);
  }

  @Post('accounts/:id/reinstate')
  @PlatformOnly()
  @AnswersOne(AccountView)
  @Fails('CONFLICT')
  @ApiOperation({ summary: 'Reinstate a suspended account', description: '409 when it is not suspended.' })
  reinstate(@PathId() id: string) {
    return this.accounts.reinstate(id);
  }

  @Get('account')
  @AnyApiKey()
  @AnswersOne(AccountView)
  @ApiOperation({ summary: "The caller's account" })
  get(@Caller() { tenant }: VendorPrincipal) {
    return this.accounts.get(tenant);
  }

  @Patch('account')
  @FullAccessOnly()
  @AnswersOne(AccountView)
  @Fails('CONFLICT')
  @ApiOperation({ summary: "Change the caller's account", description: 'Needs a full-access key: an account is above every scope.' })
  update(@Caller() { tenant }: VendorPrincipal, @Body() body: UpdateAccountBody) {
    return this.accounts.update(tenant, body);
  }
}
