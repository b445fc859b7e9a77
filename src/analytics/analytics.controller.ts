import { Controller, Get } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { Requires } from '../auth/access.js';
import { Caller, type VendorPrincipal } from '../auth/principal.js';
import { AnswersOne } from '../core/openapi.js';
import { AnalyticsService } from './analytics.service.js';
import { OverviewView } from './overview.dto.js';

@ApiTags('Analytics')
@Controller('api/v1/analytics')
export class AnalyticsController {
  constructor(private readonly analytics: AnalyticsService) {}

  @Get()
  @Requires('analytics:read')
  @AnswersOne(OverviewView, 'How things stand.')
  @ApiOperation({
    summary: 'Overview',
    description:
      'Licenses by state, machines, activations of the last days and validations since ever. A key with the flair `segment` is told of its own.',
  })
  overview(@Caller() { tenant }: VendorPrincipal) {
    return this.analytics.overview(tenant);
  }
}
