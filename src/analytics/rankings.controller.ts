import { Controller, Get, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { Requires } from '../auth/access.js';
import { Caller, type VendorPrincipal } from '../auth/principal.js';
import { AnswersList } from '../core/openapi.js';
import { AnomaliesQuery, AnomalyView, RankView, TopQuery } from './rankings.dto.js';
import { RankingsService } from './rankings.service.js';

@ApiTags('Analytics')
@Controller('api/v1/analytics')
export class RankingsController {
  constructor(private readonly rankings: RankingsService) {}

  @Get('top')
  @Requires('analytics:read')
  @AnswersList(RankView)
  @ApiOperation({
    summary: 'Rank licenses, products, addresses, versions, platforms or fingerprints',
    description:
      'By validations in a month, most first. A validation counts in the month of its time, by the test clock where the license is on one. Addresses are those from which the software itself asked; fingerprints are those of the machines that were found, or what was sent.',
  })
  top(@Caller() { tenant }: VendorPrincipal, @Query() query: TopQuery) {
    return this.rankings.top(tenant, query);
  }

  @Get('anomalies')
  @Requires('analytics:read')
  @AnswersList(AnomalyView)
  @ApiOperation({
    summary: 'List licenses that are used by more than their seats explain',
    description:
      'Seen in a month on more than 3 fingerprints a seat, or from more than 10 addresses a seat; the most suspicious first. Without a limit of machines there is nothing to hold it against.',
  })
  anomalies(@Caller() { tenant }: VendorPrincipal, @Query() query: AnomaliesQuery) {
    return this.rankings.anomalies(tenant, query);
  }
}
