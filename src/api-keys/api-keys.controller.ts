import { Body, Controller, Delete, Get, Patch, Post, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { AnyApiKey, Requires } from '../auth/access.js';
import { type VendorPrincipal, Caller } from '../auth/principal.js';
import { PathId } from '../core/identifier.js';
import { AnswersCreated, AnswersNothing, AnswersOne, AnswersPage, Fails } from '../core/openapi.js';
import { PageQuery } from '../core/page.js';
import { ApiKeyView, CreateApiKeyBody, CreatedApiKeyView, CurrentApiKeyView, UpdateApiKeyBody } from './api-keys.dto.js';
import { ApiKeysService } from './api-keys.service.js';

@ApiTags('API keys')
@Controller('api/v1/api-keys')
export class ApiKeysController {
  constructor(private readonly apiKeys: ApiKeysService) {}

  @Post()
  @Requires('api-keys:write')
  @AnswersCreated(CreatedApiKeyView, 'The key with its secret, which is shown this once.')
  @ApiOperation({ summary: 'Create an API key', description: 'A key can never grant a scope that it lacks itself (403).' })
  create(@Caller() caller: VendorPrincipal, @Body() body: CreateApiKeyBody) {
    return this.apiKeys.create(caller, body);
  }

  @Get()
  @Requires('api-keys:read')
  @AnswersPage(ApiKeyView)
  @ApiOperation({ summary: "List the environment's API keys", description: 'Newest first; revoked ones too.' })
  list(@Caller() { tenant }: VendorPrincipal, @Query() query: PageQuery) {
    return this.apiKeys.list(tenant, query);
  }

  @Get('current')
  @AnyApiKey()
  @AnswersOne(CurrentApiKeyView, 'The key in use.')
  @ApiOperation({ summary: 'The API key in use', description: 'Any valid key may call it: who am I, and what may I do?' })
  current(@Caller() caller: VendorPrincipal) {
    return this.apiKeys.current(caller);
  }

  @Get(':id')
  @Requires('api-keys:read')
  @AnswersOne(ApiKeyView)
  @ApiOperation({ summary: 'Get an API key' })
  get(@Caller() { tenant }: VendorPrincipal, @PathId() id: string) {
    return this.apiKeys.get(tenant, id);
  }

  @Patch(':id')
  @Requires('api-keys:write')
  @AnswersOne(ApiKeyView)
  @Fails('CONFLICT')
  @ApiOperation({
    summary: 'Change an API key',
    description: 'Only one that holds no scope that the caller lacks (403). Not a revoked one (409).',
  })
  update(@Caller() caller: VendorPrincipal, @PathId() id: string, @Body() body: UpdateApiKeyBody) {
    return this.apiKeys.update(caller, id, body);
  }

  @Delete(':id')
  @Requires('api-keys:write')
  @AnswersNothing()
  @ApiOperation({ summary: 'Revoke an API key', description: 'At once and for good. It stays readable, with status `revoked`.' })
  revoke(@Caller() { tenant }: VendorPrincipal, @PathId() id: string) {
    return this.apiKeys.revoke(tenant, id);
  }
}
