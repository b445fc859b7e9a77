import { Body, Controller, Get, Post, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { RequiresOrLicense } from '../auth/access.js';
import { Caller, type TenantPrincipal } from '../auth/principal.js';
import { PathId } from '../core/identifier.js';
import { AnswersOne, Fails } from '../core/openapi.js';
import { AnswersLicFile, CheckOutBody, CheckOutQuery, FILE_REFUSALS, LicenseFileView } from '../offline/check-out.dto.js';
import { CheckOutService } from './check-out.service.js';

const REFUSALS = [...FILE_REFUSALS, 'CONFLICT'] as const;

@ApiTags('Licenses')
@Controller('api/v1/licenses')
export class CheckOutController {
  constructor(private readonly checkOuts: CheckOutService) {}

  @Post(':id/check-out')
  @RequiresOrLicense('licenses:write')
  @AnswersOne(LicenseFileView, 'The license file.')
  @Fails(...REFUSALS)
  @ApiOperation({
    summary: 'Make a license file',
    description:
      'A signed document (`typ` latchkey-license+jwt) of the license, its policy, product and the entitlements that it has now, which an app verifies without a network. For a license that a validation would find valid; no seat is taken and nothing is counted, but a clock that waits for the first validation starts. It is good on any machine: a license key gets the file of its own license only where the policy does not require a fingerprint, and else checks out its machine.',
  })
  checkOut(@Caller() caller: TenantPrincipal, @PathId() id: string, @Body() body: CheckOutBody) {
    return this.checkOuts.checkOut(caller, id, body);
  }

  @Get(':id/check-out')
  @RequiresOrLicense('licenses:write')
  @AnswersLicFile()
  @Fails(...REFUSALS)
  @ApiOperation({ summary: 'Download a license file', description: 'What `POST` answers, as a `.lic` file.' })
  download(@Caller() caller: TenantPrincipal, @PathId() id: string, @Query() query: CheckOutQuery) {
    return this.checkOuts.download(caller, id, query);
  }
}
