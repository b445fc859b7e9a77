import { Controller, Get, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { Requires, RequiresOrPlatform } from '../auth/access.js';
import { Caller, type PlatformPrincipal, type VendorPrincipal } from '../auth/principal.js';
import { PathId } from '../core/identifier.js';
import { AnswersList, AnswersOne, AnswersPage } from '../core/openapi.js';
import {
  AuditChainView,
  AuditEntryView,
  AuditQuery,
  AuthFailuresByCodeView,
  AuthFailuresByIpView,
  AuthFailuresByKeyPrefixView,
  AuthFailuresQuery,
} from './audit.dto.js';
import { AuditService } from './audit.service.js';

@ApiTags('Audit log')
@Controller('api/v1/audit-logs')
export class AuditController {
  constructor(private readonly audit: AuditService) {}

  @Get()
  @Requires('audit:read')
  @AnswersPage(AuditEntryView)
  @ApiOperation({
    summary: 'List what was done, and what was refused',
    description: 'Newest first. Entries are written by the very transaction that does what they say, and never change.',
  })
  list(@Caller() { tenant }: VendorPrincipal, @Query() query: AuditQuery) {
    return this.audit.list(tenant, query);
  }

  @Get('verify')
  @Requires('audit:read')
  @AnswersOne(AuditChainView, 'What the chain proves.')
  @ApiOperation({
    summary: 'Verify the chain over the audit log',
    description:
      'Follows the chain from its first link and recomputes every hash; it covers every entry that was written before. Keep `head` and `entries` elsewhere: whoever could rewrite the whole chain could not make it lead there again.',
  })
  verify(@Caller() { tenant }: VendorPrincipal) {
    return this.audit.verify(tenant);
  }

  @Get('auth-failures')
  @RequiresOrPlatform('audit:read')
  @AnswersList(AuthFailuresByIpView, AuthFailuresByCodeView, AuthFailuresByKeyPrefixView)
  @ApiOperation({
    summary: 'Count failures of authentication',
    description:
      "Every 401 and 403 that can be attributed to the caller's environment, most first; each thing has the field that `groupBy` names. The platform token sees those of every environment, and of none.",
  })
  authFailures(@Caller() caller: VendorPrincipal | PlatformPrincipal, @Query() query: AuthFailuresQuery) {
    return this.audit.authFailures(caller, query);
  }

  @Get(':id')
  @Requires('audit:read')
  @AnswersOne(AuditEntryView)
  @ApiOperation({ summary: 'Get an entry of the audit log' })
  get(@Caller() { tenant }: VendorPrincipal, @PathId() id: string) {
    return this.audit.get(tenant, id);
  }
}
