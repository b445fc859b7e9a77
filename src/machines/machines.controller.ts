import { Body, Controller, Delete, Get, Patch, Post, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { Requires, RequiresOrLicense } from '../auth/access.js';
import { type VendorPrincipal, Caller, ClientIp, type TenantPrincipal } from '../auth/principal.js';
import { PathId } from '../core/identifier.js';
import { AnswersCreated, AnswersExisting, AnswersNothing, AnswersOne, AnswersPage, Fails, Fresh } from '../core/openapi.js';
import { licenseStateCodes } from '../domain/errors.js';
import { ActivationService } from './activation.service.js';
import { HeartbeatsService } from './heartbeats.service.js';
import { ActivateMachineBody, ActivateMachineQuery, MachinesQuery, MachineView, UpdateMachineBody } from './machines.dto.js';
import { MachinesService } from './machines.service.js';

@ApiTags('Machines')
@Controller('api/v1/machines')
export class MachinesController {
  constructor(
    private readonly machines: MachinesService,
    private readonly activation: ActivationService,
    private readonly heartbeats: HeartbeatsService,
  ) {}

  @Post()
  @RequiresOrLicense('machines:write')
  @AnswersCreated(MachineView, 'A new seat is taken.')
  @AnswersExisting(MachineView, 'The fingerprint has its seat already: no other is taken. A machine that it `replaces` is deactivated.')
  @Fails(
    'NOT_FOUND',
    'AUTHENTICATION_NOT_ALLOWED',
    'TRANSFER_NOT_ALLOWED',
    ...licenseStateCodes,
    'FINGERPRINT_TAKEN',
    'MACHINE_LIMIT_EXCEEDED',
    'CORE_LIMIT_EXCEEDED',
    'MEMORY_LIMIT_EXCEEDED',
    'DISK_LIMIT_EXCEEDED',
  )
  @ApiOperation({
    summary: 'Activate a machine',
    description:
      'With the license key itself, or with an API key and `licenseId`. Idempotent by fingerprint, also of a machine that is dead. Over a limit, `details` are `{limit, max, used, machines: [{id, name, platform, lastHeartbeatAt}]}`: `limit` is how far `max` may be passed, and `machines` lists up to 100 that could be freed, those first that gave no sign of life for the longest; `replaces` frees one and takes its seat in one step. Under a `floating` policy the seats of dead machines are taken over, the longest dead first. `dryRun=true` answers the same, status codes too, and changes nothing; it is limited like activation, in a window of its own.',
  })
  activate(
    @Caller() caller: TenantPrincipal,
    @Body() body: ActivateMachineBody,
    @Query() query: ActivateMachineQuery,
    @ClientIp() ip: string,
  ) {
    return this.activation.activate(caller, body, query, ip);
  }

  @Get()
  @RequiresOrLicense('machines:read')
  @AnswersPage(MachineView)
  @ApiOperation({ summary: 'List machines', description: "Newest first. A license key sees its own license's." })
  list(@Caller() caller: TenantPrincipal, @Query() query: MachinesQuery) {
    return this.machines.list(caller, query);
  }

  @Get(':id')
  @Requires('machines:read')
  @AnswersOne(MachineView)
  @ApiOperation({ summary: 'Get a machine' })
  get(@Caller() { tenant }: VendorPrincipal, @PathId() id: string) {
    return this.machines.get(tenant, id);
  }

  @Patch(':id')
  @Requires('machines:write')
  @AnswersOne(MachineView)
  @Fails('CORE_LIMIT_EXCEEDED', 'MEMORY_LIMIT_EXCEEDED', 'DISK_LIMIT_EXCEEDED')
  @ApiOperation({ summary: 'Change a machine' })
  update(@Caller() caller: VendorPrincipal, @PathId() id: string, @Body() body: UpdateMachineBody) {
    return this.machines.update(caller, id, body);
  }

  @Delete(':id')
  @RequiresOrLicense('machines:write')
  @AnswersNothing()
  @ApiOperation({ summary: 'Deactivate a machine', description: 'Gives its seat back, in every state of the license.' })
  deactivate(@Caller() caller: TenantPrincipal, @PathId() id: string) {
    return this.machines.deactivate(caller, id);
  }

  @Post(':id/heartbeat')
  @RequiresOrLicense('machines:write')
  @Fresh()
  @AnswersOne(MachineView, 'The machine; `nextHeartbeatAt` says when to beat again at the latest.')
  @Fails(...licenseStateCodes, 'MACHINE_DEAD')
  @ApiOperation({ summary: 'Send a heartbeat', description: 'Answered once it is stored.' })
  heartbeat(@Caller() caller: TenantPrincipal, @PathId() id: string) {
    return this.heartbeats.beat(caller, id);
  }
}
