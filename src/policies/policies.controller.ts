import { Body, Controller, Delete, Get, Param, Patch, Post, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { Requires } from '../auth/access.js';
import { type VendorPrincipal, Caller } from '../auth/principal.js';
import { PathId } from '../core/identifier.js';
import { AnswersCreated, AnswersNothing, AnswersOne, AnswersPage, Fails } from '../core/openapi.js';
import { AttachEntitlementsBody } from '../entitlements/entitlements.dto.js';
import { CreatePolicyBody, PoliciesQuery, PolicyView, PreviewPolicyBody, UpdatePolicyBody } from './policies.dto.js';
import { PoliciesService } from './policies.service.js';
import { PolicyPreviewView } from './preview.dto.js';

@ApiTags('Policies')
@Controller('api/v1/policies')
export class PoliciesController {
  constructor(private readonly policies: PoliciesService) {}

  @Post()
  @Requires('policies:write')
  @AnswersCreated(PolicyView)
  @Fails('NOT_FOUND')
  @ApiOperation({
    summary: 'Create a policy',
    description: 'The template fills what is not given. Rules that contradict each other are 400.',
  })
  create(@Caller() { tenant }: VendorPrincipal, @Body() body: CreatePolicyBody) {
    return this.policies.create(tenant, body);
  }

  @Get()
  @Requires('policies:read')
  @AnswersPage(PolicyView)
  @ApiOperation({ summary: 'List policies', description: 'Newest first.' })
  list(@Caller() { tenant }: VendorPrincipal, @Query() query: PoliciesQuery) {
    return this.policies.list(tenant, query);
  }

  @Get(':id')
  @Requires('policies:read')
  @AnswersOne(PolicyView)
  @ApiOperation({ summary: 'Get a policy' })
  get(@Caller() { tenant }: VendorPrincipal, @PathId() id: string) {
    return this.policies.get(tenant, id);
  }

  @Patch(':id')
  @Requires('policies:write')
  @AnswersOne(PolicyView)
  @ApiOperation({ summary: 'Change a policy', description: 'Its licenses follow at once. Expiries that were already set stay.' })
  update(@Caller() { tenant }: VendorPrincipal, @PathId() id: string, @Body() body: UpdatePolicyBody) {
    return this.policies.update(tenant, id, body);
  }

  @Post(':id/preview')
  @Requires('policies:read', 'licenses:read')
  @AnswersOne(PolicyPreviewView, 'What would change.')
  @ApiOperation({
    summary: 'Preview a change of a policy',
    description:
      'How many licenses would answer another code to a validation that sends nothing but all their active fingerprints. Takes the rules of `PATCH`, refuses what it would refuse, and changes nothing. An expiry that was set stays: other durations change no code.',
  })
  preview(@Caller() { tenant }: VendorPrincipal, @PathId() id: string, @Body() body: PreviewPolicyBody) {
    return this.policies.preview(tenant, id, body);
  }

  @Delete(':id')
  @Requires('policies:write')
  @AnswersNothing()
  @Fails('POLICY_HAS_LICENSES')
  @ApiOperation({ summary: 'Delete a policy', description: 'Only without licenses.' })
  remove(@Caller() { tenant }: VendorPrincipal, @PathId() id: string) {
    return this.policies.remove(tenant, id);
  }

  @Post(':id/entitlements')
  @Requires('policies:write')
  @AnswersOne(PolicyView)
  @ApiOperation({
    summary: 'Attach entitlements to a policy',
    description: 'Every license of the policy inherits them. Attaching again is no error.',
  })
  attach(@Caller() { tenant }: VendorPrincipal, @PathId() id: string, @Body() body: AttachEntitlementsBody) {
    return this.policies.attach(tenant, id, body.codes);
  }

  @Delete(':id/entitlements/:code')
  @Requires('policies:write')
  @AnswersNothing()
  @ApiOperation({ summary: 'Detach an entitlement from a policy' })
  detach(@Caller() { tenant }: VendorPrincipal, @PathId() id: string, @Param('code') code: string) {
    return this.policies.detach(tenant, id, code);
  }
}
