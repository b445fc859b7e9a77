import { Body, Controller, Delete, Param, Post } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { Requires, RequiresOrLicense } from '../auth/access.js';
import { type VendorPrincipal, Caller, type TenantPrincipal } from '../auth/principal.js';
import { PathId } from '../core/identifier.js';
import { AnswersNothing, AnswersOne, Fails } from '../core/openapi.js';
import { licenseStateCodes } from '../domain/errors.js';
import { ActionsService } from './actions.service.js';
import { AttachLicenseEntitlementsBody, IncrementUsageBody, RotateLicenseKeyBody, TransferLicenseBody } from './actions.dto.js';
import { LicenseView } from './licenses.dto.js';
import { UsageService } from './usage.service.js';

@ApiTags('Licenses')
@Controller('api/v1/licenses')
export class ActionsController {
  constructor(
    private readonly actions: ActionsService,
    private readonly usage: UsageService,
  ) {}

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

  @Post(':id/transfer')
  @Requires('licenses:write')
  @AnswersOne(LicenseView)
  @Fails('CONFLICT')
  @ApiOperation({
    summary: 'Move a license to another policy',
    description:
      "Any policy of the environment; its product becomes the license's. `transferStrategy` of that policy says what becomes of the expiry: kept, or reset to a new term, which begins now, or with the event of `expirationBasis` where the license has not had that yet.",
  })
  transfer(@Caller() caller: VendorPrincipal, @PathId() id: string, @Body() body: TransferLicenseBody) {
    return this.actions.transfer(caller, id, body);
  }

  @Post(':id/usage')
  @RequiresOrLicense('licenses:write')
  @AnswersOne(LicenseView)
  @Fails('CONFLICT', ...licenseStateCodes, 'USES_EXCEEDED', 'USES_BELOW_ZERO')
  @ApiOperation({
    summary: 'Count uses',
    description:
      'Exactly, however many count at once: never above the limit, never below zero. A license key counts up, on its own license, while that may run. The first use begins the term under FROM_FIRST_USE.',
  })
  incrementUsage(@Caller() caller: TenantPrincipal, @PathId() id: string, @Body() body: IncrementUsageBody) {
    return this.usage.increment(caller, id, body);
  }

  @Post(':id/usage/reset')
  @Requires('licenses:write')
  @AnswersOne(LicenseView)
  @Fails('CONFLICT')
  @ApiOperation({ summary: 'Set the usage counter to zero' })
  resetUsage(@Caller() caller: VendorPrincipal, @PathId() id: string) {
    return this.actions.resetUsage(caller, id);
  }

  @Post(':id/rotate-key')
  @Requires('licenses:write')
  @AnswersOne(LicenseView)
  @Fails('CONFLICT')
  @ApiOperation({
    summary: 'Replace the key of a license',
    description:
      'By a generated one, unless one is given. Until the overlap ends the old key works like the new one, in validation and as a credential, but is not shown the new one.',
  })
  rotateKey(@Caller() caller: VendorPrincipal, @PathId() id: string, @Body() body: RotateLicenseKeyBody) {
    return this.actions.rotateKey(caller, id, body);
  }

  @Post(':id/reset-machines')
  @Requires('licenses:write')
  @AnswersOne(LicenseView)
  @ApiOperation({ summary: 'Deactivate all machines of a license', description: 'Gives every seat back, in every state of the license.' })
  resetMachines(@Caller() caller: VendorPrincipal, @PathId() id: string) {
    return this.actions.resetMachines(caller, id);
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
