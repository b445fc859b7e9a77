import { Body, Controller, Delete, Param, Post } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { Requires } from '../auth/access.js';
import { type VendorPrincipal, Caller } from '../auth/principal.js';
import { PathId } from '../core/identifier.js';
import { AnswersNothing, AnswersOne, Fails } from '../core/openapi.js';
import { ActionsService } from './actions.service.js';
import { AttachLicenseEntitlementsBody, LicenseView } from './licenses.dto.js';

@ApiTags('Licenses')
@Controller('api/v1/licenses')
export class ActionsController {
  constructor(private readonly actions: ActionsService) {}

  @Post(':id/suspend')
  @Requires('licenses:write')
  @AnswersOne(LicenseView)
  @Fails('CONFLICT')
  @ApiOperation({ summary: 'Suspend a license', description: 'Validation answers SUSPENDED until it is reinstated.' })
  suspend(@Caller() caller: VendorPrincipal, @PathId() id: string) {
    return this.actions.move(caller, id, 'suspend');
  }

  @Post(':id/reinstate')
  @Requires('licenses:write')
  @AnswersOne(LicenseView)
  @Fails('CONFLICT')
  @ApiOperation({ summary: 'Lift a suspension' })
  reinstate(@Caller() caller: VendorPrincipal, @PathId() id: string) {
    return this.actions.move(caller, id, 'reinstate');
  }

  @Post(':id/ban')
  @Requires('licenses:write')
  @AnswersOne(LicenseView)
  @Fails('CONFLICT')
  @ApiOperation({ summary: 'Ban a license', description: 'Validation answers BANNED, before anything else, until it is unbanned.' })
  ban(@Caller() caller: VendorPrincipal, @PathId() id: string) {
    return this.actions.move(caller, id, 'ban');
  }

  @Post(':id/unban')
  @Requires('licenses:write')
  @AnswersOne(LicenseView)
  @Fails('CONFLICT')
  @ApiOperation({ summary: 'Lift a ban' })
  unban(@Caller() caller: VendorPrincipal, @PathId() id: string) {
    return this.actions.move(caller, id, 'unban');
  }

  @Post(':id/revoke')
  @Requires('licenses:write')
  @AnswersOne(LicenseView)
  @Fails('CONFLICT')
  @ApiOperation({
    summary: 'Revoke a license',
    description: 'For good: afterwards it can only be read and deleted, and its machines deactivated.',
  })
  revoke(@Caller() caller: VendorPrincipal, @PathId() id: string) {
    return this.actions.move(caller, id, 'revoke');
  }

  @Post(':id/renew')
  @Requires('licenses:write')
  @AnswersOne(LicenseView)
  @Fails('CONFLICT', 'NOT_RENEWABLE')
  @ApiOperation({ summary: 'Renew a license', description: "One more term, counted as the policy's `renewalBasis` says." })
  renew(@Caller() caller: VendorPrincipal, @PathId() id: string) {
    return this.actions.renew(caller, id);
  }

  @Post(':id/check-in')
  @Requires('licenses:write')
  @AnswersOne(LicenseView)
  @Fails('CONFLICT')
  @ApiOperation({ summary: 'Check a license in', description: 'The next is due after `checkInIntervalDays` of its policy.' })
  checkIn(@Caller() caller: VendorPrincipal, @PathId() id: string) {
    return this.actions.checkIn(caller, id);
  }

  @Post(':id/entitlements')
  @Requires('licenses:write')
  @AnswersOne(LicenseView)
  @Fails('CONFLICT')
  @ApiOperation({ summary: 'Attach entitlements to a license', description: 'Attaching again sets the expiry and quantity anew.' })
  attach(@Caller() caller: VendorPrincipal, @PathId() id: string, @Body() body: AttachLicenseEntitlementsBody) {
    return this.actions.attach(caller, id, body);
  }

  @Delete(':id/entitlements/:code')
  @Requires('licenses:write')
  @AnswersNothing()
  @Fails('CONFLICT')
  @ApiOperation({ summary: 'Detach an entitlement from a license', description: 'Only its own: what it inherits from its policy stays.' })
  detach(@Caller() caller: VendorPrincipal, @PathId() id: string, @Param('code') code: string) {
    return this.actions.detach(caller, id, code);
  }
}
