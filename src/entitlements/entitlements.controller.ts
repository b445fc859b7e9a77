import { Body, Controller, Delete, Get, Patch, Post, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { Requires } from '../auth/access.js';
import { type VendorPrincipal, Caller } from '../auth/principal.js';
import { PathId } from '../core/identifier.js';
import { AnswersCreated, AnswersNothing, AnswersOne, AnswersPage, Fails } from '../core/openapi.js';
import { CreateEntitlementBody, EntitlementsQuery, EntitlementView, UpdateEntitlementBody } from './entitlements.dto.js';
import { EntitlementsService } from './entitlements.service.js';

@ApiTags('Entitlements')
@Controller('api/v1/entitlements')
export class EntitlementsController {
  constructor(private readonly entitlements: EntitlementsService) {}

  @Post()
  @Requires('entitlements:write')
  @AnswersCreated(EntitlementView)
  @Fails('CONFLICT')
  @ApiOperation({ summary: 'Create an entitlement' })
  create(@Caller() { tenant }: VendorPrincipal, @Body() body: CreateEntitlementBody) {
    return this.entitlements.create(tenant, body);
  }

  @Get()
  @Requires('entitlements:read')
  @AnswersPage(EntitlementView)
  @ApiOperation({ summary: 'List entitlements', description: 'Newest first.' })
  list(@Caller() { tenant }: VendorPrincipal, @Query() query: EntitlementsQuery) {
    return this.entitlements.list(tenant, query);
  }

  @Get(':id')
  @Requires('entitlements:read')
  @AnswersOne(EntitlementView)
  @ApiOperation({ summary: 'Get an entitlement' })
  get(@Caller() { tenant }: VendorPrincipal, @PathId() id: string) {
    return this.entitlements.get(tenant, id);
  }

  @Patch(':id')
  @Requires('entitlements:write')
  @AnswersOne(EntitlementView)
  @Fails('CONFLICT')
  @ApiOperation({ summary: 'Change an entitlement' })
  update(@Caller() { tenant }: VendorPrincipal, @PathId() id: string, @Body() body: UpdateEntitlementBody) {
    return this.entitlements.update(tenant, id, body);
  }

  @Delete(':id')
  @Requires('entitlements:write')
  @AnswersNothing()
  @ApiOperation({ summary: 'Delete an entitlement', description: 'It is detached from every policy and license.' })
  remove(@Caller() { tenant }: VendorPrincipal, @PathId() id: string) {
    return this.entitlements.remove(tenant, id);
  }
}
