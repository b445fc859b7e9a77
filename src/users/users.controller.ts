import { Body, Controller, Delete, Get, Patch, Post, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { Requires } from '../auth/access.js';
import { type VendorPrincipal, Caller } from '../auth/principal.js';
import { PathId } from '../core/identifier.js';
import { AnswersCreated, AnswersNothing, AnswersOne, AnswersPage, Fails } from '../core/openapi.js';
import { CreateUserBody, UpdateUserBody, UsersQuery, UserView } from './users.dto.js';
import { UsersService } from './users.service.js';

@ApiTags('Users')
@Controller('api/v1/users')
export class UsersController {
  constructor(private readonly users: UsersService) {}

  @Post()
  @Requires('users:write')
  @AnswersCreated(UserView)
  @Fails('NOT_FOUND', 'CONFLICT')
  @ApiOperation({
    summary: 'Add a user to the account',
    description:
      "Nobody can give a role that may do more than they may (403); an API key only with full access and without addresses or a rate of its own, because a role has neither. The account's environments share its users. With `userId`, somebody who is a user of another account: their id is what they hand over, and their keys are then good here too.",
  })
  create(@Caller() caller: VendorPrincipal, @Body() body: CreateUserBody) {
    return this.users.create(caller, body);
  }

  @Get()
  @Requires('users:read')
  @AnswersPage(UserView)
  @ApiOperation({ summary: "List the account's users", description: 'Newest first.' })
  list(@Caller() { tenant }: VendorPrincipal, @Query() query: UsersQuery) {
    return this.users.list(tenant, query);
  }

  @Get(':id')
  @Requires('users:read')
  @AnswersOne(UserView)
  @ApiOperation({ summary: 'Get a user' })
  get(@Caller() { tenant }: VendorPrincipal, @PathId() id: string) {
    return this.users.get(tenant, id);
  }

  @Patch(':id')
  @Requires('users:write')
  @AnswersOne(UserView)
  @Fails('CONFLICT')
  @ApiOperation({
    summary: 'Change a user',
    description:
      'Neither the present role nor the new one may be beyond what the caller may do (403). An API key gives roles only with full access and without addresses or a rate of its own.',
  })
  update(@Caller() caller: VendorPrincipal, @PathId() id: string, @Body() body: UpdateUserBody) {
    return this.users.update(caller, id, body);
  }

  @Delete(':id')
  @Requires('users:write')
  @AnswersNothing()
  @ApiOperation({
    summary: 'Remove a user from the account',
    description: "The user's keys that were made here are revoked, and no other key of the user opens this account any more.",
  })
  remove(@Caller() caller: VendorPrincipal, @PathId() id: string) {
    return this.users.remove(caller, id);
  }
}
