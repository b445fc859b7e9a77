import { Body, Controller, Delete, Get, Patch, Post, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { AnyApiKey, Public, Requires } from '../auth/access.js';
import { type VendorPrincipal, Caller } from '../auth/principal.js';
import { PathId } from '../core/identifier.js';
import { AnswersCreated, AnswersNothing, AnswersOne, AnswersPage, Fails } from '../core/openapi.js';
import { PageQuery } from '../core/page.js';
import { ApiKeyView, CreateApiKeyBody, CreatedApiKeyView, RotateApiKeyBody, UpdateApiKeyBody } from './api-keys.dto.js';
import { ApiKeysService } from './api-keys.service.js';
import { CurrentApiKeyView } from './current-key.dto.js';
import { CurrentKeyService } from './current-key.service.js';
import { LeakView, VerifyLeakBody } from './leak-check.dto.js';
import { LeakCheckService } from './leak-check.service.js';

@ApiTags('API keys')
@Controller('api/v1/api-keys')
export class ApiKeysController {
  constructor(
    private readonly apiKeys: ApiKeysService,
    private readonly currentKey: CurrentKeyService,
    private readonly leakCheck: LeakCheckService,
  ) {}

  @Post()
  @Requires('api-keys:write')
  @AnswersCreated(CreatedApiKeyView, 'The key with its secret, which is shown this once.')
  @ApiOperation({
    summary: 'Create an API key',
    description:
      'A key can never grant what it lacks itself: a scope, an address, a rate or a later end (403; `details.requiredScopes` or `details.field` says which). What is not said of addresses, rate and end is taken over from the caller.',
  })
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

  @Post('verify-leak')
  @Public()
  @AnswersOne(LeakView, 'Whether the text is a key of this installation. A match is recorded.')
  @ApiOperation({
    summary: 'Report a key that was found in public',
    description:
      'For secret scanners. A key that exists is recorded as leaked, and revoked at once where its account wants that (`revokeLeakedKeys`).',
  })
  verifyLeak(@Body() body: VerifyLeakBody) {
    return this.leakCheck.verify(body);
  }

  @Get('current')
  @AnyApiKey()
  @AnswersOne(CurrentApiKeyView, 'The key in use, and what this request may do.')
  @ApiOperation({ summary: 'The API key in use', description: 'Any valid key or token may call it: who am I, and what may I do?' })
  current(@Caller() caller: VendorPrincipal) {
    return this.currentKey.current(caller);
  }

  @Get(':id')
  @Requires('api-keys:read')
  @AnswersOne(ApiKeyView)
  @ApiOperation({ summary: 'Get an API key' })
  get(@Caller() caller: VendorPrincipal, @PathId() id: string) {
    return this.apiKeys.get(caller, id);
  }

  @Patch(':id')
  @Requires('api-keys:write')
  @AnswersOne(ApiKeyView)
  @Fails('CONFLICT')
  @ApiOperation({
    summary: 'Change an API key',
    description:
      'Only one that holds nothing that the caller lacks, and to nothing that the caller lacks (403). Not a revoked one (409). The flair `segment` can be neither given nor taken.',
  })
  update(@Caller() caller: VendorPrincipal, @PathId() id: string, @Body() body: UpdateApiKeyBody) {
    return this.apiKeys.update(caller, id, body);
  }

  @Delete(':id')
  @Requires('api-keys:write')
  @AnswersNothing()
  @ApiOperation({ summary: 'Revoke an API key', description: 'At once and for good. It stays readable, with status `revoked`.' })
  revoke(@Caller() caller: VendorPrincipal, @PathId() id: string) {
    return this.apiKeys.revoke(caller, id);
  }

  @Post(':id/rotate')
  @Requires('api-keys:write')
  @AnswersCreated(CreatedApiKeyView, 'The successor with its secret, which is shown this once.')
  @Fails('CONFLICT')
  @ApiOperation({
    summary: 'Rotate an API key',
    description:
      'The successor has the same grants; the old key is `expiring` and works until the overlap ends. Not one that holds what the caller lacks (403), nor one that is revoked, expired or rotated already (409).',
  })
  rotate(@Caller() caller: VendorPrincipal, @PathId() id: string, @Body() body: RotateApiKeyBody) {
    return this.apiKeys.rotate(caller, id, body);
  }
}
