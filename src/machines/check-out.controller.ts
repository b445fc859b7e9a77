import { Body, Controller, Get, Post, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { Requires, RequiresOrLicense } from '../auth/access.js';
import { Caller, ClientIp, type TenantPrincipal, type VendorPrincipal } from '../auth/principal.js';
import { PathId } from '../core/identifier.js';
import { AnswersCreated, AnswersExisting, AnswersOne, Fails } from '../core/openapi.js';
import { AnswersLicFile, CheckOutBody, CheckOutQuery, FILE_REFUSALS, LicenseFileView } from '../offline/check-out.dto.js';
import { MachineCheckOutService } from './check-out.service.js';
import { OfflineAnswerView, OfflineRequestBody } from './offline-requests.dto.js';
import { OfflineRequestsService } from './offline-requests.service.js';

const REFUSALS = [...FILE_REFUSALS, 'MACHINE_DEAD'] as const;

@ApiTags('Machines')
@Controller('api/v1/machines')
export class MachineCheckOutController {
  constructor(
    private readonly checkOuts: MachineCheckOutService,
    private readonly offlineRequests: OfflineRequestsService,
  ) {}

  @Post('offline-requests')
  @Requires('machines:write')
  @AnswersCreated(OfflineAnswerView, 'A new seat is taken; `Location` says where the machine is.')
  @AnswersExisting(OfflineAnswerView, 'The fingerprint has its seat already: no other is taken.')
  @Fails(
    'NOT_FOUND',
    'AUTHENTICATION_NOT_ALLOWED',
    ...REFUSALS,
    'FINGERPRINT_TAKEN',
    'MACHINE_LIMIT_EXCEEDED',
    'CORE_LIMIT_EXCEEDED',
    'MEMORY_LIMIT_EXCEEDED',
    'DISK_LIMIT_EXCEEDED',
  )
  @ApiOperation({
    summary: 'Activate a machine without a network',
    description:
      "For what an app on such a machine wrote down, brought here by hand: activates like `POST /machines`, and answers the machine file to carry back, with the request's nonce as a claim. Where there can be no file nothing is activated. A key that was rotated out works until its overlap ends; one that the caller does not see is 404.",
  })
  answerOfflineRequest(@Caller() caller: VendorPrincipal, @Body() body: OfflineRequestBody, @ClientIp() ip: string) {
    return this.offlineRequests.answer(caller, body, ip);
  }

  @Post(':id/check-out')
  @RequiresOrLicense('machines:write')
  @AnswersOne(LicenseFileView, 'The machine file.')
  @Fails(...REFUSALS, 'CONFLICT')
  @ApiOperation({
    summary: 'Make a machine file',
    description:
      'A license file (`typ` latchkey-machine+jwt) that is good on this machine alone: it also says the `fingerprint`. For a machine that a validation would find valid. A license key gets the files of its own machines.',
  })
  checkOut(@Caller() caller: TenantPrincipal, @PathId() id: string, @Body() body: CheckOutBody) {
    return this.checkOuts.checkOut(caller, id, body);
  }

  @Get(':id/check-out')
  @RequiresOrLicense('machines:write')
  @AnswersLicFile()
  @Fails(...REFUSALS, 'CONFLICT')
  @ApiOperation({ summary: 'Download a machine file', description: 'What `POST` answers, as a `.lic` file.' })
  download(@Caller() caller: TenantPrincipal, @PathId() id: string, @Query() query: CheckOutQuery) {
    return this.checkOuts.download(caller, id, query);
  }
}
