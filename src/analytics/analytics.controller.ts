import { Controller, Get, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { Requires } from '../auth/access.js';
import { Caller, type VendorPrincipal } from '../auth/principal.js';
import { AnswersList, AnswersOne } from '../core/openapi.js';
import { CohortView, ExpirationsQuery, PointView, PolicySeatsView, RetentionQuery, TimeseriesQuery } from './analytics.dto.js';
import { AnalyticsService } from './analytics.service.js';
import { DayCountView, OverviewView } from './overview.dto.js';

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
      'Licenses by state, machines, activations of the last days and validations since ever. A change is in it about a second later; `asOf` says what is. As everywhere in analytics, a key with the flair `segment` is told of its own.',
  })
  overview(@Caller() { tenant }: VendorPrincipal) {
    return this.analytics.overview(tenant);
  }

  @Get('timeseries')
  @Requires('analytics:read')
  @AnswersList(PointView)
  @ApiOperation({
    summary: 'How something went over time',
    description:
      "A point for each bucket, oldest first, also where nothing was counted. Everything counts when it happened, by its license's clock, however late it became known. Licenses and machines count under the product and policy that their license has now.",
  })
  timeseries(@Caller() { tenant }: VendorPrincipal, @Query() query: TimeseriesQuery) {
    return this.analytics.timeseries(tenant, query);
  }

  @Get('expirations')
  @Requires('analytics:read')
  @AnswersList(DayCountView)
  @ApiOperation({
    summary: 'Which day how many licenses expire',
    description: 'For a heat map: every day of the span. Licenses that are suspended, revoked, banned or deleted are not among them.',
  })
  expirations(@Caller() { tenant }: VendorPrincipal, @Query() query: ExpirationsQuery) {
    return this.analytics.expirations(tenant, query);
  }

  @Get('seats')
  @Requires('analytics:read')
  @AnswersList(PolicySeatsView)
  @ApiOperation({ summary: 'How many seats are used', description: 'Of each policy that has licenses, by name.' })
  seats(@Caller() { tenant }: VendorPrincipal) {
    return this.analytics.seats(tenant);
  }

  @Get('retention')
  @Requires('analytics:read')
  @AnswersList(CohortView)
  @ApiOperation({
    summary: 'What became of the licenses of a month',
    description: 'Trials that became paid, and terms that were renewed: of each month of the span, oldest first.',
  })
  retention(@Caller() { tenant }: VendorPrincipal, @Query() query: RetentionQuery) {
    return this.analytics.retention(tenant, query);
  }
}
