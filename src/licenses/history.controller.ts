import { Controller, Get, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { Requires } from '../auth/access.js';
import { Caller, type VendorPrincipal } from '../auth/principal.js';
import { PathId } from '../core/identifier.js';
import { AnswersOne, AnswersPage } from '../core/openapi.js';
import { EventView } from '../events/events.dto.js';
import { LicenseAtQuery, LicenseHistoryQuery } from './history.dto.js';
import { HistoryService } from './history.service.js';
import { LicenseView } from './licenses.dto.js';

@ApiTags('Licenses')
@Controller('api/v1/licenses')
export class HistoryController {
  constructor(private readonly history: HistoryService) {}

  @Get(':id')
  @Requires('licenses:read')
  @AnswersOne(LicenseView)
  @ApiOperation({
    summary: 'Get a license',
    description:
      "As it is, or with `at` as it was, under its policy as that was. Of the past, `key` is null when it was rotated since, and `lastValidatedAt` when the license was validated since. A license on a test clock: times are the clock's, and the policy is the present one.",
  })
  get(@Caller() caller: VendorPrincipal, @PathId() id: string, @Query() query: LicenseAtQuery) {
    return this.history.get(caller, id, query);
  }

  @Get(':id/history')
  @Requires('licenses:read')
  @AnswersPage(EventView)
  @ApiOperation({ summary: 'List what happened to a license', description: 'Its events and those of its machines, newest first.' })
  events(@Caller() { tenant }: VendorPrincipal, @PathId() id: string, @Query() query: LicenseHistoryQuery) {
    return this.history.events(tenant, id, query);
  }
}
