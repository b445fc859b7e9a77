import { Body, Controller, Delete, Get, Patch, Post, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { LicenseOnly, Requires } from '../auth/access.js';
import { type VendorPrincipal, Caller, type LicensePrincipal } from '../auth/principal.js';
import { PathId } from '../core/identifier.js';
import { AnswersCreated, AnswersNothing, AnswersOne, AnswersPage, Fails } from '../core/openapi.js';
import { CreateLicenseBody, LicensesQuery, LicenseView, UpdateLicenseBody } from './licenses.dto.js';
import { LicensesService } from './licenses.service.js';
import { MyLicenseView } from './my-license.dto.js';

@ApiTags('Licenses')
@Controller('api/v1/licenses')
export class LicensesController {
  constructor(private readonly licenses: LicensesService) {}

  @Post()
  @Requires('licenses:write')
  @AnswersCreated(LicenseView)
  @Fails('NOT_FOUND', 'CONFLICT')
  @ApiOperation({
    summary: 'Create a license',
    description: 'A key is generated unless one is given. An unknown product, policy or entitlement is 404, `details.field` names it.',
  })
  create(@Caller() caller: VendorPrincipal, @Body() body: CreateLicenseBody) {
    return this.licenses.create(caller, body);
  }

  @Get()
  @Requires('licenses:read')
  @AnswersPage(LicenseView)
  @ApiOperation({ summary: 'List licenses', description: 'Newest first, unless `sort` says otherwise. Filters must all hold.' })
  list(@Caller() caller: VendorPrincipal, @Query() query: LicensesQuery) {
    return this.licenses.list(caller, query);
  }

  @Get('me')
  @LicenseOnly()
  @AnswersOne(MyLicenseView, 'The license whose key was sent, with its machines.')
  @ApiOperation({
    summary: 'My license',
    description: 'With `Authorization: License <key>`, in every state of the license: what it is, and which machines hold its seats.',
  })
  mine(@Caller() caller: LicensePrincipal) {
    return this.licenses.mine(caller);
  }

  @Patch(':id')
  @Requires('licenses:write')
  @AnswersOne(LicenseView)
  @Fails('CONFLICT')
  @ApiOperation({ summary: 'Change a license', description: 'Not a revoked one (409).' })
  update(@Caller() caller: VendorPrincipal, @PathId() id: string, @Body() body: UpdateLicenseBody) {
    return this.licenses.update(caller, id, body);
  }

  @Delete(':id')
  @Requires('licenses:write')
  @AnswersNothing()
  @ApiOperation({ summary: 'Delete a license', description: 'Its machines go with it; validation answers NOT_FOUND.' })
  remove(@Caller() { tenant }: VendorPrincipal, @PathId() id: string) {
    return this.licenses.remove(tenant, id);
  }
}
